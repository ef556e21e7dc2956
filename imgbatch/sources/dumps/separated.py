"""Enters: a CSV or TSV file of a dump. Leaves: its header, its rows with their lines, its Gaps.

A row is a list of as many texts as the header has names; one of more or fewer fields is a Gap, and
the rows after it are read. A last line without an end is read, and is a Gap as well: a file that
was cut inside its last field looks the same. NUL bytes are passed over, bytes that are no text
become U+FFFD: both are counted.

Decision, 2026-11: the standard library's reader: pyarrow and DuckDB guess types and end at the
first broken row, or hide it; here every value stays text and every broken row is told. It gets its
lines from blocks of decoded text, so that nothing of ours runs once a line.
"""

from __future__ import annotations

import codecs
import csv
import io
from itertools import chain
from typing import TYPE_CHECKING

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.names import ending
from imgbatch.sources.dumps.posts import HOLE, Counted, Gap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

    from imgbatch.sources.dumps.dump import Dump

DELIMITERS = ",;\t|"
# A longer field is one that a stray quotation mark never ends: without a limit it would take all.
FIELD = 2**22
# A longer line is read as several, so that none fills the memory.
LINE = 2**23
# So many broken rows of a file are told one by one, the others in one count.
TOLD = 1000
HEAD = 2**16
BLOCK = 2**16
NUL = "\0"
# What no file holds, as NUL bytes are passed over.
END = f'{NUL}"'
OPEN = "a quotation mark that never ends: nothing from here on could be read"
UNENDED = (
    "the last line has no end: rows may have been cut off; where the file is whole, end that line"
)
BAD = {
    "\0": "NUL bytes are passed over",
    "\ufffd": "U+FFFD: bytes that are no text, here or before it was written",
}

Row = tuple[int, list[str]]

csv.field_size_limit(FIELD)


def header(dump: Dump, name: str) -> list[str]:
    """Return the names of the columns; none where the file does not begin with any.

    Raises:
        SourceError: it cannot be had.
    """
    return _header(name, dump.head(name, HEAD))[0]


def rows(dump: Dump, name: str) -> Iterator[Row | Gap]:
    """Yield (line from 1, fields) of a CSV or TSV file, compressed or not, and its Gaps.

    Gap kinds: broken-line, cut-line (the last one, without an end), bad-bytes, and the error class
    of a file that cannot be had or ends in the middle.
    """
    counted = Counted()
    try:
        head = dump.head(name, HEAD)
        with dump.open(name) as file:
            yield from _Table(file, name, head, counted).rows()
    except SourceError as error:
        yield Gap(error.code, name, None, str(error))
    yield from counted.gaps()


def _header(name: str, head: bytes) -> tuple[list[str], str]:
    """Return the names of the columns, and what parts them."""
    text = head.decode("utf-8-sig", "replace").replace("\0", "")
    text = text.lstrip("\r\n")
    first = text.partition("\n")[0]
    delimiter = "\t" if ending(name) == "tsv" else max(DELIMITERS, key=first.count)
    return _first(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), delimiter


def _first(rows: Iterator[list[str]]) -> list[str]:
    """Return the first row that is not empty; none where there is none."""
    try:
        return next((fields for fields in rows if fields), [])
    except csv.Error:
        return []


def _is_open(fields: list[str]) -> bool:
    """Tell whether a row goes to the end of the file for a quotation mark that never ends."""
    return any(field.endswith(NUL) for field in fields)


class _Table:
    """The rows of an open file."""

    def __init__(self, file: BufferedReader, name: str, head: bytes, counted: Counted) -> None:
        self._file = file
        self._name = name
        self._counted = counted
        names, delimiter = _header(name, head)
        self._width = len(names)
        # A row by itself, or the end of a field that began with a quotation mark and had none; of
        # more columns than the others either way.
        end = END + delimiter * self._width
        lines = chain(chain.from_iterable(self._blocks()), [end])
        self._reader = csv.reader(lines, delimiter=delimiter)
        # Where other lines end with \r\n, a \r is half an end.
        self._old = b"\r\n" not in head
        # The last line is being read, and has no end.
        self._cut = False

    def rows(self) -> Iterator[Row | Gap]:
        """Yield the rows behind the header."""
        reader, width, told, cut = self._reader, self._width, 0, False
        if _is_open(_first(reader)):
            yield Gap("cut-line", self._name, 1, OPEN)
        while True:
            line = reader.line_num + 1
            try:
                for fields in reader:
                    if len(fields) == width:
                        yield line, fields
                    elif fields:
                        break
                    line = reader.line_num + 1
                else:
                    return
                if fields[0] == END:
                    yield from self._unended(line - 1, told=cut)
                    return
                cut = self._cut or _is_open(fields)
                why = OPEN if _is_open(fields) else f"{len(fields)} of {width} columns"
            except csv.Error as error:
                cut, why = self._cut, str(error)
            if reader.line_num > line and why is not OPEN:
                why += f"; it goes on to line {reader.line_num}"
            kind = "cut-line" if cut else "broken-line"
            told += 1
            if told <= TOLD:
                yield Gap(kind, self._name, line, why)
            else:
                note = f"further rows after the first {TOLD}"
                self._counted.note(kind, note, self._name, line)

    def _unended(self, line: int, *, told: bool) -> Iterator[Gap]:
        """Yield the Gap of a last line without an end, unless its row was told as one."""
        if self._cut and not told:
            yield Gap("cut-line", self._name, line, UNENDED)

    def _blocks(self) -> Iterator[Iterable[str]]:
        """Yield the lines of the file, those of a block together."""
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        kept = ""
        while data := self._file.read1(BLOCK):
            kept += decoder.decode(data)
            # A line ends with \n, \r\n or \r; what follows a last \r is not known yet.
            end = max(kept.rfind("\n"), kept.rfind("\r", 0, -1)) + 1
            if len(kept) - end > LINE:
                end = len(kept)
            if end:
                yield self._lines(kept[:end])
                kept = kept[end:]
        kept += decoder.decode(b"", final=True)
        self._cut = kept.strip("\0") != "" and not (self._old and kept.endswith("\r"))
        yield self._lines(kept)

    def _lines(self, text: str) -> Iterable[str]:
        """Return lines without NUL, and count those that hold what is no text."""
        for bad, note in BAD.items():
            if bad not in text:
                continue
            first = self._reader.line_num + 1
            for place, line in enumerate(io.StringIO(text, newline=""), first):
                if bad in line:
                    self._counted.note("bad-bytes", note, self._name, place)
        if "\0" in text:
            if NUL * HOLE in text:
                self._counted.hole(self._name, self._reader.line_num + 1)
            text = text.replace("\0", "")
        if "\r" in text or not text.endswith("\n"):
            return io.StringIO(text, newline="")
        # The same in half the time; str.splitlines would end lines where CSV has none.
        return [f"{line}\n" for line in text[:-1].split("\n")]
