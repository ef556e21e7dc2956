"""Zeeschuimer's exports: what a researcher's browser was shown, one item a line.

A line is {id, source_platform, source_platform_url, item_id, timestamp_collected, data, ...};
confirmed in its background script (the fields) and interface script (the name of the file, one JSON
object a line, without NUL escaping). `data` is the platform's own item: see `web`. The same item
may come several times, as often as it was shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps import lines
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import ref
from imgbatch.sources.dumps.posts import Counted, Gap, Post
from imgbatch.sources.dumps.values import text, text_id
from imgbatch.sources.dumps.web import Place, note_unknown, platform_of, post_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked

TITLE = "Zeeschuimer"
RECOGNISED = "lines of JSON with source_platform, item_id and data"
YIELDS = (
    "posts of X, Instagram, Threads and TikTok with the URLs of their media, and comments on them; "
    "of other platforms the ids alone"
)

ENDINGS = ("ndjson", "jsonl", "json")

Item = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the first object of a few files."""
    for name in few(dump, *ENDINGS):
        if _is_ours(lines.first(dump, name)):
            return 0.95
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the files of whose first objects one is an item of Zeeschuimer's."""
    for name in dump.metadata(*ENDINGS):
        if _is_ours(lines.first(dump, name)):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the post of each line, in order."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        for found in lines.objects(dump, name):
            if isinstance(found, Gap):
                yield found
            else:
                yield _post(found[1], name, found[0], counted)
        yield from counted.gaps()


def _is_ours(first: list[Item]) -> bool:
    return any("source_platform" in item and "data" in item for item in first)


def _post(item: Item, name: str, line: int, counted: Counted) -> Post | Gap:
    platform = text(item.get("source_platform"))
    if platform is None:
        counted.no_id("source_platform", name, line)
    place = Place(name, line, platform_of(platform or ""), counted)
    data = item.get("data")
    post = post_of(data, place) if isinstance(data, dict) else None
    if post is not None:
        return post
    # What it holds is not known here, that it is there is.
    note_unknown(data if isinstance(data, dict) else {}, place)
    post_id = text_id(item.get("item_id"))
    if post_id is None:
        return Gap("no-id", name, line, "an item without id")
    return Post(post_id, place.platform or "unknown", ref(name, line))
