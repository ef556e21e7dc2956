"""Enters: what may not be named any more. Leaves: whether a text, or any object, names it.

An id is found as a word of 32 hex digits whose tombstone is there, so nobody needs to know which
ids those are. An address is found in two ways: as a whole (a cell of a table, a string in JSON), by
its tombstone too; and inside a sentence, for which it must be given. The id of a post is found as
`imgbatch.dataset.post_ids` says, in any object but here:

    text, alt_text    what posts say, in any table: a number may stand there by chance
    address, ...      a table's columns of addresses, ids, versions and digests of sources
    tables of posts   in which `posts_leaving.traces` says whose a row is, and whom it answers
"""

from __future__ import annotations

import html
import io
import itertools
import json
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from imgbatch.dataset.posts_leaving import is_of_posts, traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.dataset.post_ids import PostIds
    from imgbatch.dataset.tombstones import Tombstones

WORD = re.compile(r"[0-9a-f]{32,}")
URL = re.compile(r"[a-z][a-z0-9+.-]*://")
ID_LENGTH = 32
# `a.jpg` is not named by `a.jpg.json` or `b/a.jpg`, and is by `a.jpg.` at the end of a sentence.
GOES_ON = re.compile(r"[.\-_#]*\w")
GROUP = 3
PARQUET = b"PAR1"
# A number of JSON that has fewer digits counts something.
NUMBER = 10**14
# Columns in which no post is looked for; those of sources end so, as in `tombstones.KEYS`.
SAID = ("text", "alt_text")
OF_SOURCES = ("source_id", "picture_id", "region_id", "address", "container", "version", "sha256")


@dataclass(frozen=True)
class Needles:
    """What is looked for.

    Attributes:
        stones: find ids, and addresses that stand alone.
        words: ids and SHA-256 digests that are looked for besides.
        addresses: are looked for inside sentences, with and without their scheme.
        posts: finds ids of posts.
    """

    stones: Tombstones
    words: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    posts: PostIds | None = None
    _groups: list[_Group] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_groups", list(_groups(self.addresses)))

    def in_text(self, text: str) -> bool:
        """Tell whether a string names one."""
        return self._source(text) or (self.posts is not None and self.posts.within(text))

    def _source(self, text: str) -> bool:
        if self._word(text):
            return True
        if URL.match(text) and "\n" not in text:
            # An address, or a message that begins with one.
            return self._whole(text) or (": " in text and self._whole(text.partition(": ")[0]))
        return "/" in text and any(group.within(text) for group in self._groups)

    def _whole(self, address: str) -> bool:
        return address in self.addresses or self.stones.covers(address)

    def _word(self, text: str) -> bool:
        return any(
            word in self.words or (len(word) == ID_LENGTH and word in self.stones)
            for word in WORD.findall(text)
        )

    def in_line(self, line: str) -> bool:
        """Tell whether a line of JSON, or of any text, names one."""
        try:
            value = json.loads(line)
        except ValueError:
            return self.in_text(line)
        if not isinstance(value, (str, dict, list)):
            return self.in_text(line)
        return any(self.in_text(text) for text in _strings(value))

    def in_object(self, name: str, data: bytes) -> int:
        """Return how many cells, strings, lines, or rows of posts, of an object name one.

        Raises:
            ArrowException, OSError: it calls itself Parquet and is not.
        """
        if not _is_parquet(name, data):
            return sum(map(self.in_text, texts(name, data)))
        table = pq.read_table(io.BytesIO(data))
        found = sum(map(self.in_text, _metadata(table)))
        of_posts = is_of_posts(table)
        for column_name, column in zip(table.column_names, table.columns, strict=True):
            apart = of_posts or column_name in SAID or column_name.endswith(OF_SOURCES)
            names = self._source if apart else self.in_text
            found += sum(names(text) for chunk in column.chunks for text in _cells(chunk))
        return found + traces(self.stones, table)


def texts(name: str, data: bytes) -> Iterator[str]:
    """Yield all text of an object: the cells of a Parquet file, the strings of JSON, the lines."""
    if _is_parquet(name, data):
        table = pq.read_table(io.BytesIO(data))
        yield from _metadata(table)
        for column in table.columns:
            for chunk in column.chunks:
                yield from _cells(chunk)
        return
    text = data.decode("utf-8", "replace")
    if name.endswith(".json") and (value := _json(text)) is not None:
        yield from _strings(value)
        return
    lines = (html.unescape(text) if name.endswith(".html") else text).split("\n")
    for line in lines:
        value = _json(line) if name.endswith((".json", ".jsonl")) else None
        yield from [line] if value is None else _strings(value)


def _is_parquet(name: str, data: bytes) -> bool:
    return name.endswith(".parquet") or data.startswith(PARQUET)


def _metadata(table: pa.Table) -> Iterator[str]:
    for told in (table.schema.metadata or {}).values():
        yield told.decode("utf-8", "replace")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int) and value >= NUMBER:
        yield str(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _cells(array: pa.Array) -> Iterator[str]:
    """Yield each distinct string of a column, however deep it lies."""
    kind = array.type
    if pt.is_dictionary(kind):
        yield from _cells(array.dictionary)
    elif pt.is_string(kind) or pt.is_large_string(kind):
        yield from (text for text in pc.unique(array).to_pylist() if text is not None)
    elif pt.is_map(kind):
        yield from itertools.chain(_cells(array.keys), _cells(array.items))
    elif pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        yield from _cells(array.flatten())
    elif pt.is_struct(kind):
        for inner in array.flatten():
            yield from _cells(inner)


@dataclass(frozen=True, slots=True)
class _Group:
    """Addresses that begin alike, found in one pass over a text however many they are."""

    start: str
    names: frozenset[str]
    lengths: tuple[int, ...]

    def within(self, text: str) -> bool:
        place = text.find(self.start)
        while place >= 0:
            if not (place and (text[place - 1].isalnum() or text[place - 1] in "_-.")):
                for length in self.lengths:
                    whole = text[place : place + length]
                    if whole in self.names and not GOES_ON.match(text, place + length):
                        return True
            place = text.find(self.start, place + 1)
        return False


def _groups(addresses: Iterable[str]) -> Iterator[_Group]:
    alike = defaultdict(set)
    for address in addresses:
        # A message of the system has the path alone.
        path = address.partition("://")[2]
        alike[path[:GROUP]].add(path)
    for names in alike.values():
        lengths = tuple(sorted({len(name) for name in names}))
        start = os.path.commonprefix(sorted(names))  # noqa: RUF071 - letters, not folders
        yield _Group(start, frozenset(names), lengths)
