"""What a no-op rerun takes when the manifest holds a million sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.product import RECIPE
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from scripts.benchmarks.setting import Setting

BAR_SECONDS = 20
BAR_MB = 1000
MB = 1_000_000


def measure(setting: Setting) -> list[Figure]:
    """Make the dataset once, then plan the rerun as often as asked."""
    log, dataset = setting.log("plan"), setting.fresh("plan")
    run_child(module("synthetic", "pretend", dataset, setting.sources, RECIPE), log=log)
    again = [
        run_child(module("synthetic", "again", dataset, setting.sources, RECIPE), log=log)
        for _ in range(setting.repeats)
    ]
    name = f"no-op rerun of {setting.sources:,} sources"
    seconds, peaks = [e.seconds for e in again], [e.peak_bytes / MB for e in again]
    return [
        Figure("plan", f"{name}, all in", tuple(seconds), "s", high=BAR_SECONDS),
        Figure("plan", f"{name}, peak memory", tuple(peaks), "MB", high=BAR_MB),
    ]
