"""Words of a command that is to recur enter; the dataset that it works on leaves.

What would fail at each tick is told now, and not at three at night.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import typer

from imgbatch.errors import SettingsError
from imgbatch.storage import open_store
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Sequence

# Without --yes it asks nothing: it shows what it would change.
LOOKS = "imgbatch bucket harden"


def dataset_of(words: Sequence[str]) -> str:
    """Return the dataset that a command works on, or "", having looked at all its words.

    Raises:
        SettingsError: it is no command that may recur.
        UsageError: of click: it is no command.
    """
    if words[0] == "schedule":
        raise SettingsError("a schedule schedules no schedule", "Give run, retry, group, ...")
    for word in words:
        if scrub(word) != word:
            raise SettingsError(
                f"the command holds a secret, and would be kept with it: {scrub(word)}",
                "Name a profile or a key file instead, which the command finds by itself.",
            )
    context = _read(words)
    if context.params.get("yes") is False and context.command_path != LOOKS:
        raise SettingsError(
            f"`{context.command_path}` asks before it does anything, and nobody will answer",
            "Look at what you name, then add --yes.",
        )
    if context.params.get("watch"):
        raise SettingsError("--watch is for somebody who looks on", "Leave --watch out.")
    named = context.params.get("dataset")
    return open_store(named).root if isinstance(named, str) else ""


def _read(words: Sequence[str]) -> Any:
    """Return what the command line makes of a command: its context, with all parameters."""
    from imgbatch.cli import app

    command: Any = typer.main.get_command(app)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            context = command.make_context("imgbatch", list(words))
            while hasattr(command, "resolve_command"):
                rest = [*context._protected_args, *context.args]  # noqa: SLF001 - as click's own `invoke` does
                word, command, rest = command.resolve_command(context, rest)
                context = command.make_context(word, rest, parent=context)
    except typer.Exit as error:
        raise SettingsError(
            f"`imgbatch {' '.join(words)}` does nothing but to show help",
            "Leave --help out of the command that is to recur.",
        ) from error
    return context
