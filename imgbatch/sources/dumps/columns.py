"""Enters: a CSV or TSV file of a dump. Leaves: its rows as objects with their lines, and its Gaps.

A row that has not as many fields as the header is a Gap, and the rows after it are read. Every
value is text; empty ones are left out, so that a field is there or it is missing.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, BinaryIO, cast

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.names import ending
from imgbatch.sources.dumps.posts import Counted, Gap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump

# A longer field is one that a stray quotation mark never ends.
FIELD = 2**24
# So many broken rows of a file are told one by one, the others in one count.
TOLD = 1000
HEAD = 2**16
REPLACED = "\ufffd"

csv.field_size_limit(FIELD)


def header(dump: Dump, name: str) -> list[str]:
    """Return the names of the columns; none where the file does not begin with any.

    Raises:
        SourceError: it cannot be had.
    """
    lines = _decoded(dump.head(name, HEAD)).splitlines()
    if not lines:
        return []
    return next(csv.reader(lines[:1], delimiter=_delimiter(name, lines[0])), [])


def rows(dump: Dump, name: str) -> Iterator[tuple[int, dict[str, str]] | Gap]:
    """Yield (line from 1, row by column) of a CSV or TSV file, compressed or not, and its Gaps.

    Gap kinds: broken-line, cut-line (the last one, without an end), bad-bytes, and the error class
    of a file that cannot be had or ends in the middle.
    """
    counted = Counted()
    try:
        names = header(dump, name)
        with dump.open(name) as file:
            yield from _rows(file, name, names, counted)
    except SourceError as error:
        yield Gap(error.code, name, None, str(error))
    yield from counted.gaps()


def _rows(
    file: BinaryIO, name: str, names: list[str], counted: Counted
) -> Iterator[tuple[int, dict[str, str]] | Gap]:
    lines = _Lines(file, name, counted)
    reader = csv.reader(lines, delimiter=_delimiter(name, lines.first or ""))
    next(reader, None)  # the header
    told = 0
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            fields, why = [], str(error)
        else:
            why = ""
        if fields is None:
            return
        if not why and not fields:
            continue
        if not why and len(fields) == len(names):
            yield line, {key: value for key, value in zip(names, fields, strict=True) if value}
            continue
        told += 1
        gap = _gap(name, line, why or f"{len(fields)} of {len(names)} columns", cut=lines.cut)
        if told <= TOLD:
            yield gap
        else:
            counted.note(gap.kind, f"further rows after the first {TOLD}", name, line)


def _gap(name: str, line: int, why: str, *, cut: bool) -> Gap:
    return Gap("cut-line" if cut else "broken-line", name, line, why)


class _Lines:
    """The lines of a file as text, without NUL.

    Attributes:
        first: the first line, None where there is none.
        cut: the last line that was given has no end.
    """

    def __init__(self, file: BinaryIO, name: str, counted: Counted) -> None:
        self._name = name
        self._counted = counted
        self._number = 0
        buffered = file if isinstance(file, io.BufferedReader) else _buffered(file)
        coding = _coding(buffered.peek(4)[:4])
        self._text = io.TextIOWrapper(buffered, coding, errors="replace", newline="")
        self.cut = False
        self.first = self._next()
        self._kept = self.first

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line, self._kept = self._kept, None
        line = self._next() if line is None else line
        if line is None:
            raise StopIteration
        return line

    def _next(self) -> str | None:
        line = self._text.readline(FIELD)
        if not line:
            return None
        self._number += 1
        self.cut = not line.endswith(("\n", "\r"))
        if "\0" in line:
            line = line.replace("\0", "")
            note = "NUL bytes are passed over"
            self._counted.note("bad-bytes", note, self._name, self._number)
        if REPLACED in line:
            note = "U+FFFD: bytes that are no text, here or before it was written"
            self._counted.note("bad-bytes", note, self._name, self._number)
        return line


def _buffered(file: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(cast("io.RawIOBase", file))


def _coding(head: bytes) -> str:
    """Return how a file is written by its first bytes: spreadsheets write UTF-16 too."""
    return "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _decoded(head: bytes) -> str:
    return head.decode(_coding(head), "replace").replace("\0", "")


def _delimiter(name: str, first: str) -> str:
    if ending(name) == "tsv":
        return "\t"
    return max((",", ";", "\t"), key=first.count)
