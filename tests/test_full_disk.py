"""A full disk, whatever is to be written there: told with its code, and nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from PIL import Image

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.storage.local import PARTIAL
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS = '[[steps]]\nname = "flip"\ndirection = "left-right"\n'
ROOM = 2**20
LITTLE = 16


@dataclass
class Disk:
    """A disk with little space; where none is mounted, no file may grow beyond what is left.

    Attributes:
        kilobytes: the largest file where none is mounted.
    """

    folder: Path
    mounted: bool
    kilobytes: int = ROOM

    def leave(self, kilobytes: int) -> None:
        """Leave room for so much more."""
        self.kilobytes = kilobytes
        if self.mounted:
            found = os.statvfs(self.folder)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize // 1024
            size = f"remount,size={used + kilobytes}k"
            subprocess.run(["mount", "-o", size, str(self.folder)], check=True)

    def imgbatch(self, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "imgbatch", *map(str, words)]
        if not self.mounted:
            limited = f'ulimit -f {self.kilobytes}; exec "$@"'
            command = ["bash", "-c", limited, "bash", *command]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
            timeout=120,
        )


@pytest.fixture(params=["disk", "limit"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A small disk of its own; and a limit, which needs no right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        yield Disk(folder, mounted=False)
        return
    words = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}k", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root with the right to mount; a limit is tried")
    yield Disk(folder, mounted=True)
    # Lazily: Arrow closes a file that it has read a moment later.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def assert_full(done: subprocess.CompletedProcess[str], disk: Disk) -> None:
    assert done.returncode == 16, done.stderr
    assert ("No space left" if disk.mounted else "File too large") in done.stderr
    assert "to do: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(disk.folder.rglob(f"{PARTIAL}*"))


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_its_code_and_a_dataset_that_can_be_finished(
    small: Disk, tmp_path: Path
) -> None:
    folder = corpus.many(tmp_path / "c", 600)
    (tmp_path / "r.toml").write_text(f"{corpus.RECIPE}[analyzers.classic]\n")
    dataset = small.folder / "d"
    words = ["run", folder, dataset, "--recipe", tmp_path / "r.toml", "--engine", "inline"]
    # Many small parts fill a disk; only a large one is over a limit.
    shard, kilobytes = ("50", 500) if small.mounted else ("600", 400)
    limits = {"IMGBATCH_SHARD_SOURCES": shard, "IMGBATCH_COMMIT_SECONDS": "0.01"}
    small.leave(kilobytes)
    assert_full(small.imgbatch(*words, **limits), small)
    assert list((dataset / "tables/image").glob("*.parquet"))
    small.leave(ROOM)
    done = small.imgbatch(*words, **limits)
    assert done.returncode == 0, done.stderr
    found = verify(Dataset.open(str(dataset)))
    assert (found.problems, found.sources) == ([], 600)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [16, 100, 400])
@pytest.mark.parametrize("command", ["export", "plan"])
def test_a_full_temporary_folder_is_told_as_such_whatever_it_was_needed_for(
    small: Disk, tmp_path: Path, command: str, kilobytes: int
) -> None:
    folder = corpus.many(tmp_path / "c", 30)
    corpus.run_inline(folder, tmp_path / "d", recipe="[analyzers.image]\n[analyzers.classic]\n")
    words = {
        "export": ["export", tmp_path / "d", tmp_path / "out"],
        "plan": ["plan", folder, tmp_path / "new"],
    }
    small.leave(kilobytes)
    done = small.imgbatch(*words[command], TMPDIR=str(small.folder))
    assert "Traceback" not in done.stderr
    if kilobytes == 16:
        assert done.returncode == 16
    if done.returncode:
        assert "the temporary folder" in done.stderr
        assert "TMPDIR" in done.stderr


@pytest.mark.slow
def test_a_full_disk_for_an_export_leaves_only_whole_tables(small: Disk, tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 30)
    corpus.run_inline(folder, tmp_path / "d", recipe="[analyzers.image]\n[analyzers.classic]\n")
    words = ["export", tmp_path / "d", small.folder / "out"]
    small.leave(LITTLE)
    done = small.imgbatch(*words)
    assert_full(done, small)
    # A limit is met before OUT is: where the file is made.
    assert small.mounted == ("the temporary folder" not in done.stderr)
    found = list((small.folder / "out").glob("*"))
    assert "classic.parquet" not in [path.name for path in found]  # 30 x 372 floats
    assert all(pq.read_table(path).num_rows == 30 for path in found)
    small.leave(ROOM)
    assert small.imgbatch(*words).returncode == 0
    assert pq.read_table(small.folder / "out/classic.parquet").num_rows == 30


def test_a_full_disk_for_copies_leaves_whole_ones_and_no_table(small: Disk, tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 30)
    # The last is larger than what is left.
    (folder / "99999.jpg").write_bytes(corpus.PHOTOS["china.jpg"].read_bytes())
    (tmp_path / "steps.toml").write_text(STEPS)
    words = ["preprocess", folder, small.folder / "out", "--recipe", tmp_path / "steps.toml"]
    small.leave(LITTLE)
    assert_full(small.imgbatch(*words), small)
    assert not (small.folder / "out/copies.parquet").exists()
    copies = list((small.folder / "out").rglob("*.jpg"))
    for copy in copies:
        with Image.open(copy) as image:
            image.load()
    small.leave(ROOM)
    done = small.imgbatch(*words)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(small.folder / "out/copies.parquet").num_rows == 31


@pytest.mark.slow
def test_a_full_disk_for_a_report_leaves_the_former_one_whole(small: Disk, tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 30)
    dataset = small.folder / "d"
    corpus.run_inline(folder, dataset, recipe="[analyzers.image]\n")
    assert small.imgbatch("report", dataset).returncode == 0
    before = {path.name: path.read_bytes() for path in (dataset / "report").iterdir()}
    assert set(before) == {"index.html", "codebook.csv", "codebook.md"}
    small.leave(LITTLE)
    assert_full(small.imgbatch("report", dataset), small)
    assert {path.name: path.read_bytes() for path in (dataset / "report").iterdir()} == before
