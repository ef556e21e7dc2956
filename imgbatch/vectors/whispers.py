"""A graph of links in; communities out: Chinese whispers (Biemann 2006), as face albums use it.

Each node takes the label that its neighbours have most of, by weight, until none changes. The nodes
take turns in quarters that are drawn anew each round: two of the same quarter may swap their
labels, but not for ever. One node after the other would take hours in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from imgbatch.vectors.draw import scramble

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 40
TURNS = 4


def communities(links: csr_array, turns: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return a label for each node: the number of one of its community.

    Args:
        links: (n, n), the weights of links; taken in both directions.
        turns: (n,) an evenly spread number of each node, by which its turns are drawn.
    """
    whole = links.maximum(links.T).tocsr()
    count = whole.shape[0]
    labels = np.arange(count)
    for _ in range(ROUNDS):
        before = labels.copy()
        turns = scramble(turns)
        for turn in range(TURNS):
            rows = np.flatnonzero(turns % np.uint64(TURNS) == turn)
            _listen(labels, rows, whole[rows])
        if (labels == before).all():
            break
    return labels


def _listen(labels: NDArray[np.int64], rows: NDArray[np.int64], own: csr_array) -> None:
    """Give some nodes the label that is loudest around them, the smallest one of equals."""
    count = len(labels)
    held = csr_array((np.ones(count), labels, np.arange(count + 1)), (count, count))
    heard = (own @ held).tocsr()
    heard.sort_indices()
    some = np.flatnonzero(np.diff(heard.indptr))
    if not some.size:
        return
    loudest = np.maximum.reduceat(heard.data, heard.indptr[some])
    lengths = np.diff(heard.indptr)[some]
    entry_row = np.repeat(np.arange(some.size), lengths)
    wins = np.flatnonzero(heard.data == loudest[entry_row])
    _, first = np.unique(entry_row[wins], return_index=True)
    labels[rows[some]] = heard.indices[wins[first]]
