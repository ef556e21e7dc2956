"""Committed rows to plain files, for readers that do not know Delta Lake."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from imgbatch.dataset import MANIFEST
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset

Format = Literal["parquet", "csv"]
ROWS = 100_000


def export(dataset: Dataset, out: str, *, form: Format) -> dict[str, int]:
    """Write every table as one file `<table>.<form>` below `out`, sorted by its keys.

    CSV is UTF-8 with a header; lists are written as JSON-like text with `;` between items, and
    null is an empty field.

    Returns:
        rows by table.
    """
    store = open_store(out)
    written: dict[str, int] = {}
    for name in [MANIFEST, *dataset.tables()]:
        rows = dataset.read(name)
        keys = [k for k in ("source_id", "frame") if k in rows.column_names]
        rows = rows.sort_by([(key, "ascending") for key in keys])
        buffer = io.BytesIO()
        if form == "parquet":
            pq.write_table(rows, buffer, compression="zstd")
        else:
            pacsv.write_csv(_flat(rows), buffer)
        store.put(f"{name}.{form}", buffer.getvalue())
        written[name] = rows.num_rows
    return written


def _flat(rows: pa.Table) -> pa.Table:
    for index, column in enumerate(rows.schema):
        if pa.types.is_list(column.type):
            text = pa.array(
                [
                    None if v is None else ";".join(map(str, v))
                    for v in rows[column.name].to_pylist()
                ],
                pa.string(),
            )
            rows = rows.set_column(index, column.name, text)
    return rows
