"""What it takes to find the copies among a million pictures, by their hashes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from scripts.benchmarks.setting import Setting

BAR_SECONDS = 60
BAR_MB = 2000
BAR_FOUND = 0.99
MB = 1_000_000


def measure(setting: Setting) -> list[Figure]:
    """Group made hashes, once as a corpus has them and once all equal; count what is found."""
    log, count = setting.log("duplicates"), setting.sources
    figures = []
    for kind in ("natural", "equal"):
        dataset = setting.fresh(f"duplicates-{kind}")
        run_child(module("duplicates_made", kind, dataset, count), log=log)
        words = [sys.executable, "-m", "imgbatch", "group", dataset, "duplicates"]
        ended = [
            run_child([*words, "--engine", "inline", "--anew"], log=log)
            for _ in range(setting.repeats)
        ]
        name = f"{count:,} hashes, {kind}"
        seconds, peaks = [e.seconds for e in ended], [e.peak_bytes / MB for e in ended]
        figures += [
            Figure("duplicates", f"{name}, all in", tuple(seconds), "s", high=BAR_SECONDS),
            Figure("duplicates", f"{name}, peak memory", tuple(peaks), "MB", high=BAR_MB),
        ]
        if kind == "natural":
            check = run_child(module("duplicates_made", "check", dataset, count), log=log)
            found = float(check.answer["found"])
            said = "copies in the group of their original"
            figures.append(Figure("duplicates", said, (found,), "share", low=BAR_FOUND))
    return figures
