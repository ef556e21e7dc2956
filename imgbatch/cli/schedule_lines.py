"""Schedules of this machine as records for JSON and as lines for people, the damaged ones too."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from imgbatch.scheduling import firing, journal, kept, timers

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.scheduling.kept import Damaged, Schedule

HIDDEN = {"environment", "notify_url", "notify_command"}
# A line of a crontab wakes within a quarter of an hour; Python starts, and a laptop that wakes up.
LATE_SECONDS = 1800.0


def shown(folder: Path, found: list[Schedule | Damaged]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return schedules of a folder as records and as lines."""
    now = time.time()
    records: list[dict[str, Any]] = []
    lines: list[str] = []
    for one in found:
        if isinstance(one, kept.Damaged):
            records.append(_damaged(folder, one))
            lines.append(f"schedule {one.name} does not fire: {one.problem}")
        else:
            records.append(record(folder, one, now))
            lines += of_one(one, records[-1])
    return records, lines


def record(folder: Path, schedule: Schedule, now: float) -> dict[str, Any]:
    """Return a schedule, when it comes next, what came of it last, and what is wrong with it."""
    last, problem = None, timers.problem(folder, schedule)
    try:
        last = _last(folder, schedule.name)
        problem = problem or _late(folder, schedule, now)
    except OSError as error:
        problem = f"what came of it cannot be read: {error}"
    return {
        # A webhook's address is often all that it takes to write there; variables are the user's.
        **schedule.model_dump(exclude=HIDDEN),
        "next": schedule.next(now),
        "last": last,
        "problem": problem,
    }


def of_one(schedule: Schedule, told: dict[str, Any]) -> list[str]:
    """Return a schedule and its record as lines."""
    when = f"{schedule.every} ({schedule.timezone})"
    coming = _moment(told["next"], schedule.timezone)
    lines = [
        f"schedule {schedule.name}: {when}, next {coming}, by {schedule.timer}",
        f"  {' '.join(schedule.words)}",
    ]
    if told["last"]:
        lines += [f"  last: {text}" for text in came("", told["last"])]
    if told["problem"]:
        lines.append(f"  {told['problem']}")
    return lines


def came(name: str, told: dict[str, Any]) -> list[str]:
    """Return what came of a tick as lines."""
    begun = told.get("began") or told.get("at")
    when = f", {_moment(begun)}" if begun else ""
    took = f", {told['seconds']:,.0f} s" if told.get("seconds") is not None else ""
    why = f": {told['error']}" if told.get("error") else ""
    log = f"; log: {told['log']}" if told.get("log") else ""
    front = f"schedule {name}: " if name else ""
    untold = [f"nobody was told of it: {text}" for text in told.get("notice_failed") or ()]
    state = told.get("state") or told["event"]
    return [f"{front}{state}{when}{took}{why}{log}", *untold]


def _damaged(folder: Path, one: Damaged) -> dict[str, Any]:
    """Return what is known of a schedule whose file is damaged, the rest as nulls."""
    unknown = dict.fromkeys([*(kept.Schedule.model_fields.keys() - HIDDEN), "next"])
    last = None
    with contextlib.suppress(OSError):
        last = _last(folder, one.name)
    return {**unknown, "name": one.name, "last": last, "problem": one.problem}


def _last(folder: Path, name: str) -> dict[str, Any] | None:
    return journal.last(journal.lines(folder / name), at_work=firing.at_work(folder / name))


def _late(folder: Path, schedule: Schedule, now: float) -> str | None:
    """Return that a tick passed and its command did not begin, as on a disk that is full."""
    own = folder / schedule.name
    found = journal.due(schedule, journal.lines(own), now)
    if found is None or found.again or now - found.tick < LATE_SECONDS or firing.at_work(own):
        return None
    when = _moment(found.tick, schedule.timezone)
    todo = f"`imgbatch schedule run {schedule.name} --due` catches it up, or says why not"
    return f"its tick of {when} has not begun: {todo}"


def _moment(seconds: float, zone: str | None = None) -> str:
    """Return a moment as a clock of a time zone shows it, or one of this place."""
    at = datetime.fromtimestamp(seconds, ZoneInfo(zone)) if zone else None
    return f"{at or datetime.fromtimestamp(seconds).astimezone():%a %Y-%m-%d %H:%M}"
