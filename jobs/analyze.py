"""Run a recipe over an input on Ray: `python -m jobs.analyze INPUT DATASET`.

Ray is a scheduler of idempotent tasks here. What a worker yields is small (names and counts);
pictures and rows never pass through Ray, and what is done is for the dataset to say.
"""
# ruff: noqa: TC001 - typer reads annotations when it runs

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch import crew, settings, terminal
from imgbatch.pipeline import Finished, Job, Task, Tick
from imgbatch.release import release
from imgbatch.summary import Request
from imgbatch.terminal import (
    AddInput,
    DatasetUrl,
    Input,
    Json,
    Limit,
    MaxFailed,
    RecipeName,
    Repair,
    Sample,
    Workers,
)
from imgbatch.watch import WorkerLostError
from jobs import hire
from jobs.connect import connect

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

Address = Annotated[
    str, typer.Option(envvar="RAY_ADDRESS", help="A Ray cluster; local: on this machine.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# Python's interpreter lock lets two decoding threads run nearly side by side, and eight not: on
# four cores two processes of two threads did 1.2 times the pictures of one with four.
CORES_PER_WORKER = 2
OBJECT_STORE_BYTES = 128 * 2**20
# What Ray says when its own memory monitor ended a process.
LOW = "low on memory"


@app.command()
def analyze(  # noqa: PLR0913 - one argument per flag
    input: Input,  # noqa: A002 - the word that users see
    dataset: DatasetUrl,
    *,
    recipe: RecipeName = "quick",
    workers: Workers = 0,
    limit: Limit = None,
    sample: Sample = None,
    max_failed: MaxFailed = None,
    repair: Repair = False,
    add_input: AddInput = False,
    json: Json = False,
    address: Address = "local",
) -> None:
    """Bring DATASET up to date with INPUT and a recipe, on Ray."""
    request = Request(
        input=input,
        dataset=dataset,
        recipe=settings.recipe_text(recipe),
        engine="ray",
        limit=limit,
        share=sample,
        max_failed=terminal.max_failed(max_failed),
        repair=repair,
        add_input=add_input,
    )

    def engine(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        return execute(job, tasks, workers=workers, address=address, input=input)

    terminal.analyze(request, engine, as_json=json)


def execute(
    job: Job,
    tasks: Sequence[Task],
    *,
    workers: int,
    address: str,
    input: str | None = None,  # noqa: A002 - the word that users see
) -> Generator[Tick | Finished]:
    """Do tasks on Ray actors.

    Raises:
        ClusterError, VersionError: the cluster cannot be reached, or has other versions.
        SettingsError: INPUT or DATASET is a folder that a worker does not see.
        JobError: some tasks lost every worker that had them, and all others are done.
    """
    import ray  # noqa: PLC0415 - nothing to do must not start Ray

    # It says once per start that the cluster asks for a token, which Ray made by itself.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    connect(address, **options)
    try:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call] # ray leaves it bare
        cores = int(resources["CPU"])
        count = min(workers or max(1, cores // CORES_PER_WORKER), len(tasks))
        share = max(1, cores // count)
        limits = job.limits.model_copy(update={"threads": min(job.limits.threads, share)})
        job = replace(job, limits=limits)
        yield from crew.execute(
            lambda n: Actor(job, n, cores=share, input=input), tasks, workers=count
        )
    finally:
        ray.shutdown()


class Actor:
    """A worker in a process of its own, somewhere on the cluster.

    Raises:
        WorkerLostError: its process was killed before it was up.
        VersionError, SettingsError: it is not like the driver (`jobs.hire`).
    """

    def __init__(self, job: Job, number: int, *, cores: int, input: str | None = None) -> None:  # noqa: A002 - as above
        import ray  # noqa: PLC0415 - as above

        self._ray = ray
        # A restarted actor would hide a crash: crew.py counts each one instead.
        # Beside the tasks: its guard, and one call that asks whether it lives or ends it.
        calls = crew.SIDE_BY_SIDE + 2
        options = {"num_cpus": cores, "max_concurrency": calls, "max_restarts": 0}
        remote: Any = ray.remote(hire.Worker)
        driver, seen = release().record(), hire.seen(input, job.dataset)
        self._actor = remote.options(**options).remote(job, f"ray-{number}", driver, seen)
        # Answers when the process is up and its analyzers are loaded, or raises what went wrong.
        try:
            hire.refuse_unlike(*ray.get(self._actor.told.remote()))
        except ray.exceptions.RayError as error:
            if other := hire.absent(str(error)):
                raise other from error
            if not isinstance(error, ray.exceptions.RayActorError):
                raise
            if error.actor_init_failed:
                raise
            raise WorkerLostError(str(error)) from error
        self._guard = self._actor.guard.remote()
        self._silence = job.limits.source_seconds

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        """Do a task.

        Raises:
            WorkerLostError: the actor died, or was ended because a source overran a limit.
        """
        try:
            events = self._actor.work.options(num_returns="streaming").remote(task)
            while True:
                self._wait(events)
                try:
                    event = next(events)
                except StopIteration:
                    return
                yield self._ray.get(event)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.OutOfMemoryError) as error:
            raise self._lost(error) from error
        except self._ray.exceptions.RayTaskError as error:
            # What the worker raised, as it raised it: our own errors keep class and remedy.
            raise error.cause from error

    def _wait(self, events: Any) -> None:
        """Wait for the next event of a task.

        Raises:
            WorkerLostError: a source overran a limit, or the process does not answer; it is ended.
            RayActorError: the process died.
        """
        while True:
            ready, _ = self._ray.wait([self._guard, events], timeout=self._silence)
            if events in ready:
                return
            if self._guard in ready and (found := self._ray.get(self._guard)):
                self._ray.kill(self._actor)
                raise found
            if not ready and not self._answers():
                self._ray.kill(self._actor)
                raise WorkerLostError("the worker does not answer", "hang")

    def _answers(self) -> bool:
        """Ask the process for a sign of life: one that hangs in foreign code gives none."""
        asked = self._actor.__ray_ready__.remote()
        if not self._ray.wait([asked], timeout=self._silence)[0]:
            return False
        try:
            self._ray.get(asked)
        except self._ray.exceptions.RayActorError:
            return False  # its clock ended it (imgbatch.watch)
        return True

    def _lost(self, error: Exception) -> WorkerLostError:
        """Return why the process ended: what its guard said last, or what Ray knows."""
        if self._ray.wait([self._guard], timeout=0)[0]:
            try:
                if found := self._ray.get(self._guard):
                    return WorkerLostError(str(found), found.reason, found.suspects)
            except self._ray.exceptions.RayError:
                pass  # it died before it could say anything
        short = isinstance(error, self._ray.exceptions.OutOfMemoryError) or LOW in str(error)
        return WorkerLostError(str(error), "memory" if short else "crash")

    def close(self) -> None:
        """Write the rest of the log, then end the process."""
        try:
            self._ray.get(self._actor.close.remote())
        except self._ray.exceptions.RayActorError:
            return  # it is gone: that is what was wanted
        self._ray.kill(self._actor)


if __name__ == "__main__":
    terminal.guarded(app)
