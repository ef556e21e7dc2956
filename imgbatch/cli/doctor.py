"""The command that looks whether a run could work: doctor."""

from __future__ import annotations

import json as encoder
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from imgbatch.terminal import DatasetUrl, Input, Json, RecipeName

if TYPE_CHECKING:
    from imgbatch.doctor import Line

COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
SHOWN = {"ok": "ok", "warning": "WARNING", "failed": "FAILED", "skipped": "-"}
STATE, CHECK = 9, 17


def doctor(
    input: Input,  # noqa: A002 - the word that users see
    dataset: DatasetUrl,
    *,
    recipe: RecipeName = "quick",
    json: Json = False,
) -> None:
    """Look whether a run could work; each line is ok, or says what to do."""
    from imgbatch.doctor import examine, worst
    from imgbatch.storage.secrets import scrub

    titles = {"here": "this machine", "input": f"INPUT {input}", "dataset": f"DATASET {dataset}"}
    console = Console(highlight=False, soft_wrap=True)
    lines: list[Line] = []
    part = ""
    for line in examine(input, dataset, recipe):
        lines.append(line)
        if json:
            _write(_record(line))
            continue
        if line.part != part:
            console.print(Text(("\n" if part else "") + scrub(titles[line.part]), style="bold"))
            part = line.part
        _print(console, line)
    code = worst(lines)
    states = [line.finding.state for line in lines]
    failed, warnings = states.count("failed"), states.count("warning")
    if json:
        _write({"event": "examined", "failed": failed, "warnings": warnings, "exit_code": code})
    else:
        console.print("\n" + _summary(failed, warnings, code))
    raise typer.Exit(code)


def _write(record: dict[str, object]) -> None:
    sys.stdout.write(encoder.dumps(record) + "\n")
    sys.stdout.flush()


def _record(line: Line) -> dict[str, object]:
    found = line.finding
    return {
        "event": "check",
        "part": line.part,
        "check": found.check,
        "state": found.state,
        "text": found.text,
        "remedy": found.remedy,
        "exit_code": line.code,
    }


def _print(console: Console, line: Line) -> None:
    found = line.finding
    head = Text("  ")
    head.append(SHOWN[found.state].ljust(STATE), style=COLOURS[found.state])
    head.append(found.check.ljust(CHECK) + " ")
    indent = " " * len(head.plain)
    head.append(_wrapped(console, found.text, indent))
    console.print(head)
    if found.remedy:
        console.print(Text(indent + "to do: " + _wrapped(console, found.remedy, indent)))


def _wrapped(console: Console, text: str, indent: str) -> str:
    """Return a text in lines that fit a terminal; a pipe gets one, for grep."""
    if not console.is_terminal:
        return text
    width = max(40, shutil.get_terminal_size().columns - len(indent) - len("to do: "))
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return f"\n{indent}".join(lines)


def _summary(failed: int, warnings: int, code: int) -> str:
    noticed = f"{warnings} warning{'s' if warnings != 1 else ''}" if warnings else ""
    if failed:
        also = f", {noticed}" if noticed else ""
        return f"{failed} to mend{also}: a run would not work (exit code {code})"
    return f"a run can work; {noticed}" if noticed else "all is well: a run can work"
