"""Labels that lost rows to a takedown enter; the same labels, telling what is left of their groups.

    rows of groups that lost some -> their inputs all there: grouped again, by themselves
                                  -> not all there: what can be counted without them (`left`)

Nothing is read that nobody looks at: what a grouper READS where groups can be grouped by
themselves, what its `left` reads (LEFT_READS) where not; and of both only the rows of these groups.

Only the grouper knows what its columns say of other rows, so `imgbatch.dataset.forget` is handed
`recount` by whoever calls it. What no recount makes right (the centers of clusters, and what is
measured from them) the record of the labels tells by `left`: how many rows they were made of that
are gone. A takedown waits for nothing: inputs that are damaged or gone count as not there.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from imgbatch import groupers
from imgbatch.dataset import MANIFEST, SOURCES
from imgbatch.dataset.made import made_of
from imgbatch.dataset.ordered import ROWS, in_order
from imgbatch.dataset.parts import read_columns
from imgbatch.dataset.scratch import scratch_folder
from imgbatch.errors import (
    DamageError,
    DatasetError,
    GroupError,
    MissingExtraError,
    SettingsError,
)
from imgbatch.groupers import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imgbatch.dataset import Dataset, Part
    from imgbatch.groupers import Module

READERS = 8
KEYS_ALONE = pa.schema([(key, pa.string()) for key in KEYS])


@dataclass(frozen=True, slots=True)
class _Grouper:
    """Who made labels, and how it was asked."""

    module: Module
    settings: Any

    @property
    def label(self) -> str:
        """The column that names the group."""
        return self.module.COLUMNS[0].name

    @property
    def reads(self) -> Mapping[str, Sequence[str]]:
        """What groups are grouped by."""
        return self.module.READS(self.settings)

    @property
    def left_reads(self) -> Mapping[str, Sequence[str]]:
        """What of that is looked at where they are not grouped again."""
        return {name: self.reads[name] for name in getattr(self.module, "LEFT_READS", ())}


def recount(
    dataset: Dataset, made: Mapping[str, Any], labels: pa.Table, lost: pa.Array
) -> pa.Table:
    """Return labels whose groups are told as they are now; see `dataset.labels_leaving.Recount`.

    Labels of a grouper that is not installed, or of another version of it, stay as they are.
    """
    grouper = _grouper(made, labels)
    if grouper is None:
        return labels
    mine = pc.is_in(labels[grouper.label], value_set=lost)
    some, rest = labels.filter(mine), labels.filter(pc.invert(mine))
    if not some.num_rows:
        return labels
    if getattr(grouper.module, "ALONE", False):
        some, again = _alone(dataset, made, grouper, some, rest)
        rest = pa.concat_tables([rest, again])
    if some.num_rows:
        known = _known(dataset, grouper.left_reads, made, some)
        beside = {name: _beside(rows, some) for name, rows in known.items()}
        told = grouper.module.left(some, beside, grouper.settings)  # type: ignore[attr-defined] # optional
        rest = pa.concat_tables([rest, told.cast(labels.schema)])
    return in_order(rest)


def _grouper(made: Mapping[str, Any], labels: pa.Table) -> _Grouper | None:
    """Return who made labels; None where nobody here can tell them again."""
    try:
        module = groupers.load(made["grouper"])
        if made["version"] != module.VERSION or not hasattr(module, "left"):
            return None
        settings = module.Settings.model_validate(made["settings"])
    except (SettingsError, MissingExtraError, ValidationError):
        return None
    own = [name for name in labels.column_names if name not in KEYS]
    return _Grouper(module, settings) if own == [one.name for one in module.COLUMNS] else None


def _alone(
    dataset: Dataset,
    made: Mapping[str, Any],
    grouper: _Grouper,
    some: pa.Table,
    rest: pa.Table,
) -> tuple[pa.Table, pa.Table]:
    """Group those groups again whose rows are all known; return what is not, and what is."""
    known = _known(dataset, grouper.reads, made, some)
    torn = pc.unique(some[grouper.label].filter(pc.invert(_whole(known, some))))
    is_torn = pc.is_in(some[grouper.label], value_set=torn)
    whole, others = some.filter(pc.invert(is_torn)), some.filter(is_torn)
    again = _again(dataset, made, grouper, whole, known) if whole.num_rows else whole
    if again is None:
        return some, whole.slice(0, 0)
    # A name of its own rows may be that of a group which they left: no two have one name.
    taken = pa.concat_tables([rest, others])[grouper.label].combine_chunks()
    if pc.any(pc.is_in(again[grouper.label].drop_null(), value_set=taken)).as_py():
        return some, whole.slice(0, 0)
    return others, again.cast(some.schema)


def _known(
    dataset: Dataset, reads: Mapping[str, Sequence[str]], made: Mapping[str, Any], some: pa.Table
) -> dict[str, pa.Table]:
    """Return what the tables that labels were made of say now of the sources of some of them.

    Returns:
        of each table its keys and what is read of it; without rows where it, or the way in which
        the labels' rows were made, is not there any more.
    """
    if not reads:
        return {}
    ids = pc.unique(some["source_id"])
    shards = _shards(dataset, ids)
    return {
        name: _rows(dataset, name, columns, made["tables"][name]["fingerprint"], shards, ids)
        for name, columns in reads.items()
    }


def _shards(dataset: Dataset, ids: pa.Array) -> list[str]:
    """Return the names of the shards that hold some sources."""

    def holds(part: Part) -> bool:
        own = read_columns(dataset.store, part, ["source_id"])["source_id"]
        return bool(pc.any(pc.is_in(own, value_set=ids), min_count=0).as_py())

    parts = list(dataset.table(MANIFEST).parts().values())
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(holds, parts)
        return [part.shard for part, mine in zip(parts, found, strict=True) if mine]


def _rows(
    dataset: Dataset,
    name: str,
    columns: Sequence[str],
    fingerprint: str,
    shards: Sequence[str],
    ids: pa.Array,
) -> pa.Table:
    """Return the ok rows of some sources in one table."""
    table = dataset.table(f"tables/{name}")
    schema = table.schema() if table.exists else KEYS_ALONE
    wanted = list(dict.fromkeys([*(key for key in KEYS if key in schema.names), *columns]))
    fields = [
        schema.field(one) if one in schema.names else pa.field(one, pa.null()) for one in wanted
    ]
    only = [
        path
        for path, part in table.committed(shards).items()
        if part.is_ours and (name == SOURCES or part.fingerprint == fingerprint)
    ]
    where = pc.field("source_id").isin(ids)
    if "status" in schema.names:
        where &= pc.field("status") == "ok"
    batches: list[pa.RecordBatch] = []
    if set(wanted) <= set(schema.names):
        with contextlib.suppress(DamageError):  # `verify` names it, and a takedown goes on
            batches = list(table.batches(wanted, where, only))
    # To take rows of many chunks copies all of them, each time.
    return pa.Table.from_batches(batches, pa.schema(fields)).combine_chunks()


def _places(rows: pa.Table, labels: pa.Table) -> pa.ChunkedArray:
    """Return of each label the place of what is known of it; null where nothing is."""
    key = [name for name in KEYS if name in rows.column_names and name in labels.column_names][-1]
    place = pc.index_in(labels[key], value_set=rows[key].combine_chunks())
    same = pc.equal(rows["version"].take(place), labels["version"])
    return pc.if_else(pc.fill_null(same, fill_value=False), place, pa.scalar(None, place.type))


def _in_order(rows: pa.Table, places: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return places in the order of the keys that stand there, each once."""
    places = pc.unique(places)
    keys = rows.select([key for key in KEYS if key in rows.column_names]).take(places)
    return in_order(keys.append_column("place", places))["place"]


