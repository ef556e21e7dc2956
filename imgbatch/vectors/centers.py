"""What a clustering learnt from its sample, enough to label any further vector the same way.

It is kept as an .npz file without pickled objects, so that it can be read years later.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from imgbatch.errors import GroupError
from imgbatch.vectors.assign import nearest, own_and_next, squares
from imgbatch.vectors.learnt import NOISE, Learnt
from imgbatch.vectors.space import Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A row of the sample is within its own reach, whatever rounding makes of it: share of its length.
SLACK = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Centers:
    """A fitted clustering.

    Attributes:
        width: numbers that a vector has, before its principal components are taken.
        space: where distances are measured.
        learnt: in this space.
    """

    width: int
    space: Space
    learnt: Learnt

    def measured(
        self, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the cluster of each of (n, p) projected vectors, its distance and silhouette.

        The distance is that to the centroid. The silhouette is the simplified one (Hruschka, de
        Castro and Campello 2004): distances to centroids stand for mean distances to all members.
        In no cluster, which is NOISE, both are NaN; with one only, there is no silhouette.
        """
        centroids = self.learnt.centroids
        if self.learnt.by_centroids:
            # One product gives all three; most of the time goes into products.
            found, own, other = own_and_next(vectors, centroids)
            return found.astype(np.int32), own, self._silhouette(own, other)
        labels = self._labels(vectors)
        distance, silhouette = np.full((2, len(vectors)), np.nan, np.float32)
        inside = np.flatnonzero(labels != NOISE)
        if inside.size:
            own_labels = labels[inside].astype(np.int64)
            _, own, other = own_and_next(vectors[inside], centroids, own_labels)
            distance[inside] = own
            silhouette[inside] = self._silhouette(own, other)
        return labels, distance, silhouette

    def _labels(self, vectors: NDArray[np.float32]) -> NDArray[np.int32]:
        points, distances = nearest(vectors, self.learnt.points)
        labels = self.learnt.labels[points]
        allowed = self.learnt.reach[points] + SLACK * np.sqrt(squares(vectors))
        labels[distances > allowed] = NOISE
        return labels

    def _silhouette(
        self, own: NDArray[np.float32], other: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if len(self.learnt.centroids) == 1:
            return np.full(len(own), np.nan, np.float32)
        largest = np.maximum(np.maximum(own, other), np.finfo(np.float32).tiny)
        found: NDArray[np.float32] = np.divide(other - own, largest, dtype=np.float32)
        return found

    def project(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, width) vectors in the space of the clustering.

        Raises:
            GroupError: vectors of another length.
        """
        if vectors.shape[1] != self.width:
            raise GroupError(
                f"vectors of {vectors.shape[1]} numbers, and of {self.width} where it was fitted",
                "Group anew with --anew.",
            )
        return self.space.project(vectors)

    def dump(self) -> bytes:
        """Return it as the bytes of an .npz file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, width=self.width, **asdict(self.space), **asdict(self.learnt))
        return buffer.getvalue()


def load(data: bytes) -> Centers:
    """Read what `dump` returned."""
    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        return Centers(
            width=int(held["width"]),
            space=Space(held["mean"], held["axes"], float(held["kept"])),
            learnt=Learnt(held["points"], held["labels"], held["reach"], held["centroids"]),
        )
