"""Enters: a dataset and a photo, or words. Leaves: the pictures or faces that are most similar.

    open_space   the vectors of one table, all made alike          (space)
    ask          the photo's own vector, made the same way         (asked, now, outside, query)
    nearest      the cosine with every vector, the best kept       (cosine)
    hits, page   a table, or a page of thumbnails                  (hits, page)

The similarity is the cosine of two vectors, the distance 1 less that: 0 to 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgbatch.dataset.state import unlocked
from imgbatch.errors import SearchError
from imgbatch.models.faces import thresholds
from imgbatch.search.asked import ask, ask_words
from imgbatch.search.cosine import nearest
from imgbatch.search.hits import sources_of, table_of
from imgbatch.search.space import Space, open_space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from imgbatch.dataset import Dataset
    from imgbatch.records import Source
    from imgbatch.search.query import Query
    from imgbatch.settings import Limits

__all__ = ["Found", "face", "like", "look", "text"]

METRIC = "cosine"
K = 20
# Tables that are searched when none is named.
FACES = ("faces_regions",)
WORDS = ("clip", "embed")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        kind: how it was asked: `like`, `face` or `text`.
        asked: with what: the photo as it was named, or the words.
        queries: one, or one per face of the photo.
        hits: one row per hit: query (its number), rank, similarity, distance, match, address, keys.
        sources: of hits and queries, by source_id.
        compared: how many vectors were compared with.
        pointless: how many more have no direction.
        threshold: the largest distance that counts as a match; None where none is known.
    """

    kind: str
    asked: str
    space: Space
    queries: Sequence[Query]
    hits: pa.Table
    sources: Mapping[str, Source]
    compared: int
    pointless: int
    threshold: float | None = None

    @property
    def noticed(self) -> Sequence[str]:
        """What is to be told of what was asked with: it is not, or may not be, what a run saw."""
        return list(dict.fromkeys(query.noticed for query in self.queries if query.noticed))

    def record(self) -> dict[str, Any]:
        """Return what was asked and of what, for JSON."""
        return {
            self.kind: self.asked,
            "queries": [query.label for query in self.queries],
            "table": self.space.table,
            "model": self.space.model,
            "fingerprint": self.space.fingerprint,
            "metric": METRIC,
            "threshold": self.threshold,
            "compared": self.compared,
            "pointless": self.pointless,
            "noticed": self.noticed,
        }


def like(
    dataset: Dataset, photo: str, limits: Limits, *, k: int = K, on: str | None = None
) -> Found:
    """Return the pictures that are most similar to a photo; the photo itself is left out.

    So is every frame of a video that is named as a whole; of one named by a picture_id, that frame.

    Args:
        dataset: where to look.
        photo: a local path, the URL of an object, or a source of the dataset: its address, its
            source_id, or a picture_id.
        limits: of fetching and decoding.
        k: how many.
        on: the table whose vectors are compared; see `space.open_space`.

    Raises:
        SearchError: nothing to compare, or nothing to compare it with.
        MissingExtraError: what the table's analyzer needs is not installed.
        BusyError: a takedown or a run went by while it was read.
        StorageError: a store failed.
    """
    space = open_space(dataset, on)
    with unlocked(space.dataset):
        return look("like", photo, space, ask(space, photo, limits), k=k)


def face(
    dataset: Dataset,
    photo: str,
    limits: Limits,
    *,
    k: int = K,
    on: str | None = None,
    threshold: float | None = None,
) -> Found:
    """Return for each face of a photo the faces that are most similar; that face is left out.

    Args:
        dataset: where to look.
        photo: as for `like`; a source's faces are those that the dataset knows of it.
        limits: of fetching and decoding.
        k: how many for each face.
        on: the table whose vectors are compared; `faces_regions` by default.
        threshold: the largest distance that counts as a match; by default the model's, where one
            is known: see `models.faces.thresholds`.

    Raises:
        SearchError: no face in the photo, no faces with vectors, or none to compare with.
        WeightsError, MissingExtraError: the model that found the faces is not at hand.
        BusyError: a takedown or a run went by while it was read.
        StorageError: a store failed.
    """
    space = open_space(dataset, on, grain="region", preferred=FACES)
    if threshold is None:
        threshold = thresholds.published(space.named, space.made_of.get("settings", {}))
    with unlocked(space.dataset):
        return look("face", photo, space, ask(space, photo, limits), k=k, threshold=threshold)


def text(
    dataset: Dataset, words: str, limits: Limits, *, k: int = K, on: str | None = None
) -> Found:
    """Return the pictures that are most similar to words, by the CLIP model of a table.

    Args:
        dataset: where to look.
        words: such as "a photo of a protest at night".
        limits: where weights lie.
        k: how many.
        on: the table whose vectors are compared; by default `clip`, else `embed`.

    Raises:
        SearchError: no table was made by a model that reads words; the words are none, or too many.
        WeightsError, MissingExtraError: the model is not at hand.
    """
    space = open_space(dataset, on, preferred=WORDS)
    with unlocked(space.dataset):
        return look("text", words, space, [ask_words(space, words, limits)], k=k)


def look(
    kind: str,
    asked: str,
    space: Space,
    queries: Sequence[Query],
    *,
    k: int,
    threshold: float | None = None,
) -> Found:
    """Compare queries with all vectors of a space.

    Raises:
        SearchError: there is no other vector to compare with.
    """
    found = nearest(
        space.batches(),
        [query.vector for query in queries],
        column=space.column,
        key=space.key,
        k=k,
        leave=[{*query.others, *filter(None, [query.own])} for query in queries],
    )
    if not any(one.rows.num_rows for one in found.best):
        raise SearchError(
            f"table {space.table} has no other vector to compare with",
            "Bring more pictures into the dataset: `imgbatch run INPUT DATASET`.",
        )
    sources = sources_of(
        space, found.best, [query.source_id for query in queries if query.source_id]
    )
    return Found(
        kind,
        asked,
        space,
        queries,
        table_of(found.best, sources, threshold),
        sources,
        found.compared,
        found.pointless,
        threshold,
    )
