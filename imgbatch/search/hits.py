"""Enters: the most similar rows. Leaves: the result: one table, as lines, JSON, Parquet or CSV."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from imgbatch.dataset.shards import find
from imgbatch.errors import SettingsError
from imgbatch.storage import locate, open_store
from imgbatch.storage.addresses import lies_in

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.records import Source
    from imgbatch.search.cosine import Best
    from imgbatch.search.space import Space

FORMS = (".parquet", ".csv", ".html")


def table_of(best: list[Best], sources: dict[str, Source], threshold: float | None) -> pa.Table:
    """Return one row per hit: query, rank, similarity, distance, match, address, keys.

    Args:
        best: of each query, in order.
        sources: of the hits, by source_id.
        threshold: the largest distance that counts as a match; None where none is known: then there
            is no column `match`.
    """
    made = [_of_query(number, one, sources, threshold) for number, one in enumerate(best)]
    found = [table for table in made if table.num_rows]
    return pa.concat_tables(found) if found else pa.table({"query": pa.array([], pa.int32())})


def _of_query(
    number: int, best: Best, sources: dict[str, Source], threshold: float | None
) -> pa.Table:
    count = best.rows.num_rows
    if not count:
        return pa.table({})
    distance = 1.0 - best.similarity
    ids = best.rows["source_id"].to_pylist()
    columns: dict[str, Any] = {
        "query": pa.array([number] * count, pa.int32()),
        "rank": pa.array(np.arange(1, count + 1), pa.int32()),
        "similarity": pa.array(best.similarity),
        "distance": pa.array(distance),
        **({} if threshold is None else {"match": pa.array(distance <= threshold)}),
        "address": pa.array(
            [sources[key].address if key in sources else None for key in ids], pa.string()
        ),
    }
    columns |= {name: best.rows[name] for name in best.rows.column_names}
    return pa.table(columns)


def sources_of(space: Space, best: list[Best], more: list[str]) -> dict[str, Source]:
    """Return the sources of hits, and of some more ids, by id."""
    ids = set(more)
    for one in best:
        if one.rows.num_rows:
            ids |= set(one.rows["source_id"].to_pylist())
    return {source.source_id: source for source in find(space.dataset, sorted(ids))}


def check_out(dataset: Dataset, out: str) -> str:
    """Return the ending of a file's name.

    Raises:
        SettingsError: it is none of FORMS, or the file would lie in the dataset, where no takedown
            would look for it.
    """
    if lies_in(open_store(out).root, dataset.url):
        raise SettingsError(
            f"--out {out} lies in DATASET {dataset.url}, which it is no part of",
            "Give a place beside the dataset; --html puts a page into it.",
        )
    for form in FORMS:
        if out.endswith(form):
            return form
    raise SettingsError(
        f"--out {out} says no format that a search is written in", f"End it in {', '.join(FORMS)}."
    )


def write(out: str, data: bytes) -> str:
    """Write a file, on this machine or in a bucket; return its address."""
    store, name = locate(open_store(out).root)
    store.put(name, data)
    return store.address(name)


def as_file(table: pa.Table, form: str) -> bytes:
    """Return hits as Parquet or CSV."""
    sink = io.BytesIO()
    if form == ".parquet":
        pq.write_table(table, sink, compression="zstd")
    else:
        pacsv.write_csv(table, sink)
    return sink.getvalue()
