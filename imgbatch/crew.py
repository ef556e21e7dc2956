"""Tasks to workers: a few threads that each keep one task under way, whatever a worker is.

A worker is a `pipeline.Worker` in this process, or a stand-in for one in another (`jobs.analyze`).
When one is lost, its tasks are done again by a new one, without the shards that came back already,
each alone in its worker and after all others. A task that is lost then too is searched for sources
that kill (`imgbatch.poison`); these get an outcome that says so, and the rest is done.

In this process (`inline`) a source that kills ends the run by nature, and one that hangs hangs it:
the same command on Ray finds and quarantines it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from imgbatch.dataset import SOURCES
from imgbatch.errors import JobError
from imgbatch.pipeline import Crewed, Finished, Job, Poison, Task, Tick, Worker
from imgbatch.poison import hunt
from imgbatch.watch import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from imgbatch.dataset.plan import Work
    from imgbatch.pipeline import Stage
    from imgbatch.watch import Reason

# While one shard's rows are written, the next one's pictures are decoded.
SIDE_BY_SIDE = 2
# While no event comes, who waits is woken up this often.
BEAT_SECONDS = 1.0
# Workers lost on a task before it is searched, and before it is given up.
LOST_TWICE, ATTEMPTS = 2, 3


class AnyWorker(Protocol):
    """What a worker does."""

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        """Do a task; may be called again while a former call is under way.

        Raises:
            WorkerLostError: the worker went away.
        """

    def close(self) -> None:
        """Let the worker go."""


def inline(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
    """Do the tasks in this process."""
    return execute(lambda _: Worker(job, "inline"), tasks, workers=1)


class _StoppedError(Exception):
    """Nobody waits for what comes next."""


@dataclass(slots=True)
class _Order:
    """A task, what is left of it, and what is known of the workers that were lost on it."""

    task: Task
    attempts: int = 0
    finished: set[str] = field(default_factory=set)
    suspects: set[tuple[str, int]] = field(default_factory=set)
    poisons: list[Poison] = field(default_factory=list)

    def left(self) -> Task:
        works = tuple(w for w in self.task.works if w.shard.name not in self.finished)
        return Task(works, poisons=(*self.task.poisons, *self.poisons))

    def lost(self, error: WorkerLostError) -> None:
        """Take note of a lost worker, and whether one of this task's own sources was why."""
        own = {work.shard.name for work in self.left().works}
        self.attempts += 1
        self.suspects = {(shard, place) for shard, place in error.suspects if shard in own}

    @property
    def searched(self) -> bool:
        """Whether it is to be searched before it is done again."""
        return self.attempts == LOST_TWICE or (self.attempts == 1 and bool(self.suspects))


