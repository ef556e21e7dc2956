"""4CAT: datasets as CSV or NDJSON, and the zips of images, videos and frames made from them.

CSV has the columns id, thread_id, timestamp, author, body and, by platform, where media are; NDJSON
the platform's own items with `__import_meta` (see `web`). Each zip of media says in .metadata.json
which file is of which posts. Confirmed in 4CAT's own modules: the columns of X, Instagram, TikTok,
Threads and Bluesky, `map_item`, and what the downloaders write into .metadata.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import lines, separated
from imgbatch.sources.dumps.csv_4cat import Rows, host_of
from imgbatch.sources.dumps.names import base, ending, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Post
from imgbatch.sources.dumps.values import at, text, text_id
from imgbatch.sources.dumps.web import Place, note_unknown, platform_of, post_of
from imgbatch.sources.dumps.zips_4cat import Linked, linked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked

TITLE = "4CAT"
RECOGNISED = "CSV with id, thread_id, timestamp and body; NDJSON with __import_meta; .metadata.json"
YIELDS = (
    "posts of any platform; media by URL from their columns, and the files of image and video zips "
    "by .metadata.json, frames of videos included"
)

ENDINGS = ("csv", "ndjson", "jsonl", "json")
BESIDE = ".metadata.json"
LOOKED_AT = 20
HEAD = 2**16
WANTED = {"id", "thread_id", "body"}
TIMES = {"timestamp", "unix_timestamp", "created_at"}

Item = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the columns, first object or first bytes of the first files."""
    for looked, name in enumerate(dump.metadata(*ENDINGS)):
        if looked == LOOKED_AT:
            break
        if _form(dump, name):
            return 0.9
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the datasets, and the .metadata.json of zips."""
    for name in dump.metadata(*ENDINGS):
        if _form(dump, name):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the posts of all datasets with the files of all zips; then those of zips alone."""
    del asked  # nothing to choose
    counted = Counted()
    zips = Linked()
    try:
        for name in files(dump):
            if _form(dump, name) == "beside":
                yield from linked(dump, name, zips)
        for name in files(dump):
            form = _form(dump, name)
            if form == "csv":
                yield from _table(dump, name, zips, counted)
            elif form == "json":
                yield from _items(dump, name, zips, counted)
            yield from counted.gaps()
        yield from _unnamed(zips)
    finally:
        zips.close()


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
    first = lines.first(dump, name)
    return "json" if first is not None and _is_item(first) else ""


def _is_item(item: Item) -> bool:
    return isinstance(item.get("__import_meta"), dict) or "4CAT_metadata" in item


def _table(dump: Dump, name: str, zips: Linked, counted: Counted) -> Iterator[Post | Gap]:
    table = Rows(name, separated.header(dump, name), counted)
    for found in separated.rows(dump, name):
        if isinstance(found, Gap):
            yield found
        else:
            post = table.post(*found)
            yield post if zips.empty or isinstance(post, Gap) else _joined(post, zips)


def _items(dump: Dump, name: str, zips: Linked, counted: Counted) -> Iterator[Post | Gap]:
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
        post = post_of(item, place) or _bare(item, place)
        yield post if zips.empty or isinstance(post, Gap) else _joined(post, zips)


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


def _joined(post: Post, zips: Linked) -> Post:
    """Give a post the files that zips say are its own: by URL, else as further media."""
    files = zips.take(post.post_id)
    if not files:
        return post
    by_url = {medium.url: medium for medium in files if medium.url}
    named = [by_url.get(medium.url or "") for medium in post.media]
    media = [
        medium if file is None else replace(medium, path=file.path, status=file.status)
        for medium, file in zip(post.media, named, strict=True)
    ]
    # Covers and frames, and what a row does not show of a video with several files.
    media += [medium for medium in files if all(medium is not file for file in named)]
    post.media = tuple(replace(medium, index=index) for index, medium in enumerate(media))
    return post


def _unnamed(zips: Linked) -> Iterator[Post]:
    """Yield the posts that zips name and no dataset here holds, with nothing but their files."""
    for post_id, name, line in zips.left():
        yield Post(post_id, "unknown", ref(name, line), media=tuple(zips.files(post_id)))
