"""The commands that look back: explain, history, compare."""

from __future__ import annotations

from typing import Annotated

import typer

from imgbatch.terminal import DatasetUrl, Json, say

RUN = "A run's id or its beginning, or first, previous, last."


def explain(
    dataset: DatasetUrl,
    *,
    source: Annotated[str, typer.Option(help="Address, source_id, or path of the file.")],
    json: Json = False,
) -> None:
    """Show everything known about one source: versions, outcomes, rows, attempts, timings, logs."""
    from imgbatch.cli import past_lines
    from imgbatch.dataset import Dataset
    from imgbatch.observe.explain import explain as read

    found = read(Dataset.open(dataset), source)
    say(json, "explain", found, past_lines.explain(found))


def history(dataset: DatasetUrl, *, json: Json = False) -> None:
    """Show the runs: when, how long, and what each added, changed and removed."""
    from imgbatch.cli import past_lines
    from imgbatch.dataset import Dataset
    from imgbatch.observe.history import history as read

    runs = read(Dataset.open(dataset))
    say(json, "history", {"runs": runs}, past_lines.history(runs))


def compare(
    dataset: DatasetUrl,
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help=RUN)],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help=RUN)],
    *,
    json: Json = False,
) -> None:
    """Show what changed between the states after two runs: sources, outcomes, values."""
    from imgbatch.cli import past_lines
    from imgbatch.dataset import Dataset
    from imgbatch.observe.compare import compare as read

    found = read(Dataset.open(dataset), run_a, run_b)
    say(json, "compare", found, past_lines.compare(found))
