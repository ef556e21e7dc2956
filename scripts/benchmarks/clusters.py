"""Clusters of a million made vectors of 512 numbers: imgbatch against faiss on the same sample.

Both are one process, all in: each reads the table, trains on the very same rows, assigns all rows
and writes labels with their distances. faiss holds all vectors in memory, imgbatch the sample and
some parts. imgbatch also ranks rows, picks exemplars and measures silhouettes in that time; that it
fits the winner with more seeds by default, to say how stable it is, is a figure of its own.

Memory has a bar where there are a million vectors or more, with the settings of PLAIN: three
quarters of the vectors. A tenth of them is the sample, which is held with a copy or two. Of fewer,
what a process takes before it reads any is too large a part to say anything.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from scripts.benchmarks.child import ROOT, Ended, module, run_child
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

BAR = 1.2
# Of the vectors' own bytes, from so many vectors on.
MEMORY_BAR, MANY = 0.75, 1_000_000
MB = 1_000_000
WIDTH, FLOAT = 512, 4
K, SAMPLE = 50, 100_000
RECIPE = "classic.toml"
PLAIN = {"table": "classic", "k": K, "sample": SAMPLE, "pca": 0}


def measure(setting: Setting) -> list[Figure]:
    """Make the vectors once, then cluster them both ways in turn, as often as asked."""
    dataset = made(setting)
    faiss, ours, default = [], [], []
    for _ in range(setting.repeats):
        faiss.append(_faiss(setting, dataset))
        ours.append(_ours(setting, dataset, {**PLAIN, "stability": 0}))
        default.append(_ours(setting, dataset, PLAIN))
    name = f"{setting.sources:,} x {WIDTH} into {K}"
    whole = setting.sources * WIDTH * FLOAT / MB
    theirs = tuple(e.seconds for e in faiss)
    peaks = tuple(e.peak_bytes / MB for e in ours)
    return [
        _figure(name, tuple(e.seconds for e in ours), theirs, BAR),
        _figure(f"{name}, stable over 5 seeds", tuple(e.seconds for e in default), theirs, None),
        Figure(
            "clusters",
            f"{name}, peak memory, sample {SAMPLE:,}, one seed",
            peaks,
            "MB",
            "the vectors",
            (whole,) * len(peaks),
            high=MEMORY_BAR if setting.sources >= MANY else None,
        ),
        Figure("clusters", "faiss, peak memory", tuple(e.peak_bytes / MB for e in faiss), "MB"),
    ]


def _figure(
    name: str, ours: tuple[float, ...], theirs: tuple[float, ...], bar: float | None
) -> Figure:
    return Figure("clusters", name, ours, "s", "faiss", theirs, high=bar)


def made(setting: Setting) -> Path:
    """Return the dataset of made vectors; it is cached beside the corpora."""
    folder = setting.corpora / f"vectors-{setting.sources}"
    if not folder.exists():
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        half.parent.mkdir(parents=True, exist_ok=True)
        recipe = ROOT / "scripts" / "benchmarks" / RECIPE
        step = module("synthetic", "fill", half, setting.sources, recipe)
        run_child(step, log=setting.log("vectors"))
        half.rename(folder)
    return folder


def _faiss(setting: Setting, dataset: Path) -> Ended:
    python = setting.out / "peers" / "bin" / "python"
    script = ROOT / "scripts" / "benchmarks" / "peer_faiss.py"
    command = [python, script, dataset, setting.fresh("faiss"), SAMPLE, K]
    environment = {"PYTHONPATH": str(ROOT)}
    ended = run_child(command, log=setting.log("faiss"), environment=environment)
    return _whole(ended, ended.answer["rows"], setting)


def _ours(setting: Setting, dataset: Path, settings: dict[str, object]) -> Ended:
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    asked = ["group", dataset, "clusters", "--anew", "--engine", "inline", "--json", *words]
    command = [sys.executable, "-m", "imgbatch", *asked]
    ended = run_child(command, log=setting.log("clusters"))
    return _whole(ended, ended.answer["grouped"], setting)


def _whole(ended: Ended, rows: int, setting: Setting) -> Ended:
    if rows != setting.sources:
        raise SystemExit(f"bench: {rows} rows of {setting.sources} have a cluster")
    return ended
