"""Listed sources enter; what they change in the manifest leaves. Neither is ever in memory whole.

The listing goes to a `Spill` as it comes, the ids and versions of the manifest follow, and the
difference of the two is asked for there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.spill import CHUNK, Rows, Spill
from imgbatch.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from imgbatch.records import Source

LISTED = pa.schema(
    [
        ("source_id", pa.string()),
        ("address", pa.string()),
        ("version", pa.string()),
        ("size", pa.int64()),
        ("input", pa.string()),
        ("container", pa.string()),
        ("packing", pa.string()),
        ("offset", pa.int64()),
        ("packed_size", pa.int64()),
        ("method", pa.int32()),
        ("verdict_status", pa.string()),
        ("verdict_class", pa.string()),
        ("verdict_message", pa.string()),
    ]
)
IN_SHARD = pa.schema([*LISTED, ("shard", pa.string())])
# Where a member lies in its archive, and how.
PLACE = ("packing", "offset", "packed_size", "method")
VERDICT = ("verdict_status", "verdict_class")
KNOWN = pa.schema(
    [IN_SHARD.field(n) for n in ("source_id", "version", "shard", "input", *PLACE, *VERDICT)]
)
GONE = pa.schema([(name, pa.string()) for name in ("source_id", "shard")])
MISSED = pa.schema([("source_id", pa.string())])
# What a member came to whose archive was written anew between its listing and its reading.
NOT_THERE = "fetch.changed"

# Each compressed tar is read in one pass, so it is cut on its own, in its order.
TAPE = "CASE WHEN packing = 'stream' THEN container ELSE '' END"
CUT_ORDER = "tape, CASE WHEN tape <> '' THEN \"offset\" END NULLS LAST, address"

TOUCHED = """
    SELECT shard, sum(changed)::BIGINT AS changed FROM (
        SELECT shard, 1 AS changed FROM again
        UNION ALL SELECT shard, 0 AS changed FROM moved
        UNION ALL SELECT shard, 0 AS changed FROM gone
    ) GROUP BY shard
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a listing changes in the manifest.

    Attributes:
        new: listed rows that the manifest does not have, in the order in which they are cut, and
            column `tape`: the compressed tar that each lies in, "" for all others.
        changed: listed rows whose version or verdict differs, that were missed where they had been
            and lie elsewhere, or that are to be done again as they are; and column `shard`, by
            which they are sorted.
        moved: listed rows that only lie elsewhere in their archive, which was written anew: what
            was found in them holds, and whoever reads them again has to know where. Columns and
            order as those of `changed`.
        removed: `source_id` and `shard` of sources that leave; of the same input, no longer listed.
            Sorted by shard.
        touched: the shards that changed, moved and removed sources lie in; by name, how many of
            theirs changed.
        same: how many sources are as they were.
    """

    new: Rows
    changed: Rows
    moved: Rows
    removed: Rows
    touched: Mapping[str, int]
    same: int

    @property
    def nothing(self) -> bool:
        """Whether the manifest already says it all."""
        return not (self.new.num_rows or self.touched)

    @classmethod
    def of_rows(
        cls, *, changed: pa.Table | None = None, removed: pa.Table | None = None
    ) -> Changes:
        """Return changes of some rows of the manifest, whatever columns they come with.

        Args:
            changed: sources that are to be done again; what differs in them is what is written.
            removed: sources that leave.
        """
        spill = Spill()
        spill.fill("fresh", LISTED, [])
        spill.fill("again", IN_SHARD, _batches_of(changed, IN_SHARD))
        spill.fill("moved", IN_SHARD, [])
        spill.fill("gone", GONE, _batches_of(removed, GONE))
        return _changes(spill, listed=0 if changed is None else changed.num_rows)


def _batches_of(rows: pa.Table | None, schema: pa.Schema) -> list[pa.RecordBatch]:
    found = schema.empty_table() if rows is None else rows.select(schema.names).cast(schema)
    return list(found.to_batches())


def _changes(spill: Spill, *, listed: int) -> Changes:
    shards = spill.read(TOUCHED)
    new = Rows(spill, "fresh", columns=f"*, {TAPE} AS tape", order=CUT_ORDER)
    changed = Rows(spill, "again", order="shard, address")
    return Changes(
        new=new,
        changed=changed,
        moved=Rows(spill, "moved", order="shard, address"),
        removed=Rows(spill, "gone", order="shard, source_id"),
        touched=dict(zip(*(column.to_pylist() for column in shards.columns), strict=True)),
        same=listed - new.num_rows - changed.num_rows,
    )


class Listing:
    """Listed sources, on the disk.

    Attributes:
        num_rows: how many there are.
    """

    def __init__(self, spill: Spill) -> None:
        self.spill = spill
        self._rows = Rows(spill, "listed", order="address")
        self.num_rows = self._rows.num_rows

    @classmethod
    def of_batches(cls, batches: Iterable[pa.RecordBatch]) -> Listing:
        """Take rows of LISTED in any order.

        Raises:
            InputError: an address was listed twice.
        """
        spill = Spill()
        spill.fill("listed", LISTED, batches)
        # As numbers the ids take half of the memory that they take as text.
        twice = spill.first(
            "SELECT any_value(address) FROM listed GROUP BY source_id::UUID HAVING count(*) > 1"
        )
        if twice:
            raise InputError(
                f"{twice[0]} was listed twice", "Was INPUT written to meanwhile? Run again."
            )
        return cls(spill)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows by address."""
        return self._rows.batches()

    def read(self) -> pa.Table:
        """Return all rows by address; for few."""
        return self._rows.read()


