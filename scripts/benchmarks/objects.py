"""A folder in, its files in a bucket out; or a count in, so many objects of a few bytes out.

Run as a process of its own: `objects copy FOLDER BUCKET PREFIX` or `objects tiny COUNT BUCKET
PREFIX`. The bucket is made when it is not there.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

THREADS = 16
PER_FOLDER = 1000
AT_ONCE = 10_000


def copy(folder: Path) -> Iterable[tuple[str, Path]]:
    """Return what is to be put: each file by its name below the folder."""
    return ((str(file.relative_to(folder)), file) for file in sorted(folder.rglob("*.jpg")))


def tiny(count: int) -> Iterable[tuple[str, bytes]]:
    """Return what is to be put: so many objects, a thousand to a folder."""
    return ((f"{n // PER_FOLDER:05d}/{n % PER_FOLDER:03d}.jpg", b"%d" % n) for n in range(count))


def main(what: str, of: str, bucket: str, prefix: str) -> None:
    """Put all objects, several at a time."""
    client = boto3.client("s3")
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=bucket)
    store = open_store(f"s3://{bucket}/{prefix}")

    def put(item: tuple[str, Path | bytes]) -> None:
        name, given = item
        store.put(name, given.read_bytes() if isinstance(given, Path) else given)

    found: Iterable[tuple[str, Path | bytes]]
    found = copy(Path(of)) if what == "copy" else tiny(int(of))
    items = iter(found)
    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(itertools.islice(items, AT_ONCE)):
            for _ in pool.map(put, some):
                continue


if __name__ == "__main__":
    main(*sys.argv[1:])
