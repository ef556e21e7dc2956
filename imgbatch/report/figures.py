"""Enters: numbers. Leaves: figures with every position worked out, for the templates to draw.

Positions and lengths are percent of the plot: the templates stretch a plot to whatever width a
screen or sheet of paper has, and set the words around it as ordinary text.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from imgbatch.report.words import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.integer[Any] | np.floating[Any]]

BINS = 36
DISCRETE = 24
# A median that lies below this share of the maximum would squeeze a linear axis to one bar.
LOG_BELOW = 1 / 20
NICE = (1, 2, 5, 10)
CELLS = 24
# A bar on its own shall not look like a wall.
WIDEST = 12
# Sums and powers of what lies outside these leave the range of a float.
LARGEST, SMALLEST = 1e300, 1e-300
# A logarithm may come out on either side of its edge.
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis, in percent from its start."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: of a histogram (from the left) or of a list (`at` is 0).

    Attributes:
        length: percent of the longest.
    """

    label: str
    count: int
    at: float
    width: float
    length: float

    @property
    def drawn(self) -> float:
        """Its length as it is drawn: one picture among a million still shows."""
        return max(self.length, 0.8)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts over an axis of numbers or dates.

    Attributes:
        scale: of the axis; on a log axis, values of zero and below are not drawn.
        hidden: how many values are not drawn.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    top: int
    scale: Literal["linear", "log", "date"] = "linear"
    hidden: int = 0

    @property
    def levels(self) -> tuple[Tick, ...]:
        """Round counts on the upright axis, at most four."""
        step = max(1, round(nice_step(self.top / 3)))
        return tuple(Tick(100 * n / self.top, number(n)) for n in range(0, self.top + 1, step))


@dataclass(frozen=True, slots=True)
class Cell:
    """One rectangle of a heat map; `shade` is 0 to 1."""

    x: float
    y: float
    shade: float
    label: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Counts over two log axes of the same range; y grows upwards.

    Attributes:
        side: width and height of a cell.
        top: the count of the darkest cell.
    """

    cells: tuple[Cell, ...]
    ticks: tuple[Tick, ...]
    side: float
    top: int


def bars(counts: Sequence[tuple[str, int]]) -> tuple[Bar, ...]:
    """Return one bar per name, in the order given."""
    top = max((count for _, count in counts), default=0) or 1
    return tuple(Bar(name, count, 0, 100, 100 * count / top) for name, count in counts)


def top_bars(counts: Mapping[str, int], most: int) -> tuple[Bar, ...]:
    """Return bars of the largest counts, and one bar for all the others."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = ranked[:most], ranked[most:]
    if rest:
        shown.append((f"{number(len(rest))} others", sum(count for _, count in rest)))
    return bars(shown)


def histogram(values: Numbers) -> Histogram:
    """Return the histogram of finite numbers; axis and bins follow from the values.

    Few different whole numbers get a bar each; a long tail of positive numbers gets a log axis.
    """
    if np.issubdtype(values.dtype, np.floating):
        values = np.clip(values.astype(np.float64), -LARGEST, LARGEST)
    if np.issubdtype(values.dtype, np.integer) and int(values.max()) - int(values.min()) < DISCRETE:
        return _discrete(values, int(values.min()), int(values.max()))
    low, high = float(values.min()), float(values.max())
    positive = values[values > SMALLEST]
    if low >= 0 and positive.size and float(np.median(positive)) < high * LOG_BELOW:
        return _log(positive, hidden=values.size - positive.size)
    return _linear(values, low, high)


def _discrete(values: Numbers, low: int, high: int) -> Histogram:
    counts = np.bincount((values - low).astype(np.int64), minlength=high - low + 1)
    width = 100 / len(counts)
    step = math.ceil(len(counts) / 8)
    names = [number(low + i) for i in range(len(counts))]
    ticks = [Tick((i + 0.5) * width, names[i]) for i in range(0, len(counts), step)]
    return Histogram(histogram_bars(counts, names), tuple(ticks), int(counts.max()))


