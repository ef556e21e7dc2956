"""What the machine does to a run: a folder that may not be read, a missing package, lost parts."""

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
from imgbatch.dataset.verify import Verified, verify
from imgbatch.errors import DamageError, DeniedError, MissingExtraError, StorageError
from imgbatch.observe.explain import explain
from imgbatch.observe.history import history
from imgbatch.observe.status import status
from imgbatch.report import write_report
from tests import corpus
from tests.groupers.written import label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534


def test_an_analyzer_whose_package_is_missing_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.setattr(analyzers, "__path__", [*analyzers.__path__, str(tmp_path)])
    with pytest.raises(MissingExtraError, match="a_package_that_is_not_there") as caught:
        analyzers.load("needy")
    assert "scripts/setup models" in caught.value.remedy


def test_a_missing_package_is_told_before_anything_is_written(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "in", 1)
    (tmp_path / "r.toml").write_text("[analyzers.classify]\n")
    # As on a machine with the light set: Python finds no such module.
    hidden = "import sys; sys.modules['torch'] = None; from imgbatch.__main__ import command"
    words = ["run", folder, tmp_path / "d", "--recipe", tmp_path / "r.toml", "--engine", "inline"]
    done = subprocess.run(
        [sys.executable, "-c", f"{hidden}; command()", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == MissingExtraError.exit_code == 15
    assert "analyzer classify needs the package torch, which is not installed" in done.stderr
    assert "to do: In the clone of imgbatch: `scripts/setup models`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "d").exists()


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


@pytest.mark.parametrize("hidden", ["dataset.json", "runs", "tables/image/_delta_log", "*.parquet"])
def test_a_dataset_that_may_not_be_read_is_no_damage(closed: Path, hidden: str) -> None:
    found = min((closed / "d").rglob(hidden) if "*" in hidden else [closed / "d" / hidden])
    mode = found.stat().st_mode
    found.chmod(0)
    try:
        with nobody(), pytest.raises(DeniedError, match=r"[Pp]ermission denied") as caught:
            verify(Dataset.open(str(closed / "d")))
    finally:
        found.chmod(mode)
    assert "\x1b" not in str(caught.value)


def test_a_file_that_stands_in_the_way_of_a_folder_is_told(closed: Path) -> None:
    (closed / "file").write_bytes(b"mine")
    with pytest.raises(StorageError, match=f"no folder can be made at {closed}/file") as caught:
        export(Dataset.open(str(closed / "d")), str(closed / "file"), form="csv")
    assert "stands in its way" in caught.value.remedy
    assert (closed / "file").read_bytes() == b"mine"


def cut(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-100])


READERS: dict[str, Callable[[Dataset, Path], object]] = {
    "verify": lambda dataset, _: verify(dataset),
    "status": lambda dataset, _: status(dataset),
    "history": lambda dataset, _: history(dataset),
    "explain": lambda dataset, folder: explain(dataset, str(folder / "in/00000.jpg")),
    "report": lambda dataset, _: write_report(dataset),
    "export": lambda dataset, folder: export(dataset, str(folder / "out"), form="csv"),
    "group": lambda dataset, _: label(dataset, "duplicates"),
}


@pytest.mark.parametrize("damage", [cut, Path.unlink])
@pytest.mark.parametrize(
    "table", ["manifest", "tables/sources", "tables/image", "tables/hashes", "groups/duplicates"]
)
def test_a_lost_or_cut_part_is_damage_to_all_who_read_it(
    tmp_path: Path, table: str, damage: Callable[[Path], None]
) -> None:
    source = corpus.many(tmp_path / "in", 3)
    recipe = "[analyzers.image]\n[analyzers.hashes]\n"
    corpus.run_inline(source, tmp_path / "d", recipe=recipe)
    label(Dataset.open(str(tmp_path / "d")), "duplicates")
    damage(min((tmp_path / "d" / table).glob("*.parquet")))
    noticed = set()
    for name, read in READERS.items():
        try:
            found = read(Dataset.open(str(tmp_path / "d")), tmp_path)
        except DamageError:
            noticed.add(name)
        else:
            if isinstance(found, Verified) and found.problems:
                noticed.add(name)
    assert {"verify", "export"} <= noticed
