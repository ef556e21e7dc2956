"""Hand a run to a Ray cluster: `python -m jobs.submit INPUT DATASET --address http://HOST:8265`.

What enters are the words of `jobs.analyze`; what leaves is a job of `jobs.submitted` on the
cluster, through Ray's Job Submission API. This machine needs to reach the dashboard's port, not the
buckets.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch import analyzers, settings, terminal
from imgbatch.errors import BusyError, MissingExtraError, SettingsError
from imgbatch.release import PACKAGES, release
from imgbatch.storage import open_store
from imgbatch.storage.secrets import scrub
from imgbatch.terminal import (
    AddInput,
    DatasetUrl,
    DumpName,
    Follow,
    IdColumn,
    Input,
    Json,
    Limit,
    MaxFailed,
    MediaColumn,
    RecipeName,
    Repair,
    Sample,
    Ship,
    Workers,
    say,
)
from jobs.submitted import Order

if TYPE_CHECKING:
    from jobs.dashboard import Cluster, Out, Submission

# Ray's two variables for the address of a dashboard, in the order in which Ray looks at them.
VARIABLES = ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"]
Address = Annotated[
    str, typer.Option(envvar=VARIABLES, help="The cluster's dashboard, http://HOST:8265.")
]
# What a job is found by among others of the cluster.
DATASET = "imgbatch_dataset"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def submit(  # noqa: PLR0913 - one argument per flag
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
    follow: Follow = False,
    ship: Ship = False,
    address: Address = "http://127.0.0.1:8265",
) -> None:
    """Hand a run to a Ray cluster and let it work there, whatever becomes of this terminal."""
    input, dataset = _elsewhere(input), _elsewhere(dataset)  # noqa: A001 - as above
    text = _checked_recipe(recipe)
    terminal.max_failed(max_failed)
    settings.read_limits()
    words = terminal.words_of(
        {
            "workers": workers,
            "limit": limit,
            "sample": sample,
            "max-failed": max_failed,
            "repair": repair,
            "add-input": add_input,
            "dump": dump,
            "media-column": media_column,
            "id-column": id_column,
            "json": json,
        }
    )
    order = Order([*words, "--", input, dataset], text, release().record(), json)
    from jobs.dashboard import Cluster  # noqa: PLC0415 - loads ray; a typo is told without it

    cluster = Cluster.at(address)
    root = open_store(dataset).root
    _refuse_second(cluster, root)
    submission = cluster.submit(
        f"exec python -P -m jobs.submitted {shlex.quote(order.encoded())}",
        name=f"imgbatch-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}",
        runtime_env=_runtime_env(ship=ship),
        metadata={DATASET: root},
    )
    shown = scrub(address)  # who reaches it through a proxy may have a password in it
    record = {"submission": submission.name, "address": shown, "dataset": dataset}
    say(json, "submitted", record, _next(submission.name, shown, dataset))
    if not follow:
        raise typer.Exit(_until_accepted(submission))
    raise typer.Exit(_until_its_end(submission, Sorted() if json else sys.stdout))


class Sorted:
    """What a job wrote enters, both its streams in one; JSON lines go on here, others as errors."""

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str) -> None:
        """Pass on the lines that are whole."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            (sys.stdout if line.startswith("{") else sys.stderr).write(f"{line}\n")

    def flush(self) -> None:
        """Show what was passed on."""
        sys.stdout.flush()
        sys.stderr.flush()


def _until_its_end(submission: Submission, out: Out) -> int:
    try:
        return submission.follow(out)
    except KeyboardInterrupt:
        said = f"no longer followed: {submission.name} goes on on the cluster"
        sys.stderr.write(f"\n{said}; `imgbatch cancel DATASET` would end it\n")
        return terminal.INTERRUPTED


def _until_accepted(submission: Submission) -> int:
    """Wait for its first word; without one in time it waits for a place on the cluster."""
    try:
        if submission.accepted():
            return submission.refusal(sys.stderr)
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{submission.name} is on the cluster and goes on there\n")
        return terminal.INTERRUPTED
    sys.stderr.write("the cluster has not started it yet: it waits for its turn there\n")
    return 0


def _next(name: str, address: str, dataset: str) -> list[str]:
    shown = shlex.quote(dataset)
    return [
        f"submitted: {name} to {address}",
        f"  imgbatch status {shown}    how far it is",
        f"  imgbatch tail -f {shown}   what its workers say",
        f"  imgbatch cancel {shown}    end it; what is finished stays",
    ]


def _elsewhere(url: str) -> str:
    """Return a URL that says the same on another machine.

    Raises:
        SettingsError: nothing there can be in another process.
    """
    root = open_store(url).root
    if root.startswith("memory://"):
        raise SettingsError(f"{url} is in this process only", "Give a bucket or a folder.")
    return root if root.startswith("file://") else url


def _checked_recipe(name: str) -> str:
    """Return a recipe's text; what is wrong with it is told here, not in a job's log.

    Raises:
        SettingsError: it is not there or wrong.
    """
    text = settings.recipe_text(name)
    with contextlib.suppress(MissingExtraError):  # this machine need not have what workers need
        settings.read_recipe(text, settings_of=analyzers.settings_of)
    return text


def _runtime_env(*, ship: bool) -> dict[str, Any]:
    """Return what comes with the job: our limits, and with --ship our source."""
    env: dict[str, Any] = {
        "env_vars": {
            name: value
            for name, value in os.environ.items()  # noqa: TID251 - passed on unread; checked above
            if name.startswith(settings.ENVIRONMENT_PREFIX)
        }
    }
    if ship:
        here = Path(analyzers.__file__).parents[2]
        env |= {"py_modules": [str(here / name) for name in PACKAGES], "excludes": ["__pycache__"]}
    return env


def _refuse_second(cluster: Cluster, dataset: str) -> None:
    """Refuse what the dataset's lock would refuse later, where nobody may look.

    Raises:
        BusyError: a job for this dataset is on this cluster already.
    """
    for name in cluster.running(DATASET, dataset):
        raise BusyError(f"{name} is at work on {dataset} on this cluster already")


if __name__ == "__main__":
    terminal.process(app)
