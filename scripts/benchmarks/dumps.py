"""How fast the dumps of each large format become posts, and in how much memory.

Against the shortest loop that streams the same file (`dumps_read`), in turn, and against a dump of
a tenth of the posts: memory must not grow with a dump. The kernel counts it, for the whole process.
The bar is one for JSON; of CSV the figures are there to be known.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.child import Ended
    from scripts.benchmarks.setting import Setting

FORMS = (
    "reddit", "twarc2", "zeeschuimer", "4cat", "telegram", "x-archive", "tiktok-research", "table",
    "table.csv",
)  # fmt: skip
SEPARATED = ("4cat", "table.csv")
MB = 1_000_000
FEWER = 10
SHARE = 0.5
SAME = 1.1


def measure(setting: Setting) -> list[Figure]:
    """Make, read and remove a dump of each format after the other: they take gigabytes."""
    return [figure for form in FORMS for figure in _measure(setting, form)]


def _measure(setting: Setting, form: str) -> list[Figure]:
    count = setting.posts
    many, few = (_made(setting, form, n) for n in (count, count // FEWER))
    rates: dict[str, list[float]] = {"posts": [], "bare": []}
    peaks: dict[int, list[float]] = {count: [], count // FEWER: []}
    for _ in range(setting.repeats):
        for way, found in rates.items():
            ended = _read(setting, way, form, many, count)
            found.append(count / ended.answer["seconds"])
            if way == "posts":
                peaks[count].append(ended.peak_bytes / MB)
        ended = _read(setting, "posts", form, few, count // FEWER)
        peaks[count // FEWER].append(ended.peak_bytes / MB)
    shutil.rmtree(many)
    shutil.rmtree(few)
    return _figures(form, count, rates, peaks)


def _figures(
    form: str, count: int, rates: dict[str, list[float]], peaks: dict[int, list[float]]
) -> list[Figure]:
    return [
        Figure(
            "dumps",
            f"{form}, {count:,} posts",
            tuple(rates["posts"]),
            "posts/s",
            "bare loop",
            tuple(rates["bare"]),
            low=None if form in SEPARATED else SHARE,
        ),
        Figure(
            "dumps",
            f"{form}, peak memory",
            tuple(peaks[count]),
            "MB",
            f"{count // FEWER:,} posts",
            tuple(peaks[count // FEWER]),
            high=SAME,
        ),
    ]


def _made(setting: Setting, form: str, count: int) -> Path:
    folder = setting.fresh(f"dumps-{form}-{count}")
    run_child(module("dumps_made", form, folder, count), log=setting.log("dumps"))
    return folder


def _read(setting: Setting, way: str, form: str, folder: Path, count: int) -> Ended:
    ended = run_child(module("dumps_read", way, form, folder), log=setting.log("dumps"))
    if ended.answer["posts"] != count:
        raise SystemExit(f"bench: {way} found {ended.answer['posts']} of {count} posts of {form}")
    return ended
