"""A shard and its former parts enter; which sources are to be read leaves, and later whole tables.

A part of a new generation holds the rows of its former part for every source that was not touched
since, and computed rows for the others. A source whose outcome is carried over gets rows in a new
analyzer's table by being read again; one whose outcome is no picture is not read at all.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.dataset.parts import read_part
from imgbatch.dataset.shards import sources_at
from imgbatch.records import REGIONS, analyzer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """A shard at work: which of its sources are to be read, by their places in its order.

    Attributes:
        listed: its rows of the manifest.
        sources: those that are to be read.
        known: the outcome of each as a former part says it, None where it is to be found.
        needs: for each the tables that it needs rows in.
        carried: by table a mask over `listed`: whose rows are taken over from the former part.
    """

    work: Work
    listed: pa.Table
    sources: Mapping[int, Source]
    known: Mapping[int, Known | None]
    needs: Mapping[int, frozenset[str]]
    carried: Mapping[str, pa.Array]

    @property
    def places(self) -> list[int]:
        """The places of the sources that are to be read."""
        return list(self.needs)

    def only(self, places: frozenset[int]) -> Shift:
        """Return the same with no other sources to be read than those at some places."""
        return replace(self, needs={at: own for at, own in self.needs.items() if at in places})


@dataclass(frozen=True, slots=True)
class Needed:
    """What the sources of a shard need, as columns in the shard's order.

    Attributes:
        known: whether a former part says the outcome.
        status, n_pictures: as it says it; null where it does not.
        tables: by table, which sources need rows in it.
    """

    known: pa.Array
    status: pa.Array
    n_pictures: pa.Array
    tables: Mapping[str, pa.Array]


def look(dataset: Dataset, work: Work, listed: pa.Table) -> Shift:
    """Find out which sources of a shard are to be read, and for which tables.

    Args:
        dataset: has the former parts.
        work: what is to do for the shard.
        listed: the shard's rows of the manifest.

    Raises:
        DamageError: a former part cannot be read.
    """
    found = needed(dataset, work, listed)
    carried = {name: pc.and_not(found.known, wanted) for name, wanted in found.tables.items()}
    # Of many sources few may be to be read: only these become objects.
    at = pc.indices_nonzero(reduce(pc.or_, found.tables.values()))
    places: list[int] = at.to_pylist()

    def values(column: pa.Array) -> list[Any]:
        return column.take(at).to_pylist()  # type: ignore[no-any-return] # pyarrow ships no types

    known = {
        place: Known(status, n_pictures) if there else None
        for place, there, status, n_pictures in zip(
            places, *map(values, (found.known, found.status, found.n_pictures)), strict=True
        )
    }
    needs = {
        place: frozenset(itertools.compress(found.tables, wanted))
        for place, *wanted in zip(places, *map(values, found.tables.values()), strict=True)
    }
    return Shift(work, listed, sources_at(listed, places), known, needs, carried)


def needed(dataset: Dataset, work: Work, listed: pa.Table) -> Needed:
    """Return what the sources of a shard need; for `look`, and for `plan`, which reads none.

    Raises:
        DamageError: a former part cannot be read.
    """
    listed = listed.combine_chunks()
    known, status, n_pictures = _known(dataset, work.former.get(SOURCES), listed)
    is_ok = pc.fill_null(pc.equal(status, "ok"), fill_value=False)
    tables = {}
    for name in work.tables:
        # What was no picture gives no rows; of what was one, only rows that no part holds are due.
        due = pc.and_(is_ok, pc.invert(_holds(work.former.get(name), listed)))
        tables[name] = pc.invert(known) if name == SOURCES else pc.or_(pc.invert(known), due)
    for name in work.tables:
        if name.endswith(REGIONS):
            # A run that was killed may have committed one of the two: both come from one look.
            main = analyzer_of(name)
            tables[name] = tables[main] = pc.or_(tables[name], tables[main])
    return Needed(known, status, n_pictures, tables)


def _known(
    dataset: Dataset, former: Part | None, listed: pa.Table
) -> tuple[pa.Array, pa.Array, pa.Array]:
    count = listed.num_rows
    if former is None:
        known = pa.repeat(pa.scalar(value=False), count)
        return known, pa.nulls(count, pa.string()), pa.nulls(count, pa.int32())
    rows = read_part(dataset.store, former)[0].combine_chunks()
    at = pc.index_in(_column(listed, "source_id"), value_set=_column(rows, "source_id"))
    same = pc.equal(_column(rows, "version").take(at), _column(listed, "version"))
    known = pc.and_(_holds(former, listed), pc.fill_null(same, fill_value=False))
    at = pc.if_else(known, at, None)
    return known, _column(rows, "status").take(at), _column(rows, "n_pictures").take(at)


def _holds(former: Part | None, listed: pa.Table) -> pa.Array:
    """Return which sources a former part has rows of that still hold."""
    generation = -1 if former is None else former.generation
    return pc.less_equal(_column(listed, "touched"), generation)


def _column(rows: pa.Table, name: str) -> pa.Array:
    column = rows[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def whole(dataset: Dataset, shift: Shift, spec: TableSpec, rows: list[Row]) -> pa.Table:
    """Return all rows of a shard in one table: the computed ones, and those of its former part.

    Raises:
        DamageError: the former part cannot be read.
    """
    computed = pa.Table.from_pylist(rows, schema=spec.schema)
    former = shift.work.former.get(spec.name)
    if former is None:
        return computed
    listed = shift.listed.filter(shift.carried[spec.name])
    carried = _rows_of(read_part(dataset.store, former)[0], listed)
    together = pa.concat_tables([carried.select(spec.schema.names).cast(spec.schema), computed])
    return _in_order(together, shift.listed)


def _rows_of(rows: pa.Table, listed: pa.Table) -> pa.Table:
    at = pc.index_in(rows["source_id"], value_set=_column(listed, "source_id"))
    same = pc.equal(_column(listed, "version").take(at.combine_chunks()), rows["version"])
    return rows.filter(pc.fill_null(same, fill_value=False))


def _in_order(rows: pa.Table, listed: pa.Table) -> pa.Table:
    keys = [("place", "ascending")]
    keys += [(name, "ascending") for name in ("frame", "region") if name in rows.column_names]
    places = pc.index_in(rows["source_id"], value_set=_column(listed, "source_id"))
    order = pc.sort_indices(
        pa.table({"place": places, **{k: rows[k] for k, _ in keys[1:]}}), sort_keys=keys
    )
    return rows.take(order)
