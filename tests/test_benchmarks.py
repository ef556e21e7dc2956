"""The bench itself: what it says of a process is that process's own."""

from __future__ import annotations

import statistics
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from scripts.benchmarks import __main__ as bench
from scripts.benchmarks import faces, fetch, gpu, gpu_busy, rerun, server, workers
from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.setting import Setting
from tests.corpus import many

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def test_a_childs_peak_memory_is_its_own_however_large_the_bench_is(tmp_path: Path) -> None:
    ballast = b"\1" * (256 * MIB)
    code = "print('{\"bytes\": %d}' % len(b'x' * 2**26))"
    small = run_child([sys.executable, "-c", "pass"], log=tmp_path / "small.log")
    large = run_child([sys.executable, "-c", code], log=tmp_path / "large.log")
    assert len(ballast) > small.peak_bytes
    assert 64 * MIB < large.peak_bytes < 128 * MIB
    assert large.answer == {"bytes": 64 * MIB}


def test_a_child_that_fails_ends_the_bench_with_what_it_said(tmp_path: Path) -> None:
    code = "import sys; sys.exit('out of luck')"
    with pytest.raises(SystemExit, match="out of luck\n\nbench: exit code 1"):
        run_child([sys.executable, "-c", code], log=tmp_path / "log")


def test_a_section_that_was_named_ends_the_bench_where_its_corpus_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rerun, "ROOT", tmp_path / "none")
    monkeypatch.setattr(rerun, "_delta", lambda *_: [])
    monkeypatch.setenv("BENCH_OUT", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["bench", "rerun"])
    with pytest.raises(SystemExit, match=r"^bench: no mnist-png.tar.gz below .*: put it there"):
        bench.main()
    monkeypatch.setattr(bench, "SECTIONS", {"rerun": rerun.measure})
    monkeypatch.setattr(sys, "argv", ["bench"])
    assert bench.main() == 0
    assert "the digits are left out" in capsys.readouterr().out


@pytest.mark.slow
def test_a_delta_that_leaves_a_shard_alone_is_not_measured_as_one_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(many(tmp_path / "in", 152).iterdir())
    setting = Setting(tmp_path, images=8, repeats=1, threads=1, named=frozenset(), sources=1)
    monkeypatch.setenv("IMGBATCH_SHARD_SOURCES", "100")
    ended = rerun._runs(setting, "inline", files[:150], files[150:])
    assert [one.answer["shards"] for one in ended] == [2, 0, 2]
    monkeypatch.setenv("IMGBATCH_SHARD_SOURCES", "50")
    with pytest.raises(SystemExit, match=r"^bench: all 3 shards were to be touched: .*'shards': 2"):
        rerun._runs(setting, "inline", files[:150], files[150:])


@pytest.mark.slow
def test_files_are_fetched_in_every_way_and_one_that_does_not_come_ends_the_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "WIDTHS", (2,))
    setting = Setting(tmp_path, images=6, repeats=1, threads=1, named=frozenset(), sources=1)
    ours, bare = fetch.measure(setting)
    # Three rounds at least, of 50 ms each.
    assert all(seconds > 0.15 for figure in (ours, bare) for seconds in figure.measured)
    assert all(seconds > 0.15 for figure in (ours, bare) for seconds in figure.denominator)
    assert (ours.high, bare.bar) == (fetch.NO_SLOWER, "")
    told = pytest.raises(SystemExit, match=r"^bench: http2 came to {'ok': 6} of 7 files")
    with fetch._server(setting, 6) as (url, folder), told:
        fetch._seconds(setting, folder, url, "http2", 2, 7)


@pytest.mark.slow
def test_a_rerun_over_the_digits_is_held_against_their_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "shared" / "corpora"
    here.mkdir(parents=True)
    with tarfile.open(here / rerun.DIGITS, "w:gz") as archive:
        archive.add(many(tmp_path / "in", 4), "digits")
    monkeypatch.setattr(rerun, "ROOT", tmp_path / "bench")
    setting = Setting(tmp_path, images=8, repeats=2, threads=1, named=frozenset(), sources=1)
    judged, shared = rerun._digits(setting)
    assert (judged.ratio, judged.high, shared.bar) == (None, rerun.DIGITS_SECONDS, "")
    assert shared.measured == judged.measured
    first, again = shared.denominator
    assert first == again > 0
    assert first not in shared.measured
    assert shared.ratio == pytest.approx(statistics.median(judged.measured) / first)