def _beside(rows: pa.Table, labels: pa.Table) -> pa.Table:
    """Return what is known of each label, in their order; nulls where nothing is."""
    return rows.take(_places(rows, labels))


def _whole(known: Mapping[str, pa.Table], labels: pa.Table) -> pa.ChunkedArray:
    """Return for each label whether every table knows it."""
    found = pa.chunked_array([pa.array([True] * labels.num_rows, pa.bool_())])
    for rows in known.values():
        found = pc.and_(found, pc.is_valid(_places(rows, labels)))
    return found


class _Tables:
    """The tables that a grouper reads, as far as they are of some labels."""

    def __init__(
        self, dataset: Dataset, made: Mapping[str, Any], known: Mapping[str, pa.Table], of: pa.Table
    ) -> None:
        self._dataset = dataset
        self._made = made
        self._rows = known
        self._places = {name: _in_order(rows, _places(rows, of)) for name, rows in known.items()}

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        # Rows are put in order a batch at a time: vectors of a whole table are not held twice.
        for start in range(0, self.count(name), ROWS):
            some = self._rows[name].take(self._places[name].slice(start, ROWS))
            yield from some.combine_chunks().to_batches()

    def count(self, name: str) -> int:
        return len(self._places[name])

    def made_of(self, name: str) -> dict[str, Any]:
        found = made_of(self._dataset, name)
        # It says so of one part, and another may have come of another recipe meanwhile.
        if found["fingerprint"][:8] != self._made["tables"][name]["fingerprint"]:
            raise GroupError(f"the rows of table {name} were made in several ways")
        return found

    def over(self, name: str, function: Callable[[pa.RecordBatch], pa.Table]) -> pa.Table:
        return in_order(pa.concat_tables([function(batch) for batch in self.batches(name)]))


def _again(
    dataset: Dataset,
    made: Mapping[str, Any],
    grouper: _Grouper,
    some: pa.Table,
    known: Mapping[str, pa.Table],
) -> pa.Table | None:
    """Return rows of whole groups as their grouper groups them alone; None where it cannot."""
    with scratch_folder() as folder:
        context = groupers.Context(some, Path(folder), say=_nobody, write=_nowhere, read=_nothing)
        tables = _Tables(dataset, made, known, some)
        try:
            return grouper.module.group(tables, grouper.settings, context)
        except (GroupError, DatasetError):
            return None


def _nobody(text: str) -> None:
    """Say nothing: a takedown tells of itself."""


def _nowhere(name: str, data: bytes) -> None:
    """Keep no file: a takedown deletes those beside labels."""


def _nothing(name: str) -> None:
    """Return no file of former labels, for the same reason."""
