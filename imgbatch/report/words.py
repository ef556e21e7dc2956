"""Enters: numbers and strings from anywhere. Leaves: short text that is fit to be shown."""

from __future__ import annotations

import math

LENGTH = 120
TEN_THOUSAND = 10_000
UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
MINUTE, HOUR = 60, 3600


def number(value: float | None) -> str:
    """Return a number with thousands separators; fractions with three digits that count."""
    if value is None:
        return "-"
    if isinstance(value, int) or (math.isfinite(value) and abs(value) >= TEN_THOUSAND):
        return f"{round(value):,}"
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer():
        return f"{int(value):,}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    if decimals > 6:  # noqa: PLR2004 - below 0.0001
        return f"{value:.3g}"
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural but for one."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def share(part: float, whole: float) -> str:
    """Return a percentage that is 0 or 100 only when it is exactly that."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    if 0 < percent < 0.1:  # noqa: PLR2004 - what one decimal can show
        return "< 0.1%"
    if 99.9 < percent < 100:  # noqa: PLR2004 - the same at the other end
        return "> 99.9%"
    return f"{percent:.1f}%" if percent % 1 else f"{percent:.0f}%"


def data_size(count: float) -> str:
    """Return a number of bytes in decimal units."""
    for unit in UNITS:
        if count < 1000 or unit == UNITS[-1]:  # noqa: PLR2004 - decimal units
            break
        count /= 1000
    return f"{number(round(count) if count >= 100 else count)} {unit}"  # noqa: PLR2004 - 3 digits


def duration(seconds: float) -> str:
    """Return a time span as people say it."""
    if 0 < seconds < 1:
        return f"{math.ceil(1000 * seconds)} ms"
    if seconds < MINUTE:
        return f"{number(round(seconds, 2))} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE)} s"
    return f"{int(seconds // HOUR):,} h {int(seconds % HOUR // MINUTE)} min"


def shown(text: object, length: int = LENGTH) -> str:
    r"""Return text from a corpus so that nobody is fooled by it.

    What cannot be printed (control characters, marks that turn the direction of writing, halves of
    characters) becomes `\xNN` or `\uNNNN`; what is too long loses its middle. HTML is escaped by
    the templates, not here.
    """
    whole = str(text)
    if len(whole) > 2 * length:
        whole = whole[:length] + whole[-length:]
    plain = "".join(c if c.isprintable() else _escaped(c) for c in whole)
    if len(plain) <= length:
        return plain
    tail = length // 2
    return f"{plain[: length - tail - 3]}...{plain[-tail:]}"


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:  # noqa: PLR2004 - one byte
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - two bytes
