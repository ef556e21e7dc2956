"""Posts of a dump enter; those that were forgotten, and media that were, do not leave.

A dump goes on to hold what was taken out of the dataset. It is known again by its tombstones, and
how many posts were left out is a gap. One whose platform nobody says is that of its id on any.

Decision, 2026-11: where two platforms have one id, and one of these posts was forgotten, files that
a zip of 4CAT says are of that id are left out. Drawback: so are those of the other one, as long as
no export says whose they are.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from imgbatch.dataset.medium_marks import has_marks, is_marked, is_place_marked
from imgbatch.dataset.medium_words import Words, file_word, name_in, path_word, words_of
from imgbatch.dataset.post_marks import (
    FORGOTTEN,
    is_author_forgotten,
    is_forgotten,
    was_forgotten,
)
from imgbatch.platforms import counts_within
from imgbatch.posts.keys import file_of
from imgbatch.posts.rows import places, text
from imgbatch.posts.telling import Reach, reach
from imgbatch.sources.dumps import Gap, Media, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgbatch.dataset.places_then import PlacesThen
    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.sources.dumps import Dump, Post

KIND = "forgotten-posts"
MESSAGE = "posts that were forgotten, and are in the dump still"


def left_out(
    found: Iterable[tuple[str, Post | Gap]],
    stones: Tombstones,
    dump: Dump,
    *,
    input_: str | None = None,
    gave: set[str] | None = None,
    say: Callable[[str, Post], None] | None = None,
    then: PlacesThen | None = None,
) -> Iterator[tuple[str, Post | Gap]]:
    """Pass on what was not forgotten.

    Args:
        found: posts and gaps of a dump, with the format that each is of.
        stones: of what was forgotten.
        dump: that they are read from.
        input_: the root that is read; None: of no dataset.
        gave: takes the file of each post that does not leave: it is not empty.
        say: told the format and each post that does not leave.
        then: tells what marks of former versions mean, where there may be any.
    """
    # By their hashes, whose size does not depend on the ids: several files may have one post.
    gone: set[int] = set()
    name = ""
    for name, one in found:
        if isinstance(one, Gap):
            yield name, one
        elif is_post_forgotten(stones, one, input_):
            gone.add(hash((one.platform, one.post_id)))
            if gave is not None:
                gave.add(file_of(one.raw_ref))
            if say is not None:
                say(name, one)
        else:
            yield name, _without(one, stones, dump, then)
    if gone:
        yield name, Gap(KIND, "", None, MESSAGE, len(gone))


def is_post_forgotten(stones: Tombstones, post: Post, input_: str | None = None) -> bool:
    """Tell whether a post has a tombstone, by what it was or is called, or its author has."""
    return (
        _is_gone(stones, post, post.post_id)
        or is_author_forgotten(stones, post.platform, post.author_id or post.handle)
        or any(was_forgotten(stones, post.platform, one, input_) for one in post.former)
    )


def _is_gone(stones: Tombstones, post: Post, own: str | None) -> bool:
    """Tell whether a post that a post names, or itself, has a tombstone."""
    words = (own, *post.anywhere.get(own or "", ()))
    platforms = [post.platform, *platforms_of(stones)] if post.linked else [post.platform]
    return any(is_forgotten(stones, one, word) for one in platforms for word in words)


def platforms_of(stones: Tombstones) -> list[str]:
    """Return the platforms of forgotten posts that a post may be of whose platform nobody says."""
    return sorted(one for one in stones.platforms if one and not counts_within(one))


def _without(post: Post, stones: Tombstones, dump: Dump, then: PlacesThen | None) -> Post:
    """Return a post that names no forgotten one, and no file that was."""
    kept = {
        name: None if _is_gone(stones, post, own) else own
        for name, own in (("reply_to", post.reply_to), ("repost_of", post.repost_of))
    }
    gone = _gone(post, stones, dump, then)
    media = tuple(
        Media(one.index, one.kind, status=FORGOTTEN) if place in gone else one
        for place, one in places(post.media)
    )
    return replace(post, reply_to=kept["reply_to"], repost_of=kept["repost_of"], media=media)


def _gone(post: Post, stones: Tombstones, dump: Dump, then: PlacesThen | None) -> set[int]:
    """Return the places of the media whose sources are forgotten, as far as the media tell.

    A medium whose path is that of a file which is there has its source, whatever else it says.
    """
    file, called = file_of(post.raw_ref), ((post.platform, post.post_id), *post.former)
    at = {
        place: names.resolve(one.path, file) if one.path else None
        for place, one in places(post.media)
    }
    gone = {place for place, name in at.items() if _covered(stones, dump, name)}
    known = [name for name in called if has_marks(stones, *name)]
    before = {
        (name, place)
        for place in at
        for name in called
        if then and is_place_marked(stones, *name, place)
    }
    if not (known or before):
        return gone
    told = {place: _words(one, place, file, dump) for place, one in places(post.media)}
    likely = Counter(word for words in told.values() for word in words.likely)
    for place, words in told.items():
        name = at[place]
        if place in gone or (name is not None and dump.has(name)):
            continue
        once = {word for word in words.likely if likely[word] == 1}
        if any(is_marked(stones, *one, words.sure | once) for one in known) or any(
            then is not None and then.mean(*one, post.raw_ref, words, dump.has)
            for one in called
            if (one, place) in before
        ):
            gone.add(place)
    return gone


def _covered(stones: Tombstones, dump: Dump, name: str | None) -> bool:
    return name is not None and stones.covers(dump.address(name))


def _words(one: Media, place: int, file: str, dump: Dump) -> Words:
    """Return what a medium is told by, without what tells nothing."""
    path = text(one.path)
    name = names.resolve(path, file) if path else None
    paths = [path_word(dump.address(""), file, path)] if path else []
    words = words_of(
        place=place,
        kind=one.kind,
        key=text(one.key),
        url=text(one.url),
        paths=[*paths, file_word(dump.address(name))] if name else paths,
        sha256=one.sha256.lower() if one.sha256 else None,
    )
    # photo.jpg is another one at each host.
    vague = {
        word for word in words.likely if (own := name_in(word)) and reach(own) is Reach.NOWHERE
    }
    return Words(words.sure, words.likely - vague)