def listing(sources: Iterable[Source], *, root: str) -> Listing:
    """Return listed sources, in bounded memory.

    Raises:
        InputError: an address was listed twice.
        StorageError: the temporary folder is full.
    """
    return Listing.of_batches(_batches(sources, root))


def _batches(sources: Iterable[Source], root: str) -> Iterator[pa.RecordBatch]:
    rows: list[tuple[Any, ...]] = []
    for source in sources:
        rows.append(_row(source, root))
        if len(rows) == CHUNK:
            yield _batch(rows)
            rows = []
    if rows:
        yield _batch(rows)


def _row(source: Source, root: str) -> tuple[Any, ...]:
    verdict = source.verdict
    return (
        source.source_id,
        source.address,
        source.version,
        source.size,
        root,
        source.container,
        source.packing,
        source.offset,
        source.packed_size,
        source.method,
        verdict and verdict.status,
        verdict and verdict.error_class,
        verdict and verdict.message,
    )


def _batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, LISTED, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=LISTED)


def sample(listed: Listing, *, limit: int | None, share: float | None) -> Listing:
    """Return the first `limit` sources by address, of a share that is drawn by their ids.

    The draw depends on each id alone, so a larger share contains every smaller one.
    """
    if limit is None and share is None:
        return listed
    # The first 8 hex digits of an id are a uniform number below 2**32.
    bound = f"{round(share * 2**32):08x}" if share is not None and share < 1 else "g"
    query = f"FROM listed WHERE source_id[:8] < '{bound}'"
    if limit is not None:
        query += f" ORDER BY address LIMIT {limit:d}"
    return Listing.of_batches(listed.spill.batches(query))


def compare(dataset: Dataset, listed: Listing, *, root: str, whole: bool) -> Changes:
    """Compare a listing of the input at `root` with the manifest.

    When the listing is not the `whole` input but a sample of it, nothing counts as removed. What
    differs lies beside the listing, where the next comparison replaces it.
    """
    spill = listed.spill
    table = dataset.table(MANIFEST)
    spill.fill("known", KNOWN, table.batches(KNOWN.names) if table.exists else [])
    spill.run("CREATE OR REPLACE TABLE fresh AS FROM listed ANTI JOIN known USING (source_id)")
    both = "SELECT listed.*, shard FROM listed JOIN known USING (source_id) WHERE"
    again = f"(listed.version <> known.version OR {_differs(VERDICT)})"
    spill.run(f"CREATE OR REPLACE TABLE again AS {both} {again}")
    spill.run(f"CREATE OR REPLACE TABLE moved AS {both} NOT {again} AND {_differs(PLACE)}")
    if spill.first("FROM moved"):
        spill.fill("missed", MISSED, _missed(dataset))
        spill.run("INSERT INTO again FROM moved SEMI JOIN missed USING (source_id)")
        spill.run("CREATE OR REPLACE TABLE moved AS FROM moved ANTI JOIN missed USING (source_id)")
    spill.run(
        "CREATE OR REPLACE TABLE gone AS SELECT source_id, shard FROM known "
        "ANTI JOIN listed USING (source_id) WHERE $1 AND known.input = $2",
        [whole, root],
    )
    return _changes(spill, listed=listed.num_rows)


def _missed(dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """Yield the sources that were not found where they had been listed, in any table."""
    for name in dataset.tables():
        table = dataset.table(f"tables/{name}")
        if "error_class" in table.schema().names:
            not_there = pc.field("error_class") == NOT_THERE
            yield from table.batches(MISSED.names, where=not_there)


def _differs(columns: Sequence[str]) -> str:
    """Return the condition that a listed source and the known one differ in one of the columns."""
    told = (f'listed."{name}" IS DISTINCT FROM known."{name}"' for name in columns)
    return f"({' OR '.join(told)})"
