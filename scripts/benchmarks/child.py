"""A command line in; its wall-clock seconds, its peak memory and what it printed out.

Each measured thing is a process of its own, started by a small one; see `forked`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
FORKED = Path(__file__).with_name("forked.py")
TAIL = 4000


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that exited with 0.

    Attributes:
        seconds: from before it was started until it was gone.
        peak_bytes: the largest resident size that it, or a child that it waited for, had.
        output: what it wrote to its standard output.
    """

    seconds: float
    peak_bytes: int
    output: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object on the last line of its output."""
        found: dict[str, Any] = json.loads(self.output.strip().rpartition("\n")[2])
        return found


def module(name: str, *arguments: object) -> list[str]:
    """Return the command line of a module of this folder, run by this interpreter."""
    return [sys.executable, "-m", f"scripts.benchmarks.{name}", *map(str, arguments)]


def run_child(
    command: Sequence[object], *, log: Path, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run a command to its end and measure it.

    Args:
        command: the program and its arguments.
        log: gets what it writes to standard error; its output lies beside it.
        environment: variables that are set on top of this process's own.

    Raises:
        SystemExit: it failed; shows the end of what it wrote.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    output, measured = log.with_suffix(".out"), log.with_suffix(".json").absolute()
    words = [str(word) for word in command]
    with output.open("wb") as out, log.open("wb") as err:
        subprocess.run(  # noqa: S603 - command lines of this folder, no shell
            [sys.executable, "-I", "-S", str(FORKED), str(measured), *words],
            stdout=out,
            stderr=err,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    told = json.loads(measured.read_bytes())
    measured.unlink()
    if told["code"] != 0:
        shown = log.read_text("utf-8", "replace")[-TAIL:]
        raise SystemExit(f"{shown}\nbench: exit code {told['code']} of {' '.join(words)}")
    return Ended(told["seconds"], told["peak_bytes"], output.read_text("utf-8", "replace"))
