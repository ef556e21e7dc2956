"""Enters: a dataset. Leaves: which pictures its page shows: a sample, and the ends of scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.dataset.parts import readable
from imgbatch.dataset.shards import find
from imgbatch.report.distributions import analyzer_tables
from imgbatch.report.words import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from imgbatch.dataset import Dataset, Table
    from imgbatch.records import Source

SHEET = 48
STRIP = 6
VIDEOS = 6
# One pass over a compressed tar reaches its members in order; further in than this, none is shown.
STREAM_BYTES = 256 * 2**20
OK = pc.field("status") == "ok"
# Column of a picture table, and what its two ends are called; only those that are there are shown.
ENDS = (
    ("brightness", "Darkest", "Brightest"),
    ("sharpness", "Blurriest", "Sharpest"),
    ("entropy", "Plainest", "Busiest"),
    ("contrast", "Flattest", None),
    ("colorfulness", None, "Most colorful"),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One picture that shall be shown: the first one of a source.

    Attributes:
        caption: the value that it was chosen for; "" in the sample.
        reachable: whether its bytes can be had without a long pass over an archive.
    """

    source: Source
    caption: str
    facts: str
    reachable: bool


@dataclass(frozen=True, slots=True)
class Strip:
    """Some pictures under one title."""

    title: str
    note: str
    choices: tuple[Choice, ...]


def contact_sheet(dataset: Dataset) -> Strip:
    """Return a sample of the ok sources; the same dataset always gives the same one.

    Sources are drawn by the last digits of their ids, which are hashes: a fair draw, and another
    one than that of `--sample`, which goes by the first digits.
    """
    ids = _drawn(dataset, OK, 2 * SHEET)
    chosen = sorted(choices_of(dataset, ids), key=lambda choice: not choice.reachable)[:SHEET]
    note = f"{number(len(chosen))} of the ok sources, drawn at random"
    return Strip("Contact sheet", note, tuple(chosen))


def video_strip(dataset: Dataset) -> Strip:
    """Return a sample of the videos."""
    ids = _drawn(dataset, OK & (pc.field("kind") == "video"), VIDEOS)
    return Strip("Videos", "the first frame of each", tuple(choices_of(dataset, ids)))


def _drawn(dataset: Dataset, where: pc.Expression, count: int) -> dict[str, str]:
    ids = dataset.read(SOURCES, columns=["source_id"], where=where)
    ids = ids.append_column("draw", pc.utf8_slice_codeunits(ids["source_id"], 16, 32))
    first = ids.take(pc.select_k_unstable(ids, count, [("draw", "ascending")]))
    return dict.fromkeys(first["source_id"].to_pylist(), "")


def end_strips(dataset: Dataset) -> list[Strip]:
    """Return the ends of the scales that ENDS names, where a picture table has such a column."""
    tables = {name: _columns(dataset, name) for name in analyzer_tables(dataset)}
    found = []
    for column, low, high in ENDS:
        for table, names in tables.items():
            if {column, "frame", "status"} <= names:  # of pictures: a region has no status
                ends = _ends(dataset, table, column)
                for title, ids in zip((low, high), ends, strict=True):
                    if title and len(ids) > 1:  # one value has no ends
                        choices = tuple(choices_of(dataset, ids))
                        found.append(Strip(title, f"{table}.{column}", choices))
    return found


def strip_of(dataset: Dataset, title: str, note: str, captions: dict[str, str]) -> Strip:
    """Return some sources, by their ids, under one title; each with its caption."""
    return Strip(title, note, tuple(choices_of(dataset, captions)))


def _columns(dataset: Dataset, table: str) -> set[str]:
    return set(dataset.table(f"tables/{table}").schema().names)


def _batches(table: Table, columns: list[str], where: pc.Expression) -> Iterator[pa.RecordBatch]:
    # By the dataset: of a bucket's table each part is copied once for the whole report.
    with readable(table.name):
        yield from table.dataset().to_batches(columns=columns, filter=where)


def _ends(dataset: Dataset, table: str, column: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the ids at both ends of a column, each with its value in words.

    Equal values count once: copies of one picture would fill a strip. Read batch by batch, keeping
    only what may still come first.
    """
    value = pc.field(column)
    where = OK & (pc.field("frame") == 0) & pc.is_finite(value)
    kept = {"ascending": pa.table({}), "descending": pa.table({})}
    for batch in _batches(dataset.table(f"tables/{table}"), [column, "source_id"], where):
        one = pa.Table.from_batches([batch]).group_by(column).aggregate([("source_id", "min")])
        for order, best in kept.items():
            both = pa.concat_tables([best, one]) if best.num_rows else one
            single = both.group_by(column).aggregate([("source_id_min", "min")])
            single = single.rename_columns({"source_id_min_min": "source_id_min"})
            first = pc.select_k_unstable(single, STRIP, [(column, order)])
            kept[order] = single.take(first)
    low, high = (
        {row["source_id_min"]: number(row[column]) for row in best.to_pylist()}
        for best in kept.values()
    )
    return low, high


def choices_of(dataset: Dataset, ids: dict[str, str]) -> Iterable[Choice]:
    """Return the sources of some ids as they can be fetched, in the order of the ids."""
    if not ids:
        return []
    wanted = pc.field("source_id").isin(list(ids))
    columns = ["source_id", "kind", "format", "width", "height", "duration"]
    facts = dataset.read(SOURCES, columns=columns, where=wanted).to_pylist()
    described = {row["source_id"]: _facts(row) for row in facts}
    found = {source.source_id: source for source in find(dataset, list(ids))}
    return [
        Choice(found[key], caption, described.get(key, ""), _reachable(found[key]))
        for key, caption in ids.items()
        if key in found
    ]


def _facts(row: dict[str, Any]) -> str:
    size = f"{number(row['width'])} x {number(row['height'])}"
    length = f", {row['duration']:.1f} s" if row["duration"] is not None else ""
    return f"{row['format'] or row['kind']}, {size}{length}"


def _reachable(source: Source) -> bool:
    return source.packing != "stream" or (source.offset or 0) + source.size <= STREAM_BYTES


def sources_of(strips: Sequence[Strip]) -> dict[str, Choice]:
    """Return every source that some strip shows, once."""
    return {choice.source.source_id: choice for strip in strips for choice in strip.choices}
