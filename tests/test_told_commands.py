"""Commands that READMEs, remedies and scripts tell people to type are there, with such flags."""

from __future__ import annotations

import ast
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
# A line of a README's code, words between backticks of any text, and a line that code prints.
LINE = re.compile(r"^(?: {4,}|\| `)(?:[A-Z_]+=\S+ )*imgbatch ([a-z][^#`|\n]*)", re.MULTILINE)
WORDS = re.compile(r"`imgbatch ([a-z][^`]*)`")
SCRIPT = re.compile(r"`scripts/(cloud [a-z][^`]*)`")
PRINTED = re.compile(
    rf"(?<![`\w/.])imgbatch ((?:{'|'.join(COMMANDS.commands)}) [^`'\n]*?)(?:  |$)", re.MULTILINE
)
README_LINES = 260


def told(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each command line that is told anywhere, with the file that tells it."""
    listed = ["git", "ls-files", "*.md", "imgbatch/*.py", "jobs/*.py", "scripts", "infra"]
    names = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if not name.endswith((".md", ".py", ".sh")) and "." in name.rpartition("/")[2]:
            continue
        text = (root / name).read_text("utf-8")
        yield from ((name, line) for line in told_in(text, name))


def told_in(text: str, name: str) -> Iterator[str]:
    """Yield the command lines that a text tells, by what its file's name says that it is."""
    texts, patterns = [text.replace("\\\n", " ")], [WORDS, SCRIPT]
    if name.endswith(".md"):
        patterns.append(LINE)
    elif name.endswith(".py"):
        texts, patterns = list(said(ast.parse(text))), [WORDS, SCRIPT, PRINTED]
    for each in texts:
        for pattern in patterns:
            yield from (found[1] for found in pattern.finditer(each))


def said(code: ast.AST) -> Iterator[str]:
    """Yield the texts of code, each whole however it is broken over lines."""
    if (text := whole(code)) is not None:
        yield text
    else:
        for below in ast.iter_child_nodes(code):
            yield from said(below)


def whole(code: ast.AST) -> str | None:
    """Return a text of code with an X for all that is filled in; None for what is no text."""
    match code:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(whole(part) or "X" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            before, after = whole(left), whole(right)
            if before is not None or after is not None:
                return ("X" if before is None else before) + ("X" if after is None else after)
    return None


def wrong(line: str) -> str | None:
    """Return what of a command line is not there."""
    # Of `up|down` the first: who tells both, tells of alike.
    words = shlex.split(re.sub(r"(?<=\w)\|\S+", "", line.partition("...")[0]))
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


@pytest.mark.parametrize(
    "text",
    [
        'raise RunError("no", f"Run `imgbatch rnu {given} "\n    "DATASET`.")',
        'say("`imgbatch rnu " + given + "`")',
        'say("see `scripts/cloud pu aws`")',
        'say(f"  imgbatch run --recpie {name}    first")',
        'LINES = ["then: imgbatch run IN OUT --recpie quick"]',
    ],
)
def test_what_code_tells_is_found_however_it_is_written(text: str) -> None:
    assert [wrong(line) for line in told_in(text, "a.py")] in (["rnu"], ["pu"], ["--recpie"])


def test_the_readme_is_short(readme: str) -> None:
    assert len(readme.splitlines()) <= README_LINES
