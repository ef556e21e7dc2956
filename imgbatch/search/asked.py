"""Enters: what a user asks with, a photo or a source. Leaves: its vectors in a space.

A source of the dataset has its vectors there, as long as its file is what the run saw. Any other
photo is analysed (see `search.outside`), and so is a file that has changed since: a search is about
the picture that is pointed at. An id names no file but what the run saw of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, SOURCES, tombstones
from imgbatch.dataset.changes import LISTED
from imgbatch.dataset.given import ID
from imgbatch.dataset.shards import source_of
from imgbatch.errors import MissingExtraError, SearchError, SettingsError, WeightsError
from imgbatch.models import weights
from imgbatch.models.choice import Choice, network
from imgbatch.models.clip import text_embeddings
from imgbatch.observe.explain import ids_of
from imgbatch.search.now import look
from imgbatch.search.outside import READABLE, Outside, single
from imgbatch.search.query import Query, pointing
from imgbatch.storage.addresses import followed

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.records import Source
    from imgbatch.search.now import Now
    from imgbatch.search.space import Space
    from imgbatch.settings import Limits

PICTURE_ID = re.compile(r"([0-9a-f]{32})-(\d+)")
SHOWN = 60
AS_IT_WAS = "asked with it as the run saw it"
WORDS = (
    "Words are compared with the vectors of a CLIP model: --on clip. Where there is no such table, "
    "add [analyzers.clip] to the recipe and run again."
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A source of the dataset.

    Attributes:
        shard: that it lies in.
    """

    source: Source
    shard: str


def ask(space: Space, photo: str, limits: Limits) -> list[Query]:
    """Return the vectors of a photo: one, or one per face where faces have the vectors.

    A source that is named by its path or address is looked at, by one request: has it changed, its
    vectors are those of what it is now. What of it cannot be known or made is told by `noticed`.

    Args:
        space: where to compare.
        photo: a local path, the URL of an object, or a source of the dataset: its address, its
            source_id, or a picture_id, which names a frame of a video (else it is the first).
        limits: of fetching and decoding.

    Raises:
        SearchError: nothing has that name, it has no picture, the picture has no vector, or it was
            forgotten.
        StorageError: a store failed.
    """
    picture = PICTURE_ID.fullmatch(photo)
    ids = [picture[1]] if picture else ids_of(photo)
    listed = _listed(space.dataset, ids)
    stones = tombstones.read(space.dataset.store)
    if any(one in stones for one in ids):
        raise _forgotten(space, photo)
    by_id = picture or ID.fullmatch(photo)
    if listed is None and by_id:
        raise SearchError(f"no source of {space.dataset.url} has the id {photo}", READABLE)
    if listed is None:
        return _from_outside(space, photo, stones, limits)
    rows = _rows(space, listed)
    if by_id:
        return _stored(space, photo, listed, rows, int(picture[2]) if picture else None)
    version = rows[0]["version"] if rows else listed.source.version
    now = look(space.dataset, listed.source, version, limits)
    if now.source is not None:
        return _changed(space, photo, listed, rows, now, limits)
    found = _stored(space, photo, listed, rows, None)
    return _told(found, f"{photo} {now.why}: {AS_IT_WAS}") if now.why else found


def _from_outside(space: Space, photo: str, stones: Tombstones, limits: Limits) -> list[Query]:
    source = single(space.dataset, photo)
    # By its own name, however it was spelled, and by that of the file that a link leads to.
    if stones.covers(source.address) or stones.covers(followed(source.address)):
        raise _forgotten(space, photo)
    return Outside(space, limits).see(photo, source)


def _changed(
    space: Space,
    photo: str,
    listed: Listed,
    rows: list[dict[str, Any]],
    now: Now,
    limits: Limits,
) -> list[Query]:
    """Return the vectors of a source as it is now; where none can be made, those that it had."""
    assert now.source is not None, "it was looked at"
    said = f"{photo} has changed since the run that saw it"
    try:
        outside = Outside(space, limits)
    except (SearchError, MissingExtraError, WeightsError) as error:
        if not rows:
            raise
        found = _stored(space, photo, listed, rows, None)
        return _told(found, f"{said}, and cannot be analysed here ({error}): {AS_IT_WAS}")
    found = outside.see(photo, now.source, now.blob)
    others = tuple(row[space.key] for row in rows)
    told = f"{said}: asked with what it is now; `imgbatch run` takes it into the dataset"
    return [replace(query, others=others) for query in _told(found, told)]


