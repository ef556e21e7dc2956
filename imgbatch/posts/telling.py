"""A name enters; how far it can be trusted to mean one thing leaves. A pure function.

    anywhere   7300000000000000001  dQw4w9WgXcQ  469123456_18012345_n    never twice by chance
    its input  12345678  18abc2  iPhone7                                 few enough in one dump
    nowhere    beach  photo1  IMG_20190101_123456  clip-1080p  20190101  words, numbers, dates

A name is cut into runs of letters and digits. Where each of them is a word, a number that may be a
count, both together, a date or a size, the name means nothing by itself. Else what counts is how
long it is, and whether it has digits.

Decision, 2026-11: by the look of a name, without a list of words. Ids of 5 to 7 letters and digits,
as Reddit's, are dense: `beach` and `photo1` are posts there. Drawback: about one in five of them
looks so, and is only found where a file is called so and nothing else, or where its format says
how files are named.
"""

from __future__ import annotations

import re
from enum import IntEnum

PIECE = re.compile(r"[A-Za-z0-9]+")
# A word, a number, or a word and its number: IMG0001.
WORDED = re.compile(r"([A-Za-z]*)([0-9]*)")
# 300x200, 1080p, 720p60, 2nd.
MEASURE = re.compile(r"\d+x\d+|\d{1,4}[A-Za-z]{1,2}\d{0,2}")
# 20190101, 20190101123456 and with milliseconds; 31012019.
YEAR, MONTH, DAY = r"(19|20)\d\d", r"(0[1-9]|1[0-2])", r"(0[1-9]|[12]\d|3[01])"
MOMENT = re.compile(
    rf"{YEAR}{MONTH}{DAY}(([01]\d|2[0-3])([0-5]\d([0-5]\d(\d{{3}})?)?)?)?|{DAY}{MONTH}{YEAR}"
)
# Fewer digits are a count, a year or a time; so many that two dumps have no number in common.
FEW_DIGITS, MANY_DIGITS = 8, 15
# Of letters, or letters and digits.
SHORT, LONG = 5, 9


class Reach(IntEnum):
    """Where a name means one thing."""

    NOWHERE = 0
    INPUT = 1
    ANYWHERE = 2


def reach(name: str) -> Reach:
    """Return where a name means one thing: in any input, in that of its dump, or nowhere.

    Args:
        name: an id, or the name of a file without its extension.
    """
    pieces = PIECE.findall(name)
    if all(map(_is_plain, pieces)):
        return Reach.NOWHERE
    together = "".join(pieces)
    if together.isdecimal():
        return Reach.ANYWHERE if len(together) >= MANY_DIGITS else Reach.INPUT
    if len(together) >= LONG:
        return Reach.ANYWHERE
    digits = any(map(str.isdecimal, together))
    return Reach.INPUT if digits and len(together) >= SHORT else Reach.NOWHERE


def _is_plain(piece: str) -> bool:
    if MEASURE.fullmatch(piece):
        return True
    found = WORDED.fullmatch(piece)
    if found is None:
        return False
    word, number = found.groups()
    worded = not word or word.islower() or word.isupper() or word.istitle()
    return worded and (len(number) < FEW_DIGITS or MOMENT.fullmatch(number) is not None)
