r"""Enters: a file that is one JSON document, of any length. Leaves: its values, one at a time.

A document is walked: containers that the caller wants whole are decoded and given, all others are
descended into and forgotten, so memory holds one value and a piece of the file. What exporters get
wrong is borne: escapes that JSON does not know (`\x1F`), control and NUL bytes, bytes that are no
UTF-8, a missing comma, a file that ends early. A broken item of a list that was
written one item a line, or indented, is a gap, and reading goes on with the next item.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.posts import Gap
from imgbatch.sources.dumps.window import SPACE_OR_COMMA, BrokenError, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.sources.dumps.dump import Dump

Path = tuple[str, ...]

DEEPEST = 32
STEP = "*"


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


def items(dump: Dump, name: str, path: Path) -> Iterator[tuple[int, Any] | Gap]:
    """Yield (number from 1, item) of the items at a path of a JSON document; Gaps by number too.

    Args:
        dump: that holds it.
        name: of the document.
        path: of the items, so with STEP at its end.
    """
    number = 0
    for found in values(dump, name, lambda at: at == path):
        if isinstance(found, Found):
            if found.path == path:
                number += 1
                yield number, found.value
            continue
        yield found if found.line is None else replace(found, line=number + 1)
        number += found.kind == "broken-line"


def pairs(dump: Dump, name: str) -> Iterator[tuple[int, tuple[str, Any]] | Gap]:
    """Yield (line, (key, value)) of the JSON object that a document is, and its Gaps."""
    for found in values(dump, name, lambda at: len(at) == 1):
        if isinstance(found, Gap):
            yield found
        elif found.path:
            yield found.line, (found.path[0], found.value)


def _walked(file: BinaryIO, name: str, whole: Callable[[Path], bool]) -> Iterator[Found | Gap]:
    text = Window(file)
    walk = _Walk(text, name, whole)
    try:
        yield from walk.document()
    except BrokenError as error:
        yield walk.gap(error)
    if text.bad_bytes:
        yield Gap("bad-bytes", name, None, "no UTF-8: these bytes became U+FFFD", text.bad_bytes)


class _Walk:
    """Goes through a document; the methods give what is found on the way."""

    def __init__(self, text: Window, ref: str, whole: Callable[[Path], bool]) -> None:
        self._text = text
        self._ref = ref
        self._whole = whole

    def gap(self, error: BrokenError) -> Gap:
        """Return what tells that nothing from here on was read."""
        kind = "cut-line" if error.cut else "broken-json"
        return Gap(kind, self._ref, self._text.line(), str(error))

    def document(self) -> Iterator[Found | Gap]:
        """Walk it all."""
        self._text.begin()
        yield from self.value(())
        if self._text.peek():
            raise BrokenError("more follows the end of the document")

    def value(self, path: Path) -> Iterator[Found | Gap]:
        """Walk one value, at which the text stands."""
        first = self._text.peek()
        if len(path) > DEEPEST:
            raise BrokenError(f"nested more than {DEEPEST} deep")
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
                raise BrokenError("a name was expected", cut=not first)
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
                for line, value in text.alike():
                    yield Found(path, value, line)
            elif first in ("", "}", ":"):
                raise BrokenError("a list does not end", cut=not first)
            else:
                yield from self.value(path)
        text.take("]")

    def _item(self, path: Path) -> Found | Gap:
        """Decode an item; one that is broken is passed over where the next can be told."""
        line = self._text.line()
        try:
            return Found(path, self._text.value(), line)
        except BrokenError as error:
            if error.cut or not self._text.pass_over():
                raise
            return Gap("broken-line", self._ref, line, str(error))
