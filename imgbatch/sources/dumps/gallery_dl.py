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
them, and are one post here. Drawback: with a file name of the user's own that parts them, a post
comes once for each part.
"""

from __future__ import annotations

import base64
import re
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import documents, lines
from imgbatch.sources.dumps.beside import beside, kind_of, together
from imgbatch.sources.dumps.names import base, folder, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import (
    at,
    count,
    iso_time,
    number,
    text,
    text_id,
    unix_time,
)
from imgbatch.sources.names import claims_media
from imgbatch.storage.addresses import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked

TITLE = "gallery-dl"
RECOGNISED = (
    "files or lines of JSON with category and subcategory: NAME.EXT.json, data.jsonl, info.json"
)
YIELDS = (
    "posts of X, Instagram, Reddit, TikTok and other sites with all their files, by the name of "
    "the metadata file; reposts name their original"
)

HEAD = 2**18
LOOKED_AT = 20
KEYS = (re.compile(rb'"category"\s*:\s*"'), re.compile(rb'"subcategory"\s*:\s*"'))
PLATFORMS = {"twitter": "x"}
DIGITS = re.compile(r"^\d+$")
# {tweet_id}_{num}, {sidecar_media_id}_{media_id}, {id}_{num}, {id} {num} {title}: the id is first.
NUMBERED = re.compile(r"^(\d{5,})(_\d+)?$")
REDDIT = re.compile(r"^([a-z0-9]{5,8}) (?:\d\d )?\S")
NO_POST = ("info", "metadata")
METRICS = (
    "favorite_count", "quote_count", "reply_count", "retweet_count", "bookmark_count", "view_count",
    "likes", "like_count", "comment_count", "repost_count", "reblogs_count", "favourites_count",
    "replies_count", "score", "ups", "num_comments", "num_crossposts",
)  # fmt: skip
STATS = ("diggCount", "shareCount", "commentCount", "playCount", "collectCount")

Item = dict[str, Any]


class Record(NamedTuple):
    """What gallery-dl wrote of one file.

    Attributes:
        name: the metadata file.
        line: in it, from 1.
        file: the medium's name in the dump; None where it is of a whole post.
    """

    name: str
    line: int
    item: Item
    file: str | None


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the heads of the first JSON files."""
    for name in islice(dump.metadata("json", "jsonl"), LOOKED_AT):
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
    for post_id, found in groupby(_records(dump, counted), key=_key):
        if isinstance(post_id, Gap):
            yield post_id
        elif post_id[1] is None:
            for record in found:
                assert isinstance(record, Record), "a gap is its own key"
                yield Gap("no-id", record.name, record.line, "no key of this site holds an id")
        else:
            records = [record for record in found if isinstance(record, Record)]
            yield _post(dump, post_id[1], records, counted)
    yield from counted.gaps()


def posts_of(name: str) -> str | None:
    """Return the post's id in a file's name; Instagram's numbers as their shortcodes."""
    stem = unquote(base(name)).partition(".")[0]
    found = NUMBERED.match(stem)
    if found:
        instagram = "/instagram/" in f"/{name}"
        return shortcode(int(found[1])) if instagram else found[1]
    found = REDDIT.match(stem) if "/reddit/" in f"/{name}" else None
    return found[1] if found else None


def shortcode(media_id: int) -> str | None:
    """Return what Instagram's addresses call a medium: its number in base 64, `-` and `_` last."""
    if media_id >= 2**64:
        return None
    return base64.urlsafe_b64encode(media_id.to_bytes(9, "big")).decode().lstrip("A") or None


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
                item = documents.whole(dump, name)
            except SourceError as error:
                yield Gap(error.code, name, None, str(error)[:400])
                continue
            if not isinstance(item, dict) or "category" not in item:
                counted.missing("category", together(name, "json"))
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
    return folder(record.name), _id(record.item)


def _id(item: Item) -> str | None:
    keys = ("tweet_id", "post_shortcode", "post_id", "status_id", "id", "gallery_id", "shortcode")
    return next((found for key in keys if (found := text_id(item.get(key)))), None)


def _post(dump: Dump, post_id: str, records: list[Record], counted: Counted) -> Post:
    name, line, item, _ = records[0]
    place = together(name, "json") if name.endswith(".json") else name
    category = text(item.get("category")) or "unknown"
    created, source = _time(item, place, counted)
    original = _other(item.get("retweet_id"))
    repost_of = _crossposted(item) if original in (None, post_id) else original
    author_id, author_name = _reposter(item) if repost_of and original else _author(item)
    for field, value in (("author's id", author_id), ("author's name", author_name)):
        if value is None:
            counted.missing(field, place)
    return Post(
        post_id=post_id,
        platform=PLATFORMS.get(category, category),
        raw_ref=ref(name, line),
        author_id=author_id,
        author_name=author_name,
        created_at=created,
        time_source=source,
        text=_text(item),
        lang=text(item.get("lang")),
        url=_url(item, post_id, author_name),
        reply_to=_other(item.get("reply_id")),
        repost_of=repost_of,
        metrics=_metrics(item),
        media=tuple(_media(dump, records)),
    )


