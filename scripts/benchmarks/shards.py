"""What scheduling costs: empty shards through the driver, Ray's actors and the commits.

A million is told by the law that joins a tenth of the shards with all of them, or by the straight
line through the two, whichever is more; the crew's own part is measured with a million.
"""

from __future__ import annotations

import math
import shutil
from statistics import median
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from scripts.benchmarks.setting import Setting

BAR = 300
FLAT = 1.1
STEP = 10
FAR = 1_000_000
HOUR = 3600


def measure(setting: Setting) -> list[Figure]:
    """Schedule a tenth of the shards and all of them, then a million by the crew alone."""
    few, many = setting.shards // STEP, setting.shards
    less, more = [], []
    for _ in range(setting.repeats):
        less.append(_null(setting, "ray", few))
        more.append(_null(setting, "ray", many))
    far = _null(setting, "alone", FAR)

    def values(key: str) -> tuple[float, ...]:
        return tuple(answer[key] for answer in more)

    rates = tuple(answer["shards"] / answer["seconds"] for answer in more)
    seconds = [median(answer["seconds"] for answer in answers) for answers in (less, more)]
    growth = [median(a["late_mb"] - a["early_mb"] for a in answers) for answers in (less, more)]
    peaks = [median(answer["peak_mb"] for answer in answers) for answers in (less, more)]
    title, law = f"{many:,} empty shards on Ray", f"{FAR:,} shards, by the law"
    return [
        Figure("shards", f"{title}, commits included", rates, "shards/s", low=BAR),
        Figure(
            "shards",
            f"{title}: driver's memory at the end",
            values("late_mb"),
            "MB",
            "after a tenth",
            values("early_mb"),
            high=FLAT,
        ),
        Figure("shards", f"{title}: memory that grew", (growth[1],), "MB"),
        Figure("shards", f"{title}: manifest made before", values("freeze"), "s"),
        Figure("shards", f"{law}: scheduling and commits", (_far(few, many, seconds) / HOUR,), "h"),
        Figure("shards", f"{law}: driver's peak memory", (_far(few, many, peaks),), "MB"),
        Figure("shards", f"{FAR:,} shards, the crew alone", (FAR / far["seconds"],), "shards/s"),
        Figure("shards", f"{FAR:,} shards, the crew alone: peak memory", (far["peak_mb"],), "MB"),
    ]


def _far(few: int, many: int, measured: list[float]) -> float:
    small, large = measured
    power = math.log(large / small, many / few)
    line = large + (large - small) / (many - few) * (FAR - many)
    return float(max(large * (FAR / many) ** power, line))


def _null(setting: Setting, way: str, count: int) -> dict[str, float]:
    dataset = setting.fresh("shards")
    answer = run_child(module("null", way, dataset, count), log=setting.log("shards")).answer
    shutil.rmtree(dataset, ignore_errors=True)
    return answer
