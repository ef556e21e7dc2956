"""`imgbatch forget` and `imgbatch verify --forgotten` as users type them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from imgbatch.__main__ import main
from imgbatch.records import source_id_of
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    corpus.many(tmp_path / "in", 4)
    corpus.run_inline(tmp_path / "in", tmp_path / "own", recipe="[analyzers.image]\n")
    return tmp_path


@dataclass(frozen=True, slots=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def imgbatch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """The command line in this process: starting Python costs more than what is tested."""

    def call(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["imgbatch", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call


def test_a_weekly_list_of_which_most_is_unknown(place: Path, imgbatch: Callable[..., Done]) -> None:
    first = f"file://{place}/in/00000.jpg"
    second = source_id_of(f"file://{place}/in/00001.jpg")
    weekly = place / "deleted.txt"
    weekly.write_text(f"# week 7\n{first}\n{second}\ns3://platform/a.jpg\n{'0' * 32}\n")
    done = imgbatch("forget", place / "own", "--sources-from", weekly, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["sources"], said["rows"]["image"]) == (2, 2)
    assert said["unknown"] == ["s3://platform/a.jpg", "0" * 32]
    proven = imgbatch("verify", place / "own", "--forgotten", "--sources-from", weekly)
    assert proven.returncode == 0, proven.stdout
    assert "for 4 forgotten sources" in proven.stdout
    again = imgbatch("run", place / "in", place / "own", "--engine", "inline")
    assert "2 forgotten sources of the input were left out" in again.stdout


def test_nobody_to_ask_is_an_error_and_changes_nothing(
    place: Path, imgbatch: Callable[..., Done]
) -> None:
    asked = imgbatch("forget", place / "own", "--source", place / "in/00000.jpg")
    assert asked.returncode == 10
    assert "add --yes" in asked.stderr
    assert not (place / "own/forgotten").exists()


def test_a_typing_error_names_its_neighbours(place: Path, imgbatch: Callable[..., Done]) -> None:
    wrong = imgbatch("forget", place / "own", "--source", place / "in/0000.jpg", "--yes")
    assert wrong.returncode == 10
    assert f"did you mean file://{place}/in/0000" in wrong.stderr
    words = ("--source", place / "in/0000.jpg", "--yes", "--missing-ok")
    assert imgbatch("forget", place / "own", *words).returncode == 0


def test_the_proof_fails_with_its_own_exit_code(place: Path, imgbatch: Callable[..., Done]) -> None:
    found = imgbatch("verify", place / "own", "--forgotten", "--source", place / "in/00000.jpg")
    assert found.returncode == 14
    assert "was never forgotten here" in found.stdout
    lonely = imgbatch("verify", place / "own", "--source", place / "in/00000.jpg")
    assert lonely.returncode == 10


def test_an_unreadable_list_is_an_error(place: Path, imgbatch: Callable[..., Done]) -> None:
    assert imgbatch("forget", place / "own", "--sources-from", place / "no.txt").returncode == 11
    assert imgbatch("forget", place / "own").returncode == 10


@pytest.mark.slow
def test_on_a_terminal_it_says_what_is_lost_and_asks(place: Path) -> None:
    said = answered(place, b"n\n")
    assert "History ends here" in said
    assert f"file://{place}/in/00000.jpg" in said
    assert "Nothing was changed" in said
    assert not (place / "own/forgotten").exists()
    assert "1 sources forgotten" in answered(place, b"y\n")


def answered(place: Path, answer: bytes) -> str:
    """Run forget on a terminal, answer its question, and return all that was shown."""
    ours, theirs = pty.openpty()
    words = ["forget", str(place / "own"), "--source", str(place / "in/00000.jpg")]
    child = subprocess.Popen(
        [sys.executable, "-m", "imgbatch", *words],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.write(ours, answer)
    said = child.communicate(timeout=60)[0].decode()
    os.close(ours)
    os.close(theirs)
    return said
