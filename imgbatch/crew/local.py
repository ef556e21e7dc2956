"""The engine of this machine: a run's tasks in this process, or in several where that pays.

Decision, 2026-11: without Ray too a run has processes where that pays, as many as `imgbatch.cores`
says. Drawback: a second way to have workers, and the driver of such a run is one more process.

Decision, 2026-11: the processes of a first run are begun while its input is still listed: half of
their start is over when there is something to do. Drawback: one that is listed in vain begins them
in vain, and only a dataset's first run has it; of a later one most is done already.

Decision, 2026-11: little work is done in this process, which a source that kills ends. So after a
run that did not come to its end the next one has a process, whatever there is to do: it finds that
source. Drawback: after an interruption too, which no source may be to blame for, it starts later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from imgbatch import analyzers
from imgbatch.cores import machine_memory, workers_on
from imgbatch.crew import conduct, inline
from imgbatch.crew.child import Spare
from imgbatch.crew.processes import Processes
from imgbatch.dataset import Dataset
from imgbatch.errors import DamageError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from imgbatch.messages import Crewed, Finished, Job, Task, Tick
    from imgbatch.settings import Limits, Recipe, Settings

# What a process must have to do that is worth the second in which it starts.
WORTH_SOURCES = 500
# What the record of a run says that was not ended by itself.
BROKEN_OFF = ("running", "interrupted")
# What two threads of one process do where two processes do 2.
TWO_THREADS = 1.9


class Local:
    """The engine of this machine.

    Each process reads the script that calls this: it does so below `if __name__ == "__main__":`.

    Args:
        workers: as many processes at most, and not fewer while there are tasks; 1: in this process;
            0: as many as the machine has room for, if each has enough to do, and one at least where
            the dataset's run before this one did not come to its end.
    """

    def __init__(self, workers: int = 0) -> None:
        self._workers = workers
        self._spares: list[Spare] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._take(0)

    def expect(self, recipe: Recipe, limits: Limits, sources: int) -> None:
        """Begin processes for so many sources, which are listed so far and all to be analyzed."""
        count = min(self._workers or _most(recipe, limits), sources // WORTH_SOURCES)
        if count > 1:
            self._spares += [Spare.begin() for _ in range(len(self._spares), count)]

    def __call__(self, job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        """Do the tasks in any order.

        Raises:
            JobError: some tasks lost every worker that had them, and all others are done; or three
                workers in a row were lost while they started.
        """
        count = self._workers or _paying(job, tasks)
        alone = count == 1 and (self._workers == 1 or not _broken_off(job))
        if alone or job.dataset.startswith("memory:"):
            self._take(0)
            yield from inline(job, tasks)
        else:
            # A single task too: who asks for processes may have a source that kills.
            count = min(count, len(tasks))
            yield from conduct(Processes(job, count, self._take(count)), tasks)

    def _take(self, count: int) -> list[Spare]:
        """Return so many processes that were begun, and end the others: they hold memory."""
        taken, others = self._spares[:count], self._spares[count:]
        self._spares = []
        for spare in others:
            spare.end()
        return taken


def _most(recipe: Recipe, limits: Limits) -> int:
    """Return how many processes pay at most."""
    if any(_loads(name, settings) for name, settings in recipe.analyzers.items()):
        return 1  # models compute without the lock, and each process would load them again
    return workers_on(limits.threads, machine_memory(), networks=False)


def _paying(job: Job, tasks: Sequence[Task]) -> int:
    """Return how many processes do the tasks soonest."""
    fresh = [
        work for task in tasks for work in task.works if not set(work.tables) <= {*work.former}
    ]
    # Shards are cut full, by sources or by bytes, but for the last one and those of streams.
    full = sum(work.shard.stream is None for work in fresh) - 1
    heavy = full * job.limits.shard_sources // max(WORTH_SOURCES, job.limits.shard_sources)
    worth = max(heavy, sum(work.shard.sources for work in fresh) // WORTH_SOURCES)
    return max(1, min(_soonest(_most(job.recipe, job.limits), len(tasks)), worth))


def _broken_off(job: Job) -> bool:
    """Return whether the dataset's run before this one died or was interrupted.

    A source may have killed it, or hung it: done in this process, it would end this run too.
    """
    dataset = Dataset.open(job.dataset)
    # By its name, which begins with the time: reading all records would cost a long history.
    before = [name for name in dataset.run_names() if name != f"runs/{job.run}.json"]
    if not before:
        return False
    try:
        return dataset.run_record(before[-1]).get("status") in BROKEN_OFF
    except DamageError:
        return True  # nobody knows how it ended


def _soonest(most: int, tasks: int) -> int:
    """Return how many processes end sooner: one per core, or fewer that share the last tasks.

    Five tasks take four processes two rounds, and two of two threads 1.6.
    """
    half = max(1, most // 2)
    return half if -(-tasks // half) / TWO_THREADS < -(-tasks // most) else most


def _loads(name: str, settings: Settings) -> bool:
    need = analyzers.needs_of(analyzers.load(name), settings)
    return bool(need.gpu or need.gpu_if_any or need.memory)
