"""What the machine does to a run: a full disk, a folder that may not be read, a missing package."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch import analyzers
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import MissingExtraError
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root with the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_run_with_its_code_and_a_dataset_that_can_be_finished(
    small_disk: Path, tmp_path: Path
) -> None:
    folder = corpus.many(tmp_path / "c", 600)
    (tmp_path / "r.toml").write_text(corpus.RECIPE)
    environment = {**os.environ, "IMGBATCH_SHARD_SOURCES": "50", "IMGBATCH_COMMIT_SECONDS": "0.01"}
    words = ["run", folder, small_disk / "d", "--recipe", tmp_path / "r.toml", "--engine", "inline"]

    def again() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "imgbatch", *map(str, words)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
            timeout=120,
        )

    done = again()
    assert done.returncode == 16, done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    done = again()
    assert done.returncode == 0, done.stderr
    found = verify(Dataset.open(str(small_disk / "d")))
    assert (found.problems, found.sources) == ([], 600)


@pytest.mark.parametrize("kilobytes", [16, 100, 400])
@pytest.mark.parametrize("command", ["export", "plan"])
def test_a_full_temporary_folder_is_told_as_such_whatever_it_was_needed_for(
    small_disk: Path, tmp_path: Path, command: str, kilobytes: int
) -> None:
    folder = corpus.many(tmp_path / "c", 30)
    corpus.run_inline(folder, tmp_path / "d", recipe="[analyzers.image]\n[analyzers.classic]\n")
    words = {
        "export": ["export", tmp_path / "d", tmp_path / "out"],
        "plan": ["plan", folder, tmp_path / "new"],
    }
    remount = f"remount,size={kilobytes}k"
    subprocess.run(["mount", "-o", remount, str(small_disk)], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words[command])],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(small_disk)},
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    if kilobytes == 16:
        assert done.returncode == 16
    if done.returncode:
        assert "the temporary folder" in done.stderr
        assert "TMPDIR" in done.stderr


def test_an_analyzer_whose_package_is_missing_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.setattr(analyzers, "__path__", [*analyzers.__path__, str(tmp_path)])
    with pytest.raises(MissingExtraError, match="a_package_that_is_not_there") as caught:
        analyzers.load("needy")
    assert "scripts/setup models" in caught.value.remedy
