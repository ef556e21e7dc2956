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

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import FORMAT, MANIFEST, Dataset
from imgbatch.dataset.parts import put_table
from imgbatch.dataset.shards import read_rows
from imgbatch.errors import InputError
from imgbatch.records import Shard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.dataset.delta import Part
    from imgbatch.records import Source
    from imgbatch.settings import Limits

SCHEMA = pa.schema(
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
        ("shard", pa.string()),
        ("generation", pa.int32()),
        ("touched", pa.int32()),
    ]
)
PLACE = ("shard", "generation", "touched")
LISTED = pa.schema([field for field in SCHEMA if field.name not in PLACE])
CHUNK = 50_000
METADATA = {"table": MANIFEST, "format": str(FORMAT)}


@dataclass(frozen=True, slots=True)
class Changes:
    """What a listing changes in the manifest.

    Attributes:
        new: listed rows that the manifest does not have.
        changed: listed rows whose version differs, or that are to be done again as they are.
        removed: ids of sources that leave; of the same input, no longer listed.
        touched: names of the shards that changed and removed sources lie in.
        same: how many sources are as they were.
    """

    new: pa.Table
    changed: pa.Table
    removed: pa.Array
    touched: frozenset[str]
    same: int

    @property
    def nothing(self) -> bool:
        """Whether the manifest already says it all."""
        return not (self.new.num_rows or self.changed.num_rows or len(self.removed))


def listing(sources: Iterable[Source], *, root: str) -> pa.Table:
    """Return listed sources as a table, sorted by address, in bounded memory per source.

    Raises:
        InputError: an address was listed twice.
    """
    chunks: list[pa.RecordBatch] = []
    rows: list[tuple[Any, ...]] = []
    for source in sources:
        rows.append(_row(source, root))
        if len(rows) == CHUNK:
            chunks.append(_batch(rows))
            rows = []
    chunks.append(_batch(rows))
    table = pa.Table.from_batches(chunks, schema=LISTED).sort_by("address")
    if pc.count_distinct(table["source_id"]).as_py() != table.num_rows:
        counts = pc.value_counts(table["address"]).to_pylist()
        twice = next(c["values"] for c in counts if c["counts"] > 1)
        raise InputError(f"{twice} was listed twice", "Was INPUT written to meanwhile? Run again.")
    return table


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
    columns = list(zip(*rows, strict=True)) or [()] * len(LISTED)
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, LISTED, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=LISTED)


def sample(listed: pa.Table, *, limit: int | None, share: float | None) -> pa.Table:
    """Return the first `limit` sources of a share that is drawn by their ids.

    The draw depends on each id alone, so a larger share contains every smaller one.
    """
    if share is not None:
        # The first 8 hex digits of an id are a uniform number below 2**32.
        bound = f"{round(share * 2**32):08x}" if share < 1 else "g"
        listed = listed.filter(pc.less(pc.utf8_slice_codeunits(listed["source_id"], 0, 8), bound))
    return listed if limit is None else listed.slice(0, limit)


def compare(dataset: Dataset, listed: pa.Table, *, root: str, whole: bool) -> Changes:
    """Compare a listing of the input at `root` with the manifest.

    When the listing is not the `whole` input but a sample of it, nothing counts as removed.
    """
    columns = ["source_id", "version", "shard", "input"]
    known = pa.schema([SCHEMA.field(name) for name in columns]).empty_table()
    if dataset.table(MANIFEST).exists:
        known = dataset.read(MANIFEST, columns=columns)
    at = pc.index_in(listed["source_id"], value_set=known["source_id"])
    is_new = pc.is_null(at)
    differs = pc.not_equal(known["version"].take(at), listed["version"])
    changed = pc.fill_null(pc.and_(pc.invert(is_new), differs), fill_value=False)
    shards = set(known["shard"].take(at.filter(changed)).to_pylist())
    removed = known.slice(0, 0)
    if whole:
        ours = known.filter(pc.equal(known["input"], root))
        gone = pc.invert(pc.is_in(ours["source_id"], value_set=listed["source_id"]))
        removed = ours.filter(gone)
        shards |= set(removed["shard"].to_pylist())
    new, again = listed.filter(is_new), listed.filter(changed)
    return Changes(
        new=new,
        changed=again,
        removed=removed["source_id"].combine_chunks(),
        touched=frozenset(shards),
        same=listed.num_rows - new.num_rows - again.num_rows,
    )


def freeze(dataset: Dataset, changes: Changes, *, limits: Limits, run: str, number: int) -> None:
    """Write and commit what a listing changes; a shard that holds no source any more leaves."""
    table = dataset.table(MANIFEST)
    former = [part for part in table.parts().values() if part.shard in changes.touched]
    parts = [
        _write(dataset, shard, rows)
        for shard, rows in upcoming(dataset, changes, limits)
        if rows.num_rows
    ]
    table.commit(parts, former, fence=number, run=run)


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
    for name, rows in _cut(changes.new, limits):
        yield _placed(rows, name, 0)
    former = {part.shard: part for part in dataset.table(MANIFEST).parts().values()}
    for name in sorted(changes.touched):
        rows, generation = _next_generation(dataset, former[name], changes)
        yield _placed(rows, name, generation)


def _cut(new: pa.Table, limits: Limits) -> Iterator[tuple[str, pa.Table]]:
    """Cut new sources by count and bytes; each compressed tar is cut on its own, in its order."""
    streamed = pc.fill_null(pc.equal(new["packing"], "stream"), fill_value=False)
    yield from _cut_run(new.filter(pc.invert(streamed)), limits)
    packed = new.filter(streamed)
    for container in pc.unique(packed["container"]).to_pylist():
        members = packed.filter(pc.equal(packed["container"], container))
        yield from _cut_run(members.sort_by("offset"), limits)


def _cut_run(rows: pa.Table, limits: Limits) -> Iterator[tuple[str, pa.Table]]:
    start = held = 0
    for index, size in enumerate(rows["size"].to_pylist()):
        full = index - start >= limits.shard_sources or held + size > limits.shard_bytes
        if full and index > start:
            yield _named(rows.slice(start, index - start))
            start, held = index, 0
        held += size
    if rows.num_rows > start:
        yield _named(rows.slice(start))


def _named(rows: pa.Table) -> tuple[str, pa.Table]:
    digest = blake2b(digest_size=8)
    for column in ("source_id", "version"):
        # One is of fixed length and the other comes whole, so no two listings run into one.
        digest.update("\0".join(rows[column].to_pylist()).encode())
    return digest.hexdigest(), rows


def _next_generation(dataset: Dataset, part: Part, changes: Changes) -> tuple[pa.Table, int]:
    rows = read_rows(dataset, part.path)
    generation = part.generation + 1
    gone = pc.is_in(rows["source_id"], value_set=changes.removed)
    again = pc.is_in(rows["source_id"], value_set=changes.changed["source_id"])
    kept = rows.filter(pc.invert(pc.or_(gone, again))).select([*LISTED.names, "touched"])
    ids = rows.filter(again)["source_id"]
    fresh = changes.changed.filter(pc.is_in(changes.changed["source_id"], value_set=ids))
    rows = pa.concat_tables([kept, _touched(fresh, generation)])
    streamed = "stream" in rows["packing"].to_pylist()
    return rows.sort_by("offset" if streamed else "address"), generation


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
