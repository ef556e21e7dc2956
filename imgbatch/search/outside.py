"""Enters: a photo that a dataset has no vector of. Leaves: its vectors in a space.

It is fetched, decoded and analysed just as the dataset's own were: with the media settings and the
analyzer's settings that their parts name.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from imgbatch import analyzers
from imgbatch.dataset.given import given, similar
from imgbatch.errors import InputError, RunError, SearchError, SettingsError, SourceError
from imgbatch.media.gate import ByteGate
from imgbatch.models import weights
from imgbatch.records import source_id_of
from imgbatch.report.thumbnails import pictures_at
from imgbatch.search.query import Query, pointing
from imgbatch.sources import fetch, open_input
from imgbatch.storage import open_store
from imgbatch.storage.addresses import followed

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.media import Blob
    from imgbatch.records import Picture, Source
    from imgbatch.search.space import Space
    from imgbatch.settings import Limits, Recipe

READABLE = "Give a photo that opens, or a source of the dataset: its address or source_id."


class Outside:
    """What analyses a photo from outside as a space's own were.

    Raises:
        SearchError: this imgbatch would make other vectors: another version, or other weights.
        WeightsError, MissingExtraError: what the analyzer needs is not at hand.
    """

    def __init__(self, space: Space, limits: Limits) -> None:
        self._space = space
        self._limits = limits
        self._recipe: Recipe = space.recipe()
        weights.adopt(limits)
        module, settings = analyzers.load(space.analyzer), self._recipe.analyzers[space.analyzer]
        self._analyzer = module.Analyzer(settings)
        self._needs = analyzers.needs_of(module, settings)

    def see(self, photo: str, source: Source, blob: Blob | None = None) -> list[Query]:
        """Return the vectors of a photo: one, or one per face where faces have the vectors.

        Args:
            photo: as it was named.
            source: where it lies.
            blob: its bytes, where they were fetched already.

        Raises:
            SearchError: it is no picture, cannot be had or analysed, or has no vector.
        """
        try:
            picture = self._decoded(source, blob)
        except SourceError as error:
            raise SearchError(f"{photo}: {error.code}: {error}", READABLE) from error
        try:
            [row] = self._analyzer.infer([self._analyzer.prepare(picture)])
        except RunError:
            raise
        except Exception as error:
            raise SearchError(
                f"{photo}: analyzer {self._space.analyzer} failed on it: "
                f"{type(error).__name__}: {error}",
                READABLE,
            ) from error
        found = _of_analysis(self._space, row, photo)
        names = dict.fromkeys([source.address, followed(source.address)])
        own = tuple(map(source_id_of, names))
        return pointing([replace(query, picture=picture, outside=own) for query in found])

    def _decoded(self, source: Source, blob: Blob | None) -> Picture:
        blob = blob or fetch(source, limits=self._limits)
        gate = ByteGate(self._limits.decoded_bytes)
        media, needs = self._recipe.media, self._needs
        found = pictures_at((0,), blob, media, gate, full_size=needs.full_size, copies=needs.copies)
        with contextlib.closing(found) as pictures:
            picture = next(pictures, None)
        if picture is None:
            raise SearchError(f"{source.address} is no picture and no video", READABLE)
        return picture


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


def single(dataset: Dataset, photo: str) -> Source:
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
