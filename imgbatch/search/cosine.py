"""Enters: vectors in batches, and some to compare them with. Leaves: the most similar to each.

Exact: every row is compared, a few megabytes at a time, and only the best are kept. Batches are
compared in single precision, what may be among the best once more in double, so that neither the
size of a batch nor the number of threads shows in the result.

Decision, 2026-11: no index (faiss). Of the 3.5 s that 1,000,000 x 512 numbers take on four busy
cores, all but some tenths go into reading them, and they have to be read to build an index.
Drawback: many searches in a row read the table many times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import threadpoolctl

from imgbatch.errors import SearchError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

# Numbers that are compared at once: 32 MiB in double precision.
BLOCK = 4 * 2**20
# What single precision may be off by.
ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Best:
    """The rows that are most similar to one vector.

    Attributes:
        rows: their keys, the most similar first; equally similar ones by their names.
        similarity: cosines, -1 to 1.
    """

    rows: pa.Table
    similarity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Nearest:
    """What a pass over all vectors found.

    Attributes:
        best: of each query, in order.
        compared: how many vectors it was compared with.
        pointless: how many more have no direction (all zero).
    """

    best: list[Best]
    compared: int
    pointless: int


def nearest(
    batches: Iterable[pa.RecordBatch],
    queries: Sequence[NDArray[np.float64]],
    *,
    column: str,
    key: str,
    k: int,
    leave: Sequence[Collection[str]],
) -> Nearest:
    """Return the k rows that are most similar to each query, by the cosine.

    Args:
        batches: rows with keys and vectors; no vector is null.
        queries: vectors, not all zero.
        column: holds the vectors.
        key: the column that names a row; ties are broken by it.
        k: how many rows, at least 1.
        leave: for each query the names of rows to leave out: of the photo that was asked with.

    Raises:
        SearchError: a vector has another length than the queries.
    """
    # Products of a thousand rows are too small to share: BLAS's threads only wait for each other,
    # and take the cores from those that read (one pass in 13 s, with one thread 4 s).
    with threadpoolctl.threadpool_limits(1):
        return _pass(batches, queries, column, key, k, leave)


def _pass(
    batches: Iterable[pa.RecordBatch],
    queries: Sequence[NDArray[np.float64]],
    column: str,
    key: str,
    k: int,
    leave: Sequence[Collection[str]],
) -> Nearest:
    asked = np.stack([query / np.linalg.norm(query) for query in queries])
    kept = [_Kept(own, leaves, key, k) for own, leaves in zip(queries, leave, strict=True)]
    compared = pointless = 0
    for batch in batches:
        step = max(1, BLOCK // asked.shape[1])
        for start in range(0, batch.num_rows, step):
            rows = batch.slice(start, step)
            vectors = as_matrix(rows.column(column), asked.shape[1])
            norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            pointing = norms > 0
            pointless += int((~pointing).sum())
            compared += int(pointing.sum())
            with np.errstate(divide="ignore", invalid="ignore"):
                rough = (vectors @ asked.T.astype(vectors.dtype)) / norms[:, None]
            keys = rows.drop_columns([column])
            for place, one in enumerate(kept):
                one.see(keys, vectors, np.where(pointing, rough[:, place], -np.inf))
    return Nearest([one.best() for one in kept], compared, pointless)


def as_matrix(column: pa.Array, length: int) -> NDArray[np.float32] | NDArray[np.float64]:
    """Return lists of numbers as (n, length); whole numbers in double precision, so exact.

    Raises:
        SearchError: one of them has another length.
    """
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if lengths not in ([], [length]):
        raise SearchError(
            f"vectors of {' and '.join(map(str, lengths))} numbers do not compare with one of "
            f"{length}",
            "They were made by different models or settings: run again with one recipe.",
        )
    values = column.flatten().to_numpy(zero_copy_only=False)
    wanted = np.float32 if pt.is_float32(column.type.value_type) else np.float64
    matrix: NDArray[np.float32] = values.astype(wanted, copy=False).reshape(-1, length)
    return matrix


class _Kept:
    """The best rows so far for one query."""

    def __init__(
        self, query: NDArray[np.float64], leave: Collection[str], key: str, k: int
    ) -> None:
        self._query = query
        self._leave = leave
        self._key = key
        self._k = k
        self._rows: pa.Table | None = None
        self._similarity = np.zeros(0)

    def see(
        self,
        rows: pa.RecordBatch,
        vectors: NDArray[np.float32] | NDArray[np.float64],
        rough: NDArray[np.float64],
    ) -> None:
        """Take the rows that may be among the best."""
        # More than k: the rows that are left out may be among them.
        count = self._k + len(self._leave)
        floor = -np.inf if len(self._similarity) < self._k else self._similarity[-1]
        if len(rough) > count:
            floor = max(floor, float(np.partition(rough, -count)[-count]))
        at = np.flatnonzero((rough >= floor - ROUNDING) & np.isfinite(rough))
        if not len(at):
            return
        # Row by row, and not by a matrix product: that rounds by the number of rows.
        wide = vectors[at].astype(np.float64)
        squares = np.einsum("ij,ij->i", wide, wide) * np.einsum("i,i", self._query, self._query)
        # One root of both, so that a vector and itself give 1 and not nearly 1.
        exact = np.einsum("ij,j->i", wide, self._query) / np.sqrt(squares)
        found = pa.Table.from_batches([rows]).take(at)
        if self._leave:
            ours = pa.array(sorted(self._leave), found[self._key].type)
            others = pc.invert(pc.is_in(found[self._key], ours)).to_numpy()
            found, exact = found.filter(others), exact[others]
        self._merge(found, np.clip(exact, -1.0, 1.0))

    def _merge(self, rows: pa.Table, similarity: NDArray[np.float64]) -> None:
        whole = rows if self._rows is None else pa.concat_tables([self._rows, rows])
        values = np.concatenate([self._similarity, similarity])
        names = whole[self._key].to_numpy().astype(str)
        first = np.lexsort((names, -values))[: self._k]
        self._rows, self._similarity = whole.take(first).combine_chunks(), values[first]

    def best(self) -> Best:
        """Return them; none at all when nothing was seen."""
        return Best(pa.table({}) if self._rows is None else self._rows, self._similarity)
