"""Measured figures in; a table on the terminal, a JSON file and a verdict out."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

CONSOLE = Console(width=150)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        measured: its values, one per round; the table shows their median.
        against: what it is divided by, in words; "" when it is judged as it stands.
        denominator: values of `against` from the same rounds of the same run, in the same unit.
        low, high: the bar: bounds of the ratio, or of the measured value when nothing divides it.
            A figure without a bar is there to be known.
    """

    section: str
    name: str
    measured: tuple[float, ...]
    unit: str
    against: str = ""
    denominator: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def ratio(self) -> float | None:
        """Median over the rounds of measured / denominator; None when nothing divides it."""
        if not self.denominator:
            return None
        pairs = zip(self.measured, self.denominator, strict=True)
        return statistics.median(above / below for above, below in pairs)

    @property
    def passed(self) -> bool | None:
        """Whether it meets its bar; None when it has none."""
        if self.low is None and self.high is None:
            return None
        judged = statistics.median(self.measured) if self.ratio is None else self.ratio
        return (self.low is None or judged >= self.low) and (
            self.high is None or judged <= self.high
        )

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f">= {self.low:g}"
        return "" if self.high is None else f"<= {self.high:g}"


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table(title="imgbatch bench")
    for heading in ("section", "figure", "against", "bar", "verdict"):
        table.add_column(heading, overflow="fold")
    for heading in ("measured", "denominator", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.columns[:] = [table.columns[i] for i in (0, 1, 5, 2, 6, 7, 3, 4)]
    for figure in figures:
        table.add_row(*_cells(figure))
    CONSOLE.print(table)


def _cells(figure: Figure) -> tuple[str, ...]:
    ratio = figure.ratio
    below = statistics.median(figure.denominator) if figure.denominator else None
    verdict = {None: "", True: "pass", False: "[bold red]MISS"}[figure.passed]
    return (
        figure.section,
        figure.name,
        f"{statistics.median(figure.measured):,.4g} {figure.unit}",
        figure.against,
        "" if below is None else f"{below:,.4g} {figure.unit}",
        "" if ratio is None else f"{ratio:.3f}",
        figure.bar,
        verdict,
    )


def save(figures: Sequence[Figure], setting: Setting, path: Path) -> None:
    """Write the figures with every single value, and what they were measured on, as JSON."""
    path.write_text(
        json.dumps(
            {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": _machine(),
                "images": setting.images,
                "repeats": setting.repeats,
                "threads": setting.threads,
                "figures": [
                    {**asdict(f), "ratio": f.ratio, "bar": f.bar, "passed": f.passed}
                    for f in figures
                ],
            },
            indent=1,
        )
    )


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
    }
