"""The bench itself: what it says of a process is that process's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from scripts.benchmarks import __main__ as bench
from scripts.benchmarks import rerun
from scripts.benchmarks.child import module, run_child

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
