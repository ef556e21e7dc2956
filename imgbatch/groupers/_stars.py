"""Near pairs enter; groups leave, each of them near its own middle.

Whatever is linked by pairs may be a chain whose ends have nothing in common: the frames of a pan, a
face that ages. So a group is a star: the picture with the most near ones is its middle, all that
are near to it are its members, and what is left of the chain is grouped again, without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from imgbatch.groupers import _near

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imgbatch.groupers._near import Codes, Pairs

QUARTERS = 4
# A chain falls into so many stars at most; what is left of it then is in no group.
ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Stars:
    """What each picture belongs to.

    Attributes:
        middle: the place of its star's middle; its own where it is alone.
        distance: bits between the two.
        turns: quarters, against the clock, that bring it to lie as its middle does.
    """

    middle: NDArray[np.int64]
    distance: NDArray[np.uint8]
    turns: NDArray[np.int8]


def stars(these: Codes, pairs: Pairs, distance: int) -> Stars:
    """Return stars of pictures that differ from their middle in at most so many bits."""
    count = len(these)
    found = Stars(np.arange(count), np.zeros(count, np.uint8), np.zeros(count, np.int8))
    degree = np.bincount(pairs.first, minlength=count) + np.bincount(pairs.second, minlength=count)
    quarters = [these]
    for _ in range(1, QUARTERS):
        quarters.append(_near.turned(quarters[-1]))
    first, second = pairs.first, pairs.second
    for _ in range(ROUNDS):
        if not len(first):
            break
        left = _near.distinct(np.concatenate([first, second]))
        middle = _middles(left, first, second, degree)
        away, turns = _apart(quarters, left, middle)
        near = away <= distance
        taken = left[near]
        found.middle[taken] = middle[near]
        found.distance[taken] = away[near]
        found.turns[taken] = turns[near]
        gone = np.zeros(count, bool)
        gone[taken] = True
        both = ~(gone[first] | gone[second])
        first, second = first[both], second[both]
    return found


def _middles(
    left: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    degree: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return for each picture the one with the most pairs of all that it is linked with."""
    size = len(left)
    ends = np.searchsorted(left, first), np.searchsorted(left, second)
    links = coo_array((np.ones(len(first), bool), ends), shape=(size, size))
    _, chain = connected_components(links, directed=False)
    order = np.lexsort((left, -degree[left], chain))
    heads = order[np.flatnonzero(np.append(True, np.diff(chain[order]) > 0))]
    best: NDArray[np.int64] = left[heads[chain]]
    return best


def _apart(
    quarters: list[Codes], these: NDArray[np.int64], middle: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Return how far pictures are from their middle at best, and turned by how many quarters."""
    away = _near.distances(quarters[0][these], quarters[0][middle])
    turns = np.zeros(len(these), np.int8)
    for quarter in range(1, QUARTERS):
        # What ties lose is not the same on both sides.
        here = _near.distances(quarters[quarter][these], quarters[0][middle])
        there = _near.distances(quarters[0][these], quarters[QUARTERS - quarter][middle])
        apart = np.minimum(here, there)
        turns[apart < away] = quarter
        away = np.minimum(away, apart)
    return away, turns
