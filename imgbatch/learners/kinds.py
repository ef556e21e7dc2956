"""A learner's name and settings in, an estimator of scikit-learn out.

Forest and naive Bayes see the vectors as they are. The linear learners see them standardised, each
number to mean 0 and deviation 1 over the rows of the fit: they would otherwise hear the loudest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from imgbatch.errors import SettingsError
from imgbatch.settings import Settings, check, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping


class Forest(Settings):
    """A random forest (Breiman 2001), as scikit-learn grows it.

    Attributes:
        trees: how many.
        depth: of a tree at most; 0: until its leaves are pure.
    """

    trees: int = Field(default=100, ge=1, le=10_000)
    depth: int = Field(default=0, ge=0)

    def estimator(self, seed: int, threads: int) -> Any:
        """Return it, not fitted."""
        from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - slow to import

        return RandomForestClassifier(
            n_estimators=self.trees,
            max_depth=self.depth or None,
            random_state=seed,
            n_jobs=threads,
        )


class Bayes(Settings):
    """Naive Bayes, each number normal within a class.

    Attributes:
        smoothing: share of the largest variance that is added to all; without any, a number that
            is the same in all rows of a class would leave no probability to any other.
    """

    smoothing: float = Field(default=1e-9, gt=0, allow_inf_nan=False)

    def estimator(self, seed: int, threads: int) -> Any:  # noqa: ARG002 - it has no chance, no threads
        """Return it, not fitted."""
        from sklearn.naive_bayes import GaussianNB  # noqa: PLC0415 - slow to import

        return GaussianNB(var_smoothing=self.smoothing)


class Svm(Settings):
    """A linear support vector machine, one class against the rest; it gives no probabilities.

    Attributes:
        c: the larger, the less it is held back.
        iterations: at most.
    """

    c: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    iterations: int = Field(default=5000, ge=1)

    def estimator(self, seed: int, threads: int) -> Any:  # noqa: ARG002 - it has no threads
        """Return it, not fitted."""
        from sklearn.svm import LinearSVC  # noqa: PLC0415 - slow to import

        return _standardised(LinearSVC(C=self.c, max_iter=self.iterations, random_state=seed))


class Logistic(Settings):
    """Logistic regression, of several classes by the softmax.

    Attributes:
        c: the larger, the less it is held back.
        iterations: at most.
    """

    c: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    iterations: int = Field(default=1000, ge=1)

    def estimator(self, seed: int, threads: int) -> Any:  # noqa: ARG002 - it has no threads
        """Return it, not fitted."""
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import

        return _standardised(
            LogisticRegression(C=self.c, max_iter=self.iterations, random_state=seed)
        )


Kind = Forest | Bayes | Svm | Logistic
KINDS: dict[str, type[Kind]] = {
    "forest": Forest,
    "bayes": Bayes,
    "svm": Svm,
    "logistic": Logistic,
}


def read_kind(name: str, settings: Mapping[str, Any]) -> Kind:
    """Return a learner's settings.

    Raises:
        SettingsError: no such learner or setting, or a value out of range.
    """
    if name not in KINDS:
        raise SettingsError(
            f"no model {name!r}{nearest(name, list(KINDS))}", f"One of {', '.join(KINDS)}."
        )
    return check(KINDS[name], dict(settings), where=f"--set of {name}")


def one_vs_rest(estimator: Any) -> Any:
    """Return an estimator that fits one of these for each class against the others."""
    from sklearn.multiclass import OneVsRestClassifier  # noqa: PLC0415 - slow to import

    return OneVsRestClassifier(estimator)


def _standardised(estimator: Any) -> Any:
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - slow to import
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - a second to load, for few commands

    return make_pipeline(StandardScaler(), estimator)
