"""The bench itself: what it says of a process is that process's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from scripts.benchmarks.child import run_child

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
