"""Which faces are one person's, as the embeddings of a face recogniser have it. Biometric data.

    good faces -> links (cosine distance at most `threshold`) -> communities by Chinese whispers
        -> a middle for each -> what is too far from its middle is grouped again -> the other faces

Only faces of good quality link people: a small or blurred one is near to many. It is given to a
person afterwards, where it is near enough to that person's middle. Whatever is given to a person is
within `threshold` of its middle: the face with the smallest mean distance to all others of it. A
chain of faces that each resemble the next (a child that grows up, two people who look alike) falls
apart.

Pairs are found by an index, never all with all, and vectors lie in a file, not in memory. A person
is named after one of its faces, and keeps the name when faces are added. A name is no identity: a
threshold has errors, more for some groups of people than for others, and each is to be looked at.

Decision, 2026-11: Chinese whispers rather than DBSCAN or average linkage. DBSCAN joins two people
by one chain of likenesses, and average linkage takes the square of the faces. Drawback: faces take
turns by a draw, so that another seed may cut a doubtful group otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from imgbatch.analyzers import Column
from imgbatch.errors import GroupError
from imgbatch.groupers import KEYS, _names
from imgbatch.models.faces.thresholds import COSINE, published
from imgbatch.settings import Settings as BaseSettings
from imgbatch.vectors import links, whispers
from imgbatch.vectors.columns import matrix
from imgbatch.vectors.draw import draws

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imgbatch.groupers import Context, Tables

VERSION = 1
COLUMNS = (
    Column(
        "person",
        pa.string(),
        "The person: the id of one of their faces, kept as long as the person is there."
        " As sure as the model and its threshold, no more",
        missing="the face is near to no other, or has no embedding",
        mark="biometric",
    ),
    Column("person_size", pa.int32(), "Faces of the person", range=">= 2", missing="no person"),
    Column(
        "distance",
        pa.float32(),
        "Cosine distance to the person's middle face",
        range="0 to the threshold",
        missing="no person, or its middle face was forgotten and no embeddings are there to find"
        " another",
        mark="biometric",
    ),
    Column(
        "is_middle",
        pa.bool_(),
        "It is the middle face of its person; one for each that has a distance",
    ),
    Column(
        "linked",
        pa.bool_(),
        "It was good enough to link people; others are only given to people that are there",
    ),
)
ALONE = True
ROUNDS = 4
NO_ONE = -1


class Settings(BaseSettings):
    """What counts as one person, and which faces are good enough to say so.

    Attributes:
        table: of the faces.
        threshold: largest cosine distance of two faces of one person; by default that of the
            recogniser, where one is published: see `imgbatch.models.faces.thresholds`.
        faces: a person has at least so many that link.
        min_score: what the detector is less sure of does not link. Faces without a score do.
        min_side: pixels of the original picture; nor does what is smaller in height or width.
        min_sharpness: nor does what is more blurred; see the column `sharpness`.
        seed: of the turns that faces take.
    """

    table: str = "faces_regions"
    threshold: float | None = Field(default=None, gt=0, lt=1)
    faces: int = Field(default=2, ge=2)
    min_score: float = Field(default=0.6, ge=0, le=1)
    min_side: float = Field(default=40, ge=0)
    min_sharpness: float = Field(default=20, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**31)


def READS(settings: Settings) -> Mapping[str, Sequence[str]]:  # noqa: N802 - what a grouper exports
    """Return the embeddings of faces, and what their quality is told by."""
    return {settings.table: ["embedding", "score", "width", "height", "sharpness"]}


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """All faces of a table, in the order of their keys.

    Attributes:
        keys: source_id, version, picture_id, region_id.
        rows: which of them have a vector: ascending.
        vectors: (len(rows), d) float32 of length 1, in a file.
        good: (len(rows),) whether they link people.
    """

    keys: pa.Table
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    good: NDArray[np.bool_]


def group(tables: Tables, settings: Settings, context: Context) -> pa.Table:
    """Return the person of every face.

    Raises:
        GroupError: no face has an embedding, or no threshold is known for who made them.
    """
    threshold = settings.threshold or _threshold(tables.made_of(settings.table))
    faces = _read(tables, settings, context.folder)
    context.say(f"{len(faces.rows):,} faces have an embedding, {int(faces.good.sum()):,} link")
    place = links.index(faces.vectors)
    turns = draws(faces.keys["region_id"].take(pa.array(faces.rows)), settings.seed)
    people = _linked(faces, place, turns, threshold, settings.faces)
    people, middles = _numbered(people, faces.vectors)
    distance = _given(faces.vectors, place, people, middles, threshold)
    context.say(f"{len(middles):,} people in {int((people >= 0).sum()):,} faces")
    return _table(faces, people, middles, distance, context.former)


def left(labels: pa.Table, known: Mapping[str, pa.Table], settings: Settings) -> pa.Table:  # noqa: ARG001 - as groupers export it
    """Return what is left of people some of whose faces have no embedding to be grouped by again.

    Of whom too few faces are left that link is nobody any more.
    """
    names = labels["person"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, person, sizes = np.unique(names, return_inverse=True, return_counts=True)
    middle, linked = (labels[name].to_numpy() for name in ("is_middle", "linked"))
    nobody = (np.bincount(person, linked) < settings.faces)[person]
    far = nobody | (np.bincount(person, middle) == 0)[person]
    none = {name: pa.scalar(None, labels[name].type) for name in ("person", "distance")}
    columns = {
        "person": pc.if_else(pa.array(nobody), none["person"], labels["person"]),
        "person_size": pa.array(sizes[person].astype(np.int32), mask=nobody),
        "distance": pc.if_else(pa.array(far), none["distance"], labels["distance"]),
        "is_middle": pa.array(middle & ~nobody),
        "linked": labels["linked"],
    }
    return pa.table({**{key: labels[key] for key in KEYS if key in labels.column_names}, **columns})


def _threshold(made: Mapping[str, Any]) -> float:
    told = made.get("settings", {})
    name = str(told.get("detector", ""))
    found = published(name, told)
    if found is None:
        own = " with weights of your own" if told.get("weights") else ""
        raise GroupError(
            f"no threshold is published for the embeddings of {name or 'this table'}{own}; there "
            f"is one for {', '.join(COSINE)}",
            "Nothing was written. Measure one on pairs of your own: --set threshold=0.5, say.",
        )
    return found


def _read(tables: Tables, settings: Settings, folder: Path) -> Faces:
    """Write the vectors into a file and return what is known of the faces."""
    path = folder / "vectors.f32"
    keys, rows, good = [], [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    start = width = 0
    with path.open("wb") as file:
        for batch in tables.batches(settings.table):
            found, vectors = matrix(batch.column("embedding"))
            lengths = np.linalg.norm(vectors, axis=1)
            found, vectors, lengths = (part[lengths > 0] for part in (found, vectors, lengths))
            if found.size and width not in (0, vectors.shape[1]):
                raise GroupError("embeddings of different lengths in one table")
            width = vectors.shape[1] if found.size else width
            file.write((vectors / lengths[:, None]).astype(np.float32).tobytes())
            keys.append(batch.select([key for key in KEYS if key in batch.schema.names]))
            rows.append(start + found)
            good.append(_good(batch, settings)[found])
            start += batch.num_rows
    places = np.concatenate(rows)
    if not places.size:
        raise GroupError(
            f"no row of {settings.table} has an embedding",
            "Nothing was written. Run with recognition = true in [analyzers.faces].",
        )
    held = np.memmap(path, np.float32, "r", shape=(len(places), width))
    return Faces(pa.Table.from_batches(keys), places, held, np.concatenate(good))


def _good(batch: pa.RecordBatch, settings: Settings) -> NDArray[np.bool_]:
    """Return which faces are good enough to link; what is not known speaks not against one."""
    values = {
        name: batch.column(name).cast(pa.float64()).fill_null(np.inf).to_numpy(zero_copy_only=False)
        for name in ("score", "width", "height", "sharpness")
    }
    side = np.minimum(values["width"], values["height"])
    found: NDArray[np.bool_] = (
        (values["score"] >= settings.min_score)
        & (side >= settings.min_side)
        & (values["sharpness"] >= settings.min_sharpness)
    )
    return found


def _linked(
    faces: Faces,
    place: links.Index,
    turns: NDArray[np.uint64],
    threshold: float,
    least: int,
) -> NDArray[np.int64]:
    """Return the person of each face by number; NO_ONE for those that no links give to one."""
    people = np.full(len(faces.rows), NO_ONE, np.int64)
    left = np.flatnonzero(faces.good)
    graph = links.near(faces.vectors, place, left, left, distance=threshold)
    for _ in range(ROUNDS):
        found = whispers.communities(graph[left][:, left], turns[left])
        _, own, sizes = np.unique(found, return_inverse=True, return_counts=True)
        large = sizes[own] >= least
        people[left[large]] = found[large]
        some, middles = _near(people, faces.vectors, left[large], threshold)
        # A number is the middle, which is never left over: no other round gives it again.
        people[some] = middles[some]
        left = np.setdiff1d(left[large], some, assume_unique=True)
        if not left.size:
            break
    _, own, sizes = np.unique(people, return_inverse=True, return_counts=True)
    people[sizes[own] < least] = NO_ONE
    return people


def _near(
    people: NDArray[np.int64],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take the far ones of some rows out of their people; return the others, and their middles.

    Without them the middle may be another face, so it is looked at again until all are near.
    """
    while True:
        middles = _middles(people, vectors, rows)
        far = _distances(vectors, rows, middles[rows]) > threshold
        if not far.any():
            return rows, middles
        people[rows[far]] = NO_ONE
        rows = rows[~far]


