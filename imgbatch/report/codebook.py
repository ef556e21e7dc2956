"""Enters: a dataset. Leaves: what every column of its tables means, as rows, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, cast

from imgbatch import groupers
from imgbatch.analyzers import Column
from imgbatch.dataset import groups, posts
from imgbatch.errors import MissingExtraError, SettingsError
from imgbatch.report.kept import kept, settings_of
from imgbatch.report.words import shown
from imgbatch.tables import KEY_COLUMNS, columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from imgbatch.dataset import Dataset
    from imgbatch.report.weights import Used

HEADER = ("table", "column", "type", "unit", "range", "missing", "meaning", "mark")
# A spreadsheet runs a cell that begins so; ranges such as -180 to 180 are harmless.
FORMULA = re.compile(r"[=+\-@\t\r]")
HARMLESS = re.compile(r"[+-]?\d+(\.\d+)?(( to |-|, )[+-]?\d+(\.\d+)?)?$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One column as the codebook says it."""

    table: str
    column: str
    type: str
    unit: str
    range: str
    missing: str
    meaning: str
    mark: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the values in the order of HEADER."""
        return tuple(getattr(self, name) for name in HEADER)


def codebook(dataset: Dataset) -> list[Entry]:
    """Return one entry per column of every table that the dataset has, in the tables' order."""
    known = {table: columns_known(dataset, table) for table in dataset.tables()}
    known |= {groups.path_of(name): labels_known(dataset, name) for name in groups.names(dataset)}
    known |= {
        name: [_described(field, None) for field in posts.SCHEMAS[name]]
        for name in posts.here(dataset)
    }
    settings = settings_of(dataset)

    def meaning(table: str, column: Column) -> str:
        return "; ".join(filter(None, (column.meaning, kept(table, column.name, settings))))

    return [
        Entry(table, c.name, str(c.type), c.unit, c.range, c.missing, meaning(table, c), c.mark)
        for table, columns in known.items()
        for c in columns
    ]


def columns_known(dataset: Dataset, table: str) -> list[Column]:
    """Return the columns of a table that is in the dataset, with all that is known of them.

    What other settings than the defaults bring, or an analyzer that this installation does not
    have, is described by the table's own schema.
    """
    schema = dataset.table(f"tables/{table}").schema()
    try:
        described = {column.name: column for column in columns_of(table)}
    except (SettingsError, MissingExtraError):
        described = {}
    return [_described(field, described.get(field.name)) for field in schema]


def labels_known(dataset: Dataset, name: str) -> list[Column]:
    """Return the columns of a table of labels, with all that is known of them."""
    table = dataset.table(groups.path_of(name))
    grouper = (groups.record(table) or {}).get("grouper", "")
    try:
        own = groupers.load(grouper).COLUMNS
    except (SettingsError, MissingExtraError):
        own = ()
    described = {column.name: column for column in (*KEY_COLUMNS, *own)}
    return [_described(field, described.get(field.name)) for field in table.schema()]


def _described(field: pa.Field, known: Column | None) -> Column:
    words = {k.decode(): v.decode("utf-8", "replace") for k, v in (field.metadata or {}).items()}
    # What was written may mean something else than the same column does by default.
    if known is not None and words.get("meaning", known.meaning) == known.meaning:
        return known
    meaning = words.get("meaning", "not described: its analyzer is not installed here")
    return Column(
        field.name,
        field.type,
        meaning,
        words.get("unit", ""),
        words.get("range", ""),
        words.get("missing", "not known"),
        cast("Any", words.get("mark", "")),
    )


def to_csv(entries: Sequence[Entry]) -> bytes:
    """Return the codebook as CSV (RFC 4180, UTF-8); no cell can act as a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows([_inert(cell) for cell in entry.cells()] for entry in entries)
    return text.getvalue().encode("utf-8", "replace")


def _inert(cell: str) -> str:
    risky = FORMULA.match(cell) and not HARMLESS.match(cell)
    return f"'{cell}" if risky else cell


def to_markdown(entries: Sequence[Entry], *, title: str, weights: Sequence[Used] = ()) -> bytes:
    """Return the codebook as Markdown, one table per table of the dataset, and one of weights."""
    lines = [f"# Codebook of {_plain(title)}"]
    table = None
    for entry in entries:
        if entry.table != table:
            table = entry.table
            lines += ["", f"## {_plain(table)}", "", "| " + " | ".join(HEADER[1:]) + " |"]
            lines.append("|" + " --- |" * len(HEADER[1:]))
        lines.append("| " + " | ".join(_plain(cell) for cell in entry.cells()[1:]) + " |")
    if weights:
        head = ("analyzer", "weights", "sha256", "licence", "what it does not allow")
        lines += ["", "## Weights", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(_plain(str(c)) for c in astuple(w)) + " |" for w in weights]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _plain(cell: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", shown(cell, 500))
