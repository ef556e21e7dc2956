"""A shard and its former parts enter; which sources are to be read leaves, and later whole tables.

A part of a new generation holds the rows of its former part for every source that was not touched
since, and computed rows for the others. A source whose outcome is carried over gets rows in a new
analyzer's table by being read again; one whose outcome is no picture is not read at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.dataset.parts import read_part
from imgbatch.dataset.shards import read_shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.analyzers import Row
    from imgbatch.dataset import Dataset, Part, TableSpec
    from imgbatch.dataset.plan import Work
    from imgbatch.records import Source


@dataclass(frozen=True, slots=True)
class Known:
    """The outcome of a source, as a former part says it."""

    status: str
    n_pictures: int


@dataclass(frozen=True, slots=True)
class Shift:
    """The sources of a shard at work.

    Attributes:
        sources: all of them, in the shard's order.
        known: the outcome of each as a former part says it, None where it is to be found.
        needs: for each the tables that it needs rows in; empty when nothing is to be read.
    """

    work: Work
    sources: Sequence[Source]
    known: Sequence[Known | None]
    needs: Sequence[frozenset[str]]

    @property
    def places(self) -> list[int]:
        """The places of the sources that are to be read."""
        return [place for place, tables in enumerate(self.needs) if tables]

    def only(self, places: frozenset[int]) -> Shift:
        """Return the same with no other sources to be read than those at some places."""
        none: frozenset[str] = frozenset()
        needs = [own if place in places else none for place, own in enumerate(self.needs)]
        return replace(self, needs=needs)


def look(dataset: Dataset, work: Work) -> Shift:
    """Find out which sources of a shard are to be read, and for which tables.

    Raises:
        DatasetError: the manifest has no such part.
        DamageError: a former part cannot be read.
    """
    sources, touched = read_shard(dataset, work.shard)
    known: list[Known | None] = [None] * len(sources)
    former = work.former.get(SOURCES)
    if former is not None:
        found = _outcomes(dataset, former)
        for place, source in enumerate(sources):
            if touched[place] <= former.generation:
                known[place] = found.get((source.source_id, source.version))
    needs = [_needs(work, known[place], touched[place]) for place in range(len(sources))]
    return Shift(work, sources, known, needs)


def _outcomes(dataset: Dataset, part: Part) -> dict[tuple[str, str], Known]:
    rows, _ = read_part(dataset.store, part)
    names = ("source_id", "version", "status", "n_pictures")
    columns = zip(*(rows[name].to_pylist() for name in names), strict=True)
    return {(source, version): Known(*outcome) for source, version, *outcome in columns}


def _needs(work: Work, known: Known | None, touched: int) -> frozenset[str]:
    if known is None:
        return frozenset(work.tables)
    if known.status != "ok":
        return frozenset()
    former = work.former
    held = {name for name in work.tables if name in former and touched <= former[name].generation}
    return frozenset(work.tables) - held - {SOURCES}


def whole(dataset: Dataset, shift: Shift, spec: TableSpec, rows: list[Row]) -> pa.Table:
    """Return all rows of a shard in one table: the computed ones, and those of its former part.

    Raises:
        DamageError: the former part cannot be read.
    """
    computed = pa.Table.from_pylist(rows, schema=spec.schema)
    former = shift.work.former.get(spec.name)
    if former is None:
        return computed
    held = [
        source
        for source, known, needs in zip(shift.sources, shift.known, shift.needs, strict=True)
        if known is not None and spec.name not in needs
    ]
    carried = _rows_of(read_part(dataset.store, former)[0], held).select(spec.schema.names)
    together = pa.concat_tables([carried.cast(spec.schema), computed])
    return _in_order(together, shift.sources)


def _rows_of(rows: pa.Table, sources: Sequence[Source]) -> pa.Table:
    ids = pa.array([source.source_id for source in sources], pa.string())
    versions = pa.array([source.version for source in sources], pa.string())
    at = pc.index_in(rows["source_id"], value_set=ids)
    return rows.filter(pc.fill_null(pc.equal(versions.take(at), rows["version"]), fill_value=False))


def _in_order(rows: pa.Table, sources: Sequence[Source]) -> pa.Table:
    ids = pa.array([source.source_id for source in sources], pa.string())
    keys = [("place", "ascending")]
    keys += [("frame", "ascending")] if "frame" in rows.column_names else []
    places = rows.append_column("place", pc.index_in(rows["source_id"], value_set=ids))
    return places.sort_by(keys).drop_columns("place")
