"""Tasks to workers: who is given which, whatever a worker is and wherever it is.

A worker is a `pipeline.Worker` in this process, or one in a process of its own on this machine
(`crew.processes`) or on Ray's (`jobs.fleet`). When one is lost, its tasks are done again by others,
without the shards that came back already, each alone in its worker and after all others. A task
that is lost then too is searched for sources that kill (`imgbatch.poison`); these get an outcome
that says so, and the rest is done. A machine that goes away is held against no task. `crew.board`
draws all of it.

In this process (`inline`) a source that kills ends the run by nature, and one that hangs hangs it:
the same command with `--workers 2`, or on Ray, finds and quarantines it.

Decision, 2026-11: one loop asks a fleet for events and hands out tasks; a board keeps the books.
It was a thread per worker and task before, each waiting for its worker: a worker that did not come
up held its threads, none could be added, and a thousand of them would have been two thousand
threads. Drawback: the search for sources that kill is a generator that is sent answers, not a loop.

Decision, 2026-11: without Ray too a run has processes where that pays (`local`). Threads that
decode side by side wait for Python's lock at every call into a library: on four cores one process
of four threads did 0.76 times the pictures of a bare loop, two of two threads 0.85 times, their
start included (20,000 pictures). Drawback: a second way to have workers, and the driver of such a
run is one more process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch import analyzers
from imgbatch.crew.board import SIDE_BY_SIDE, Board
from imgbatch.crew.order import ATTEMPTS
from imgbatch.crew.processes import Processes
from imgbatch.crew.threads import AnyWorker, Threads
from imgbatch.errors import JobError
from imgbatch.pipeline import Worker
from imgbatch.watch import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from imgbatch.crew.fleet import Fleet
    from imgbatch.messages import Crewed, Finished, Job, Task, Tick
    from imgbatch.settings import Settings

__all__ = [
    "ATTEMPTS",
    "SIDE_BY_SIDE",
    "AnyWorker",
    "WorkerLostError",
    "conduct",
    "execute",
    "inline",
    "local",
]

# Python's interpreter lock lets two decoding threads run nearly side by side, and eight not.
CORES_PER_WORKER = 2
# What a process must have to do that is worth the second in which it starts.
WORTH_SOURCES = 500

# Workers that are slow, leave or come are looked for this often at least.
LOOK_SECONDS = 0.5


def inline(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
    """Do the tasks in this process."""
    return execute(lambda _: Worker(job, "inline"), tasks, workers=1)


def local(
    job: Job, tasks: Sequence[Task], *, workers: int = 0
) -> Generator[Tick | Finished | Crewed]:
    """Do the tasks on this machine: in this process, or in several where that pays.

    Args:
        job: what each worker is told; its limit of threads is of all of them together.
        tasks: in any order.
        workers: as many processes at most, and not fewer while there are tasks; 1: in this process;
            0: one for every two threads, if each has enough to do. Each process reads the script
            that calls this: it does so below `if __name__ == "__main__":`.

    Raises:
        JobError: some tasks lost every worker that had them, and all others are done; or three
            workers in a row were lost while they started.
    """
    count = workers or _paying(job, tasks)
    if count == 1 or job.dataset.startswith("memory:"):
        yield from inline(job, tasks)
    else:
        # A single task too: who asks for processes may have a source that kills.
        yield from conduct(Processes(job, min(count, len(tasks))), tasks)


def _paying(job: Job, tasks: Sequence[Task]) -> int:
    """Return how many processes do the tasks soonest."""
    if any(_loads(name, settings) for name, settings in job.recipe.analyzers.items()):
        return 1  # models compute without the lock, and each process would load them again
    fresh = [
        work for task in tasks for work in task.works if not set(work.tables) <= {*work.former}
    ]
    # Shards are cut full, by sources or by bytes, but for the last one and those of streams.
    full = sum(work.shard.stream is None for work in fresh) - 1
    heavy = full * job.limits.shard_sources // max(WORTH_SOURCES, job.limits.shard_sources)
    worth = max(heavy, sum(work.shard.sources for work in fresh) // WORTH_SOURCES)
    return max(1, min(job.limits.threads // CORES_PER_WORKER, worth))


def _loads(name: str, settings: Settings) -> bool:
    need = analyzers.needs_of(analyzers.load(name), settings)
    return bool(need.gpu or need.gpu_if_any or need.memory)


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