def test_the_calls_of_each_network_that_sees_faces_are_judged() -> None:
    answers = [
        {"calls": {"Recognition": 99, "Attributes": 101}, "least_calls": 100},
        {"calls": {"Recognition": 100, "Attributes": 800}, "least_calls": 100},
    ]
    recognition, attributes = faces.calls(answers)
    assert (recognition.name, attributes.name) == ("calls of recognition", "calls of attributes")
    assert (recognition.measured, attributes.measured) == ((99.0, 100.0), (101.0, 800.0))
    assert (recognition.passed, attributes.passed) == (True, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps",
    [
        ("pretend", "again"),
        ("freeze", "fill", "again", "verify", "plan", "delta"),
        ("fill", "plan", "forget", "forgotten"),
    ],
)
def test_made_up_sources_go_through_every_step_of_a_run(
    steps: tuple[str, ...], tmp_path: Path
) -> None:
    """Each step ends with a message where something else came out than was to come out."""
    for step in steps:
        run_child(module("synthetic", step, tmp_path / "d", 20_000), log=tmp_path / f"{step}.log")


@pytest.mark.slow
@pytest.mark.parametrize("way", [pytest.param("ray", marks=pytest.mark.ray), "alone"])
def test_shards_that_nobody_computes_all_come_back(way: str, tmp_path: Path) -> None:
    ended = run_child(module("null", way, tmp_path / "d", 40), log=tmp_path / "log")
    assert ended.answer["shards"] == 40


@pytest.mark.parametrize(("threads", "missing"), [(1, [2, 4]), (3, [4]), (4, [])])
def test_a_bar_that_this_machine_has_too_few_cores_for_is_named(
    threads: int,
    missing: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(workers, "photos", lambda *_: tmp_path)
    monkeypatch.setattr(workers, "_bare", lambda *_: 1.0)
    monkeypatch.setattr(workers, "_imgbatch", lambda *_: 1.0)
    setting = Setting(
        tmp_path, images=8, repeats=1, threads=threads, sources=1, named=frozenset({"workers"})
    )
    figures = workers.measure(setting)
    said = [line for line in capsys.readouterr().out.splitlines() if "not measured" in line]
    told = [f"bench: not measured: {n} workers of one core, on {threads}" for n in missing]
    assert said == told
    judged = [int(figure.name.split()[0]) for figure in figures if figure.low is not None]
    assert sorted([*judged, *missing]) == [2, 4]


@pytest.mark.parametrize(
    ("processes", "told"),
    [((1,), ["bench: not measured: Ceph RGW on a core of its own, of 2"]), ((), [])],
)
def test_a_server_that_shares_the_cores_of_what_is_measured_is_named(
    processes: tuple[int, ...],
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(server.os, "sched_getaffinity", lambda _: {0, 1})
    found = server.Server("Ceph RGW", "http://127.0.0.1:1", {}, processes)
    with found.apart() as left:
        assert left == 2
    assert capsys.readouterr().out.splitlines() == told


@pytest.mark.slow
def test_the_section_gpu_is_left_out_in_a_plain_line_where_torch_shows_no_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("BENCH_OUT", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["bench", "gpu"])
    assert bench.main() == 0
    said = "bench: not measured: gpu, torch shows no CUDA device here"
    assert said in capsys.readouterr().out


@pytest.mark.slow
def test_all_of_the_section_gpu_runs_on_a_cpu_but_for_the_busy_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchvision")
    monkeypatch.setattr(gpu, "NETWORKS", {"ResNet18": "resnet18"})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    setting = Setting(tmp_path, images=8, repeats=1, threads=2, sources=1, named=frozenset({"gpu"}))
    figures = {figure.name: figure for figure in gpu.measured(setting, "cpu")}
    assert list(figures) == [
        "JPEGs decoded, no network",
        "ResNet18 embedding, float16, from JPEG, after start-up",
        "ResNet18 embedding, float32, from JPEG, after start-up",
        "same top class of 8 digits in float16 and float32",
    ]
    for figure in figures.values():
        assert all(value > 0 for value in (*figure.measured, *figure.denominator))
    assert figures["same top class of 8 digits in float16 and float32"].passed
    assert capsys.readouterr().out.count("its driver tells not") == 2


@pytest.mark.parametrize(("decoded", "judged"), [(99.0, False), (101.0, True)])
def test_the_share_of_the_pure_pass_has_a_bar_where_the_cores_could_keep_up(
    decoded: float, *, judged: bool
) -> None:
    rounds = gpu._Rounds(ours=[85.0], pure=[100.0], busy=[90.0])
    share, busy = gpu._figures("a network", rounds, decoded)
    assert share.passed is (True if judged else None)
    assert (busy.measured, busy.unit) == ((90.0,), "%")


def test_a_gpu_is_busy_from_its_first_kernel_to_its_last() -> None:
    assert gpu_busy.share_of([0, 0, 100, 0, 50, 0, 0]) == [50.0]
    assert gpu_busy.share_of([0, 0]) == gpu_busy.share_of([]) == []


def test_a_gpu_that_the_driver_does_not_know_is_asked_in_vain() -> None:
    with gpu_busy.Busy("GPU-00000000-0000-0000-0000-000000000000") as busy:
        pass
    assert busy.share() == []
