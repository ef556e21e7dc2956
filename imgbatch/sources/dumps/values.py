"""Pure: ids, times, counts and texts of dumps, as imgbatch writes them; None where unsure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import isfinite
from typing import Any

# What a number may stand as: no truth value.
NUMERIC = frozenset((float, int, str))
NUMBER = re.compile(r"^-?\d{1,19}(\.\d+)?$")
# Larger than any second of the calendar: milliseconds.
SECONDS = 253_402_300_800
# As spreadsheets show and save long numbers: 1.5E+18.
ROUNDED = re.compile(r"\d([.,]\d+)?[eE]\+\d+")
# Beyond it a float has lost digits of an id.
EXACT = 2**53
SMALL = 2**31
DIGITS = 18
X_PARTS = 6
MONTHS = {
    name: f"{number:02}"
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
        start=1,
    )
}


def text_id(value: Any) -> str | None:
    """Return an id as text; None where there is none, or a number that has lost its digits."""
    if type(value) is int:
        return str(value)
    if type(value) is str:
        found = value.strip("\0 \t\r\n")
        # The sign alone tells of almost all that they are not, without a call.
        return None if not found or ("+" in found and is_rounded(found)) else found
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    return None


def is_rounded(value: Any) -> bool:
    """Tell whether an id is a number that has lost its digits: others have become the same."""
    if isinstance(value, str):
        return "+" in value and ROUNDED.fullmatch(value.strip()) is not None
    return isinstance(value, float) and abs(value) >= EXACT


def text(value: Any) -> str | None:
    """Return a text; None where it is none or empty. `tidy` makes all texts of a post clean."""
    return value if isinstance(value, str) and value else None


def clean(value: str) -> str:
    """Return a text as Parquet and UTF-8 can hold it: no NUL, lone surrogates as U+FFFD."""
    if value.isascii():
        return value.replace("\0", "") if "\0" in value else value
    try:
        value.encode()
    except UnicodeEncodeError:
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value.replace("\0", "")


def count(value: Any) -> int | None:
    """Return a whole number, which may stand as text."""
    # By far the most are one of these two.
    if type(value) is int and -SMALL < value < SMALL:
        return value
    if type(value) is str and len(value) < DIGITS and value.isdecimal():
        return int(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and NUMBER.match(value.strip()):
        value = float(value) if "." in value else int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < EXACT else None
    return value if isinstance(value, int) and abs(value) < 2**63 else None


def number(value: Any) -> float | None:
    """Return a finite number, which may stand as text."""
    if type(value) not in NUMERIC:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def counts(item: Any, *names: str) -> dict[str, int]:
    """Return those of an object's fields that hold whole numbers, by name."""
    if not isinstance(item, dict):
        return {}
    return {name: value for name in names if (value := count(item.get(name))) is not None}


def at(item: Any, *keys: str | int) -> Any:
    """Return what lies at a path of objects and lists; None where it does not reach."""
    for key in keys:
        if isinstance(item, dict):
            item = item.get(key)
        elif isinstance(item, list) and isinstance(key, int) and -len(item) <= key < len(item):
            item = item[key]
        else:
            return None
    return item


def listed(value: Any) -> list[Any]:
    """Return a list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; none where it is no list."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, dict)]


def unix_time(value: Any) -> datetime | None:
    """Return the moment of seconds since 1970 in UTC: a number, or one as text; before 1970 too.

    Numbers that no calendar holds as seconds are taken as milliseconds. 0 is no time: exporters
    write it where they know none.
    """
    try:
        if type(value) is str or type(value) is int:
            return datetime.fromtimestamp(whole, UTC) if (whole := int(value)) else None
    except (ValueError, OverflowError, OSError):
        pass  # a fraction, milliseconds or no number
    seconds = number(value)
    if not seconds:
        return None
    if abs(seconds) >= SECONDS:
        seconds /= 1000
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def iso_time(value: Any) -> datetime | None:
    """Return the moment of an ISO 8601 text in UTC; without a zone it is taken as UTC."""
    if not isinstance(value, str):
        return None
    try:
        return _utc(datetime.fromisoformat(value.strip()))
    except (ValueError, OverflowError):
        return None


def written_time(value: Any, form: str) -> datetime | None:
    """Return the moment of a text in a form of `datetime.strptime`, in UTC; else taken as UTC."""
    if not isinstance(value, str):
        return None
    try:
        return _utc(datetime.strptime(value.strip(), form))  # noqa: DTZ007 - made aware right here
    except (ValueError, OverflowError):
        return None


def x_time(value: Any) -> datetime | None:
    """Return the moment of a text as X's older API writes it: Wed Oct 10 20:19:24 +0000 2018.

    `strptime` takes ten times as long, which every post of X would pay.
    """
    parts = value.split() if isinstance(value, str) else []
    if len(parts) != X_PARTS:
        return None
    _, month, day, clock, zone, year = parts
    return iso_time(f"{year}-{MONTHS.get(month, '')}-{day:0>2}T{clock}{zone}")


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
