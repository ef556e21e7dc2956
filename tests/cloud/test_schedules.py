"""Which ticks of a schedule are ordered, and that each is ordered once."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import typer

from imgbatch.cli import app
from imgbatch.cli.cloud import lines
from imgbatch.cloud import ledger, schedules
from imgbatch.cloud.control import State
from imgbatch.cloud.deployment import Schedule as Made
from imgbatch.cloud.ledger import Line, Tariff, Traffic
from imgbatch.cloud.schedules import Schedule, deadline, due, killed, kills
from imgbatch.cloud.standing import standing
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


def lived(scene: Scene, run: str, hours: float, traffic: float = 0.0) -> None:
    """Leave what a run leaves that ended: a machine of a dollar an hour, and its traffic."""
    scene.control.close(run)
    line = Line(
        machine="i-1",
        role="worker",
        type="g.small",
        zone="a",
        spot=True,
        start=0.0,
        end=hours * 3600,
        dollars=1.0,
        besides=0.0,
        priced="live",
    )
    crossed = Traffic(tariff=Tariff(read=1.0), read=int(traffic * 1e9))
    scene.control.put(run, "ledger.jsonl", ledger.write([line], crossed))
    state = {"phase": "done", "at": 0.0, "deadline": 0.0, "budget": 50.0}
    scene.control.tell(State.model_validate({"run": run, **state}))


def test_a_tick_that_could_pass_the_total_of_its_month_is_skipped_and_the_next_month_is_new(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    schedules.put(scene.control, weekly(scene, total=120.0))
    (first,) = due(scene.control, at("2027-01-18 03:00"))
    lived(scene, first.run, hours=30, traffic=25)
    # 55 $ were paid; with the 50 $ of this one it is 105 $.
    (second,) = due(scene.control, at("2027-01-25 03:00"))
    lived(scene, second.run, hours=16)
    # 71 $ were paid: one more of 50 $ in January could be too much.
    schedules.remove(scene.control, "weekly")
    schedules.put(scene.control, weekly(scene, total=120.0, cron="0 3 * * *", last=second_tick()))
    assert due(scene.control, at("2027-01-26 03:00")) == []
    (kept,) = schedules.schedules(scene.control)
    assert (kept.last, kept.skipped) == (at("2027-01-26 03:00"), at("2027-01-26 03:00"))
    assert due(scene.control, at("2027-01-26 03:05")) == []
    now = standing("lab", scene.control, at("2027-01-26 03:05"))
    (said,) = [line for line in lines.standing(now) if line.startswith("schedule")]
    assert "was skipped: its $50.00 could have passed the $120.00 of the month" in said
    assert len(due(scene.control, at("2027-02-01 03:00"))) == 1


def second_tick() -> float:
    return at("2027-01-25 03:00")


def test_a_run_that_goes_on_or_cannot_be_read_counts_with_all_of_its_budget(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    schedules.put(scene.control, weekly(scene, total=100.0, cron="0 3 * * *"))
    (waits,) = due(scene.control, at("2027-01-18 03:00"))
    (second,) = due(scene.control, at("2027-01-19 03:00"))
    assert due(scene.control, at("2027-01-20 03:00")) == []
    lived(scene, waits.run, hours=1)
    lived(scene, second.run, hours=1)
    silent = {"run": second.run, "phase": "working", "at": 0.0, "deadline": 0.0, "budget": 50.0}
    scene.control.tell(State.model_validate(silent))
    # 1 $, and 50 $ of a run that nobody said the end of.
    assert due(scene.control, at("2027-01-21 03:00")) == []
    lived(scene, second.run, hours=1)
    scene.control.put(second.run, "ledger.jsonl", b"{")
    # 1 $, and 50 $ of which nobody can tell.
    assert due(scene.control, at("2027-01-22 03:00")) == []
    lived(scene, second.run, hours=1)
    assert len(due(scene.control, at("2027-01-23 03:00"))) == 1


def test_a_tick_that_was_ordered_and_not_noted_is_none_that_was_skipped(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    schedules.put(scene.control, weekly(scene, total=75.0))
    (first,) = due(scene.control, at("2027-01-18 03:00"))
    lived(scene, first.run, hours=20)
    (before,) = schedules.schedules(scene.control)
    now = at("2027-01-25 03:01")
    (order,) = due(scene.control, now)
    scene.control.store.put("schedules/weekly.json", schedules._json(before))
    # By now the first one counts with 50 $.
    scene.control.put(first.run, "ledger.jsonl", b"{")
    assert due(scene.control, now) == []
    (kept,) = schedules.schedules(scene.control)
    assert (kept.last_run, kept.skipped) == (order.run, 0)


@pytest.mark.parametrize(
    ("cron", "total", "most"),
    [
        ("0 3 * * *", 0, 31 * 50.0),
        ("0 3 * * 1", 0, 5 * 50.0),
        ("0 3 1 * *", 0, 50.0),
        ("0 3 29 2 *", 0, 50.0),
        ("0 * * * *", 0, 744 * 50.0),
        ("0 3 * * *", 100, 100.0),
        ("0 3 1 * *", 100, 50.0),
    ],
)
def test_the_most_that_a_month_can_cost_is_its_ticks_or_its_total(
    tmp_path: Path, cron: str, total: float, most: float
) -> None:
    schedule = weekly(Scene(tmp_path), cron=cron, total=total, timezone="UTC")
    assert schedule.most == most


def test_a_total_below_one_budget_is_refused() -> None:
    command = typer.main.get_command(app)
    words = ["cloud", "schedule", "add", "weekly", "--hours", "3", "--every", "daily 03:00"]
    run = ["--", "run", "s3://a/b", "s3://a/c", "--budget", "50"]
    for total in ("49", "nan"):
        with pytest.raises(SettingsError, match="of a tick: none would run"):
            command([*words, "--total", total, *run], standalone_mode=False)


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


def test_a_scheduled_run_is_over_before_the_cloud_ends_all_machines(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    schedules.put(scene.control, weekly(scene))
    tick = at("2027-01-18 03:00")
    (order,) = due(scene.control, tick)
    own = Made(cron="0 3 * * 1", kill="0 8 * * 1", timezone="Europe/Berlin", hours=5)
    other = Made(cron="0 1 * * *", kill="0 4 * * *", timezone="Europe/Berlin", hours=3)
    two_minutes = 120
    begun = tick + 180
    assert deadline(order, {"weekly": own}, begun) == at("2027-01-18 08:00") - two_minutes
    # A head from before the schedule knows no kill of it.
    assert deadline(order, {}, begun) == at("2027-01-18 08:00") - two_minutes
    both = {"weekly": own, "other": other}
    assert deadline(order, both, begun) == at("2027-01-18 04:00") - two_minutes
    # Caught up days later: its own end is past.
    late = at("2027-01-20 12:00")
    assert deadline(order, {"weekly": own}, late) == late + 5 * 3600
    assert killed({}, late) is None
