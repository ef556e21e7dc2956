r"""Enters: a file that is one JSON document, of any length. Leaves: its values, one at a time.

A document is walked: containers that the caller wants whole are decoded and given, all others are
descended into and forgotten, so memory holds one value and a piece of the file. What exporters get
wrong is borne: escapes that JSON does not know (`\x1F`), control and NUL bytes, bytes that are no
UTF-8, a missing comma, a file that ends early. A broken item of a list that was
written one item a line, or indented, is a gap, and reading goes on with the next item.

Decision, 2026-11: json's own C decoder on a moving window, beside ijson in `documents.py`: ijson
gives the items of one path, while a chat's id stands above its messages; it counts no lines, and
after a broken item it gives up. Speed is the same in all: 100,000 indented messages of 600 bytes
took 0.8 to 1.0 s here and 1.1 to 1.4 s through ijson, 100,000 flat ones 0.5 s here and 0.35 s
there, a bare loop of json.loads over lines 0.5 s. Drawback: a value must fit ITEM_CHARS, and its
beginning is decoded again for each piece that it grows by.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.posts import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.sources.dumps.dump import Dump

Path = tuple[str, ...]

PIECE = 2**16
# The longest value that is decoded whole: metadata of one post, all its comments included.
ITEM_CHARS = 2**26
DEEPEST = 32
# An error this close to the end of what was read may be the end's fault: no JSON token but a string
# is longer, and an unfinished string names itself.
NEAR = 64
STEP = "*"

SPACE = re.compile(r"[ \t\r\n]*")
SPACE_OR_COMMA = re.compile(r"[ \t\r\n,]*")
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|([\"\\/bfnrt]|u[0-9A-Fa-f]{4})|)")
BEGUN = re.compile(r"\s*|-|[a-zA-Z]{1,8}|\\?u?[0-9a-fA-F]{0,4}")
DECODER = json.JSONDecoder(strict=False)


class Found(NamedTuple):
    """A value of a document.

    Attributes:
        path: the names that lead to it; STEP for an item of a list.
        line: where it begins, from 1.
    """

    path: Path
    value: Any
    line: int


def values(dump: Dump, name: str, whole: Callable[[Path], bool]) -> Iterator[Found | Gap]:
    """Yield the values of a JSON document in order: scalars, and containers wanted whole or empty.

    Args:
        dump: that holds it.
        name: of the document.
        whole: tells of a path whether the container there is wanted whole. Asked once for all the
            items of a list.

    Yields:
        Each value, and a Gap for each thing that could not be read: `broken-line` for an item that
        was passed over, `cut-line` where the file ends early, `broken-json` where nothing after it
        could be read, `bad-bytes` once for bytes that are no UTF-8, and the error class of a file
        that cannot be had.
    """
    try:
        with dump.open(name) as file:
            yield from _walked(file, name, whole)
    except SourceError as error:
        yield Gap(error.code, name, None, str(error))


def _walked(file: BinaryIO, name: str, whole: Callable[[Path], bool]) -> Iterator[Found | Gap]:
    text = _Text(file)
    walk = _Walk(text, name, whole)
    try:
        yield from walk.document()
    except _BrokenError as error:
        yield walk.gap(error)
    if text.bad_bytes:
        yield Gap("bad-bytes", name, None, "no UTF-8: these bytes became U+FFFD", text.bad_bytes)


class _BrokenError(Exception):
    """The text is no JSON from here on; or it ends early."""

    def __init__(self, message: str, *, cut: bool = False) -> None:
        super().__init__(message)
        self.cut = cut


class _Walk:
    """Goes through a document; the methods give what is found on the way."""

    def __init__(self, text: _Text, ref: str, whole: Callable[[Path], bool]) -> None:
        self._text = text
        self._ref = ref
        self._whole = whole

    def gap(self, error: _BrokenError) -> Gap:
        """Return what tells that nothing from here on was read."""
        kind = "cut-line" if error.cut else "broken-json"
        return Gap(kind, self._ref, self._text.line(), str(error))

    def document(self) -> Iterator[Found | Gap]:
        """Walk it all."""
        yield from self.value(())
        if self._text.peek():
            raise _BrokenError("more follows the end of the document")

    def value(self, path: Path) -> Iterator[Found | Gap]:
        """Walk one value, at which the text stands."""
        first = self._text.peek()
        if len(path) > DEEPEST:
            raise _BrokenError(f"nested more than {DEEPEST} deep")
        if first == "{" and not self._whole(path):
            yield from self._members(path)
        elif first == "[" and not self._whole(path):
            yield from self._items((*path, STEP))
        else:
            line = self._text.line()
            yield Found(path, self._text.value(), line)

    def _members(self, path: Path) -> Iterator[Found | Gap]:
        text = self._text
        text.take("{")
        if text.peek() == "}":
            yield Found(path, {}, text.line())
        while (first := text.peek(SPACE_OR_COMMA)) != "}":
            if first != '"':
                raise _BrokenError("a name was expected", cut=not first)
            name = text.value()
            text.peek()
            text.take(":")
            yield from self.value((*path, name))
        text.take("}")

    def _items(self, path: Path) -> Iterator[Found | Gap]:
        text = self._text
        text.take("[")
        if text.peek() == "]":
            yield Found(path[:-1], [], text.line())
        whole = self._whole(path)
        while (first := text.peek(SPACE_OR_COMMA)) != "]":
            if first == "{" and whole:
                yield self._item(path)
            elif first in ("", "}", ":"):
                raise _BrokenError("a list does not end", cut=not first)
            else:
                yield from self.value(path)
        text.take("]")

    def _item(self, path: Path) -> Found | Gap:
        """Decode an item; one that is broken is passed over where the next can be told."""
        line = self._text.line()
        try:
            return Found(path, self._text.value(), line)
        except _BrokenError as error:
            if error.cut or not self._text.pass_over():
                raise
            return Gap("broken-line", self._ref, line, str(error))


class _Text:
    """A window that moves over the text of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._at = 0
        self._ended = False
        # Lines before `_counted`.
        self._line = 1
        self._counted = 0
        # The space between what was taken last and here.
        self._before = ""
        self.bad_bytes = 0

    def line(self) -> int:
        """Return the line at which the text stands, from 1."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def peek(self, space: re.Pattern[str] = SPACE) -> str:
        """Pass over space and return the next character; "" at the end."""
        while True:
            match = space.match(self._text, self._at)
            assert match is not None, "it matches nothing, too"
            self._before += match.group()
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> None:
        """Pass over a character.

        Raises:
            _BrokenError: another one stands here.
        """
        found = self._text[self._at : self._at + 1]
        if found != expected:
            raise _BrokenError(f"{expected!r} was expected", cut=not found)
        self._at += 1
        self._before = ""

    def value(self) -> Any:
        """Decode the value that begins here and pass over it.

        Raises:
            _BrokenError: it is none, does not end, or is longer than ITEM_CHARS.
        """
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._unfinished(error) and self._more():
                    continue
                if len(self._text) - self._at > ITEM_CHARS:
                    raise _BrokenError(f"a value of more than {ITEM_CHARS} characters") from error
                if self._cut(error):
                    raise _BrokenError("the file ends inside a value", cut=True) from error
                if error.msg.startswith("Invalid \\") and self._repair(error.pos):
                    continue
                raise _BrokenError(error.msg.partition(" starting at")[0]) from error
            except ValueError as error:
                raise _BrokenError("a number of thousands of digits") from error
            except RecursionError as error:
                raise _BrokenError("nested too deep") from error
            # A number may go on in the next piece.
            if end == len(self._text) and self._more():
                continue
            self._at = end
            self._before = ""
            return value

    def pass_over(self) -> bool:
        """Move to the next item of an indented list, or to where the list ends.

        Returns:
            Whether either was found; else the text stands at its end.
        """
        newline = self._before.rfind("\n")
        if newline < 0:
            return False
        indent = self._before[newline + 1 :]
        mark = re.compile(f"\n{indent}{{|\n[ \t]{{0,{max(0, len(indent) - 1)}}}\\]")
        while (found := mark.search(self._text, self._at)) is None:
            self._at = max(self._at, len(self._text) - len(indent) - 2)
            if not self._more():
                return False
        self._at = found.start()
        return True

    def _unfinished(self, error: json.JSONDecodeError) -> bool:
        if len(self._text) - self._at > ITEM_CHARS:
            return False
        return error.pos >= len(self._text) - NEAR or error.msg.startswith("Unterminated string")

    def _cut(self, error: json.JSONDecodeError) -> bool:
        """Tell whether what is wrong is that the file ended, in which a token may be begun."""
        unfinished = error.msg.startswith("Unterminated string")
        return self._ended and (unfinished or bool(BEGUN.fullmatch(self._text, error.pos)))

    def _repair(self, position: int) -> bool:
        """Write the escapes of all that was read from here on as JSON has them."""
        rest = self._text[position:]
        mended = ESCAPE.sub(_escape, rest)
        self._text = self._text[:position] + mended
        return mended != rest

    def _more(self) -> bool:
        """Read on, at least as much as is kept, and forget what lies behind."""
        if self._ended:
            return False
        self.line()
        kept = self._text[self._at :]
        pieces = [kept]
        left = max(PIECE, len(kept))
        while left > 0 and not self._ended:
            data = self._file.read(PIECE)
            self._ended = not data
            piece = self._decoder.decode(data, final=self._ended)
            self.bad_bytes += max(0, piece.count("\ufffd") - data.count(b"\xef\xbf\xbd"))
            pieces.append(piece.replace("\0", ""))
            left -= len(data)
        self._text = "".join(pieces)
        self._at = self._counted = 0
        return len(self._text) > len(kept)


def _escape(match: re.Match[str]) -> str:
    hexadecimal, known = match.groups()
    if hexadecimal:
        return f"\\u00{hexadecimal}"
    return match.group() if known else "\\\\"
