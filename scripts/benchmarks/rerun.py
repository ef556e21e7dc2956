"""What it costs to run again: over 70,000 digits with nothing to do, and over 1% changed pictures.

A delta is judged without start-up: from what it takes, and from what the full run takes, a run with
nothing to do is taken away. All go through the inline engine, on the same folder.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from scripts.benchmarks.child import ROOT, Ended, run_child
from scripts.benchmarks.corpus import photos, read_once
from scripts.benchmarks.product import RECIPE
from scripts.benchmarks.report import CONSOLE, Figure

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

DIGITS = "mnist-png.tar.gz"
DIGITS_SECONDS = 10
PICTURES = 4000
EVERY = 100  # one picture in so many changes: 10 of each shard of 1000
DELTA = 0.03


def measure(setting: Setting) -> list[Figure]:
    """Run the digits and the pictures."""
    return [*_digits(setting), *_delta(setting)]


def _run(setting: Setting, name: str, folder: Path, dataset: Path, *, engine: str) -> Ended:
    command = [sys.executable, "-m", "imgbatch", "run", folder, dataset]
    command += ["--recipe", RECIPE, "--engine", engine, "--json"]
    threads = {"IMGBATCH_THREADS": str(setting.threads)}
    return run_child(command, log=setting.log(name), environment=threads)


def _digits(setting: Setting) -> list[Figure]:
    """Measure a rerun with nothing to do, on Ray's engine, which must not be started for it."""
    found = next((ROOT.parent / "shared" / "corpora").rglob(DIGITS), None)
    if found is None:
        CONSOLE.print(f"bench: no {DIGITS} below ../shared/corpora: the digits are left out")
        return []
    dataset = setting.fresh("rerun-digits")
    _run(setting, "rerun-digits", found, dataset, engine="inline")
    again = [
        _run(setting, "rerun-digits", found, dataset, engine="ray") for _ in range(setting.repeats)
    ]
    seconds = tuple(ended.seconds for ended in again)
    name = "no-op rerun of 70,000 digits, all in"
    return [Figure("rerun", name, seconds, "s", high=DIGITS_SECONDS)]


def _delta(setting: Setting) -> list[Figure]:
    """Measure the full run, one with nothing to do, and one over 1% changed pictures."""
    count = min(PICTURES, setting.images)
    changed = count // EVERY
    whole, spare = photos(setting, count), photos(setting, count + changed)
    full, nothing, delta, written, held = [], [], [], [], []
    for _ in range(setting.repeats):
        folder, dataset = setting.fresh("rerun-pictures"), setting.fresh("rerun-delta")
        files = _linked(whole, folder)
        read_once(folder)
        full.append(_run(setting, "rerun", folder, dataset, engine="inline").seconds)
        nothing.append(_run(setting, "rerun", folder, dataset, engine="inline").seconds)
        before = _parts(dataset)
        for file, other in zip(files[::EVERY], _files(spare)[count:], strict=True):
            file.unlink()
            os.link(other, file)
        ended = _run(setting, "rerun", folder, dataset, engine="inline")
        _check_read(ended, changed)
        delta.append(ended.seconds)
        after = _parts(dataset)
        written.append(sum(size for part, size in after.items() if part not in before) / 1e6)
        held.append(sum(before.values()) / 1e6)
    name = f"1% of {count:,} pictures changed, in every shard"
    less = [[a - b for a, b in zip(some, nothing, strict=True)] for some in (delta, full)]
    return [
        Figure("rerun", f"{count:,} pictures, full run", tuple(full), "s"),
        Figure("rerun", f"{count:,} pictures, nothing to do", tuple(nothing), "s"),
        Figure(
            "rerun",
            f"{name}, less a run with nothing to do",
            tuple(less[0]),
            "s",
            "full run, less the same",
            tuple(less[1]),
            high=DELTA,
        ),
        Figure("rerun", f"{name}: parts written", tuple(written), "MB", "all parts", tuple(held)),
    ]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def _linked(whole: Path, folder: Path) -> list[Path]:
    """Link all pictures into a folder of their own, where some may be taken away."""
    folder.mkdir()
    files = []
    for file in _files(whole):
        os.link(file, folder / file.name)
        files.append(folder / file.name)
    return files


def _parts(dataset: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in dataset.rglob("*.parquet")}


def _check_read(ended: Ended, changed: int) -> None:
    read = ended.answer["sources"]
    if read != changed:
        raise SystemExit(f"bench: {changed} pictures were to be read, not {read}")
