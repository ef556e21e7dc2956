"""Ledgers of runs whose machines somebody else ended: the cloud, a console, `stop`, `down`."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from imgbatch.cli.cloud.at_work import end_runs
from imgbatch.cli.cloud.costs import detailed, listed
from imgbatch.cloud import ledger
from imgbatch.cloud.book import Book
from imgbatch.cloud.closing import Closing
from imgbatch.cloud.costs import Cost, cost_of, costs
from imgbatch.cloud.former import runs
from imgbatch.cloud.halt import halt
from imgbatch.cloud.launch import Place
from imgbatch.cloud.monthly import paid
from imgbatch.errors import CloudError
from tests.cloud.fake import NOON
from tests.cloud.night import HOUR, WEEK, FakeDataset, Night
from tests.cloud.watched import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.cloud import Event
    from imgbatch.cloud.control import Order

MINUTE = 60.0


def killed(folder: Path, hours: float = 6.0, more: float = 0.0) -> tuple[Night, Order, float]:
    """A run whose machines the cloud ended while it was at work, and what they cost."""
    night = Night(folder, shards=400)
    order = night.order(hours=hours)
    night.run(40 * MINUTE + more)
    night.kill()
    bill = night.cloud.bill()
    assert len(night.cloud.rented) == 9
    return night, order, bill


def cost(night: Night, order: Order) -> Cost:
    return cost_of(night.control, order.run, now=lambda: night.cloud.now)


def place(night: Night) -> Place:
    return Place(night.deployment, night.control, night.cloud.groups, night.cloud.market)


def closed(night: Night, order: Order, bill: float) -> Cost:
    """Assert that a ledger is whole, and says what the cloud does."""
    found = cost(night, order)
    assert all(line.end is not None for line in found.lines)
    assert (found.dollars, found.unseen) == (pytest.approx(bill), 0.0)
    told = night.state(order)
    assert (told.spent, told.per_hour) == (pytest.approx(bill), 0.0)
    assert found.seconds < HOUR
    assert "more" not in "".join(listed([found]))
    return found


def test_a_run_that_the_cloud_killed_costs_a_week_later_what_it_cost_then(tmp_path: Path) -> None:
    night, order, bill = killed(tmp_path)
    at_once = cost(night, order)
    night.cloud.now += WEEK
    found = cost(night, order)
    assert found.dollars == at_once.dollars == pytest.approx(night.state(order).spent)
    assert found.phase == "lost"
    # Not what it was: what a head saw of it, and how much that can lack.
    assert found.dollars < bill <= found.dollars + found.unseen
    assert found.unseen < 1.0
    (said,) = [line for line in listed([found]) if "nobody saw the end of 9 machines" in line]
    assert f"up to ${found.unseen:.2f} more" in said
    assert said in detailed(found)
    assert listed([found])[-1].endswith(f"and up to ${found.unseen:.2f} more")
    (former,) = runs(night.control)
    assert sum(x.end - x.start for x in former.workers()) / HOUR == pytest.approx(found.hours)


def test_the_next_head_closes_the_ledger_of_a_run_that_the_cloud_killed(tmp_path: Path) -> None:
    night, order, bill = killed(tmp_path)
    night.cloud.now += WEEK
    night.order(hours=2)
    night.until_quiet()
    night.check()
    assert closed(night, order, bill).phase == "deadline"
    every = costs(night.control, now=lambda: night.cloud.now)
    assert sum(one.dollars for one in every) == pytest.approx(night.cloud.bill(), rel=0.02)


# At the second of its last look, and five after it.
@pytest.mark.parametrize("more", [5.0, 0.0])
def test_a_run_that_goes_on_hours_after_it_was_killed_costs_no_more_for_them(
    tmp_path: Path, more: float
) -> None:
    night, order, _ = killed(tmp_path, hours=12, more=more)
    night.cloud.now += 3 * HOUR
    night.cloud.groups.want(night.head_group, 1)
    night.until_quiet()
    night.check()
    found = cost(night, order)
    assert (found.phase, found.unseen) == ("done", 0.0)
    assert found.dollars == pytest.approx(night.cloud.bill(), rel=0.01)


@pytest.mark.parametrize("force", [False, True])
def test_a_run_that_is_stopped_days_after_it_was_killed_costs_what_it_cost(
    tmp_path: Path, *, force: bool
) -> None:
    night, order, bill = killed(tmp_path)
    night.cloud.now += 2 * 24 * HOUR
    halt(order.run, place(night), force=force, say=lambda _: None, clock=FakeClock(night.cloud))
    assert closed(night, order, bill).phase == "stopped"


def test_a_run_that_is_stopped_at_work_has_an_end_in_every_line(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=400)
    order, other = night.order(), night.order(hours=9)
    night.run(40 * MINUTE)
    halt(other.run, place(night), force=True, say=lambda _: None, clock=FakeClock(night.cloud))
    # All machines went, also those of the run that nobody meant: it goes on from there.
    assert night.control.waiting() == [order.run]
    found = cost(night, order)
    assert all(line.end is not None for line in found.lines)
    assert found.dollars == pytest.approx(night.cloud.bill())


def test_a_deployment_that_goes_down_leaves_whole_ledgers(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=400)
    order = night.order()
    night.run(40 * MINUTE)
    night.manned = False
    end_runs(night.deployment, [order.run], FakeClock(night.cloud), lambda _: place(night))
    bill = night.cloud.bill()
    night.cloud.now += 2 * 24 * HOUR
    assert night.cloud.alive() == []
    assert night.control.waiting() == []
    assert closed(night, order, bill).phase == "stopped"


def test_a_cloud_that_does_not_answer_keeps_no_deployment_from_going_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night, order, bill = killed(tmp_path)
    night.cloud.down = lambda _: True
    night.cloud.now += HOUR
    end_runs(night.deployment, [order.run], FakeClock(night.cloud), lambda _: place(night))
    assert "left to Terraform: the cloud does not answer" in capsys.readouterr().err
    assert night.control.waiting() == []
    night.cloud.now += WEEK
    found = cost(night, order)
    assert found.dollars < bill <= found.dollars + found.unseen
    assert all(line.end is not None for line in found.lines)
    assert found.phase == "stopped"


def test_machines_that_a_cloud_ends_after_it_did_not_answer_are_told_as_not_seen(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=400)
    order = night.order()
    night.run(40 * MINUTE)
    night.manned = False
    night.cloud.down = lambda _: True
    end_runs(night.deployment, [order.run], FakeClock(night.cloud), lambda _: place(night))
    assert night.cloud.alive()
    night.run(30 * MINUTE)  # ... by themselves, or by Terraform
    assert night.cloud.alive() == []
    found = cost(night, order)
    assert found.phase == "stopped"
    assert found.dollars < night.cloud.bill() <= found.dollars + found.unseen


def test_a_machine_of_whose_end_nothing_is_told_counts_to_its_last_look_and_that_is_said(
    tmp_path: Path,
) -> None:
    night, order, bill = killed(tmp_path)
    seen = night.state(order).at
    for group in night.cloud.state.values():
        group.events.clear()  # as after a `down` and an `up`
    night.cloud.now += WEEK
    halt(order.run, place(night), force=True, say=lambda _: None, clock=FakeClock(night.cloud))
    found = cost(night, order)
    assert {line.end for line in found.lines if line.unsure} == {seen}
    assert found.dollars < bill <= found.dollars + found.unseen
    told = night.state(order)
    assert told.spent == pytest.approx(found.dollars)
    assert told.reason.endswith(f"up to ${found.unseen:.2f} more")
    assert "?" in "".join(detailed(found))
    # Who goes by a bound counts it.
    budget = {"budget": order.budget}
    month = paid(night.control, order.run[-7:], "UTC", NOON + HOUR, **budget)
    assert month == pytest.approx(found.dollars + found.unseen)


def test_a_pool_that_tells_nothing_of_a_run_that_is_over_holds_no_other_run_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, order, bill = killed(tmp_path, hours=1)
    night.cloud.now += 2 * HOUR
    events = night.cloud.groups.events

    def refused(group: str, since: float) -> list[Event]:
        if group == night.group():
            raise CloudError("the pool does not tell")
        return events(group, since)

    monkeypatch.setattr(night.cloud.groups, "events", refused)
    night.datasets["other"] = FakeDataset(dict.fromkeys(range(50), 60.0))
    other = night.order(hours=3, pool="cpu", dataset="other")
    night.until_quiet()
    assert (night.state(order).phase, night.state(other).phase) == ("deadline", "done")
    assert night.control.waiting() == []
    assert any("is not told: the pool does not tell" in line for _, _, line in night.said)
    found = cost(night, order)
    assert all(line.end is not None for line in found.lines)
    assert found.dollars < bill <= found.dollars + found.unseen < bill + 1.0


def test_an_outage_between_two_refusals_leaves_no_ledger_that_the_cloud_could_have_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, order, bill = killed(tmp_path, hours=1)
    night.cloud.now += 2 * HOUR
    events, refused = night.cloud.groups.events, []

    def throttled(group: str, since: float) -> list[Event]:
        if group == night.group() and len(refused) < 2:
            refused.append(night.cloud.now)
            raise CloudError("asked too often")
        return events(group, since)

    # All of it, for longer than a pool's own silence would be waited for.
    night.cloud.down = lambda now: bool(refused) and 0 < now - refused[0] < 5 * MINUTE
    monkeypatch.setattr(night.cloud.groups, "events", throttled)
    night.order(hours=3)
    night.until_quiet()
    assert refused[1] - refused[0] >= 5 * MINUTE
    assert closed(night, order, bill).phase == "deadline"


def untold(night: Night) -> None:
    """Have the cloud know nothing of what was, as where groups were made anew."""
    for group in night.cloud.state.values():
        group.events.clear()


@pytest.mark.parametrize("how", ["stop", "next", "next head"])
def test_what_nobody_saw_of_a_ledger_is_twenty_minutes_and_not_the_days_to_the_deadline(
    tmp_path: Path, how: str
) -> None:
    night, order, bill = killed(tmp_path, hours=96)
    untold(night)
    night.cloud.now += 2 * 24 * HOUR
    before = cost(night, order)
    assert before.dollars < bill <= before.dollars + before.unseen
    assert before.unseen < 1.0
    if how == "stop":
        halt(order.run, place(night), force=True, say=lambda _: None, clock=FakeClock(night.cloud))
        assert night.state(order).phase == "stopped"
    elif how == "next":  # ... that finds its deadline passed
        night.cloud.now += 3 * 24 * HOUR
        night.order(hours=1, dataset="data")
        night.until_quiet()
        assert night.state(order).phase == "deadline"
    else:  # ... that goes on with it, within its budget
        night.cloud.groups.want(night.head_group, 1)
        night.until_quiet()
        assert night.state(order).phase == "done"
    found = cost(night, order)
    assert all(line.end is not None for line in found.lines)
    assert found.unseen == pytest.approx(before.unseen)


def test_a_cloud_that_does_not_tell_at_once_what_was_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, order, bill = killed(tmp_path)
    night.cloud.now += HOUR
    events, asked = night.cloud.groups.events, []

    def throttled(group: str, since: float) -> list[Event]:
        asked.append(group)
        if len(asked) < 3:
            raise CloudError("asked too often")
        return events(group, since)

    monkeypatch.setattr(night.cloud.groups, "events", throttled)
    said: list[str] = []
    halt(order.run, place(night), force=True, say=said.append, clock=FakeClock(night.cloud))
    assert closed(night, order, bill).unseen == 0.0
    assert not any("not told" in line for line in said)


def test_a_head_that_comes_late_counts_what_nobody_saw_towards_the_budget(tmp_path: Path) -> None:
    night, order, bill = killed(tmp_path)
    lines = ledger.read(night.control.get(order.run, "ledger.jsonl") or b"")
    looked, market = night.state(order).at, night.cloud.market
    book = Book(market, night.deployment, "gpu", lines=lines, looked=looked)
    book.see([], [], [], night.cloud.now + HOUR)
    least = ledger.spent(book.lines, 0.0)
    assert least < bill < book.spent(0.0)
    assert book.spent(0.0) - least == pytest.approx(sum(line.unseen for line in book.lines))
    assert ledger.read(ledger.write(book.lines)) == book.lines
    # What is sure is written as before.
    assert b"unsure" not in ledger.write(lines)


def test_a_machine_that_came_and_went_after_the_last_look_is_in_the_ledger(tmp_path: Path) -> None:
    night, order, bill = killed(tmp_path)
    group = night.group()
    night.cloud.groups.want(group, 1)
    night.cloud.advance(10 * MINUTE)
    night.cloud.groups.want(group, 0)
    bill = night.cloud.bill()
    night.cloud.now += HOUR
    halt(order.run, place(night), force=True, say=lambda _: None, clock=FakeClock(night.cloud))
    found = cost(night, order)
    assert found.machines == 9
    # At the dearest price that it can have had.
    assert bill <= found.dollars <= 1.1 * bill


def test_prices_that_are_not_told_keep_no_ledger_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, order, bill = killed(tmp_path)

    def prices(*_: object) -> list[object]:
        raise CloudError("no prices")

    monkeypatch.setattr(night.cloud.market, "prices", prices)
    night.cloud.now += HOUR
    said: list[str] = []
    halt(order.run, place(night), force=True, say=said.append, clock=FakeClock(night.cloud))
    found = cost(night, order)
    assert any("is not told: no prices" in line for line in said)
    assert all(line.end is not None for line in found.lines)
    assert found.dollars < bill <= found.dollars + found.unseen


def test_a_pool_that_is_gone_keeps_no_ledger_open(tmp_path: Path) -> None:
    night, order, bill = killed(tmp_path)
    closing = Closing(night.control, night.deployment, night.cloud.groups, night.cloud.market)
    state = night.state(order)
    gone = order.model_copy(update={"pool": "of-before"})
    lines = closing.close(order.run, gone, state, night.cloud.now + HOUR)
    assert lines is not None
    assert all(line.end is not None for line in lines)
    assert ledger.spent(lines, 0.0) < bill <= ledger.at_most(lines, 0.0)


def test_where_nobody_asks_for_prices_ends_count_as_the_cloud_tells_them(tmp_path: Path) -> None:
    night, order, bill = killed(tmp_path)
    closing = Closing(night.control, night.deployment, night.cloud.groups)
    lines = closing.close(order.run, order, night.state(order), night.cloud.now + HOUR)
    assert lines is not None
    assert ledger.at_most(lines, 0.0) == pytest.approx(bill)


def test_a_ledger_that_was_left_open_by_a_run_that_is_over_does_not_cost_until_that_was_noted(
    tmp_path: Path,
) -> None:
    """As versions before this one left them, whose `stop` and heads closed none."""
    night, order, bill = killed(tmp_path)
    late = {"phase": "stopped", "code": 20, "at": night.cloud.now + 2 * 24 * HOUR}
    night.control.tell(night.state(order).model_copy(update=late))
    night.control.close(order.run)
    night.cloud.now += WEEK
    found = cost(night, order)
    assert found.dollars < bill <= found.dollars + found.unseen
    assert found.seen < order.deadline
    assert found.dollars + found.unseen < 20
    halt(order.run, place(night), force=True, say=lambda _: None, clock=FakeClock(night.cloud))
    assert cost(night, order).dollars == pytest.approx(bill)
    assert cost(night, order).unseen == 0.0


def scheduled(folder: Path, seed: int) -> None:
    """A night with wake and kill, drawn by lot; a week later the next one."""
    draw = Random(f"wake and kill {seed}")
    night = Night(
        folder,
        shards=draw.choice([20, 2000, 5000]),
        seed=seed,
        preemptions=draw.choice([0.0, 2.0]),
        broken=lambda d: "it broke" if d.random() < 0.1 else "",
        head_skew=draw.uniform(-30, 30),
    )
    hours = draw.choice([1, 2, 3])
    night.schedule(
        NOON // 60 * 60 + 10 * MINUTE, hours=hours, budget=draw.choice([1.0, 50.0, 50.0])
    )
    if draw.random() < 0.3:
        night.order(hours=8, budget=draw.choice([0.5, 20.0]))
    end, lost = night.kills[0], draw.choice([None, draw.uniform(0.3, 1.0)])
    if lost is not None:
        night.run((end - night.cloud.now) * lost)
        if night.cloud.alive(night.head_group):
            night.lose_head()
    night.run(end - night.cloud.now + 30 * MINUTE)
    if night.control.waiting() and night.orders:
        night.cloud.groups.want(night.head_group, 1)  # who ordered asks again
    night.until_quiet()
    night.check()
    night.cloud.now = night.wakes[1] - MINUTE
    night.run(night.kills[1] - night.cloud.now + 30 * MINUTE)
    night.until_quiet()
    night.check()
    # A head that wakes alone finds all that was left open.
    night.cloud.now = night.kills[1] + WEEK / 2
    night.cloud.groups.want(night.head_group, 1)
    night.run(HOUR)
    night.until_quiet()
    every = costs(night.control, now=lambda: night.cloud.now)
    bill = night.cloud.bill()
    assert night.control.waiting() == []
    assert all(line.end is not None for one in every for line in one.lines)
    assert [one.unseen for one in every] == [0.0] * len(every)
    assert 0.97 * bill - 0.05 <= sum(one.dollars for one in every) <= 1.25 * bill


def test_a_night_with_wake_and_kill_leaves_a_ledger_that_is_the_bill(tmp_path: Path) -> None:
    scheduled(tmp_path, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 20))
def test_any_night_with_wake_and_kill_leaves_ledgers_that_are_the_bill(
    tmp_path: Path, seed: int
) -> None:
    scheduled(tmp_path, seed)
