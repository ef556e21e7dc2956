"""Enters: a dataset. Leaves: one summary per column of its tables, whatever analyzers filled them.

Columns are read a few at a time, so memory is bounded however many rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.report.codebook import columns_known
from imgbatch.report.figures import Bar, Histogram, histogram, top_bars

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.analyzers import Column
    from imgbatch.dataset import Dataset

# Values in memory at once; 8 bytes each for numbers.
VALUES_AT_ONCE = 16_000_000
NAMES_SHOWN = 8
FORMS = ("numbers", "names", "other")
# Texts that are mostly different, or that many, are names or digests and no categories.
FEW_NAMES, MANY_NAMES = 12, 500
KEYS = frozenset(
    {
        *("source_id", "version", "picture_id", "frame", "time", "region_id", "region"),
        *("status", "error_class"),
    }
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the values of one column look like.

    Attributes:
        form: `numbers` (histogram), `names` (bars of counts), or `other` (described in words).
        rows: how many rows there are, the missing ones included.
        missing: how many of them are null or not finite.
        low, middle, high: the 5th, 50th and 95th percentile of numbers.
        words: of the form `other`: what the column holds.
    """

    table: str
    column: Column
    form: Literal["numbers", "names", "other"]
    rows: int
    missing: int
    histogram: Histogram | None = None
    bars: tuple[Bar, ...] = ()
    low: float | None = None
    middle: float | None = None
    high: float | None = None
    words: str = ""

    @property
    def present(self) -> int:
        """How many rows have a value."""
        return self.rows - self.missing


def summaries(dataset: Dataset, table: str) -> list[Summary]:
    """Return a summary of every column of an analyzer's table, over the rows that are ok."""
    columns = [c for c in columns_known(dataset, table) if c.name not in KEYS]
    there = set(dataset.table(f"tables/{table}").schema().names)
    columns = [c for c in columns if c.name in there]
    rows = sum(part.rows for part in dataset.table(f"tables/{table}").parts().values())
    found = []
    for group in _groups(columns, rows):
        names = [c.name for c in group if _readable(c.type)]
        read = read_ok(dataset, table, names)
        found += [
            summary(table, c, read[c.name] if c.name in names else None, read.num_rows)
            for c in group
        ]
    # Figures of one form stand side by side.
    return sorted(found, key=lambda s: FORMS.index(s.form))


def read_ok(dataset: Dataset, table: str, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a table, over its rows that are ok: regions have no other."""
    if "status" not in dataset.table(f"tables/{table}").schema().names:
        return dataset.read(table, columns=columns)
    return dataset.read(table, columns=[*columns, "status"], where=pc.field("status") == "ok")


def _groups(columns: Sequence[Column], rows: int) -> Iterator[Sequence[Column]]:
    size = max(1, VALUES_AT_ONCE // max(rows, 1))
    for start in range(0, len(columns), size):
        yield columns[start : start + size]


def _readable(kind: pa.DataType) -> bool:
    return bool(_is_number(kind) or _is_name(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _is_name(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind)
    )


def summary(table: str, column: Column, values: pa.ChunkedArray | None, rows: int) -> Summary:
    """Return the summary of one column; `values` is None for a type that is not drawn."""
    if values is None:
        return Summary(table, column, "other", rows, 0, words=f"{column.type}")
    if _is_number(column.type):
        return _numbers(table, column, values, rows)
    return _names(table, column, values, rows)


def _numbers(table: str, column: Column, values: pa.ChunkedArray, rows: int) -> Summary:
    if pa.types.is_decimal(column.type):
        values = values.cast(pa.float64())
    found = values.drop_null().to_numpy()
    if np.issubdtype(found.dtype, np.floating):
        found = found[np.isfinite(found)]
    missing = rows - found.size
    if not found.size:
        return Summary(table, column, "other", rows, missing, words="no values")
    # Nearest ranks: a count has no half.
    low, middle, high = np.percentile(found, (5, 50, 95), method="nearest").tolist()
    return Summary(
        table,
        column,
        "numbers",
        rows,
        missing,
        histogram=histogram(found),
        low=low,
        middle=middle,
        high=high,
    )


def _names(table: str, column: Column, values: pa.ChunkedArray, rows: int) -> Summary:
    missing = int(values.null_count)
    different = int(pc.count_distinct(values, mode="only_valid").as_py())
    if not different:
        return Summary(table, column, "other", rows, missing, words="no values")
    if different > MANY_NAMES or (different > FEW_NAMES and 4 * different > rows - missing):
        words = f"{different:,} different values"
        return Summary(table, column, "other", rows, missing, words=words)
    counts = name_counts(values)
    return Summary(table, column, "names", rows, missing, bars=top_bars(counts, NAMES_SHOWN))


def name_counts(values: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value occurs; booleans are called yes and no."""
    found = pc.value_counts(values.drop_null())
    names = found.field("values").to_pylist()
    counts = found.field("counts").to_pylist()
    words = {True: "yes", False: "no"}
    return {
        words[n] if isinstance(n, bool) else str(n): c for n, c in zip(names, counts, strict=True)
    }


def analyzer_tables(dataset: Dataset) -> list[str]:
    """Return the names of the tables that analyzers filled."""
    return [name for name in dataset.tables() if name != SOURCES]
