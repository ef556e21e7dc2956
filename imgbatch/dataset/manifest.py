"""The frozen listing of a dataset's sources, cut into shards that are never cut again.

A run lists its input and compares it with the manifest: new sources are cut into new shards,
changed and removed ones, and those that are to be done again, make a new generation of the shard
they lie in. A shard's name is a hash of the sources that it was cut with and of their versions, so
the same listing always gives the same shards.

Column `touched`: the generation in which a source came, changed, or was sent to be done again. Rows
that were written for this generation or a later one hold; of older ones a new part carries over
only the rows of sources that were not touched since.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import FORMAT, MANIFEST, Dataset
from imgbatch.dataset.changes import LISTED, Changes, Listing, compare, listing, sample
from imgbatch.dataset.parts import put_table
from imgbatch.dataset.shards import read_rows
from imgbatch.records import Shard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.dataset.part import Part
    from imgbatch.settings import Limits

__all__ = ["LISTED", "SCHEMA", "Changes", "Listing", "compare", "freeze", "listing", "sample"]

SCHEMA = pa.schema(
    [*LISTED, ("shard", pa.string()), ("generation", pa.int32()), ("touched", pa.int32())]
)
WRITES = 8
METADATA = {"table": MANIFEST, "format": str(FORMAT)}


def freeze(dataset: Dataset, changes: Changes, *, limits: Limits, run: str, number: int) -> None:
    """Write and commit what a listing changes; a shard that holds no source any more leaves."""
    table = dataset.table(MANIFEST)
    former = [part for part in table.parts().values() if part.shard in changes.touched]
    parts = list(_written(dataset, upcoming(dataset, changes, limits)))
    table.commit(parts, former, fence=number, run=run)


def _written(dataset: Dataset, shards: Iterable[tuple[Shard, pa.Table]]) -> Iterator[Part]:
    """Write a few shards at a time: each waits for a disk, or for a bucket."""
    under_way: deque[Future[Part]] = deque()
    with ThreadPoolExecutor(WRITES, "manifest") as pool:
        for shard, rows in shards:
            if rows.num_rows:
                under_way.append(pool.submit(_write, dataset, shard, rows))
            if len(under_way) >= WRITES:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _write(dataset: Dataset, shard: Shard, rows: pa.Table) -> Part:
    # In one chunk: how the rows came together does not show in the file.
    whole = rows.combine_chunks()
    return put_table(dataset.store, MANIFEST, shard.label, whole, METADATA | {"shard": shard.name})


def upcoming(
    dataset: Dataset, changes: Changes, limits: Limits
) -> Iterator[tuple[Shard, pa.Table]]:
    """Yield the shards that changes make, with their rows; no rows where a shard leaves.

    Nothing is written: `freeze` does that, and `plan` looks at them as they are.
    """
    for name, rows in _cut(changes.new.batches(), limits):
        yield _placed(rows, name, 0)
    former = {part.shard: part for part in dataset.table(MANIFEST).parts().values()}
    changed, removed = _Groups(changes.changed.batches()), _Groups(changes.removed.batches())
    moved = _Groups(changes.moved.batches())
    for name in sorted(changes.touched):
        part = former[name]
        rows = _follow(
            dataset,
            part,
            changed=changed.take(name),
            moved=moved.take(name),
            removed=removed.take(name),
        )
        yield _placed(rows, name, part.generation + 1)


def _cut(new: Iterable[pa.RecordBatch], limits: Limits) -> Iterator[tuple[str, pa.Table]]:
    """Cut new sources by count and bytes; each compressed tar is cut on its own, in its order."""
    held: list[pa.RecordBatch] = []
    count = size = 0
    last = ""
    for batch in new:
        start = 0
        for place, (own, tape) in enumerate(_pairs(batch)):
            full = count == limits.shard_sources or size + own > limits.shard_bytes
            if count and (full or tape != last):
                yield _named([*held, batch.slice(start, place - start)])
                held, count, size, start = [], 0, 0, place
            count, size, last = count + 1, size + own, tape
        held.append(batch.slice(start))
    if count:
        yield _named(held)


def _pairs(batch: pa.RecordBatch) -> Iterator[tuple[int, str]]:
    return zip(batch["size"].to_pylist(), batch["tape"].to_pylist(), strict=True)


def _named(batches: list[pa.RecordBatch]) -> tuple[str, pa.Table]:
    rows = pa.Table.from_batches(batches).select(LISTED.names)
    digest = blake2b(digest_size=8)
    for column in ("source_id", "version"):
        # One is of fixed length and the other comes whole, so no two listings run into one.
        digest.update("\0".join(rows[column].to_pylist()).encode())
    return digest.hexdigest(), rows


class _Groups:
    """Rows that are sorted by shard, taken shard by shard."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._runs = _runs(batches)
        self._next = next(self._runs, None)

    def take(self, shard: str) -> pa.Table | None:
        """Return the rows of a shard, None where it has none; asked for in order."""
        if self._next is None or self._next[0] != shard:
            return None
        (_, rows), self._next = self._next, next(self._runs, None)
        return rows


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
    held: list[pa.RecordBatch] = []
    last = ""
    for batch in batches:
        start = 0
        for place, shard in enumerate(batch["shard"].to_pylist()):
            if shard != last:
                if whole := [b for b in (*held, batch.slice(start, place - start)) if b.num_rows]:
                    yield last, pa.Table.from_batches(whole)
                held, last, start = [], shard, place
        held.append(batch.slice(start))
    if held:
        yield last, pa.Table.from_batches(held)


def _follow(
    dataset: Dataset,
    part: Part,
    *,
    changed: pa.Table | None,
    moved: pa.Table | None,
    removed: pa.Table | None,
) -> pa.Table:
    """Return the rows of a shard's next generation."""
    former = read_rows(dataset, part.path).select([*LISTED.names, "touched"])
    rows = former
    for leave in (changed, moved, removed):
        if leave is not None:
            gone = pc.is_in(rows["source_id"], value_set=leave["source_id"])
            rows = rows.filter(pc.invert(gone))
    if changed is not None:
        fresh = _touched(changed.select(LISTED.names), part.generation + 1)
        rows = pa.concat_tables([rows, fresh])
    if moved is not None:
        at = pc.index_in(moved["source_id"], value_set=former["source_id"])
        since = former["touched"].take(at)
        there = moved.select(LISTED.names).append_column(SCHEMA.field("touched"), since)
        rows = pa.concat_tables([rows, there])
    streamed = "stream" in rows["packing"].to_pylist()
    return rows.sort_by("offset" if streamed else "address")


def _touched(rows: pa.Table, generation: int) -> pa.Table:
    return rows.append_column(
        SCHEMA.field("touched"), pa.array([generation] * rows.num_rows, pa.int32())
    )


def _placed(rows: pa.Table, name: str, generation: int) -> tuple[Shard, pa.Table]:
    count = rows.num_rows
    if "touched" not in rows.column_names:
        rows = _touched(rows, generation)
    place = {
        "shard": pa.array([name] * count),
        "generation": pa.array([generation] * count, pa.int32()),
    }
    columns = [place[c] if c in place else rows[c] for c in SCHEMA.names]
    return Shard(name, generation), pa.Table.from_arrays(columns, schema=SCHEMA)
