"""A bucket in; how fast its objects are listed, bare and into a manifest.

Run as a process of its own: `frozen boto3|obstore URL` lists and counts; `frozen manifest URL
DATASET` is a run that is cut off when its manifest is committed, from the listing's first request.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import boto3
import obstore

from imgbatch import run as driver
from imgbatch.settings import Limits
from imgbatch.summary import Request
from scripts.benchmarks.silent import Silent

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from imgbatch.messages import Finished, Job, Task, Tick

RECIPE = "[analyzers.image]"


def by_boto3(bucket: str, prefix: str) -> int:
    """Count objects through boto3's paginator."""
    pages = boto3.client("s3").get_paginator("list_objects_v2")
    return sum(len(page["Contents"]) for page in pages.paginate(Bucket=bucket, Prefix=prefix))


def by_obstore(bucket: str, prefix: str) -> int:
    """Count objects through obstore, page by page, and look at none."""
    store = obstore.store.from_url(f"s3://{bucket}")
    return sum(len(page) for page in obstore.list(store, prefix=prefix, chunk_size=1000))


def by_run(url: str, dataset: str) -> int:
    """List into a manifest and commit it; returns the number of its sources."""

    def leave(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:  # noqa: ARG001 - an engine's arguments
        yield from ()

    summary = driver.run(Request(url, dataset, RECIPE, "bench"), Limits(), leave, Silent())
    return summary.new


def main(way: str, url: str, dataset: str = "") -> None:
    """Do one way; prints objects and seconds."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    start = time.perf_counter()
    if way == "manifest":
        count = by_run(url, dataset)
    else:
        count = {"boto3": by_boto3, "obstore": by_obstore}[way](bucket, f"{prefix}/")
    print(json.dumps({"objects": count, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