def _other(value: Any) -> str | None:
    """Return another post's id; gallery-dl writes 0 where there is none."""
    found = text_id(value)
    return None if found == "0" else found


def _crossposted(item: Item) -> str | None:
    return (text(item.get("crosspost_parent")) or "").removeprefix("t3_") or None


def _time(item: Item, place: str, counted: Counted) -> tuple[Any, str]:
    for key in ("post_date", "date"):
        created = iso_time(item.get(key))
        if created is not None:
            return created, key
        if item.get(key) is not None:
            counted.bad(key, place)
    for key in ("created_utc", "createTime"):
        created = unix_time(item.get(key))
        if created is not None:
            return created, key
    counted.missing("date", place)
    return None, ""


def _author(item: Item) -> tuple[str | None, str | None]:
    """Return id and name: they stand in the item, or in an object, or there is just a name."""
    found_id = text_id(item.get("owner_id")) or text_id(item.get("author_fullname"))
    found_name = text(item.get("username"))
    for key in ("author", "user", "owner", "account", "uploader"):
        value = item.get(key)
        if isinstance(value, dict):
            found_id = found_id or text_id(value.get("id")) or text_id(value.get("did"))
            for word in ("name", "username", "uniqueId", "handle", "acct"):
                found_name = found_name or text(value.get(word))
        else:
            found_name = found_name or text(value)
    return found_id, found_name


def _reposter(item: Item) -> tuple[str | None, str | None]:
    """Return who reposts; unknown where the original's author stands in that place too."""
    found = text_id(at(item, "user", "id"))
    if found is None or found == text_id(at(item, "author", "id")):
        return None, None
    return found, text(at(item, "user", "name"))


def _text(item: Item) -> str | None:
    if item.get("category") == "reddit":
        parts = [text(item.get("title")), text(item.get("selftext")) or text(item.get("body"))]
        return "\n\n".join(part for part in parts if part) or None
    keys = ["content", "desc", "caption", "text", "title"]
    if item.get("category") != "twitter":
        keys.insert(1, "description")
    return next((found for key in keys if (found := text(item.get(key)))), None)


def _url(item: Item, post_id: str, author_name: str | None) -> str | None:
    category = item.get("category")
    if category == "twitter":
        return f"https://x.com/{author_name or 'i'}/status/{post_id}"
    permalink = text(item.get("permalink"))
    if category == "reddit" and permalink:
        return f"https://www.reddit.com{permalink}"
    return text(item.get("post_url")) or text(item.get("webpage_url"))


def _metrics(item: Item) -> dict[str, int]:
    found = {key: count(item.get(key)) for key in METRICS}
    found |= {key: count(at(item, "stats", key)) for key in STATS}
    return {key: value for key, value in found.items() if value is not None}


def _media(dump: Dump, records: list[Record]) -> Iterator[Media]:
    """Yield the files in the order of their numbers, those without one in that of their names."""
    ordered = sorted(records, key=lambda record: count(record.item.get("num")) or 0)
    index = 0
    for name, _, item, file in ordered:
        if file is None and base(name) == "info.json":
            for lying in _of_gallery(dump, name, item):
                yield Media(index, kind_of(lying), path=unquote(base(lying)))
                index += 1
        elif file is not None:
            yield _medium(index, name, item, file)
            index += 1
        elif _is_medium(item):
            yield _medium(index, name, item, None)
            index += 1


def _is_medium(item: Item) -> bool:
    return any(item.get(key) for key in ("num", "media_id", "extension", "display_url"))


def _of_gallery(dump: Dump, name: str, item: Item) -> Iterator[str]:
    """Yield the media beside an info.json whose names begin with the post's id."""
    found = _id(item)
    for lying in dump.starting(folder(name)):
        if "/" not in lying[len(folder(name)) :] and found and posts_of(lying) == found:
            yield lying


def _medium(index: int, name: str, item: Item, file: str | None) -> Media:
    path = None
    if file is not None:
        above = folder(file) != folder(name)
        path = ("../" if above else "") + unquote(base(file))
    ending = text(item.get("extension")) or ""
    kind = kind_of(path or f"x.{ending}")
    url = text(item.get("video_url")) if kind == "video" else text(item.get("display_url"))
    if item.get("category") == "reddit" and not item.get("num"):
        url = text(item.get("url"))  # of a gallery it is the page
    alt = text(item.get("description")) if item.get("category") == "twitter" else None
    return Media(
        index,
        kind,
        url=url,
        path=path,
        key=text_id(item.get("media_key"))
        or text_id(item.get("media_id"))
        or text_id(item.get("file_id")),
        width=count(item.get("width")) or None,
        height=count(item.get("height")) or None,
        duration=number(item.get("duration")) or None,
        alt_text=alt or text(item.get("alt_text")) or text(item.get("alt")),
    )
