"""Enters: a dataset. Leaves: what its ok sources are: formats, sizes, videos, copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.dataset.parts import readable
from imgbatch.report.distributions import name_counts
from imgbatch.report.figures import Bar, HeatMap, Histogram, heat_map, histogram, top_bars

if TYPE_CHECKING:
    import pyarrow as pa

    from imgbatch.dataset import Dataset

FORMATS_SHOWN = 10
COPIES_SHOWN = 5
COPIES_NAMED = 4
OK = pc.field("status") == "ok"


@dataclass(frozen=True, slots=True)
class Copies:
    """Sources whose bytes are the same, found by SHA-256.

    Attributes:
        groups: sets of equal sources.
        extra: how many sources would go if one of each set stayed.
        size: bytes of these.
        largest: for some of the largest sets: their number of sources and a few addresses.
    """

    groups: int = 0
    extra: int = 0
    size: int = 0
    largest: tuple[tuple[int, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Corpus:
    """The ok sources.

    Attributes:
        kinds: how many are images, how many videos.
        pictures: how many pictures the analyzers saw.
        size: bytes, of all sources that have an outcome.
        seconds: of all videos together.
        notes: remarks on ok sources, such as decode.tail, by how often.
    """

    kinds: dict[str, int]
    pictures: int
    size: int
    formats: tuple[Bar, ...]
    notes: tuple[Bar, ...]
    sides: HeatMap | None
    file_sizes: Histogram | None
    megapixels: Histogram | None
    copies: Copies
    seconds: float
    durations: Histogram | None
    frames: Histogram | None
    rates: Histogram | None
    codecs: tuple[Bar, ...]


def read_corpus(dataset: Dataset) -> Corpus:
    """Summarise the ok rows of the table `sources`, a few columns at a time."""
    facts = _read(dataset, ["kind", "format", "width", "height", "size", "n_pictures"])
    video = _read(
        dataset,
        ["duration", "frame_rate", "codec", "n_pictures"],
        where=OK & (pc.field("kind") == "video"),
    )
    sides = facts.select(["width", "height"]).drop_null()
    area = pc.divide(pc.multiply(sides["width"].cast("int64"), sides["height"]), 1e6)
    return Corpus(
        kinds=name_counts(facts["kind"]),
        pictures=_sum(facts["n_pictures"]),
        size=_sum(_read(dataset, ["size"], where=None)["size"]),
        formats=top_bars(name_counts(facts["format"]), FORMATS_SHOWN),
        notes=_notes(dataset),
        sides=_heat_map(sides),
        file_sizes=_histogram(facts["size"]),
        megapixels=_histogram(area),
        copies=_copies(dataset),
        seconds=float(pc.sum(video["duration"]).as_py() or 0),
        durations=_histogram(video["duration"]),
        frames=_histogram(video["n_pictures"]),
        rates=_histogram(video["frame_rate"]),
        codecs=top_bars(name_counts(video["codec"]), FORMATS_SHOWN),
    )


def _read(dataset: Dataset, columns: list[str], where: pc.Expression | None = OK) -> pa.Table:
    return dataset.read(SOURCES, columns=columns, where=where)


def _sum(values: pa.ChunkedArray) -> int:
    return int(pc.sum(values).as_py() or 0)


def _histogram(values: pa.ChunkedArray) -> Histogram | None:
    found = values.drop_null().to_numpy()
    return histogram(found) if found.size else None


def _heat_map(sides: pa.Table) -> HeatMap | None:
    positive = sides.filter((pc.field("width") > 0) & (pc.field("height") > 0))
    if not positive.num_rows:
        return None
    return heat_map(positive["width"].to_numpy(), positive["height"].to_numpy())


def _notes(dataset: Dataset) -> tuple[Bar, ...]:
    notes = _read(dataset, ["notes"])["notes"]
    return top_bars(name_counts(pc.list_flatten(notes)), FORMATS_SHOWN)


def _copies(dataset: Dataset) -> Copies:
    """Group by digest; a digest of the whole file, so equal means equal bytes."""
    rows = _read(dataset, ["sha256", "size"]).drop_null()
    groups = rows.group_by("sha256").aggregate([([], "count_all"), ("size", "max")])
    groups = groups.filter(pc.field("count_all") > 1)
    if not groups.num_rows:
        return Copies()
    extra = pc.subtract(groups["count_all"], 1)
    order = [("count_all", "descending"), ("sha256", "ascending")]
    first = groups.take(pc.select_k_unstable(groups, COPIES_SHOWN, order))
    return Copies(
        groups.num_rows,
        _sum(extra),
        _sum(pc.multiply(extra, groups["size_max"])),
        tuple((row["count_all"], _addresses(dataset, row["sha256"])) for row in first.to_pylist()),
    )


def _addresses(dataset: Dataset, sha256: str) -> tuple[str, ...]:
    path, where = f"tables/{SOURCES}", OK & (pc.field("sha256") == sha256)
    with readable(path):
        found = dataset.table(path).dataset().head(COPIES_NAMED, columns=["address"], filter=where)
    return tuple(sorted(found["address"].to_pylist()))
