"""The commands that look back: explain, history, compare."""

from __future__ import annotations

from imgbatch.terminal import DatasetUrl, Json, say


def history(dataset: DatasetUrl, *, json: Json = False) -> None:
    """Show the runs: when, how long, and what each added, changed and removed."""
    from imgbatch.cli import past_lines  # noqa: PLC0415 - keeps `--help` quick
    from imgbatch.dataset import Dataset  # noqa: PLC0415
    from imgbatch.observe.history import history as read  # noqa: PLC0415

    runs = read(Dataset.open(dataset))
    say(json, "history", {"runs": runs}, past_lines.history(runs))
