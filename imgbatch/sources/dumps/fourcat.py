"""4CAT: datasets as CSV or NDJSON, and the zips of images, videos and frames made from them.

CSV has the columns id, thread_id, timestamp, author, body and, by platform, where media are; NDJSON
the platform's own items with `__import_meta` (see `web`). Each zip of media says in .metadata.json
which file is of which posts. Confirmed in 4CAT's own modules: the columns of X, Instagram, TikTok,
Threads and Bluesky, `map_item`, and what the downloaders write into .metadata.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import lines, separated, zips_4cat
from imgbatch.sources.dumps.csv_4cat import Rows, host_of
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import base, ending
from imgbatch.sources.dumps.posts import Counted, Gap, Post
from imgbatch.sources.dumps.values import at, text, text_id
from imgbatch.sources.dumps.web import Place, note_unknown, platform_of, post_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.linked import Linked
    from imgbatch.sources.dumps.posts import Asked

TITLE = "4CAT"
RECOGNISED = "CSV with id, thread_id, timestamp and body; NDJSON with __import_meta; .metadata.json"
YIELDS = (
    "posts of any platform; media by URL from their columns, and the files of image and video zips "
    "by .metadata.json, frames of videos included"
)

ENDINGS = ("csv", "ndjson", "jsonl", "json")
BESIDE = ".metadata.json"
HEAD = 2**16
WANTED = {"id", "thread_id", "body"}
TIMES = {"timestamp", "unix_timestamp", "created_at"}

Item = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the columns, first object or first bytes of a few files."""
    for name in few(dump, *ENDINGS):
        if _form(dump, name):
            return 0.9
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the datasets, and the .metadata.json of zips."""
    for name in dump.metadata(*ENDINGS):
        if _form(dump, name):
            yield name


def links(dump: Dump) -> Iterator[str]:
    """Yield the .metadata.json of zips alone."""
    for name in dump.metadata("json"):
        if base(name) == BESIDE and _form(dump, name):
            yield name


def link(dump: Dump, linked: Linked) -> Iterator[Gap]:
    """Note which files of all zips are of which posts; yield what cannot be read of it."""
    for name in links(dump):
        yield from zips_4cat.link(dump, name, linked)


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the posts of all datasets."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        form = _form(dump, name)
        if form == "csv":
            yield from _table(dump, name, counted)
        elif form == "json":
            yield from _items(dump, name, counted)
        yield from counted.gaps()


def _form(dump: Dump, name: str) -> str:
    """Return what a file is: csv, json, beside (.metadata.json), or "" for none of ours."""
    try:
        return _looked_at(dump, name)
    except SourceError:
        return ""


def _looked_at(dump: Dump, name: str) -> str:
    if base(name) == BESIDE:
        return "beside" if b"post_ids" in dump.head(name, HEAD) else ""
    if ending(name) == "csv":
        names = set(separated.header(dump, name))
        return "csv" if names >= WANTED and names & TIMES else ""
    return "json" if any(map(_is_item, lines.first(dump, name))) else ""


def _is_item(item: Item) -> bool:
    return isinstance(item.get("__import_meta"), dict) or "4CAT_metadata" in item


def _table(dump: Dump, name: str, counted: Counted) -> Iterator[Post | Gap]:
    table = Rows(name, separated.header(dump, name), counted)
    for found in separated.rows(dump, name):
        made = found if isinstance(found, Gap) else table.post(*found)
        if made is not None:
            yield made


def _items(dump: Dump, name: str, counted: Counted) -> Iterator[Post | Gap]:
    for found in lines.objects(dump, name):
        if isinstance(found, Gap):
            yield found
            continue
        line, item = found
        meta = item.get("__import_meta")
        platform = text(at(meta, "source_platform"))
        if platform is None:
            host = host_of(text(at(meta, "source_platform_url")) or "")
            platform = host or base(name).partition("-")[0]
        place = Place(name, line, platform_of(platform), counted)
        yield post_of(item, place) or _bare(item, place)


def _bare(item: Item, place: Place) -> Post | Gap:
    """Return a post of which only the id is known."""
    note_unknown(item, place)
    post_id = (
        text_id(item.get("id"))
        or text_id(item.get("uri"))
        or text_id(at(item, "__import_meta", "item_id"))
    )
    if post_id is None:
        return Gap("no-id", place.name, place.line, "an item without id")
    return Post(post_id, place.platform or "unknown", place.ref)
