"""Peak memory of imgbatch: with few and many pictures, huge ones among them, and with long videos.

The figure is the kernel's, for the whole process: the light set is imported in it. On Ray it is the
largest of its workers' own.
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
PICTURES = 4_000


def measure(setting: Setting) -> list[Figure]:
    """Run a quarter of the pictures and all of them, the short video and the long one, and Ray."""
    many = min(setting.images, PICTURES)
    few = many // 4
    inputs = {
        f"{few:,} pictures": (photos(setting, few, giants=True), few),
        f"{many:,} pictures": (photos(setting, many, giants=True), many),
        "video of 1 minute": (minute(setting).parent, 1),
        "video of 20 minutes": (twenty_minutes(setting).parent, 1),
    }
    fewer, more, short, long = inputs
    peaks: dict[str, list[float]] = {name: [] for name in inputs}
    on_ray = []
    for _ in range(setting.repeats):
        for name, (folder, expected) in inputs.items():
            peaks[name].append(_peak(setting, folder, expected))
        on_ray.append(_worker_peak(setting, *inputs[more]))
    return [
        *(_below(name, values) for name, values in peaks.items()),
        _below(f"{more}, largest worker of Ray", on_ray),
        _same(more, peaks[more], fewer, peaks[fewer]),
        _same(long, peaks[long], short, peaks[short]),
    ]


def _peak(setting: Setting, folder: Path, expected: int) -> float:
    run = run_imgbatch(setting, folder, engine="inline", workers=1, expected=expected)
    return run.ended.peak_bytes / MB


def _worker_peak(setting: Setting, folder: Path, expected: int) -> float:
    run = run_imgbatch(setting, folder, engine="ray", expected=expected)
    if not run.worker_peaks:
        raise SystemExit("bench: no worker of Ray told of its peak memory as it ended")
    return max(run.worker_peaks) / MB


def _below(name: str, peaks: list[float]) -> Figure:
    return Figure("memory", name, tuple(peaks), "MB", high=BAR_MB)


def _same(name: str, peaks: list[float], against: str, others: list[float]) -> Figure:
    low, high = SAME
    return Figure("memory", name, tuple(peaks), "MB", against, tuple(others), low=low, high=high)
