"""How near imgbatch's video decoder comes to bare PyAV, and how far it leaves OpenCV behind."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.clips import minute
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from scripts.benchmarks.setting import Setting

KEYFRAMES_BAR = 0.9
FPS_BAR = 3.0
# One round takes a few seconds, so there may be more of them.
ROUNDS_PER_REPEAT = 3


def measure(setting: Setting) -> list[Figure]:
    """Run every loop in turn over the one-minute video, all in one process."""
    command = module("video_loops", minute(setting), ROUNDS_PER_REPEAT * setting.repeats)
    rates = run_child(command, log=setting.log("video")).answer["times_real_time"]
    faster = max(("plain", "tuned"), key=lambda name: median(rates[name]))
    return [
        _figure(
            "key frames, imgbatch",
            rates["keyframes"],
            f"bare PyAV, {faster}",
            rates[faster],
            KEYFRAMES_BAR,
        ),
        _figure("fps = 1, imgbatch", rates["fps"], "OpenCV, every frame", rates["opencv"], FPS_BAR),
    ]


def _figure(name: str, ours: list[float], against: str, theirs: list[float], bar: float) -> Figure:
    return Figure("video", name, tuple(ours), "x real time", against, tuple(theirs), low=bar)
