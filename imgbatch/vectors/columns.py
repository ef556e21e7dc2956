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


def require(kind: pa.DataType) -> None:
    """Look whether a column is one of vectors.

    Raises:
        GroupError: it is not.
    """
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not (any(is_list(kind) for is_list in lists) and pa.types.is_floating(kind.value_type)):
        raise GroupError(f"the column holds {kind}, no vectors of floats")
