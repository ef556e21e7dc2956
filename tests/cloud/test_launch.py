"""What a launch does in which order, and that nothing is left of one that fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud.control import Lease, Order
from imgbatch.cloud.launch import Place, heads_until, latest, launch, pays_heads, wake
from imgbatch.cloud.schedules import Schedule, put, schedules
from imgbatch.cloud.zero import to_zero
from imgbatch.errors import CloudError, SettingsError
from imgbatch.settings import Settings, check
from tests.cloud.fake import NOON
from tests.cloud.night import Night
from tests.cloud.watched import CPU, GPU, HEAD, HOUR, Scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = ["order", f"arm {HEAD}", f"arm {GPU}", f"want {HEAD} 1"]


def test_a_machine_can_exist_only_after_the_order_and_both_deadlines(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert launch(scene.order(), scene.place, now=NOON) == []
    assert scene.calls == STEPS
    assert scene.cloud.state[HEAD].armed == scene.cloud.state[GPU].armed == NOON + 6 * HOUR
    assert scene.cloud.state[CPU].armed is None
    scene.cloud.advance(60)
    assert [machine.group for machine in scene.cloud.alive()] == [HEAD]


@pytest.mark.parametrize("late", [False, True], ids=["refused", "done-but-the-answer-is-lost"])
@pytest.mark.parametrize("step", STEPS)
def test_a_launch_that_fails_at_any_step_leaves_nothing(
    tmp_path: Path, step: str, *, late: bool
) -> None:
    scene = Scene(tmp_path, fails=step)
    scene.groups.late = late
    with pytest.raises(CloudError, match="the answer is lost"):
        launch(scene.order(), scene.place, now=NOON)
    assert scene.nothing_runs()
    assert scene.control.orders() == []
    scene.cloud.advance(3 * HOUR)
    assert scene.cloud.bill() == 0
    # Where a head may have been asked for, its end stays armed until it is known to be gone.
    armed = [group.armed for group in scene.cloud.state.values()]
    assert armed == [None, None, None]


def test_an_interrupted_launch_is_taken_back_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    def interrupted(group: str, count: int) -> None:
        type(scene.groups).want(scene.groups, group, count)
        if count:
            raise KeyboardInterrupt

    scene.groups.want = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        launch(scene.order(), scene.place, now=NOON)
    assert scene.nothing_runs()
    assert scene.control.orders() == []


def test_where_even_taking_back_fails_the_deadline_stays_and_the_error_says_what_to_do(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, fails=f"want {HEAD}")  # up and down
    scene.groups.late = True
    up = type(scene.groups).want

    def stuck(group: str, count: int) -> None:
        if not count:
            raise CloudError("the cloud does not answer")
        up(scene.groups, group, count)

    scene.groups.want = stuck  # type: ignore[method-assign]
    order = scene.order(hours=1)
    with pytest.raises(CloudError, match="could not be taken back: the cloud does not") as caught:
        launch(order, scene.place, now=NOON)
    assert f"imgbatch cloud stop {order.run} --force" in caught.value.remedy
    assert scene.control.orders() == []
    assert scene.cloud.state[HEAD].armed == NOON + HOUR
    scene.cloud.watching = False
    scene.cloud.advance(HOUR + 60)
    assert scene.nothing_runs()


def test_a_second_run_queues_and_machines_live_until_the_later_deadline(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first, second = scene.order(hours=6), scene.order("20270115T090000Z-bbbbbb", hours=2)
    launch(first, scene.place, now=NOON)
    before = launch(second, scene.place, now=NOON)
    assert [order.run for order in before] == [first.run]
    assert scene.cloud.state[HEAD].armed == scene.cloud.state[GPU].armed == NOON + 6 * HOUR
    launch(scene.order("20270115T100000Z-cccccc", hours=9, pool="cpu"), scene.place, now=NOON)
    assert scene.cloud.state[HEAD].armed == scene.cloud.state[CPU].armed == NOON + 9 * HOUR
    # The other pool's machines are none of the third run's.
    assert scene.cloud.state[GPU].armed == NOON + 6 * HOUR
    assert scene.calls.count(f"want {HEAD} 1") == 1


def test_a_scheduled_run_at_work_is_not_ended_by_a_nearer_deadline(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order("20270115T030000Z-aaaaaa", hours=0))
    end = int(NOON + 8 * HOUR)
    lease = Lease(
        run="20270115T030000Z-aaaaaa",
        deadline=end,
        beat=3,
        left=end,
        head="10.0.0.1:6379",
        head_machine="i-1",
        pool="gpu",
    )
    scene.control.hold(lease)
    launch(scene.order("20270115T090000Z-bbbbbb", hours=1), scene.place, now=NOON)
    assert scene.cloud.state[HEAD].armed == scene.cloud.state[GPU].armed == end


def test_two_that_order_at_once_leave_the_later_deadline_armed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    early, late = scene.order(hours=1), scene.order("20270115T090000Z-bbbbbb", hours=5)
    arm = scene.groups.arm

    def raced(group: str, at: float) -> None:
        # The other terminal orders and arms between our look and our own arming.
        if not scene.control.store.folders("orders") and len(scene.control.orders()) == 1:
            scene.control.order(late)
            arm(HEAD, late.deadline)
            arm(GPU, late.deadline)
        arm(group, at)

    scene.groups.arm = raced  # type: ignore[method-assign]
    launch(early, scene.place, now=NOON)
    assert scene.cloud.state[HEAD].armed == scene.cloud.state[GPU].armed == late.deadline


def test_a_failed_second_launch_leaves_the_first_run_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first = scene.order(hours=2)
    launch(first, scene.place, now=NOON)
    scene.cloud.advance(60)
    scene.groups.fails = f"arm {GPU}"
    with pytest.raises(CloudError):
        launch(scene.order("20270115T090000Z-bbbbbb", hours=6), scene.place, now=NOON)
    assert [order.run for order in scene.control.orders()] == [first.run]
    assert len(scene.cloud.alive(HEAD)) == 1
    assert scene.cloud.state[HEAD].armed == scene.cloud.state[GPU].armed == NOON + 2 * HOUR


def test_a_deadline_that_is_missing_or_too_near_is_refused_before_anything(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for hours in (0, 0.1):
        with pytest.raises(SettingsError, match="minutes away"):
            launch(scene.order(hours=hours), scene.place, now=NOON)
    assert scene.calls == []


def test_a_head_that_is_there_is_not_asked_for_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert wake(scene.place)
    assert not wake(scene.place)
    assert scene.calls == [f"want {HEAD} 1"]


def launched(night: Night, *, budget: float, hours: float) -> Order:
    """Do what `cloud run` does, by what it calls."""
    order = night.order(budget=budget, hours=hours)
    night.control.withdraw(order.run)
    groups, market = night.cloud.groups, night.cloud.market
    for group in (night.head_group, night.group()):
        groups.disarm(group)
    groups.want(night.head_group, 0)
    paid = pays_heads(order, night.deployment, market)
    until = heads_until(order, paid, night.cloud.now)
    order = order.model_copy(update={"heads_until": until})
    launch(order, Place(night.deployment, night.control, groups), now=night.cloud.now)
    return order


@pytest.mark.parametrize("budget", [0.1, 0.5])
def test_heads_that_never_take_the_order_cost_no_more_than_its_budget(
    tmp_path: Path, budget: float
) -> None:
    night = Night(tmp_path, heads=False, unreadable=lambda *_: True)
    launched(night, budget=budget, hours=24)
    night.run(24 * HOUR)
    heads = [rented for rented in night.cloud.rented if rented.group == night.head_group]
    assert len(heads) > 3
    assert night.cloud.alive() == []
    assert 0.8 * budget < night.cloud.bill() <= 1.05 * budget


def test_a_head_that_takes_the_order_lives_for_as_long_as_the_run(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=600)
    order = launched(night, budget=20.0, hours=6)
    armed = night.cloud.groups.armed(night.head_group)
    assert armed == order.deadline, "its budget pays the head for longer"
    night = Night(tmp_path / "less", shards=2000)
    order = launched(night, budget=0.3, hours=6)
    armed = night.cloud.groups.armed(night.head_group)
    assert armed == order.heads_until < order.deadline - HOUR
    assert night.cloud.groups.armed(night.group()) == order.deadline
    night.run(10 * 60)
    armed = night.cloud.groups.armed(night.head_group)
    assert armed is not None
    assert armed >= order.deadline
    # Of one that was taken, whoever orders next finds the deadline.
    assert latest(night.head_group, order, place_of(night)) >= order.deadline


def test_an_order_behind_one_that_nobody_took_does_not_lengthen_what_that_one_pays(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, heads=False)
    first = launched(night, budget=0.3, hours=24)
    night.run(600)
    second = launched(night, budget=0.2, hours=12)
    assert night.cloud.groups.armed(night.head_group) == max(first.heads_until, second.heads_until)


def test_who_stops_a_run_ends_no_head_that_comes_for_one_whose_own_would_come_no_more(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    waits = scene.order(hours=24, heads_until=NOON - 60)
    scene.control.order(waits)

    arm = scene.groups.arm

    def woken(group: str, at: float) -> None:
        if f"want {HEAD} 1" not in scene.calls:
            scene.groups.want(HEAD, 1)  # by a schedule, just before
        arm(group, at)

    scene.groups.arm = woken  # type: ignore[method-assign]
    to_zero(scene.place, ["20270115T070000Z-zzzzzz"], lambda _: None, scene.clock)
    assert scene.groups.armed(GPU) == waits.deadline
    scene.cloud.advance(120)
    assert len(scene.cloud.alive(HEAD)) == 1


def test_an_order_says_nothing_that_heads_of_before_do_not_read_where_it_need_not(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    scene.control.order(scene.order())
    raw = scene.control.store.get(f"orders/{scene.order().run}.json")
    assert b"heads_until" not in raw
    bound = scene.order("20270115T090000Z-bbbbbb", heads_until=NOON, expected={"seconds_p50": 60.0})
    scene.control.order(bound)
    assert scene.control.orders() == [scene.order(), bound]
    scene.control.close(bound.run)
    assert scene.control.taken(bound.run) == bound
    kept = Schedule(
        name="weekly", cron="0 3 * * 1", timezone="UTC", hours=2, order=scene.order(), since=NOON
    )
    put(scene.control, kept)
    assert b"heads_until" not in scene.control.store.get("schedules/weekly.json")
    assert schedules(scene.control) == [kept]


def test_an_order_of_a_terminal_that_wrote_the_moment_as_a_key_is_read(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    told = scene.order().model_dump() | {"heads_until": NOON}
    scene.control.store.put(f"orders/{told['run']}.json", json.dumps(told).encode())
    assert [order.heads_until for order in scene.control.orders()] == [NOON]


class OrderOfBefore(Settings):
    """The keys that heads read whose image is older than `heads_until`; any other they refuse."""

    run: str
    input: str
    dataset: str
    words: list[str]
    recipe: str
    environment: dict[str, str]
    pool: str
    most: int
    budget: float
    deadline: float
    hours: float
    by: str
    expected: dict[str, float]
    tariff: dict[str, float]


def test_a_head_of_an_older_image_takes_an_order_whose_budget_pays_no_head_to_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(tmp_path, shards=20)
    order = launched(night, budget=0.5, hours=24)
    assert 0 < order.heads_until < order.deadline

    def orders(_: Callable[[str], None] | None = None) -> list[Order]:
        found = []
        for name in night.control.names("orders"):
            told = check(OrderOfBefore, json.loads(night.control.store.get(name)), where=name)
            found.append(Order.model_validate(told.model_dump()))
        return found

    monkeypatch.setattr(night.control, "orders", orders)
    night.until_quiet()
    monkeypatch.undo()
    night.check()
    assert night.state(order).phase == "done"
    heads = [rented for rented in night.cloud.rented if rented.group == night.head_group]
    assert len(heads) == 1


def place_of(night: Night) -> Place:
    return Place(night.deployment, night.control, night.cloud.groups)
