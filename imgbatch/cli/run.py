"""The commands that compute: run, preprocess."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from typing import Annotated

import typer

from imgbatch import terminal
from imgbatch.errors import SettingsError
from imgbatch.terminal import (
    AddInput,
    Classes,
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
    say,
    words_of,
)

Address = Annotated[
    str | None,
    typer.Option(
        help="A running Ray cluster, HOST:6379; without it (and RAY_ADDRESS) one starts here.",
    ),
]


class EngineName(StrEnum):
    """Where a run's workers are."""

    ray = "ray"
    inline = "inline"


def run(
    input: Input,  # noqa: A002 - the word that users see
    dataset: DatasetUrl,
    *,
    recipe: RecipeName = "quick",
    engine: Annotated[EngineName, typer.Option(help="ray: on Ray; inline: without it.")] = (
        EngineName.ray
    ),
    workers: Workers = 0,
    limit: Limit = None,
    sample: Sample = None,
    max_failed: MaxFailed = None,
    repair: Repair = False,
    add_input: AddInput = False,
    dump: DumpName = None,
    media_column: MediaColumn = None,
    id_column: IdColumn = None,
    address: Address = None,
    json: Json = False,
) -> None:
    """Bring DATASET up to date with INPUT and a recipe; again, it does nothing."""
    if engine is EngineName.ray:
        words = words_of(
            {
                "recipe": recipe,
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
                "address": address,
            }
        )
        raise typer.Exit(job("analyze", *words, "--", input, dataset))
    refuse_address(address)
    with terminal.loading():
        from imgbatch import settings
        from imgbatch.crew.local import Local
        from imgbatch.summary import Request

    request = Request(
        input=input,
        dataset=dataset,
        recipe=settings.recipe_text(recipe),
        engine=engine,
        limit=limit,
        share=sample,
        max_failed=terminal.max_failed(max_failed),
        repair=repair,
        add_input=add_input,
        dump=dump,
        media_column=media_column,
        id_column=id_column,
    )
    with Local(workers) as local:
        terminal.analyze(request, local, as_json=json)


def retry(
    dataset: DatasetUrl,
    *,
    classes: Classes,
    engine: Annotated[EngineName, typer.Option(help="ray: on Ray; inline: without it.")] = (
        EngineName.ray
    ),
    workers: Workers = 0,
    address: Address = None,
    json: Json = False,
) -> None:
    """Do the sources again that failed with a class; the others' rows stay as they are."""
    if engine is EngineName.ray:
        words = [word for name in classes for word in ("--class", name)]
        words += words_of({"workers": workers, "json": json, "address": address})
        raise typer.Exit(job("retry", *words, "--", dataset))
    refuse_address(address)
    with terminal.loading():
        from imgbatch.crew.local import Local
        from imgbatch.retry import Again

    again = Again(dataset, tuple(classes), engine)
    terminal.redo(again, Local(workers), as_json=json)


def refuse_address(address: str | None) -> None:
    """Refuse --address for what runs in this process.

    Raises:
        SettingsError: it was given.
    """
    if address is not None:
        raise SettingsError(
            "--address is a Ray cluster's, and --engine inline uses none",
            "Leave one of the two out.",
        )


def job(name: str, *words: str) -> int:
    """Run a module of `jobs` as a child with this terminal; return its exit code."""
    child = subprocess.Popen([sys.executable, "-P", "-m", f"jobs.{name}", *words])  # noqa: S603 - our own module, no shell
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            # The terminal sent it to the child too; it commits what is finished, then ends.
            continue


def preprocess(
    input: Input,  # noqa: A002 - the word that users see
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or bucket URL.")],
    *,
    recipe: Annotated[str, typer.Option(help="A .toml file of steps.")],
    json: Json = False,
) -> None:
    """Write a changed copy of every picture of INPUT, faces masked if asked for, and a table."""
    from imgbatch.copies import write_copies
    from imgbatch.settings import read_file, read_limits

    found = write_copies(input, out, read_file(recipe), limits=read_limits())
    record = {
        "sources": found.sources,
        "ok": found.ok,
        "failed": found.failed,
        "filtered": found.filtered,
        "copies": found.copies,
        "without_face": found.without_face,
    }
    counts = f"{found.ok:,} ok + {found.failed:,} failed + {found.filtered:,} filtered"
    lines = [f"{found.sources:,} sources = {counts}: {found.copies:,} copies"]
    if found.without_face:
        lines.append(
            f"{found.without_face:,} of them show no face that the detector found (n_faces = 0): "
            "look at these before you share them"
        )
    say(json, "copied", record, lines)
