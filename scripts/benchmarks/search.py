"""How long one search takes in a million vectors of 512 numbers, and in how much memory.

Against a bare loop over the same files, of what everybody would write first: a part is read by
pyarrow, multiplied by numpy, its best kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from scripts.benchmarks.child import Ended
    from scripts.benchmarks.setting import Setting

RECIPE = Path(__file__).parent / "classic.toml"
# Reading all of them is nearly all there is to do.
BAR = 1.5
BAR_MB = 1000
MB = 1_000_000


def measure(setting: Setting) -> list[Figure]:
    """Make the table once, then search it in both ways in turn."""
    log, dataset = setting.log("search"), setting.fresh("search")
    run_child(module("synthetic", "fill", dataset, setting.sources, RECIPE), log=log)
    ours: list[Ended] = []
    bare: list[Ended] = []
    for _ in range(setting.repeats):
        bare.append(run_child(module("search_bare", dataset), log=log))
        asked = bare[-1].answer["asked"]
        words = ["search", dataset, "--like", asked, "-k", 20, "--json"]
        ours.append(run_child([sys.executable, "-m", "imgbatch", *words], log=log))
        _check(ours[-1], bare[-1])
    name = f"20 of {setting.sources:,} vectors of 512 numbers"
    seconds = [tuple(ended.seconds for ended in way) for way in (ours, bare)]
    peaks = tuple(ended.peak_bytes / MB for ended in ours)
    return [
        Figure("search", name, seconds[0], "s", "a bare loop", seconds[1], high=BAR),
        Figure("search", f"{name}, peak memory", peaks, "MB", high=BAR_MB),
    ]


def _check(ours: Ended, bare: Ended) -> None:
    lines = ours.output.splitlines()[1:]
    if not all(name in line for name, line in zip(bare.answer["found"], lines, strict=True)):
        raise SystemExit("bench: the search found others than the bare loop")
