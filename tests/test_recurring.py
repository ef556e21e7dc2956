"""Words of times, and the ticks that they mean."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from imgbatch.errors import SettingsError
from imgbatch.recurring import check_zone, cron_of, following, local_zone, missed, ticks

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("words", "cron"),
    [
        ("Mon 03:00", "0 3 * * 1"),
        ("monday 3:05", "5 3 * * 1"),
        ("Mon,Thu 03:00", "0 3 * * 1,4"),
        ("Mon, Thu, Sat 03:00", "0 3 * * 1,4,6"),
        ("Mon Tue Wed Thu 03:00", "0 3 * * 1,2,3,4"),
        ("Fri-Mon 23:59", "59 23 * * 0,1,5,6"),
        ("weekdays 00:00", "0 0 * * 1-5"),
        ("daily 03:00", "0 3 * * *"),
        ("monthly 15 12:30", "30 12 15 * *"),
        ("hourly :15", "15 * * * *"),
        ("hourly", "0 * * * *"),
        ("0  3 * * 1", "0 3 * * 1"),
        ("*/20 1-3 * * 1-5", "*/20 1-3 * * 1-5"),
    ],
)
def test_words_of_times_are_a_cron(words: str, cron: str) -> None:
    assert cron_of(words) == cron


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "is no time that comes again"),
        ("Mon", "is no time that comes again"),
        ("Mon 25:00", "is no time that comes again"),
        ("Mon 3", "is no time that comes again"),
        ("Man 03:00", "is no time that comes again"),
        ("monthly 03:00", "is no time that comes again"),
        ("monthly 32 03:00", "Bad day-of-month"),
        ("* 0 3 * * 1", "is no time that comes again"),
        ("0 3 30 2 *", "Bad day-of-month"),
        ("0 3 * * 1#2", "'1#2' is not known in a cron here"),
        ("0 3 L * *", "'L' is not known in a cron here"),
        ("0 3 * * MON", "'MON' is not known in a cron here"),
        ("61 3 * * *", "Bad minute"),
    ],
)
def test_what_is_no_time_is_told_with_what_is(words: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)) as told:
        cron_of(words)
    assert "Mon 03:00" in told.value.remedy


def test_of_many_missed_ticks_the_newest_counts_and_of_none_none() -> None:
    cron, since = cron_of("Mon 03:00"), at("2026-11-01 00:00")
    found = missed(cron, "Europe/Berlin", after=since, now=at("2026-11-20 12:00"))
    assert found == at("2026-11-16 03:00")
    assert missed(cron, "Europe/Berlin", after=found, now=at("2026-11-20 12:00")) is None
    assert missed(cron, "Europe/Berlin", after=found, now=at("2026-11-23 02:59:59")) is None
    assert missed(cron, "Europe/Berlin", after=found, now=at("2026-11-23 03:00")) is not None


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("2027-03-28 01:00", "2027-03-28T03:00:00+02:00"),  # 2:30 does not exist that night
        ("2027-10-31 01:00", "2027-10-31T02:30:00+02:00"),  # 2:30 comes twice: the first counts
    ],
)
def test_nights_of_summer_time_have_one_tick(before: str, expected: str) -> None:
    tick = following(cron_of("daily 02:30"), "Europe/Berlin", at(before))
    assert datetime.fromtimestamp(tick, BERLIN).isoformat() == expected
    assert following(cron_of("daily 02:30"), "Europe/Berlin", tick) - tick > 20 * 3600


def test_both_days_of_a_cron_are_ticks_as_every_cron_has_them() -> None:
    found = ticks("0 3 1 * 1", "UTC", at("2026-11-28 00:00", ZoneInfo("UTC")))
    days = [next(found).day for _ in range(3)]
    assert days == [30, 1, 7]


@pytest.mark.parametrize(
    ("said", "zone"),
    [
        ("America/Havana", "America/Havana"),
        (":America/Havana", "America/Havana"),
        ("/usr/share/zoneinfo/America/Havana", "America/Havana"),
        ("/usr/share/zoneinfo/Asia/Calcutta", "Asia/Calcutta"),  # itself a link to another
        ("UTC", "UTC"),
        ("CET-1CEST", "UTC"),  # has no name
        ("", "Europe/Berlin"),
        (":{link}", "Europe/Berlin"),
    ],
)
def test_the_users_own_zone_is_that_of_tz(tmp_path: Path, said: str, zone: str) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert local_zone(str(link), said=said.format(link=link)) == zone


def test_the_machines_own_zone_is_the_one_of_its_link(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert local_zone(str(link)) == "Europe/Berlin"
    assert local_zone(str(tmp_path / "none")) == "UTC"
    check_zone(local_zone())


@pytest.mark.parametrize("zone", ["Berlin", "../etc", "", "Europe/Nowhere"])
def test_a_time_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(SettingsError, match="is none"):
        check_zone(zone)
