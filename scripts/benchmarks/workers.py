"""What 2 and 4 workers of one core do against one, and how near the machine itself comes to that.

The machine's own limit is the bare decoding loop on as many threads, or as many processes, in the
same round: memory and caches are shared, and clocks go down when more cores are at work.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.corpus import photos, read_once
from scripts.benchmarks.product import run_imgbatch
from scripts.benchmarks.report import CONSOLE, Figure

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

# Four workers come up within half a second and end within another: of the six seconds that 8,000
# take them that was a fifteenth, which is no matter of speed.
PICTURES = 16_000
# So many that no worker is left without one while others have many.
SHARDS = 160
BARS = {2: 1.9, 4: 3.4}
# What counts as the machine's own limit: so much of what the bare loop comes to.
NEAR = 0.95
LOOPS = ("threads", "processes")


def measure(setting: Setting) -> list[Figure]:
    """Run the bare loop and imgbatch with one, two and four, in turn."""
    count = min(setting.images, PICTURES)
    folder = photos(setting, count)
    read_once(folder)
    most = [number for number in BARS if number <= setting.threads]
    for number in sorted(BARS.keys() - most):
        CONSOLE.print(f"bench: not measured: {number} workers of one core, on {setting.threads}")
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(setting.repeats):
        for number in (1, *most):
            for loop in LOOPS:
                rates.setdefault((loop, number), []).append(_bare(setting, folder, loop, number))
            rate = _imgbatch(setting, folder, count, number)
            rates.setdefault(("imgbatch", number), []).append(rate)
    figures = [
        Figure("workers", "1 worker of one core on Ray", tuple(rates["imgbatch", 1]), "images/s")
    ]
    for number in most:
        figures += _figures(rates, number)
    return figures


def _figures(rates: dict[tuple[str, int], list[float]], number: int) -> list[Figure]:
    def speed_up(name: str) -> tuple[float, ...]:
        pairs = zip(rates[name, number], rates[name, 1], strict=True)
        return tuple(more / one for more, one in pairs)

    bare = {loop: speed_up(loop) for loop in LOOPS}
    limit = max(median(values) for values in bare.values())
    return [
        *(
            Figure("workers", f"bare loop, {number} {loop}: speed-up", values, "x")
            for loop, values in bare.items()
        ),
        Figure(
            "workers",
            f"{number} workers: speed-up (the machine's own: {limit:.2f})",
            speed_up("imgbatch"),
            "x",
            low=round(min(BARS[number], NEAR * limit), 2),
        ),
    ]


def _bare(setting: Setting, folder: Path, loop: str, number: int) -> float:
    words = [1, number] if loop == "processes" else [number]
    command = module("bare", "turbo", folder, *words)
    answer = run_child(command, log=setting.log(f"workers-{loop}")).answer
    return float(answer["images"] / answer["seconds"])


def _imgbatch(setting: Setting, folder: Path, count: int, number: int) -> float:
    run = run_imgbatch(
        replace(setting, threads=1),
        folder,
        engine="ray",
        expected=count,
        cores=number,
        environment={"IMGBATCH_SHARD_SOURCES": str(max(1, count // SHARDS))},
    )
    return run.after_start_up
