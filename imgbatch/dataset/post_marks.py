"""A post, an author or a medium enters; what its tombstone is made of leaves.

A forgotten post has a tombstone beside those of sources (`imgbatch.dataset.tombstones`): the keyed
hash of `post PLATFORM ID`, or of `post  ID` where nobody said which platform; an author all of
whose posts are deleted has one of `author PLATFORM ID`; of media whose sources are forgotten, see
`imgbatch.dataset.medium_marks`. So a dump that holds it still brings it back no more. Where its id
in the name of a source meant it alone, in its own input, `name INPUT ID` tells.

Decision, 2026-11: one platform by several names is one here, and stays in the tables what its dump
calls it. Rows by another name would be other posts: of a table that was brought before, each would
count as new and its former self as removed. Drawback: a query over both has to name both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.platforms import SUBMISSION, unmarked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.dataset.tombstones import Tombstones

FORGOTTEN = "forgotten"
# What people write into tables; readers of known formats say x.
SAME = {"twitter": "x", "twitter.com": "x", "x.com": "x"}
# Of posts whose dump does not say where they are from.
UNTOLD = ("unknown", "table", "webdataset", "img2dataset")


def platform_of(name: str) -> str:
    """Return the one name of a platform: x for Twitter, too."""
    plain = name.lower()
    return SAME.get(plain, plain)


def mark(platform: str, post_id: str) -> str:
    """Return what the tombstone of a post is made of; `platform` may be ""."""
    return f"post {platform_of(platform)} {post_id}"


def is_forgotten(stones: Tombstones, platform: str | None, post_id: str | None) -> bool:
    """Tell whether a post has a tombstone, by either form of its id."""
    if post_id is None or not stones.hashes:
        return False
    return any(has_stone(stones, platform, own) for own in _ids(platform, post_id))


def has_stone(stones: Tombstones, platform: str | None, post_id: str) -> bool:
    """Tell whether a post has a tombstone by this very id."""
    # The name as it stands: so were tombstones made before one platform had one name.
    names = _names(platform)
    marks = {mark("", post_id), *(mark(name, post_id) for name in names)}
    return any(one in stones for one in marks | {f"post {name} {post_id}" for name in names})


def author_mark(platform: str, author_id: str) -> str:
    """Return what the tombstone of an author is made of, all of whose posts are deleted."""
    return f"author {platform_of(platform)} {author_id}"


def is_author_forgotten(stones: Tombstones, platform: str | None, author_id: str | None) -> bool:
    """Tell whether all posts of an author are."""
    if author_id is None or not stones.hashes:
        return False
    names = _names(platform)
    marks = {author_mark(name, author_id) for name in names}
    return any(one in stones for one in marks | {f"author {name} {author_id}" for name in names})


def name_mark(input_: str, post_id: str) -> str:
    """Return what the tombstone is made of that tells whose a name in an input is.

    Args:
        input_: root of the input that the post is of.
        post_id: as the dataset has it.
    """
    return f"name {input_} {post_id}"


def called(platform: str, post_id: str) -> Iterator[tuple[str, str]]:
    """Yield by what platforms and ids a post may have been marked."""
    return ((name, own) for name in _names(platform) for own in _ids(platform, post_id))


def _names(platform: str | None) -> set[str]:
    """Return what a platform is called, with and without the mark of a file or dump."""
    return {platform or "", unmarked(platform or "")}


def _ids(platform: str | None, post_id: str) -> tuple[str, ...]:
    """Return an id and, of Reddit's, its other form: datasets of before have the bare one."""
    if platform != "reddit":
        return (post_id,)
    bare = post_id.removeprefix(SUBMISSION)
    return post_id, bare if bare != post_id else SUBMISSION + post_id
