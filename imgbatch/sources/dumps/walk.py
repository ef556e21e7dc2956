r"""Enters: a file that is one JSON document, of any length. Leaves: its values, one at a time.

A document is walked: containers that the caller wants whole are decoded and given, all others are
descended into and forgotten, so memory holds one value and a piece of the file. What exporters get
wrong is borne: escapes that JSON does not know (`\x1F`), control and NUL bytes, bytes that are no
UTF-8, a missing comma, a file that ends early. A broken item of a list that was
written one item a line, or indented, is a gap, and reading goes on with the next item.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from imgbatch.errors import SourceError
from imgbatch.sources.dumps.posts import Gap
from imgbatch.sources.dumps.window import SPACE_OR_COMMA, BrokenError, Found, Path, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.sources.dumps.dump import Dump

    # What the walk gives: of many items what yields them, so that not each goes up all levels.
    Given: TypeAlias = "Found | Gap | Iterator[Found]"

__all__ = ["STEP", "Found", "Path", "items", "pairs", "values"]

DEEPEST = 32
STEP = "*"


def values(
    dump: Dump,
    name: str,
    whole: Callable[[Path], bool],
    decode: Callable[[str], list[Any]] = msgspec.json.decode,
) -> Iterator[Found | Gap]:
    """Yield the values of a JSON document in order: scalars, and containers wanted whole or empty.

    Args:
        dump: that holds it.
        name: of the document.
        whole: tells of a path whether the container there is wanted whole. Asked once for all the
            items of a list.
        decode: what decodes a list of the items that are wanted whole, which come as it gives them;
            those that come alone are as `json` gives them. It may let pass what `json` does not, in
            what it leaves out.

    Yields:
        Each value, and a Gap for each thing that could not be read: `broken-line` for an item that
        was passed over, `cut-line` where the file ends early, `broken-json` where nothing after it
        could be read, `bad-bytes` once for bytes that are no UTF-8, and the error class of a file
        that cannot be had.
    """
    try:
        with dump.open(name) as file:
            yield from _walked(Window(file, decode), name, whole)
    except SourceError as error:
        yield Gap(error.code, name, None, str(error))


def items(dump: Dump, name: str, path: Path) -> Iterator[tuple[int, Any] | Gap]:
    """Yield (number from 1, item) of the items at a path of a JSON document; Gaps by number too.

    Args:
        dump: that holds it.
        name: of the document.
        path: of the items, so with STEP at its end. Where no list stands there is a Gap: `no-id`.
    """
    for found in _numbered(dump, name, lambda at: at == path, path[:-1]):
        yield found if isinstance(found, Gap) else (found[0], found[1].value)


def pairs(dump: Dump, name: str) -> Iterator[tuple[int, tuple[str, Any]] | Gap]:
    """Yield (number from 1, (key, value)) of the object that a JSON document is; Gaps so too."""
    for found in _numbered(dump, name, lambda at: len(at) == 1):
        if isinstance(found, Gap):
            yield found
        else:
            number, (path, value, _) = found
            yield number, (path[0], value)


def _numbered(
    dump: Dump, name: str, whole: Callable[[Path], bool], above: Path | None = None
) -> Iterator[tuple[int, Found] | Gap]:
    """Yield what is wanted whole with its number, in the place of a line of a Gap too.

    What stands `above`, or on the way there, instead of a list is a Gap.
    """
    number = 0
    for found in values(dump, name, whole):
        if isinstance(found, Gap):
            yield found if found.line is None else replace(found, line=number + 1)
            number += found.kind == "broken-line"
        elif whole(found.path):
            number += 1
            yield number, found
        elif (
            above is not None
            and found.path == above[: len(found.path)]
            and (found.path != above or found.value != [])
        ):
            at = ".".join(above) or "the document"
            yield Gap("no-id", name, number + 1, f"{at}: no list")


def _walked(text: Window, name: str, whole: Callable[[Path], bool]) -> Iterator[Found | Gap]:
    walk = _Walk(text, name, whole)
    try:
        for found in walk.document():
            if isinstance(found, Found | Gap):
                yield found
            else:
                yield from found
    except BrokenError as error:
        if text.failed is None:
            yield walk.gap(error)
    if text.bad_bytes:
        yield Gap("bad-bytes", name, None, "no UTF-8: these bytes became U+FFFD", text.bad_bytes)
    if text.holed:
        yield Gap("broken-line", name, None, "NUL bytes stand where something else stood")
    if text.failed is not None:
        raise text.failed


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

    def document(self) -> Iterator[Given]:
        """Walk it all."""
        self._text.begin()
        yield from self.value(())
        if self._text.peek():
            raise BrokenError("more follows the end of the document")

    def value(self, path: Path) -> Iterator[Given]:
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

    def _members(self, path: Path) -> Iterator[Given]:
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

    def _items(self, path: Path) -> Iterator[Given]:
        text = self._text
        text.take("[")
        if text.peek() == "]":
            yield Found(path[:-1], [], text.line())
        whole = self._whole(path)
        while (first := text.peek(SPACE_OR_COMMA)) != "]":
            if first == "{" and whole:
                yield self._item(path)
                yield text.alike(path)
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
