"""Words of times enter ("Mon 03:00", "daily 03:00", a cron); a cron leaves, and its ticks.

Used by schedules of this machine and by those of a cloud, so that both know the same words.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from imgbatch.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = 5
DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
LONG_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
REMEDY = (
    'Give "Mon 03:00", "Mon,Thu 03:00", "Mon-Fri 03:00", "weekdays 03:00", "daily 03:00", '
    '"monthly 1 03:00", "hourly :15", or a cron: minute, hour, day of month, month, day of week '
    '("0 3 * * 1" is Mondays at 3:00).'
)
LOCALTIME = "/etc/localtime"
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_PAST = re.compile(r":([0-5]\d)")
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z]+(/[A-Za-z0-9_+-]+){1,2}")
# What a machine has to understand too that knows no L and no #: systemd, a cron.
_FIELD = re.compile(r"[\d*,/-]+")


def cron_of(words: str) -> str:
    """Return the cron, five fields, that words of times mean; a cron stays as it is.

    Raises:
        SettingsError: they mean none, or a time that never comes.
    """
    cron = _said(words)
    if cron is None and len(words.split()) == FIELDS:
        cron = words
    if cron is None:
        raise SettingsError(f"{words!r} is no time that comes again", REMEDY)
    for field in cron.split():
        if not _FIELD.fullmatch(field):
            raise SettingsError(f"{words!r}: {field!r} is not known in a cron here", REMEDY)
    try:
        tick = next(ticks(cron, "UTC", time.time()), None)
    except CronSimError as error:
        raise SettingsError(f"{words!r}: {error}", REMEDY) from error
    if tick is None:
        raise SettingsError(f"{words!r} never comes", REMEDY)
    return " ".join(cron.split())


def ticks(cron: str, timezone: str, start: float, *, back: bool = False) -> Iterator[datetime]:
    """Yield the ticks of a cron from a moment on, that moment not included.

    Args:
        cron: five fields.
        timezone: in which they count, such as Europe/Berlin.
        start: seconds since 1970.
        back: yield those before it, the newest first.
    """
    zone = ZoneInfo(timezone)
    yield from CronSim(cron, datetime.fromtimestamp(start, zone), reverse=back)


def following(cron: str, timezone: str, now: float) -> float:
    """Return the first tick after a moment, in seconds since 1970."""
    return next(ticks(cron, timezone, now)).timestamp()


def missed(cron: str, timezone: str, *, after: float, now: float) -> float | None:
    """Return the newest tick after one moment and up to another; None: there is none.

    However many there were, this is the one that is caught up.
    """
    # From the next whole second backwards: a tick that is now counts.
    newest = next(ticks(cron, timezone, int(now) + 1, back=True), None)
    return newest.timestamp() if newest and newest.timestamp() > after else None


def check_zone(timezone: str) -> None:
    """Refuse a time zone that nobody knows.

    Raises:
        SettingsError: it is none.
    """
    try:
        known = bool(_ZONE.fullmatch(timezone) and ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = False
    if not known:
        raise SettingsError(
            f"--timezone {timezone!r} is none", "Give one such as Europe/Berlin, or UTC."
        )


def local_zone(link: str = LOCALTIME, *, said: str = "") -> str:
    """Return the name of the time zone here; UTC where it has no name.

    Args:
        link: to the machine's own.
        said: what TZ has, which comes before it; "": nothing.
    """
    name = said.removeprefix(":") or link
    try:
        if name.startswith("/"):
            path = name if "zoneinfo/" in name else str(Path(name).readlink())
            name = path.partition("zoneinfo/")[2]
        check_zone(name)
    except (OSError, SettingsError):  # a copy in place of a link, or a zone without a city
        return "UTC"
    return name


def _said(words: str) -> str | None:
    match words.lower().split():
        case ["hourly", *past] if found := _PAST.fullmatch("".join(past) or ":00"):
            return f"{int(found[1])} * * * *"
        case ["daily", clock]:
            return _at(clock, "* * *")
        case ["weekdays", clock]:
            return _at(clock, "* * 1-5")
        case ["monthly", day, clock] if day.isdecimal():
            return _at(clock, f"{int(day)} * *")
        case [*days, clock] if days:
            named = _days(",".join(days).replace(",,", ","))
            return _at(clock, f"* * {named}") if named else None
    return None


def _at(clock: str, rest: str) -> str | None:
    found = _CLOCK.fullmatch(clock)
    return f"{int(found[2])} {int(found[1])} {rest}" if found else None


def _days(text: str) -> str | None:
    """Return `mon,thu-sat` as the last field of a cron; None: a word in it is no day."""
    numbers: set[int] = set()
    for span in text.split(","):
        first, _, last = span.partition("-")
        begin, end = _day(first), _day(last or first)
        if begin is None or end is None:
            return None
        numbers |= {(begin + day) % 7 for day in range((end - begin) % 7 + 1)}
    return ",".join(map(str, sorted(numbers)))


def _day(word: str) -> int | None:
    return LONG_DAYS.index(word) if word in LONG_DAYS else DAYS.get(word)
