"""The crew with workers made of plain generators: the seam that pipeline.Worker and Ray fill."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from imgbatch import crew
from imgbatch.dataset.plan import Work
from imgbatch.errors import JobError, StorageError
from imgbatch.messages import Finished, Task, Tick
from imgbatch.records import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def tasks(count: int, *, shards: int = 1) -> list[Task]:
    return [
        Task(tuple(Work(Shard(f"{t}.{s}", 0), ("sources",)) for s in range(shards)))
        for t in range(count)
    ]


def finished(shard: Shard) -> Finished:
    return Finished(shard, (), {"ok": 1}, 1, 1, 0.0, {})


class Scripted:
    """A worker that does what `script(shard)` says before each shard: nothing, or raise."""

    def __init__(self, script: Callable[[Shard], None]) -> None:
        self.script = script
        self.closed = False

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        for shard in (work.shard for work in task.works):
            self.script(shard)
            yield Tick({"ok": 1}, 1)
            yield finished(shard)

    def close(self) -> None:
        self.closed = True


def shards_of(events: list[Tick | Finished]) -> list[str]:
    return sorted(e.shard.name for e in events if isinstance(e, Finished))


def test_every_task_is_done_once_whatever_the_number_of_workers() -> None:
    for workers in (1, 3, 50):
        events = list(crew.execute(lambda _: Scripted(lambda _: None), tasks(20), workers=workers))
        assert shards_of(events) == sorted(f"{t}.0" for t in range(20))


def test_workers_are_made_once_each_and_closed() -> None:
    made: list[Scripted] = []

    def make(_: int) -> Scripted:
        made.append(Scripted(lambda _: None))
        return made[-1]

    list(crew.execute(make, tasks(10), workers=2))
    assert len(made) == 2
    assert all(worker.closed for worker in made)


def test_a_lost_workers_task_goes_on_where_it_was_with_a_new_one() -> None:
    lost = threading.Event()
    seen: list[str] = []

    def script(shard: Shard) -> None:
        seen.append(shard.name)
        if shard.name == "0.2" and not lost.is_set():
            lost.set()
            raise crew.WorkerLostError("killed")

    made: list[int] = []

    def make(number: int) -> Scripted:
        made.append(number)
        return Scripted(script)

    events = list(crew.execute(make, tasks(1, shards=5), workers=1))
    assert shards_of(events) == [f"0.{s}" for s in range(5)]
    assert seen == ["0.0", "0.1", "0.2", "0.2", "0.3", "0.4"]
    assert made == [0, 0]


def test_a_worker_that_is_lost_while_it_starts_is_replaced() -> None:
    made: list[int] = []

    def make(number: int) -> Scripted:
        made.append(number)
        if len(made) < crew.ATTEMPTS:
            raise crew.WorkerLostError("killed")
        return Scripted(lambda _: None)

    events = list(crew.execute(make, tasks(4), workers=1))
    assert shards_of(events) == [f"{t}.0" for t in range(4)]
    assert len(made) == crew.ATTEMPTS


def test_workers_that_are_all_lost_while_they_start_end_the_run() -> None:
    def make(_: int) -> Scripted:
        raise crew.WorkerLostError("killed")

    with pytest.raises(JobError, match="3 workers were lost while they started: killed"):
        list(crew.execute(make, tasks(4), workers=2))


def test_a_worker_lost_after_its_last_shard_came_back_leaves_nothing_to_do_again() -> None:
    class LostAtTheEnd(Scripted):
        def work(self, task: Task) -> Iterator[Tick | Finished]:
            assert task.works
            yield from super().work(task)
            raise crew.WorkerLostError("killed")

    events = list(
        crew.execute(lambda _: LostAtTheEnd(lambda _: None), tasks(3, shards=2), workers=1)
    )
    assert shards_of(events) == sorted(f"{t}.{s}" for t in range(3) for s in range(2))


def test_a_task_that_kills_every_worker_ends_the_run_and_names_its_shard() -> None:
    def script(shard: Shard) -> None:
        if shard.name == "3.0":
            raise crew.WorkerLostError("killed")

    with pytest.raises(JobError, match=r"3 workers were lost on shard 3\.0@0"):
        list(crew.execute(lambda _: Scripted(script), tasks(6), workers=2))


def test_an_error_of_a_worker_ends_the_run_with_that_error() -> None:
    def script(shard: Shard) -> None:
        if shard.name == "1.0":
            raise StorageError("disk full")

    worker = Scripted(script)
    with pytest.raises(StorageError, match="disk full"):
        list(crew.execute(lambda _: worker, tasks(6), workers=1))
    assert worker.closed


def test_a_worker_that_cannot_be_made_ends_the_run() -> None:
    def make(_: int) -> Scripted:
        raise StorageError("no dataset")

    with pytest.raises(StorageError, match="no dataset"):
        list(crew.execute(make, tasks(3), workers=2))


def test_leaving_early_stops_the_workers() -> None:
    worker = Scripted(lambda _: None)
    events = crew.execute(lambda _: worker, tasks(1000), workers=1)
    next(events)
    events.close()
    assert worker.closed


def test_two_tasks_are_under_way_in_each_worker() -> None:
    together = threading.Barrier(2, timeout=10)
    list(crew.execute(lambda _: Scripted(lambda _: together.wait() and None), tasks(2), workers=1))
