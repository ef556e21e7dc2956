"""Parts of one table enter; their rows leave, a few parts in memory at a time.

Parts in a folder are read where they lie. Those of a bucket are fetched whole, in one request each,
and decoded from memory: only the columns that are asked for, and those that the filter names.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs

from imgbatch.dataset.parts import readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow.compute as pc

    from imgbatch.dataset.part import Part
    from imgbatch.storage import Store

LOCAL = pyarrow.fs.LocalFileSystem()
PARQUET = pads.ParquetFileFormat()
FETCHES = 8
SLICE, SLICE_BYTES = 256, 64 * 2**20


def files(paths: Sequence[str], schema: pa.Schema) -> pads.Dataset:
    """Return Parquet files of this machine as one dataset; a column one lacks is null there."""
    return pads.dataset(paths, schema=schema, format=PARQUET, filesystem=LOCAL)


def batches(
    store: Store,
    location: str,
    parts: Iterable[Part],
    schema: pa.Schema,
    columns: Sequence[str],
    where: pc.Expression | None,
    at_once: int,
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of the parts' rows.

    Args:
        store: where they are.
        location: of their table, see `Store.delta_location`.
        parts: of one table.
        schema: of that table; a column that a part lacks is null there.
        columns: names of those that are asked for.
        where: a filter.
        at_once: bytes of parts that are read together.

    Raises:
        DamageError: a part is missing or cannot be read.
    """
    for some in _slices(parts, at_once):
        with readable(f"table {some[0].table}"):
            rows = (
                _fetched(store, some, schema)
                if "://" in location
                else files([f"{location}/{part.path}" for part in some], schema)
            )
            yield from rows.to_batches(columns=list(columns), filter=where)


def _slices(parts: Iterable[Part], at_once: int) -> Iterator[list[Part]]:
    """Yield the parts, some at a time: pyarrow keeps each footer that it has read."""
    some: list[Part] = []
    size = 0
    for part in parts:
        if some and (len(some) == SLICE or size + part.size > at_once):
            yield some
            some, size = [], 0
        some.append(part)
        size += part.size
    if some:
        yield some


def _fetched(store: Store, parts: Sequence[Part], schema: pa.Schema) -> pads.Dataset:
    with ThreadPoolExecutor(FETCHES) as pool:
        found = list(pool.map(lambda part: store.get(f"{part.table}/{part.path}"), parts))
    fragments = [PARQUET.make_fragment(pa.py_buffer(data)) for data in found]
    return pads.FileSystemDataset(fragments, schema, PARQUET)
