"""Enters: a CSV's text. Leaves: its lines, each with as many cells as the header; or what is wrong.

Decision, 2026-11: no reader of the standard library. Those forgive: a quote that nothing closes
takes the lines below it into its field, and cells too many or too few are dropped or made up. Of
labels that is other labels. Drawback: what is no CSV after RFC 4180 is refused where others guess
right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.errors import LabelsError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A field and what ends it; nothing is tried twice, however long a field is.
FIELD = re.compile(r'(?:"([^"]*+(?:""[^"]*+)*+)"|([^",\r\n]*+))(,|\r\n|\n|\r|\Z)')
BREAK = re.compile(r"\r\n|\n|\r")
QUOTES = (
    "Take the quote out, or put the whole field into quotes and write each quote that it holds "
    'twice: "say ""no""".'
)
COUNT = (
    "Mend the line: a name or label with a comma is put into quotes, and a cell without a value "
    "keeps its comma."
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table, which may be several of its file.

    Attributes:
        number: of its first line in the file, from 1.
    """

    number: int
    cells: tuple[str, ...]

    def refuse_swallowed(self, path: str, place: int) -> None:
        """Refuse a cell that reads as lines of the table, as it does between two stray quotes.

        Raises:
            LabelsError: it does: its first line ends a line of the table, its last one begins one.
        """
        counts = [text.count(",") + 1 for text in BREAK.split(self.cells[place])]
        width = len(self.cells)
        if len(counts) > 1 and counts == [width - place, *[width] * (len(counts) - 2), place + 1]:
            raise LabelsError(
                f"{path}, line {self.number}: {len(counts)} lines stand between two quotes, as one "
                "name or label",
                QUOTES,
            )


def lines_of(text: str, path: str) -> Iterator[Line]:
    """Yield the header and the lines of a CSV, as RFC 4180 has it; blank lines are none.

    Args:
        text: of the file, without a mark of its encoding.
        path: of the file, for messages.

    Raises:
        LabelsError: a quote is not closed, or stands inside a field without quotes; a line has more
            or fewer cells than the header.
    """
    header: Line | None = None
    for line in _split(text, path):
        if len(line.cells) == 1 and not line.cells[0].strip():
            continue
        header = header or line
        if len(line.cells) != len(header.cells):
            raise LabelsError(
                f"{path}, line {line.number}: {_cells(len(line.cells))}, and the header has "
                f"{len(header.cells)}",
                COUNT,
            )
        yield line


def _split(text: str, path: str) -> Iterator[Line]:
    place, begun, number = 0, 1, 1
    cells: list[str] = []
    while place < len(text) or cells:
        found = FIELD.match(text, place)
        if not found:
            raise LabelsError(
                f"{path}, line {number}: a quote is not closed, or stands inside of a field", QUOTES
            )
        quoted, plain, end = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        place = found.end()
        number += len(BREAK.findall(found[0]))
        if end != ",":
            yield Line(begun, tuple(cells))
            cells, begun = [], number


def _cells(count: int) -> str:
    return f"{count} cells" if count > 1 else "1 cell"
