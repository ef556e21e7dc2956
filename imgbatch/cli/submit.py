"""The command that hands a run to a cluster: submit."""

from __future__ import annotations

from typing import Annotated

import typer

from imgbatch.cli.run import job
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
    words_of,
)


def submit(
    input: Input,  # noqa: A002 - the word that users see
    dataset: DatasetUrl,
    *,
    address: Annotated[
        str | None,
        typer.Option(help="The cluster's dashboard; by default http://127.0.0.1:8265."),
    ] = None,
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
    follow: Follow = False,
    ship: Ship = False,
    json: Json = False,
) -> None:
    """Hand a run to a Ray cluster; it works there whatever becomes of this terminal."""
    words = words_of(
        {
            "address": address,
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
            "follow": follow,
            "ship": ship,
            "json": json,
        }
    )
    raise typer.Exit(job("submit", *words, "--", input, dataset))
