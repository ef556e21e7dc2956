"""Enters: a dataset. Leaves: when its pictures were taken, as counts by day, month or year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from imgbatch.report.codebook import columns_known
from imgbatch.report.distributions import analyzer_tables, read_ok
from imgbatch.report.figures import Histogram, Tick, histogram_bars

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray

    from imgbatch.dataset import Dataset

    Unit = Literal["D", "M", "Y"]

WORDS: dict[Unit, str] = {"D": "day", "M": "month", "Y": "year"}
BARS = 120
TICKS = 8
# Outside these lies no photograph, only a wrong clock.
EARLIEST, LATEST = np.datetime64("1826-01-01"), np.datetime64("2100-01-01")


@dataclass(frozen=True, slots=True)
class TimeLine:
    """Counts of one column of dates.

    Attributes:
        unit: what one bar spans: day, month or year.
        dated: how many rows have a date; `rows` is how many there are.
        wrong: how many dates lie before 1826 or after 2099.
    """

    table: str
    column: str
    meaning: str
    unit: str
    first: str
    last: str
    dated: int
    rows: int
    wrong: int
    histogram: Histogram


def time_lines(dataset: Dataset) -> list[TimeLine]:
    """Return one time line per column of dates in the analyzers' tables."""
    found = []
    for table in analyzer_tables(dataset):
        there = set(dataset.table(f"tables/{table}").schema().names)
        for column in columns_known(dataset, table):
            if column.name in there and pa.types.is_temporal(column.type):
                read = read_ok(dataset, table, [column.name])[column.name]
                line = time_line(table, column.name, column.meaning, read)
                found += [line] if line else []
    return found


def time_line(table: str, name: str, meaning: str, values: pa.ChunkedArray) -> TimeLine | None:
    """Return the time line of one column; None when no row has a date."""
    if not (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        return None
    # Not safe: the fraction of a second may go.
    seconds = values.drop_null().cast(pa.timestamp("s"), safe=False)
    days = seconds.to_numpy().astype("datetime64[D]")
    right = days[(days >= EARLIEST) & (days < LATEST)]
    if not right.size:
        return None
    unit = _unit(right)
    return TimeLine(
        table,
        name,
        meaning,
        WORDS[unit],
        str(right.min()),
        str(right.max()),
        int(right.size),
        len(values),
        int(days.size - right.size),
        _histogram(right.astype(f"datetime64[{unit}]"), unit),
    )


def _unit(days: NDArray[np.datetime64]) -> Unit:
    span = int((days.max() - days.min()).astype(int)) + 1
    if span <= BARS:
        return "D"
    return "M" if span <= BARS * 30 else "Y"


def _histogram(dates: NDArray[np.datetime64], unit: Unit) -> Histogram:
    first = dates.min()
    counts = np.bincount((dates - first).astype(int))
    width = 100 / len(counts)
    names = np.datetime_as_string(first + np.arange(len(counts)), unit=unit).tolist()
    step = -(-len(counts) // TICKS)
    ticks = tuple(Tick((i + 0.5) * width, names[i]) for i in range(0, len(names), step))
    return Histogram(histogram_bars(counts, names), ticks, int(counts.max()), "date")
