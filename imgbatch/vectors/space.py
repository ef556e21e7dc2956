"""A sample of vectors in; its principal components out, and vectors in their terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where distances are measured: all dimensions of the vectors, or the first components.

    Attributes:
        mean: (d,) float32, of the sample; empty when vectors are taken as they are.
        axes: (p, d) float32, orthonormal; empty when vectors are taken as they are.
        kept: share of the sample's variance that the components hold.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    kept: float

    def project(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, d) vectors as (n, p)."""
        if not self.axes.size:
            return vectors
        shift = self.axes @ self.mean
        found: NDArray[np.float32] = vectors @ self.axes.T
        found -= shift
        return found


def fit_space(sample: NDArray[np.float32], dimensions: int, seed: int) -> Space:
    """Return the first principal components of a sample, not whitened.

    As many components as there are dimensions, or more, only turn the axes: no distance changes,
    and the vectors are taken as they are. So they are with 0.
    """
    rows, width = sample.shape
    if dimensions == 0 or dimensions >= width or rows <= 1:
        nothing = np.zeros(0, np.float32)
        return Space(nothing, nothing.reshape(0, 0), 1.0)
    pca = PCA(min(dimensions, rows), svd_solver="covariance_eigh", random_state=seed)
    pca.fit(sample)
    mean, axes = pca.mean_.astype(np.float32), pca.components_.astype(np.float32)
    return Space(mean, axes, float(np.sum(pca.explained_variance_ratio_)))
