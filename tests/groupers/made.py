"""Made vectors as the tables that groupers read: held in memory, given out in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from imgbatch import groupers
from imgbatch.dataset.ordered import in_order
from imgbatch.groupers import Context
from imgbatch.records import source_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


class Made:
    """Tables in memory, cut into parts as small as asked for."""

    def __init__(self, tables: Mapping[str, pa.Table], part: int = 700) -> None:
        self._tables = tables
        self._part = part

    def count(self, name: str) -> int:
        return self._tables[name].num_rows

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        yield from in_order(self._tables[name]).combine_chunks().to_batches(self._part)

    def over(self, name: str, function: Callable[[pa.RecordBatch], pa.Table]) -> pa.Table:
        parts = self._tables[name].combine_chunks().to_batches(self._part)
        return in_order(pa.concat_tables([function(part) for part in reversed(parts)]))


class Beside:
    """Files beside labels, and labels that the next grouping takes over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, bytes] = {}
        self.said: list[str] = []
        self.labels: pa.Table | None = None

    def group(self, name: str, tables: Made, *, anew: bool = False, **settings: Any) -> pa.Table:
        """Group, and take the labels for the former ones next time."""
        module = groupers.load(name)
        before = dict(self.files)
        context = Context(
            former=None if anew else self.labels,
            folder=self.folder,
            say=self.said.append,
            write=self.files.__setitem__,
            read=before.get,
        )
        self.labels = module.group(tables, module.Settings(**settings), context)
        return self.labels


def keys(names: Sequence[str]) -> dict[str, pa.Array]:
    """Return the keys of one picture for each name."""
    ids = [source_id_of(name) for name in names]
    return {
        "source_id": pa.array(ids),
        "version": pa.array([f"1-{i:x}" for i in range(len(ids))]),
        "picture_id": pa.array([f"{key}-0" for key in ids]),
    }


def lists(vectors: Any) -> pa.Array:
    """Return a list column of a matrix, or of vectors and Nones."""
    if isinstance(vectors, np.ndarray):
        rows, width = vectors.shape
        offsets = np.arange(0, rows * width + 1, width, dtype=np.int32)
        return pa.ListArray.from_arrays(offsets, vectors.astype(np.float32).ravel())
    return pa.array(vectors, pa.list_(pa.float32()))


def pictures(vectors: Any, names: Sequence[str] | None = None) -> pa.Table:
    """Return a table with one picture, and so one embedding, for each vector."""
    names = names or [f"file:///made/{i}.png" for i in range(len(vectors))]
    return pa.table({**keys(names), "embedding": lists(vectors)})
