"""How time and memory grow with the number of sources, and what 100 million would take.

Each step is measured with a tenth of the sources and with all of them: 1 and 10 million by

    scripts/bench scale --sources 10000000      # the dataset takes about 100 MB a million

The law is the power of the number that joins the two; a step that has start-up in it looks cheaper
by that law than it is, so 100 million are told by the law or by the straight line through the two,
whichever is more.

Everything but the sources is real: the manifest's parts, those of two tables, the commits, and the
takedown with its proof.
"""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from scripts.benchmarks.child import Ended
    from scripts.benchmarks.setting import Setting

MB = 1_000_000
STEP = 10
FAR = 100_000_000
# By step: what it is called. `fill` only makes what `again` and `verify` look at.
NAMES = {
    "freeze": "first plan and freeze",
    "fill": "",
    "again": "no-op plan",
    "verify": "verify",
    "plan": "imgbatch plan of a 1% delta over all shards",
    "delta": "1% delta over all shards, plan and freeze",
    "forget": "forget 1% in all shards: look up and take out",
    "forgotten": "verify --forgotten, with the same names",
}
# A step may cost at most so many times as much for ten times as many sources.
TIMES_SECONDS = 13.0
TIMES_MB = 2.0


def measure(setting: Setting) -> list[Figure]:
    """Go through all steps with a tenth of the sources, then with all."""
    few, many = setting.sources // STEP, setting.sources
    less, more = _ended(setting, few), _ended(setting, many)
    figures = []
    for step, name in NAMES.items():
        if name:
            seconds = [less[step].seconds, more[step].seconds]
            peaks = [e.peak_bytes / MB for e in (less[step], more[step])]
            figures += _figures(name, (few, many), seconds, "s", TIMES_SECONDS)
            figures += _figures(f"{name}, peak", (few, many), peaks, "MB", TIMES_MB)
    return figures


def _ended(setting: Setting, count: int) -> dict[str, Ended]:
    dataset, log = setting.fresh(f"scale-{count}"), setting.log("scale")
    # Where the listing is spilled to: beside the dataset, and counted with it.
    spill = setting.fresh("scale-spill")
    spill.mkdir()
    environment = {"TMPDIR": str(spill)}
    found = {
        step: run_child(module("synthetic", step, dataset, count), log=log, environment=environment)
        for step in NAMES
    }
    if left := list(spill.iterdir()):
        raise SystemExit(f"bench: {left} was left in the temporary folder")
    shutil.rmtree(dataset)
    return found


def _figures(
    name: str, counts: tuple[int, int], measured: list[float], unit: str, high: float
) -> list[Figure]:
    (few, many), (small, large) = counts, measured
    power = math.log(large / small, many / few)
    line = large + (large - small) / (many - few) * (FAR - many)
    far = max(large * (FAR / many) ** power, line)
    against = f"{few:,} sources"
    title = f"{many:,} sources: {name}"
    law = f"{FAR:,} sources, by the law (power {power:.2f}): {name}"
    return [
        Figure("scale", title, (large,), unit, against, (small,), high=high),
        Figure("scale", law, (far,), unit),
    ]
