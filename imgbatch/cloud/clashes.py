"""A new schedule and those that exist enter; which of them would end a run of another leaves.

A schedule's end is that of all machines, whatever runs: of what another one began, and of what its
own next tick did. A run that such an end awaits is over two minutes before it (as
`schedules.deadline` has it): what it had finished stays, but each time it has fewer hours.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from imgbatch.cloud import Check
from imgbatch.cloud.ledger import HOUR
from imgbatch.cloud.monthly import YEAR
from imgbatch.recurring import ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imgbatch.cloud import deployment

FIX = "Give other times or fewer --hours, unless its runs take less."


def clashes(
    new: deployment.Schedule, made: Mapping[str, deployment.Schedule], now: float
) -> Iterator[Check]:
    """Yield the ends of the year to come that would find a run of another tick at work.

    Args:
        new: a schedule that is to be; its kill is not known yet.
        made: those that exist.
        now: seconds since 1970.
    """
    own = _spans(new, now)
    if (at := _first([end for _, end in own], own)) is not None:
        said = f"its own end at {_moment(at, new)} is that of its next tick's run too"
        yield Check("schedule", "unknown", said, FIX)
    for name, other in made.items():
        theirs = _spans(other, now)
        if (at := _first([end for _, end in theirs], own)) is not None:
            said = f"it ends all machines at {_moment(at, new)}, in the hours of the new one"
            yield Check(f"schedule {name}", "unknown", said, FIX)
        if (at := _first([end for _, end in own], theirs)) is not None:
            said = f"the new one ends all machines at {_moment(at, new)}, in the hours of this one"
            yield Check(f"schedule {name}", "unknown", said, FIX)


def _spans(schedule: deployment.Schedule, now: float) -> list[tuple[float, float]]:
    """Return from when to when each tick of a year has machines, in order."""
    spans = []
    for tick in ticks(schedule.cron, schedule.timezone, now):
        at = tick.timestamp()
        if at > now + YEAR:
            break
        spans.append((at, at + schedule.hours * HOUR))
    return spans


def _first(ends: Sequence[float], spans: Sequence[tuple[float, float]]) -> float | None:
    """Return the first end that lies in a span of time, or with its beginning; None: none does."""
    starts = [start for start, _ in spans]
    for end in ends:
        last = bisect_right(starts, end) - 1  # of one length: what began last ends last
        if last >= 0 and end < spans[last][1]:
            return end
    return None


def _moment(at: float, schedule: deployment.Schedule) -> str:
    return f"{datetime.fromtimestamp(at, ZoneInfo(schedule.timezone)):%Y-%m-%d %H:%M %Z}"
