"""How sources that kill are told from workers that went away: the hunt alone, and the crew's."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgbatch import crew
from imgbatch.dataset.plan import Work
from imgbatch.errors import JobError
from imgbatch.messages import Finished, Poison, Task, Tick
from imgbatch.poison import hunt as hunting
from imgbatch.records import Shard
from imgbatch.watch import Watch, WorkerLostError, own_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgbatch.watch import Reason


def hunt(
    places: Sequence[int], suspects: Iterable[int], probe: Callable[[Sequence[int]], Reason | None]
) -> dict[int, Reason]:
    """Answer a hunt's trials as soon as they come."""
    hunted = hunting(places, suspects, list)
    answer = None
    while True:
        try:
            answer = probe(hunted.send(answer))
        except StopIteration as end:
            return dict(end.value)


@given(
    st.integers(0, 200).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, max(0, n - 1)), max_size=min(n, 6)))
    ),
    st.sets(st.integers(0, 250), max_size=5),
)
def test_every_place_that_kills_is_found_and_no_other(
    shard: tuple[int, set[int]], suspects: set[int]
) -> None:
    count, kill = shard
    left, found = list(range(count)), set[int]()

    def probe(places: Sequence[int]) -> Reason | None:
        return "crash" if kill & set(places) else None

    # As the crew does it: a hunt that finds something is followed by another, until all is well.
    while kill & set(left):
        hunted = hunt(left, suspects & kill, probe)
        assert hunted
        found |= set(hunted)
        left = [place for place in left if place not in hunted]
    assert found == kill


@given(st.integers(1, 300), st.integers(0, 2**32))
def test_a_worker_lost_once_in_a_hunt_names_nothing(count: int, seed: int) -> None:
    chance = random.Random(seed)
    unlucky, seen = chance.randrange(2 * count), 0

    def probe(_: Sequence[int]) -> Reason | None:
        nonlocal seen
        seen += 1
        return "crash" if seen - 1 == unlucky else None

    assert hunt(range(count), [chance.randrange(count)], probe) == {}


def test_a_suspect_is_tried_first_and_nothing_else_when_it_kills() -> None:
    tried: list[list[int]] = []

    def probe(places: Sequence[int]) -> Reason | None:
        tried.append(list(places))
        return "hang" if 70 in places else None

    assert hunt(range(100), [70], probe) == {70: "hang"}
    assert tried == [[70], [70]]


class Deadly:
    """A worker whose process ends on some places of some shards."""

    def __init__(self, kill: set[tuple[str, int]], seen: list[Task], *, hint: bool = False) -> None:
        self.kill = kill
        self.seen = seen
        self.hint = hint

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        self.seen.append(task)
        known = {(poison.shard, poison.place) for poison in task.poisons}
        for work in task.works:
            shard = work.shard
            places = range(shard.sources) if task.only is None else task.only
            hit = tuple({(shard.name, place) for place in places} & (self.kill - known))
            if hit:
                raise WorkerLostError("dead", "crash", hit[:1] if self.hint else ())
            yield Tick({"ok": 1}, 1)
            if task.only is None:
                yield Finished(shard, (), {"ok": 1}, 1, 1, 0.0, {})

    def close(self) -> None: ...


def tasks(count: int, *, shards: int = 1) -> list[Task]:
    return [
        Task(tuple(Work(Shard(f"{t}.{s}", 0, sources=50), ("sources",)) for s in range(shards)))
        for t in range(count)
    ]


def poisons(seen: list[Task]) -> set[Poison]:
    return {poison for task in seen for poison in task.poisons}


