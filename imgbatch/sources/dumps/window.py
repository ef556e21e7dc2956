"""Enters: the bytes of a JSON document. Leaves: its characters and values, from a moving window.

Decision, 2026-11: no ijson: it gives the items of one path, while a chat's id stands above its
messages; it counts no lines, and after a broken item it gives up. Here json's own decoder works on
a moving window, and msgspec where the end of items can be guessed: items of a list are written
alike, so what parted the last two is looked for. A guess is never believed, only tried: what lies
between two such places must be a list of as many items as there are pieces; else each piece is
tried, and of what begins an item one piece alone is a whole JSON object, as no object begins with
another. Drawback: a value must fit ITEM_CHARS, and its beginning is decoded again for each piece
that it grows by.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.posts import HOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedReader

PIECE = 2**16
# After guesses in a row that gave nothing, as where what is in the items begins as they do, 1, 2, 4
# and at most so many items are taken alone.
ALONE = 1024
# As many items as lie in so many characters are decoded at once, and are in memory then.
BATCH = 2**15
# The longest value that is decoded whole: metadata of one post, all its comments included.
ITEM_CHARS = 2**26
# So much of the space before an item is kept: its indent is no longer.
INDENT = 1024
# An error this close to the end of what was read may be the end's fault: no JSON token but a string
# is longer, and an unfinished string names itself.
NEAR = 64

SPACE = re.compile(r"[ \t\r\n]*")
SPACE_OR_COMMA = re.compile(r"[ \t\r\n,]*")
# One that JSON does not know, one that it does (or may, as the text ends in it), or a backslash.
ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})"
    r"|([\"\\/bfnrt]|u[0-9A-Fa-f]{4}|(?:x[0-9A-Fa-f]?|u[0-9A-Fa-f]{0,3})?\Z)|)"
)
BEGUN = re.compile(r"\s*|-|[a-zA-Z]{1,8}|\\?u?[0-9a-fA-F]{0,4}")
DECODER = json.JSONDecoder(strict=False)
# What may stand before a document: `window.YTD.tweets.part0 = ` and the like.
BEFORE = re.compile(r"[^\[{]{0,200}?=\s*(?=[\[{])")
# What msgspec raises where it is given no JSON, or what Python's own decoder alone takes; its own
# errors are a ValueError.
MISTAKEN = (ValueError, RecursionError)
# What parts an item from the next, and how that begins.
PARTED = re.compile(r"([ \t\r\n]*,[ \t\r\n]*)\{[ \t\r\n]*\"[^\"\\]{1,64}\"")


Path = tuple[str, ...]


class BrokenError(Exception):
    """The text is no JSON from here on; or it ends early."""

    def __init__(self, message: str, *, cut: bool = False) -> None:
        super().__init__(message)
        self.cut = cut


class Found(NamedTuple):
    """A value of a document.

    Attributes:
        path: the names that lead to it; STEP for an item of a list.
        line: where it begins, from 1.
    """

    path: Path
    value: Any
    line: int


class Window:
    """A window that moves over the text of a file.

    Args:
        file: the document.
        decode: what decodes a list of items that `alike` yields.

    Attributes:
        bad_bytes: how many were no UTF-8 as far as it was read.
        holed: whether a run of at least HOLE NUL bytes was among them.
        failed: why no more of the file could be had, if so; it ends there.
    """

    def __init__(
        self, file: BufferedReader, decode: Callable[[str], list[Any]] = msgspec.json.decode
    ) -> None:
        self._file = file
        self._decode = decode
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._at = 0
        self._ended = False
        # Lines before `_counted`.
        self._line = 1
        self._counted = 0
        # The space between what was taken last and here.
        self._before = ""
        # How many items are taken alone before the next guess, and after it if it is in vain.
        self._alone = 0
        self._next_alone = 1
        self.bad_bytes = 0
        self.holed = False
        self.failed: SourceError | None = None

    def begin(self) -> None:
        """Pass over an assignment before the document."""
        self.peek()
        if found := BEFORE.match(self._text, self._at):
            self._at = found.end()

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
            self._before = (self._before + match.group())[-INDENT:]
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> None:
        """Pass over a character.

        Raises:
            BrokenError: another one stands here.
        """
        found = self._text[self._at : self._at + 1]
        if found != expected:
            raise BrokenError(f"{expected!r} was expected", cut=not found)
        self._at += 1
        self._before = ""

    def value(self) -> Any:
        """Decode the value that begins here and pass over it.

        Raises:
            BrokenError: it is none, does not end, or is longer than ITEM_CHARS.
        """
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._unfinished(error) and self._more():
                    continue
                if len(self._text) - self._at > ITEM_CHARS:
                    raise BrokenError(f"a value of more than {ITEM_CHARS} characters") from error
                if self._cut(error):
                    raise BrokenError("the file ends inside a value", cut=True) from error
                if error.msg.startswith("Invalid \\") and self._repair(error.pos):
                    continue
                raise BrokenError(error.msg.partition(" starting at")[0]) from error
            except ValueError as error:
                raise BrokenError("a number of thousands of digits") from error
            except RecursionError as error:
                raise BrokenError("nested too deep") from error
            # A number may go on in the next piece.
            if end == len(self._text) and self._more():
                continue
            self._at = end
            self._before = ""
            return value

    def alike(self, path: Path) -> Iterator[Found]:
        """Yield the items of a list from here that are parted as this one and the next.

        As many as fit a batch are decoded at once, or one by one where any of them is broken; none
        for a while where that gave nothing (see ALONE).
        """
        if self._alone > 0:
            self._alone -= 1
            return
        parted = PARTED.match(self._text, self._at)
        if parted is None:
            return
        mark, space = "}" + parted[0], len(parted[1])
        begins, breaks = parted[0][space:], mark.count("\n")
        while True:
            start = self._at + space
            end = self._text.rfind(mark, start, start + BATCH)
            if end < 0:
                # No further than that: behind a long item the window is long.
                end = self._text.find(mark, start, start + 2 * PIECE)
            if end < 0:
                # A whole piece without it: the list has ended, or its items are longer than that.
                if len(self._text) - self._at > PIECE or not self._more():
                    return
                continue
            items = self._text[start:end]
            pieces = items[len(begins) :].split(mark)
            line = self._line + self._text.count("\n", self._counted, start)
            count = 0
            for count, value in enumerate(self._decoded(items, pieces, begins), 1):
                yield Found(path, value, line)
                line += pieces[count - 1].count("\n") + breaks
            taken = sum(map(len, pieces[:count])) + count * len(mark)
            self._line = line - parted[1].count("\n")  # the text stands before them
            self._at = self._counted = start + taken - space
            if count == 0:
                self._alone = self._next_alone
                self._next_alone = min(2 * self._next_alone, ALONE)
            else:
                self._next_alone = 1
            if count < len(pieces):
                return

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

    def _decoded(self, items: str, pieces: list[str], begins: str) -> Iterable[Any]:
        """Decode items of which each is parted from the next; else as far as one can.

        Args:
            items: all of them, but for the last bracket.
            pieces: what lies between what they all begin with and their last bracket.
            begins: what they begin with.
        """
        with contextlib.suppress(*MISTAKEN):
            found = self._decode(f"[{items}}}]")
            if len(found) == len(pieces):
                return found
        return _one_by_one(pieces, begins)

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
            try:
                data = self._file.read1(PIECE)
            except SourceError as error:
                # Its end, and told when all that came before it was read.
                self.failed, data = error, b""
            self._ended = not data
            piece = self._decoder.decode(data, final=self._ended)
            if replaced := piece.count("\ufffd"):
                self.bad_bytes += max(0, replaced - data.count(b"\xef\xbf\xbd"))
            if "\0" in piece:
                self.holed |= "\0" * HOLE in piece
                piece = piece.replace("\0", "")
            pieces.append(piece)
            left -= len(data)
        self._text = "".join(pieces)
        self._at = self._counted = 0
        return len(self._text) > len(kept)


def _one_by_one(pieces: list[str], begins: str) -> Iterator[Any]:
    for piece in pieces:
        try:
            value = msgspec.json.decode(f"{begins}{piece}}}")
        except MISTAKEN:
            return
        yield value


def _escape(match: re.Match[str]) -> str:
    hexadecimal, known = match.groups()
    if hexadecimal:
        return f"\\u00{hexadecimal}"
    return "\\\\" if known is None else match.group()
