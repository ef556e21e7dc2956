"""Enters: what gallery-dl wrote of the files of one post. Leaves: the Post, its files in order."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from imgbatch.sources.dumps._reddit_ids import before, is_comment, whole
from imgbatch.sources.dumps.beside import kind_of, together
from imgbatch.sources.dumps.names import base, folder, ref
from imgbatch.sources.dumps.posts import Media, Post
from imgbatch.sources.dumps.values import (
    at,
    count,
    iso_time,
    number,
    text,
    text_id,
    unix_time,
)
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Counted

PLATFORMS = {"twitter": "x"}
TEXTS = ("content", "desc", "caption", "text", "title")
# {tweet_id}_{num}, {sidecar_media_id}_{media_id}, {id}_{num}, {id} {num} {title}: the id is first.
NUMBERED = re.compile(r"^(\d{5,})(_\d+)?$")
REDDIT = re.compile(r"^([a-z0-9]{5,9})(?:[ _-]|$)")
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


def posts_of(name: str) -> str | None:
    """Return the post's id in a file's name; Instagram's numbers as their shortcodes."""
    stem = unquote(base(name)).partition(".")[0]
    if "/reddit/" in f"/{name}":
        found = REDDIT.match(stem)
        return whole(found[1]) if found else None
    found = NUMBERED.match(stem)
    if found:
        instagram = "/instagram/" in f"/{name}"
        return shortcode(int(found[1])) if instagram else found[1]
    return None


def shortcode(media_id: int) -> str | None:
    """Return what Instagram's addresses call a medium: its number in base 64, `-` and `_` last."""
    if media_id >= 2**64:
        return None
    return base64.urlsafe_b64encode(media_id.to_bytes(9, "big")).decode().lstrip("A") or None


def id_of(item: Item) -> str | None:
    """Return the id of the post that a record is of."""
    found = _told_id(item)
    if found is not None and item.get("category") == "reddit":
        return whole(found, comment=is_comment(item))
    return found


def _told_id(item: Item) -> str | None:
    keys = ("tweet_id", "post_shortcode", "post_id", "status_id", "id", "gallery_id", "shortcode")
    return next((found for key in keys if (found := text_id(item.get(key)))), None)


def post_of(dump: Dump, post_id: str, records: list[Record], counted: Counted) -> Post:
    """Return the post that some records are of."""
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
    others = () if category == "twitter" else ("description", "selftext", "body")
    if not any(key in item for key in (*TEXTS, *others)):
        counted.missing(TEXTS[0], place)
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
        former=before(_told_id(item), post_id) if category == "reddit" else (),
    )


def _other(value: Any) -> str | None:
    """Return another post's id; gallery-dl writes 0 where there is none."""
    found = text_id(value)
    return None if found == "0" else found


def _crossposted(item: Item) -> str | None:
    found = text_id(item.get("crosspost_parent"))
    return None if found is None else whole(found)


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
    keys = list(TEXTS)
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
    found = id_of(item)
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
