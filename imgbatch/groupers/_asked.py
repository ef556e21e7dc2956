"""What clusters are asked for: the settings, what of them a fit depends on, and what it takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from imgbatch.errors import GroupError
from imgbatch.settings import Settings as BaseSettings
from imgbatch.vectors.columns import distinct

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

SAMPLE = {"kmeans": 50_000, "minibatch": 50_000, "hdbscan": 10_000}
DIMENSIONS = {"kmeans": 200, "minibatch": 200, "hdbscan": 50}
LEAST = 2  # rows of a cluster that hdbscan finds
_LARGER = "a larger sample: --set sample=N"
RANGE = re.compile(r"(\d+)(?:-(\d+)(?:/(\d+))?)?")


class Settings(BaseSettings):
    """What is grouped, and how.

    Attributes:
        table: with the vectors: `classic`, `embed`, `clip`, ...
        column: of that table.
        method: kmeans, minibatch (MiniBatchKMeans) or hdbscan.
        k: how many clusters; `5-20` tries each from 5 to 20, `10-100/10` every tenth, and the
            highest silhouette wins. Not for hdbscan.
        pca: principal components that are kept; 0: the vectors as they are. By default 200, for
            hdbscan 50.
        seed: of every draw.
        sample: about so many rows are fitted on. By default 50,000, for hdbscan 10,000.
        score_sample: about so many of them give the silhouettes; its square is held in memory.
        stability: so many seeds, from `seed` on, are compared; below 2: none. Not for hdbscan.
        smallest: hdbscan: a cluster has at least so many rows of the sample.
        neighbours: hdbscan: a dense place has so many rows around it; by default `smallest`.
        exemplars: of each kind and cluster.
    """

    table: str = "embed"
    column: str = "embedding"
    method: Literal["kmeans", "minibatch", "hdbscan"] = "kmeans"
    k: int | str = "5-20"
    pca: int | None = Field(default=None, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**31)
    sample: int | None = Field(default=None, ge=2)
    score_sample: int = Field(default=5000, ge=2, le=50_000)
    stability: int = Field(default=5, ge=0, le=100)
    smallest: int = Field(default=20, ge=LEAST)
    neighbours: int | None = Field(default=None, ge=1)
    exemplars: int = Field(default=20, ge=0)

    @field_validator("k")
    @classmethod
    def _readable(cls, k: int | str) -> str:
        found = RANGE.fullmatch(str(k))
        if not found or not _counts(str(k)):
            raise ValueError("a number, a range such as 5-20, or one with a step: 10-100/10")
        return str(k)

    @property
    def counts(self) -> range:
        """Every K that is tried, the smallest first."""
        return _counts(str(self.k))

    @property
    def rows(self) -> int:
        """About how many rows are fitted on."""
        return self.sample or SAMPLE[self.method]

    @property
    def dimensions(self) -> int:
        """How many principal components are kept."""
        return DIMENSIONS[self.method] if self.pca is None else self.pca


def _counts(text: str) -> range:
    found = RANGE.fullmatch(text)
    assert found is not None
    first, last, step = (int(g) if g else None for g in found.groups())
    if not first or step == 0:
        return range(0)
    return range(first, (last or first) + 1, step or 1)


def FITTED_BY(settings: Settings) -> Mapping[str, Any]:  # noqa: N802 - as `clusters` exports it
    """Return the settings that the centers depend on, each as it takes effect.

    `exemplars` are chosen afterwards, and `stability` is measured beside the fit.
    """
    found: dict[str, Any] = {
        "table": settings.table,
        "column": settings.column,
        "method": settings.method,
        "pca": settings.dimensions,
        "seed": settings.seed,
        "sample": settings.rows,
    }
    if settings.method == "hdbscan":
        neighbours = settings.neighbours or settings.smallest
        return {**found, "smallest": settings.smallest, "neighbours": neighbours}
    counts = settings.counts
    if len(counts) == 1:
        return {**found, "k": str(counts[0])}
    # Silhouettes choose among several.
    return {**found, "k": settings.k, "score_sample": settings.score_sample}


def enough(vectors: NDArray[np.float32], settings: Settings, rows: int) -> None:
    """Look whether there are as many vectors as what is asked for takes.

    Args:
        vectors: that are fitted on, (m, d).
        settings: what is asked for.
        rows: of the table. Where that are more than are fitted on, a larger sample may help.

    Raises:
        GroupError: there are not, or not as many different ones.
    """
    place = f"{settings.table}.{settings.column}"
    drawn = rows > settings.rows
    if not len(vectors) and drawn:
        raise GroupError(
            f"of {rows:,} rows of {place} about {settings.rows:,} are drawn to fit on, and none of "
            "them has a vector",
            f"Nothing was written. Give {_LARGER}, or look at the status of the rows.",
        )
    if not len(vectors):
        raise GroupError(
            f"{place} holds no vector: there is nothing to group",
            "Nothing was written. Look at the status of its rows, or name another table.",
        )
    if settings.method == "hdbscan":
        _enough_for_density(len(vectors), settings, place, drawn=drawn)
        return
    wanted = settings.counts[-1]
    found = len(vectors) if wanted > len(vectors) else distinct(vectors, wanted)
    if found < wanted:
        different = "" if wanted > len(vectors) else f", of which {found:,} differ"
        raise GroupError(
            f"K is {settings.k}, and {place} gives {len(vectors):,} vectors to fit on{different}",
            f"Nothing was written. Give {_less('k', found, 1, drawn=drawn)}.",
        )


def _enough_for_density(count: int, settings: Settings, place: str, *, drawn: bool) -> None:
    if count < LEAST:
        more = f"Give {_LARGER}" if drawn else "Bring more pictures: `imgbatch run INPUT DATASET`"
        raise GroupError(
            f"{place} gives one vector to fit on, and hdbscan groups what lies close together",
            f"Nothing was written. {more}.",
        )
    if settings.smallest > count:
        fitting = max(LEAST, count // 10)
        raise GroupError(
            f"smallest is {settings.smallest}, and {place} gives {count:,} vectors to fit on",
            f"Nothing was written. Give {_less('smallest', fitting, LEAST, drawn=drawn)}.",
        )


def _less(name: str, value: int, least: int, *, drawn: bool) -> str:
    """Return what to set, and what else helps."""
    said = f"--set {name}={value}" + (" or less" if value > least else "")
    return f"{said}, or {_LARGER}" if drawn else said
