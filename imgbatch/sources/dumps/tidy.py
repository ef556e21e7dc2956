"""Enters: a Post of any format. Leaves: the same, its texts as Parquet and UTF-8 can hold them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgbatch.sources.dumps.values import clean

if TYPE_CHECKING:
    from imgbatch.sources.dumps.posts import Media, Post

TEXTS = (
    "post_id", "platform", "author_id", "author_name", "text", "lang", "url", "reply_to",
    "repost_of",
)  # fmt: skip
MEDIA_TEXTS = ("url", "path", "key", "alt_text")


def tidy(post: Post) -> None:
    """Clean every text of a post in place."""
    for name in TEXTS:
        value = getattr(post, name)
        if value is not None and (not value.isascii() or "\0" in value):
            setattr(post, name, clean(value))
    if post.media:
        post.media = tuple(_clean(medium) for medium in post.media)


def _clean(medium: Media) -> Media:
    texts = [getattr(medium, name) for name in MEDIA_TEXTS]
    if all(value is None or (value.isascii() and "\0" not in value) for value in texts):
        return medium
    url, path, key, alt_text = [None if value is None else clean(value) for value in texts]
    return replace(medium, url=url, path=path, key=key, alt_text=alt_text)
