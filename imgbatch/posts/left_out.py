"""Posts of a dump enter; those that were forgotten, and media that were, do not leave.

A dump goes on to hold what was taken out of the dataset. It is known again by its tombstones, and
how many posts were left out is a gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from imgbatch.dataset.joining import BY_KEY
from imgbatch.dataset.post_marks import (
    FORGOTTEN,
    is_author_forgotten,
    is_forgotten,
    is_medium_forgotten,
)
from imgbatch.posts.keys import file_of
from imgbatch.posts.rows import places
from imgbatch.sources.dumps import Gap, Media, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.sources.dumps import Post

KIND = "forgotten-posts"
MESSAGE = "posts that were forgotten, and are in the dump still"


def left_out(
    found: Iterable[tuple[str, Post | Gap]],
    stones: Tombstones,
    before: str,
    gave: set[str] | None = None,
) -> Iterator[tuple[str, Post | Gap]]:
    """Pass on what was not forgotten.

    Args:
        found: posts and gaps of a dump, with the format that each is of.
        stones: of what was forgotten.
        before: what the addresses of the dump's files begin with.
        gave: takes the file of each post that does not leave: it is not empty.
    """
    count = 0
    name = ""
    for name, one in found:
        if isinstance(one, Gap):
            yield name, one
        elif is_post_forgotten(stones, one) or (name in BY_KEY and _was_forgotten(stones, one)):
            count += 1
            if gave is not None:
                gave.add(file_of(one.raw_ref))
        else:
            yield name, _without(one, stones, before)
    if count:
        yield name, Gap(KIND, "", None, MESSAGE, count)


def is_post_forgotten(stones: Tombstones, post: Post) -> bool:
    """Tell whether a post has a tombstone, or its author has."""
    return is_forgotten(stones, post.platform, post.post_id) or is_author_forgotten(
        stones, post.platform, post.author_id
    )


def _was_forgotten(stones: Tombstones, post: Post) -> bool:
    """Tell whether a post has the tombstone of a time when its video's id stood for it."""
    return any(is_forgotten(stones, post.platform, one.key) for one in post.media)


def _without(post: Post, stones: Tombstones, before: str) -> Post:
    """Return a post that names no forgotten one, and no file that was."""
    kept = {
        name: None if is_forgotten(stones, post.platform, own) else own
        for name, own in (("reply_to", post.reply_to), ("repost_of", post.repost_of))
    }
    file = file_of(post.raw_ref)

    def medium(place: int, one: Media) -> Media:
        if not is_medium_forgotten(stones, post.platform, post.post_id, place) and not (
            one.path and _covered(stones, before, names.resolve(one.path, file))
        ):
            return one
        return Media(one.index, one.kind, status=FORGOTTEN)

    media = tuple(medium(place, one) for place, one in places(post.media))
    return replace(post, reply_to=kept["reply_to"], repost_of=kept["repost_of"], media=media)


def _covered(stones: Tombstones, before: str, name: str | None) -> bool:
    return name is not None and stones.covers(before + name)
