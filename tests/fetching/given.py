"""A dump that links to media, and what a fetch of it came to."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from imgbatch import fetching
from imgbatch.fetching import FetchSettings, Wish
from imgbatch.fetching.reach import Checked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

QUICK = {"rate": 1000.0, "per_host": 32, "connect_seconds": 5.0, "seconds": 5.0}
HERE = ipaddress.ip_address("127.0.0.1")


def dump(folder: Path, posts: Iterable[Iterable[str]]) -> Path:
    """Write a dump, as twarc2 flattens it, of one post for each list of URLs of pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, urls in enumerate(posts):
        media = [{"media_key": f"3_{i}", "type": "photo", "url": url} for i, url in enumerate(urls)]
        post = {
            "id": str(10**18 + number),
            "text": f"post {number}",
            "author_id": "7",
            "author": {"id": "7", "username": "ada"},
            "created_at": "2026-11-02T10:00:00.000Z",
            "conversation_id": str(10**18 + number),
            "public_metrics": {"like_count": number},
            "attachments": {"media_keys": [m["media_key"] for m in media], "media": media},
        }
        lines.append(json.dumps(post))
    (folder / "tweets.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def only_here() -> Checked:
    """Take 127.0.0.1 for the public net and every other address for a private one."""
    return Checked(lambda address: address == HERE)


def fetch(source: Path, out: Path, backend: Checked | None = None, **settings: Any) -> Any:
    """Fetch a dump; return what it came to."""
    wish = Wish(str(source), str(out), FetchSettings(**{**QUICK, **settings}))
    return fetching.fetch(wish, backend=backend or only_here())


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """Return the outcomes by URL."""
    found: list[dict[str, Any]] = pq.read_table(out / "fetched" / "outcomes.parquet").to_pylist()
    assert lines(out / "fetched" / "outcomes.jsonl") == found
    return {row["url"]: row for row in found}


def posts(out: Path) -> list[dict[str, Any]]:
    """Return the lines of posts.jsonl."""
    return lines(out / "posts.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().split("\n") if line]
