"""The board alone, with a clock of the test's own: who is given what, and what is counted."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgbatch.crew.board import LOOK_SECONDS, SLOW_SECONDS, SPARE_SECONDS, Board
from imgbatch.crew.fleet import Back, Done, Leaving, Lost, Said, Up
from imgbatch.crew.order import MACHINES
from imgbatch.dataset.plan import Work
from imgbatch.messages import Crewed, Finished, Task, Tick
from imgbatch.records import Shard
from imgbatch.watch import MachineLostError, WorkerLostError

if TYPE_CHECKING:
    from imgbatch.crew.fleet import Event

CRASH = WorkerLostError("killed")
TAKEN = MachineLostError("taken away")


def tasks(count: int, *, shards: int = 1) -> list[Task]:
    return [
        Task(tuple(Work(Shard(f"{t}.{s}", 0, sources=4), ("sources",)) for s in range(shards)))
        for t in range(count)
    ]


def finished(shard: Shard) -> Finished:
    return Finished(shard, (), {"ok": 1}, 1, 1, 0.0, {})


class Table:
    """A board, its clock, and all that it gave out and told."""

    def __init__(self, work: list[Task], *, deepest: int = 2) -> None:
        self.now = 0.0
        self.board = Board(work, lambda: self.now)
        self.deepest = deepest
        self.hands: dict[int, dict[int, Task]] = {}
        self.told: list[Tick | Finished | Crewed] = []

    def assign(self) -> dict[int, dict[int, Task]]:
        new = dict(self.board.assign(len(self.hands), self.deepest))
        for worker, slips in new.items():
            self.hands[worker] |= slips
        return new

    def take(self, event: Event) -> None:
        if isinstance(event, Up):
            self.hands[event.worker] = {}
        if isinstance(event, Lost):
            self.hands.pop(event.worker, None)
        if isinstance(event, Done | Back):
            for hand in self.hands.values():
                hand.pop(event.slip, None)
        self.told += self.board.take(event)

    def do(self, slip: int, task: Task) -> None:
        for work in task.works:
            self.take(Said(slip, Tick({"ok": 1}, 1)))
            self.take(Said(slip, finished(work.shard)))
        self.take(Done(slip))

    @property
    def counted(self) -> int:
        return sum(tick.pictures for tick in self.told if isinstance(tick, Tick))

    @property
    def shards(self) -> list[str]:
        return sorted(event.shard.name for event in self.told if isinstance(event, Finished))


def test_the_last_tasks_are_left_to_workers_that_have_none() -> None:
    table = Table(tasks(4))
    for worker in (1, 2, 3):
        table.take(Up(worker))
    assert {worker: len(slips) for worker, slips in table.assign().items()} == {1: 1, 2: 1, 3: 1}


def test_short_tasks_are_given_ahead_and_long_ones_are_not() -> None:
    for seconds, deep in ((10.0, 2), (0.01, 64)):
        table = Table(tasks(1000), deepest=64)
        table.take(Up(1))
        table.assign()
        for _ in range(300):
            slip = min(table.hands[1])
            table.now += seconds
            table.do(slip, table.hands[1][slip])
            table.assign()
        assert len(table.hands[1]) == deep


def test_a_slow_task_is_given_to_an_idle_worker_too_and_the_first_result_counts() -> None:
    for winner in (0, 1):
        table = Table(tasks(2))
        table.take(Up(1))
        table.take(Up(2))
        first = table.assign()
        (slow, task), (quick, other) = *first[1].items(), *first[2].items()
        table.take(Said(slow, Tick({"ok": 3}, 3)))
        table.do(quick, other)
        assert table.assign() == {}, "it is not slow yet"
        table.now += SLOW_SECONDS + 1
        ((second, same),) = table.assign()[2].items()
        assert same == task
        assert table.assign() == {}, "twice is enough"
        table.take(Said(second, Tick({"ok": 1}, 1)))
        runs = [slow, second]
        table.take(Said(runs[winner], finished(task.works[0].shard)))
        table.take(Done(runs[winner]))
        assert table.board.left == 0
        table.take(Said(runs[1 - winner], finished(task.works[0].shard)))
        table.take(Done(runs[1 - winner]))
        assert table.shards == ["0.0", "1.0"]
        assert table.counted == 1 + (3, 1)[winner]


def test_a_lost_machine_is_held_against_no_task_and_its_tasks_come_first() -> None:
    table = Table(tasks(40))
    for worker in range(MACHINES):
        table.take(Up(worker))
        given = table.assign()[worker]
        assert [task.works[0].shard.name for task in given.values()] == ["0.0", "1.0"]
        table.take(Lost(worker, TAKEN))
    assert table.board.given_up == []
    assert [e for e in table.told if isinstance(e, Crewed)][-1] == Crewed(0, MACHINES)


def test_a_task_under_which_machine_after_machine_goes_is_held_against_in_the_end() -> None:
    table = Table(tasks(1))
    for worker in range(1000):
        table.take(Up(worker))
        table.assign()
        table.take(Lost(worker, TAKEN))
        if not table.board.left:
            break
    assert table.board.given_up[0].startswith("3 workers were lost on shard 0.0@0")


def test_what_a_leaving_worker_gives_back_goes_to_others_and_it_is_given_nothing() -> None:
    table = Table(tasks(20), deepest=8)
    table.take(Up(1))
    for slip in list(table.assign()[1]):
        table.take(Leaving(1))
        table.take(Back(slip))
    assert table.assign() == {}
    assert table.board.leavers() == [1]
    table.take(Up(2))
    names = [task.works[0].shard.name for task in table.assign()[2].values()]
    assert names == ["0.0", "1.0"]


class Trouble(Table):
    """A table at which workers come, go, are lost, are slow, and give tasks back."""

    def __init__(self, work: list[Task], chance: random.Random, *, deepest: int) -> None:
        super().__init__(work, deepest=deepest)
        self.chance = chance
        self.workers = 0
        self.left = chance.randrange(60)

    def step(self) -> None:
        self.now += self.chance.random() * LOOK_SECONDS * 4
        while len(self.hands) < 3:
            self.workers += 1
            self.take(Up(self.workers))
        self.assign()
        for gone in self.board.leavers():
            del self.hands[gone]
        busy = [worker for worker, hand in self.hands.items() if hand]
        if busy:
            worker = self.chance.choice(busy)
            self.happen(worker, self.chance.choice(list(self.hands[worker])))

    def happen(self, worker: int, slip: int) -> None:
        events = [Lost(worker, TAKEN), Lost(worker, CRASH), Back(slip), Leaving(worker)]
        what = self.chance.choices([*events, None], [4, 1, 4, 4, 4])[0] if self.left else None
        task = self.hands[worker][slip]
        if what is not None:
            self.left -= 1
            self.take(what)
        elif task.only is not None:
            self.take(Done(slip))
        elif self.chance.random() < 0.5:
            self.do(slip, task)
        else:
            self.some(worker, slip, task)

    def some(self, worker: int, slip: int, task: Task) -> None:
        """Do a part of a task: its next shard, or only a part of that."""
        first, *left = task.works
        self.take(Said(slip, Tick({"ok": 1}, 1)))
        if self.chance.random() < 0.5:
            self.take(Said(slip, Tick({"ok": -1}, -1)))
            return
        self.take(Said(slip, finished(first.shard)))
        self.hands[worker][slip] = Task(tuple(left))
        if not left:
            self.take(Done(slip))


@pytest.mark.parametrize("deepest", [2, 16])
@given(st.integers(0, 2**32))
def test_whatever_happens_each_shard_comes_once_and_is_counted_once(
    deepest: int, seed: int
) -> None:
    chance = random.Random(seed)
    work = tasks(12, shards=chance.choice([1, 3]))
    table = Trouble(work, chance, deepest=deepest)
    while table.board.left:
        table.step()
    assert len(table.shards) == len(set(table.shards)) == table.counted
    if not table.board.given_up:
        assert table.shards == sorted(w.shard.name for task in work for w in task.works)


def test_workers_that_idle_while_nothing_waits_are_let_go_and_asked_for_again_when_it_does() -> (
    None
):
    table = Table(tasks(2), deepest=1)
    for worker in (1, 2, 3):
        table.take(Up(worker))
    table.assign()
    idle = {worker for worker, hand in table.hands.items() if not hand}
    assert table.board.leavers() == []
    # Long before, each slow task is given to an idle worker too: then it is not idle.
    table.now = SPARE_SECONDS
    gone = set(table.board.leavers())
    assert gone == idle
    assert len(gone) == 1
    assert table.board.wanted == 2
    busy = next(worker for worker, hand in table.hands.items() if hand)
    table.take(Lost(busy, TAKEN, None))
    assert table.board.wanted == 2
    assert table.board.waiting == 1
