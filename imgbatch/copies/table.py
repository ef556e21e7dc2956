"""Rows of copies in, the bytes of one Parquet file out, a row group at a time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = dict[str, Any]

SCHEMA = pa.schema(
    [
        ("source_id", pa.string()),
        ("version", pa.string()),
        ("address", pa.string()),
        ("sha256", pa.string()),
        ("frame", pa.int32()),
        ("time", pa.float64()),
        ("status", pa.string()),
        ("error_class", pa.string()),
        ("message", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("file", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("steps", pa.string()),
        # Faces found, over all frames of a video; null where the recipe masks none.
        ("n_faces", pa.int32()),
        # Copies of whole videos only: frames, and those with a mask.
        ("n_frames", pa.int32()),
        ("n_masked", pa.int32()),
    ]
)
ROW_GROUP = 10_000


class TableFile:
    """A Parquet file in the making: compressed in memory, to be put whole.

    Args:
        metadata: goes into the file, so that it explains itself.
    """

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self._file = io.BytesIO()
        self._schema = SCHEMA.with_metadata(dict(metadata))
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows at the end."""
        self._rows += rows
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def close(self) -> bytes:
        """Return the finished file."""
        self._flush()
        self._writer.close()
        return self._file.getvalue()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []
