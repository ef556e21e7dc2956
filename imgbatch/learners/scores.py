"""Predicted and true labels in, what an evaluation reports out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def scores(
    truth: NDArray[np.str_],
    predicted: NDArray[np.str_],
    strength: NDArray[np.float64],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return accuracy, and of each class precision, recall, F1, average precision and its rows.

    Average precision is scikit-learn's: the precision at each place where recall grows, weighted by
    how much it grows, over rows from the strongest for that class down.

    Args:
        truth: (n,) labels.
        predicted: (n,) labels.
        strength: (n, classes) how strongly each class is spoken for.
        classes: their names, in the order of `strength`.

    Returns:
        rows, accuracy, classes (a list of records), confusion ([truth][predicted], counts). A value
        that is not defined, such as the precision of a class that was never predicted, is None.
    """
    from sklearn.metrics import average_precision_score  # noqa: PLC0415 - slow to import

    number = {name: place for place, name in enumerate(classes)}
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, ([number[t] for t in truth], [number[p] for p in predicted]), 1)
    each = []
    for place, name in enumerate(classes):
        hits = int(confusion[place, place])
        said, there = int(confusion[:, place].sum()), int(confusion[place].sum())
        ranked = there and average_precision_score(truth == name, strength[:, place])
        each.append(
            {
                "class": name,
                "rows": there,
                "precision": hits / said if said else None,
                "recall": hits / there if there else None,
                "f1": 2 * hits / (said + there) if said + there else None,
                "average_precision": float(ranked) if there else None,
            }
        )
    return {
        "rows": len(truth),
        "accuracy": float(np.mean(truth == predicted)),
        "classes": each,
        "confusion": confusion.tolist(),
    }


def strengths(estimator: Any, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how strongly each class is spoken for: (n, classes); probabilities where it has some.

    The order of classes is that of `estimator.classes_`. Of two classes a margin is that of the
    second; the first has its negative.
    """
    if has_probabilities(estimator):
        found: NDArray[np.float64] = estimator.predict_proba(vectors)
        return found
    margins = np.asarray(estimator.decision_function(vectors))
    return np.column_stack([-margins, margins]) if margins.ndim == 1 else margins


def has_probabilities(estimator: Any) -> bool:
    """Return whether an estimator gives probabilities."""
    return hasattr(estimator, "predict_proba")
