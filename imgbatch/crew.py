"""Tasks to workers: a few threads that each keep one task under way, whatever a worker is.

A worker is a `pipeline.Worker` in this process, or a stand-in for one in another (`jobs.analyze`).
When one is lost, its task is done again by a new one, without the shards that came back already.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from imgbatch.errors import JobError
from imgbatch.pipeline import Finished, Job, Task, Tick, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

# While one shard's rows are written, the next one's pictures are decoded.
SIDE_BY_SIDE = 2
ATTEMPTS = 3


class WorkerLostError(Exception):
    """A worker went away in the middle of a task: its process was killed, or its machine."""


class AnyWorker(Protocol):
    """What a worker does."""

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        """Do a task; may be called again while a former call is under way.

        Raises:
            WorkerLostError: the worker went away.
        """

    def close(self) -> None:
        """Let the worker go."""


def inline(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
    """Do the tasks in this process."""
    return execute(lambda _: Worker(job, "inline"), tasks, workers=1)


@dataclass(slots=True)
class _Order:
    """A task and what is left of it."""

    task: Task
    attempts: int = 0
    finished: set[str] = field(default_factory=set)

    def left(self) -> Task:
        return Task(tuple(w for w in self.task.works if w.shard.name not in self.finished))


class _Post:
    """A place that one worker fills at a time; a lost one is replaced once."""

    def __init__(self, make: Callable[[int], AnyWorker], number: int) -> None:
        self._make = make
        self._number = number
        self._lock = threading.Lock()
        self._worker: AnyWorker | None = None

    def worker(self) -> AnyWorker:
        with self._lock:
            if self._worker is None:
                self._worker = self._made()
            return self._worker

    def _made(self) -> AnyWorker:
        lost = 0
        while True:
            try:
                return self._make(self._number)
            except WorkerLostError as error:
                lost += 1
                if lost == ATTEMPTS:
                    raise JobError(
                        f"{lost} workers were lost while they started: {error}"
                    ) from error

    def lost(self, worker: AnyWorker) -> None:
        with self._lock:
            if self._worker is worker:
                self._worker = None

    def close(self) -> None:
        with self._lock:
            if self._worker is not None:
                self._worker.close()


class _Crew:
    """The threads' shared state."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._orders = deque(_Order(task) for task in tasks)
        self._lock = threading.Lock()
        self.events: queue.Queue[Tick | Finished | BaseException | None] = queue.Queue()
        self.stop = threading.Event()

    def keep_working(self, post: _Post, spare: int) -> None:
        """Take orders until `spare` are left; the last event is None, or what went wrong."""
        try:
            post.worker()
            self.events.put(Tick({}, 0))
            while (order := self._next(spare)) is not None:
                self._do(order, post)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self.events.put(error)
        else:
            self.events.put(None)

    def _next(self, spare: int) -> _Order | None:
        with self._lock:
            if len(self._orders) <= spare or self.stop.is_set():
                return None
            return self._orders.popleft()

    def _do(self, order: _Order, post: _Post) -> None:
        worker = post.worker()
        order.attempts += 1
        try:
            for event in worker.work(order.left()):
                if isinstance(event, Finished):
                    order.finished.add(event.shard.name)
                self.events.put(event)
                if self.stop.is_set():
                    return
        except WorkerLostError as error:
            post.lost(worker)
            if not order.left().works:
                return  # it was lost after its last shard came back
            if order.attempts >= ATTEMPTS:
                labels = ", ".join(work.shard.label for work in order.left().works)
                raise JobError(
                    f"{ATTEMPTS} workers were lost on shard {labels}: {error}"
                ) from error
            with self._lock:
                self._orders.append(order)


def execute(
    make: Callable[[int], AnyWorker], tasks: Sequence[Task], *, workers: int
) -> Generator[Tick | Finished]:
    """Do tasks with so many workers, made by `make(number)`.

    Raises:
        JobError: a task lost its worker three times, or three were lost while they started.
    """
    crew = _Crew(tasks)
    posts = [_Post(make, number) for number in range(min(workers, len(tasks)))]
    # A worker's second task is only taken while every worker has a first one to take: the last
    # tasks would otherwise crowd in one worker while another has none.
    spares = [0] + [len(posts) if len(posts) > 1 else 0] * (SIDE_BY_SIDE - 1)
    threads = [
        threading.Thread(target=crew.keep_working, args=[post, spare], daemon=True)
        for spare in spares
        for post in posts
    ]
    for thread in threads:
        thread.start()
    try:
        working = len(threads)
        while working:
            event = crew.events.get()
            if event is None:
                working -= 1
            elif isinstance(event, BaseException):
                raise event
            else:
                yield event
    finally:
        crew.stop.set()
        for thread in threads:
            thread.join()
        for post in posts:
            post.close()
