"""Workers that are processes of this machine, begun by this one; a lost one is replaced.

    begun -- it runs, its analyzers are loaded --> up --> released, or closed at the end
      |                                             |
      +-- three times in a row, none up:            +-- lost: its process ended, or was ended for
          the run ends                                  what a source takes, or for its silence

`crew.child` has the process itself.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing.connection
import signal
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from imgbatch.crew.board import SIDE_BY_SIDE
from imgbatch.crew.child import BEAT_SECONDS, CLOSE_SECONDS, Spare, send
from imgbatch.crew.fleet import Done, Event, Failed, Lost, Up
from imgbatch.crew.order import ATTEMPTS
from imgbatch.errors import JobError
from imgbatch.watch import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection

    from imgbatch.messages import Job, Task

DEEPEST = 64
# A process that gives no sign of life for so many times as long as a source may take was stopped:
# one that hangs in foreign code ends itself sooner (`imgbatch.watch`). One that loads may be slow.
SILENT, SILENT_SECONDS = 2.0, 60.0
START_REMEDY = (
    "What they printed says why. A script that begins a run itself does so below "
    "`if __name__ == '__main__':`, as each process reads it too, or with one worker."
)
# What a process ends with in which no thread of ours could run (`imgbatch.watch`).
FROZEN_EXIT = 1


@dataclass(slots=True)
class _Child:
    """A process at its place; `hand` is what it was given and did not tell the end of, in order."""

    place: int
    number: int
    process: Any
    hand: list[int] = field(default_factory=list)
    up: bool = False
    silent: float = 0.0

    @property
    def begun(self) -> frozenset[int]:
        # Tasks are begun in the order in which they came, and so many at a time.
        return frozenset(self.hand[:SIDE_BY_SIDE])


class Processes:
    """So many places for processes, which share this machine's threads.

    Args:
        job: what each worker is told; its limit of threads is of all of them together.
        places: at least 1.
        spares: are taken first.
    """

    deepest = DEEPEST

    def __init__(self, job: Job, places: int, spares: Sequence[Spare] = ()) -> None:
        self._job = job
        self._places = places
        self._spares = list(spares)
        self._numbers = itertools.count()
        self._children: dict[Connection, _Child] = {}
        self._released: list[Any] = []
        self._failed_starts = 0
        self._silence = max(SILENT_SECONDS, SILENT * job.limits.source_seconds)
        self._listened = time.monotonic()

    @property
    def expected(self) -> int:
        """How many workers are up or on their way."""
        return len(self._children)

    def want(self, count: int) -> None:
        """Begin processes at the places that are free, if so many have something to do."""
        taken = {child.place for child in self._children.values()}
        if taken and self._failed_starts >= ATTEMPTS:
            return  # there is no room for more of them, it seems
        for place in sorted(set(range(self._places)) - taken)[: max(0, count - len(taken))]:
            self._begin(place)

    def _begin(self, place: int) -> None:
        spare = self._spares.pop() if self._spares else Spare.begin()
        number = next(self._numbers)
        send(spare.pipe, (self._told(place), number))
        self._children[spare.pipe] = _Child(place, number, spare.process)

    def _told(self, place: int) -> Job:
        threads = self._job.limits.threads
        share = threads // self._places + (place < threads % self._places)
        limits = self._job.limits.model_copy(update={"threads": max(1, share)})
        return replace(self._job, limits=limits)

    def give(self, worker: int, slips: Mapping[int, Task]) -> None:
        """Hand tasks to a worker; one that is gone says so itself, by the end of its pipe."""
        for pipe, child in self._children.items():
            if child.number == worker:
                child.hand += slips
                send(pipe, slips)

    def release(self, worker: int) -> None:
        """Let a worker write its log and go."""
        for pipe, child in list(self._children.items()):
            if child.number == worker:
                send(pipe, None)
                self._released.append(self._forget(pipe).process)

    def events(self, seconds: float) -> list[Event]:
        """Return what happened; waits so long for the first of it."""
        found: list[Event] = []
        ready = set(multiprocessing.connection.wait(list(self._children), seconds))
        for pipe in [pipe for pipe in self._children if pipe in ready]:
            self._children[pipe].silent = 0.0
            try:
                event = pipe.recv()
            except (EOFError, OSError):
                found += self._gone(pipe)
            else:
                found += [] if event is None else [self._heard(pipe, event)]
        return found + self._stopped(ready)

    def _stopped(self, ready: Collection[object]) -> list[Event]:
        """End processes that are silent, and tell of them."""
        # A commit may take minutes, and who stopped us (Ctrl-Z) stopped them too.
        listened = min(time.monotonic() - self._listened, BEAT_SECONDS)
        self._listened = time.monotonic()
        found: list[Event] = []
        for pipe, child in list(self._children.items()):
            child.silent += listened if pipe not in ready else 0.0
            if child.silent > self._silence:
                child.process.kill()
                found += self._gone(pipe, WorkerLostError("the worker does not answer", "hang"))
        return found

    def _heard(self, pipe: Connection, event: Event) -> Event:
        child = self._children[pipe]
        match event:
            case Up():
                child.up = True
                self._failed_starts = 0
            case Done():
                child.hand.remove(event.slip)
            case Lost():
                # By its own guard: a source overran a limit, and may never come to an end.
                self._forget(pipe).process.kill()
                return replace(event, begun=child.begun)
        return event

    def _gone(self, pipe: Connection, error: WorkerLostError | None = None) -> Iterator[Event]:
        """Tell of a process that ended, and why; by its exit code where no error is given."""
        child = self._forget(pipe)
        child.process.join(CLOSE_SECONDS)
        error = error or _why(child.process.exitcode, up=child.up)
        child.process.kill()  # it may have closed its pipe alone
        if child.up:
            yield Lost(child.number, error, child.begun)
            return
        self._failed_starts += 1
        if self._failed_starts >= ATTEMPTS and not self._children:
            said = f"{ATTEMPTS} workers were lost while they started: {error}"
            yield Failed(JobError(said, START_REMEDY))

    def _forget(self, pipe: Connection) -> _Child:
        pipe.close()
        return self._children.pop(pipe)

    def close(self) -> None:
        """Let all write their logs, and end those that cannot."""
        for spare in self._spares:
            spare.end()
        self._spares.clear()
        for pipe in list(self._children):
            send(pipe, None)
            self._released.append(self._forget(pipe).process)
        end = time.monotonic() + CLOSE_SECONDS
        for process in self._released:
            process.join(max(0.0, end - time.monotonic()))
            process.kill()
            process.join()


def _why(code: int | None, *, up: bool) -> WorkerLostError:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return WorkerLostError(f"its process was ended by {signal.Signals(-code).name}")
    if code is None:
        return WorkerLostError("its process told no more")
    if up and code == FROZEN_EXIT:
        return WorkerLostError("the worker did not answer, and then ended", "hang")
    return WorkerLostError(f"its process ended with exit code {code}")
