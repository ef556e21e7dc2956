"""A stop that fails or is interrupted: whoever goes on with it ends the run, and its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.cli.cloud.at_work import LAST_SECONDS, busy, end_runs
from imgbatch.cloud import ledger, zero
from imgbatch.cloud.costs import cost_of
from imgbatch.cloud.halt import halt, meant
from imgbatch.cloud.launch import Place
from imgbatch.cloud.stopped import STOP
from imgbatch.cloud.zero import empty, to_zero
from imgbatch.errors import (
    CloudError,
    CredentialsError,
    LeftoverError,
    PermissionsError,
    RunError,
    StorageError,
)
from tests.cloud.night import Night
from tests.cloud.watched import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.cloud.control import Order

MINUTE, HOUR = 60.0, 3600.0


class Interrupted(FakeClock):
    """A clock at which somebody types Ctrl-C in a pause of so many seconds."""

    def __init__(self, night: Night, seconds: float) -> None:
        super().__init__(night.cloud)
        self.seconds = seconds

    def sleep(self, seconds: float) -> None:
        if seconds == self.seconds:
            raise KeyboardInterrupt
        super().sleep(seconds)


def at_work(folder: Path) -> tuple[Night, Order]:
    """A run with eight workers, whose head does nothing more."""
    night = Night(folder, shards=400)
    order = night.order()
    night.run(40 * MINUTE)
    night.manned = False
    for machine in list(night.heads):
        night.heads.pop(machine).lose()
    assert len(night.cloud.alive()) == 9
    return night, order


def place(night: Night) -> Place:
    return Place(night.deployment, night.control, night.cloud.groups, night.cloud.market)


def stop(night: Night, run: str, clock: FakeClock | None = None, *, force: bool = True) -> None:
    halt(run, place(night), force=force, say=lambda _: None, clock=clock or FakeClock(night.cloud))


def stuck(night: Night) -> None:
    """Stop a run one of whose machines does not go for a while."""
    groups, pool = night.cloud.groups, night.group()
    members, machine = groups.members, groups.members(pool)[0]
    groups.members = lambda group: (  # type: ignore[method-assign]
        [machine] if group == pool else members(group)
    )
    with pytest.raises(LeftoverError) as caught:
        stop(night, night.orders[0].run)
    assert "run the same command again" in caught.value.remedy
    groups.members = members  # type: ignore[method-assign]


def typed(night: Night) -> None:
    """Stop a run, and type Ctrl-C while its machines go."""
    with pytest.raises(KeyboardInterrupt):
        stop(night, night.orders[0].run, Interrupted(night, zero.STEP))


def again(night: Night) -> None:
    stop(night, meant(night.control, night.orders[0].run))


def again_gently(night: Night) -> None:
    stop(night, meant(night.control, night.orders[0].run), force=False)


def again_without_a_name(night: Night) -> None:
    """Though another run waits behind it by now, which nobody means."""
    other = night.order(dataset="data")
    night.cloud.groups.want(night.head_group, 0)
    stop(night, meant(night.control, None))
    assert night.control.waiting() == [other.run]
    night.control.close(other.run)


def emptied(night: Night) -> None:
    empty(place(night), say=lambda _: None, clock=FakeClock(night.cloud))


def down(night: Night) -> None:
    assert busy(night.deployment) == [night.orders[0].run]
    runs = busy(night.deployment)
    end_runs(night.deployment, runs, FakeClock(night.cloud), lambda _: place(night))


def next_head(night: Night) -> None:
    night.manned = True
    night.order(dataset="data")
    night.until_quiet()
    assert night.state(night.orders[1]).phase == "done"


@pytest.mark.parametrize("first", [stuck, typed])
@pytest.mark.parametrize(
    "then", [again, again_gently, again_without_a_name, emptied, down, next_head]
)
def test_a_stop_that_did_not_end_is_ended_by_whoever_comes_next(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: Callable[[Night], None],
    then: Callable[[Night], None],
) -> None:
    night, order = at_work(tmp_path)
    control = night.control  # `busy` opens its own, of the same bucket
    monkeypatch.setattr("imgbatch.cloud.control.Control", lambda _: control)
    first(night)
    night.cloud.advance(10 * MINUTE)
    assert night.cloud.alive() == []
    bill = night.cloud.bill()
    night.cloud.now += 2 * HOUR
    then(night)
    assert night.control.waiting() == []
    assert night.state(order).phase == "stopped"
    found = cost_of(night.control, order.run, now=lambda: night.cloud.now)
    assert all(line.end is not None for line in found.lines)
    assert found.unseen == 0.0
    # What the next head was there for counts too: until it knew that nothing is to be done.
    assert bill - 0.001 <= found.dollars <= bill + (0.02 if then is next_head else 0.001)


@pytest.mark.parametrize("refused", [PermissionsError("not you"), CloudError("out for hours")])
def test_down_that_is_interrupted_without_its_cloud_ends_the_run_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: RunError
) -> None:
    night, order = at_work(tmp_path)
    control = night.control
    monkeypatch.setattr("imgbatch.cloud.control.Control", lambda _: control)

    def opened(_: object) -> Place:
        raise refused

    with pytest.raises(KeyboardInterrupt):
        end_runs(night.deployment, [order.run], Interrupted(night, LAST_SECONDS), opened)
    assert busy(night.deployment) == [order.run]
    end_runs(night.deployment, busy(night.deployment), FakeClock(night.cloud), opened)
    assert busy(night.deployment) == []
    assert night.state(order).phase == "stopped"
    lines = ledger.read(night.control.get(order.run, ledger.LEDGER) or b"")
    assert all(line.end is not None for line in lines)


def test_a_bucket_that_takes_no_end_of_a_run_keeps_it_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, order = at_work(tmp_path)
    control = night.control
    monkeypatch.setattr("imgbatch.cloud.control.Control", lambda _: control)
    real = control.put

    def put(run: str, name: str, data: bytes) -> None:
        if name == ledger.LEDGER:
            raise StorageError("no space left")
        real(run, name, data)

    monkeypatch.setattr(control, "put", put)

    def opened(_: object) -> Place:
        raise CloudError("it cannot be opened")

    end_runs(night.deployment, [order.run], FakeClock(night.cloud), opened)
    assert night.control.waiting() == [order.run]
    assert night.control.get(order.run, STOP) is not None


def test_a_run_that_waits_and_whose_end_could_not_be_told_is_taken_off_the_queue_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(tmp_path)
    order = night.order()
    once = Once(night.control.tell, StorageError("no space left"))
    monkeypatch.setattr(night.control, "tell", once)
    with pytest.raises(StorageError):
        stop(night, order.run, force=False)
    stop(night, meant(night.control, order.run), force=False)
    assert (night.state(order).phase, night.control.waiting()) == ("stopped", [])


class Once:
    """A call of a cloud that is refused the first time."""

    def __init__(self, call: Callable[..., object], error: RunError, times: int = 1) -> None:
        self.call, self.error, self.left = call, error, times

    def __call__(self, *words: object) -> object:
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return self.call(*words)


@pytest.mark.parametrize("call", ["size", "want", "members", "disarm", "arm", "events"])
@pytest.mark.parametrize("way", ["stop", "down"])
def test_one_refused_call_leaves_no_machine_wanted_and_no_ledger_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, way: str
) -> None:
    night, order = at_work(tmp_path)
    night.order(hours=9)  # it waits: its deadline is armed again
    groups = night.cloud.groups
    once = Once(getattr(groups, call), CloudError("throttled"))
    monkeypatch.setattr(groups, call, once)
    if way == "stop":
        stop(night, order.run)
    else:
        end_runs(night.deployment, [order.run], FakeClock(night.cloud), lambda _: place(night))
    assert once.left < 0, "it was never asked"
    assert night.cloud.alive() == []
    assert not any(group.wanted for group in night.cloud.state.values())
    assert night.control.waiting() == [night.orders[1].run]
    assert night.cloud.groups.armed(night.head_group) == night.orders[1].deadline
    found = cost_of(night.control, order.run, now=lambda: night.cloud.now)
    assert (found.phase, found.unseen) == ("stopped", 0.0)
    assert found.dollars == pytest.approx(night.cloud.bill())


def test_a_cloud_that_refuses_for_long_is_said_once_and_given_up_with_the_run_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, order = at_work(tmp_path)
    before, said = night.cloud.now, list[str]()
    refusing = Once(night.cloud.groups.size, CloudError("out of order"), times=10**6)
    monkeypatch.setattr(night.cloud.groups, "size", refusing)
    with pytest.raises(CloudError, match="out of order"):
        to_zero(place(night), [order.run], said.append, FakeClock(night.cloud))
    assert zero.ENDING <= night.cloud.now - before <= zero.ENDING + 2 * zero.STEP
    assert said == ["the cloud is asked again: out of order"]
    assert meant(night.control, order.run) == order.run
    assert night.control.lease() is None


@pytest.mark.parametrize("error", [PermissionsError("not you"), CredentialsError("who are you")])
def test_who_may_not_end_machines_is_not_kept_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: CloudError
) -> None:
    night, order = at_work(tmp_path)
    before = night.cloud.now
    monkeypatch.setattr(night.cloud.groups, "size", Once(night.cloud.groups.size, error, 10**6))
    with pytest.raises(type(error)):
        stop(night, order.run)
    assert night.cloud.now == before
    # Its machines leave by themselves, and what comes next ends the run.
    assert night.control.lease() is None
    assert night.control.waiting() == [order.run]


def test_a_head_that_took_the_stopped_run_as_the_last_machine_went_ends_it_and_keeps_its_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, order = at_work(tmp_path)
    look, came = zero.machines, list[str]()

    def last_look(where: Place) -> dict[str, int]:
        found = look(where)
        if not any(found.values()) and not came:
            came.append(night.order(dataset="data").run)
            night.manned = True
            while not night.heads:
                night.run(10)
            held = night.control.lease()
            assert held is not None
            assert held.run == order.run
        return found

    monkeypatch.setattr(zero, "machines", last_look)
    stop(night, order.run)
    assert night.control.lease() is not None
    assert len(night.cloud.alive(night.head_group)) == 1
    night.until_quiet()
    night.check()
    assert night.state(order).phase == "stopped"
    assert night.state(night.orders[1]).phase == "done"
    heads = [rented for rented in night.cloud.rented if rented.group == night.head_group]
    assert len(heads) == 2


def test_a_bucket_that_fails_at_the_first_listing_costs_no_ledger_and_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, order = at_work(tmp_path)
    waits = night.order(dataset="data")
    runs = [order.run, waits.run]
    real, failed = night.control.orders, []

    def once(*words: Callable[[str], None]) -> list[Order]:
        if not failed:
            failed.append(words)
            raise StorageError("the bucket is away", "Later.")
        return real(*words)

    monkeypatch.setattr(night.control, "orders", once)
    with pytest.raises(StorageError):
        to_zero(place(night), runs, lambda _: None, FakeClock(night.cloud))
    assert night.cloud.alive() == []
    assert night.control.waiting() == runs
    bill = night.cloud.bill()
    night.cloud.now += 2 * HOUR
    to_zero(place(night), runs, lambda _: None, FakeClock(night.cloud))
    assert night.control.waiting() == []
    assert [night.state(one).phase for one in (order, waits)] == ["stopped", "stopped"]
    found = cost_of(night.control, order.run, now=lambda: night.cloud.now)
    assert (found.dollars, found.unseen) == (pytest.approx(bill, abs=0.001), 0.0)
