"""A sample of vectors in; HDBSCAN of it out: labels, and how far each row of it reaches.

scikit-learn's HDBSCAN (Campello, Moulavi and Sander 2013) labels the rows that it is fitted on and
no others, in time that grows with their square (10,000 rows of 50 numbers took 7 s, 20,000 took
30 s). Another row gets the label of the nearest row of the sample, if it lies no farther from it
than that row's own `neighbours`-th neighbour; else it is noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.neighbors import NearestNeighbors

from imgbatch.vectors.learnt import Learnt, by_size

if TYPE_CHECKING:
    from numpy.typing import NDArray


def learn(sample: NDArray[np.float32], smallest: int, neighbours: int) -> Learnt:
    """Fit HDBSCAN on (n, p) vectors.

    Args:
        sample: (n, p).
        smallest: a cluster has at least so many rows (`min_cluster_size`).
        neighbours: a dense place has so many rows around it (`min_samples`), itself included.

    Returns:
        the sample as points, the largest cluster first; none at all where nowhere is dense.
    """
    model = HDBSCAN(min_cluster_size=smallest, min_samples=neighbours, copy=True)
    labels = model.fit_predict(sample)
    k = int(labels.max(initial=-1)) + 1
    places = np.full(k + 1, -1, np.int32)  # the last one is that of -1, noise
    places[by_size(labels, k)] = np.arange(k)
    labels = places[labels]
    around = NearestNeighbors(n_neighbors=neighbours).fit(sample)
    reach = around.kneighbors(sample)[0][:, -1].astype(np.float32)
    return Learnt(sample, labels, reach, means(sample, labels, k))


def means(sample: NDArray[np.float32], labels: NDArray[np.int32], k: int) -> NDArray[np.float32]:
    """Return the mean of the rows of each label 0 to k - 1: (k, p)."""
    inside = labels >= 0
    sums = np.zeros((k, sample.shape[1]))
    np.add.at(sums, labels[inside], sample[inside])
    counts = np.bincount(labels[inside], minlength=k)
    return (sums / counts[:, None]).astype(np.float32)
