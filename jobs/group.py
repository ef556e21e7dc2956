"""Label rows of tables, with Ray for what is too much: `python -m jobs.group DATASET NAME`.

Ray starts only where a grouper asks for work on more rows than one call takes. Workers read the
parts themselves; what comes back is what the grouper made of them.
"""
# ruff: noqa: TC001 - typer reads annotations when it runs

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from imgbatch import terminal
from imgbatch.dataset import ordered
from imgbatch.errors import ImgbatchError, JobError
from imgbatch.grouping import Wish, settings_of
from imgbatch.terminal import Anew, DatasetUrl, Grouper, Json, LabelName, Sets
from jobs.analyze import OBJECT_STORE_BYTES, Address
from jobs.connect import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# Slices that wait for a worker beyond those that are worked on.
AHEAD = 2


@app.command()
def group(
    dataset: DatasetUrl,
    grouper: Grouper,
    *,
    sets: Sets = None,
    name: LabelName = "",
    anew: Anew = False,
    json: Json = False,
    address: Address = "local",
) -> None:
    """Label rows of DATASET's tables, on Ray where there are many."""
    wish = Wish(dataset, grouper, settings_of(sets or ()), name, anew=anew, engine="ray")
    terminal.group(wish, partial(spread, address=address), as_json=json)


def spread(
    function: Callable[[pa.RecordBatch], pa.Table],
    slices: Sequence[ordered.Slice],
    *,
    address: str = "local",
) -> Iterator[pa.Table]:
    """Yield what a function makes of each slice, by tasks on a Ray cluster.

    Raises:
        ClusterError, VersionError: the cluster cannot be reached, or has other versions.
        JobError: a worker was lost, several times.
    """
    if len(slices) == 1 and address == "local":
        yield from ordered.here(function, slices)
        return
    import ray  # noqa: PLC0415 - small tables must not start Ray

    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    if not ray.is_initialized():
        connect(address, **options)
    task = ray.remote(num_cpus=1, max_retries=3)(ordered.apply)
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call] # Ray's own
    waiting: list[Any] = []
    try:
        for piece in slices:
            waiting.append(task.remote(function, piece))
            if len(waiting) >= workers + AHEAD:
                done, waiting = ray.wait(waiting, num_returns=1)
                yield ray.get(done[0])
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1)
            yield ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ImgbatchError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise JobError(f"a worker was lost while it labelled rows: {error}") from error


if __name__ == "__main__":
    terminal.process(app)
