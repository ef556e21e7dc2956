"""How near imgbatch comes to a loop that only reads, decodes and shrinks the same JPEGs."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.corpus import photos, read_once
from scripts.benchmarks.product import run_imgbatch
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

INLINE_BAR = 0.80
RAY_BAR = 0.75


def bare_rate(setting: Setting, folder: Path, *words: str) -> float:
    """Return images/s of one bare loop, in a process of its own."""
    command = module(*words, folder, setting.threads)
    answer = run_child(command, log=setting.log("-".join(words))).answer
    return float(answer["images"] / answer["seconds"])


def measure(setting: Setting) -> list[Figure]:
    """Run the bare loops and the two engines in turn, as often as asked."""
    folder = photos(setting, setting.images)
    read_once(folder)
    bare: dict[str, list[float]] = {"pillow": [], "turbo": []}
    analyzers, one, inline, ray = [], [], [], []
    for _ in range(setting.repeats):
        for name, rates in bare.items():
            rates.append(bare_rate(setting, folder, "bare", name))
        analyzers.append(bare_rate(setting, folder, "bare_analyzers"))
        run = partial(run_imgbatch, setting, folder, expected=setting.images)
        one.append(run(engine="inline", workers=1))
        inline.append(run(engine="inline"))
        ray.append(run(engine="ray"))
    return [
        *(_figure(f"bare loop, {name}", rates) for name, rates in bare.items()),
        _judged("bare loop with the analyzers, no frame", analyzers, bare),
        _judged("inline in one process, list to Parquet", [r.listed_to_parquet for r in one], bare),
        _judged("inline, list to Parquet", [r.listed_to_parquet for r in inline], bare, INLINE_BAR),
        _judged("Ray, after start-up", [r.after_start_up for r in ray], bare, RAY_BAR),
        _figure("inline, all in", [r.all_in for r in inline]),
        _figure("Ray, all in", [r.all_in for r in ray]),
    ]


def _figure(name: str, rates: list[float]) -> Figure:
    return Figure("images", name, tuple(rates), "images/s")


def _judged(
    name: str, rates: list[float], bare: dict[str, list[float]], bar: float | None = None
) -> Figure:
    faster = max(bare, key=lambda loop: median(bare[loop]))
    limit = tuple(bare[faster])
    return Figure("images", name, tuple(rates), "images/s", f"bare loop, {faster}", limit, low=bar)
