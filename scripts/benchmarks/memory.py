"""Peak memory of imgbatch: with few and many pictures, huge ones among them, and with long videos.

The figure is the kernel's, for the whole process: the light set is imported in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benchmarks.clips import minute, twenty_minutes
from scripts.benchmarks.corpus import photos
from scripts.benchmarks.product import run_imgbatch
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

MB = 1_000_000
BAR_MB = 900
SAME = (0.9, 1.1)


def measure(setting: Setting) -> list[Figure]:
    """Run a quarter of the pictures and all of them, then the short video and the long one."""
    few = setting.images // 4
    inputs = {
        f"{few:,} pictures": (photos(setting, few, giants=True), few),
        f"{setting.images:,} pictures": (
            photos(setting, setting.images, giants=True),
            setting.images,
        ),
        "video of 1 minute": (minute(setting).parent, 1),
        "video of 20 minutes": (twenty_minutes(setting).parent, 1),
    }
    peaks: dict[str, list[float]] = {name: [] for name in inputs}
    for _ in range(setting.repeats):
        for name, (folder, expected) in inputs.items():
            peaks[name].append(_peak(setting, folder, expected))
    fewer, more, short, long = inputs
    return [
        *(_below(name, values) for name, values in peaks.items()),
        _same(more, peaks[more], fewer, peaks[fewer]),
        _same(long, peaks[long], short, peaks[short]),
    ]


def _peak(setting: Setting, folder: Path, expected: int) -> float:
    run = run_imgbatch(setting, folder, engine="inline", workers=1, expected=expected)
    return run.ended.peak_bytes / MB


def _below(name: str, peaks: list[float]) -> Figure:
    return Figure("memory", name, tuple(peaks), "MB", high=BAR_MB)


def _same(name: str, peaks: list[float], against: str, others: list[float]) -> Figure:
    low, high = SAME
    return Figure("memory", name, tuple(peaks), "MB", against, tuple(others), low=low, high=high)
