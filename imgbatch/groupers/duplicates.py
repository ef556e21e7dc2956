"""Which pictures are copies of each other: the same bytes, or the same to the eye.

Sources with the same SHA-256 are copies for certain. Beyond that, two pictures are copies when at
most `distance` of the 192 bits of their hashes differ, one of them turned by quarters or not: so
resized, recompressed, recolored and slightly cropped ones are found (each side by 3%). Every
picture of a group is that near to its middle (see `_stars`), not only to some other one.

A picture without detail (a blank page, a clear sky) has a hash that says nothing: it is a copy of
what has the same bytes, and of nothing else. Frames of videos are pictures like others.

A group is named after one of its pictures, the one with the smallest id when it was first seen, and
keeps that name as long as it is there: what is added later takes it over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from imgbatch.analyzers import Column
from imgbatch.groupers import KEYS, _names, _near, _stars
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imgbatch.groupers import Context, Tables

VERSION = 1
COLUMNS = (
    Column(
        "group_id",
        pa.string(),
        "The group: the id of one of its pictures, kept as long as the group is there",
        missing="the picture has no copy",
    ),
    Column("group_size", pa.int32(), "Pictures in the group", range=">= 1"),
    Column(
        "is_best",
        pa.bool_(),
        "It has the most pixels of its group, of these the most bytes; one in each group."
        " The rows where it is true are the corpus without copies",
    ),
    Column(
        "same_bytes",
        pa.bool_(),
        "Another source has the same bytes",
    ),
    Column(
        "distance",
        pa.int16(),
        "Bits in which its hashes differ from those of the picture in the group's middle",
        range=f"0-{_near.BITS_OF_ALL}",
        missing="the picture has no copy, or the one in the middle was forgotten and its hashes are"
        " not there to find another",
    ),
    Column(
        "turns",
        pa.int8(),
        "Quarter turns against the clock that bring it to lie as the picture in the middle does",
        range="0-3",
        missing="as for `distance`",
    ),
)
HASHES = ("dhash", "dhash_vertical", "phash")
# Of a picture's id the digits that are its source's.
ID_LENGTH = 32
ALONE = True
LEFT_READS = ("sources",)


class Settings(BaseSettings):
    """What counts as a copy.

    Attributes:
        distance: how many of the 192 bits may differ. Copies cropped by 3% on each side, or
            brighter by a quarter, differ in 31 at most, by 5% in 43; of 54 photographs no two that
            show different things came closer than 51, but among a million some will.
        detail: a picture of less detail has no copies but in bytes: so many of the 64 steps of
            brightness, each way, must be against the others.
    """

    distance: int = Field(default=32, ge=0, le=48)
    detail: int = Field(default=12, ge=0, le=64)


def READS(settings: Settings) -> Mapping[str, Sequence[str]]:  # noqa: ARG001, N802 - as groupers export it
    """Return what it reads."""
    return {"sources": ["sha256", "width", "height", "size"], "hashes": ["frame", *HASHES]}


def group(tables: Tables, settings: Settings, context: Context) -> pa.Table:
    """Return which pictures are copies."""
    pictures = _read(tables)
    context.say(f"{len(pictures.codes):,} pictures are read")
    distinct, place = _distinct(pictures, settings.detail)
    pairs = _near.near(distinct, settings.distance)
    context.say(f"{len(distinct):,} distinct hashes: {len(pairs):,} pairs are near")
    found = _stars.stars(distinct, pairs, settings.distance)
    return _labels(pictures, _Grouped.of(pictures, place, found), context.former)


def left(labels: pa.Table, known: Mapping[str, pa.Table], settings: Settings) -> pa.Table:  # noqa: ARG001 - as groupers export it
    """Return what is left of groups some of whose pictures have no hashes to be grouped by again.

    The best one stays the best. Where it was forgotten, it is the best of those whose outcome is
    there; where none is, the one with the smallest id.
    """
    keys = labels.select([key for key in KEYS if key in labels.column_names])
    _, group, size = np.unique(
        _numbers(labels["group_id"]), return_inverse=True, return_counts=True
    )
    told = known["sources"]
    sha256 = told["sha256"].cast(pa.string())
    frame = pc.utf8_slice_codeunits(labels["picture_id"], ID_LENGTH)
    bytes_ = pc.binary_join_element_wise(pc.coalesce(sha256, labels["source_id"]), frame, "")
    _, twin, twins = np.unique(_numbers(bytes_), return_inverse=True, return_counts=True)
    former = {name: labels[name].to_numpy() for name in ("is_best", "same_bytes")}
    best = _best(group, _order(told, first=former["is_best"]))
    alone = size[group] == 1
    unknown = sha256.is_null().to_numpy()
    same = former["same_bytes"] & np.where(unknown, ~alone, twins[twin] > 1)
    at_middle = (pc.fill_null(labels["distance"], -1).to_numpy() == 0) & (
        pc.fill_null(labels["turns"], -1).to_numpy() == 0
    )
    says_nothing = alone | (np.bincount(group, at_middle)[group] == 0)
    none = {name: pa.scalar(None, labels[name].type) for name in ("group_id", "distance", "turns")}
    columns: dict[str, Any] = {
        "group_id": pc.if_else(pa.array(alone), none["group_id"], labels["group_id"]),
        "group_size": pa.array(size[group], pa.int32()),
        "is_best": pa.array(best),
        "same_bytes": pa.array(same),
        "distance": pc.if_else(pa.array(says_nothing), none["distance"], labels["distance"]),
        "turns": pc.if_else(pa.array(says_nothing), none["turns"], labels["turns"]),
    }
    return pa.table({**{key: keys[key] for key in keys.column_names}, **columns})


@dataclass(frozen=True, slots=True)
class _Pictures:
    """What is known of the pictures, in the order of their keys.

    Attributes:
        content: a number for the source's bytes and the frame in them.
        codes: (n, 3): see `_near`.
        order: from the best picture to the worst: more pixels, more bytes, smaller id first.
    """

    keys: pa.Table
    content: NDArray[np.int64]
    codes: _near.Codes
    order: NDArray[np.int64]


def _read(tables: Tables) -> _Pictures:
    keys: list[pa.Table] = []
    frames: list[NDArray[np.int64]] = []
    codes: list[_near.Codes] = []
    for batch in tables.batches("hashes"):
        rows = pa.Table.from_batches([batch])
        keys.append(rows.select(["source_id", "version", "picture_id"]))
        frames.append(rows["frame"].to_numpy().astype(np.int64))
        codes.append(_near.codes(*(_bytes(rows[name]) for name in HASHES)))
    whole = pa.concat_tables(keys)
    sources = pa.Table.from_batches(list(tables.batches("sources")))
    place = pc.index_in(whole["source_id"], value_set=sources["source_id"])
    known = sources.select(["sha256", "width", "height", "size"]).take(place)
    # An unfinished run may have left hashes without an outcome: such a source is like no other.
    content = _numbers(pc.coalesce(known["sha256"], whole["source_id"]))
    frame = np.concatenate(frames)
    return _Pictures(
        whole,
        content * (int(frame.max(initial=0)) + 1) + frame,
        np.concatenate(codes),
        _order(known),
    )


def _order(known: pa.Table, first: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Return the places of pictures from the best to the worst; what is not known is 0."""
    width, height, size = (
        pc.fill_null(known[name].cast(pa.int64()), 0).to_numpy()
        for name in ("width", "height", "size")
    )
    rest = np.arange(len(size)), -size, -width * height
    found: NDArray[np.int64] = np.lexsort(rest if first is None else (*rest, ~first))
    return found


