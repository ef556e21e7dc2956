"""Vectors of length 1 in; pairs of them that are near out, by an index: never all with all.

The vectors are cut into cells around centers (k-means with few steps), and each is compared with
what lies in the PROBES cells that it is nearest to (an inverted file: Jegou, Douze and Schmid
2011). Near ones in other cells are missed now and then; two faces of one person are linked by way
of a third. Vectors may lie in a file that is mapped into memory: what is read is a cell and those
that look into it.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from imgbatch.vectors.assign import CELLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So few are compared all with all: it takes less time than an index.
EXACT = 5000
PROBES = 16
STEPS = 8
# Vectors per cell that the centers are fitted on.
PER_CELL = 64
# Links that one vector has at most, the nearest first: a face that comes ten thousand times is
# linked as well by a few of them.
MOST = 32
CHUNK = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Where vectors lie.

    Attributes:
        probed: (n, p) int32, the cells that each vector is nearest to, the nearest first.
        cells: how many there are.
    """

    probed: NDArray[np.int32]
    cells: int


def index(vectors: NDArray[np.float32], exact: int = EXACT) -> Index:
    """Cut (n, d) vectors of length 1 into about the square root of n cells."""
    rows = len(vectors)
    if rows <= exact:
        return Index(np.zeros((rows, 1), np.int32), 1)
    cells = int(np.sqrt(rows))
    sample = vectors[:: max(1, rows // (cells * PER_CELL))]
    model = KMeans(cells, init="random", n_init=1, max_iter=STEPS, random_state=0)
    with warnings.catch_warnings():
        # Of copies there may be fewer different vectors than cells: some cells stay empty.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(sample)
    centers = model.cluster_centers_
    lengths = (centers**2).sum(axis=1)
    probes = min(PROBES, cells)
    probed = np.empty((rows, probes), np.int32)
    for start in range(0, rows, CHUNK):
        far = lengths - 2 * (vectors[start : start + CHUNK] @ centers.T)
        near = np.argpartition(far, probes - 1, axis=1)[:, :probes]
        order = np.take_along_axis(far, near, axis=1).argsort(axis=1)
        probed[start : start + CHUNK] = np.take_along_axis(near, order, axis=1)
    return Index(probed, cells)


def near(
    vectors: NDArray[np.float32],
    place: Index,
    rows: NDArray[np.int64],
    points: NDArray[np.int64],
    *,
    distance: float,
    most: int = MOST,
) -> csr_array:
    """Return which points are near to which rows.

    Args:
        vectors: (n, d) of length 1.
        place: of all of them.
        rows: ascending indexes of those that look.
        points: ascending indexes of those that are looked for.
        distance: the largest cosine distance, 1 - x.y, that is near.
        most: how many points a row keeps, the nearest first.

    Returns:
        (n, n) cosine similarities; nothing is near to itself.
    """
    count = len(vectors)
    homes = place.probed[points, 0]
    order = np.argsort(homes, kind="stable")
    starts = np.searchsorted(homes[order], np.arange(place.cells + 1))
    looks = place.probed[rows]
    flat = np.argsort(looks, axis=None, kind="stable")
    bounds = np.searchsorted(looks.ravel()[flat], np.arange(place.cells + 1))

    def pairs(cell: int) -> NDArray[np.float64]:
        inside = points[order[starts[cell] : starts[cell + 1]]]
        asking = rows[flat[bounds[cell] : bounds[cell + 1]] // looks.shape[1]]
        return _pairs(vectors, asking, inside, 1 - distance, most)

    # A cell for each thread: the threads of BLAS would wait for each other in products this small
    # (20,000 faces on a busy machine: 12 s with them, 1.6 s without).
    threads = len(os.sched_getaffinity(0))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads, "links") as pool:
        found = list(pool.map(pairs, range(place.cells)))
    first, second, value = np.hstack(found)
    links = csr_array((value, (first.astype(np.int64), second.astype(np.int64))), (count, count))
    return _nearest_only(links, most)


def _pairs(
    vectors: NDArray[np.float32],
    asking: NDArray[np.int64],
    inside: NDArray[np.int64],
    least: float,
    most: int,
) -> NDArray[np.float64]:
    """Return rows, points and their similarities, (3, pairs), for one cell."""
    found = [np.zeros((3, 0))]
    if not inside.size:
        return found[0]
    held = np.asarray(vectors[inside])
    step = max(1, CELLS // len(inside))
    for start in range(0, len(asking), step):
        own = asking[start : start + step]
        product = np.asarray(vectors[own]) @ held.T
        product[own[:, None] == inside] = -np.inf
        many = np.flatnonzero((product >= least).sum(axis=1) > most)
        if many.size:
            some = product[many]
            bound = np.partition(some, len(inside) - most, axis=1)[:, len(inside) - most, None]
            # Of equal ones the first: a face that comes ten thousand times has as many equals.
            equal, more = some == bound, some > bound
            room = most - more.sum(axis=1)[:, None]
            kept = more | (equal & (equal.cumsum(axis=1, dtype=np.int32) <= room))
            product[many] = np.where(kept, some, -np.inf)
        first, second = np.nonzero(product >= least)
        found.append(np.stack([own[first], inside[second], product[first, second]]))
    return np.hstack(found)


def _nearest_only(links: csr_array, most: int) -> csr_array:
    """Return links without those beyond the nearest of each row."""
    rows = np.repeat(np.arange(links.shape[0]), np.diff(links.indptr))
    order = np.lexsort((links.indices, -links.data, rows))
    rank = np.arange(len(order)) - links.indptr[rows]
    kept = order[rank < most]
    chosen = (links.data[kept], (rows[kept], links.indices[kept]))
    return csr_array(chosen, links.shape)
