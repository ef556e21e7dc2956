"""Do the failed sources of a dataset again on Ray: `python -m jobs.retry DATASET --class CLASS`."""
# ruff: noqa: TC001 - typer reads annotations when it runs

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from imgbatch import terminal
from imgbatch.retry import Again
from imgbatch.terminal import Classes, DatasetUrl, Json, Workers
from jobs.analyze import HERE, Address, execute

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from imgbatch.messages import Crewed, Finished, Job, Task, Tick

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def retry(
    dataset: DatasetUrl,
    *,
    classes: Classes,
    workers: Workers = 0,
    json: Json = False,
    address: Address = HERE,
) -> None:
    """Do the sources of DATASET again that failed with a class, on Ray."""

    def engine(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        return execute(job, tasks, workers=workers, address=address)

    again = Again(dataset, tuple(classes), "ray", elsewhere=address != HERE)
    terminal.redo(again, engine, as_json=json)


if __name__ == "__main__":
    terminal.process(app)