class _Post:
    """A place that one worker fills at a time; a lost one is replaced once."""

    def __init__(self, make: Callable[[int], AnyWorker], number: int) -> None:
        self._make = make
        self._number = number
        self._lock = threading.Lock()
        self._free = threading.Condition()
        self._busy = 0
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

    @contextlib.contextmanager
    def seat(self) -> Iterator[None]:
        """Have a task under way here."""
        with self._free:
            self._busy += 1
        try:
            yield
        finally:
            with self._free:
                self._busy -= 1
                self._free.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nothing else is under way here, and let nothing else begin."""
        with self._free:
            self._free.wait_for(lambda: not self._busy)
            yield

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
        self._again: deque[_Order] = deque()
        self._under_way = 0
        self._changed = threading.Condition()
        self.events: queue.Queue[Tick | Finished | Crewed | BaseException | None] = queue.Queue()
        self.stop = threading.Event()
        self.given_up: list[str] = []

    def keep_working(self, post: _Post, spare: int) -> None:
        """Take orders until `spare` are left; the last event is None, or what went wrong."""
        try:
            post.worker()
            self.events.put(Tick({}, 0))
            while (order := self._next(spare)) is not None:
                with self._counted(), post.seat():
                    self._do(order, post)
            while not spare and (order := self._next_again()) is not None:
                with self._counted(), post.alone():
                    self._do_again(order, post)
        except _StoppedError:
            self.events.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self.events.put(error)
        else:
            self.events.put(None)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Say when an order is no longer under way: it may have been lost."""
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def halt(self) -> None:
        """Let no thread take another order."""
        self.stop.set()
        with self._changed:
            self._changed.notify_all()

    def _next(self, spare: int) -> _Order | None:
        with self._changed:
            if len(self._orders) <= spare or self.stop.is_set():
                return None
            self._under_way += 1
            return self._orders.popleft()

    def _next_again(self) -> _Order | None:
        """Return an order whose worker was lost, once there is one or can be none any more."""
        with self._changed:
            self._changed.wait_for(self._settled)
            if not self._again or self.stop.is_set():
                return None
            self._under_way += 1
            return self._again.popleft()

    def _settled(self) -> bool:
        return bool(self._again) or not self._under_way or self.stop.is_set()

    def _do(self, order: _Order, post: _Post) -> None:
        worker = post.worker()
        told, pictures = Counter[str](), 0
        try:
            for event in worker.work(order.left()):
                if isinstance(event, Finished):
                    order.finished.add(event.shard.name)
                    told, pictures = Counter(), 0
                else:
                    told.update(event.outcomes)
                    pictures += event.pictures
                self.events.put(event)
                if self.stop.is_set():
                    raise _StoppedError
        except WorkerLostError as error:
            post.lost(worker)
            # What was told of the shard under way is told again when it is done again.
            self.events.put(Tick({name: -count for name, count in told.items()}, -pictures))
            self._lost(order, error)

    def _do_again(self, order: _Order, post: _Post) -> None:
        if order.searched and (found := self._search(order, post)):
            order.poisons += found
            order.attempts = 0
        self._do(order, post)

    def _lost(self, order: _Order, error: WorkerLostError) -> None:
        if not order.left().works:
            return  # it was lost after its last shard came back
        order.lost(error)
        if order.attempts >= ATTEMPTS:
            labels = ", ".join(work.shard.label for work in order.left().works)
            said = f"{ATTEMPTS} workers were lost on shard {labels}, by no single source: {error}"
            self.given_up.append(said)
            return
        with self._changed:
            self._again.append(order)

    def _search(self, order: _Order, post: _Post) -> list[Poison]:
        """Return the sources of the first shard that has any which kill workers."""
        for work in order.left().works:
            name = work.shard.name
            known = {poison.place for poison in order.left().poisons if poison.shard == name}
            places = [place for place in range(work.shard.sources) if place not in known]
            suspects = sorted(place for shard, place in order.suspects if shard == name)

            def probe(places: Sequence[int], work: Work = work) -> Reason | None:
                return self._probe(work, places, post)

            if found := hunt(places, suspects, probe):
                return [self._poison(work, *item, post) for item in found.items()]
        return []

    def _poison(self, work: Work, place: int, reason: Reason, post: _Post) -> Poison:
        decoding = replace(work, tables=(SOURCES,))
        stage: Stage = "decode" if self._probe(decoding, [place], post) else "analyze"
        return Poison(work.shard.name, place, reason, stage)

    def _probe(self, work: Work, places: Sequence[int], post: _Post) -> Reason | None:
        worker = post.worker()
        try:
            for _ in worker.work(Task((work,), only=frozenset(places))):
                if self.stop.is_set():
                    raise _StoppedError
        except WorkerLostError as error:
            post.lost(worker)
            return error.reason
        return None


def execute(
    make: Callable[[int], AnyWorker], tasks: Sequence[Task], *, workers: int
) -> Generator[Tick | Finished | Crewed]:
    """Do tasks with so many workers, made by `make(number)`.

    Raises:
        JobError: some tasks lost every worker that had them, and all others are done; or three
            workers were lost while they started.
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
        crewed = Crewed(0, 0)
        while working:
            try:
                event = crew.events.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                yield crewed  # nothing is new; whoever waits may want to end it
                continue
            if isinstance(event, Crewed):
                crewed = event
            if event is None:
                working -= 1
            elif isinstance(event, BaseException):
                raise event
            else:
                yield event
        if crew.given_up:
            raise JobError("; ".join(crew.given_up))
    finally:
        crew.halt()
        for thread in threads:
            thread.join()
        for post in posts:
            post.close()
