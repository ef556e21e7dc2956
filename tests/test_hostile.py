"""What the machine does to a run: a full disk, a folder that may not be read, a missing package."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgbatch import analyzers
from imgbatch.dataset import Dataset
from imgbatch.dataset.export import export
from imgbatch.dataset.verify import verify
from imgbatch.errors import DeniedError, MissingExtraError, StorageError
from imgbatch.report import write_report
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


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


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Have the rights of somebody whom permissions bind."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder with an input that has a new picture, and a dataset that only may be read."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        source = corpus.many(folder / "in", 3)
        corpus.run_inline(source, folder / "d", recipe="[analyzers.image]\n")
        (source / "new.jpg").write_bytes((source / "00000.jpg").read_bytes())
        inside = [folder / "d", *(path for path in folder.glob("d/**/*") if path.is_dir())]
        for path in inside:
            path.chmod(0o555)
        yield folder
        for path in inside:
            path.chmod(0o755)


def test_a_dataset_that_may_only_be_read_is_read_and_what_writes_says_so(closed: Path) -> None:
    dataset = Dataset.open(str(closed / "d"))
    with nobody():
        assert verify(dataset).problems == []
        with pytest.raises(DeniedError, match=rf"^{closed}/d: Permission denied$") as caught:
            corpus.run_inline(closed / "in", closed / "d", recipe="[analyzers.image]\n")
        with pytest.raises(DeniedError, match="Permission denied"):
            write_report(dataset)
        with pytest.raises(DeniedError, match="Permission denied"):
            corpus.run_inline(closed / "in", closed / "d/new", recipe="[analyzers.image]\n")
    assert caught.value.exit_code == StorageError.exit_code
    assert "ls -ld" in caught.value.remedy


@pytest.mark.parametrize("hidden", ["dataset.json", "runs", "tables/image/_delta_log"])
def test_a_dataset_that_may_not_be_read_is_no_damage(closed: Path, hidden: str) -> None:
    mode = (closed / "d" / hidden).stat().st_mode
    (closed / "d" / hidden).chmod(0)
    try:
        with nobody(), pytest.raises(DeniedError, match=r"[Pp]ermission denied") as caught:
            verify(Dataset.open(str(closed / "d")))
    finally:
        (closed / "d" / hidden).chmod(mode)
    assert "\x1b" not in str(caught.value)


def test_a_file_that_stands_in_the_way_of_a_folder_is_told(closed: Path) -> None:
    (closed / "file").write_bytes(b"mine")
    with pytest.raises(StorageError, match=f"no folder can be made at {closed}/file") as caught:
        export(Dataset.open(str(closed / "d")), str(closed / "file"), form="csv")
    assert "stands in its way" in caught.value.remedy
    assert (closed / "file").read_bytes() == b"mine"
