"""X (Twitter) as its web page gets it: GraphQL results, and the older `adaptive` ones.

Confirmed in 4CAT's twitter-import (both shapes, where the author and a repost's original stand) and
in the page's own `legacy` objects, which X's personal archive holds too.
"""

from __future__ import annotations

import re
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
    x_time,
)

if TYPE_CHECKING:
    from imgbatch.sources.dumps.posts import MediaKind
    from imgbatch.sources.dumps.web.place import Place

KINDS: dict[str, MediaKind] = {"photo": "image", "video": "video", "animated_gif": "video"}
METRICS = ("retweet_count", "reply_count", "favorite_count", "quote_count", "bookmark_count")
AUTHOR = re.compile(r"^https?://(?:www\.)?(?:twitter|x)\.com/([A-Za-z0-9_]{1,20})/status/")

Item = dict[str, Any]


def x_post(item: Item, place: Place) -> Post | None:
    """Return the post of an item, None where it holds none."""
    item = unwrapped(item)
    legacy = at(item, "legacy")
    if not isinstance(legacy, dict):
        return None
    post_id = text_id(item.get("rest_id")) or text_id(legacy.get("id_str"))
    if post_id is None:
        return None
    original = unwrapped(at(legacy, "retweeted_status_result", "result"))
    media = media_of(raw_media(legacy) or raw_media(at(original, "legacy")))
    author_id = text_id(legacy.get("user_id_str")) or text_id(_user(item, "rest_id", "id_str"))
    author = place.wanted("author.screen_name", _author(item, legacy))
    written = legacy.get("created_at")
    created = place.wanted("legacy.created_at", x_time(written), written)
    metrics = counts(legacy, *METRICS)
    metrics |= counts({"view_count": at(item, "views", "count")}, "view_count")
    return Post(
        post_id=post_id,
        platform="x",
        raw_ref=place.ref,
        author_id=place.wanted("legacy.user_id_str", author_id),
        author_name=author,
        created_at=created,
        time_source="legacy.created_at" if created else "",
        text=place.wanted("legacy.full_text", _text(original) or _text(item)),
        lang=text(legacy.get("lang")),
        url=f"https://x.com/{author or 'i'}/status/{post_id}",
        reply_to=text_id(legacy.get("in_reply_to_status_id_str")),
        repost_of=_repost(original, legacy),
        metrics=metrics,
        media=media,
    )


def unwrapped(item: Any) -> Item:
    """Return a result without the layer that posts of limited visibility have."""
    if not isinstance(item, dict):
        return {}
    inner = item.get("tweet")
    return inner if isinstance(inner, dict) and "legacy" not in item else item


def raw_media(legacy: Any) -> list[Item]:
    """Return the media of a post's `legacy` object (or of an archive's `tweet`) as they stand."""
    found = objects(at(legacy, "extended_entities", "media"))
    return found or objects(at(legacy, "entities", "media"))


def media_of(raw: list[Item]) -> tuple[Media, ...]:
    """Return what `raw_media` gives as media, in order."""
    return tuple([_medium(index, medium) for index, medium in enumerate(raw)])


def variants_of(medium: Item) -> list[str]:
    """Return the URLs of a video, the most bits a second first; playlists last."""
    found = objects(at(medium, "video_info", "variants"))
    found.sort(key=lambda variant: -(number(variant.get("bitrate")) or -1.0))
    return [url for variant in found if (url := text(variant.get("url")))]


def _medium(index: int, medium: Item) -> Media:
    found = Media(index, KINDS.get(str(medium.get("type")), "other"))
    found.url = text(medium.get("media_url_https")) or text(medium.get("media_url"))
    found.key = text_id(medium.get("media_key")) or text_id(medium.get("id_str"))
    found.alt_text = text(medium.get("ext_alt_text"))
    if "original_info" in medium:
        found.width = count(at(medium["original_info"], "width"))
        found.height = count(at(medium["original_info"], "height"))
    if "video_info" in medium:
        videos = variants_of(medium)
        found.url = videos[0] if videos else found.url
        duration = number(at(medium["video_info"], "duration_millis"))
        found.duration = None if duration is None else duration / 1000
    return found


def _user(item: Item, *keys: str) -> Any:
    user = at(item, "core", "user_results", "result")
    for key in keys:
        for place in (at(user, "core"), at(user, "legacy"), user, item.get("user")):
            if at(place, key) is not None:
                return at(place, key)
    return None


def _author(item: Item, legacy: Item) -> str | None:
    """Return the author's name; where the page left it out, that in the address of a medium."""
    name = text(_user(item, "screen_name"))
    if name:
        return name
    for medium in objects(at(legacy, "extended_entities", "media")):
        found = AUTHOR.match(text(medium.get("expanded_url")) or "")
        if found and text_id(medium.get("source_status_id_str")) is None:
            return found[1]
    return None


def _text(item: Item) -> str | None:
    """Return a post's text: the whole one of long posts, else that of up to 280 characters."""
    long = at(item, "note_tweet", "note_tweet_results", "result", "text")
    return text(long) or text(at(item, "legacy", "full_text"))


def _repost(original: Item, legacy: Item) -> str | None:
    inner = text_id(original.get("rest_id")) or text_id(at(original, "legacy", "id_str"))
    return inner or text_id(legacy.get("retweeted_status_id_str"))
