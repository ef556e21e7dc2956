"""The command line: sections in, a table and bench.json out; exit code 1 when a bar is missed."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from scripts.benchmarks import (
    clusters,
    dumps,
    duplicates,
    faces,
    fetch,
    gpu,
    images,
    listing,
    memory,
    models,
    peers,
    plan,
    report,
    rerun,
    s3,
    scale,
    search,
    shards,
    start,
    video,
    workers,
)
from scripts.benchmarks.setting import Setting

SECTIONS = {
    "start": start.measure,
    "images": images.measure,
    "peers": peers.measure,
    "video": video.measure,
    "memory": memory.measure,
    "plan": plan.measure,
    "scale": scale.measure,
    "rerun": rerun.measure,
    "s3": s3.measure,
    "workers": workers.measure,
    "shards": shards.measure,
    "listing": listing.measure,
    "duplicates": duplicates.measure,
    "models": models.measure,
    "gpu": gpu.measure,
    "search": search.measure,
    "faces": faces.measure,
    "clusters": clusters.measure,
    "dumps": dumps.measure,
    "fetch": fetch.measure,
}


def main() -> int:
    """Measure what is asked for; return the exit code."""
    arguments = _arguments()
    setting = Setting(
        out=Path(os.environ.get("BENCH_OUT", "bench-out")).absolute(),
        images=arguments.images,
        repeats=arguments.repeats,
        threads=len(os.sched_getaffinity(0)),
        named=frozenset(arguments.sections),
        sources=arguments.sources,
        shards=arguments.shards,
        objects=arguments.objects,
        posts=arguments.posts,
    )
    figures = []
    for name in arguments.sections or SECTIONS:
        report.CONSOLE.print(f"bench: {name}, load {os.getloadavg()[0]:.1f}")
        figures += SECTIONS[name](setting)
    report.show(figures)
    path = setting.out / "bench.json"
    report.save(figures, setting, path)
    report.CONSOLE.print(f"every single value: {path}")
    return 1 if any(figure.passed is False for figure in figures) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=report.__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default"
    )
    parser.add_argument("--images", type=int, default=20_000, help="JPEGs; fewer for a quick look")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of each section")
    parser.add_argument("--sources", type=int, default=1_000_000, help="sources that are planned")
    parser.add_argument("--shards", type=int, default=20_000, help="empty shards on Ray")
    parser.add_argument("--objects", type=int, default=200_000, help="objects that are listed")
    parser.add_argument("--posts", type=int, default=1_000_000, help="posts of a dump")
    arguments = parser.parse_args()
    for name in arguments.sections:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}; there are {', '.join(SECTIONS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
