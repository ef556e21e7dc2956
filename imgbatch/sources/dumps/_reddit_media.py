"""Enters: a submission or comment as Reddit's API gives it. Leaves: its media, in its order.

A gallery's own order comes first; then a video that Reddit hosts; then the picture or video that
the submission links to by a name that says so. Of a link to anything else the preview is no medium
of the post. A crosspost shows its parent's.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps.names import base
from imgbatch.sources.dumps.posts import Media
from imgbatch.sources.dumps.values import at, count, number
from imgbatch.sources.names import IMAGES, VIDEOS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgbatch.sources.dumps.posts import Counted, MediaKind

    Row = Mapping[str, Any]

HOSTED = re.compile(r"//v\.redd\.it/([^/?#]+)")
# Where a submission says that there is a medium, what should have held it.
PROMISED = {
    "is_gallery": "media_metadata",
    "is_video": "media.reddit_video",
    "crosspost_parent": "crosspost_parent_list",
}
# What media_metadata calls the small pictures inside a text; they are no media of a post.
GLYPHS = ("emoji", "sticker")


def media_of(row: Row, counted: Counted, ref: str, line: int) -> tuple[Media, ...]:
    """Return what a submission or comment shows; of a crosspost what its parent does."""
    own = tuple(_media(row, counted, ref, line))
    if own:
        return own
    if "crosspost_parent_list" in row:
        parent = at(row, "crosspost_parent_list", -1)
        return tuple(_media(parent, counted, ref, line)) if isinstance(parent, dict) else ()
    for said, field in PROMISED.items():
        if row.get(said) not in (None, False):
            counted.missing(field, ref, line)
    if row.get("post_hint") == "image":
        counted.missing("url or preview", ref, line)
    return ()


def _media(row: Row, counted: Counted, ref: str, line: int) -> Iterator[Media]:
    described = row.get("media_metadata")
    if isinstance(described, dict) and described:
        yield from _gallery(row, described, counted, ref, line)
        return
    video = _hosted(row)
    if video is not None:
        yield video
        return
    linked = _linked(row)
    if linked is not None:
        yield linked


def _gallery(row: Row, described: Row, counted: Counted, ref: str, line: int) -> Iterator[Media]:
    index = 0
    for key, caption in _order(row, described):
        found = described.get(key)
        if not isinstance(found, dict):
            counted.missing("media_metadata of a gallery's item", ref, line)
            found = {}
        if found.get("t") in GLYPHS:
            continue
        yield _item(index, key, caption, found)
        index += 1
    if not index and "gallery_data" in row:
        counted.missing("gallery_data.items.media_id", ref, line)


def _order(row: Row, described: Row) -> Iterator[tuple[str, str | None]]:
    """Yield the ids of media and their captions: as the gallery has them, else as they are told."""
    items = at(row, "gallery_data", "items")
    if not isinstance(items, list):
        yield from ((key, None) for key in described)
        return
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("media_id"), str):
            caption = item.get("caption")
            yield item["media_id"], caption if isinstance(caption, str) else None


def _item(index: int, key: str, caption: str | None, found: Row) -> Media:
    own = found.get("s")
    source: Row = own if isinstance(own, dict) else found
    hosted = found.get("e") == "RedditVideo"
    url = _url(source, "u", "gif", "mp4") or _url(found, "hlsUrl", "dashUrl")
    still = isinstance(source.get("u"), str) or isinstance(source.get("gif"), str)
    ready = found.get("status") == "valid"
    return Media(
        index,
        "video" if hosted or (url and not still) else "image",
        url=url,
        key=key,
        width=count(source.get("x")),
        height=count(source.get("y")),
        alt_text=caption,
        status="" if ready else "unavailable",
    )


def _hosted(row: Row) -> Media | None:
    for field in ("media", "secure_media"):
        video = at(row, field, "reddit_video")
        if not isinstance(video, dict):
            continue
        url = _url(video, "fallback_url", "hls_url", "dash_url")
        key = HOSTED.search(url or "")
        return Media(
            0,
            "video",
            url=url,
            key=key[1] if key else None,
            width=count(video.get("width")),
            height=count(video.get("height")),
            duration=number(video.get("duration")),
            status="" if url else "unavailable",
        )
    return None


def _linked(row: Row) -> Media | None:
    url = _url(row, "url_overridden_by_dest", "url")
    if url is None:
        return None
    preview = _preview(row)
    kind = _kind(url)
    if kind is None:
        # A picture behind an address that does not say so: Reddit's own copy stands for it.
        url = _url(preview, "url") if row.get("post_hint") == "image" else None
        if url is None:
            return None
        kind = "image"
    size = (count(preview.get("width")), count(preview.get("height")))
    return Media(0, kind, url=url, width=size[0], height=size[1])


def _preview(row: Row) -> Row:
    source = at(row, "preview", "images", 0, "source")
    return source if isinstance(source, dict) else {}


def _kind(url: str) -> MediaKind | None:
    extension = base(url).rpartition(".")[2].lower()
    if extension in IMAGES:
        return "image"
    return "video" if extension in VIDEOS else None


def _url(row: Row, *fields: str) -> str | None:
    for field in fields:
        found = row.get(field)
        if isinstance(found, str) and found:
            return html.unescape(found) if "&" in found else found
    return None