def _middles(
    people: NDArray[np.int64], vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return, for each of some rows, the middle of its person; NO_ONE for all other rows.

    The mean cosine distance of x to all of a person is 1 - x.s / n, s being the sum of them: so the
    middle is where x.s is largest.
    """
    found = np.full(len(people), NO_ONE, np.int64)
    if not rows.size:
        return found
    order = rows[np.argsort(people[rows], kind="stable")]
    bounds = np.flatnonzero(np.diff(people[order], prepend=-2))
    for start, end in zip(bounds, [*bounds[1:], len(order)], strict=True):
        own = order[start:end]
        held = np.asarray(vectors[own])
        found[own] = own[int(np.argmax(held @ held.sum(axis=0)))]
    return found


def _distances(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.float32]:
    found = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), links.CHUNK):
        part = slice(start, start + links.CHUNK)
        found[part] = 1 - np.einsum("ij,ij->i", vectors[rows[part]], vectors[others[part]])
    return np.maximum(found, 0)


def _numbered(
    people: NDArray[np.int64], vectors: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return people numbered from 0, and the middle of each."""
    rows = np.flatnonzero(people >= 0)
    middles = _middles(people, vectors, rows)
    values, own = np.unique(middles[rows], return_inverse=True)
    numbered = np.full(len(people), NO_ONE, np.int64)
    numbered[rows] = own
    return numbered, values


def _given(
    vectors: NDArray[np.float32],
    place: links.Index,
    people: NDArray[np.int64],
    middles: NDArray[np.int64],
    threshold: float,
) -> NDArray[np.float32]:
    """Give faces that are nobody's to the nearest person; return how far each is from a middle."""
    alone = np.flatnonzero(people < 0)
    if alone.size and middles.size:
        graph = links.near(vectors, place, alone, middles, distance=threshold, most=1)
        rows = np.flatnonzero(np.diff(graph.indptr))
        people[rows] = np.searchsorted(middles, graph.indices)
    distance = np.full(len(people), np.nan, np.float32)
    rows = np.flatnonzero(people >= 0)
    distance[rows] = _distances(vectors, rows, middles[people[rows]])
    return distance


def _table(
    faces: Faces,
    people: NDArray[np.int64],
    middles: NDArray[np.int64],
    distance: NDArray[np.float32],
    former: pa.Table | None,
) -> pa.Table:
    count = faces.keys.num_rows
    person = np.full(count, NO_ONE, np.int64)
    person[faces.rows] = people
    far = np.full(count, np.nan, np.float32)
    far[faces.rows] = distance
    sizes = np.bincount(people[people >= 0], minlength=len(middles) + 1)[person].astype(np.int32)
    middle, linked = np.zeros((2, count), bool)
    middle[faces.rows[middles]] = True
    linked[faces.rows[faces.good]] = True
    nobody = person == NO_ONE
    columns = {
        "person": _names.named(faces.keys["region_id"], person, former, "person"),
        "person_size": pa.array(sizes, mask=nobody),
        "distance": pa.array(far, mask=nobody),
        "is_middle": pa.array(middle),
        "linked": pa.array(linked),
    }
    return pa.table({**{key: faces.keys[key] for key in faces.keys.column_names}, **columns})
