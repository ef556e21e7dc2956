"""Rows that lie on the disk, and what becomes of the folder that they lie in."""

from __future__ import annotations

import gc
import tempfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from imgbatch.dataset.spill import CHUNK, Rows, Spill
from imgbatch.errors import InputError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema([("name", pa.string()), ("number", pa.int64())])


def batch(start: int, count: int) -> pa.RecordBatch:
    numbers = range(start, start + count)
    return pa.record_batch([[f"{n:09}" for n in numbers], list(numbers)], schema=SCHEMA)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_rows_come_back_in_order_and_in_batches(temporary: Path) -> None:
    spill = Spill()
    batches = [batch(start, 7000) for start in range(140_000, -1, -7000)]
    spill.fill("numbers", SCHEMA, batches)
    rows = Rows(spill, "numbers", order="name")
    found = list(rows.batches())
    assert rows.num_rows == len(rows) == 147_000
    assert max(b.num_rows for b in found) <= CHUNK
    assert [n for b in found for n in b["number"].to_pylist()] == list(range(147_000))
    assert rows.read().schema == SCHEMA
    assert [path.name[:9] for path in temporary.iterdir()] == ["imgbatch-"]


@pytest.mark.usefixtures("temporary")
def test_an_empty_table_has_its_columns() -> None:
    spill = Spill()
    spill.fill("numbers", SCHEMA, [])
    rows = Rows(spill, "numbers", order="name")
    assert (rows.num_rows, list(rows.batches()), rows.read().schema) == (0, [], SCHEMA)


def test_the_folder_goes_with_the_last_that_holds_it(temporary: Path) -> None:
    spill = Spill()
    spill.fill("numbers", SCHEMA, [batch(0, 10)])
    rows = Rows(spill, "numbers", order="name")
    del spill
    gc.collect()
    assert rows.read().num_rows == 10
    del rows
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_an_error_of_whoever_gives_the_rows_keeps_its_class_and_leaves_nothing(
    temporary: Path,
) -> None:
    def broken():  # type: ignore[no-untyped-def]  # noqa: ANN202 - a generator of one test
        yield batch(0, CHUNK)
        raise InputError("gone")

    spill = Spill()
    with pytest.raises(InputError, match="gone"):
        spill.fill("numbers", SCHEMA, broken())
    spill.close()
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("temporary")
def test_a_full_disk_says_which_folder_to_change() -> None:
    spill = Spill()
    spill.run("SET max_temp_directory_size = '1MB'")
    spill.run("SET memory_limit = '30MB'")
    spill.run("CREATE TABLE many AS SELECT md5(i::VARCHAR) AS name FROM range(2_000_000) t(i)")
    with pytest.raises(StorageError, match="the temporary folder") as caught:
        list(Rows(spill, "many", order="name").batches())
    assert "TMPDIR" in caught.value.remedy


@pytest.mark.usefixtures("temporary")
def test_too_little_memory_is_not_told_as_a_full_disk() -> None:
    spill = Spill()
    spill.run("SET memory_limit = '10MB'")
    spill.run("CREATE TABLE many AS SELECT md5(i::VARCHAR) AS name FROM range(2_000_000) t(i)")
    with pytest.raises(StorageError, match="does not fit into 300MB of memory") as caught:
        list(Rows(spill, "many", order="name").batches())
    assert "TMPDIR" not in caught.value.remedy
