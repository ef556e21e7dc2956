"""Spans of time as people write them enter (`6h`, `90m`, `1h30m`, `2d`); seconds leave."""

from __future__ import annotations

import re

from imgbatch.errors import SettingsError

# Of what ends by then nobody needs more, and every clock and cloud knows the moment.
LONGEST_DAYS = 366
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def seconds_of(text: str, flag: str) -> float:
    """Return how many seconds a span has.

    Args:
        text: numbers with a unit each: d, h, m or s.
        flag: who says it, for the error.

    Raises:
        SettingsError: it is no span, one of nothing, or one of more than a year.
    """
    plain = text.strip().lower()
    found = _PART.findall(plain) if _WHOLE.fullmatch(plain) else []
    units = [unit for _, unit in found]
    seconds = sum(float(count) * _UNITS[unit] for count, unit in found)
    # `30m1h` and `5m5m` are slips of the hand.
    if not seconds or units != sorted(set(units), key=list(_UNITS).index):
        raise SettingsError(
            f"{flag} {text!r} is no span of time",
            "Give a number and a unit (d, h, m, s), such as 6h, 90m or 1h30m.",
        )
    if seconds > LONGEST_DAYS * _UNITS["d"]:
        raise SettingsError(
            f"{flag} {text!r} is more than a year", f"Give {LONGEST_DAYS}d at most, such as 6h."
        )
    return seconds
