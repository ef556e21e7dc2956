"""How fast the objects of a bucket become a manifest, against the server's own limit.

That limit is what a bare client gets that lists and counts, page by page, in the same round: the
faster of two. The dataset is in the bucket too.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.report import Figure
from scripts.benchmarks.server import BUCKET, s3_server

if TYPE_CHECKING:
    from scripts.benchmarks.server import Server
    from scripts.benchmarks.setting import Setting

BAR = 20_000
# What counts as the server's own limit: listing alone takes so much of the time of all.
NEAR = 0.8
TINY = f"s3://{BUCKET}/tiny"


def measure(setting: Setting) -> list[Figure]:
    """Put the objects, then list them in three ways in turn."""
    rates: dict[str, list[float]] = {"boto3": [], "obstore": [], "manifest": []}
    with s3_server(setting) as server:
        put = module("objects", "tiny", setting.objects, BUCKET, "tiny")
        run_child(put, log=setting.log("listing"), environment=server.environment)
        for number in range(setting.repeats):
            for way, found in rates.items():
                words = [f"s3://{BUCKET}/dataset-{number}"] if way == "manifest" else []
                found.append(_rate(setting, server, way, words))
    bare = {way: median(rates[way]) for way in ("boto3", "obstore")}
    faster = max(bare, key=lambda way: bare[way])
    name = f"{setting.objects:,} objects of {server.name}"
    return [
        *(
            Figure("listing", f"{name}, bare listing, {way}", tuple(rates[way]), "objects/s")
            for way in bare
        ),
        Figure(
            "listing",
            f"{name}, into a manifest (the server alone: {bare[faster]:,.0f}/s)",
            tuple(rates["manifest"]),
            "objects/s",
            low=round(min(BAR, NEAR * bare[faster])),
        ),
    ]


def _rate(setting: Setting, server: Server, way: str, words: list[str]) -> float:
    command = module("frozen", way, TINY, *words)
    answer = run_child(
        command, log=setting.log(f"listing-{way}"), environment=server.environment
    ).answer
    if answer["objects"] != setting.objects:
        raise SystemExit(f"bench: {way} listed {answer['objects']} of {setting.objects} objects")
    return float(answer["objects"] / answer["seconds"])
