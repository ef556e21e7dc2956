"""gallery-dl's metadata: NAME.EXT.json beside each file, data.jsonl, or an info.json a gallery.

Confirmed in gallery-dl's postprocessor/metadata.py, dt.py and the extractors twitter, instagram,
reddit and tiktok (1.32, 2026-08): dates are UTC without zone; what begins with `_`, the file's URL
among it, is not written, so only Instagram's and Reddit's URLs are known; a file is numbered by
`num` from 1; a repost's text is `RT @NAME: ...`, `retweet_id` is the original's and so is `author`,
`user` is who reposts (where a timeline was asked for; else the author again); a medium's
`description` is its alternative text on X and the post's caption on Instagram; `quote_id` is the
post that quotes, not the quoted one. Which other keys there are is up to the site, so what is not
named here is taken by the words that most extractors use.

The metadata files of a post's media follow each other in the order of names, as gallery-dl names
them, and are one post here. With a file name of the user's own that parts them, such as
`{num}_{tweet_id}`, a post comes once for each part, and the parts are pieces of it. Drawback: of
parts in several folders the last one stays, as does a post that was downloaded to several.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import documents, lines
from imgbatch.sources.dumps._gallery_dl_post import Record, id_of, post_of, posts_of
from imgbatch.sources.dumps.beside import beside, together
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import base, folder
from imgbatch.sources.dumps.posts import Counted, Gap
from imgbatch.sources.dumps.values import text, text_id
from imgbatch.sources.names import claims_media
from imgbatch.storage.addresses import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked, Post

__all__ = ["PIECES", "RECOGNISED", "TITLE", "YIELDS", "files", "posts_of", "read", "recognise"]

TITLE = "gallery-dl"
RECOGNISED = (
    "files or lines of JSON with category and subcategory: NAME.EXT.json, data.jsonl, info.json"
)
YIELDS = (
    "posts of X, Instagram, Reddit, TikTok and other sites with all their files, by the name of "
    "the metadata file; reposts name their original"
)

PIECES = True

HEAD = 2**18
# Sites whose ids are known to stand in each record.
WITH_IDS = ("twitter", "instagram", "reddit", "tiktok")
NO_ID = "no key of this site holds an id"
KEYS = (re.compile(rb'"category"\s*:\s*"'), re.compile(rb'"subcategory"\s*:\s*"'))
Item = dict[str, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the heads of a few JSON files."""
    for name in few(dump, "json", "jsonl"):
        if _is_ours(dump, name):
            return 0.9
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the metadata files: by the name of a medium with .json behind, else by how they begin.

    An info.json among the metadata of single files says nothing that these do not.
    """
    for name in dump.metadata("json", "jsonl"):
        if base(name) == "info.json" and not _alone(dump, name):
            continue
        if (name.endswith(".json") and claims_media(name[:-5])) or _is_ours(dump, name):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield one post for the records of each that follow each other."""
    del asked  # nothing to choose
    counted = Counted()
    with_ids: set[str | None] = {None, *WITH_IDS}
    # Of a category whose records never have one it is no damage: links to files, for one.
    without: dict[str | None, tuple[Record, int]] = {}
    for post_id, found in groupby(_records(dump, counted), key=_key):
        if isinstance(post_id, Gap):
            yield post_id
        elif post_id[1] is None:
            for record in found:
                assert isinstance(record, Record), "a gap is its own key"
                if (category := text(record.item.get("category"))) in with_ids:
                    yield Gap("no-id", record.name, record.line, NO_ID)
                else:
                    first, count = without.get(category, (record, 0))
                    without[category] = (first, count + 1)
        else:
            records = [record for record in found if isinstance(record, Record)]
            with_ids.add(text(records[0].item.get("category")))
            yield post_of(dump, post_id[1], records, counted)
    for category, (record, count) in without.items():
        kind = "no-id" if category in with_ids else "unread"
        yield Gap(kind, record.name, record.line, NO_ID, count)
    yield from counted.gaps()


def _is_ours(dump: Dump, name: str) -> bool:
    try:
        head = dump.head(name, HEAD)
    except SourceError:
        return False
    return all(key.search(head) for key in KEYS)


def _alone(dump: Dump, name: str) -> bool:
    others = (other for other in dump.starting(folder(name)) if other.endswith(".json"))
    return not any(other != name and claims_media(other[:-5]) for other in others)


def _records(dump: Dump, counted: Counted) -> Iterator[Record | Gap]:
    for name in files(dump):
        if name.endswith(".json"):
            try:
                item = documents.whole(dump, name, counted)
            except SourceError as error:
                yield Gap(error.code, name, None, str(error)[:400])
                continue
            if not isinstance(item, dict):
                counted.no_id("no object", together(name, "json"))
            elif text(item.get("category")) is None:
                counted.no_id("category: from where the post is", together(name, "json"))
            if isinstance(item, dict):
                yield Record(name, 1, item, _medium_of(dump, name, item))
            continue
        for found in lines.objects(dump, name):
            if isinstance(found, Gap):
                yield found
            else:
                line, item = found
                yield Record(name, line, item, _named_in(name, item))


def _medium_of(dump: Dump, name: str, item: Item) -> str | None:
    """Return the medium that a metadata file stands beside, or in whose folder's folder it is."""
    stem = name.removesuffix(".json")
    if base(name) == "info.json":
        return None
    if claims_media(stem) or dump.has(stem):
        above = folder(folder(name).rstrip("/"))
        if not dump.has(stem) and dump.has(above + base(name).removesuffix(".json")):
            return above + base(stem)
        return stem
    ending = text(item.get("extension"))
    if ending and dump.has(f"{stem}.{ending}"):
        return f"{stem}.{ending}"
    return next(
        (file.name for file in beside(dump, stem) if not file.more and file.kind != "other"), None
    )


def _named_in(name: str, item: Item) -> str | None:
    """Return what gallery-dl calls a file unless it is told otherwise, for a line of data.jsonl."""
    ending = text(item.get("extension"))
    tweet, place = text_id(item.get("tweet_id")), text_id(item.get("num"))
    medium, carousel = text_id(item.get("media_id")), text_id(item.get("sidecar_media_id"))
    if tweet and place and ending:
        stem = f"{tweet}_{place}"
    elif medium and ending:
        stem = f"{carousel}_{medium}" if carousel else medium
    else:
        return None
    return folder(name) + quote(f"{stem}.{ending}")


def _key(record: Record | Gap) -> Gap | tuple[str, str | None]:
    """Return what the records of one post have in common: folder and id."""
    if isinstance(record, Gap):
        return record
    return folder(record.name), id_of(record.item)
