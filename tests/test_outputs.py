"""Commands whose outputs take nothing more, each in a process of its own: they do their work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import OutputError
from tests.corpus import many, run_inline

if TYPE_CHECKING:
    from collections.abc import Sequence


def unread(words: Sequence[object], *, errors_too: bool = False) -> tuple[int, str]:
    """Run a command into a pipe that nobody reads; return its exit code and its errors."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "imgbatch", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer if errors_too else subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize(
    "words", [["--help"], ["recipe", "show", "quick"], ["models", "list"], ["analyzers"]]
)
def test_a_command_whose_reader_goes_away_ends_well_and_says_nothing(words: list[str]) -> None:
    assert unread(words) == (0, "")


def test_a_command_without_any_outputs_ends_as_it_would_have() -> None:
    words = f"exec {sys.executable} -m imgbatch recipe list >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", words], check=False).returncode == 0


def test_no_file_comes_to_have_the_number_of_a_closed_output(tmp_path: Path) -> None:
    outlive = "from imgbatch.outputs import outlive_readers; outlive_readers(); "
    code = outlive + f"import os; d = open({str(tmp_path / 'd')!r}, 'w'); os.write(2, b'a warning')"
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code], check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "d").read_text() == ""


def test_damage_is_told_by_the_exit_code_though_nobody_reads_which(tmp_path: Path) -> None:
    run_inline(many(tmp_path / "in", 3), tmp_path / "d")
    next((tmp_path / "d" / "tables" / "sources").glob("*.parquet")).unlink()
    code, said = unread(["verify", tmp_path / "d"])
    assert code == 14
    assert said.startswith("error: DamageError: ")
    assert unread(["verify", tmp_path / "d"], errors_too=True)[0] == 14


def test_a_run_that_nobody_reads_is_finished(tmp_path: Path) -> None:
    words = ["run", many(tmp_path / "in", 3), tmp_path / "d", "--engine", "inline"]
    assert unread([*words, "--json"]) == (0, "")
    found = verify(Dataset.open(str(tmp_path / "d")))
    assert (found.sources, found.ok, found.problems) == (3, 3, [])


def test_errors_that_nobody_reads_end_no_run(tmp_path: Path) -> None:
    words = ["run", many(tmp_path / "in", 3), tmp_path / "d", "--engine", "inline"]
    assert unread(words, errors_too=True)[0] == 0
    assert verify(Dataset.open(str(tmp_path / "d"))).ok == 3


def full(words: Sequence[object], *, errors_too: bool = False) -> tuple[int, str]:
    """Run a command into a disk that is full; return its exit code and its errors."""
    with Path("/dev/full").open("w") as disk:
        done = subprocess.run(
            [sys.executable, "-m", "imgbatch", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=disk,
            stderr=disk if errors_too else subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize(
    "words", [["--help"], ["analyzers"], ["recipe", "show", "quick"], ["models", "list", "--json"]]
)
def test_a_full_disk_below_the_output_is_told_with_a_code_of_its_own(words: list[str]) -> None:
    code, said = full(words)
    error, remedy = said.splitlines()
    assert code == OutputError.exit_code
    assert error == (
        "error: OutputError: what it printed could not be written: standard output: "
        "No space left on device"
    )
    assert remedy == f"to do: {OutputError.remedy}"


@pytest.mark.slow
def test_a_run_whose_output_is_on_a_full_disk_is_finished(tmp_path: Path) -> None:
    words = ["run", many(tmp_path / "in", 3), tmp_path / "d", "--engine", "inline", "--json"]
    assert full(words, errors_too=True) == (OutputError.exit_code, "")
    found = verify(Dataset.open(str(tmp_path / "d")))
    assert (found.sources, found.ok, found.problems) == (3, 3, [])
    for command in (["verify"], ["history"], ["history", "--json"], ["status"], ["report"]):
        code, said = full([*command, tmp_path / "d"])
        assert (code, "bug in imgbatch" in said) == (OutputError.exit_code, False), said


def test_damage_is_told_by_the_exit_code_though_the_disk_is_full(tmp_path: Path) -> None:
    run_inline(many(tmp_path / "in", 3), tmp_path / "d")
    next((tmp_path / "d" / "tables" / "sources").glob("*.parquet")).unlink()
    code, said = full(["verify", tmp_path / "d"])
    assert code == 14
    assert [line.split(":")[1] for line in said.splitlines() if line.startswith("error:")] == [
        " DamageError",
        " OutputError",
    ]
    assert full(["verify", tmp_path / "d"], errors_too=True) == (14, "")
