"""What came of a schedule's ticks: lines are appended; what was done and is due is read back.

A line is one JSON object: `began`, `ended`, `skipped`, or `told` (that one was cut off), with the
tick that it is about (null: run by hand). Whoever dies between two lines leaves one that began and
did not end, and that is seen.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgbatch.recurring import missed

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule

FILE = "journal.jsonl"
# It only grows, by some 600 bytes at each tick; what is due is in its last lines.
TAIL = 2**17
BEGAN, ENDED, SKIPPED, TOLD = EVENTS = "began", "ended", "skipped", "told"
CUT_OFF = "cut off"
# A tick whose command was cut off, by a reboot say, is begun once more, and not again and again:
# it may be what brought the machine down.
ATTEMPTS = 2
# A tick whose command found another at work on the dataset is begun again, however often, and
# whoever is to know of failures is told if that goes on for long.
WAITING, AGAIN_AFTER, TELL_AFTER = "waiting", 600.0, 12 * 3600.0
# Clocks are set back by a little now and then. One that is further behind the moment at which a
# schedule was added shows that it was ahead then.
SLACK = 60.0
# Of what lines say, what is read back: whoever reads it relies on its kind.
MOMENTS, TEXTS = ("tick", "at", "began"), ("state", "error", "log")
# Seconds since 1970 that every calendar still has.
LATEST = 1e11


@dataclass(frozen=True, slots=True)
class Due:
    """A tick that is due.

    Attributes:
        tick: seconds since 1970.
        again: its command was begun before, and cut off, or it waits for another's end.
    """

    tick: float
    again: bool = False


def note(own: Path, event: str, **said: Any) -> None:
    """Append a line to the journal of a schedule; it is on the disk when this returns.

    Raises:
        OSError: it is not, or not the whole of it.
    """
    # A line break in front: what a cut line before it left is not glued to this one.
    line = f"\n{json.dumps({'event': event, **said})}\n".encode()
    handle = os.open(own / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # A disk that fills takes what it can of a line and says so by the count alone.
        while line:
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def size(own: Path) -> int:
    """Return the bytes of a journal; more than before: something came to it."""
    try:
        return (own / FILE).stat().st_size
    except FileNotFoundError:
        return 0


def lines(own: Path) -> list[dict[str, Any]]:
    """Return the journal's last lines, oldest first, without one that was cut by a power failure.

    What such a line said counts as not done: its tick is done again. So it is with a line that
    somebody changed into one that is none of ours. The last that tells of more than a skipped tick
    is among them, however long ago it was.
    """
    read = TAIL
    while True:
        found, whole = _last(own, read)
        if whole or any(line["event"] != SKIPPED for line in found):
            return found
        read *= 4


def _last(own: Path, read: int) -> tuple[list[dict[str, Any]], bool]:
    """Return the lines of so many last bytes of a journal, and whether these are all."""
    try:
        with (own / FILE).open("rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - read)
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return [], True
    # What comes before the first line break is a part of a line.
    data = data if not start else data.partition(b"\n")[2]
    found = []
    for text in data.decode("utf-8", "replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and _ours(line):
            found.append(line)
    return found, not start


def _ours(line: dict[str, Any]) -> bool:
    """Return whether a line's values are of the kinds that are written; most may lack."""
    untold = line.get("notice_failed") or []
    return (
        line.get("event") in EVENTS
        and all(_number(line.get(key), least=0) for key in MOMENTS)
        and _number(line.get("seconds"), least=-LATEST)  # of a clock that was set back
        and all(isinstance(line.get(key), str | None) for key in TEXTS)
        and isinstance(untold, list)
        and all(isinstance(text, str) for text in untold)
    )


def _number(value: object, *, least: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value is None
    return least <= value < LATEST


def due(schedule: Schedule, told: list[dict[str, Any]], now: float) -> Due | None:
    """Return the tick that is due; of several missed ones the newest, None: there is none.

    Args:
        schedule: whose ticks.
        told: its journal's lines.
        now: seconds since 1970. Lines of later ticks are not believed, nor that the schedule was
            added later: a clock that was wrong once does not silence it until that day. When it
            was added is not known then, and its newest tick counts as missed.
    """
    handled = [line["tick"] for line in told if line.get("tick") and line["tick"] <= now]
    last = max(handled, default=0.0)
    since = schedule.since if schedule.since <= now + SLACK else 0.0
    tick = missed(schedule.cron, schedule.timezone, after=last or since, now=now)
    if tick is not None:
        return Due(tick)
    # Ticks that were skipped while it was at work do not end it.
    begun = [line["tick"] for line in told if line["event"] == BEGAN and line.get("tick")]
    newest = next((tick for tick in reversed(begun) if tick <= now), None)
    own = [line for line in told if newest and line.get("tick") == newest]
    waits = [place for place, line in enumerate(own, 1) if line.get("state") == WAITING]
    if waits[-1:] == [len(own)] and abs(now - own[-1].get("at", 0.0)) < AGAIN_AFTER:
        return None
    # Only what came since its last wait tells whether it is done.
    events = [line["event"] for line in own[max(waits, default=0) :]]
    if newest is None or ENDED in events or SKIPPED in events or events.count(BEGAN) >= ATTEMPTS:
        return None
    return Due(newest, again=True)


def waits_long(told: list[dict[str, Any]], now: float) -> bool:
    """Return whether all that ended for long was a wait, and nobody was told of it."""
    since = now
    for line in reversed(told):
        if line["event"] == ENDED:
            if line.get("state") != WAITING or line.get("told"):
                break
            since = line.get("at", since)
    return now - since >= TELL_AFTER


def began(told: list[dict[str, Any]], tick: float) -> bool:
    """Return whether a tick's command began."""
    return any(line["event"] == BEGAN and line.get("tick") == tick for line in told)


def unended(told: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the line of a command that began, with no end and nothing told of it; None: none.

    Ticks that were skipped since do not hide it: they passed while it was at work.
    """
    newest = next((line for line in reversed(told) if line["event"] != SKIPPED), None)
    return newest if newest and newest["event"] == BEGAN else None


def last(told: list[dict[str, Any]], *, at_work: bool) -> dict[str, Any] | None:
    """Return what came last: `state` is ok, failed, waiting, skipped, at work, or cut off.

    Args:
        told: the journal's lines.
        at_work: whether its command is at work now.
    """
    if begun := unended(told):
        return {**begun, "state": "at work" if at_work else CUT_OFF}
    return told[-1] if told else None
