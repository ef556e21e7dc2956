"""Rows of forgotten sources leave the manifest and the tables of analyzers.

No picture is read: parts are written again without the rows. How labels leave stands in
`labels_leaving`, how posts do in `posts_leaving`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, manifest
from imgbatch.dataset.changes import GONE, Changes
from imgbatch.dataset.parts import put_table, read_part
from imgbatch.dataset.shards import read_rows
from imgbatch.settings import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.dataset import Dataset, Part, Table
    from imgbatch.dataset.tombstones import Tombstones

OURS = "imgbatch."
READERS = 8


def leave_manifest(dataset: Dataset, stones: Tombstones, run: str, number: int) -> int:
    """Make a new generation of each shard that holds a forgotten source; return how many left."""
    table = dataset.table(MANIFEST)
    gone = GONE.empty_table()
    for batch in table.batches(GONE.names) if table.exists else ():
        rows = pa.Table.from_batches([batch])
        gone = pa.concat_tables([gone, rows.filter(stones.among(rows["source_id"]))])
    changes = Changes.of_rows(removed=gone)
    if not changes.nothing:
        manifest.freeze(dataset, changes, limits=Limits(), run=run, number=number)
    return int(gone.num_rows)


def is_listed(dataset: Dataset, stones: Tombstones) -> bool:
    """Tell whether the manifest holds a forgotten source."""
    batches = dataset.batches(MANIFEST, columns=["source_id"])
    return any(
        pc.any(stones.among(pa.chunked_array([batch["source_id"]]))).as_py() for batch in batches
    )


def is_left(dataset: Dataset, folder: str, shards: Mapping[str, Part], stones: Tombstones) -> bool:
    """Tell whether a table holds rows of forgotten sources that the manifest lacks."""
    return any(
        pc.any(stones.of_rows(read_part(dataset.store, part)[0])).as_py()
        for part in dataset.table(folder).parts().values()
        if not _in_step(part, shards)
    )


def leave_table(
    dataset: Dataset,
    folder: str,
    shards: Mapping[str, Part],
    stones: Tombstones,
    fence: tuple[str, int],
) -> int:
    """Write the parts of a table again that hold a forgotten source; return how many rows left."""
    table = dataset.table(folder)

    def leave(part: Part) -> tuple[int, Part | None, Part]:
        own = shards.get(part.shard)
        if _in_step(part, shards):
            return 0, part, part
        rows, _ = read_part(dataset.store, part)
        gone = stones.of_rows(rows)
        count = int(pc.sum(gone).as_py() or 0)
        if own is None and folder.startswith("tables/"):
            return count, None, part  # of a shard that is no more
        listed = None if own is None else read_rows(dataset, own.path)
        if own is not None and listed is not None and _is_whole(part, listed):
            stem = f"{own.label}-{part.fingerprint}"
            return count, _again(dataset, table, stem, rows, _of_sources(rows, listed)), part
        kept = rows.filter(pc.invert(gone))
        return count, _again(dataset, table, part.stem, rows, kept) if count else part, part

    with ThreadPoolExecutor(READERS) as pool:
        left = list(pool.map(leave, table.parts().values()))
    adds = [new for _, new, part in left if new is not None and new.path != part.path]
    removes = [part for _, new, part in left if new is None or new.path != part.path]
    if removes:
        run, number = fence
        table.commit(adds, removes, fence=number, run=run)
    return sum(count for count, _, _ in left)


def _in_step(part: Part, shards: Mapping[str, Part]) -> bool:
    """Tell whether a part holds exactly the sources that the manifest has in its shard."""
    own = shards.get(part.shard)
    return own is not None and own.label == part.label


def _is_whole(part: Part, listed: pa.Table) -> bool:
    """Tell whether a part has the rows of all sources that are left in its shard.

    Such a part is carried over to their generation: no run has anything to do for it. Any other
    keeps its generation, and the next run goes on from it.
    """
    return bool(pc.max(listed["touched"]).as_py() <= part.generation)


def _again(dataset: Dataset, table: Table, stem: str, rows: pa.Table, kept: pa.Table) -> Part:
    """Write the kept rows of a part, with the provenance that the part itself names."""
    told = {
        key.decode().removeprefix(OURS): value.decode()
        for key, value in (rows.schema.metadata or {}).items()
        if key.decode().startswith(OURS)
    }
    return put_table(dataset.store, table.name, stem, kept, told)


def _of_sources(rows: pa.Table, listed: pa.Table) -> pa.Table:
    at = pc.index_in(rows["source_id"], value_set=listed["source_id"])
    same = pc.equal(listed["version"].take(at), rows["version"])
    return rows.filter(pc.fill_null(same, fill_value=False))
