"""Vectors and centers in; for each vector the nearest center out, in blocks that BLAS likes.

|x - c|^2 = |x|^2 - 2 x.c + |c|^2: one matrix product for a block of vectors and all centers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Products of this many numbers: 32 MiB, whatever the number of centers.
CELLS = 8 * 2**20


def squares(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return |x|^2 of (n, p) vectors."""
    found: NDArray[np.float32] = np.einsum("ij,ij->i", vectors, vectors)
    return found


def blocks(
    vectors: NDArray[np.float32], centers: NDArray[np.float32]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield |c|^2 - 2 x.c for some vectors at a time: (rows, centers), to be written to at will."""
    lengths = squares(centers)
    doubled = -2 * centers.T
    step = max(1, CELLS // max(1, len(centers)))
    for start in range(0, len(vectors), step):
        rows = slice(start, start + step)
        product = vectors[rows] @ doubled
        product += lengths
        yield rows, product


def nearest(
    vectors: NDArray[np.float32], centers: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the nearest center of each vector, and how far it is."""
    labels = np.empty(len(vectors), np.int64)
    found = squares(vectors)
    for rows, product in blocks(vectors, centers):
        labels[rows] = product.argmin(axis=1)
        found[rows] += np.take_along_axis(product, labels[rows, None], axis=1)[:, 0]
    return labels, root(found)


def own_and_next(
    vectors: NDArray[np.float32],
    centers: NDArray[np.float32],
    labels: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return each vector's label, how far its center is, and how far the nearest other one.

    The last is infinite where there is one center only.

    Args:
        vectors: (n, p).
        centers: (c, p).
        labels: (n,), which center is whose; by default the nearest one.
    """
    found = np.empty(len(vectors), np.int64) if labels is None else labels
    own = np.empty(len(vectors), np.float32)
    other = np.empty(len(vectors), np.float32)
    for rows, product in blocks(vectors, centers):
        if labels is None:
            found[rows] = product.argmin(axis=1)
        mine = found[rows, None]
        own[rows] = np.take_along_axis(product, mine, axis=1)[:, 0]
        np.put_along_axis(product, mine, np.inf, axis=1)
        other[rows] = product.min(axis=1)
    lengths = squares(vectors)
    return found, root(own + lengths), root(other + lengths)


def root(squared: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return square roots; rounding may have brought a zero below zero."""
    return np.sqrt(np.maximum(squared, 0, out=squared))
