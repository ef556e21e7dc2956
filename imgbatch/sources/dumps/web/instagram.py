"""Instagram and Threads as their web pages get them: item lists, graph nodes, Polaris media.

Confirmed in 4CAT's instagram and threads modules (both shapes, ads) and in Zeeschuimer's modules
instagram (XIGPolaris*: partial items, without a time) and instagram-comments. `post_id` is the
shortcode, as in 4CAT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

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
    from imgbatch.sources.dumps.posts import MediaKind
    from imgbatch.sources.dumps.web.place import Place

PHOTO, VIDEO, CAROUSEL = 1, 2, 8
KINDS: dict[str, MediaKind] = {
    "GraphImage": "image",
    "GraphVideo": "video",
    "XDTGraphImage": "image",
    "XDTGraphVideo": "video",
    "XIGPolarisImageMedia": "image",
    "XIGPolarisVideoMedia": "video",
}
PASSING = ("story", "ad")
SIDECARS = ("GraphSidecar", "XDTGraphSidecar")

Item = dict[str, Any]


def instagram_post(item: Item, place: Place) -> Post | None:
    """Return the post of an item, None where it holds none (as stories' frames without code)."""
    post_id = text_id(item.get("code")) or text_id(item.get("shortcode"))
    if post_id is None:
        return _comment(item, place) if "comment_id" in item else None
    if item.get("product_type") == "ad":
        place.counted.note("bad-field", "product_type: an advertisement", place.name, place.line)
    if "caption" not in item and "edge_media_to_caption" not in item:
        place.wanted("caption", None)
    raw = item.get("taken_at") if "taken_at" in item else item.get("taken_at_timestamp")
    field = "taken_at" if "taken_at" in item else "taken_at_timestamp"
    created = place.wanted(field, unix_time(raw), raw)
    user = _user(item)
    threads = place.platform == "threads"
    author = text(user.get("username"))
    return Post(
        post_id=post_id,
        platform=place.platform,
        raw_ref=place.ref,
        author_id=place.wanted("user.id", text_id(user.get("id")) or text_id(user.get("pk"))),
        author_name=place.wanted("user.username", author),
        created_at=created,
        time_source=f"{field} (unix)" if created else "",
        text=_caption(item),
        url=f"https://www.threads.com/@{author or ''}/post/{post_id}"
        if threads
        else f"https://www.instagram.com/p/{post_id}/",
        repost_of=text_id(at(item, "text_post_app_info", "share_info", "reposted_post", "code")),
        metrics=_metrics(item),
        media=_media(item, place),
    )


def _comment(item: Item, place: Place) -> Post | None:
    """Return a comment as Zeeschuimer writes it; the address that it has is that of its post."""
    post_id = text_id(item.get("comment_id"))
    if post_id is None:
        return None
    raw = item.get("created_at")
    created = place.wanted("created_at", unix_time(raw), raw)
    # The other id of a post is none that posts go by here.
    post = text_id(item.get("post_shortcode")) or text_id(item.get("post_id"))
    return Post(
        post_id=post_id,
        platform=place.platform,
        raw_ref=place.ref,
        author_id=place.wanted("user.id", text_id(at(item, "user", "id"))),
        author_name=place.wanted("user.unique_id", text(at(item, "user", "unique_id"))),
        created_at=created,
        time_source="created_at (unix)" if created else "",
        text=place.wanted("text", text(item.get("text"))),
        reply_to=place.wanted("post_id", text_id(item.get("parent_comment_id")) or post),
        metrics=counts(item, "comment_like_count", "child_comment_count"),
    )


def is_passing(item: Item) -> bool:
    """Tell whether an item is a frame of a story or an advertisement, which may have no code."""
    return (
        item.get("product_type") in PASSING
        or item.get("is_reel_media") is True
        or any(item.get(key) is not None for key in ("expiring_at", "ad_id"))
    )


def _user(item: Item) -> Item:
    """Return the author: `user` and `owner` stand for the same, and either may be thin."""
    found: Item = {}
    for key in ("owner", "user"):
        if isinstance(item.get(key), dict):
            found |= {name: value for name, value in item[key].items() if value is not None}
    return found


def _caption(item: Item) -> str | None:
    graph = text(at(item, "edge_media_to_caption", "edges", 0, "node", "text"))
    return graph or text(at(item, "caption", "text")) or text(item.get("caption"))


def _metrics(item: Item) -> dict[str, int]:
    found = counts(item, "like_count", "comment_count", "play_count", "view_count")
    graph = {
        "like_count": at(item, "edge_media_preview_like", "count"),
        "comment_count": at(item, "edge_media_preview_comment", "count"),
        "view_count": item.get("video_view_count"),
    }
    info = at(item, "text_post_app_info")
    return (
        counts(graph, *graph)
        | found
        | counts(info, "repost_count", "direct_reply_count", "quote_count")
    )


def _media(item: Item, place: Place) -> tuple[Media, ...]:
    """Return the media: of a carousel its own, of others the one item."""
    children = objects(item.get("carousel_media"))
    if not children:
        edges = objects(at(item, "edge_sidecar_to_children", "edges"))
        children = objects([edge.get("node") for edge in edges])
    if not children and (item.get("media_type") == CAROUSEL or item.get("__typename") in SIDECARS):
        place.counted.missing("carousel_media", place.name, place.line)
    media = [_medium(child) for child in children or [item]]
    there = [medium for medium in media if medium.url or medium.key]
    # A post of Threads may be words alone.
    if len(there) < len(media) and (children or place.platform == "instagram"):
        place.counted.missing("image_versions2", place.name, place.line)
    return tuple(replace(medium, index=index) for index, medium in enumerate(there))


def _medium(item: Item) -> Media:
    video = text(at(item, "video_versions", 0, "url")) or text(item.get("video_url"))
    picture = (
        text(at(item, "image_versions2", "candidates", 0, "url"))
        or text(item.get("display_url"))
        or text(item.get("display_uri"))
    )
    dimensions = at(item, "dimensions")
    return Media(
        0,
        _kind(item, video),
        url=video or picture,
        key=(text_id(item.get("pk")) or text_id(item.get("id"))) if video or picture else None,
        width=count(item.get("original_width")) or counts(dimensions, "width").get("width"),
        height=count(item.get("original_height")) or counts(dimensions, "height").get("height"),
        duration=number(item.get("video_duration")),
        alt_text=text(item.get("accessibility_caption")),
    )


def _kind(item: Item, video: str | None) -> MediaKind:
    if video or item.get("media_type") == VIDEO:
        return "video"
    if item.get("media_type") == PHOTO:
        return "image"
    return KINDS.get(str(item.get("__typename")), "image")
