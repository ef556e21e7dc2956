"""`--help` of every command: what is written is what is shown, brackets and all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from imgbatch.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the words of each command and group, and the command."""
    yield words, command
    for word, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, word))


COMMANDS = dict(commands(typer.main.get_command(app)))


def in_one_line(text: str) -> str:
    """Return a text without line ends and without the boxes that are drawn around it."""
    return " ".join(text.replace("\u2502", " ").split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_each_text_as_it_is_written(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    # Wide enough that no text is broken in two columns.
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "500"})
    assert done.exit_code == 0
    shown = in_one_line(done.stdout)
    # Rich takes [words in brackets] for styles, and of [[two]] leaves [].
    written = [command.help, *(p.help for p in command.params)]
    missing = [text for text in written if text and in_one_line(text) not in shown]
    assert (missing, "[]" in shown) == ([], False)


def test_help_was_asked_of_all_commands() -> None:
    assert len(COMMANDS) > 40
    assert {("preprocess",), ("cloud", "run"), ("schedule", "add")} <= COMMANDS.keys()