def _linear(values: Numbers, low: float, high: float) -> Histogram:
    # One value, or values that a float tells apart only in its last digits.
    step = nice_step(max((high - low) / BINS, abs(high) * SLACK, SMALLEST))
    first = math.floor(low / step)
    last = max(math.floor(high / step) + 1, first + 1)
    edges: NDArray[np.float64] = np.arange(first, last + 1) * np.float64(step)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    counts, _ = np.histogram(values, edges)
    tick_step = nice_step((edges[-1] - edges[0]) / 5)
    marks = np.arange(math.ceil(edges[0] / tick_step - SLACK), edges[-1] / tick_step + SLACK)
    span = edges[-1] - edges[0]
    ticks = [Tick(100 * (m * tick_step - edges[0]) / span, number(m * tick_step)) for m in marks]
    return Histogram(histogram_bars(counts, _spans(edges)), tuple(ticks), int(counts.max()))


def _log(values: Numbers, *, hidden: int) -> Histogram:
    logs = np.log10(values.astype(np.float64))
    low, high = float(logs.min()), float(logs.max())
    edges = np.linspace(low - SLACK, high + SLACK, BINS + 1)
    counts, _ = np.histogram(logs, edges)
    ticks = [Tick(at, label) for at, label in _log_ticks(low, high)]
    bars_ = histogram_bars(counts, _spans(10**edges))
    return Histogram(bars_, tuple(ticks), int(counts.max()), "log", int(hidden))


def histogram_bars(counts: Numbers, names: Sequence[str]) -> tuple[Bar, ...]:
    """Return one bar per count that is not 0, side by side over the whole axis."""
    slot, top = 100 / len(counts), max(int(counts.max()), 1)
    width = min(0.9 * slot, WIDEST)
    return tuple(
        Bar(name, int(count), (i + 0.5) * slot - width / 2, width, 100 * int(count) / top)
        for i, (name, count) in enumerate(zip(names, counts.tolist(), strict=True))
        if count
    )


def _spans(edges: NDArray[np.float64]) -> list[str]:
    named = [number(edge) for edge in edges.tolist()]
    return [f"{a} to {b}" for a, b in itertools.pairwise(named)]


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return 1, 2, 5, 10, ... between two powers of ten, thinned to at most 7."""
    span = high - low or 1.0
    decades = range(math.floor(low), math.ceil(high) + 1)
    values = [d * 10.0**e for e in decades for d in (1, 2, 5)]
    inside = [v for v in values if low - SLACK <= math.log10(v) <= high + SLACK]
    if len(inside) > 7:  # noqa: PLR2004 - what fits under a plot of 300 pixels
        inside = [v for v in inside if round(math.log10(v), 9).is_integer()]
    step = math.ceil(len(inside) / 7) or 1
    return [(100 * (math.log10(v) - low) / span, number(v)) for v in inside[::step]]


def nice_step(rough: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `rough`."""
    if rough <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(n * power for n in NICE if n * power >= rough * (1 - SLACK))


def heat_map(x: Numbers, y: Numbers) -> HeatMap:
    """Return counts of positive pairs on one log range for both axes, so squares lie on 45 deg."""
    low = math.log10(float(min(x.min(), y.min())))
    high = math.log10(float(max(x.max(), y.max())))
    if high - low < 0.2:  # noqa: PLR2004 - a corpus of one size still gets a readable axis
        low, high = low - 0.3, high + 0.3
    edges = np.linspace(low - SLACK, high + SLACK, CELLS + 1)
    counts, _, _ = np.histogram2d(
        np.log10(x.astype(np.float64)), np.log10(y.astype(np.float64)), bins=(edges, edges)
    )
    top, spans, side = int(counts.max()), _spans(10**edges), 100 / CELLS
    cells = [
        Cell(
            x=i * side,
            y=100 - (j + 1) * side,
            shade=0.25 + 0.75 * math.log1p(count - 1) / (math.log1p(top - 1) or 1.0),
            label=f"{spans[i]} wide, {spans[j]} high: {number(int(count))}",
        )
        for i, j in np.argwhere(counts).tolist()
        for count in [float(counts[i, j])]
    ]
    ticks = tuple(Tick(at, label) for at, label in _log_ticks(low, high))
    return HeatMap(tuple(cells), ticks, side, top)
