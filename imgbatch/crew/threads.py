"""Workers that are objects of this process, each with a few threads that do its tasks."""

from __future__ import annotations

import itertools
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from imgbatch.crew.board import SIDE_BY_SIDE
from imgbatch.crew.fleet import Done, Event, Failed, Lost, Said, Up
from imgbatch.crew.order import ATTEMPTS
from imgbatch.errors import JobError
from imgbatch.watch import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imgbatch.messages import Finished, Task, Tick


class AnyWorker(Protocol):
    """What a worker of this process does."""

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        """Do a task; may be called again while a former call is under way.

        Raises:
            WorkerLostError: the worker went away.
        """

    def close(self) -> None:
        """Let the worker go."""


@dataclass(slots=True)
class _Post:
    """A worker at its place, and what it is given."""

    place: int
    number: int
    worker: AnyWorker
    slips: queue.SimpleQueue[tuple[int, Task] | None] = field(default_factory=queue.SimpleQueue)
    begun: set[int] = field(default_factory=set)
    lost: bool = False


class Threads:
    """So many places, each with a worker that `make(place)` made; a lost one is replaced."""

    deepest = SIDE_BY_SIDE

    def __init__(self, make: Callable[[int], AnyWorker], places: int) -> None:
        self.expected = places
        self._make = make
        self._numbers = itertools.count()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._posts: dict[int, _Post] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        for place in range(places):
            self._start(self._fill, place)

    def _start(self, what: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _fill(self, place: int) -> None:
        """Have a new worker at a place, and do what it is given."""
        try:
            worker = self._made(place)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._events.put(Failed(error))
            return
        post = _Post(place, next(self._numbers), worker)
        with self._lock:
            if self._stop.is_set():
                worker.close()
                return
            self._posts[post.number] = post
        for _ in range(SIDE_BY_SIDE):
            self._start(self._keep_working, post)
        self._events.put(Up(post.number))

    def _made(self, place: int) -> AnyWorker:
        lost = 0
        while True:
            try:
                return self._make(place)
            except WorkerLostError as error:
                lost += 1
                if lost == ATTEMPTS:
                    raise JobError(
                        f"{lost} workers were lost while they started: {error}"
                    ) from error

    def _keep_working(self, post: _Post) -> None:
        try:
            while (given := post.slips.get()) is not None and not self._stop.is_set():
                post.begun.add(given[0])
                self._do(post, *given)
        except WorkerLostError as error:
            self._lost(post, error)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._events.put(Failed(error))

    def _do(self, post: _Post, slip: int, task: Task) -> None:
        for said in post.worker.work(task):
            self._events.put(Said(slip, said))
            if self._stop.is_set():
                return
        self._events.put(Done(slip))
        post.begun.discard(slip)

    def _lost(self, post: _Post, error: WorkerLostError) -> None:
        with self._lock:
            if post.lost:
                return  # another of its threads was first
            post.lost = True
            self._posts.pop(post.number)
        while not post.slips.empty():
            post.slips.get()
        post.slips.put(None)
        self._events.put(Lost(post.number, error, frozenset(post.begun)))
        if not self._stop.is_set():
            self._start(self._fill, post.place)

    def want(self, count: int) -> None:
        """Nothing: the places are as many as they are."""

    def give(self, worker: int, slips: Mapping[int, Task]) -> None:
        """Hand tasks to a worker; one that was lost meanwhile has nothing of them."""
        with self._lock:
            if post := self._posts.get(worker):
                for given in slips.items():
                    post.slips.put(given)

    def release(self, worker: int) -> None:
        """Nothing: a worker of this process that has nothing to do waits for the end."""

    def events(self, seconds: float) -> list[Event]:
        """Return what happened; waits so long for the first of it."""
        try:
            return [self._events.get(timeout=seconds)]
        except queue.Empty:
            return []

    def close(self) -> None:
        """End all threads at the next thing that they tell, then close the workers."""
        with self._lock:
            self._stop.set()
            posts = list(self._posts.values())
        for post in posts:
            for _ in range(SIDE_BY_SIDE):
                post.slips.put(None)
        for thread in self._threads:
            thread.join()
        for post in posts:
            if not post.lost:
                post.worker.close()