@pytest.mark.parametrize("hint", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_all_shards_are_done_around_the_sources_that_kill(workers: int, *, hint: bool) -> None:
    kill = {("2.0", 7), ("2.0", 8), ("2.0", 49), ("5.0", 0)}
    seen: list[Task] = []
    made = crew.execute(lambda _: Deadly(kill, seen, hint=hint), tasks(8), workers=workers)
    done = sorted(event.shard.name for event in made if isinstance(event, Finished))
    assert done == sorted(f"{t}.0" for t in range(8))
    assert {(p.shard, p.place) for p in poisons(seen)} == kill


def test_a_stream_of_shards_goes_on_after_the_one_with_the_poison() -> None:
    seen: list[Task] = []
    worker = Deadly({("0.2", 31), ("0.4", 3)}, seen)
    made = list(crew.execute(lambda _: worker, tasks(1, shards=6), workers=1))
    done = [event.shard.name for event in made if isinstance(event, Finished)]
    assert done == [f"0.{s}" for s in range(6)]


def test_workers_lost_for_another_reason_quarantine_nothing() -> None:
    seen: list[Task] = []
    lost: list[str] = []

    class Spot(Deadly):
        def work(self, task: Task) -> Iterator[Tick | Finished]:
            if task.only is None and lost.count(task.works[0].shard.name) < 2:
                lost.append(task.works[0].shard.name)
                raise WorkerLostError("the machine was taken away")
            yield from super().work(task)

    made = crew.execute(lambda _: Spot(set(), seen), tasks(4), workers=2)
    assert sum(isinstance(event, Finished) for event in made) == 4
    assert poisons(seen) == set()


def test_a_shard_that_kills_as_a_whole_is_given_up_and_all_others_are_done() -> None:
    seen: list[Task] = []
    done: list[str] = []

    class Together(Deadly):
        def work(self, task: Task) -> Iterator[Tick | Finished]:
            if task.works[0].shard.name == "3.0" and task.only is None:
                raise WorkerLostError("out of memory", "memory")
            yield from super().work(task)

    def run() -> None:
        made = crew.execute(lambda _: Together(set(), seen), tasks(6), workers=2)
        done.extend(event.shard.name for event in made if isinstance(event, Finished))

    with pytest.raises(JobError, match=r"3 workers were lost on shard 3\.0@0, by no single source"):
        run()
    assert sorted(done) == ["0.0", "1.0", "2.0", "4.0", "5.0"]


def test_a_probe_has_its_worker_for_itself() -> None:
    together = threading.Semaphore(1)

    class Alone(Deadly):
        def work(self, task: Task) -> Iterator[Tick | Finished]:
            if task.only is None:
                yield from super().work(task)
                return
            assert together.acquire(blocking=False), "another task is under way"
            time.sleep(0.001)
            try:
                yield from super().work(task)
            finally:
                together.release()

    kill = {("0.0", 5), ("1.0", 6), ("3.0", 7)}
    made = crew.execute(lambda _: Alone(kill, []), tasks(4), workers=1)
    assert sum(isinstance(event, Finished) for event in made) == 4


def test_a_watch_names_what_is_late_and_lets_large_sources_take_longer() -> None:
    watch = Watch(source_seconds=0.05, memory=0)
    with watch.over("s", 1, 100), watch.over("s", 2, 2**40), watch.over("s", None, 0):
        lost = watch.wait(threading.Event())
    assert lost is not None
    assert (lost.reason, lost.suspects) == ("hang", (("s", 1),))
    assert watch.look() is None


def test_a_watch_names_a_process_that_holds_too_much() -> None:
    assert own_memory() > 2**20
    watch = Watch(source_seconds=100, memory=2**20)
    with watch.over("s", 1, 100):
        lost = watch.look()
    assert lost is not None
    assert (lost.reason, lost.suspects) == ("memory", (("s", 1),))
    assert Watch(source_seconds=100, memory=2**50).look() is None


def test_the_peak_of_a_process_is_its_own_and_stays_when_its_memory_is_given_back() -> None:
    # In processes of their own, begun by this one, which holds more than the small one may.
    ballast = b"\1" * 2**28
    code = "from imgbatch.watch import own_memory, peak_memory; held = b'1' * {size}; del held; "
    code += "print(own_memory(), peak_memory())"
    found = []
    for size in (1, 2**28):
        command = [sys.executable, "-c", code.format(size=size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(tuple(map(int, done.stdout.split())))
    (_, small), (now, large) = found
    assert 2**20 < small < len(ballast)
    assert now < len(ballast) <= large < 2 * len(ballast)
