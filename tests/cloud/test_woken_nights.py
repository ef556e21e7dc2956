"""Nights of schedules: the cloud wakes the head and, hours later, ends everything unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cloud.woken import HOUR, Woken

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.cloud.control import State

MINUTE = 60.0


def told(night: Woken, run: str) -> State:
    state = night.control.state(run)
    assert state is not None
    return state


def spent(night: Woken, run: str) -> float:
    order = night.control.taken(run)
    assert order is not None
    return night.spent(order)


def test_a_scheduled_run_that_uses_its_hours_ends_before_the_cloud_ends_it(tmp_path: Path) -> None:
    night = Woken(tmp_path, shards=2000)
    tick = night.schedule("weekly", hours=1, after=10 * MINUTE)
    night.run(tick + HOUR - night.cloud.now - 5)
    # Before the kill.
    assert night.cloud.alive() == []
    (run,) = night.runs_of("weekly")
    state = told(night, run)
    assert state.phase == "deadline"
    assert tick + HOUR - state.deadline == 2 * MINUTE
    assert 0 < len(night.datasets["data"].done) < 2000
    assert (night.control.waiting(), night.control.lease()) == ([], None)
    assert spent(night, run) == pytest.approx(night.cloud.bill(), rel=0.02, abs=0.01)
    night.run(10 * MINUTE)
    assert night.cloud.alive() == []


def test_a_tick_that_is_caught_up_too_near_its_end_is_not_begun_and_says_so(tmp_path: Path) -> None:
    night = Woken(tmp_path, shards=40)
    tick = night.schedule("weekly", hours=1, after=10 * MINUTE)
    night.cloud.now = tick + HOUR - 10 * MINUTE  # the wake came to nothing
    night._next["weekly", True] += 7 * 24 * HOUR
    night.wake()
    night.run(5 * MINUTE)
    (run,) = night.runs_of("weekly")
    state = told(night, run)
    assert state.phase == "deadline"
    assert "too near to begin" in state.reason
    assert all(rented.group == night.head_group for rented in night.cloud.rented)
    assert night.cloud.alive() == []


def test_a_run_ends_before_the_end_of_another_schedule(tmp_path: Path) -> None:
    night = Woken(tmp_path, shards=2000)
    night.datasets["other"] = type(night.datasets["data"])(dict.fromkeys(range(4), 60.0))
    first = night.schedule("first", hours=2, after=10 * MINUTE, dataset="other")
    night.schedule("second", hours=3, after=50 * MINUTE)
    night.run(first + 2 * HOUR - night.cloud.now - 5)
    assert night.cloud.alive() == []
    assert [told(night, run).phase for run in night.runs_of("first")] == ["done"]
    (run,) = night.runs_of("second")
    assert told(night, run).phase == "deadline"
    assert first + 2 * HOUR - told(night, run).deadline == 2 * MINUTE


@pytest.mark.parametrize("head_skew", [-900.0, -300.0, -30.0, 300.0])
def test_a_head_whose_clock_is_wrong_finds_the_tick_that_woke_it(
    tmp_path: Path, head_skew: float
) -> None:
    night = Woken(tmp_path, shards=40, head_skew=head_skew)
    night.schedule("weekly", hours=2, after=10 * MINUTE)
    night.run(15 * MINUTE)
    night.until_quiet()
    (run,) = night.runs_of("weekly")
    assert told(night, run).phase == "done"


def test_a_head_whose_clock_is_behind_finds_what_came_due_while_it_was_at_work(
    tmp_path: Path,
) -> None:
    def night_of(name: str) -> Woken:
        # It boots for long: of its launch alone it learns of 20 s.
        night = Woken(tmp_path / name, shards=40, head_skew=-300.0, boot=lambda _: 280.0)
        night.schedule("first", hours=6, after=10 * MINUTE)
        return night

    night = night_of("alone")
    while not (night.runs_of("first") and not night.control.waiting()):
        night.run(5)
    ended = night.cloud.now
    night = night_of("both")
    night.datasets["other"] = type(night.datasets["data"])(dict.fromkeys(range(4), 60.0))
    night.schedule("second", hours=6, after=ended - 70 - night.cloud.now, dataset="other")
    night.run(ended - night.cloud.now)
    night.until_quiet()
    (run,) = night.runs_of("second")
    assert told(night, run).phase == "done"


def leaving(night: Woken) -> float:
    """Let a night pass until its head leaves; return when that is."""
    night.order(dataset="other")
    while night.cloud.state[night.head_group].wanted:
        night.run(5)
    return night.cloud.now


def small(folder: Path) -> Woken:
    night = Woken(folder, shards=40)
    night.datasets["other"] = type(night.datasets["data"])(dict.fromkeys(range(4), 60.0))
    return night


def test_a_tick_that_comes_soon_is_the_leaving_heads(tmp_path: Path) -> None:
    left = leaving(small(tmp_path / "alone"))
    night = small(tmp_path / "both")
    # Up to a minute and a half after it.
    tick = night.schedule("weekly", hours=2, after=left - night.cloud.now + 30)
    assert leaving(night) > tick + 5 * MINUTE
    (run,) = night.runs_of("weekly")
    assert told(night, run).phase == "done"
    assert len([one for one in night.cloud.rented if one.group == night.head_group]) == 1


@pytest.mark.parametrize("takes", [100.0, 600.0])
def test_a_tick_that_comes_while_the_head_leaves_is_not_lost(tmp_path: Path, takes: float) -> None:
    """A cloud that throttles has it leave for minutes: the wake is to a group that has its head."""
    left = leaving(small(tmp_path / "alone"))
    night = small(tmp_path / "both")
    real, slow = night.cloud.groups.want, [takes]

    def want(group: str, count: int) -> None:
        if (group, count) == (night.head_group, 0) and slow:
            night.cloud.now += slow.pop()
        real(group, count)

    night.cloud.groups.want = want  # type: ignore[method-assign]
    tick = night.schedule("weekly", hours=2, after=left - night.cloud.now + takes - 80)
    del night._next["weekly", True]  # it changes nothing, and is not repeated
    night.order(dataset="other")
    night.until_quiet()
    assert not slow
    assert tick < night.cloud.now
    (run,) = night.runs_of("weekly")
    assert told(night, run).phase == "done"


def test_a_tick_that_comes_with_the_end_of_all_machines_is_left_to_its_own_wake(
    tmp_path: Path,
) -> None:
    left = leaving(small(tmp_path / "alone"))
    night = small(tmp_path / "both")
    # Its tick was before; its end is soon after the head leaves.
    after = left - night.cloud.now + 20
    first = night.schedule("first", hours=1, after=after - HOUR)
    second = night.schedule("second", hours=1, after=after)
    assert left < second == first + HOUR < left + 2 * MINUTE
    night._next["first", True] += 7 * 24 * HOUR
    leaving(night)
    night.run(second + HOUR - night.cloud.now)
    (run,) = night.runs_of("second")
    assert told(night, run).phase == "done"
    assert night.runs_of("first") == []
