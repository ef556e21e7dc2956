"""What it costs to run again: over 70,000 digits with nothing to do, and over 1% changed pictures.

A delta may take 3% of the full run and the start-up, which is what one changed picture in a folder
of its own takes; a run with nothing to do is not taken for that, as it imports no decoder. Beside
it stands the share of a full run of which the start-up was taken away too. Both engines are
measured, as they come: on Ray, which `run` takes by itself, and inline, where the full run has a
process per core and a delta of this size has one.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.benchmarks.child import ROOT, Ended, run_child
from scripts.benchmarks.corpus import photos, read_once
from scripts.benchmarks.product import RECIPE
from scripts.benchmarks.report import CONSOLE, Figure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

SECTION = "rerun"
DIGITS = "mnist-png.tar.gz"
DIGITS_SECONDS = 10
PICTURES = 4000
EVERY = 100  # one picture in so many changes: 10 of each shard of 1000
DELTA = 0.03
MB = 1_000_000


def measure(setting: Setting) -> list[Figure]:
    """Run the digits and the pictures."""
    return [*_digits(setting), *_delta(setting, "ray"), *_delta(setting, "inline")]


def _run(setting: Setting, name: str, folder: Path, dataset: Path, *, engine: str) -> Ended:
    command = [sys.executable, "-m", "imgbatch", "run", folder, dataset]
    command += ["--recipe", RECIPE, "--engine", engine, "--json"]
    threads = {"IMGBATCH_THREADS": str(setting.threads)}
    return run_child(command, log=setting.log(name), environment=threads)


def _digits(setting: Setting) -> list[Figure]:
    """Measure a rerun with nothing to do, on Ray's engine, which must not be started for it.

    It has two figures: the seconds, which have a bar, and their share of the first run, which there
    is once: all rounds are divided by that one.
    """
    found = next((ROOT.parent / "shared" / "corpora").rglob(DIGITS), None)
    if found is None:
        lacking = f"bench: no {DIGITS} below ../shared/corpora"
        # Nothing here makes them, as the other sections make what they lack. Who asked for this
        # section is not to take it for measured; who asked for all gets all others.
        if SECTION in setting.named:
            raise SystemExit(f"{lacking}: put it there, or measure the other sections")
        CONSOLE.print(f"{lacking}: the digits are left out")
        return []
    dataset = setting.fresh("rerun-digits")
    first = _run(setting, "rerun-digits", found, dataset, engine="inline")
    again = [
        _run(setting, "rerun-digits", found, dataset, engine="ray") for _ in range(setting.repeats)
    ]
    for ended in again:
        if ended.answer["sources"]:
            raise SystemExit(f"bench: nothing was to be read again: {ended.answer}")
    seconds = tuple(ended.seconds for ended in again)
    once = (first.seconds,) * len(again)
    name = "no-op rerun of 70,000 digits"
    return [
        Figure(SECTION, f"{name}, all in", seconds, "s", high=DIGITS_SECONDS),
        Figure(SECTION, name, seconds, "s", "their first run, inline", once),
    ]


def _delta(setting: Setting, engine: str) -> list[Figure]:
    """Measure the full run, one with nothing to do, and one over 1% changed pictures.

    Each round has a folder and a dataset of its own, and the start-up beside it.
    """
    count = min(PICTURES, setting.images)
    changed = count // EVERY
    whole, spare = photos(setting, count), photos(setting, count + changed)
    files = _files(whole), _files(spare)[count:]
    rounds = [_round(setting, engine, *files) for _ in range(setting.repeats)]
    all_of_them = f"{engine}: {count:,} pictures"
    name = f"{engine}: 1% of {count:,} pictures changed, in every shard"

    def values(of: Callable[[Round], float]) -> tuple[float, ...]:
        return tuple(of(one) for one in rounds)

    return [
        Figure(SECTION, f"{all_of_them}, full run", values(lambda r: r.full), "s"),
        Figure(SECTION, f"{all_of_them}, nothing to do", values(lambda r: r.nothing), "s"),
        Figure(
            SECTION, f"{engine}: start-up, one changed picture", values(lambda r: r.start_up), "s"
        ),
        Figure(
            SECTION,
            f"{name}, less start-up",
            values(lambda r: r.delta - r.start_up),
            "s",
            "full run",
            values(lambda r: r.full),
            high=DELTA,
        ),
        Figure(
            SECTION,
            f"{name}, less start-up",
            values(lambda r: r.delta - r.start_up),
            "s",
            "full run, less start-up",
            values(lambda r: r.full - r.start_up),
        ),
        Figure(
            SECTION,
            f"{name}: parts written",
            values(lambda r: r.written),
            "MB",
            "all parts",
            values(lambda r: r.held),
        ),
    ]


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of four runs, megabytes of parts that the delta wrote and of all that were there."""

    full: float
    nothing: float
    delta: float
    start_up: float
    written: float
    held: float


def _round(setting: Setting, engine: str, whole: list[Path], spare: list[Path]) -> Round:
    _, _, one = _runs(setting, engine, whole[:1], spare[:1])
    full, nothing, delta = _runs(setting, engine, whole, spare)
    dataset = setting.out / "results" / "rerun-delta"
    parts = {path: path.stat() for path in dataset.rglob("*.parquet")}
    changed = (setting.out / "results" / "rerun-pictures").stat().st_mtime_ns
    new = [found.st_size for found in parts.values() if found.st_mtime_ns > changed]
    old = [found.st_size for found in parts.values() if found.st_mtime_ns <= changed]
    return Round(
        full.seconds, nothing.seconds, delta.seconds, one.seconds, sum(new) / MB, sum(old) / MB
    )


def _runs(
    setting: Setting, engine: str, whole: list[Path], spare: list[Path]
) -> tuple[Ended, Ended, Ended]:
    """Run over pictures, again, and again after some were replaced by spare ones."""
    folder, dataset = setting.fresh("rerun-pictures"), setting.fresh("rerun-delta")
    folder.mkdir()
    files = [folder / file.name for file in whole]
    for file, link in zip(whole, files, strict=True):
        os.link(file, link)
    read_once(folder)
    full = _run(setting, "rerun", folder, dataset, engine=engine)
    nothing = _run(setting, "rerun", folder, dataset, engine=engine)
    for link, other in zip(files[::EVERY], spare, strict=True):
        link.unlink()
        os.link(other, link)
    delta = _run(setting, "rerun", folder, dataset, engine=engine)
    if delta.answer["sources"] != len(spare):
        raise SystemExit(f"bench: {len(spare)} pictures were to be read: {delta.answer}")
    if delta.answer["shards"] != full.answer["shards"]:
        shards = full.answer["shards"]
        raise SystemExit(f"bench: all {shards} shards were to be touched: {delta.answer}")
    return full, nothing, delta


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))
