"""A sample of vectors in; k-means of it out: centers, how good they are, how stable.

Decision, 2026-11: scikit-learn's k-means++ goes through the sample K times in products that are
too small for BLAS threads, which then wait for each other: 100,000 vectors of 512 numbers and
K = 50 took 7 to 26 s to start and 0.4 to 0.8 s to fit (4 cores, shared). So it starts from at most
START rows, without BLAS threads (0.6 s). Drawback: above START rows, the result is another one than
that of scikit-learn's defaults with the same seed, though as good.
"""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, pairwise_distances, silhouette_score
from threadpoolctl import threadpool_limits

from imgbatch.errors import GroupError
from imgbatch.vectors.learnt import Learnt, by_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Method = Literal["kmeans", "minibatch"]

START = 16_384
# Products of one step below which threads wait for each other longer than they work: 1,800 vectors
# took 3 s with four threads on a busy machine, and 0.02 s with one.
SPREAD = 50_000_000
BATCH = 4096


def fit(
    sample: NDArray[np.float32], k: int, seed: int, method: Method = "kmeans"
) -> KMeans | MiniBatchKMeans:
    """Return scikit-learn's k-means of (n, p) vectors, one start by k-means++.

    Raises:
        GroupError: fewer than K of the vectors can be told apart.
    """
    if method == "kmeans":
        model = KMeans(k, init=_start, n_init=1, random_state=seed)
    else:
        model = MiniBatchKMeans(k, init=_start, n_init=1, random_state=seed, batch_size=BATCH)
    small = len(sample) * sample.shape[1] * k < SPREAD
    with threadpool_limits(1 if small else None), warnings.catch_warnings():
        # It warns of what is an error below, and not in words for whoever asked for clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(sample)
    # k-means leaves no cluster empty unless vectors coincide; of MiniBatchKMeans some may be.
    found = len(np.unique(model.labels_))
    if method == "kmeans" and found < k:
        raise GroupError(
            f"K is {k}, and the vectors to fit on fall into {found} that can be told apart",
            f"Nothing was written. Give --set k={found} or less, or --set pca=0.",
        )
    return model


def _start(
    sample: NDArray[np.float32], k: int, random_state: np.random.RandomState
) -> NDArray[np.float32]:
    if len(sample) > START:
        sample = sample[random_state.choice(len(sample), max(START, k), replace=False)]
    with threadpool_limits(1, "blas"):
        centers: NDArray[np.float32] = kmeans_plusplus(sample, k, random_state=random_state)[0]
    return centers


def learn(
    sample: NDArray[np.float32],
    scored: NDArray[np.int64],
    counts: Sequence[int],
    seeds: Sequence[int],
    method: Method = "kmeans",
) -> tuple[Learnt, dict[str, Any]]:
    """Fit each K with the first seed, and the best of them with the other seeds too.

    Args:
        sample: (n, p).
        scored: indexes of those rows of it that the silhouettes are taken over.
        counts: every K that is tried; the highest silhouette wins, the first of equals.
        seeds: by how much labels depend on them is how stable the winner is.
        method: which of scikit-learn's two.

    Returns:
        what was learnt, the largest cluster first; and `k`, `stability` (mean adjusted Rand index
        over all pairs of seeds, None for one seed), `seeds`: how many, and `scores`: k, inertia,
        iterations and silhouette of every K.

    Raises:
        GroupError: fewer than a K of the vectors can be told apart.
    """
    models = [fit(sample, k, seeds[0], method) for k in counts]
    found = silhouettes(sample[scored], [model.labels_[scored] for model in models])
    scores = [
        {"k": k, "inertia": float(m.inertia_), "iterations": int(m.n_iter_), "silhouette": s}
        for k, m, s in zip(counts, models, found, strict=True)
    ]
    best = int(np.argmax([-np.inf if value is None else value for value in found]))
    model, k = models[best], counts[best]
    others = [fit(sample, k, seed, method).labels_ for seed in seeds[1:]]
    stable = stability([model.labels_, *others])
    about = {"k": k, "stability": stable, "seeds": len(seeds), "scores": scores}
    centroids = model.cluster_centers_[by_size(model.labels_, k)].astype(np.float32)
    reach = np.full(k, np.inf, np.float32)
    return Learnt(centroids, np.arange(k, dtype=np.int32), reach, centroids), about


def silhouettes(
    sample: NDArray[np.float32], labelings: Sequence[NDArray[np.int32]]
) -> list[float | None]:
    """Return the mean silhouette of each labeling of (n, p) vectors; takes n^2 memory.

    None where a labeling has one group only, or as many groups as there are vectors, or none.
    """
    if not len(sample):
        return [None] * len(labelings)
    distances = pairwise_distances(sample)
    np.fill_diagonal(distances, 0)  # rounding leaves a little there
    return [
        float(silhouette_score(distances, labels, metric="precomputed"))
        if 1 < len(np.unique(labels)) < len(labels)
        else None
        for labels in labelings
    ]


def stability(labelings: Sequence[NDArray[np.int32]]) -> float | None:
    """Return the mean adjusted Rand index over all pairs of labelings; None for fewer than two."""
    pairs = [adjusted_rand_score(a, b) for a, b in combinations(labelings, 2)]
    return float(np.mean(pairs)) if pairs else None
