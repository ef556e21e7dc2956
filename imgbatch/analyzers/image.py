"""What a source's header says: its facts enter; format, size, camera and EXIF date leave.

Nothing is guessed: a malformed or implausible EXIF value is null. A position is only reported as
being there, never given.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
TOLERANCE = 0.0
COLUMNS = (
    Column("format", pa.string(), "File or container format, as Pillow or FFmpeg names it"),
    Column("mode", pa.string(), "Pillow mode of an image, pixel format of a video"),
    Column("width", pa.int32(), "Full width, upright", "pixels", "1 and more"),
    Column("height", pa.int32(), "Full height, upright", "pixels", "1 and more"),
    Column("decoded_width", pa.int32(), "Width that the analyzers saw", "pixels", "1 and more"),
    Column("decoded_height", pa.int32(), "Height that the analyzers saw", "pixels", "1 and more"),
    Column("animated", pa.bool_(), "The image file holds more than one frame"),
    Column(
        "orientation",
        pa.int8(),
        "EXIF Orientation; the pixels and all sizes here are upright already",
        range="1-8",
        missing="no or no valid tag",
    ),
    Column(
        "camera_make",
        pa.string(),
        "EXIF Make, without unprintable characters",
        range="at most 128 characters",
        missing="no tag, or empty",
    ),
    Column(
        "camera_model",
        pa.string(),
        "EXIF Model, without unprintable characters",
        range="at most 128 characters",
        missing="no tag, or empty",
    ),
    Column(
        "taken_at",
        pa.timestamp("us"),
        "EXIF DateTimeOriginal: the camera's clock when the picture was taken, in no time zone",
        unit="local time",
        missing="no or no valid tag",
    ),
    Column(
        "taken_at_offset",
        pa.string(),
        "EXIF OffsetTimeOriginal: how far the clock of taken_at was ahead of UTC",
        unit="hours:minutes",
        range="-23:59 to +23:59",
        missing="no or no valid tag, or no taken_at",
    ),
    Column(
        "changed_at",
        pa.timestamp("us"),
        "EXIF DateTime: a clock when the file was last changed, often by software",
        unit="local time",
        missing="no or no valid tag",
    ),
    Column("has_gps", pa.bool_(), "EXIF holds a position"),
)
NEEDS = Needs()

LONGEST_TEXT = 128
LAST_ORIENTATION = 8
DATE = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
OFFSET = re.compile(r"[+-]([01]\d|2[0-3]):[0-5]\d")


class Settings(BaseSettings):
    """There is nothing to set."""


class Analyzer:
    """Reports the facts of a picture's source."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> Row:
        """Return the picture's row."""
        facts = picture.facts
        exif = facts.exif
        taken_at = date(exif.get("DateTimeOriginal"))
        return {
            "format": facts.format,
            "mode": facts.mode,
            "width": facts.width,
            "height": facts.height,
            "decoded_width": picture.pixels.shape[1],
            "decoded_height": picture.pixels.shape[0],
            "animated": facts.animated,
            "orientation": orientation(exif.get("Orientation")),
            "camera_make": text(exif.get("Make")),
            "camera_model": text(exif.get("Model")),
            "taken_at": taken_at,
            "taken_at_offset": offset(exif.get("OffsetTimeOriginal")) if taken_at else None,
            "changed_at": date(exif.get("DateTime")),
            "has_gps": bool(exif.get("GPS")),
        }

    def infer(self, batch: Sequence[Row]) -> list[Row]:
        """Return the rows as they were prepared."""
        return list(batch)


def orientation(value: object) -> int | None:
    """Return an EXIF orientation, or None if it is none of 1 to 8."""
    return value if isinstance(value, int) and 1 <= value <= LAST_ORIENTATION else None


def text(value: object) -> str | None:
    """Return the printable part of a text, at most 128 characters, or None if nothing is left."""
    if not isinstance(value, str):
        return None
    # Cameras pad with NULs; lone surrogates and control characters would break readers.
    if not value.isprintable():
        value = "".join(c for c in value if c.isprintable())
    return value.strip()[:LONGEST_TEXT].strip() or None


def date(value: object) -> datetime | None:
    """Return the time that an EXIF date states, without a zone, or None if it states none."""
    found = DATE.match(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        return datetime(*map(int, found.groups()))  # type: ignore[arg-type] # six numbers # noqa: DTZ001 - EXIF has no zone
    except ValueError:  # such as 0000:00:00, which cameras without a clock write
        return None


def offset(value: object) -> str | None:
    """Return an offset from UTC such as +02:00, or None if it is not one."""
    stripped = value.strip("\0 ") if isinstance(value, str) else ""
    return stripped if OFFSET.fullmatch(stripped) else None
