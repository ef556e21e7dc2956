"""A way and a dump in; how many posts were read, and how long that took, out.

Run as a process of its own, as `dumps_read WAY FORMAT FOLDER`, WAY one of

    posts   imgbatch: from the folder to tidy posts, as the posts step takes them
    bare    the shortest loop that streams the same file: `json.loads` of each line; of a document
            ijson over its items; of CSV `csv.DictReader`; nothing is done with what comes
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import ijson
import zstandard

from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump, Post

if TYPE_CHECKING:
    from collections.abc import Iterator

# Before its first bracket a file of X's archive has an assignment.
BEFORE = {"x-archive": len("window.YTD.tweets.part0 = ")}
ITEMS = {"telegram": "messages.item", "x-archive": "item"}


def main(way: str, form: str, folder: Path) -> None:
    """Read, and say so."""
    start = time.perf_counter()
    count = _posts(form, folder) if way == "posts" else _bare(form, folder)
    said = {"posts": count, "seconds": time.perf_counter() - start}
    sys.stdout.write(json.dumps(said) + "\n")


def _posts(form: str, folder: Path) -> int:
    dump = Dump.at(str(folder))
    name = form.partition(".")[0]
    return sum(isinstance(found, Post) for _, found in dumps.read_all(dump, [name]))


def _bare(form: str, folder: Path) -> int:
    (path,) = [found for found in folder.rglob("*") if found.is_file()]
    with path.open("rb", buffering=2**18) as file:
        if form in ITEMS:
            file.seek(BEFORE.get(form, 0))
            return sum(1 for _ in ijson.items(file, ITEMS[form], buf_size=2**16, use_float=True))
        if path.suffix == ".csv":
            return sum(1 for _ in csv.DictReader(io.TextIOWrapper(file, "utf-8", newline="")))
        return sum(len(row["data"]) if form == "twarc2" else 1 for row in _rows(path, file))


def _rows(path: Path, file: BinaryIO) -> Iterator[dict[str, list[object]]]:
    lines = file
    if path.suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(file)
        lines = cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", reader), 2**18))
    for line in lines:
        yield json.loads(line)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
