"""Enters: an NDJSON file of a dump. Leaves: its objects with their line numbers, and its Gaps.

Every line that holds no object is a Gap with its number; the lines after it are read. NUL bytes
are passed over, bytes that are no UTF-8 become U+FFFD and are counted.
"""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.posts import HOLE, Counted, Gap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

    from imgbatch.sources.dumps.dump import Dump

# A longer line is no post and no page of posts.
LINE = 2**26
# So many broken lines of a file are told one by one, the others in one count.
TOLD = 1000
BLOCK = 2**16
BOM = b"\xef\xbb\xbf"
# How many lines `first` looks at, and in about so many bytes where one of them holds an object.
TRIED = 20
HEAD = 2**16

Row = tuple[int, dict[str, Any]]
# Lines, and whether they have an end.
Block = tuple[list[bytes], bool]


def objects(dump: Dump, name: str) -> Iterator[Row | Gap]:
    """Yield (line from 1, object) of an NDJSON file, and a Gap where a line holds none.

    Gap kinds: broken-line, cut-line (the last one, without an end), long-line, bad-bytes, and the
    error class of a file that cannot be had or ends in the middle.
    """
    counted = Counted()
    try:
        with dump.open(name) as file:
            yield from _objects(_blocks(file), name, counted)
    except SourceError as error:
        yield Gap(error.code, name, None, str(error))
    yield from counted.gaps()


def first(dump: Dump, name: str) -> list[dict[str, Any]]:
    """Return the first objects of an NDJSON file: what the very first line holds may be foreign.

    None behind them is waited for, so where lines are long there is one.
    """
    found: list[dict[str, Any]] = []
    tried = size = 0
    with suppress(SourceError), dump.open(name) as file:
        for block in _blocks(file):
            rows = list(islice(_objects([block], name, Counted()), TRIED - tried))
            found += [row[1] for row in rows if not isinstance(row, Gap)]
            tried += len(rows)
            size += sum(map(len, block[0]))
            if tried == TRIED or (found and size >= HEAD):
                break
    return found


def _objects(blocks: Iterable[Block], name: str, counted: Counted) -> Iterator[Row | Gap]:
    number = told = 0
    for block, whole in blocks:
        for line in block:
            number += 1
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                found = _tolerant(line, name, number, counted, whole=whole)
                if found is None:
                    continue
            if type(found) is dict:
                yield number, found
                continue
            gap = found if isinstance(found, Gap) else _no_object(found, name, number)
            told += 1
            if told <= TOLD:
                yield gap
            else:
                counted.note(gap.kind, f"further lines after the first {TOLD}", name, number)


def _blocks(file: BufferedReader) -> Iterator[Block]:
    """Yield the lines of a file, many at once, and whether they have an end: the last may not.

    Of a line that is too long so much comes that it shows.
    """
    kept = bytearray()
    while data := file.read1(BLOCK):
        first, *lines = data.split(b"\n")
        if len(kept) <= LINE:
            kept += first
        if lines:
            last = lines.pop()
            yield [bytes(kept), *lines], True
            kept = bytearray(last)
    yield [bytes(kept)], False


def _tolerant(line: bytes, name: str, number: int, counted: Counted, *, whole: bool) -> Any:
    """Return the value of a line that orjson does not take; None if it is blank, a Gap if broken.

    It refuses what others write: NUL, NaN, lone surrogates, bytes that are no UTF-8.
    """
    if len(line) > LINE:
        return Gap("long-line", name, number, f"more than {LINE} bytes")
    if number == 1:
        line = line.removeprefix(BOM)
    if b"\0" * HOLE in line:
        counted.hole(name, number)
    line = line.strip(b"\0 \t\r")
    if not line:
        return None
    try:
        found = _parsed(line, name, number, counted)
    except ValueError as error:
        why = f"no JSON: {error}" if whole else f"the file ends inside this line: {error}"
        return Gap("broken-line" if whole else "cut-line", name, number, why)
    return _no_object(found, name, number) if found is None else found


def _parsed(line: bytes, name: str, number: int, counted: Counted) -> Any:
    if b"\0" in line:
        line = line.replace(b"\0", b"")
        counted.note("bad-bytes", "NUL bytes are passed over", name, number)
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode(errors="replace")
        counted.note("bad-bytes", "no UTF-8: these bytes became U+FFFD", name, number)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_object(value: Any, name: str, number: int) -> Gap:
    return Gap("broken-line", name, number, f"a JSON {type(value).__name__}, no object")
