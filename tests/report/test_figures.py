"""Figures hold every value, in bars whose places and ticks are worked out by hand here."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgbatch.report.figures import heat_map, histogram, nice_step, top_bars
from imgbatch.report.timeline import time_line


@pytest.mark.parametrize(
    ("rough", "step"), [(0.9, 1), (1, 1), (1.1, 2), (3, 5), (7, 10), (0.012, 0.02), (2500, 5000)]
)
def test_a_nice_step_is_1_2_or_5_times_a_power_of_ten(rough: float, step: float) -> None:
    assert nice_step(rough) == pytest.approx(step)


def test_few_whole_numbers_get_a_bar_each() -> None:
    figure = histogram(np.array([3, 3, 5, 6, 6, 6]))
    assert [(b.label, b.count) for b in figure.bars] == [("3", 2), ("5", 1), ("6", 3)]
    assert [t.label for t in figure.ticks] == ["3", "4", "5", "6"]
    # Four slots of 25: the middle of the first lies at 12.5.
    assert figure.ticks[0].at == 12.5
    assert figure.bars[0].at + figure.bars[0].width / 2 == 12.5
    assert figure.bars[2].length == 100
    assert figure.bars[1].length == pytest.approx(100 / 3)


def test_small_floats_are_not_overflown_by_what_large_ones_need() -> None:
    assert sum(b.count for b in histogram(np.array([0.5, 2.5], np.float32)).bars) == 2


def test_bins_have_round_edges() -> None:
    # A span of 100 in at most 36 bins: steps of 5, from 0.
    figure = histogram(np.linspace(0.5, 99.5, 1000))
    assert figure.bars[0].label == "0 to 5"
    assert figure.bars[-1].label == "95 to 100"
    assert [(t.at, t.label) for t in figure.ticks] == [
        (0, "0"), (20, "20"), (40, "40"), (60, "60"), (80, "80"), (100, "100"),
    ]  # fmt: skip


def test_a_long_tail_gets_a_log_axis_and_zeros_are_counted_apart() -> None:
    values = np.concatenate([np.zeros(7), np.geomspace(1, 10_000, 1000)])
    figure = histogram(values)
    assert figure.scale == "log"
    assert figure.hidden == 7
    # Even on a log axis: every bar counts about the same.
    counts = [b.count for b in figure.bars]
    assert sum(counts) == 1000
    assert max(counts) - min(counts) <= 2
    ticks = {t.label: t.at for t in figure.ticks}
    assert ticks["100"] == pytest.approx(50)


@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=50)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=50)
    | st.lists(st.floats(width=64, allow_nan=False, allow_infinity=False), min_size=1, max_size=9)
)
@example([2**54 + 3])  # a float cannot hold it
@example([1.7976931340000001e308])
@example([5e-324])
def test_no_value_is_lost_and_nothing_lies_outside(values: list[float]) -> None:
    figure = histogram(np.array(values))
    assert sum(b.count for b in figure.bars) + figure.hidden == len(values)
    assert figure.top == max(b.count for b in figure.bars)
    for place in [b.at for b in figure.bars] + [t.at for t in figure.ticks]:
        assert -0.01 <= place <= 100.01
    assert len(figure.bars) <= 40
    assert len(figure.ticks) <= 13
    assert len(figure.levels) <= 5


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=40))
def test_a_heat_map_holds_every_pair(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs).T
    figure = heat_map(x, y)
    counts = [int(cell.label.rpartition(": ")[2].replace(",", "")) for cell in figure.cells]
    assert sum(counts) == len(pairs)
    assert all(0 < cell.shade <= 1 for cell in figure.cells)


def test_a_wide_picture_lies_below_the_line_of_squares() -> None:
    (cell,) = heat_map(np.array([4000]), np.array([1000])).cells
    assert cell.x > 100 - cell.y - 100 / 24
    assert cell.label.startswith("3,")


def test_the_largest_names_come_first_and_the_others_together() -> None:
    bars = top_bars({"a": 1, "b": 5, "c": 3, "d": 3}, most=2)
    assert [(b.label, b.count) for b in bars] == [("b", 5), ("c", 3), ("2 others", 4)]
    assert [b.length for b in bars] == [100, 60, 80]


@pytest.mark.parametrize(
    ("dates", "unit", "bars"),
    [
        (["2020-02-28", "2020-02-28", "2020-03-01"], "day", [("2020-02-28", 2), ("2020-03-01", 1)]),
        (["2020-01-31", "2020-01-01", "2021-03-01"], "month", [("2020-01", 2), ("2021-03", 1)]),
        (["1999-01-01", "2020-12-31"], "year", [("1999", 1), ("2020", 1)]),
    ],
)  # fmt: skip
def test_a_time_line_counts_by_what_fits(
    dates: list[str], unit: str, bars: list[tuple[str, int]]
) -> None:
    stamps = np.array(dates, "datetime64[us]") + np.timedelta64(86_399_999_999, "us")
    values = pa.chunked_array([pa.array(stamps), pa.nulls(2, pa.timestamp("us"))])
    line = time_line("image", "taken_at", "", values)
    assert line is not None
    assert line.unit == unit
    assert [(b.label, b.count) for b in line.histogram.bars] == bars
    assert (line.dated, line.rows, line.wrong) == (len(dates), len(dates) + 2, 0)


def test_dates_of_a_wrong_clock_are_told_and_not_drawn() -> None:
    stamps = np.array(["0001-01-01", "2020-05-05", "9999-12-31"], "datetime64[us]")
    line = time_line("image", "taken_at", "", pa.chunked_array([pa.array(stamps)]))
    assert line is not None
    assert (line.dated, line.wrong, line.first, line.last) == (1, 2, "2020-05-05", "2020-05-05")
    assert math.isclose(line.histogram.bars[0].at + line.histogram.bars[0].width / 2, 50)
