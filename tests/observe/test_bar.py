"""A run as a terminal shows it, and the same in a pipe: each a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.corpus import many

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# Six seconds and more for one thread, whatever the machine: a pipe is told something every five.
PICTURES = 300
RECIPE = '[analyzers."tests.sleeper"]\nseconds = 0.02\n'
LIMITS = {"IMGBATCH_SHARD_SOURCES": "20", "IMGBATCH_THREADS": "1"}
CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CURSOR_OFF, CURSOR_ON = "\x1b[?25l", "\x1b[?25h"
GOING = re.compile(
    rf"(\d+) of {PICTURES} sources, \d+ pictures/s; \d+ decode\.truncated, \d+:\d\d left"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small pictures, one in ten of them cut short."""
    folder = tmp_path_factory.mktemp("shown")
    files = sorted(many(folder / "in", PICTURES).iterdir())
    for file in files[::10]:
        file.write_bytes(file.read_bytes()[:-100])
    (folder / "r.toml").write_text(RECIPE)
    return folder


def words(made: Path, dataset: Path) -> list[str]:
    given = ["run", made / "in", dataset, "--recipe", made / "r.toml", "--engine", "inline"]
    return [sys.executable, "-m", "imgbatch", *map(str, given)]


def test_a_terminal_shows_a_live_bar_with_rate_failures_and_the_time_that_is_left(
    made: Path, root: Path, tmp_path: Path
) -> None:
    code, shown = on_a_terminal(words(made, tmp_path / "d"), root)
    assert code == 0, shown
    text = CODE.sub("", shown)
    counts = {int(found) for found in GOING.findall(text)}
    assert len(counts) > 3, text
    assert re.search(r"running \S+ +\d+ of", text)
    # It is drawn over and over in its place, and leaves the terminal as it was.
    assert "\x1b[2K" in shown
    assert shown.rfind(CURSOR_ON) > shown.rfind(CURSOR_OFF) >= 0
    assert re.search(rf"{PICTURES // 10}  decode\.truncated", text[text.rfind("sources listed") :])


def test_a_pipe_has_plain_lines_in_its_place(made: Path, root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        words(made, tmp_path / "d"),
        cwd=root,
        env={**os.environ, **LIMITS},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *others = done.stderr.splitlines()
    assert first == f"to do: {PICTURES} sources in 15 shards (sources, tests.sleeper)"
    assert others
    assert all(GOING.fullmatch(line) for line in others), others
    assert not set("\x1b\r") & set(done.stderr + done.stdout)
    assert f"{PICTURES // 10}  decode.truncated" in done.stdout


def on_a_terminal(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a command on a wide terminal; return its exit code and all that it sent there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 160, 0, 0))
    environment = {**os.environ, **LIMITS, "TERM": "xterm-256color"}
    child = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while more := os.read(ours, 4096):
            shown += more
    except OSError:
        pass  # nobody is at its other end any more
    os.close(ours)
    return child.wait(timeout=60), shown.decode()
