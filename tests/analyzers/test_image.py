from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imgbatch.analyzers import image
from imgbatch.records import Facts, Picture

if TYPE_CHECKING:
    from imgbatch.analyzers import Row


PIXELS = np.zeros((30, 40, 3), np.uint8)


def row_of(**exif: Any) -> Row:
    facts = Facts("image", "JPEG", "CMYK", 4000, 3000, animated=False, exif=exif)
    return image.Analyzer(image.Settings()).prepare(Picture(PIXELS, 0, None, facts))


def test_reports_the_full_size_and_the_size_that_was_analyzed() -> None:
    row = row_of()
    assert (row["format"], row["mode"]) == ("JPEG", "CMYK")
    assert (row["width"], row["height"]) == (4000, 3000)
    assert (row["decoded_width"], row["decoded_height"]) == (40, 30)


def test_a_file_without_exif_has_nulls_and_no_position() -> None:
    row = row_of()
    assert row["has_gps"] is False
    nulls = {name for name, value in row.items() if value is None}
    assert nulls == {
        "orientation",
        "camera_make",
        "camera_model",
        "taken_at",
        "taken_at_offset",
        "changed_at",
    }


def test_reads_all_that_a_camera_wrote() -> None:
    row = row_of(
        Orientation=6,
        Make="NIKON CORPORATION\0\0",
        Model=" NIKON D90 ",
        DateTimeOriginal="2009:07:15 18:03:11",
        OffsetTimeOriginal="-05:30",
        DateTime="2010:01:02 03:04:05",
        GPS=True,
    )
    assert row["orientation"] == 6
    assert row["camera_make"] == "NIKON CORPORATION"
    assert row["camera_model"] == "NIKON D90"
    assert row["taken_at"] == datetime(2009, 7, 15, 18, 3, 11)  # noqa: DTZ001 - EXIF has no zone
    assert row["taken_at_offset"] == "-05:30"
    assert row["changed_at"] == datetime(2010, 1, 2, 3, 4, 5)  # noqa: DTZ001 - EXIF has no zone
    assert row["has_gps"] is True


@pytest.mark.parametrize(
    "value",
    [
        "",
        "    :  :     :  :  ",
        "0000:00:00 00:00:00",
        "2020:13:01 00:00:00",
        "2020:02:30 00:00:00",
        "2020:01:01 24:00:00",
        "2020:01:01",
        "yesterday",
        1577836800,
        True,
        None,
    ],
)
def test_a_malformed_date_is_null(value: object) -> None:
    assert image.date(value) is None


@pytest.mark.parametrize(
    "value",
    ["2020:01:02 03:04:05", "2020-01-02T03:04:05+01:00", " 2020/01/02 03:04:05\0"],
)
def test_common_spellings_of_a_date_are_understood(value: str) -> None:
    assert image.date(value) == datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001 - EXIF has no zone


def test_an_offset_without_a_date_is_null() -> None:
    assert row_of(OffsetTimeOriginal="+02:00")["taken_at_offset"] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("+02:00", "+02:00"), ("-11:30\0", "-11:30"), ("+24:00", None), ("Z", None), (2, None)],
)
def test_only_an_offset_from_utc_is_kept(value: object, expected: str | None) -> None:
    assert image.offset(value) == expected


@pytest.mark.parametrize("value", [0, 9, -1, "6", None, 3.0])
def test_an_orientation_that_is_none_is_null(value: object) -> None:
    assert image.orientation(value) is None


def test_hostile_text_is_cut_and_cleaned() -> None:
    assert image.text("A" * 10_000) == "A" * 128
    assert image.text("Can\0on\n\ud800\x1b[31m") == "Canon[31m"
    assert image.text("\0\0 ") is None
    assert image.text(7) is None
