"""Posts as the platforms' own web pages get them: what browser-based collectors write down.

One module per platform, from one item to one Post: Zeeschuimer keeps such items in `data`, 4CAT's
NDJSON as the line itself. Shapes change without notice, so everything is optional but the id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps.web.bluesky import bluesky_post
from imgbatch.sources.dumps.web.instagram import instagram_post, is_passing
from imgbatch.sources.dumps.web.place import Place
from imgbatch.sources.dumps.web.tiktok import tiktok_post
from imgbatch.sources.dumps.web.x import x_post

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.sources.dumps.posts import Post

__all__ = ["Place", "note_unknown", "platform_of", "post_of"]

READERS: dict[str, Callable[[dict[str, Any], Place], Post | None]] = {
    "x": x_post,
    "instagram": instagram_post,
    "threads": instagram_post,
    "tiktok": tiktok_post,
    "bluesky": bluesky_post,
}
# Zeeschuimer's mark of an item that a page showed a part of, such as the cover of a reel; it never
# puts one in the place of a whole item.
PARTIAL = "_zs_partial"
# An item of these goes by the id of its post, whatever its shape.
SAME_IDS = ("tiktok",)
# How collectors name the platforms: the site's address, or a module's name.
NAMES = {
    "twitter": "x",
    "twitter-import": "x",
    "douyin": "tiktok",
    "bsky": "bluesky",
    "bsky.app": "bluesky",
}


def platform_of(name: str) -> str:
    """Return the platform of a site's address or module's name: `www.twitter.com` is x."""
    plain = name.lower().removeprefix("www.").removesuffix("-comments")
    for ending in (".com", ".net", ".org", ".co.uk"):
        plain = plain.removesuffix(ending)
    return NAMES.get(plain, plain)


def post_of(item: dict[str, Any], place: Place) -> Post | None:
    """Return the post of an item, None where its shape is not known."""
    reader = READERS.get(place.platform)
    post = reader(item, place) if reader else None
    if post is not None and item.get(PARTIAL) is True:
        post.partial = True
    return post


def note_unknown(item: dict[str, Any], place: Place) -> None:
    """Note an item whose shape is not known.

    Where the platform's is, the item may be damaged, and the collector's id of it be another one
    than its posts have. What has no such id by its kind is no damage.
    """
    passing = READERS.get(place.platform) is instagram_post and is_passing(item)
    other_id = place.platform in READERS and place.platform not in SAME_IDS
    kind = "no-id" if other_id and not passing else "bad-field"
    why = f"data: no shape of {place.platform} that is known"
    place.counted.note(kind, why, place.name, place.line)
