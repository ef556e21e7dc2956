"""Which schedules would end runs of one another, before anybody agrees to them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imgbatch.cloud.clashes import clashes
from imgbatch.cloud.deployment import Schedule

# A Friday.
NOW = datetime(2027, 1, 15, 8, tzinfo=UTC).timestamp()


def made(cron: str, hours: int, timezone: str = "UTC") -> Schedule:
    return Schedule(cron=cron, kill="", timezone=timezone, hours=hours)


def told(new: Schedule, **known: Schedule) -> list[str]:
    found = list(clashes(new, known, NOW))
    assert all(check.state == "unknown" and check.fix for check in found)
    return [f"{check.name}: {check.said}" for check in found]


def test_the_end_of_one_in_the_hours_of_another_is_told_of_both_sides() -> None:
    early, late = made("0 3 * * 1", 6), made("0 5 * * 1", 6)
    (said,) = told(late, early=early)
    assert said == (
        "schedule early: it ends all machines at 2027-01-18 09:00 UTC, in the hours of the new one"
    )
    (said,) = told(early, late=late)
    assert said == (
        "schedule late: the new one ends all machines at 2027-01-18 09:00 UTC, in the hours of "
        "this one"
    )


def test_schedules_that_leave_one_another_alone_are_not_told() -> None:
    early = made("0 3 * * 1", 2)
    assert told(made("1 5 * * 1", 2), early=early) == []
    assert told(made("0 3 * * 2", 6), early=early) == []
    assert told(made("0 3 * * 1", 2), early=early) == [], "both end at once"
    assert told(made("30 7 * * 1", 1, "Europe/Berlin"), early=early) == []
    # In Berlin it is an hour later by the clock, and from the end of March on two.
    (said,) = told(made("30 6 * * 1", 1, "Europe/Berlin"), early=early)
    assert "2027-03-29 07:00 CEST" in said


def test_a_clash_of_one_night_in_the_year_is_found() -> None:
    daily = made("0 3 * * *", 6)
    (said,) = told(made("0 8 24 12 *", 3), daily=daily)
    assert "2027-12-24 09:00 UTC" in said


@pytest.mark.parametrize(("hours", "clash"), [(23, False), (24, True), (30, True)])
def test_an_end_that_comes_with_its_own_next_tick_or_after_it_is_told(
    hours: int, *, clash: bool
) -> None:
    said = told(made("0 3 * * *", hours))
    assert bool(said) == clash
    assert not clash or "its own end at 2027-01-17" in said[0]
