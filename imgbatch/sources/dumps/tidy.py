"""Enters: a Post of any format. Leaves: the same, its texts as Parquet and UTF-8 can hold them."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from imgbatch.sources.dumps.values import clean

if TYPE_CHECKING:
    from imgbatch.sources.dumps.posts import Media, Post

TEXTS = (
    "post_id", "platform", "author_id", "author_name", "text", "lang", "url", "reply_to",
    "repost_of",
)  # fmt: skip
OF_MEDIA = ("url", "path", "key", "alt_text")
texts_of = attrgetter(*TEXTS)
texts_of_medium = attrgetter(*OF_MEDIA)


def tidy(post: Post) -> None:
    """Clean every text of a post in place; all at once are looked at first, as few need it."""
    texts = texts_of(post)
    for medium in post.media:
        texts += texts_of_medium(medium)
    if _good("".join(filter(None, texts))):
        return
    for name in TEXTS:
        value = getattr(post, name)
        if value is not None:
            setattr(post, name, clean(value))
    post.media = tuple(_clean(medium) for medium in post.media)


def _good(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _clean(medium: Media) -> Media:
    told = {name: getattr(medium, name) for name in OF_MEDIA}
    return replace(
        medium, **{name: clean(value) for name, value in told.items() if value is not None}
    )
