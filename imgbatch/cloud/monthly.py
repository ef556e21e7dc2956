"""A schedule's cron and its runs enter; what it can cost in a month leaves, and what it did cost.

A month is one of the calendar, in the time zone of the schedule; a run is of the month of its tick.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from imgbatch.cloud.costs import cost
from imgbatch.cloud.former import ordered_at, read_run
from imgbatch.errors import DeploymentError, SettingsError
from imgbatch.recurring import ticks

if TYPE_CHECKING:
    from imgbatch.cloud.control import Control

YEAR = 366 * 24 * 3600.0


def ticks_of_a_month(cron: str, timezone: str, now: float) -> int:
    """Return how often a cron ticks in the fullest month of the year to come; 1 where in none."""
    counts = Counter[tuple[int, int]]()
    for tick in ticks(cron, timezone, now):
        if tick.timestamp() > now + YEAR:
            break
        counts[tick.year, tick.month] += 1
    return max(counts.values(), default=1)


def paid(control: Control, mark: str, timezone: str, tick: float, *, budget: float) -> float:
    """Return the dollars of a schedule's runs in the month of a tick, the tick's own left out.

    A run that waits, is at work or cannot be read counts with all that it may cost.

    Args:
        control: where the runs are.
        mark: by which the ids of the schedule's runs end.
        timezone: of the schedule.
        tick: seconds since 1970.
        budget: dollars of each run.

    Raises:
        StorageError: the bucket cannot be read.
    """
    month = _month(tick, timezone)
    return sum(
        _cost(control, run, budget)
        for run in {*control.runs(), *control.waiting()}
        if run.endswith(mark) and ordered_at(run) != tick
        if _month(ordered_at(run), timezone) == month
    )


def _cost(control: Control, run: str, budget: float) -> float:
    with contextlib.suppress(DeploymentError, SettingsError):
        found = read_run(control, run, {})
        if found and found.state and found.state.over:
            paid_for = cost(found, found.state.at)
            return paid_for.dollars + paid_for.unseen
    return budget


def _month(at: float, timezone: str) -> tuple[int, int]:
    moment = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(timezone))
    return moment.year, moment.month
