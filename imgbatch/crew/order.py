"""One task from its first worker to its last: what is left of it, and who was lost on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import SOURCES
from imgbatch.messages import Finished, Poison, Task, Tick
from imgbatch.poison import hunt
from imgbatch.watch import MachineLostError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from imgbatch.dataset.plan import Work
    from imgbatch.messages import Stage
    from imgbatch.watch import Reason, WorkerLostError

# Workers lost on a task before it is searched, and before it is given up.
LOST_TWICE, ATTEMPTS = 2, 3
# Machines lost under a task before that is held against it: it may be what takes them down.
MACHINES = 8


@dataclass(slots=True)
class Run:
    """A task under way in one worker.

    Attributes:
        since: when it was given out.
        heard: what it tells is passed on; of two runs of a task one is heard.
        told: of the shard under way, so that it can be taken back or be passed on later.
    """

    worker: int
    since: float
    heard: bool
    told: list[Tick] = field(default_factory=list)


@dataclass(slots=True)
class Order:
    """A task, what is left of it, and what is known of the workers that were lost on it.

    Attributes:
        attempts: processes lost on it since it was last searched with success.
        machines: machines lost under it.
        runs: by slip; a second one where the first is slow.
        probe: the trial that it is searched with now.
        over: it needs no more runs.
    """

    task: Task
    attempts: int = 0
    machines: int = 0
    finished: set[str] = field(default_factory=set)
    suspects: set[tuple[str, int]] = field(default_factory=set)
    poisons: list[Poison] = field(default_factory=list)
    runs: dict[int, Run] = field(default_factory=dict)
    search: Generator[Task, Reason | None, list[Poison]] | None = None
    probe: Task | None = None
    over: bool = False

    @property
    def left(self) -> Task:
        """The shards that have not come back."""
        works = tuple(w for w in self.task.works if w.shard.name not in self.finished)
        return Task(works, poisons=(*self.task.poisons, *self.poisons))

    @property
    def next(self) -> Task:
        """What a worker is to do for it."""
        return self.probe or self.left

    @property
    def alone(self) -> bool:
        """Whether it is to have its worker for itself."""
        return self.attempts > 0 or self.probe is not None

    def begin(self, slip: int, worker: int, now: float) -> None:
        """Be under way in a worker, maybe in one more."""
        heard = not any(run.heard for run in self.runs.values())
        self.runs[slip] = Run(worker, now, heard)

    def hear(self, slip: int, said: Tick | Finished) -> list[Tick | Finished]:
        """Return what is to be passed on of what a run tells."""
        run = self.runs[slip]
        if self.probe is not None:
            return []
        if isinstance(said, Tick):
            run.told.append(said)
            return [said] if run.heard else []
        told, run.told = run.told, []
        if said.shard.name in self.finished:
            # Another run was first, and may be lost since.
            return [_opposite(tick) for tick in told] if run.heard else []
        self.finished.add(said.shard.name)
        if run.heard:
            return [said]
        run.heard = True
        return [*self._hush(besides=run), *told, said]

    def _hush(self, besides: Run) -> list[Tick | Finished]:
        """Take back what the other run told of the shard that this one was first with."""
        taken: list[Tick | Finished] = []
        for run in self.runs.values():
            if run is not besides and run.heard:
                run.heard = False
                taken += [_opposite(tick) for tick in run.told]
        return taken

    def drop(self, slip: int) -> list[Tick]:
        """Have a run less; what it told of the shard under way is told again by another one."""
        run = self.runs.pop(slip)
        if not run.heard or self.probe is not None:
            return []
        taken = [_opposite(tick) for tick in run.told]
        for other in self.runs.values():
            other.heard = True
            return [*taken, *other.told]
        return taken

    def excuses(self, error: WorkerLostError) -> bool:
        """Whether a loss is not this task's fault."""
        if not isinstance(error, MachineLostError):
            return False
        self.machines += 1
        return self.machines <= MACHINES

    def blame(self, error: WorkerLostError) -> None:
        """Take note of a lost worker, and begin to search where that is called for."""
        own = {work.shard.name for work in self.left.works}
        self.attempts += 1
        self.suspects = {(shard, place) for shard, place in error.suspects if shard in own}
        if self.attempts == LOST_TWICE or (self.attempts == 1 and self.suspects):
            self.search = _searched(self.left, self.suspects)
            self.answer(None)

    def answer(self, reason: Reason | None) -> None:
        """Tell the search how its trial ended: None when it came through."""
        assert self.search is not None, "only a task that is searched has trials"
        try:
            self.probe = self.search.send(reason)
        except StopIteration as end:
            self.search = self.probe = None
            if end.value:
                self.poisons += end.value
                self.attempts = 0


def _searched(
    task: Task, suspects: set[tuple[str, int]]
) -> Generator[Task, Reason | None, list[Poison]]:
    """Return the sources of the first shard that has any which kill workers; yields trials."""
    for work in task.works:
        name = work.shard.name
        known = {poison.place for poison in task.poisons if poison.shard == name}
        places = [place for place in range(work.shard.sources) if place not in known]
        near = sorted(place for shard, place in suspects if shard == name)
        found = yield from hunt(places, near, partial(_trial, work))
        poisons = []
        for place, reason in found.items():
            decoding = replace(work, tables=(SOURCES,))
            died = yield _trial(decoding, [place])
            stage: Stage = "decode" if died else "analyze"
            poisons.append(Poison(name, place, reason, stage))
        if poisons:
            return poisons
    return []


def _trial(work: Work, places: Sequence[int]) -> Task:
    return Task((work,), only=frozenset(places))


def _opposite(tick: Tick) -> Tick:
    """Return the tick that takes another one back, whatever it counts."""
    return Tick(*(_negative(getattr(tick, counted.name)) for counted in fields(tick)))


def _negative(counted: Any) -> Any:
    if isinstance(counted, Mapping):
        return {name: -count for name, count in counted.items()}
    return -counted
