"""Labels and distances in; the rank of each row in its cluster, and who stands for it, out.

Three kinds, as the field's contact sheets have them: those nearest to the centroid, a fair draw,
and those on the border, which lie almost as near to another centroid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("nearest", "random", "border")


def ranks(labels: NDArray[np.int32], values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the place of each row in its cluster by a value, from 1; 0 in no cluster.

    Rows with the same value come in the order in which they stand.
    """
    found = np.zeros(len(labels), np.int64)
    order = np.lexsort((values, labels))
    order = order[labels[order] >= 0]
    own = labels[order]
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    lengths = np.diff(np.append(starts, len(own)))
    found[order] = np.arange(1, len(own) + 1) - np.repeat(starts, lengths)
    return found


def kinds(
    count: int,
    *,
    nearest: NDArray[np.int64],
    random: NDArray[np.int64],
    border: NDArray[np.int64],
) -> list[str | None]:
    """Return of each row what it is an exemplar of: some of KINDS joined by a space; None of none.

    Args:
        count: exemplars of each kind and cluster.
        nearest: ranks by distance.
        random: ranks by a draw.
        border: ranks by silhouette, the smallest first.
    """
    found: list[str | None] = [None] * len(nearest)
    chosen = [(rank > 0) & (rank <= count) for rank in (nearest, random, border)]
    for row in np.flatnonzero(np.logical_or.reduce(chosen)):
        words = [kind for kind, mine in zip(KINDS, chosen, strict=True) if mine[row]]
        found[row] = " ".join(words)
    return found
