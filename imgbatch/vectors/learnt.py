"""What a method learnt from a sample: points, the cluster that each stands for, and its reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


NOISE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """A clustering in its own space, of p dimensions.

    Attributes:
        points: (c, p) float32; a vector belongs where the nearest of them does. The centroids of
            k-means, the sample itself of HDBSCAN.
        labels: (c,) int32, the cluster of each point; NOISE for none.
        reach: (c,) float32, how far from a point a vector may lie to belong with it.
        centroids: (k, p) float32, the mean of each cluster.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int32]
    reach: NDArray[np.float32]
    centroids: NDArray[np.float32]

    @property
    def by_centroids(self) -> bool:
        """Whether a vector belongs to the nearest centroid, however far that is: k-means."""
        own = np.arange(len(self.points))
        return bool(
            np.isposinf(self.reach).all()
            and np.array_equal(self.labels, own)
            and np.array_equal(self.points, self.centroids)
        )


def by_size(labels: NDArray[np.int32], k: int) -> NDArray[np.int64]:
    """Return the labels 0 to k - 1 in the order of how often they come, the most frequent first."""
    return np.argsort(-np.bincount(labels[labels >= 0], minlength=k), kind="stable")
