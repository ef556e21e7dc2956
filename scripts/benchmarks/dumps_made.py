"""A format, a folder and a count in; a dump of so many made-up posts out.

Run as a process of its own, as `dumps_made FORMAT FOLDER COUNT`. All posts have ids, authors and
times of their own; in some formats every tenth shows several media and every seventh a video. They
have what a platform adds to each post and nobody reads, so that they are about as large as real
ones: a submission of Reddit 3 KB, a post of X's API 4 KB with its share of a page, one in X's own
archive 3 KB, an item of Instagram 7 KB, a row of 4CAT 0.8 KB, a message of Telegram 0.6 KB. Two
documents are laid out as their exporters do: Telegram indents by one blank, X by two.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import textwrap
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import zstandard

from scripts.benchmarks.dumps_rows import (
    archived,
    collected,
    mapped,
    message,
    photo,
    posted,
    submission,
    tweet,
    video,
)
from scripts.benchmarks.dumps_silent import PROFILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = 100


def main(form: str, folder: Path, count: int) -> None:
    """Write one dump."""
    folder.mkdir(parents=True)
    name, write = FORMS[form]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw:
        packed = zstandard.ZstdCompressor(level=1).stream_writer(raw) if ".zst" in name else raw
        with io.TextIOWrapper(packed, "utf-8", write_through=False) as out:
            write(out, count)
    sys.stdout.write(json.dumps({"bytes": path.stat().st_size}) + "\n")


def by_line(row: Callable[[int], Any]) -> Callable[[TextIO, int], None]:
    """Return what writes one JSON object a line."""

    def write(out: TextIO, count: int) -> None:
        out.writelines(
            json.dumps(row(number), ensure_ascii=False, separators=(",", ":")) + "\n"
            for number in range(count)
        )

    return write


def as_list(
    before: str, row: Callable[[int], Any], after: str, *, indent: int, colon: str
) -> Callable[[TextIO, int], None]:
    """Return what writes one JSON document with a list, laid out as its exporter does."""

    def write(out: TextIO, count: int) -> None:
        out.write(before)
        for number in range(count):
            said = json.dumps(
                row(number), ensure_ascii=False, indent=indent, separators=(",", colon)
            )
            out.write((",\n" if number else "") + textwrap.indent(said, "  "))
        out.write(after)

    return write


def pages(out: TextIO, count: int) -> None:
    """Write pages of X's API as twarc2 does."""
    numbers: Iterator[int] = iter(range(count))
    while page := list(islice(numbers, PAGE)):
        media = [photo(number) for number in page]
        users = {number % 9973 for number in page}
        whole = {
            "data": [tweet(number) for number in page],
            "includes": {
                "users": [
                    PROFILE | {"id": str(user), "name": f"User {user}", "username": f"user{user}"}
                    for user in sorted(users)
                ],
                "media": media,
            },
            "meta": {"result_count": len(page), "newest_id": "1"},
            "__twarc": {"version": "2.14.0"},
        }
        out.write(json.dumps(whole) + "\n")


def separated(row: Callable[[int], dict[str, Any]]) -> Callable[[TextIO, int], None]:
    """Return what writes CSV."""

    def write(out: TextIO, count: int) -> None:
        writer = csv.DictWriter(out, row(1), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row(number) for number in range(count))

    return write


def plain(number: int) -> dict[str, Any]:
    """Return a row of somebody's own CSV: one picture each."""
    row = posted(number)
    return row | {"text": row["text"] + ', "so"', "image": f"media/{number}_0.jpg"}


CHAT = '{\n "name": "Sky",\n "type": "public_channel",\n "id": 7,\n "messages": [\n'
SCRIPT = "window.YTD.tweets.part0 = [\n"
# By name in the bench: the file that is written, and what writes it.
FORMS: dict[str, tuple[str, Callable[[TextIO, int], None]]] = {
    "reddit": ("RS_2023-12.zst", by_line(submission)),
    "twarc2": ("results.jsonl", pages),
    "zeeschuimer": ("zeeschuimer-export-instagram.com-1.ndjson", by_line(collected)),
    "4cat": ("twitter-search-0a1b2c.csv", separated(mapped)),
    "telegram": ("result.json", as_list(CHAT, message, "\n ]\n}\n", indent=1, colon=": ")),
    "x-archive": ("data/tweets.js", as_list(SCRIPT, archived, "\n]\n", indent=2, colon=" : ")),
    "tiktok-research": ("videos.jsonl", by_line(video)),
    "table": ("posts.jsonl", by_line(posted)),
    "table.csv": ("posts.csv", separated(plain)),
}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
