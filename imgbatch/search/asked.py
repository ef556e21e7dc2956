"""Enters: what a user asks with, a photo or a source. Leaves: its vectors in a space.

A source of the dataset has its vectors there. Any other photo is fetched, decoded and analysed just
as the dataset's were: with the media settings and the analyzer's settings that their parts name.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from imgbatch import analyzers
from imgbatch.dataset import MANIFEST, SOURCES, tombstones
from imgbatch.dataset.given import ID, given, similar
from imgbatch.errors import (
    InputError,
    RunError,
    SearchError,
    SettingsError,
    SourceError,
)
from imgbatch.media.gate import ByteGate
from imgbatch.models import weights
from imgbatch.models.choice import Choice
from imgbatch.models.clip import text_embeddings
from imgbatch.observe.explain import ids_of
from imgbatch.records import source_id_of
from imgbatch.report.thumbnails import pictures_at
from imgbatch.sources import fetch, open_input
from imgbatch.storage import open_store
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.records import Picture, Source
    from imgbatch.search.space import Space
    from imgbatch.settings import Limits

PICTURE_ID = re.compile(r"([0-9a-f]{32})-(\d+)")
READABLE = "Give a photo that opens, or a source of the dataset: its address or source_id."

WORDS = (
    "Words are compared with the vectors of a CLIP model: --on clip. Where there is no such table, "
    "add [analyzers.clip] to the recipe and run again."
)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One vector that others are compared with.

    Attributes:
        label: what it is of, for people.
        own: the name of its row in the space; None for what comes from outside.
        source_id: its source in the dataset; None for what comes from outside.
        frame: of its source.
        region: keys and place of the face that it is of; empty for a whole picture.
        picture: its pixels, where they had to be decoded.
        outside: the ids that it would have as a source, of what comes from outside; a page has
            them, so that a takedown finds the page. None of a source of the dataset and for words.
    """

    label: str
    vector: NDArray[np.float64]
    own: str | None = None
    source_id: str | None = None
    frame: int = 0
    region: Mapping[str, Any] | None = None
    picture: Picture | None = None
    outside: tuple[str, ...] = ()


def ask(space: Space, photo: str, limits: Limits) -> list[Query]:
    """Return the vectors of a photo: one, or one per face where faces have the vectors.

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
    if listed is not None:
        return _stored(space, photo, listed, int(picture[2]) if picture else None)
    if picture or ID.fullmatch(photo):
        raise SearchError(f"no source of {space.dataset.url} has the id {photo}", READABLE)
    return _analysed(space, photo, stones, limits)


def _forgotten(space: Space, photo: str) -> SearchError:
    return SearchError(
        f"{photo} was forgotten in {space.dataset.url}, which shows and compares it no more",
        "Give another photo.",
    )


def _followed(address: str) -> str:
    """Return the address of the file that a link of this machine leads to, in the end."""
    scheme, _, rest = address.partition("://")
    if scheme != "file":
        return address
    return open_store("/").address(str(Path(unquote(rest)).resolve()).lstrip("/"))


def ask_words(space: Space, words: str, limits: Limits) -> Query:
    """Return the vector of words, by the model that made a table's vectors of pictures.

    Raises:
        SearchError: that model reads no words, or not these.
        WeightsError, MissingExtraError: it is not at hand.
    """
    weights.adopt(limits)
    model = space.recipe().analyzers[space.analyzer]
    said = f"table {space.table} (model {space.named}) cannot be asked {words!r}"
    if not isinstance(model, Choice):
        raise SearchError(f"{said}: {space.analyzer} knows no words", WORDS)
    try:
        [vector] = text_embeddings(model, [words])
    except SettingsError as error:
        raise SearchError(f"{said}: {error}", WORDS) from error
    return Query(words, np.asarray(vector, np.float64))


def _listed(dataset: Dataset, ids: list[str]) -> dict[str, str] | None:
    """Return id and shard of a source; None when the dataset has no such source."""
    columns, wanted = ["source_id", "shard"], pc.field("source_id").isin(ids)
    for batch in dataset.batches(MANIFEST, columns=columns, where=wanted):
        for row in batch.to_pylist():
            return dict(row)
    return None


def _stored(space: Space, photo: str, listed: dict[str, str], frame: int | None) -> list[Query]:
    """Return the vectors that a source of the dataset has; only its shard's part is read."""
    only = {part.path for part in space.rows.parts().values() if part.shard == listed["shard"]}
    wanted = pc.field("source_id") == listed["source_id"]
    rows = [row for batch in space.batches(only, wanted) for row in batch.to_pylist()]
    first = min((row["frame"] for row in rows), default=0)
    rows = [row for row in rows if row["frame"] == (first if frame is None else frame)]
    if not rows:
        what = "no face of it that has a vector" if space.grain == "region" else "no vector of it"
        raise SearchError(
            f"{photo} is a source of the dataset, and table {space.table} has {what}"
            f"{_why(space.dataset, listed['source_id'])}",
            "Give another photo.",
        )
    rows.sort(key=lambda row: row.get("region", 0))
    found = [_of_row(space, row, photo) for row in rows]
    return _pointing(found)


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


