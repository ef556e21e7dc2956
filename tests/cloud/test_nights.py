"""Nights in a cloud that fails: heads, workers and the cloud's own answers, in simulated time."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.cli.cloud.lines import STEPS
from imgbatch.cloud import ledger, schedules
from imgbatch.cloud.control import State
from imgbatch.cloud.costs import cost_of
from imgbatch.errors import CloudError, CredentialsError, OutageError, PermissionsError
from jobs.scale import HASTE_SECONDS
from tests.cloud.fake import NOON, STEP_SECONDS, FakeCloud, FakeGroups, Rented
from tests.cloud.night import FakeRun, Manned, Night

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.cloud import Member
    from imgbatch.cloud.control import Order
    from imgbatch.cloud.work import Work
    from imgbatch.storage import Store

MINUTE, HOUR = 60.0, 3600.0


def ended(night: Night, order: Order) -> tuple[str, int | None]:
    state = night.state(order)
    return state.phase, state.code


def workers(night: Night) -> list[Rented]:
    return [rented for rented in night.cloud.rented if rented.group == night.group()]


def peak(night: Night) -> int:
    """Return how many workers there were at once at most."""
    moments = [(r.since, 1) for r in workers(night)]
    moments += [(r.ended, -1) for r in workers(night) if r.ended is not None]
    at = most = 0
    for _, change in sorted(moments):
        at += change
        most = max(most, at)
    return most


def test_a_quiet_night_does_all_and_ends_all(tmp_path: Path) -> None:
    night = Night(tmp_path)
    order = night.order()
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    assert night.datasets["data"].whole
    assert night.control.orders() == []
    assert night.control.lease() is None
    assert peak(night) == order.most


def test_nothing_is_rented_for_a_run_that_finds_nothing_to_do(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=0)
    order = night.order()
    night.until_quiet()
    assert ended(night, order) == ("done", 0)
    assert workers(night) == []


def test_few_shards_get_few_machines(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=5)
    night.order(most=8)
    night.until_quiet()
    night.check()
    assert peak(night) == 3


@pytest.mark.slow
def test_the_ledger_is_what_the_machines_cost(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=2000, preemptions=1.0, seed=3)
    order = night.order()
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    # The bill goes on until the head machine is gone; prices are looked at each five minutes.
    assert night.spent(order) == pytest.approx(night.cloud.bill(), rel=0.01, abs=0.01)
    lines = ledger.read(night.control.get(order.run, "ledger.jsonl") or b"")
    assert {line.machine for line in lines} == {rented.machine for rented in night.cloud.rented}
    assert len(lines) > len(night.cloud.rented), "no price changed in hours"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_storms_of_preemptions_lose_no_shard(tmp_path: Path, seed: int) -> None:
    night = Night(tmp_path, shards=300, preemptions=6.0, seed=seed)
    order = night.order()
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    assert night.datasets["data"].whole
    preempted = [e for e in night.cloud.state[night.group()].events if e.kind == "preempted"]
    assert len(preempted) == night.state(order).preemptions > 10


def test_a_lost_head_is_replaced_and_goes_on_with_its_ledger(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=600)
    order = night.order()
    night.run(30 * MINUTE)
    before = night.spent(order)
    done = len(night.datasets["data"].done)
    assert 0 < done < 600
    night.lose_head()
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    assert night.spent(order) > before > 0
    lines = ledger.read(night.control.get(order.run, "ledger.jsonl") or b"")
    assert len({line.machine for line in lines if line.role == "head"}) == 2
    assert night.spent(order) == pytest.approx(night.cloud.bill(), rel=0.01, abs=0.01)
    state = night.state(order)
    assert (state.shards, state.shards_done) == (600, 600)


@pytest.mark.parametrize("after", [30.0, 150.0, 300.0, 900.0, 2400.0])
def test_a_head_may_be_lost_at_any_moment(tmp_path: Path, after: float) -> None:
    night = Night(tmp_path, shards=300)
    order = night.order()
    night.run(after)
    if night.cloud.alive(night.head_group):
        night.lose_head()
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)


def test_of_two_heads_the_newer_leads_and_the_older_leaves(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=300)
    order = night.order()
    night.run(20 * MINUTE)
    (old,) = night.heads.values()
    # Its group believes it dead and has another; it still runs.
    night.cloud.state[night.head_group].most = 2
    night.cloud.groups.want(night.head_group, 2)
    night.run(10 * MINUTE)
    new = [manned for manned in night.heads.values() if manned is not old]
    assert old.next is None, "the older one still leads"
    assert len(new) == 1
    lease = night.control.lease()
    assert lease is not None
    assert lease.head_machine == new[0].rented.machine
    night.until_quiet()
    assert ended(night, order) == ("done", 0)
    assert night.datasets["data"].whole


def test_the_laptop_may_be_off_from_the_first_second(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=100, preemptions=2.0)
    order = night.order()
    calls = night.cloud.state[night.group()].wanted
    night.until_quiet()  # nobody but heads and the cloud acts
    night.check()
    assert calls == 0
    assert ended(night, order) == ("done", 0)


def test_orders_come_one_after_the_other_on_the_same_head(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=100)
    night.datasets["other"] = type(night.datasets["data"])(dict.fromkeys(range(40), 60.0))
    first = night.order(hours=3)
    night.run(MINUTE)
    second = night.order(hours=6, dataset="other", pool="cpu")
    night.until_quiet()
    night.check()
    assert ended(night, first) == ended(night, second) == ("done", 0)
    assert all(dataset.whole for dataset in night.datasets.values())
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 1
    both = night.spent(first) + night.spent(second)
    assert both == pytest.approx(night.cloud.bill(), rel=0.01, abs=0.01)


def test_the_cloud_lets_a_head_live_for_what_was_ordered_after_it_began(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=4000)
    first = night.order(hours=1)
    night.run(10 * MINUTE)
    second = night.order(hours=3)
    night.run(10 * MINUTE)
    assert night.state(first).phase == "working"
    armed = night.cloud.state[night.head_group].armed
    assert armed is not None
    assert armed >= second.deadline
    night.until_quiet()
    night.check()
    assert ended(night, first)[0] == "deadline"


def test_a_ledger_that_cannot_be_read_yet_is_waited_for_and_no_ray_started(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=4)
    failing = ["ledger.jsonl"] * 2
    real = night.control.get

    def get(run: str, name: str) -> bytes | None:
        if name in failing:
            failing.remove(name)
            raise OutageError("the bucket does not answer")
        return real(run, name)

    night.control.get = get  # type: ignore[method-assign]
    order = night.order()
    runs = []
    while night.control.state(order.run) is None:
        night.run(5)
        runs = [run for manned in night.heads.values() for run in manned.runs]
    assert len(runs) == 1
    assert night.datasets["data"].drivers == 1
    night.until_quiet()
    assert ended(night, order) == ("done", 0)


def test_a_pool_that_is_gone_keeps_no_head_from_leaving(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=4)
    del night.cloud.state[night.group("cpu")]
    order = night.order()
    night.until_quiet(hours=1)
    assert ended(night, order) == ("done", 0)
    assert not [line for _, _, line in night.said if "tried again" in line]


def test_an_order_that_no_head_can_read_is_said_and_holds_nothing_up(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=4)
    order = night.order()
    night.run(2 * MINUTE)
    night.control.store.put("orders/99990101T000000Z-newer.json", b'{"run": "x", "newer": 1}')
    night.until_quiet(hours=1)
    assert ended(night, order) == ("done", 0)
    assert any("newer.json" in line for _, _, line in night.said)


@pytest.mark.parametrize("name", ["state.json", "ledger.jsonl"])
@pytest.mark.parametrize("damaged", [b'{"run": ', b'{"run": "x", "of_a_newer_version": 1}\n'])
def test_a_run_of_which_nobody_knows_what_it_spent_fails_and_holds_nothing_up(
    tmp_path: Path, name: str, damaged: bytes
) -> None:
    night = Night(tmp_path, shards=40)
    night.datasets["other"] = type(night.datasets["data"])(dict.fromkeys(range(4), 60.0))
    first = night.order()
    second = night.order(dataset="other")
    night.control.put(first.run, name, damaged)
    night.until_quiet()
    night.check()
    assert ended(night, first)[0] == "failed"
    assert name.partition(".")[0] in night.state(first).reason
    assert "Order it again" in night.state(first).reason
    assert ended(night, second) == ("done", 0)
    assert night.control.orders() == []


def test_an_order_that_no_turn_can_begin_fails_and_holds_nothing_up(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=40)
    first = night.order(dataset="of nobody's")  # a KeyError wherever it is begun
    second = night.order()
    night.run(10 * MINUTE)
    assert ended(night, first) == ("failed", 1)
    assert "KeyError" in night.state(first).reason
    assert "5 times in a row" in night.state(first).reason
    night.until_quiet()
    night.check()
    assert ended(night, second) == ("done", 0)
    assert night.control.orders() == []
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 1


@pytest.mark.parametrize("out", [False, True])
def test_an_order_whose_turns_fail_for_what_nobody_foresaw_ends_with_its_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, out: bool
) -> None:
    began = HOUR / 2

    def down(now: float) -> bool:
        return out and began < now - NOON < began + 20 * MINUTE

    night = Night(tmp_path, shards=2000, down=down)
    night.datasets["other"] = type(night.datasets["data"])(dict.fromkeys(range(40), 60.0))
    first = night.order()
    second = night.order(dataset="other", pool="cpu")
    work = FakeRun.work

    def fails(run: FakeRun, **words: Any) -> Work:
        if run._dataset is night.datasets["data"] and night.cloud.now - NOON > began:
            raise ZeroDivisionError("nobody thought of it")
        return work(run, **words)

    monkeypatch.setattr(FakeRun, "work", fails)
    night.run(began)
    assert len(night.cloud.alive(night.group())) == 8
    spent = night.spent(first)
    # With a cloud that takes nothing workers go by the lease, which is for none.
    night.run(3 * MINUTE)
    assert night.cloud.alive(night.group()) == []
    night.run(20 * MINUTE)
    assert ended(night, first) == ("failed", 1)
    assert "ZeroDivisionError: nobody thought of it" in night.state(first).reason
    assert night.state(first).spent == pytest.approx(spent, abs=0.2)
    night.until_quiet()
    night.check()
    assert ended(night, second) == ("done", 0)
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 1


def test_a_turn_that_fails_now_and_then_for_what_nobody_foresaw_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(tmp_path, shards=300)
    order = night.order()
    work, turns = FakeRun.work, 0

    def fails(run: FakeRun, **words: Any) -> Work:
        nonlocal turns
        turns += 1
        if turns % 5:
            raise ZeroDivisionError("now and then")
        return work(run, **words)

    monkeypatch.setattr(FakeRun, "work", fails)
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    assert any("now and then" in line for _, _, line in night.said)


def test_a_lease_that_nobody_can_read_is_replaced_by_that_of_the_next_head(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=40)
    night.control.store.put("lease.json", b"{")
    order = night.order()
    night.until_quiet()
    assert ended(night, order) == ("done", 0)


@pytest.mark.slow
def test_an_order_that_comes_as_the_head_leaves_is_not_lost(tmp_path: Path) -> None:
    for seconds in range(0, 240, 20):
        night = Night(tmp_path / str(seconds), shards=4)
        night.order()
        while night.control.orders():
            night.run(5)
        night.run(seconds)
        late = night.order(dataset="data", hours=1)
        night.until_quiet()
        assert ended(night, late) == ("done", 0), f"{seconds} s after the first one"


def test_each_step_of_a_run_is_told_in_its_order(tmp_path: Path) -> None:
    night = Night(tmp_path)
    order = night.order()
    night.until_quiet()
    steps = night.state(order).steps
    assert list(steps) == [*STEPS]
    assert list(steps.values()) == sorted(steps.values())
    # Shards take a minute here: that one was begun is told some time before the first is done.
    assert steps["first-worker"] <= steps["first-shard-begun"] < steps["first-shard"]
    up = min(rented.up_at for rented in workers(night)) - NOON
    assert steps["first-shard-begun"] - up <= HASTE_SECONDS + STEP_SECONDS


def test_machines_are_gone_two_minutes_after_the_last_shard(tmp_path: Path) -> None:
    night = Night(tmp_path)
    order = night.order()
    night.until_quiet()
    steps = night.state(order).steps
    assert steps["scaled-in"] - steps["last-shard"] < 2 * MINUTE


def test_a_machine_that_idles_while_a_long_shard_goes_on_is_removed_by_name(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=40)
    night.datasets["data"].shards[39] = 2 * HOUR
    order = night.order()
    night.run(HOUR)
    assert len(night.cloud.alive(night.group())) == 1
    night.until_quiet()
    assert ended(night, order) == ("done", 0)


def test_a_machine_that_fell_out_of_ray_is_removed_and_made_up_for(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=600)
    order = night.order(most=2)
    night.run(20 * MINUTE)
    lost, _ = night.cloud.alive(night.group())
    lost.up_at = float("inf")  # its lease holds, its container runs
    night.run(16 * MINUTE)
    assert lost.ended is not None
    night.run(10 * MINUTE)
    assert night.state(order).workers == 2
    night.until_quiet()
    assert ended(night, order) == ("done", 0)


# -- money and time ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("budget", [0.3, 3.0])
@pytest.mark.parametrize("seed", range(2))
def test_a_budget_that_is_reached_in_the_middle_ends_the_run(
    tmp_path: Path, budget: float, seed: int
) -> None:
    night = Night(tmp_path, shards=5000, preemptions=0.5, seed=seed)
    order = night.order(budget=budget)
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("budget", 31)
    assert "--budget" in night.state(order).reason
    assert 0.75 * budget < night.spent(order) <= budget
    assert night.cloud.bill() <= budget * 1.02 + 0.01
    done = len(night.datasets["data"].done)
    assert 0 < done < 5000
    again = night.order(budget=50.0, hours=10)
    night.until_quiet(14)
    assert ended(night, again) == ("done", 0)
    assert night.datasets["data"].whole


@pytest.mark.parametrize("seed", range(3))
def test_traffic_is_spent_like_machines_and_ends_the_run_within_its_budget(
    tmp_path: Path, seed: int
) -> None:
    night = Night(tmp_path, shards=2000, preemptions=2.0, seed=seed)
    night.datasets["data"].size = 10**9
    order = night.order(budget=10.0, tariff={"read": 0.02})
    night.run(20 * MINUTE)
    if seed:
        night.lose_head()
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("budget", 31)
    state, done = night.state(order), len(night.datasets["data"].done)
    assert state.traffic.dollars > 4, "its traffic is most of it"
    assert state.traffic.read == pytest.approx(done * 1e9, rel=0.02)
    assert 7.5 < state.spent <= 10.0
    assert night.spent(order) == pytest.approx(state.spent, abs=0.01)
    # All that was paid: machines, and what was read.
    assert night.cloud.bill() + done * 0.02 <= 10.0 * 1.02 + 0.01


@pytest.mark.slow
def test_nothing_is_added_beyond_nine_tenths_of_a_budget(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=5000, preemptions=4.0, seed=2)
    order = night.order(budget=2.0)
    while night.spent(order) < 0.9 * order.budget + 0.02:
        night.run(5)
    count = len(night.cloud.alive(night.group()))
    while night.control.orders():
        # The group itself may be quicker to replace a machine than anybody is to take it back.
        assert len(night.cloud.alive(night.group())) <= count
        night.run(5)
    assert ended(night, order) == ("budget", 31)


def test_the_deadline_ends_a_run_before_the_cloud_does(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=5000)
    order = night.order(hours=1.0)
    night.until_quiet()
    night.check(grace=0.0)
    assert ended(night, order) == ("deadline", 31)
    assert "deadline" in night.state(order).reason


def test_a_stop_ends_a_run_within_two_minutes(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=5000)
    order = night.order()
    night.run(20 * MINUTE)
    night.stop(order)
    night.run(2 * MINUTE)
    assert ended(night, order) == ("stopped", 20)
    assert "ada@desk" in night.state(order).reason
    assert night.cloud.alive(night.group()) == []
    night.until_quiet()
    night.check()


def test_an_order_whose_deadline_passed_while_it_waited_is_not_begun(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=5000)
    night.order(hours=1.0)
    late = night.order(hours=0.9, dataset="data")
    night.until_quiet()
    assert ended(night, late) == ("deadline", 31)


# -- what the cloud says ---------------------------------------------------------------------------


def test_a_stock_out_is_said_and_waited_for(tmp_path: Path) -> None:
    night = Night(tmp_path, stock=lambda now, *_: now > NOON + HOUR)
    order = night.order()
    night.run(30 * MINUTE)
    state = night.state(order)
    assert state.phase == "waiting"
    assert "no Spot capacity" in state.reason
    assert "more types or zones" in state.reason
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)


def test_a_stock_out_for_all_of_the_time_ends_at_the_deadline(tmp_path: Path) -> None:
    night = Night(tmp_path, stock=lambda *_: False)
    order = night.order(hours=2)
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("deadline", 31)
    assert night.cloud.bill() < 0.3


def test_a_quota_of_zero_ends_the_run_at_once_with_the_fix(tmp_path: Path) -> None:
    night = Night(tmp_path, quota=0)
    order = night.order()
    night.run(10 * MINUTE)
    assert ended(night, order) == ("failed", 27)
    assert "quota" in night.state(order).reason
    assert "request-service-quota-increase" in night.state(order).reason
    night.until_quiet()
    night.check()


def test_a_quota_of_some_goes_on_with_these_and_says_so(tmp_path: Path) -> None:
    night = Night(tmp_path, quota=2)
    order = night.order()
    night.run(15 * MINUTE)
    state = night.state(order)
    assert (state.phase, state.workers) == ("working", 2)
    assert "quota" in state.reason
    night.until_quiet()
    assert ended(night, order) == ("done", 0)


def test_a_denied_launch_is_said_with_what_mends_it(tmp_path: Path) -> None:
    night = Night(tmp_path, denied=True)
    order = night.order(hours=1)
    night.run(10 * MINUTE)
    state = night.state(order)
    assert state.phase == "waiting"
    assert "permission" in state.reason
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("deadline", 31)


def test_machines_that_do_not_come_up_take_the_pool_to_zero_with_the_reason(tmp_path: Path) -> None:
    night = Night(tmp_path, broken=lambda _: "nvidia-smi fails: no devices were found")
    order = night.order()
    night.run(30 * MINUTE)
    assert ended(night, order) == ("failed", 27)
    assert "nvidia-smi fails" in night.state(order).reason
    assert len(workers(night)) < order.most + 3
    night.until_quiet()
    night.check()


def test_machines_of_which_some_do_not_come_up_are_made_up_for(tmp_path: Path) -> None:
    def sometimes(draw: Random) -> str:
        return "a broken GPU" if draw.random() < 0.2 else ""

    night = Night(tmp_path, broken=sometimes, seed=4)
    order = night.order()
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)


def test_a_cloud_that_does_not_answer_for_an_hour_costs_time_and_no_shard(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=600, down=lambda now: 600 < now - NOON < 600 + HOUR)
    order = night.order(hours=8)
    night.run(40 * MINUTE)
    assert "does not answer" in night.state(order).reason
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)


def test_a_cloud_that_is_out_when_the_head_comes_costs_time_and_not_the_run(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=40, down=lambda now: 60 < now - NOON < HOUR)
    order = night.order(hours=8)
    night.run(HOUR / 2)
    assert len(night.cloud.alive(night.head_group)) == 1
    state = night.state(order)
    assert state.phase == "waiting"
    assert "does not answer" in state.reason
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 1


@pytest.mark.parametrize("minutes", [5, 60])
def test_a_head_is_lost_while_the_cloud_is_out_and_the_next_one_takes_its_lease_and_waits(
    tmp_path: Path, minutes: int
) -> None:
    lost = 20 * MINUTE

    def down(now: float) -> bool:
        return lost < now - NOON < lost + minutes * MINUTE

    night = Night(tmp_path, shards=600, down=down)
    order = night.order(hours=8)
    night.run(lost + 10)
    night.lose_head()
    night.run(25 * MINUTE)
    if minutes == 60:
        # Who has no Ray does no work, and is not paid for it.
        assert night.cloud.alive(night.group()) == []
        assert "does not answer" in night.state(order).reason
    (head,) = night.cloud.alive(night.head_group)
    lease = night.control.lease()
    assert lease is not None
    assert lease.head_machine == head.machine
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 2


def test_a_run_that_was_killed_hours_ago_has_not_spent_its_budget_by_then(tmp_path: Path) -> None:
    """Its machines left long before the next head came, and the cloud does not yet say so."""
    night = Night(tmp_path, shards=400)
    order = night.order(hours=12, budget=5)
    night.run(40 * MINUTE)
    before = night.spent(order)
    night.kill()
    night.cloud.now += 4 * HOUR
    night.cloud.groups.want(night.head_group, 1)
    night.run(STEP_SECONDS)
    while not any(manned.runs for manned in night.heads.values()):
        night.run(STEP_SECONDS)  # until the next head takes it
    out = night.cloud.now
    night.cloud.down = lambda now: now - out < 2 * MINUTE
    night.run(1 * MINUTE)
    state = night.state(order)
    assert state.at - state.looked > 4 * HOUR
    assert before <= state.spent < before + 1.0
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    assert night.spent(order) == pytest.approx(night.cloud.bill(), rel=0.02)


def test_what_came_and_went_in_an_outage_that_its_head_did_not_live_through_is_in_the_ledger(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=2000)
    order = night.order(hours=8)
    night.run(20 * MINUTE)
    night.cloud.down = lambda _: True
    for _ in range(2):
        night.run(5 * MINUTE)
        came = night.cloud.alive(night.group())[-1]
        night.cloud.preempt(came.machine)  # and its group makes another
    night.run(5 * MINUTE)
    told = night.state(order)
    assert told.at - told.looked >= 15 * MINUTE
    night.lose_head()
    night.cloud.down = lambda _: False
    night.until_quiet()
    night.check()
    lines = ledger.read(night.control.get(order.run, "ledger.jsonl") or b"")
    assert came.since > NOON + 20 * MINUTE
    assert came.machine in {line.machine for line in lines}
    assert night.spent(order) == pytest.approx(night.cloud.bill(), rel=0.02)


def test_a_head_that_comes_while_the_cloud_is_out_takes_no_lease_that_another_one_renews(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=600, down=lambda now: now - NOON > 20 * MINUTE)
    night.order(hours=8)
    night.run(20 * MINUTE + 10)
    (leads,) = night.heads.values()
    other = Manned(night, replace(leads.rented, machine="i-other"), 0.0)
    for _ in range(60):
        night.run(10)
        other.turn(night.cloud.now)
        lease = night.control.lease()
        assert lease is not None
        assert lease.head_machine == leads.rented.machine


def test_what_a_schedule_orders_waits_for_a_cloud_that_is_out_when_the_head_is_woken(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=40, down=lambda now: 30 < now - NOON < HOUR)
    order = night.order()
    night.control.withdraw(order.run)
    due = schedules.Schedule(
        name="weekly", cron="0 8 * * *", timezone="UTC", hours=6, order=order, since=NOON - HOUR
    )
    schedules.put(night.control, due)
    night.run(50 * MINUTE)
    (taken,) = night.control.orders()
    assert night.state(taken).phase == "waiting"
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 1
    night.until_quiet()
    assert ended(night, taken) == ("done", 0)


def test_a_run_that_ends_while_the_cloud_is_out_keeps_its_head_for_the_runs_behind_it(
    tmp_path: Path,
) -> None:
    start = 10 * MINUTE

    def down(now: float) -> bool:
        return start < now - NOON < start + HOUR

    night = Night(tmp_path, shards=60, down=down)
    night.datasets["other"] = type(night.datasets["data"])(dict.fromkeys(range(40), 60.0))
    first, second = night.order(hours=8), night.order(hours=8, dataset="other")
    night.run(40 * MINUTE)
    assert night.datasets["data"].whole
    assert night.cloud.alive(night.group()) == [], "they end by themselves"
    night.until_quiet()
    night.check()
    assert ended(night, first) == ended(night, second) == ("done", 0)
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 1


def test_a_run_behind_one_that_is_over_keeps_the_head_that_comes_while_the_cloud_is_out(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=4, down=lambda now: 30 < now - NOON < HOUR)
    first, second = night.order(), night.order()
    limits = {"deadline": first.deadline, "budget": first.budget}
    night.control.tell(State(run=first.run, phase="done", at=NOON, code=0, **limits))
    night.run(50 * MINUTE)
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 1
    night.until_quiet()
    assert ended(night, second) == ("done", 0)


def test_credentials_that_fail_once_fail_no_run(tmp_path: Path) -> None:
    """A machine has those of its metadata service, which may be slow."""
    night = Night(tmp_path, shards=100)
    real, failing = night.cloud.groups.members, [2, 40, 41]
    looks = iter(range(10**6))

    def members(group: str) -> list[Member]:
        if next(looks) in failing:
            raise CredentialsError("the metadata service does not answer")
        return real(group)

    night.cloud.groups.members = members  # type: ignore[method-assign]
    order = night.order()
    night.until_quiet()
    assert ended(night, order) == ("done", 0)


def test_a_lease_that_is_damaged_while_a_head_leads_is_mended_by_it(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=400)
    order = night.order()
    night.run(20 * MINUTE)
    before = {rented.machine for rented in night.cloud.alive()}
    night.control.store.put("lease.json", b"{")
    night.run(15 * MINUTE)
    assert before <= {rented.machine for rented in night.cloud.alive()}
    night.until_quiet()
    assert ended(night, order) == ("done", 0)


def test_a_secret_that_cannot_be_written_for_an_hour_costs_time_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(tmp_path, shards=40)
    real = Manned.start

    def start(manned: Manned, order: Order) -> FakeRun:
        if night.cloud.now < NOON + HOUR:
            raise CloudError("Systems Manager does not answer")
        return real(manned, order)

    monkeypatch.setattr(Manned, "start", start)
    order = night.order(hours=8)
    night.run(HOUR / 2)
    assert "Systems Manager" in night.state(order).reason
    night.until_quiet()
    assert ended(night, order) == ("done", 0)
    assert len([r for r in night.cloud.rented if r.group == night.head_group]) == 1


def test_machines_that_did_not_come_up_for_a_head_before_do_not_end_the_run(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=600)
    order = night.order()
    night.run(20 * MINUTE)
    for number in range(3):
        night.control.put(order.run, f"boots/i-{number}.json", b'{"reason": "boot: pull failed"}')
    # All are lost at once: the next head has nobody who came up.
    for rented in night.cloud.alive():
        night.cloud.preempt(rented.machine)
    night.cloud.state[night.group()].wanted = 0
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)


def test_heads_that_do_not_come_up_count_as_no_machines_of_the_pool(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=100, stock=lambda now, *_: now > NOON + 20 * MINUTE)
    order = night.order()
    night.run(10 * MINUTE)
    for number in range(3):
        told = b'{"machine": "i-1", "pool": "", "reason": "its container ended"}'
        night.control.put(order.run, f"boots/i-{number}.json", told)
    night.until_quiet()
    assert ended(night, order) == ("done", 0)


def test_no_deadline_of_a_run_that_ended_is_left_to_end_the_next_one(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=4)
    night.order(hours=2)
    night.until_quiet()
    assert [group.armed for group in night.cloud.state.values()] == [None, None, None]


def test_an_order_that_comes_in_the_heads_last_moment_finds_its_deadline_armed(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=4)
    night.order(hours=2)
    late: list[Order] = []
    real = night.cloud.groups.disarm

    def disarm(group: str) -> None:
        if not late:
            late.append(night.order(hours=3))
        real(group)

    night.cloud.groups.disarm = disarm  # type: ignore[method-assign]
    while not late:
        night.run(5)
    head = night.cloud.state[night.head_group]
    assert head.wanted == 1
    assert head.armed is not None
    assert abs(head.armed - late[0].deadline) <= MINUTE
    night.until_quiet()
    assert ended(night, late[0]) == ("done", 0)


def test_an_order_that_comes_as_the_head_leaves_has_one_though_no_deadline_is_taken_back(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=4)
    first = night.order(hours=2)
    late = first.model_copy(update={"run": "99990101T000000Z-000001"})
    real = night.cloud.groups.want

    def want(group: str, count: int) -> None:
        if (group, count) == (night.head_group, 0) and not night.control.state(late.run):
            night.control.order(late)  # by somebody who saw a head that is up, and woke none
        real(group, count)

    def disarm(group: str) -> None:
        raise CloudError(f"{group} does not answer")

    night.cloud.groups.want = want  # type: ignore[method-assign]
    night.cloud.groups.disarm = disarm  # type: ignore[method-assign]
    night.run(HOUR)
    assert ended(night, first) == ended(night, late) == ("done", 0)


def test_a_head_that_its_group_knows_no_more_gives_way(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=4)
    night.order()
    night.run(30)
    (rented,) = night.cloud.alive(night.head_group)
    night.cloud.rented.remove(rented)
    night.run(60)
    old = Manned(night, rented, 0.0)
    assert old.head.turn(night.cloud.now) is None
    assert "another head leads" in night.said[-1][2]


def test_a_head_that_hangs_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=600)
    order = night.order()
    night.run(20 * MINUTE)
    (hung,) = night.heads.values()
    hung.next = None
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)
    heads = [rented for rented in night.cloud.rented if rented.group == night.head_group]
    assert len(heads) == 2


def test_heads_that_end_without_a_word_to_their_group_are_not_born_after_the_deadline(
    tmp_path: Path,
) -> None:
    """A head that cannot begin leaves its group; one that cannot do that either ends itself."""
    night = Night(tmp_path, heads=False)
    order = night.order(hours=2)
    while night.cloud.now < order.deadline + HOUR:
        night.run(MINUTE)
        for rented in night.cloud.alive(night.head_group):
            if rented.up_at <= night.cloud.now:
                night.cloud._end(rented, "ended", "it shut down")
    heads = [rented for rented in night.cloud.rented if rented.group == night.head_group]
    assert 3 < len(heads) < 100
    assert all(rented.since <= order.deadline for rented in heads)
    assert night.cloud.bill() < 0.25
    night.check()


# -- the layers, each with the others switched off -------------------------------------------------


def test_without_any_head_the_armed_deadline_ends_all(tmp_path: Path) -> None:
    night = Night(tmp_path, heads=False, watching=False)
    night.order(hours=2)
    night.cloud.groups.want(night.group(), 5)  # somebody else's mistake
    night.until_quiet()
    night.check()


def test_without_head_and_armed_deadline_machines_leave_by_themselves(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=5000, fires=False)
    night.order(hours=2)
    night.run(HOUR)
    assert night.cloud.alive(night.group())
    night.manned = False
    for machine in list(night.heads):
        night.heads.pop(machine).lose()
    night.run(13 * MINUTE)
    assert night.cloud.alive(night.group()) == []
    night.until_quiet()
    night.check()


def test_with_a_head_that_never_ends_anything_machines_leave_at_the_deadline(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=5000, fires=False)
    order = night.order(hours=2)
    night.run(HOUR)
    # A head that believes that it has all the time in the world, and renews its lease.
    lease = night.control.lease()
    assert lease is not None
    for machine in list(night.heads):
        night.heads.pop(machine).lose()
    night.manned = False
    beat = lease.beat
    while night.cloud.now < order.deadline + 2 * MINUTE:
        beat += 1
        left = max(0, int(order.deadline - night.cloud.now))
        night.control.hold(lease.model_copy(update={"beat": beat, "left": left}))
        night.run(20)
    night.until_quiet()
    night.check(grace=70.0)


class Boundless(FakeGroups):
    """Groups that take any number, and note it: a stand-in for the cloud with no bound in want.

    The real groups' `want` has a bound, held by `tests.contracts.cloud`; AWS has its own, the
    `max_size` that Terraform gives a pool. Neither is in here.
    """

    def __init__(self, cloud: FakeCloud) -> None:
        super().__init__(cloud)
        self.asked: list[tuple[str, int]] = []

    def want(self, group: str, count: int) -> None:
        self.asked.append((group, count))
        found = self._group(group)
        most, found.most = found.most, max(found.most, count)
        super().want(group, count)
        found.most = most


def test_with_no_bound_in_its_groups_a_head_asks_for_no_more_than_there_may_be(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=3000)
    groups = night.cloud.groups = Boundless(night.cloud)
    order = night.order(most=100, budget=500.0)
    night.run(20 * MINUTE)
    assert night.state(order).workers == 20
    assert max(count for group, count in groups.asked if group == night.group()) == 20
    assert max(count for group, count in groups.asked if group == night.head_group) == 1


def test_no_machine_is_asked_for_where_no_deadline_can_be_armed(tmp_path: Path) -> None:
    night = Night(tmp_path)
    order = night.order(hours=1)
    night.cloud.groups.disarm(night.group())
    refuse_to_arm(night)
    night.run(20 * MINUTE)
    assert workers(night) == []
    assert ended(night, order) == ("failed", 27)
    assert "may not" in night.state(order).reason


def refuse_to_arm(night: Night) -> None:
    def arm(group: str, at: float) -> None:
        raise PermissionsError(f"the head may not arm {group} at {at}")

    night.cloud.groups.arm = arm  # type: ignore[method-assign]


# -- what machines and heads see -------------------------------------------------------------------


def test_an_unreadable_lease_sends_workers_away_and_they_come_back(tmp_path: Path) -> None:
    def unreadable(now: float, _: str) -> bool:
        return HOUR / 2 < now - NOON < HOUR

    night = Night(tmp_path, shards=600, unreadable=unreadable)
    order = night.order(hours=8)
    night.run(HOUR / 2 - MINUTE)
    before = {rented.machine for rented in night.cloud.alive(night.group())}
    assert before
    night.run(HOUR / 2 - 4 * MINUTE)
    assert before.isdisjoint(rented.machine for rented in night.cloud.alive(night.group()))
    # Nobody would wake it again: it goes by the last deadline that its watch has read.
    assert len(night.cloud.alive(night.head_group)) == 1
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)


def test_a_head_that_comes_while_the_bucket_is_out_is_followed_by_one_that_goes_on(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=40, unreadable=lambda now, _: now - NOON < HOUR / 2)
    night.control.orders = outage(night.cloud, night.control.orders)  # type: ignore[method-assign]
    order = night.order(hours=8)
    night.run(HOUR / 2)
    assert workers(night) == []
    night.until_quiet()
    night.check()
    assert ended(night, order) == ("done", 0)


def outage(cloud: FakeCloud, real: Callable[..., list[Order]]) -> Callable[..., list[Order]]:
    def orders(*words: object) -> list[Order]:
        if cloud.now - NOON < HOUR / 2:
            raise OutageError("the bucket does not answer")
        return real(*words)

    return orders


def test_a_head_that_reads_nothing_any_more_still_ends_at_the_deadline(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=10**6, unreadable=lambda now, _: now - NOON > HOUR / 2)
    night.cloud.groups.arm = lambda *_: None  # type: ignore[method-assign] # and nothing is armed
    order = night.order(hours=2, budget=1000.0)
    night.run(order.deadline - night.cloud.now + 3 * MINUTE)
    assert night.cloud.alive(night.head_group) == []
    night.check()


class Faulty:
    """A store that answers nothing, or takes nothing, for a while.

    Args:
        store: the real one.
        out: whether it is, at a moment.
        reads: whether it can be read all the same.
    """

    def __init__(self, store: Store, out: Callable[[], bool], *, reads: bool) -> None:
        self._store, self._out, self._reads = store, out, reads

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        def asked(*words: Any, **more: Any) -> Any:
            writes = name in ("put", "put_once", "replace", "delete")
            if self._out() and (writes or not self._reads):
                raise OutageError("the bucket does not answer")
            return verb(*words, **more)

        return asked if callable(verb) else verb


# Longer than that, a head that can read and not write has gone by then: that it was not renewed.
@pytest.mark.parametrize(
    ("before", "reads"), [(5 * MINUTE, False), (30 * MINUTE, False), (5 * MINUTE, True)]
)
def test_a_bucket_that_is_out_across_a_deadline_costs_the_run_behind_it_no_head(
    tmp_path: Path, before: float, *, reads: bool
) -> None:
    night = Night(tmp_path, shards=10**5)
    night.datasets["other"] = type(night.datasets["data"])(dict.fromkeys(range(40), 60.0))
    first = night.order(hours=2, budget=1000.0)
    night.run(MINUTE)
    second = night.order(hours=6, dataset="other")

    def out() -> bool:
        return first.deadline - before < night.cloud.now < first.deadline + 5 * MINUTE

    night.control.store = Faulty(night.control.store, out, reads=reads)  # type: ignore[assignment]
    night.until_quiet()
    night.check()
    assert all(rented.ended <= first.deadline for rented in workers(night)[:8] if rented.ended)
    assert ended(night, first) == ("deadline", 31)
    assert ended(night, second) == ("done", 0)
    assert night.control.orders() == []


def test_a_bucket_that_is_out_across_the_last_deadline_leaves_no_machine(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=10**5)
    night.cloud.groups.arm = lambda *_: None  # type: ignore[method-assign] # and nothing is armed
    first = night.order(hours=2, budget=1000.0)
    second = night.order(hours=1, budget=1000.0)

    def out() -> bool:
        return night.cloud.now > first.deadline - 5 * MINUTE

    night.control.store = Faulty(night.control.store, out, reads=False)  # type: ignore[assignment]
    night.run(first.deadline - night.cloud.now + 3 * MINUTE)
    assert night.cloud.alive() == []
    assert night.cloud.state[night.head_group].wanted == 0
    assert second.deadline < first.deadline


@pytest.mark.parametrize("head_skew", [-900.0, -120.0, 120.0, 900.0])
def test_clocks_that_differ_cost_no_more_than_the_budget(tmp_path: Path, head_skew: float) -> None:
    def skew(draw: Random) -> float:
        return draw.choice([-300.0, 0.0, 300.0])

    night = Night(tmp_path, shards=5000, skew=skew, head_skew=head_skew)
    order = night.order(budget=2.0, hours=3)
    night.until_quiet()
    night.check()
    assert night.state(order).phase in ("budget", "deadline")
    assert night.cloud.bill() <= 2.0 * 1.05


@pytest.mark.parametrize("skew", [0.0, -900.0, -2400.0])
@pytest.mark.parametrize("minutes", [5.0, 20.0])
def test_a_clock_that_is_set_while_a_run_is_at_work_does_not_end_it(
    tmp_path: Path, skew: float, minutes: float
) -> None:
    """It was half an hour behind as the head began, and time service mends that later."""
    night = Night(tmp_path, shards=5000, head_skew=-30 * MINUTE)
    order = night.order(hours=2)
    night.run(minutes * MINUTE)
    (manned,) = night.heads.values()
    manned.skew = skew
    while not night.state(order).over and night.cloud.now < order.deadline:
        night.run(STEP_SECONDS)
    assert ended(night, order) == ("deadline", 31)
    assert -MINUTE < order.deadline - night.cloud.now < 3 * MINUTE
    night.until_quiet()
    night.check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_any_night_ends_in_time_and_within_its_budget(tmp_path: Path, seed: int) -> None:
    """All at once, drawn by lot."""
    draw = Random(seed)
    bad = [draw.uniform(0, 4 * HOUR) for _ in range(6)]

    def outage(now: float, start: float) -> bool:
        return start < now - NOON < start + 15 * MINUTE

    night = Night(
        tmp_path,
        shards=draw.choice([50, 400, 3000]),
        seed=seed,
        preemptions=draw.choice([0.0, 1.0, 8.0]),
        stock=lambda now, *_: not outage(now, bad[0]),
        quota=draw.choice([None, 3]),
        broken=lambda d: "it broke" if d.random() < 0.1 else "",
        skew=lambda d: d.uniform(-30, 30),
        unreadable=lambda now, _: outage(now, bad[1]),
        down=lambda now: outage(now, bad[2]) and now - NOON > 60,
        head_skew=draw.uniform(-30, 30),
    )
    budget, hours = draw.choice([0.5, 2.0, 50.0]), draw.choice([1.0, 4.0, 8.0])
    order = night.order(budget=budget, hours=hours)
    for moment in sorted(bad[3:]):
        night.run(max(0.0, moment - (night.cloud.now - NOON)))
        if night.cloud.alive(night.head_group):
            night.lose_head()
    night.run(HOUR / 2)  # whatever was out answers again
    if night.control.orders() and night.cloud.now < order.deadline - HOUR / 2:
        night.cloud.groups.want(night.head_group, 1)
    night.until_quiet(14)
    night.check()
    state = night.control.state(order.run)
    assert state is not None
    if state.phase == "done":
        assert night.datasets["data"].whole
    # While the cloud's API is out, machines end by their watch: a minute or two later.
    late = peak(night) * 0.6 * 3 * MINUTE / HOUR
    assert night.cloud.bill() <= budget + late
    # A machine that no head ever saw counts with the dearest price that it can have had.
    found = cost_of(night.control, order.run, now=lambda: night.cloud.now)
    assert 0.98 * night.cloud.bill() - 0.02 <= found.dollars + found.unseen
    assert found.dollars <= 1.25 * night.cloud.bill()
    assert not state.over or not found.unseen
