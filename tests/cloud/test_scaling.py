"""Decisions, one by one: how many machines, who leads, what a child of the head does."""

from __future__ import annotations

import math
import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from imgbatch.cloud.control import Control, Order
from imgbatch.cloud.holding import Holding
from imgbatch.cloud.work import Work, affordable, wanted
from imgbatch.errors import FencedError
from jobs import child
from jobs.child import Child, Diary
from jobs.hosted import Progress

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("left", "most", "money", "count"),
    [(0, 8, 9, 0), (1, 8, 9, 1), (3, 8, 9, 2), (100, 8, 9, 8), (100, 8, 3, 3), (100, 8, 0, 0)],
)
def test_machines_are_wanted_by_shards_bound_and_money(
    left: int, most: int, money: int, count: int
) -> None:
    assert wanted(Work(shards=left + 5, shards_done=5), most=most, affordable=money) == count


def test_a_budget_pays_machines_for_ten_minutes_below_nine_tenths() -> None:
    # 0.9 of 2 $ are 1.80 $; 0.60 $ are left: 3.60 $ an hour for ten minutes, 0.10 $ the head's.
    assert affordable(budget=2.0, spent=1.2, head=0.1, worker=0.5) == 7
    assert affordable(budget=2.0, spent=1.8, head=0.1, worker=0.5) == 0


@pytest.mark.parametrize("budget", [1e300, 1e308, math.inf])
def test_a_budget_beyond_all_numbers_pays_for_more_machines_than_there_are(budget: float) -> None:
    assert affordable(budget=budget, spent=1.2, head=0.1, worker=0.5) >= 10**6


def order(deadline: float = 10_000.0) -> Order:
    told = {"input": "in", "dataset": "out", "recipe": "", "pool": "gpu", "most": 1}
    return Order(run="20270115T080000Z-000000", budget=1.0, deadline=deadline, **told)


@pytest.fixture
def control(request: pytest.FixtureRequest) -> Control:
    return Control(f"memory://{request.node.name}/control")


def test_a_lease_grows_by_a_beat_each_twenty_seconds_and_tells_what_is_left(
    control: Control,
) -> None:
    holding = Holding(control, order(), "i-1")
    holding.take(1000.0)
    first = control.lease()
    holding.keep(1010.0)
    assert control.lease() == first
    holding.keep(1020.5)
    second = control.lease()
    assert first is not None
    assert second is not None
    assert (first.beat, first.left, first.deadline) == (0, 9000, 10_000)
    assert (second.beat, second.left) == (1, 8979)
    assert (second.head_machine, second.pool, second.head) == ("i-1", "gpu", "")
    holding.head = "10.0.0.1:6379"
    holding.keep(1021.0)
    third = control.lease()
    assert third is not None
    assert (third.head, third.beat) == ("10.0.0.1:6379", 2)


def test_a_clock_that_is_set_back_keeps_no_lease_from_being_renewed(control: Control) -> None:
    holding = Holding(control, order(), "i-1")
    holding.take(5000.0)
    holding.keep(1400.0)
    lease = control.lease()
    assert lease is not None
    assert (lease.beat, lease.left) == (1, 8600)
    holding.keep(1410.0)
    assert control.lease() == lease


def test_who_lost_the_lease_hears_of_it_at_the_next_beat_and_does_not_take_it_back(
    control: Control,
) -> None:
    old, new = Holding(control, order(), "i-1"), Holding(control, order(), "i-2")
    old.take(0.0)
    new.take(10.0)
    with pytest.raises(FencedError, match="i-2"):
        old.keep(20.0)
    new.keep(40.0)
    lease = control.lease()
    assert lease is not None
    assert lease.head_machine == "i-2"


def test_a_lease_that_was_taken_away_is_not_given_again(control: Control) -> None:
    holding = Holding(control, order(), "i-1")
    holding.take(0.0)
    control.release()
    with pytest.raises(FencedError, match="taken away"):
        holding.keep(30.0)
    assert control.lease() is None


def test_progress_counts_over_the_drivers_of_a_run() -> None:
    progress = Progress()
    told = {"of_shards": 10, "shards": 0, "of": 100, "sources": 0}
    progress.take("a", {**told, "state": "planned"})
    assert not progress.begun
    progress.take("a", {**told, "state": "running"})
    assert progress.begun
    progress.take("a", {"of_shards": 10, "shards": 4, "of": 100, "sources": 45})
    # The driver was killed; the next one finds six shards undone.
    progress.take("b", {"of_shards": 6, "shards": 0, "of": 60, "sources": 0})
    assert progress.begun
    assert (progress.shards, progress.shards_done) == (10, 4)
    progress.take("b", {"of_shards": 6, "shards": 6, "of": 60, "sources": 60, "eta_seconds": 0.0})
    assert (progress.shards, progress.shards_done) == (10, 10)
    assert (progress.sources, progress.sources_done) == (100, 100)


def test_progress_tells_the_bytes_of_the_driver_that_is_at_work() -> None:
    progress = Progress()
    told = {"of_shards": 10, "shards": 4, "of": 100, "sources": 45}
    progress.take("a", {**told, "bytes": 900, "bytes_written": 80})
    assert (progress.bytes_read, progress.bytes_written) == (900, 80)
    progress.take("b", {**told, "bytes": 10, "bytes_written": 1})
    assert (progress.bytes_read, progress.bytes_written) == (10, 1)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_child_that_a_signal_kills_begins_again_and_one_that_ends_by_itself_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "PAUSE_SECONDS", 0.0)
    diary = Diary()
    words = ["sh", "-c", "echo here; exec sleep 60"]
    found = Child(words, dict(os.environ), diary.write, lambda code: code < 0)
    try:
        until(lambda: diary.read().count(b"here") == 1)
        first = found.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: found.look() is None and diary.read().count(b"here") == 2)
        assert found.pid != first
        assert found.code is None
    finally:
        found.end()
    assert found.look() == -signal.SIGTERM
    other = Child(["sh", "-c", "exit 13"], dict(os.environ), diary.write, lambda code: code < 0)
    until(lambda: other.look() is not None)
    assert other.code == 13
    other.end()


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_a_child_leaves_behind_ends_with_it_and_nobody_who_gets_its_number_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    diary = Diary()
    words = ["sh", "-c", "sleep 60 & echo $!; exit 13"]
    found = Child(words, dict(os.environ), diary.write, lambda _: False)
    until(lambda: found.look() == 13)
    until(diary.read)
    left = int(diary.read())
    until(lambda: has_ended(left))
    ended = []
    monkeypatch.setattr(os, "killpg", lambda *words: ended.append(words))
    found.end()
    assert ended == []


def test_a_child_that_dies_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "PAUSE_SECONDS", 0.0)
    diary = Diary()
    found = Child(
        ["sh", "-c", "echo try; exit 16"], dict(os.environ), diary.write, lambda code: code == 16
    )
    until(lambda: found.look() is not None)
    assert found.code == 16
    until(lambda: diary.read().count(b"try") == child.AGAIN + 1)
    found.end()
