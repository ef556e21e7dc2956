"""Committed rows to plain files, for readers that do not know Delta Lake."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from imgbatch.dataset import MANIFEST, groups, posts
from imgbatch.dataset.scratch import scratch_folder
from imgbatch.dataset.spill import Spill
from imgbatch.dataset.state import unlocked
from imgbatch.errors import SettingsError
from imgbatch.storage import open_store
from imgbatch.storage.addresses import lies_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.dataset import Dataset, Table

Format = Literal["parquet", "csv"]
ROWS = 10_000
KEYS = ("source_id", "frame", "region", "picture_id", "region_id")
# Of tables of posts, whose rows may be of no source.
POST_KEYS = ("platform", "post_id", "media_idx", "input", "kind", "ref", "line", "message")


def export(dataset: Dataset, out: str, *, form: Format) -> dict[str, int]:
    """Write every table as one file `<table>.<form>` below `out`, sorted by its keys.

    Labels go to `groups/<name>.<form>`.

    Rows are sorted and the file is made in the temporary folder: memory does not grow with the
    table. CSV is UTF-8 with a header; a list is one field with `;` between items, and null is an
    empty field.

    Returns:
        rows by table.

    Raises:
        SettingsError: a file would come to lie in the dataset; nothing is written.
        DamageError: another program committed to a table; a part is missing or cannot be read.
        BusyError: a takedown or a run went by while it was read; files that are written stay.
        DatasetError, StorageError: a table cannot be read, or a file not be written.
    """
    store = open_store(out)
    written: dict[str, int] = {}
    tables = {MANIFEST: MANIFEST, **{name: f"tables/{name}" for name in dataset.tables()}}
    tables |= {path: path for path in map(groups.path_of, groups.names(dataset))}
    tables |= {path: path for path in posts.here(dataset)}
    _refuse_inside(dataset.url, store.root, tables)
    for path in tables.values():
        dataset.table(path).parts()  # before anything is written
    for name, path in tables.items():
        with unlocked(dataset), scratch_folder() as folder:
            file = f"{folder}/rows"
            written[name] = _write(dataset.table(path), file, form)
            store.put_file(f"{name}.{form}", file)
    return written


def _refuse_inside(dataset: str, out: str, names: Iterable[str]) -> None:
    # Of files, not of OUT: the folder that the dataset lies in is as good as any other.
    if any(lies_in(f"{out}/{name}", dataset) for name in names):
        raise SettingsError(
            f"OUT {out} would put files into DATASET {dataset}, which is not theirs",
            "Give a folder beside the dataset, not in it.",
        )


def _write(table: Table, path: str, form: Format) -> int:
    schema = table.schema()
    count = 0
    with contextlib.closing(Spill()) as spill:
        spill.fill("rows", schema, table.batches(schema.names))
        known = POST_KEYS if table.name in posts.TABLES else KEYS
        keys = ", ".join(k for k in known if k in schema.names)
        shown = schema if form == "parquet" else _flat_schema(schema)
        with _writer(path, shown, form) as writer:
            for batch in spill.batches(f"FROM rows ORDER BY {keys}", rows=ROWS):
                rows = batch.cast(schema)
                writer.write(rows if form == "parquet" else _flat(rows, shown))
                count += batch.num_rows
    return count


def _writer(path: str, schema: pa.Schema, form: Format) -> pq.ParquetWriter | pacsv.CSVWriter:
    if form == "parquet":
        return pq.ParquetWriter(path, schema, compression="zstd")
    return pacsv.CSVWriter(path, schema)


def _flat_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [f if not pa.types.is_list(f.type) else pa.field(f.name, pa.string()) for f in schema]
    )


def _flat(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows with each list as text."""
    columns = [
        column
        if column.type == field.type
        else pa.array(map(_text, column.to_pylist()), pa.string())
        for column, field in zip(rows.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _text(values: list[object] | None) -> str | None:
    return None if values is None else ";".join(map(str, values))
