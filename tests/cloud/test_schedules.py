"""Which ticks of a schedule are ordered, and that each is ordered once."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import typer

from imgbatch.cli import app
from imgbatch.cloud import schedules
from imgbatch.cloud.deployment import Schedule as Made
from imgbatch.cloud.schedules import Schedule, due, kills
from imgbatch.errors import DeploymentError, SettingsError
from imgbatch.recurring import cron_of
from tests.cloud.watched import Scene

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def weekly(scene: Scene, **more: object) -> Schedule:
    words: dict[str, object] = {
        "name": "weekly",
        "cron": "0 3 * * 1",
        "timezone": "Europe/Berlin",
        "hours": 5,
        "order": scene.order(hours=0),
        "since": at("2027-01-14 12:00"),
    }
    return Schedule.model_validate(words | more)


def test_a_tick_is_ordered_once_and_its_run_is_named_by_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    schedules.put(scene.control, weekly(scene))
    assert due(scene.control, at("2027-01-18 02:59:59")) == []
    (order,) = due(scene.control, at("2027-01-18 03:00"))
    assert order.run.startswith("20270118T020000Z-")
    assert (order.deadline, order.hours, order.by) == (0, 5, "schedule weekly")
    assert scene.control.orders() == [order]
    assert due(scene.control, at("2027-01-18 03:05")) == []
    scene.control.close(order.run)
    assert due(scene.control, at("2027-01-24 23:00")) == []
    assert len(due(scene.control, at("2027-01-25 03:00"))) == 1


def test_ticks_that_were_missed_are_caught_up_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    schedules.put(scene.control, weekly(scene))
    (order,) = due(scene.control, at("2027-02-10 12:00"))
    assert order.run.startswith("20270208T020000Z-")
    assert due(scene.control, at("2027-02-10 12:01")) == []
    (kept,) = schedules.schedules(scene.control)
    assert (kept.last, kept.last_run) == (at("2027-02-08 03:00"), order.run)


def test_two_heads_that_look_at_once_order_a_tick_once(tmp_path: Path) -> None:
    scene, other = Scene(tmp_path), Scene(tmp_path)
    schedules.put(scene.control, weekly(scene))
    now = at("2027-01-18 03:01")
    ours = scene.control.order
    found: list[object] = []

    def slow(order: object) -> None:
        found.extend(due(other.control, now))
        ours(order)  # type: ignore[arg-type]

    scene.control.order = slow  # type: ignore[method-assign,assignment]
    assert due(scene.control, now) == []
    assert len(found) == 1
    assert len(scene.control.orders()) == 1


def test_a_head_that_died_before_it_noted_a_tick_costs_no_second_run(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    schedules.put(scene.control, weekly(scene))
    now = at("2027-01-18 03:01")
    (order,) = due(scene.control, now)
    # As if it had died between the two writes: first with the order waiting, then with it done.
    scene.control.store.put("schedules/weekly.json", schedules._json(weekly(scene)))
    assert due(scene.control, now) == []
    assert [waiting.run for waiting in scene.control.orders()] == [order.run]
    scene.control.close(order.run)
    scene.control.store.put("schedules/weekly.json", schedules._json(weekly(scene)))
    assert due(scene.control, now) == []
    assert scene.control.orders() == []
    (kept,) = schedules.schedules(scene.control)
    assert kept.last_run == order.run


def test_two_schedules_of_one_tick_are_two_runs(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for name in ("weekly", "another"):
        schedules.put(scene.control, weekly(scene, name=name))
    assert len({order.run for order in due(scene.control, at("2027-01-18 03:00"))}) == 2


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("2027-03-28 01:00", "2027-03-28T03:00:00+02:00"),  # 2:30 does not exist that night
        ("2027-10-31 01:00", "2027-10-31T02:30:00+02:00"),  # 2:30 comes twice: the first counts
    ],
)
def test_nights_of_summer_time_have_one_tick(tmp_path: Path, before: str, expected: str) -> None:
    daily = weekly(Scene(tmp_path), cron="30 2 * * *", since=0.0)
    tick = daily.next(at(before))
    assert datetime.fromtimestamp(tick, BERLIN).isoformat() == expected
    assert daily.next(tick) - tick > 20 * 3600
    assert daily.missed(tick) == tick


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [
        ("0 3 * *", "UTC", "has 4 fields, not 5"),
        ("* 0 3 * * 1", "UTC", "has 6 fields, not 5"),
        ("0 25 * * 1", "UTC", "Bad hour"),
        ("0 3 * * MON", "UTC", "'MON' will not do here"),
        ("*/5 3 * * 1", "UTC", r"'*/5' will not do here"),
        ("0 3 1 * 1", "UTC", "days of the month and of the week"),
        ("0 3 30 2 *", "UTC", "Bad day-of-month"),
        ("0 3 * * 1#2", "UTC", "'1#2' will not do here"),
        ("0 3 * * 1", "Berlin", "--timezone 'Berlin' is none"),
        ("0 3 * * 1", "../etc", "is none"),
    ],
)
def test_a_cron_or_time_zone_that_is_wrong_is_told_at_once(cron: str, zone: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        schedules.check_times(cron, zone)


@pytest.mark.parametrize(
    "words", ["Fri-Mon 23:59", "weekdays 3:00", "monthly 1 03:00", "hourly :15"]
)
def test_words_of_times_are_understood_by_a_cloud_too(words: str) -> None:
    schedules.check_times(cron_of(words), "Europe/Berlin")


@pytest.mark.parametrize("times", [[], ["--every", "Mon 03:00", "--cron", "0 3 * * 1"]])
def test_a_schedule_has_its_times_in_one_way(times: list[str]) -> None:
    command = typer.main.get_command(app)
    words = ["cloud", "schedule", "add", "weekly", "--hours", "3", *times]
    with pytest.raises(SettingsError, match="--every or --cron"):
        command([*words, "--", "run", "a", "b"], standalone_mode=False)


def test_a_name_is_given_once_and_free_again_when_removed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    schedules.put(scene.control, weekly(scene))
    with pytest.raises(SettingsError, match="there is a schedule weekly"):
        schedules.put(scene.control, weekly(scene, since=at("2027-01-14 12:01")))
    schedules.remove(scene.control, "weekly")
    schedules.put(scene.control, weekly(scene))


def test_a_damaged_schedule_is_told_and_not_skipped(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.store.put("schedules/weekly.json", b"{")
    with pytest.raises(DeploymentError, match=r"weekly\.json is no JSON"):
        due(scene.control, 0)


def test_a_damaged_schedule_keeps_no_other_from_its_tick(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.store.put("schedules/damaged.json", b"{")
    schedules.put(scene.control, weekly(scene))
    with pytest.raises(DeploymentError, match=r"damaged\.json is no JSON"):
        due(scene.control, at("2027-01-18 03:00"))
    (order,) = scene.control.orders()
    assert order.by == "schedule weekly"


def test_the_ends_that_a_cloud_makes_are_known_beforehand() -> None:
    made = Made(cron="0 3 * * 1", kill="0 8 * * 1", timezone="Europe/Berlin", hours=5)
    start = at("2027-01-17 12:00")
    assert list(kills(made, start, start + 12 * 3600)) == []
    (found,) = kills(made, start, start + 24 * 3600)
    assert found.timestamp() == at("2027-01-18 08:00")
