"""Names that mean one thing, and names that anybody's file may have."""

from __future__ import annotations

import pytest

from imgbatch.posts.telling import Reach, reach

ANYWHERE = (
    "7300000000000000001",
    "dQw4w9WgXcQ",
    "CxYzAbCdEfG",
    "a-bc_DEFGHij",
    "3kabcdefghijk",
    "469123456_18012345_12345_n",
    "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
)
INPUT = ("12345678", "123456789", "18abc2", "t3_18abc2", "00000000")
NOWHERE = (
    "",
    "1",
    "17",
    "1234567",
    "beach",
    "holidayinrome",
    "Profile-Picture",
    "photo1",
    "DSC00012",
    "IMG_20190101_123456",
    "IMG-20190101-WA0001",
    "20190101",
    "31122019",
    "20190101123456789",
    "2019-01-01_12-30-00",
    "clip-1080p60",
    "photo-300x200",
    "\u00e9t\u00e9-2019",
    "B_x-9",
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, Reach.ANYWHERE) for name in ANYWHERE),
        *((name, Reach.INPUT) for name in INPUT),
        *((name, Reach.NOWHERE) for name in NOWHERE),
    ],
)
def test_how_far_a_name_is_trusted(name: str, expected: Reach) -> None:
    assert reach(name) is expected


def test_a_date_that_there_is_not_is_a_number() -> None:
    assert reach("20191301") is Reach.INPUT
    assert reach("20190101250000") is Reach.INPUT
