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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from imgbatch.crew.fleet import Event, Failed, Leaving, Lost, Up
from imgbatch.crew.order import ATTEMPTS
from imgbatch.errors import JobError
from imgbatch.watch import MachineLostError, WorkerLostError
from jobs.cluster import Cluster
from jobs.places import Machine, Need, placed, told
from jobs.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from imgbatch.pipeline import Job, Task

DEEPEST = 64
POLL_SECONDS = 1.0
LOOK_SECONDS = 1.0
CLOSE_SECONDS = 10.0
# A connection that is broken is tried again so soon.
AGAIN_SECONDS = 1.0
# A process that says nothing for so many times `source_seconds` is ended.
SILENT = 2.0
# Where workers are up, more machines are asked for after so long; where none are, at once.
ASK_SECONDS = 5.0
# Without any worker, this is told so soon, and every so often from then on.
SAY_SECONDS = 5.0
SAY_AGAIN_SECONDS = 60.0
# One call waits for news, one may overtake it, one closes.
CALLS = 4
# What Ray says when its own memory monitor ended a process, and when a machine was lost.
LOW = "low on memory"
GONE = ("node has died", "node was terminated", "node is dead", "NODE_DIED")


@dataclass(slots=True)
class _Hired:
    """One actor of ours.

    Attributes:
        answered: its process runs.
        up: it can be given tasks.
        calls: under way.
        heard: number of the last news of it that we have.
        answer: when its last answer came.
        slips: to be handed over with the next call.
    """

    number: int
    node: str
    actor: Any
    answered: bool = False
    up: bool = False
    leaving: bool = False
    calls: int = 0
    heard: int = 0
    answer: float = 0.0
    slips: dict[int, Task] = field(default_factory=dict)


