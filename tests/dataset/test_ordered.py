"""Rows of many small parts on their way to a grouper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from imgbatch.dataset import ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 300


class Looked:
    """A batch that counts how often somebody asks how large it is."""

    nbytes = 1
    looks = 0

    @property
    def num_rows(self) -> int:
        Looked.looks += 1
        return 1


def test_small_batches_are_each_measured_once_until_they_fill_a_chunk() -> None:
    def batches() -> Iterator[Any]:
        for _ in range(MANY):
            yield Looked()
        raise EOFError

    with pytest.raises(EOFError):
        list(ordered._chunks(batches()))
    assert Looked.looks == MANY


def test_chunks_hold_all_rows_in_order_and_no_more_than_they_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordered, "CHUNK", 10)
    rows = pa.table({"n": range(37)})
    found = list(ordered._chunks(iter(rows.to_batches(max_chunksize=3))))
    assert [chunk.num_rows for chunk in found] == [12, 12, 12, 1]
    assert pa.concat_tables(found).equals(rows)