def _told(found: list[Query], noticed: str) -> list[Query]:
    return [replace(query, noticed=noticed) for query in found]


def _forgotten(space: Space, photo: str) -> SearchError:
    return SearchError(
        f"{photo} was forgotten in {space.dataset.url}, which shows and compares it no more",
        "Give another photo.",
    )


def ask_words(space: Space, words: str, limits: Limits) -> Query:
    """Return the vector of words, by the model that made a table's vectors of pictures.

    Raises:
        SearchError: that model reads no words, or not these.
        WeightsError, MissingExtraError: it is not at hand.
    """
    weights.adopt(limits)
    model = space.recipe().analyzers[space.analyzer]
    shown = words if len(words) <= SHOWN else f"{words[:SHOWN]}..."
    said = f"table {space.table} (model {space.named}) cannot be asked {shown!r}"
    if not isinstance(model, Choice):
        raise SearchError(f"{said}: {space.analyzer} knows no words", WORDS)
    try:
        network(model, "clip")
    except SettingsError as error:
        raise SearchError(f"{said}: {error}", WORDS) from error
    try:
        [vector] = text_embeddings(model, [words])
    except SettingsError as error:  # of the words: another table does not read them either
        raise SearchError(f"{said}: {error}", error.remedy) from error
    return Query(words, np.asarray(vector, np.float64))


def _listed(dataset: Dataset, ids: list[str]) -> Listed | None:
    """Return a source; None when the dataset has no such one."""
    columns, wanted = [*LISTED.names, "shard"], pc.field("source_id").isin(ids)
    for batch in dataset.batches(MANIFEST, columns=columns, where=wanted):
        for row in batch.to_pylist():
            return Listed(source_of(row), row["shard"])
    return None


def _rows(space: Space, listed: Listed) -> list[dict[str, Any]]:
    """Return the vectors that a source of the dataset has; only its shard's part is read."""
    only = {part.path for part in space.rows.parts().values() if part.shard == listed.shard}
    wanted = pc.field("source_id") == listed.source.source_id
    return [row for batch in space.batches(only, wanted) for row in batch.to_pylist()]


def _stored(
    space: Space, photo: str, listed: Listed, rows: list[dict[str, Any]], frame: int | None
) -> list[Query]:
    """Return the queries that a source's rows make: those of one frame, or of its first one."""
    # Named as a whole it is left out as a whole. Another face of a photo is another person's.
    whole = frame is None and space.grain != "region"
    others = tuple(row[space.key] for row in rows) if whole else ()
    first = min((row["frame"] for row in rows), default=0)
    rows = [row for row in rows if row["frame"] == (first if frame is None else frame)]
    if not rows:
        what = "no face of it that has a vector" if space.grain == "region" else "no vector of it"
        raise SearchError(
            f"{photo} is a source of the dataset, and table {space.table} has {what}"
            f"{_why(space.dataset, listed.source.source_id)}",
            "Give another photo.",
        )
    rows.sort(key=lambda row: row.get("region", 0))
    found = pointing([_of_row(space, row, photo) for row in rows])
    return [replace(query, others=others) for query in found]


def _of_row(space: Space, row: dict[str, Any], text: str) -> Query:
    vector = np.asarray(row.pop(space.column), np.float64)
    face = row if space.grain == "region" else None
    label = f"face {row['region']} of {text}" if face else text
    return Query(label, vector, row[space.key], row["source_id"], row["frame"], face)


def _why(dataset: Dataset, source_id: str) -> str:
    where = pc.field("source_id") == source_id
    columns = ["status", "error_class"]
    for batch in dataset.batches(SOURCES, columns=columns, where=where):
        for row in batch.to_pylist():
            return f": it is {row['status']}" + (
                f" ({row['error_class']})" if row["error_class"] else ""
            )
    return ": it has no outcome yet"
