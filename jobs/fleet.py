"""Workers on a Ray cluster: started where there is room, heard, let go; machines come and go.

    started -- its process answers, its analyzers are loaded --> up --> leaving (its machine is
       |                                                         |      drained) --> released
       +-- three times on one machine: that one is left alone    +-- lost: its process ended, hangs,
                                                                     or went with its machine

Every worker is an actor (`jobs.process`) with one call under way that waits for news; its answer
comes by callback into one queue. So nothing here waits for a single worker, up or not, and nothing
looks at all of them but `_look`, once a second.

The actors are this process's own: Ray ends them when it ends, however it does.
"""

from __future__ import annotations

import math
import queue
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import ray

from imgbatch.crew.fleet import Event, Failed, Leaving, Lost
from imgbatch.crew.order import ATTEMPTS
from imgbatch.errors import JobError
from imgbatch.watch import MachineLostError, WorkerLostError
from jobs import hire
from jobs.actor import Actor, Answer
from jobs.places import Need, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from imgbatch.messages import Job, Task
    from jobs.cluster import Cluster

DEEPEST = 64
LOOK_SECONDS = 1.0
CLOSE_SECONDS = 10.0
# A connection that is broken is tried again so soon.
AGAIN_SECONDS = 1.0


class RayFleet:
    """The workers of one run.

    Args:
        job: what they are told.
        need: of one worker, beside its cores.
        most: no more workers than this.
        cluster: where they are.
        make: what a worker process makes of a job, where that is no `pipeline.Worker`.
    """

    deepest = DEEPEST

    def __init__(
        self,
        job: Job,
        need: Need,
        *,
        most: int,
        cluster: Cluster,
        make: Callable[..., Any] | None = None,
    ) -> None:
        self._cluster = cluster
        self._job = job
        self._need = need
        self._most = self._wanted = most
        self._make = make
        self._actors: dict[int, Actor] = {}
        self._on: Counter[str] = Counter()
        self._numbers = 0
        self._due: set[int] = set()
        self._later: list[tuple[float, int]] = []
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._failed_starts: Counter[str] = Counter()
        self._looked = -math.inf

    @property
    def expected(self) -> int:
        """How many workers are up or on their way."""
        return len(self._actors)

    def want(self, count: int) -> None:
        """So many workers would have something to do from here."""
        self._wanted = min(count, self._most)

    def give(self, worker: int, slips: Mapping[int, Task]) -> None:
        """Hand over tasks with the next call."""
        if actor := self._actors.get(worker):
            actor.give(slips)
            self._due.add(worker)

    def release(self, worker: int) -> None:
        """Let a worker write its log and go; Ray ends it when nobody holds it any more."""
        if actor := self._actors.get(worker):
            actor.close()
            self._forget(actor)

    def events(self, seconds: float) -> list[Event]:
        """Return what happened; waits so long for the first of it.

        Raises:
            JobError: the cluster has had no room for a worker for too long.
        """
        now = time.monotonic()
        found = self._look(now) if now >= self._looked + LOOK_SECONDS else []
        while self._later and self._later[0][0] <= now:
            self._due.add(self._later.pop(0)[1])
        due, self._due = self._due, set()
        for number in due:
            if actor := self._actors.get(number):
                actor.call(self._answers.put)
        try:
            found += self._answered(self._answers.get(timeout=0 if found else seconds))
            while True:
                found += self._answered(self._answers.get_nowait())
        except queue.Empty:
            return found

    def close(self) -> None:
        """Let those write their logs that can, and end them all."""
        self._cluster.ask(self._need, 0)
        closing = [actor.close() for actor in self._actors.values() if actor.up]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        for actor in self._actors.values():
            actor.kill()
        self._actors.clear()

    # -- answers -----------------------------------------------------------------------------------

    def _answered(self, answer: Answer) -> list[Event]:
        actor = self._actors.get(answer.actor)
        if actor is None:
            return []  # we are done with it
        try:
            news = actor.read(answer)
        except ray.exceptions.RayError as error:
            return self._gone(actor, error, answer.at)
        if news is None:
            self._later.append((time.monotonic() + AGAIN_SECONDS, actor.number))
            return []
        self._due.add(actor.number)
        if actor.up:
            self._failed_starts.pop(actor.node, None)
        if any(isinstance(event, Lost) for event in news):
            self._end(actor)  # by its own guard: a source overran a limit
        return news

    def _gone(self, actor: Actor, error: Exception, at: float) -> list[Event]:
        """Tell of a process that ended by itself, and why."""
        self._forget(actor)
        machine_up = any(m.node == actor.node for m in self._cluster.machines()[0])
        lost = actor.why(error, at, machine_up=machine_up)
        if actor.up:
            return [Lost(actor.number, lost)]
        if other := hire.absent(str(error)):
            return [Failed(other)]
        if getattr(error, "actor_init_failed", False):
            return [Failed(JobError(f"a worker could not be made: {error}"))]
        if not isinstance(lost, MachineLostError):
            self._failed_starts[actor.node] += 1
            if self._failed_starts[actor.node] >= ATTEMPTS and not self._up():
                said = f"{ATTEMPTS} workers were lost while they started: {lost}"
                return [Failed(JobError(said))]
        return []

    def _up(self) -> bool:
        return any(actor.up for actor in self._actors.values())

    def _end(self, actor: Actor) -> None:
        actor.kill()
        self._forget(actor)

    def _forget(self, actor: Actor) -> None:
        if self._actors.pop(actor.number, None):
            self._on[actor.node] -= 1
            self._looked = -math.inf  # there may be room for another one

    # -- machines ----------------------------------------------------------------------------------

    def _look(self, now: float) -> list[Event]:
        """See what became of the machines, and have workers wherever there is room for them."""
        self._looked = now
        machines, draining = self._cluster.machines()
        found = [*self._leave(draining), *self._hanging(now)]
        usable = [
            machine
            for machine in machines
            if machine.node not in draining and self._failed_starts[machine.node] < ATTEMPTS
        ]
        for node, cores in placed(usable, self._need, self._most).items():
            for share in sorted(cores)[: max(0, len(cores) - self._on[node])]:
                if len(self._actors) < self._wanted:
                    self._start(node, share)
        self._cluster.reckon(
            self._need,
            lacking=self._wanted - len(self._actors),
            started=len(self._actors),
            running=sum(actor.answered for actor in self._actors.values()),
            up=sum(actor.up for actor in self._actors.values()),
        )
        return found

    def _start(self, node: str, cores: int) -> None:
        self._numbers += 1
        actor = Actor(
            self._job, self._numbers, node=node, cores=cores, need=self._need, make=self._make
        )
        self._actors[actor.number] = actor
        self._on[node] += 1
        self._due.add(actor.number)

    def _leave(self, draining: Collection[str]) -> list[Event]:
        """Give nothing more to workers on machines that are about to go."""
        if not any(self._on[node] for node in draining):
            return []
        found: list[Event] = []
        for actor in [a for a in self._actors.values() if a.node in draining and not a.leaving]:
            if actor.up:
                actor.leave()
                self._due.add(actor.number)
                found.append(Leaving(actor.number))
            else:
                self._end(actor)
        return found

    def _hanging(self, now: float) -> list[Event]:
        """End processes that do not answer: those that hang in foreign code, or were stopped."""
        found: list[Event] = []
        for actor in [a for a in self._actors.values() if a.hangs(now)]:
            self._end(actor)
            hangs = WorkerLostError("the worker does not answer", "hang")
            found.append(Lost(actor.number, hangs))
        return found
