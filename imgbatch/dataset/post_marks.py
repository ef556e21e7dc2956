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

import re
from typing import TYPE_CHECKING

from imgbatch.dataset.post_columns import HIDDEN
from imgbatch.platforms import COMMENT, SUBMISSION, unmarked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.dataset.tombstones import Tombstones

FORGOTTEN = "forgotten"
# What people write into tables; readers of known formats say x.
SAME = {"twitter": "x", "twitter.com": "x", "x.com": "x"}
# Of Reddit's ids, what says the kind of a post; of pseudonyms, what they look like.
REDDIT, KINDS = "reddit", (SUBMISSION, COMMENT)
HASH = re.compile(HIDDEN)
# Of posts whose dump does not say where they are from.
UNTOLD = ("unknown", "table", "webdataset", "img2dataset")


def platform_of(name: str) -> str:
    """Return the one name of a platform: x for Twitter, too."""
    plain = name.lower()
    return SAME.get(plain, plain)


def mark(platform: str, post_id: str) -> str:
    """Return what the tombstone of a post is made of; `platform` may be ""."""
    return f"post {platform_of(platform)} {post_id}"


def posts_in(marks: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield platform and id of the posts that tombstones are made of; authors have others."""
    for one in marks:
        kind, _, named = one.partition(" ")
        if kind == "post":
            platform, _, post_id = named.partition(" ")
            yield platform, post_id


def is_forgotten(stones: Tombstones, platform: str | None, post_id: str | None) -> bool:
    """Tell whether a post has a tombstone, by either form of its id."""
    if post_id is None or not stones.hashes:
        return False
    return any(has_stone(stones, platform, own) for own in forms(platform, post_id))


def was_forgotten(
    stones: Tombstones, platform: str, former: tuple[str, str], input_: str | None
) -> bool:
    """Tell whether a post has a tombstone by what a former version called it.

    Args:
        stones: of the dataset.
        platform: of the post, as it is called now.
        former: platform and id of then.
        input_: that it is read from. Numbers of messages counted within no platform: where nobody
            said which platform was meant, one of that input was, if any.
    """
    if not stones.hashes:
        return False
    untold = _is_sure(platform, former) or name_mark(input_ or "", former[1]) in stones
    return has_stone(stones, *former, untold=untold)


def _is_sure(platform: str | None, former: tuple[str, str]) -> bool:
    """Tell whether a former id means the post where nobody said which platform it is of."""
    was, had = former
    return was == platform or HASH.match(had) is not None


def has_stone(
    stones: Tombstones, platform: str | None, post_id: str, *, untold: bool = True
) -> bool:
    """Tell whether a post has a tombstone by this very id.

    Args:
        stones: of the dataset.
        platform: of the post.
        post_id: as the tombstone has it.
        untold: whether one will do of which nobody said the platform.
    """
    return any(one in stones for one in _post_marks(platform, post_id, untold=untold))


def _post_marks(platform: str | None, post_id: str, *, untold: bool = True) -> set[str]:
    # The name as it stands: so were tombstones made before one platform had one name.
    names = _names(platform)
    marks = {mark(name, post_id) for name in names} | {f"post {name} {post_id}" for name in names}
    return marks | {mark("", post_id)} if untold else marks


def author_mark(platform: str, author_id: str) -> str:
    """Return what the tombstone of an author is made of, all of whose posts are deleted."""
    return f"author {platform_of(platform)} {author_id}"


def is_author_forgotten(stones: Tombstones, platform: str | None, author_id: str | None) -> bool:
    """Tell whether all posts of an author are."""
    if author_id is None or not stones.hashes:
        return False
    return any(one in stones for one in _author_marks(platform, author_id))


def _author_marks(platform: str | None, author_id: str) -> set[str]:
    names = _names(platform)
    marks = {author_mark(name, author_id) for name in names}
    return marks | {f"author {name} {author_id}" for name in names}


def marks_of(
    platform: str | None,
    post_id: str,
    author_id: str | None,
    former: Iterable[tuple[str, str]] = (),
) -> list[str]:
    """Return all that the tombstone of a post or its author may be made of, in order.

    Where one has a tombstone, `is_forgotten`, `was_forgotten` or `is_author_forgotten` says so.
    """
    marks = {one for own in forms(platform, post_id) for one in _post_marks(platform, own)}
    for name in former:
        marks |= _post_marks(*name, untold=_is_sure(platform, name))
    if author_id is not None:
        marks |= _author_marks(platform, author_id)
    return sorted(marks)


def name_mark(input_: str, post_id: str) -> str:
    """Return what the tombstone is made of that tells whose a name in an input is.

    Args:
        input_: root of the input that the post is of.
        post_id: as the dataset has it.
    """
    return f"name {input_} {post_id}"


def called(platform: str, post_id: str) -> Iterator[tuple[str, str]]:
    """Yield by what platforms and ids a post may have been marked."""
    return ((name, own) for name in _names(platform) for own in forms(platform, post_id))


def _names(platform: str | None) -> set[str]:
    """Return what a platform is called, with and without the mark of a file or dump."""
    return {platform or "", unmarked(platform or "")}


def forms(platform: str | None, post_id: str) -> tuple[str, ...]:
    """Return an id and its other forms; whoever asks for any platform gets the id alone."""
    return post_id, *(other_forms(post_id) if platform == REDDIT else ())


def other_forms(post_id: str) -> tuple[str, ...]:
    """Return what else a post of Reddit may be called by its id, and a pseudonym by none.

    Lists, names of files and datasets of before have ids without what says the kind: of such an id
    it is not known whether it is a submission's or a comment's.
    """
    if HASH.match(post_id):
        return ()
    kind = next((kind for kind in KINDS if post_id.startswith(kind)), None)
    return tuple(k + post_id for k in KINDS) if kind is None else (post_id.removeprefix(kind),)
