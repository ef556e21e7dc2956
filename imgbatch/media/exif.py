"""A seekable file with a TIFF structure enters; the few EXIF values that are kept leave.

Follows CIPA DC-008 (Exif 2.32), sections 4.5 and 4.6. Not Pillow's reader: that one answers damage
with a warning or with any of six exceptions, and reads every tag of every camera maker.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

Value = str | int | float | bool

MAX_TEXT = 128
_EXIF_POINTER, _GPS_POINTER = 0x8769, 0x8825
_ORIENTATION = 0x0112
_ORIENTATIONS = range(1, 9)
_LATITUDE, _LONGITUDE = 2, 4
_DATE = re.compile(r"(?!0000)\d{4}[:-]\d\d[:-]\d\d[ T]\d\d:\d\d:\d\d")
_OFFSET = re.compile(r"[+-]\d\d:\d\d")

# struct letter and bytes of one value, by TIFF field type
_TYPES = {
    1: ("B", 1),
    2: ("s", 1),
    3: ("H", 2),
    4: ("I", 4),
    5: ("II", 8),
    7: ("s", 1),
    9: ("i", 4),
    10: ("ii", 8),
    11: ("f", 4),
    12: ("d", 8),
    13: ("I", 4),
}


@dataclass(slots=True)
class Exif:
    """What was kept.

    Attributes:
        values: by standard tag name; `GPS` is True when a position is there.
        orientation: 1 to 8, how the stored picture is to be turned.
        corrupt: some of the structure could not be read; what could be is in `values`.
    """

    values: dict[str, Value] = field(default_factory=dict)
    orientation: int = 1
    corrupt: bool = False


def read_exif(file: BinaryIO) -> Exif:
    """Read the kept values of an EXIF block (without the prefix `Exif`) or of a TIFF file.

    Never raises for what the bytes say: damage is told by `corrupt`. BigTIFF files give no values.
    """
    found = Exif()
    try:
        _read(file, found)
    except (struct.error, ValueError, OverflowError):
        found.corrupt = True
    return found


def _read(file: BinaryIO, found: Exif) -> None:
    file.seek(0)
    head = file.read(8)
    if head[:4] in {b"II+\0", b"MM\0+"}:
        return
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None:
        raise ValueError("not a TIFF structure")
    main = _directory(file, order, struct.unpack_from(order + "I", head, 4)[0], found)
    _keep(file, order, main, _MAIN_TAGS, found)
    orientation = found.values.get("Orientation")
    if isinstance(orientation, int):
        found.orientation = orientation
    for pointer in (_EXIF_POINTER, _GPS_POINTER):
        offset = _first(file, order, main[pointer]) if pointer in main else None
        if not isinstance(offset, int):
            continue
        below = _directory(file, order, offset, found)
        if pointer == _EXIF_POINTER:
            _keep(file, order, below, _PHOTO_TAGS, found)
        elif _LATITUDE in below and _LONGITUDE in below:
            found.values["GPS"] = True


def _directory(file: BinaryIO, order: str, offset: int, found: Exif) -> dict[int, bytes]:
    """Return a directory's entries, 12 bytes each, by tag; those that are there when cut short."""
    file.seek(offset)
    (count,) = struct.unpack(order + "H", file.read(2))
    raw = file.read(12 * count)
    if len(raw) < 12 * count:
        found.corrupt = True
    entries: dict[int, bytes] = {}
    for at in range(0, len(raw) - 11, 12):
        (tag,) = struct.unpack_from(order + "H", raw, at)
        entries.setdefault(tag, raw[at : at + 12])
    return entries


def _keep(
    file: BinaryIO,
    order: str,
    entries: dict[int, bytes],
    tags: dict[int, tuple[str, Callable[[Value | None], Value | None]]],
    found: Exif,
) -> None:
    for tag, (name, clean) in tags.items():
        if tag not in entries:
            continue
        try:
            value = clean(_first(file, order, entries[tag]))
        except (struct.error, ValueError, OverflowError):
            found.corrupt = True
            continue
        if value is not None:
            found.values[name] = value


def _first(file: BinaryIO, order: str, entry: bytes) -> Value | None:
    """Return the text, or the first number, of a directory entry; None for a type not kept."""
    kind, count = struct.unpack_from(order + "HI", entry, 2)
    if kind not in _TYPES or count == 0:
        return None
    letter, size = _TYPES[kind]
    wanted = min(count, MAX_TEXT * 4) if letter == "s" else size
    if size * count <= len(entry) - 8:
        raw = entry[8 : 8 + wanted]
    else:
        file.seek(struct.unpack_from(order + "I", entry, 8)[0])
        raw = file.read(wanted)
        if len(raw) < wanted:
            raise ValueError("a value lies outside the block")
    if letter == "s":
        return raw.partition(b"\0")[0].decode("utf-8", "replace")
    numbers: tuple[float, ...] = struct.unpack(order + letter, raw)
    if len(numbers) == 1:
        return numbers[0]
    return numbers[0] / numbers[1] if numbers[1] else None


def _text(value: Value | None) -> str | None:
    if not isinstance(value, str):
        return None
    if not value.isprintable():
        value = "".join(c for c in value if c.isprintable())
    return value.strip()[:MAX_TEXT] or None


def _date(value: Value | None) -> str | None:
    text = _text(value)
    return text if text and _DATE.fullmatch(text) else None


def _offset(value: Value | None) -> str | None:
    text = _text(value)
    return text if text and _OFFSET.fullmatch(text) else None


def _whole(value: Value | None) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: Value | None) -> float | None:
    if isinstance(value, str) or value is None or not math.isfinite(value):
        return None
    return float(value)


def _orientation(value: Value | None) -> int | None:
    return value if isinstance(value, int) and value in _ORIENTATIONS else None


_MAIN_TAGS: dict[int, tuple[str, Callable[[Value | None], Value | None]]] = {
    0x010F: ("Make", _text),
    0x0110: ("Model", _text),
    _ORIENTATION: ("Orientation", _orientation),
    0x0131: ("Software", _text),
    0x0132: ("DateTime", _date),
}
_PHOTO_TAGS: dict[int, tuple[str, Callable[[Value | None], Value | None]]] = {
    0x829A: ("ExposureTime", _number),
    0x829D: ("FNumber", _number),
    0x8827: ("PhotographicSensitivity", _whole),
    0x9003: ("DateTimeOriginal", _date),
    0x9011: ("OffsetTimeOriginal", _offset),
    0x9209: ("Flash", _whole),
    0x920A: ("FocalLength", _number),
    0xA434: ("LensModel", _text),
}