class RayFleet:
    """The workers of one run.

    Args:
        job: what they are told; their threads are as many as their cores.
        need: of one worker.
        most: no more workers than this.
        local: the cluster is this machine, started by us: it cannot grow.
        patience: seconds without any worker until the run is ended.
        say: tells the user a line.
        make: what a worker process makes of a job; for tests and benchmarks.
    """

    deepest = DEEPEST

    def __init__(
        self,
        job: Job,
        need: Need,
        *,
        most: int,
        local: bool,
        patience: float,
        say: Callable[[str], None],
        make: Callable[..., Any] | None = None,
    ) -> None:
        import ray  # noqa: PLC0415 - nothing to do must not start Ray

        self._ray = ray
        self._cluster = Cluster()
        self._job = job
        self._need = need
        self._most = most
        self._local = local
        self._patience = patience
        self._say = say
        self._make = [] if make is None else [make]
        self._process: Any = ray.remote(WorkerProcess)
        self._hired: dict[int, _Hired] = {}
        self._on: Counter[str] = Counter()
        self._numbers = 0
        self._wanted = most
        self._due: set[int] = set()
        self._later: list[tuple[float, int]] = []
        self._answers: queue.SimpleQueue[tuple[int, dict[int, Task], Any]] = queue.SimpleQueue()
        self._failed_starts: Counter[str] = Counter()
        self._looked = -math.inf
        self._full = time.monotonic()
        self._manned = time.monotonic()
        self._said = -math.inf

    # -- what the crew asks for --------------------------------------------------------------------

    @property
    def expected(self) -> int:
        """How many workers are up or on their way."""
        return len(self._hired)

    def want(self, count: int) -> None:
        """So many workers would have something to do from here."""
        self._wanted = min(count, self._most)

    def give(self, worker: int, slips: Mapping[int, Task]) -> None:
        """Hand over tasks with the next call."""
        if hired := self._hired.get(worker):
            hired.slips.update(slips)
            self._due.add(worker)

    def release(self, worker: int) -> None:
        """Let a worker write its log and go; Ray ends it when nobody holds it any more."""
        if hired := self._hired.get(worker):
            hired.actor.close.remote()
            self._forget(hired)

    def events(self, seconds: float) -> list[Event]:
        """Return what happened; waits so long for the first of it."""
        now = time.monotonic()
        found = self._look(now) if now >= self._looked + LOOK_SECONDS else []
        self._call(now)
        try:
            answers = [self._answers.get(timeout=0 if found else seconds)]
            while not self._answers.empty():
                answers.append(self._answers.get())
        except queue.Empty:
            answers = []
        for answer in answers:
            found += self._answered(*answer)
        return found

    def close(self) -> None:
        """Let all write their logs, those that can, and end them."""
        self._cluster.withdraw()
        closing = [hired.actor.close.remote() for hired in self._hired.values() if hired.up]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        for hired in self._hired.values():
            self._ray.kill(hired.actor)
        self._hired.clear()

    # -- calls and answers -------------------------------------------------------------------------

    def _call(self, now: float) -> None:
        """Ask everyone who is not being asked, or is to be given something."""
        while self._later and self._later[0][0] <= now:
            self._due.add(self._later.pop(0)[1])
        due, self._due = self._due, set()
        for number in due:
            hired = self._hired.get(number)
            if hired is None or (hired.calls and not hired.slips and not hired.leaving):
                continue
            slips, hired.slips = hired.slips, {}
            hired.calls += 1
            asked = hired.actor.exchange.remote(
                hired.heard, slips, leaving=hired.leaving, seconds=POLL_SECONDS
            )
            asked.future().add_done_callback(
                lambda answer, number=number, slips=slips: self._answers.put(
                    (number, slips, answer)
                )
            )

    def _answered(self, number: int, slips: dict[int, Task], answer: Any) -> list[Event]:
        hired = self._hired.get(number)
        if hired is None:
            return []  # we are done with it
        hired.calls -= 1
        exceptions = self._ray.exceptions
        try:
            news = answer.result()
        except exceptions.ActorUnavailableError:
            # Nobody knows whether it came through: the process takes no task twice.
            hired.slips = {**slips, **hired.slips}
            self._later.append((time.monotonic() + AGAIN_SECONDS, number))
            return []
        except exceptions.RayTaskError as error:
            raise error.cause from error
        except exceptions.RayError as error:
            return self._gone(hired, error)
        hired.answered, hired.answer = True, time.monotonic()
        self._manned = hired.answer
        self._due.add(number)
        fresh = [event for at, event in news if at > hired.heard]
        hired.heard = max([hired.heard, *(at for at, _ in news)])
        for event in fresh:
            if isinstance(event, Up):
                hired.up = True
                self._failed_starts.pop(hired.node, None)
            elif isinstance(event, Lost):
                self._end(hired)
        return fresh

    def _gone(self, hired: _Hired, error: Exception) -> list[Event]:
        """Tell of a process that ended by itself, and why."""
        self._forget(hired)
        lost = self._why(hired, error)
        if hired.up:
            return [Lost(hired.number, lost)]
        if getattr(error, "actor_init_failed", False):
            return [Failed(JobError(f"a worker could not be made: {error}"))]
        if hired.answered and not isinstance(lost, MachineLostError):
            self._failed_starts[hired.node] += 1
            if self._failed_starts[hired.node] >= ATTEMPTS and not self._up():
                said = f"{ATTEMPTS} workers were lost while they started: {lost}"
                return [Failed(JobError(said))]
        return []

    def _why(self, hired: _Hired, error: Exception) -> WorkerLostError:
        said = str(error)
        nodes = {machine.node for machine in self._cluster.machines()[0]}
        if (
            getattr(error, "preempted", False)
            or any(words in said for words in GONE)
            or hired.node not in nodes
        ):
            return MachineLostError(f"its machine is gone: {said}")
        silent = time.monotonic() - hired.answer
        if silent > max(self._job.limits.source_seconds, POLL_SECONDS):
            return WorkerLostError("the worker did not answer, and then ended", "hang")
        short = isinstance(error, self._ray.exceptions.OutOfMemoryError) or LOW in said
        return WorkerLostError(said, "memory" if short else "crash")

    def _up(self) -> bool:
        return any(hired.up for hired in self._hired.values())

    def _end(self, hired: _Hired) -> None:
        self._ray.kill(hired.actor)
        self._forget(hired)

    def _forget(self, hired: _Hired) -> None:
        if self._hired.pop(hired.number, None):
            self._on[hired.node] -= 1

    # -- machines ----------------------------------------------------------------------------------

    def _look(self, now: float) -> list[Event]:
        """See what became of the machines, and have workers wherever there is room for them."""
        self._looked = now
        machines, draining = self._cluster.machines()
        usable = [
            machine
            for machine in machines
            if machine.node not in draining and self._failed_starts[machine.node] < ATTEMPTS
        ]
        found = self._leave(draining) + self._hanging(now)
        lacking = self._start(placed(usable, self._need, self._most))
        self._ask(now, machines, lacking)
        return found

    def _start(self, places: Mapping[str, list[int]]) -> int:
        """Start workers where there is room; returns how many more would have something to do."""
        for node, cores in places.items():
            for core in sorted(cores)[: max(0, len(cores) - self._on[node])]:
                if len(self._hired) < self._wanted:
                    self._hire(node, core)
        return self._wanted - len(self._hired)

    def _hire(self, node: str, cores: int) -> None:
        limits = self._job.limits
        # What the user did not limit is this machine's number of cores, and that one is another.
        threads = min(limits.threads, cores) if "threads" in limits.model_fields_set else cores
        job = _with_threads(self._job, threads)
        self._numbers += 1
        number = self._numbers
        where = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        # A restarted actor would hide a crash: the crew counts each one instead.
        actor = self._process.options(
            num_cpus=cores,
            num_gpus=self._need.gpu,
            memory=self._need.memory or None,
            max_concurrency=CALLS,
            max_restarts=0,
            scheduling_strategy=where(node, soft=False),
        ).remote(job, number, *self._make)
        self._hired[number] = _Hired(number, node, actor)
        self._on[node] += 1
        self._due.add(number)

    def _leave(self, draining: Iterable[str]) -> list[Event]:
        """Give nothing more to workers on machines that are about to go."""
        nodes = {node for node in draining if self._on[node]}
        if not nodes:
            return []
        found: list[Event] = []
        for hired in [h for h in self._hired.values() if h.node in nodes and not h.leaving]:
            if hired.up:
                hired.leaving = True
                self._due.add(hired.number)
                found.append(Leaving(hired.number))
            else:
                self._end(hired)
        return found

    def _hanging(self, now: float) -> list[Event]:
        """End processes that do not answer: those that hang in foreign code, or were stopped."""
        limit = SILENT * self._job.limits.source_seconds + POLL_SECONDS
        found: list[Event] = []
        for hired in [h for h in self._hired.values() if h.up and now - h.answer > limit]:
            self._end(hired)
            found.append(Lost(hired.number, WorkerLostError("the worker does not answer", "hang")))
        return found

    def _ask(self, now: float, machines: list[Machine], lacking: int) -> None:
        """Ask the cluster for more where tasks outnumber workers.

        Raises:
            JobError: no worker is up after all that time, or none can ever be.
        """
        manned = sum(hired.answered for hired in self._hired.values())
        if lacking <= 0:
            self._full = now
        if not self._local:
            # As many again as there are: what the cluster cannot give costs no more than that.
            soon = not self._hired or now - self._full > ASK_SECONDS
            self._cluster.ask(
                self._need, min(lacking, max(1, manned)) if soon and lacking > 0 else 0
            )
        if manned:
            self._manned = now
            return
        waited = now - self._manned
        said = f"each worker needs {self._need}; the cluster has {told(machines)}"
        if self._local and not self._hired:
            raise JobError(
                f"no worker can run here: {said}",
                "Run on a cluster that has it (--address), or leave out the analyzer that asks.",
            )
        if waited > self._patience:
            raise JobError(
                f"no worker came up in {waited:.0f} s: {said}",
                "`ray status` says what the cluster does; IMGBATCH_CLUSTER_SECONDS is the limit."
                " Run the same command again: only the undone shards are computed.",
            )
        if waited > SAY_SECONDS and now - self._said > SAY_AGAIN_SECONDS:
            self._said = now
            self._say(f"waiting for workers: {said}")


def _with_threads(job: Job, threads: int) -> Job:
    return replace(job, limits=job.limits.model_copy(update={"threads": threads}))
