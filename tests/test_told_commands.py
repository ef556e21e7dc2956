"""Commands that READMEs, remedies and scripts tell people to type are there, with such flags."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import typer

from imgbatch.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS: Any = typer.main.get_command(app)
# A line of a README's code, or words between backticks of any text.
LINE = re.compile(r"^(?: {4,}|\| `)(?:[A-Z_]+=\S+ )*imgbatch ([a-z][^#`|\n]*)", re.MULTILINE)
WORDS = re.compile(r"`imgbatch ([a-z][^`]*)`")
README_LINES = 260


def told(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each command line that is told anywhere, with the file that tells it."""
    listed = ["git", "ls-files", "*.md", "imgbatch/*.py", "jobs/*.py", "scripts", "infra"]
    names = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if not name.endswith((".md", ".py", ".sh")) and "." in name.rpartition("/")[2]:
            continue
        text = (root / name).read_text("utf-8").replace("\\\n", " ")
        # Texts of the code are broken over lines, in quotes.
        text = re.sub(r'"\n\s*f?"', "", text)
        for pattern in (LINE, WORDS) if name.endswith(".md") else (WORDS,):
            yield from ((name, found[1]) for found in pattern.finditer(text))


def wrong(line: str) -> str | None:
    """Return what of a command line is not there."""
    words = shlex.split(line.partition("...")[0])
    command = COMMANDS
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if command is COMMANDS:
        return line.split(maxsplit=1)[0]
    if hasattr(command, "commands"):
        return None if not words or not words[0].islower() else words[0]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    own = words[: words.index("--")] if "--" in words else words
    flags = [re.sub(r"[\])},.;:=].*", "", word.lstrip("[")) for word in own]
    off = [flag for flag in flags if re.fullmatch(r"--?[a-z][a-z-]*", flag)]
    return next((flag for flag in off if flag not in known | {"--help"}), None)


def test_every_command_that_is_told_is_there_with_its_flags(root: Path) -> None:
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: what belongs to it is not known")
    lines = list(told(root))
    assert len(lines) > 300
    assert [(name, line, off) for name, line in lines if (off := wrong(line))] == []


@pytest.mark.parametrize(
    ("line", "off"),
    [
        ("run INPUT DATASET --recipe quick", None),
        ("run INPUT DATASET --recpie quick", "--recpie"),
        ("rnu INPUT DATASET", "rnu"),
        ("models pul NAME", "pul"),
        ("schedule add weekly --every night -- run INPUT DATASET --what", None),
    ],
)
def test_what_is_not_there_is_found(line: str, off: str | None) -> None:
    assert wrong(line) == off


def test_the_readme_is_short(readme: str) -> None:
    assert len(readme.splitlines()) <= README_LINES
