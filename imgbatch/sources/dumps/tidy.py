"""Enters: a Post of any format. Leaves: the same, its texts as Parquet and UTF-8 can hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from imgbatch.sources.dumps.values import clean

if TYPE_CHECKING:
    from imgbatch.sources.dumps.posts import Media, Post

TEXTS = (
    "post_id", "platform", "author_id", "author_name", "text", "lang", "url", "reply_to",
    "repost_of",
)  # fmt: skip


def tidy(post: Post) -> None:
    """Clean every text of a post in place; all are looked at first, as few need it."""
    texts = [
        post.post_id, post.platform, post.author_id, post.author_name, post.text, post.lang,
        post.url, post.reply_to, post.repost_of,
    ]  # fmt: skip
    for _, own in post.former:
        texts.append(own)
    for medium in post.media:
        texts += (medium.url, medium.path, medium.key, medium.alt_text, medium.sha256)
    # No call but of methods: this is done for every post there is.
    for told in texts:
        if told and ("\0" in told or not (told.isascii() or _is_utf8(told))):
            break
    else:
        return
    for name in TEXTS:
        value = getattr(post, name)
        if value is not None:
            setattr(post, name, clean(value))
    post.former = tuple((platform, clean(own)) for platform, own in post.former)
    post.media = tuple(_clean(medium) for medium in post.media)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _clean(medium: Media) -> Media:
    texts = (medium.url, medium.path, medium.key, medium.alt_text, medium.sha256)
    url, path, key, alt_text, sha256 = [value and clean(value) for value in texts]
    return replace(medium, url=url, path=path, key=key, alt_text=alt_text, sha256=sha256)
