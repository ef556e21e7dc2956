"""The bench itself: what it says of a process is that process's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from scripts.benchmarks import __main__ as bench
from scripts.benchmarks import rerun, server, workers
from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.setting import Setting

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
    monkeypatch.setattr(rerun, "_delta", lambda _: [])
    monkeypatch.setenv("BENCH_OUT", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["bench", "rerun"])
    with pytest.raises(SystemExit, match=r"^bench: no mnist-png.tar.gz below .*: put it there"):
        bench.main()
    monkeypatch.setattr(bench, "SECTIONS", {"rerun": rerun.measure})
    monkeypatch.setattr(sys, "argv", ["bench"])
    assert bench.main() == 0
    assert "the digits are left out" in capsys.readouterr().out


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
