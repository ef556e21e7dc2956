"""Run a recipe over an input on Ray: `python -m jobs.analyze INPUT DATASET`.

Ray is a scheduler of idempotent tasks here. What a worker yields is small (names and counts);
pictures and rows never pass through Ray, and what is done is for the dataset to say.
"""
# ruff: noqa: TC001 - typer reads annotations when it runs

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch import crew, settings, terminal
from imgbatch.summary import Request
from imgbatch.terminal import (
    AddInput,
    DatasetUrl,
    DumpName,
    IdColumn,
    Input,
    Json,
    Limit,
    MaxFailed,
    MediaColumn,
    RecipeName,
    Repair,
    Sample,
    Workers,
)
from jobs import hire
from jobs.connect import connect
from jobs.metrics import counted
from jobs.places import need_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from imgbatch.messages import Crewed, Finished, Job, Task, Tick

Address = Annotated[
    str, typer.Option(envvar="RAY_ADDRESS", help="A Ray cluster; local: on this machine.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# The address of a cluster of this machine alone, which ends with the run.
HERE = "local"
OBJECT_STORE_BYTES = 128 * 2**20


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
    dump: DumpName = None,
    media_column: MediaColumn = None,
    id_column: IdColumn = None,
    json: Json = False,
    address: Address = HERE,
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
        dump=dump,
        media_column=media_column,
        id_column=id_column,
        elsewhere=address != HERE,
    )

    def engine(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        return execute(job, tasks, workers=workers, address=address, input=input)

    terminal.analyze(request, engine, as_json=json)


def execute(
    job: Job,
    tasks: Sequence[Task],
    *,
    workers: int,
    address: str,
    input: str | None = None,  # noqa: A002 - the word that users see
) -> Generator[Tick | Finished | Crewed]:
    """Do tasks on Ray actors, wherever the cluster has room for them, now or later.

    Args:
        job: what each worker is told.
        tasks: in any order.
        workers: no more than so many; 0: as many as there is room for.
        address: of the cluster; local: one on this machine that ends with the run.
        input: what the run reads, where that may be a folder that workers must see.

    Raises:
        ClusterError, VersionError: the cluster cannot be reached, or has other versions.
        SettingsError: INPUT or DATASET is a folder that a worker does not see.
        JobError: some tasks lost every worker that had them, and all others are done; or no worker
            came up.
    """
    # Here, not above: nothing to do must not start Ray, nor wait for its import.
    import ray  # noqa: PLC0415 - a run with nothing to do starts no Ray

    from jobs.cluster import Cluster, quiet  # noqa: PLC0415 - a run with nothing to do starts no Ray
    from jobs.fleet import RayFleet  # noqa: PLC0415 - a run with nothing to do starts no Ray

    # It says once per start that the cluster asks for a token, which Ray made by itself.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if address == HERE:
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    connect(address, **options)
    quiet()
    try:
        fleet = RayFleet(
            job,
            need_of(job.recipe, gpus=_gpus(job)),
            most=min(workers or len(tasks), len(tasks)),
            cluster=Cluster(
                local=address == HERE,
                patience=job.limits.cluster_seconds,
                say=partial(typer.echo, err=True),
            ),
            make=partial(hire.worker, hire.terms(input, job.dataset)),
        )
        yield from counted(crew.conduct(fleet, tasks), run=job.run)
    finally:
        ray.shutdown()


def _gpus(job: Job) -> bool:
    """Whether workers get their share of a GPU where they can do without: as the limits say.

    Where they leave it open, the cluster as it is now decides: one that has yet to grow its
    machines with GPUs is told by IMGBATCH_DEVICE=cuda.
    """
    import ray  # noqa: PLC0415 - as in `execute`

    if job.limits.device == "auto":
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call] # Ray's own
        return found.get("GPU", 0) > 0
    return job.limits.device == "cuda"


if __name__ == "__main__":
    terminal.process(app)
