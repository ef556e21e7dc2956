"""Posts and gaps enter as they are read; rows for the disk leave, some thousand at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from imgbatch.dataset.brought_again import ABOVE, GONE_ROWS
from imgbatch.dataset.former_ids import NAME_ROWS
from imgbatch.dataset.gathered import GAP_ROWS, MEDIA_ROWS, READ_ROWS
from imgbatch.sources.dumps import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgbatch.sources.dumps import Media, Post

ROWS = 10_000
# Of texts: a post may be a book.
CHARACTERS = 8 * 2**20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# What fits into the table's columns of width and height.
LARGEST = 2**31 - 1

# A table for each of `gathered.TAKEN`.
Rows = tuple[pa.Table, ...]


class Batches:
    """Turns posts and gaps into rows of READ_ROWS, MEDIA_ROWS, GAP_ROWS and NAME_ROWS.

    And posts that were forgotten, into rows of GONE_ROWS and MEDIA_ROWS.

    Args:
        input_: the root that they are read from.
        take: takes rows of forgotten posts, whenever they are many.

    Attributes:
        read: how many posts there were.
    """

    def __init__(self, input_: str, take: Callable[[Rows], object] = lambda _: None) -> None:
        self._input = input_
        self._take = take
        self.read = 0
        self._left = 0
        self._clear()

    def _clear(self) -> None:
        self._posts: list[tuple[Any, ...]] = []
        self._media: list[tuple[Any, ...]] = []
        self._gaps: list[tuple[Any, ...]] = []
        self._names: list[tuple[Any, ...]] = []
        self._gone: list[tuple[Any, ...]] = []
        self._gone_media: list[tuple[Any, ...]] = []
        self._size = 0

    def of(self, found: Iterable[tuple[str, Post | Gap]]) -> Iterator[Rows]:
        """Yield rows of pairs of a format's name and what it read."""
        for dump, one in found:
            if isinstance(one, Gap):
                ref, message = text(one.ref), text(one.message)
                self._gaps.append((one.kind, ref, one.line, message, one.count, self._input))
            else:
                self._add(one, dump)
            if self._is_full():
                yield self._full()
        yield self._full()

    def leave_out(self, dump: str, post: Post) -> None:
        """Note what former versions called a forgotten post, and its media; no row of it."""
        self._name(post, dump, gone=True)
        self._left += 1
        seq, own = ABOVE + self._left, text(post.post_id)
        self._gone.append((seq, post.platform, own, self._input, dump, text(post.raw_ref)))
        for place, medium in places(post.media):
            self._gone_media.append(self._medium(seq, post, medium, place))
        # There may be a million before the next post that stays.
        if self._is_full():
            self._take(self._full())

    def _name(self, post: Post, dump: str, *, gone: bool) -> None:
        for was, had in post.former:
            now = (text(post.raw_ref), dump, was, text(had), post.platform, text(post.post_id))
            self._names.append((self.read, *now, gone))

    def _add(self, post: Post, dump: str) -> None:
        self.read += 1
        if post.former:
            self._name(post, dump, gone=False)
        said = text(post.text)
        metrics = json.dumps(dict(post.metrics), sort_keys=True, ensure_ascii=True)
        for told in (said, metrics, post.post_id, post.author_id, post.author_name, post.url):
            self._size += len(told or "")
        self._posts.append(
            (
                self.read,
                post.platform,
                text(post.post_id),
                text(post.author_id),
                text(post.author_name),
                None if post.created_at is None else (post.created_at - EPOCH) // MICROSECOND,
                post.time_source,
                said,
                text(post.lang),
                text(post.url),
                text(post.reply_to),
                text(post.repost_of),
                metrics,
                len(post.media),
                "present",
                text(post.raw_ref),
                dump,
                self._input,
                post.partial,
            )
        )
        for place, medium in places(post.media):
            self._media.append(self._medium(self.read, post, medium, place))

    def _medium(self, seq: int, post: Post, one: Media, place: int) -> tuple[Any, ...]:
        for told in (one.url, one.path, one.key, one.alt_text):
            self._size += len(told or "")
        return (
            seq,
            post.platform,
            text(post.post_id),
            place,
            one.kind,
            text(one.key),
            text(one.url),
            text(one.path),
            one.sha256.lower() if one.sha256 else None,
            text(one.alt_text),
            pixels(one.width),
            pixels(one.height),
            one.duration,
            one.status,
            self._input,
        )

    def _is_full(self) -> bool:
        return max(map(len, self._held())) >= ROWS or self._size >= CHARACTERS

    def _held(self) -> tuple[list[tuple[Any, ...]], ...]:
        return (
            self._posts,
            self._media,
            self._gaps,
            self._names,
            self._gone,
            self._gone_media,
        )

    def _full(self) -> Rows:
        schemas = (READ_ROWS, MEDIA_ROWS, GAP_ROWS, NAME_ROWS, GONE_ROWS, MEDIA_ROWS)
        made = tuple(map(_table, self._held(), schemas))
        self._clear()
        return made


def places(media: Sequence[Media]) -> Iterator[tuple[int, Media]]:
    """Yield media with their places in the post: their own, unless two claim the same."""
    own = len({one.index for one in media}) == len(media)
    for place, medium in enumerate(media):
        yield (medium.index if own else place), medium


def text(found: str | None) -> str | None:
    """Return text that a table can hold: half a surrogate pair is shown as a replacement."""
    if found is None or found.isascii():
        return found
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def pixels(found: int | None) -> int | None:
    """Return a side that a picture can have; None for any other claim of a dump."""
    return found if found is not None and 0 <= found <= LARGEST else None


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    if not rows:
        return schema.empty_table()
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, f.type) for column, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
