"""Enters: one JSON document of a dump, of any size. Leaves: the parts that are asked for, streamed.

ijson (its C backend) parses while the file is read: memory holds one item at a time. Where the
document breaks, what came before was given, and the rest is one Gap: JSON has no lines by which to
find back in.
"""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import ijson

from imgbatch.errors import ArchiveError, SourceError
from imgbatch.sources.dumps.posts import Counted, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.sources.dumps.dump import Dump

    Mend = Callable[[bytes], bytes]

BUFFER = 2**16
# What may stand before a document: `window.YTD.tweets.part0 = ` and the like.
BEFORE = re.compile(rb"^(?:\xef\xbb\xbf)?[^\[{]{0,200}?=\s*(?=[\[{])")
# A low surrogate that follows no high one; and any escape, a lone surrogate as its group.
LONE = re.compile(rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]")
ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)
# What the next piece may go on with: an escape that is not whole, a high surrogate, or both.
TAIL = re.compile(rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
ESCAPES = 11
BACKSLASH = ord("\\")


def items(
    dump: Dump, name: str, path: str = "item", *, mend: Mend | None = None
) -> Iterator[tuple[int, Any] | Gap]:
    """Yield (number from 1, item) of the items below a path of a JSON document, and its Gap.

    An assignment before the document (`window.YTD... = `) is passed over.

    Args:
        dump: that holds it.
        name: of the document.
        path: in ijson's words: `item` (of a list), `messages.item`, `data.videos.item`.
        mend: makes valid JSON of a piece of bytes that is none; it must not look over the edge.
    """
    yield from _streamed(dump, name, mend, lambda file, exact: _items(file, path, exact=exact))


def pairs(
    dump: Dump, name: str, path: str = "", *, mend: Mend | None = None
) -> Iterator[tuple[int, tuple[str, Any]] | Gap]:
    """Yield (number from 1, (key, value)) of a JSON object at a path, and its Gap."""
    yield from _streamed(dump, name, mend, lambda file, exact: _pairs(file, path, exact=exact))


def _items(file: BinaryIO, path: str, *, exact: bool) -> Iterator[Any]:
    return cast("Iterator[Any]", ijson.items(file, path, buf_size=BUFFER, use_float=not exact))


def _pairs(file: BinaryIO, path: str, *, exact: bool) -> Iterator[Any]:
    return cast("Iterator[Any]", ijson.kvitems(file, path, buf_size=BUFFER, use_float=not exact))


def _streamed(
    dump: Dump, name: str, mend: Mend | None, parse: Callable[[BinaryIO, bool], Iterator[Any]]
) -> Iterator[tuple[int, Any] | Gap]:
    """Parse from the start; again, past what was given, where a number takes more than 64 bits."""
    counted = Counted()
    given = 0
    for exact in (False, True):
        try:
            with dump.open(name) as packed:
                file = cast("BinaryIO", io.BufferedReader(_Mended(packed, name, counted, mend)))
                for number, value in enumerate(parse(file, exact), 1):
                    if number > given:
                        yield number, value
                        given = number
        except ijson.JSONError as error:
            if "integer overflow" in str(error) and not exact:
                continue  # numbers as Decimal, which is slower and only then needed
            yield _broken(name, given, error)
        except SourceError as error:
            yield Gap(error.code, name, given + 1, f"{error}; {given} items came before that")
        break
    yield from counted.gaps()


def _broken(name: str, given: int, error: Exception) -> Gap:
    said = error.args[0] if error.args else ""
    shown = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    first = shown.partition("\n")[0].strip()
    cut = "premature EOF" in shown or "Incomplete" in shown
    kind = "cut-line" if cut else "broken-json"
    return Gap(kind, name, given + 1, f"{first}; {given} items were read, the rest was not")


class _Mended(io.RawIOBase):
    """A document as its parser takes it: from its first bracket, valid UTF-8, no NUL."""

    def __init__(self, file: BinaryIO, name: str, counted: Counted, mend: Mend | None) -> None:
        self._file = file
        self._name = name
        self._counted = counted
        self._mend = mend
        self._kept = b""
        self._rest = memoryview(b"")
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type] # any buffer will do
        while not self._rest:
            piece = self._file.read(BUFFER)
            if not piece and not self._kept:
                return 0
            self._rest = memoryview(self._taken(piece))
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _taken(self, piece: bytes) -> bytes:
        data, self._kept = self._kept + piece, b""
        if not self._begun:
            self._begun = True
            data = BEFORE.sub(b"", data, count=1).removeprefix(b"\xef\xbb\xbf")
        if b"\0" in data:
            data = data.replace(b"\0", b"")
            self._counted.note("bad-bytes", "NUL bytes are passed over", self._name)
        data = self._utf8(data, last=not piece)
        if piece:
            data = self._held_back(data)
        data = _paired(data)
        return self._mend(data) if self._mend else data

    def _held_back(self, data: bytes) -> bytes:
        """Keep an escape at the end for the next piece: the other half of it may come there."""
        found = TAIL.search(data, max(0, len(data) - ESCAPES))
        at = found.start() if found else len(data)
        if at == len(data):
            return data
        while at > 0 and data[at - 1] == BACKSLASH:
            at -= 1
        self._kept = data[at:] + self._kept
        return data[:at]

    def _utf8(self, data: bytes, *, last: bool) -> bytes:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            if not last and error.end == len(data) and error.start > len(data) - 4:
                # The piece ends inside a character.
                self._kept = data[error.start :]
                return data[: error.start]
            self._counted.note("bad-bytes", "no UTF-8: became U+FFFD", self._name)
            return data.decode(errors="replace").encode()
        return data


def _paired(data: bytes) -> bytes:
    """Return JSON without the escapes of lone surrogates, at which the parser would stop."""
    if not LONE.search(data):
        return data
    return ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], data)


def whole(dump: Dump, name: str) -> Any:
    """Return the value of a small JSON document: a sidecar, an info file.

    Raises:
        SourceError: it cannot be had; archive.corrupt, it is no JSON.
    """
    try:
        return json.loads(dump.read(name).replace(b"\0", b"").decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise ArchiveError("archive.corrupt", f"no JSON: {error}") from error
