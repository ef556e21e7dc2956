"""TikTok as its web page gets it: items of the API, and those that stand in the page.

Confirmed in 4CAT's modules tiktok (author as object or text, covers, stats) and tiktok_comments
(what a comment answers), and in Zeeschuimer's (a comment's `id` is its `cid`). The URLs of videos
and covers expire within hours, so files are joined by the id in their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps.posts import Media, Post
from imgbatch.sources.dumps.values import (
    at,
    count,
    counts,
    number,
    objects,
    text,
    text_id,
    unix_time,
)

if TYPE_CHECKING:
    from imgbatch.sources.dumps.web.place import Place

METRICS = ("diggCount", "commentCount", "shareCount", "playCount", "collectCount")

Item = dict[str, Any]


def tiktok_post(item: Item, place: Place) -> Post | None:
    """Return the post of an item, which may be a comment; None where it has no id."""
    if "cid" in item and "aweme_id" in item:
        return _comment(item, place)
    post_id = text_id(item.get("id"))
    if post_id is None:
        return None
    author = item.get("author")
    name = text(at(author, "uniqueId")) or text(author)
    author_id = text_id(at(author, "id")) or text_id(item.get("authorId")) or name
    if "desc" not in item:
        place.wanted("desc", None)
    raw = item.get("createTime")
    created = place.wanted("createTime", unix_time(raw), raw)
    return Post(
        post_id=post_id,
        platform="tiktok",
        raw_ref=place.ref,
        author_id=place.wanted("author.id", author_id),
        author_name=place.wanted("author.uniqueId", name),
        created_at=created,
        time_source="createTime (unix)" if created else "",
        text=text(item.get("desc")),
        lang=text(item.get("textLanguage")),
        url=f"https://www.tiktok.com/@{name or ''}/video/{post_id}",
        reply_to=_other(at(item, "duetInfo", "duetFromId")),
        metrics=counts(at(item, "stats"), *METRICS),
        media=_media(item, place),
    )


def _comment(item: Item, place: Place) -> Post | None:
    """Return a comment on a video, or on another comment; it has no page of its own."""
    post_id = text_id(item.get("cid")) or text_id(item.get("id"))
    if post_id is None:
        return None
    name = text(at(item, "user", "unique_id"))
    raw = item.get("create_time")
    created = place.wanted("create_time", unix_time(raw), raw)
    answers = _other(item.get("reply_id")) or text_id(item.get("aweme_id"))
    return Post(
        post_id=post_id,
        platform="tiktok",
        raw_ref=place.ref,
        author_id=place.wanted("user.uid", text_id(at(item, "user", "uid")) or name),
        author_name=place.wanted("user.unique_id", name),
        created_at=created,
        time_source="create_time (unix)" if created else "",
        text=place.wanted("text", text(item.get("text"))),
        lang=text(item.get("comment_language")),
        url=text(at(item, "share_info", "url")),
        reply_to=place.wanted("aweme_id", answers),
        metrics=counts(item, "digg_count", "reply_comment_total"),
    )


def _other(value: Any) -> str | None:
    """Return the id of what this one answers; 0 stands for none."""
    found = text_id(value)
    return None if found == "0" else found


def _media(item: Item, place: Place) -> tuple[Media, ...]:
    pictures = objects(at(item, "imagePost", "images"))
    if pictures:
        return tuple(
            Media(
                index,
                "image",
                url=text(at(picture, "imageURL", "urlList", 0)),
                width=count(picture.get("imageWidth")),
                height=count(picture.get("imageHeight")),
            )
            for index, picture in enumerate(pictures)
        )
    video = at(item, "video")
    if not isinstance(video, dict):
        place.wanted("video", None, video)
        return ()
    return (
        Media(
            0,
            "video",
            url=text(video.get("downloadAddr")) or text(video.get("playAddr")),
            key=text_id(video.get("id")),
            width=count(video.get("width")),
            height=count(video.get("height")),
            duration=number(video.get("duration")),
        ),
    )
