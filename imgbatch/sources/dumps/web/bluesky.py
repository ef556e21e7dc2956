"""Bluesky as its API gives posts to 4CAT: a record, its author, and what is embedded.

Confirmed in 4CAT's bsky module: keys come with underscores or in camel case, images as `fullsize`,
videos by their thumbnail alone, and a quote with media one level deeper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps.posts import Media, Post
from imgbatch.sources.dumps.values import at, count, counts, iso_time, objects, text, text_id

if TYPE_CHECKING:
    from imgbatch.sources.dumps.web.place import Place

METRICS = ("like_count", "reply_count", "repost_count", "quote_count")

Item = dict[str, Any]


def bluesky_post(item: Item, place: Place) -> Post | None:
    """Return the post of an item, None where it has no record; `post_id` is its at:// address."""
    post_id = text_id(item.get("uri"))
    record = item.get("record")
    if post_id is None or not isinstance(record, dict):
        return None
    raw = record.get("created_at") or record.get("createdAt")
    created = place.wanted("record.created_at", iso_time(raw), raw)
    if "text" not in record:
        place.wanted("record.text", None)
    name = text(at(item, "author", "handle"))
    return Post(
        post_id=post_id,
        platform="bluesky",
        raw_ref=place.ref,
        author_id=place.wanted("author.did", text_id(at(item, "author", "did"))),
        author_name=name,
        created_at=created,
        time_source="record.created_at" if created else "",
        text=text(record.get("text")),
        lang=text(at(record, "langs", 0)),
        url=f"https://bsky.app/profile/{name}/post/{post_id.rpartition('/')[2]}",
        reply_to=text_id(at(record, "reply", "parent", "uri")),
        metrics=counts(item, *METRICS),
        media=_media(item.get("embed")),
    )


def _media(embed: Any) -> tuple[Media, ...]:
    """Return what is embedded: pictures, or one video; in a quote with media its media."""
    inner = at(embed, "media") or embed
    pictures = objects(at(inner, "images"))
    if pictures:
        return tuple(_picture(index, picture) for index, picture in enumerate(pictures))
    playlist, thumbnail = text(at(inner, "playlist")), text(at(inner, "thumbnail"))
    if playlist or thumbnail:
        return (Media(0, "video", url=playlist or thumbnail, alt_text=text(at(inner, "alt"))),)
    return ()


def _picture(index: int, picture: Item) -> Media:
    size = at(picture, "aspect_ratio") or at(picture, "aspectRatio")
    return Media(
        index,
        "image",
        url=text(picture.get("fullsize")) or text(picture.get("thumb")),
        key=text_id(at(picture, "image", "ref", "link")),
        width=count(at(size, "width")),
        height=count(at(size, "height")),
        alt_text=text(picture.get("alt")),
    )
