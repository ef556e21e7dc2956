"""What a driver says of outcomes is what their rows say, whatever happened to the dataset."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from imgbatch.dataset import SOURCES, Dataset, counts
from imgbatch.dataset.delta import Table
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.verify import verify
from imgbatch.errors import DamageError
from imgbatch.observe.status import status
from imgbatch.settings import Limits
from tests.corpus import many, run_inline

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "[analyzers.image]\n"
LIMITS = Limits(shard_sources=5, commit_seconds=0.001)


def by_rows(path: Path) -> Counter[tuple[str, str | None]]:
    rows = Dataset.open(str(path)).read(SOURCES, columns=["status", "error_class"]).to_pylist()
    return Counter((row["status"], row["error_class"]) for row in rows)


def read_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return which parts are read to count all."""
    found: set[str] = set()
    batches = Table.batches

    def watched(self: Table, columns: object, where: object = None, only: object = None) -> object:
        found.update(only)  # type: ignore[call-overload] # of these alone
        return batches(self, columns, where, only)  # type: ignore[arg-type] # passed on

    with monkeypatch.context() as patch:
        patch.setattr(Table, "batches", watched)
        assert counts.outcomes(Dataset.open(str(path))) == by_rows(path)
    return found


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = many(tmp_path / "in", 30)
    for number in range(0, 30, 7):
        (folder / f"{number:05}.jpg").write_bytes(b"no picture %d" % number)
    (folder / "posts.json").write_text("{}")
    run_inline(folder, tmp_path / "d", recipe=RECIPE, limits=LIMITS)
    return tmp_path


def test_no_part_is_read_that_a_driver_committed(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_parts(made / "d", monkeypatch) == set()
    assert status(Dataset.open(str(made / "d")))["outcomes"] == {
        "ok": {"ok": 25},
        "failed": {"decode.unrecognised": 5},
        "filtered": {"sidecar": 1},
    }


def test_new_changed_and_removed_sources_are_counted_where_they_are(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made / "in/00000.jpg").write_bytes((made / "in/00001.jpg").read_bytes())
    (made / "in/00002.jpg").write_bytes(b"broken now")
    for number in range(20, 26):
        (made / f"in/{number:05}.jpg").unlink()
    (made / "in/new.jpg").write_bytes(b"new and broken")
    run_inline(made / "in", made / "d", recipe=RECIPE, limits=LIMITS)
    assert read_parts(made / "d", monkeypatch) == set()
    # Parts that are no longer held are no longer told of.
    told = pq.read_table(made / "d" / counts.NAME)["path"].to_pylist()
    held = Dataset.open(str(made / "d")).table(counts.OUTCOMES).parts()
    assert set(told) == set(held)


def test_rows_tell_where_the_driver_does_not(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Dataset.open(str(made / "d"))
    forget(opened, look_up(opened, [given(str((made / "in/00003.jpg").resolve()))]))
    written_by_forget = read_parts(made / "d", monkeypatch)
    assert len(written_by_forget) == 1
    for damage in (b"no parquet", b""):
        (made / "d" / counts.NAME).write_bytes(damage)
        assert len(read_parts(made / "d", monkeypatch)) == len(
            Dataset.open(str(made / "d")).table(counts.OUTCOMES).parts()
        )


def test_a_run_goes_on_where_the_counts_cannot_be_written(made: Path) -> None:
    (made / "d" / counts.NAME).unlink()
    (made / "d" / counts.NAME).mkdir()
    (made / "in/new.jpg").write_bytes(b"new and broken")
    assert run_inline(made / "in", made / "d", recipe=RECIPE, limits=LIMITS).sources == 1


def test_a_run_with_nothing_to_do_that_has_to_read_a_lost_part_tells_how_to_mend_it(
    made: Path,
) -> None:
    """Without the file of counts the rows are read, and what is lost must not be passed over."""
    lost = min((made / "d" / "tables" / "sources").glob("*.parquet"))
    lost.unlink()
    assert run_inline(made / "in", made / "d", recipe=RECIPE).shards == 0  # verify looks for damage
    (made / "d" / counts.NAME).unlink()
    with pytest.raises(DamageError, match=f"{lost.name}$") as told:
        run_inline(made / "in", made / "d", recipe=RECIPE)
    assert "`imgbatch run INPUT DATASET --repair`" in told.value.remedy
    mended = run_inline(made / "in", made / "d", recipe=RECIPE, repair=True)
    assert (mended.repaired, verify(Dataset.open(str(made / "d"))).problems) == (1, [])
