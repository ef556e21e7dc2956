"""A list column of Arrow in; a float32 matrix and the rows that have a vector out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.errors import GroupError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def matrix(column: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which rows of a list column have a vector, and these vectors.

    Returns:
        (m,) indexes, ascending, and (m, d) float32.

    Raises:
        GroupError: it holds no vectors, or vectors of different lengths, or numbers that are none.
    """
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    require(column.type)
    found = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    valid = column.drop_null()
    lengths = pc.unique(pc.list_value_length(valid)).to_pylist()
    if len(lengths) > 1:
        raise GroupError(f"vectors of different lengths in one table: {sorted(lengths)}")
    values = valid.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    vectors = values.reshape(len(found), lengths[0] if lengths else 0)
    if not np.isfinite(values).all():
        raise GroupError("a vector holds a number that is not finite")
    return found, vectors


def packed(vectors: NDArray[np.float32]) -> pa.Array:
    """Return (m, d) vectors as a column of their bytes.

    Arrow brings 100,000 vectors of 512 numbers into another order in 3 s and 1 GB as lists, and in
    0.1 s and no more than their own size as bytes.
    """
    rows, width = vectors.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * (4 * width)
    data = np.ascontiguousarray(vectors, np.float32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), rows, buffers)


def unpacked(column: Any) -> NDArray[np.float32]:
    """Return the vectors of a column that `packed` made: (m, d).

    Raises:
        GroupError: they are of different lengths.
    """
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = pc.unique(pc.binary_length(column)).to_pylist()
    if len(lengths) > 1:
        told = sorted(length // 4 for length in lengths)
        raise GroupError(f"vectors of different lengths in one table: {told}")
    if not lengths or not lengths[0]:
        return np.zeros((0, 0), np.float32)
    start = column.offset * lengths[0]
    count = len(column) * lengths[0] // 4
    data = np.frombuffer(column.buffers()[2], np.float32, offset=start, count=count)
    return data.reshape(len(column), -1)


def distinct(vectors: NDArray[np.float32], enough: int) -> int:
    """Return how many different ones there are of (m, d) vectors, `enough` at most.

    It looks no further once there are enough, and keeps a hash of each: seldom more than K rows.
    """
    seen: set[int] = set()
    for row in vectors:
        seen.add(hash((row + 0).tobytes()))  # adding 0 makes one zero of the two
        if len(seen) >= enough:
            break
    return len(seen)


def require(kind: pa.DataType) -> None:
    """Look whether a column is one of vectors.

    Raises:
        GroupError: it is not.
    """
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not (any(is_list(kind) for is_list in lists) and pa.types.is_floating(kind.value_type)):
        raise GroupError(f"the column holds {kind}, no vectors of floats")
