"""One worker process as the driver sees it: calls to it, what its answers say, and why it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray

from imgbatch.crew.fleet import Up
from imgbatch.watch import MachineLostError, WorkerLostError
from jobs.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgbatch.crew.fleet import Event
    from imgbatch.messages import Job, Task
    from jobs.places import Need

# A process in which any thread can run answers a call after so long, whether there is news or not.
POLL_SECONDS = 1.0
# A process that leaves a call unanswered for so many times `source_seconds` is ended.
SILENT = 2.0
# One call waits for news, one may overtake it, one closes.
CALLS = 4
# What Ray says when its own memory monitor ended a process, and when a machine was lost.
LOW = "low on memory"
GONE = ("node has died", "node was terminated", "node is dead")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call to an actor.

    Attributes:
        actor: its number.
        slips: the tasks that were handed over with the call.
        future: the news, or why there are none.
        at: when it came, whenever it is looked at.
    """

    actor: int
    slips: Mapping[int, Task]
    future: Any
    at: float


class Actor:
    """A worker process on a node of the cluster, from when it is asked for.

    Args:
        job: what the worker is told; its threads are as many as its cores, or as the user limits.
        number: of this process.
        node: where it is to be.
        cores: of that node, for it alone.
        need: what else it takes of it.
        make: what the process makes of the job, where that is no `pipeline.Worker`.

    Attributes:
        answered: its process runs.
        up: it can be given tasks.
        leaving: it is to end what it is at, and to be given nothing more.
    """

    def __init__(
        self,
        job: Job,
        number: int,
        *,
        node: str,
        cores: int,
        need: Need,
        make: Callable[..., Any] | None,
    ) -> None:
        self.number = number
        self.node = node
        self.answered = self.up = self.leaving = False
        self._source_seconds = job.limits.source_seconds
        self._slips: dict[int, Task] = {}
        self._calls = 0
        self._heard = 0
        self._asked = 0.0
        self._hurry = False
        remote: Any = ray.remote(WorkerProcess)
        where = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        # A restarted actor would hide a crash: the crew counts each one instead.
        self._actor = remote.options(
            num_cpus=cores,
            num_gpus=need.gpu,
            memory=need.memory or None,
            max_concurrency=CALLS,
            max_restarts=0,
            scheduling_strategy=where(node, soft=False),
        ).remote(_with_threads(job, cores), number, *([] if make is None else [make]))

    def give(self, slips: Mapping[int, Task]) -> None:
        """Have tasks handed over with the next call."""
        self._slips.update(slips)

    def leave(self) -> None:
        """Have it give back what it has not begun, with the next call."""
        self.leaving = self._hurry = True

    def call(self, answered: Callable[[Answer], None]) -> None:
        """Ask for news, unless that is under way and there is nothing to hand over."""
        if self._calls and not self._slips and not self._hurry:
            return
        slips, self._slips, self._hurry = self._slips, {}, False
        self._calls += 1
        self._asked = time.monotonic()
        call = self._actor.exchange.remote(
            self._heard, slips, leaving=self.leaving, seconds=POLL_SECONDS
        )

        def done(future: Any) -> None:
            answered(Answer(self.number, slips, future, time.monotonic()))

        call.future().add_done_callback(done)

    def read(self, answer: Answer) -> list[Event] | None:
        """Return the news of an answer; None where the call did not come through, or half.

        Raises:
            RayError: the process is gone.
        """
        self._calls -= 1
        try:
            news = answer.future.result()
        except ray.exceptions.ActorUnavailableError:
            # Handed over again: the process takes no task twice, and keeps what we have not heard.
            self._slips = {**answer.slips, **self._slips}
            return None
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        self.answered = True
        fresh = [event for at, event in news if at > self._heard]
        self._heard = max([self._heard, *(at for at, _ in news)])
        self.up = self.up or any(isinstance(event, Up) for event in fresh)
        return fresh

    def hangs(self, now: float) -> bool:
        """Whether a call is unanswered for longer than any source may take."""
        limit = SILENT * self._source_seconds + POLL_SECONDS
        return self.up and self._calls > 0 and now - self._asked > limit

    def why(self, error: Exception, at: float, *, machine_up: bool) -> WorkerLostError:
        """Return why the process ended, by what Ray says.

        Decision, 2026-11: whether its machine went with it is read from Ray's words, which is all
        that the error carries, and from whether the node is up. Drawback: where neither tells, it
        counts as a crash, which costs a task one of three attempts, alone in its worker.
        """
        said = str(error)
        preempted = getattr(error, "preempted", False)
        if preempted or not machine_up or any(words in said for words in GONE):
            return MachineLostError(f"its machine is gone: {said}")
        if at - self._asked > max(self._source_seconds, 1.2 * POLL_SECONDS):
            # No thread of it could run any more: its own clock ended it (imgbatch.watch).
            return WorkerLostError("the worker did not answer, and then ended", "hang")
        short = isinstance(error, ray.exceptions.OutOfMemoryError) or LOW in said
        return WorkerLostError(said, "memory" if short else "crash")

    def close(self) -> Any:
        """Have it end its threads and write the rest of its log; returns what to wait for."""
        return self._actor.close.remote()

    def kill(self) -> None:
        """End the process."""
        ray.kill(self._actor)


def _with_threads(job: Job, cores: int) -> Job:
    limits = job.limits
    # What the user did not limit is this machine's number of cores, and that one is another.
    threads = min(limits.threads, cores) if "threads" in limits.model_fields_set else cores
    return replace(job, limits=limits.model_copy(update={"threads": threads}))
