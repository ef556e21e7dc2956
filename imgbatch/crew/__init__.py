"""Tasks to workers: who is given which, whatever a worker is and wherever it is.

A worker is a `pipeline.Worker` in this process, or one in a process of its own on this machine
(`crew.processes`) or on Ray's (`jobs.fleet`). When one is lost, its tasks are done again by others,
without the shards that came back already, each alone in its worker and after all others. A task
that is lost then too is searched for sources that kill (`imgbatch.poison`); these get an outcome
that says so, and the rest is done. A machine that goes away is held against no task. `crew.board`
draws all of it.

In this process (`inline`) a source that kills ends the run by nature, and one that hangs hangs it:
the same command again has a process for it (`crew.local`), finds and quarantines it; with
`--workers 2`, or on Ray, the first does.

Decision, 2026-11: one loop asks a fleet for events and hands out tasks; a board keeps the books.
It was a thread per worker and task before, each waiting for its worker: a worker that did not come
up held its threads, none could be added, and a thousand of them would have been two thousand
threads. Drawback: the search for sources that kill is a generator that is sent answers, not a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.crew.board import SIDE_BY_SIDE, Board
from imgbatch.crew.order import ATTEMPTS
from imgbatch.crew.threads import AnyWorker, Threads
from imgbatch.errors import JobError
from imgbatch.pipeline import Worker
from imgbatch.watch import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from imgbatch.crew.fleet import Fleet
    from imgbatch.messages import Crewed, Finished, Job, Task, Tick

__all__ = [
    "ATTEMPTS",
    "SIDE_BY_SIDE",
    "AnyWorker",
    "WorkerLostError",
    "conduct",
    "execute",
    "inline",
]

# Workers that are slow, leave or come are looked for this often at least.
LOOK_SECONDS = 0.5


def inline(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
    """Do the tasks in this process."""
    return execute(lambda _: Worker(job, "inline"), tasks, workers=1)


def execute(
    make: Callable[[int], AnyWorker], tasks: Sequence[Task], *, workers: int
) -> Generator[Tick | Finished | Crewed]:
    """Do tasks with so many workers of this process, made by `make(number)`.

    Raises:
        JobError: as for `conduct`; or three workers were lost while they started.
    """
    yield from conduct(Threads(make, min(workers, len(tasks))), tasks)


def conduct(fleet: Fleet, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
    """Do tasks with the workers of a fleet, and close it.

    Yields an empty Tick and a Crewed whenever a worker came up, a Crewed whenever one went, and now
    and then while nothing happens.

    Raises:
        JobError: some tasks lost every worker that had them, and all others are done.
    """
    board = Board(tasks)
    try:
        while board.left:
            fleet.want(board.wanted)
            for worker, slips in board.assign(fleet.expected, fleet.deepest):
                fleet.give(worker, slips)
            events = fleet.events(LOOK_SECONDS)
            for event in events:
                yield from board.take(event)
            if not events:
                yield board.crewed()  # nothing is new; whoever waits may want to end it
            if gone := board.leavers():
                for worker in gone:
                    fleet.release(worker)
                yield board.crewed()
        if board.given_up:
            raise JobError("; ".join(board.given_up))
    finally:
        fleet.close()