def _analysed(space: Space, photo: str, stones: Tombstones, limits: Limits) -> list[Query]:
    source = _single(space.dataset, photo)
    # By its own name, however it was spelled, and by that of the file that a link leads to.
    if stones.covers(source.address) or stones.covers(_followed(source.address)):
        raise _forgotten(space, photo)
    recipe = space.recipe()
    weights.adopt(limits)
    module, settings = analyzers.load(space.analyzer), recipe.analyzers[space.analyzer]
    analyzer, needs = module.Analyzer(settings), analyzers.needs_of(module, settings)
    try:
        picture = _decoded(source, recipe.media, limits, full_size=needs.full_size)
    except SourceError as error:
        raise SearchError(f"{photo}: {error.code}: {error}", READABLE) from error
    try:
        [row] = analyzer.infer([analyzer.prepare(picture)])
    except RunError:
        raise
    except Exception as error:
        raise SearchError(
            f"{photo}: analyzer {space.analyzer} failed on it: {type(error).__name__}: {error}",
            READABLE,
        ) from error
    found = _of_analysis(space, row, photo)
    names = dict.fromkeys([source.address, _followed(source.address)])
    own = tuple(map(source_id_of, names))
    return _pointing([replace(query, picture=picture, outside=own) for query in found])


def _of_analysis(space: Space, row: dict[str, Any], photo: str) -> list[Query]:
    if space.grain == "picture":
        vectors = [row[space.column]]
    else:
        vectors = [region[space.column] for region in row["regions"]]
        if not vectors:
            raise SearchError(f"{photo}: no face was found in it", "Give another photo.")
    found = []
    for place, vector in enumerate(vectors):
        if vector is None:
            continue
        face = {"region": place, **row["regions"][place]} if space.grain == "region" else None
        label = photo if face is None else f"face {place} of {photo}"
        found.append(Query(label, np.asarray(vector, np.float64), region=face))
    return found


def _pointing(found: list[Query]) -> list[Query]:
    """Return the vectors that have a direction."""
    pointing = [query for query in found if np.linalg.norm(query.vector) > 0]
    if not pointing:
        raise SearchError(
            "the photo has no vector: it is plain, or nothing in it can be compared",
            "Give another photo.",
        )
    return pointing


def _single(dataset: Dataset, photo: str) -> Source:
    """Return a photo that is no source of the dataset.

    Raises:
        SearchError: it is not there, or is a folder or an archive.
    """
    try:
        named = given(photo)
        with contextlib.closing(open_input(photo)) as found:  # type: ignore[type-var] # a generator
            source = next(found)
    except SettingsError as error:
        raise SearchError(f"there is no {photo!r}: {error}", READABLE) from error
    except (InputError, StopIteration) as error:
        near = similar(dataset, named)
        raise SearchError(
            f"{photo} is no source of {dataset.url}, and cannot be had: {error}{near}", READABLE
        ) from error
    if source.address != open_store(photo).root or source.verdict:
        raise SearchError(f"{photo} is a folder or an archive, and no photo", READABLE)
    return source


def _decoded(source: Source, settings: Any, limits: Limits, *, full_size: bool) -> Picture:
    """Return the first picture of a source.

    Raises:
        SourceError: its bytes cannot be had, or are no picture.
    """
    blob = fetch(source, limits=limits)
    gate = ByteGate(limits.decoded_bytes)
    found = pictures_at((0,), blob, settings, gate, full_size=full_size)
    with contextlib.closing(found) as pictures:
        picture = next(pictures, None)
    if picture is None:
        raise SearchError(f"{source.address} is no picture and no video", READABLE)
    return picture
