"""The records of a dataset's runs enter; how long so much work would take here leaves."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

LAST = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the last runs over a dataset were.

    Attributes:
        start: seconds until workers were up.
        per_source, per_byte: seconds of work by the clock, all workers together.
        runs: which runs say so.
        engines: theirs.
        alike: whether they filled the same tables.
    """

    start: float
    per_source: float
    per_byte: float
    runs: tuple[str, ...]
    engines: tuple[str, ...]
    alike: bool

    def seconds(self, sources: int, size: int) -> tuple[float, float]:
        """Return the shorter and the longer of two guesses: by sources, and by bytes."""
        guesses = sorted((self.per_source * sources, self.per_byte * size))
        return round(self.start + guesses[0], 1), round(self.start + guesses[1], 1)


def pace(runs: Sequence[Mapping[str, Any]], tables: Collection[str]) -> Pace | None:
    """Return the pace of the last runs, of those that filled the same tables where there are any.

    Decision, 2026-11: two guesses from sums over runs, no model of stages and workers. Drawback:
    other settings, another machine or another mix of pictures and videos are not seen.

    Args:
        runs: records, oldest first.
        tables: what is to be filled.
    """
    told = [run for run in runs if run.get("work_seconds") and run["sources"] and run["bytes"]]
    alike = [run for run in told if set(tables) == set(run["tables"])]
    last = (alike or told)[-LAST:]
    if not last:
        return None
    work = sum(run["work_seconds"] for run in last)
    return Pace(
        start=median(run["ready_seconds"] for run in last),
        per_source=work / sum(run["sources"] for run in last),
        per_byte=work / sum(run["bytes"] for run in last),
        runs=tuple(run["run"] for run in last),
        engines=tuple(sorted({run["engine"] for run in last})),
        alike=bool(alike),
    )