def _best(group: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pictures are the first of their group."""
    found = np.zeros(len(group), bool)
    _, first = np.unique(group[order], return_index=True)
    found[order[first]] = True
    return found


def _numbers(texts: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a number for each text, the same for the same."""
    encoded = texts.dictionary_encode().unify_dictionaries()
    found: NDArray[np.int64] = pa.chunked_array(
        [chunk.indices for chunk in encoded.chunks], pa.int32()
    ).to_numpy()
    return found.astype(np.int64)


def _bytes(hexes: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Return hashes of 16 hex digits as (n, 8) bytes."""
    array = hexes.combine_chunks()
    start = array.offset * 16
    text: NDArray[np.uint8] = np.frombuffer(array.buffers()[2], np.uint8)[
        start : start + len(array) * 16
    ]
    letters, zero = np.uint8(ord("a") - 10), np.uint8(ord("0"))
    digits = np.where(text >= ord("a"), text - letters, text - zero).reshape(-1, 8, 2)
    return np.asarray(digits[:, :, 0] << np.uint8(4) | digits[:, :, 1], np.uint8)


def _distinct(pictures: _Pictures, detail: int) -> tuple[_near.Codes, NDArray[np.int64]]:
    """Return the distinct codes that say something, and where each picture's is; -1: it says none.

    They come in the order of their own bits, so that nothing depends on that of the pictures.
    """
    codes = pictures.codes
    steps = codes.view(np.uint8).reshape(len(codes), 3, 8)[:, :2]
    ones = np.bitwise_count(steps).sum(axis=2, dtype=np.int64)
    some = np.flatnonzero(np.minimum(ones, 64 - ones).sum(axis=1) >= detail)
    order = some[np.lexsort(codes[some].T)]
    new = np.append(True, (codes[order][1:] != codes[order][:-1]).any(axis=1))[: len(order)]
    place = np.full(len(codes), -1)
    place[order] = np.cumsum(new) - 1
    return codes[order[new]], place


@dataclass(frozen=True, slots=True)
class _Grouped:
    """What each picture belongs to, by numbers.

    Attributes:
        group: a number for its group; of one that has no copy too.
        size: pictures in it.
        twins: pictures with the same bytes, itself too.
    """

    group: NDArray[np.int64]
    size: NDArray[np.int64]
    twins: NDArray[np.int64]
    distance: NDArray[np.uint8]
    turns: NDArray[np.int8]

    @classmethod
    def of(cls, pictures: _Pictures, place: NDArray[np.int64], found: _stars.Stars) -> _Grouped:
        """Bring stars of distinct codes back to pictures; what lacks detail goes by its bytes."""
        says = place >= 0
        middle = np.where(says, found.middle[place] if len(found.middle) else 0, -1)
        # The same bytes have the same hashes, so content never divides a star.
        number = np.where(says, middle, len(found.middle) + pictures.content)
        _, group, size = np.unique(number, return_inverse=True, return_counts=True)
        _, twin, twins = np.unique(pictures.content, return_inverse=True, return_counts=True)
        distance, turns = np.zeros(len(place), np.uint8), np.zeros(len(place), np.int8)
        distance[says], turns[says] = found.distance[place[says]], found.turns[place[says]]
        return cls(group, size[group], twins[twin], distance, turns)


def _labels(pictures: _Pictures, found: _Grouped, former: pa.Table | None) -> pa.Table:
    alone = found.size == 1
    columns: dict[str, Any] = {
        "group_id": _names.named(
            pictures.keys["picture_id"], np.where(alone, -1, found.group), former, "group_id"
        ),
        "group_size": pa.array(found.size, pa.int32()),
        "is_best": pa.array(_best(found.group, pictures.order)),
        "same_bytes": pa.array(found.twins > 1),
        "distance": pa.array(found.distance.astype(np.int16), mask=alone),
        "turns": pa.array(found.turns, mask=alone),
    }
    labels = pictures.keys
    for name, values in columns.items():
        labels = labels.append_column(name, values)
    return labels
