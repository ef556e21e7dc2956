"""Enters: a table of a dump: CSV, TSV, JSON lines, a JSON list or Parquet. Leaves: rows, in pieces.

A row is (line or row from 1, its fields). What is no row is a Gap, and the rows after it are read.

Decision, 2026-11: CSV is read by the standard library: pyarrow and DuckDB guess types and end at
the first broken row, or hide it; here every value stays text and every broken row is told.
Drawback: they are several times as fast.
"""

from __future__ import annotations

import csv
import io
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import documents, lines
from imgbatch.sources.dumps._seekable import seekable
from imgbatch.sources.dumps.names import ending
from imgbatch.sources.dumps.posts import Counted, Gap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump

ENDINGS = ("csv", "json", "jsonl", "ndjson", "parquet", "tsv")
DELIMITERS = ",;\t|"
# A longer field is a quote that does not end: without a limit it would swallow the file.
FIELD = 2**20
# A longer line is read as several, so that none fills the memory.
LINE = 2**23
HEAD = 2**16
# Of JSON, whose rows need not all have the same fields, so many are asked for theirs.
ASKED = 100
BATCH = 1000

Row = tuple[int, dict[str, Any]]


def rows(dump: Dump, name: str) -> Iterator[Row | Gap]:
    """Yield the rows of a table, and its Gaps."""
    form = ending(name)
    if form == "parquet":
        yield from _parquet(dump, name)
    elif form in ("csv", "tsv"):
        yield from _separated(dump, name, "\t" if form == "tsv" else "")
    elif form == "json" and dump.head(name, HEAD).removeprefix(lines.BOM).lstrip()[:1] == b"[":
        yield from _objects(documents.items(dump, name), name)
    else:
        yield from lines.objects(dump, name)


def columns(dump: Dump, name: str) -> list[str]:
    """Return the names of a table's columns; of JSON the fields of its first rows.

    Raises:
        SourceError: it cannot be had.
    """
    if ending(name) == "parquet":
        with seekable(dump, name) as file:
            try:
                return list(pq.ParquetFile(file).schema_arrow.names)
            except (pa.ArrowException, OSError):
                return []
    looked = 1 if ending(name) in ("csv", "tsv") else ASKED
    found = (row[1] for row in islice(rows(dump, name), looked) if not isinstance(row, Gap))
    return list(dict.fromkeys(field for row in found for field in row))


def _objects(found: Iterator[tuple[int, Any] | Gap], name: str) -> Iterator[Row | Gap]:
    for one in found:
        if isinstance(one, Gap) or isinstance(one[1], dict):
            yield one
        else:
            yield Gap("broken-line", name, one[0], f"a JSON {type(one[1]).__name__}, no object")


def _parquet(dump: Dump, name: str) -> Iterator[Row | Gap]:
    line = 0
    try:
        with seekable(dump, name) as file:
            reader = pq.ParquetFile(file, pre_buffer=False)
            told = [field.name for field in reader.schema_arrow if not _is_bytes(field.type)]
            for batch in reader.iter_batches(batch_size=BATCH, columns=told):
                for row in batch.to_pylist():
                    line += 1
                    yield line, row
    except SourceError as error:
        yield Gap(error.code, name, line or None, f"{error}; {line} rows came before that")
    except (pa.ArrowException, OSError) as error:
        said = str(error).partition("\n")[0][:200]
        yield Gap("archive.corrupt", name, line or None, f"no Parquet: {said}; {line} rows came")


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _separated(dump: Dump, name: str, delimiter: str) -> Iterator[Row | Gap]:
    counted = Counted()
    csv.field_size_limit(FIELD)
    try:
        with dump.open(name) as file:
            text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
            yield from _table(text, name, delimiter, counted)
    except SourceError as error:
        yield Gap(error.code, name, None, str(error))
    yield from counted.gaps()


def _table(
    text: io.TextIOWrapper, name: str, delimiter: str, counted: Counted
) -> Iterator[Row | Gap]:
    head = text.readline(HEAD).replace("\0", "")
    delimiter = delimiter or max(DELIMITERS, key=head.count)
    header = next(csv.reader([head], delimiter=delimiter), [])
    reader = csv.reader(_lines(text, name, counted), delimiter=delimiter)
    while True:
        start = reader.line_num + 2
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield Gap(
                "broken-line", name, start, f"no row up to line {reader.line_num + 1}: {error}"
            )
            continue
        if values is None:
            return
        if not values:
            continue
        if len(values) != len(header):
            counted.note("bad-field", "a row of other columns than its header", name, start)
        yield start, dict(zip(header, values, strict=False))


def _lines(text: io.TextIOWrapper, name: str, counted: Counted) -> Iterator[str]:
    number = 1
    while line := text.readline(LINE):
        number += 1
        if len(line) == LINE and not line.endswith("\n"):
            counted.note("long-line", f"more than {LINE} characters", name, number)
        if "\ufffd" in line:
            counted.note("bad-bytes", "no UTF-8: these bytes became U+FFFD", name, number)
        if "\0" in line:
            counted.note("bad-bytes", "NUL bytes are passed over", name, number)
            yield line.replace("\0", "")
        else:
            yield line
