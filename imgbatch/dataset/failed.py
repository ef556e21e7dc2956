"""What a run would replace enters; the sources that failed before and stay so leave.

In `sources` failed what could not be fetched or decoded: it has no rows elsewhere. In an analyzer's
table failed a source with a picture that the analyzer failed on, or one that was ok and could not
be read again when its table was new. A run leaves both as they are, unless it reads them again for
another cause; `imgbatch retry` reads them again because they failed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.dataset.parts import read_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from imgbatch.dataset import Dataset, Part, TableSpec
    from imgbatch.dataset.plan import Work

ROWS = pa.schema([("source_id", pa.string()), ("error_class", pa.string())])
FAILED = pc.field("status") == "failed"


@dataclass(frozen=True, slots=True)
class Replaced:
    """What of the tables a run would replace.

    Attributes:
        shards: the names of those that stay; the rows of others leave.
        works: what it would compute.
        adopted: the parts that it would take as they lie written.
        leaving: ids of sources that leave.
        again: by table, ids of the sources whose rows are computed anew while the other rows of
            their shard are carried over.
    """

    shards: Collection[str]
    works: Sequence[Work]
    adopted: Sequence[Part]
    leaving: pa.ChunkedArray
    again: Mapping[str, Sequence[pa.ChunkedArray]]


def carries(work: Work, table: str) -> bool:
    """Return whether rows of a shard's former part of a table are carried over."""
    return table in work.former and SOURCES in work.former


def failed_before(
    dataset: Dataset, specs: Sequence[TableSpec], replaced: Replaced
) -> dict[str, dict[str, int]]:
    """Return by table and error class how many sources failed and stay as they are.

    A source counts once in each table in which it failed, however many of its pictures did.

    Raises:
        DamageError: a part that stays cannot be read.
    """
    # Of regions there are only those that were found: what failed is in the main table.
    names = [spec.name for spec in specs if "status" in spec.schema.names]
    found = {name: _classes(_failed(dataset, name, replaced)) for name in names}
    return {name: classes for name, classes in found.items() if classes}


def _failed(dataset: Dataset, name: str, replaced: Replaced) -> pa.Table:
    """Return the failed rows of one table that stay."""
    adopted = [part for part in replaced.adopted if part.table == f"tables/{name}"]
    anew = {part.shard for part in adopted}
    anew |= {w.shard.name for w in replaced.works if name in w.tables and not carries(w, name)}
    stay = set(replaced.shards) - anew
    rows = pa.concat_tables([ROWS.empty_table(), *_held(dataset, name, stay)])
    gone = [replaced.leaving, *replaced.again.get(name, ())]
    ids = pa.chunked_array([chunk for column in gone for chunk in column.chunks], pa.string())
    rows = rows.filter(pc.invert(pc.is_in(rows["source_id"], value_set=ids)))
    return pa.concat_tables([rows, *(_written(dataset, part) for part in adopted)])


def _held(dataset: Dataset, name: str, shards: Collection[str]) -> Iterator[pa.Table]:
    table = dataset.table(f"tables/{name}")
    if table.exists:
        only = {path for path, part in table.parts().items() if part.shard in shards}
        for batch in table.batches(ROWS.names, FAILED, only):
            yield pa.table(batch).cast(ROWS)


def _written(dataset: Dataset, part: Part) -> pa.Table:
    rows = read_columns(dataset.store, part, [*ROWS.names, "status"])
    return rows.filter(FAILED).select(ROWS.names).cast(ROWS)


def _classes(rows: pa.Table) -> dict[str, int]:
    """Return how many sources failed with each class, the most frequent first."""
    own = rows.group_by("source_id").aggregate([("error_class", "min")])
    counts = Counter(own["error_class_min"].to_pylist())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
