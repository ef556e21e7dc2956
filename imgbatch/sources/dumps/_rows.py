"""Enters: a table of a dump: CSV, TSV, JSON lines, a JSON list or Parquet. Leaves: rows, in pieces.

A row is (line or row from 1, its values in the columns that are asked for). What is no row is a
Gap, and the rows after it are read.
"""

from __future__ import annotations

from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import lines, separated, walk
from imgbatch.sources.dumps._seekable import seekable
from imgbatch.sources.dumps.names import ending
from imgbatch.sources.dumps.posts import Gap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.sources.dumps.dump import Dump

    Row = tuple[int, Sequence[Any]]
    Item = tuple[int, dict[str, Any]]

ENDINGS = ("csv", "json", "jsonl", "ndjson", "parquet", "tsv")
SEPARATED = ("csv", "tsv")
HEAD = 2**16
# Of JSON, whose rows need not all have the same fields, so many are asked for theirs.
ASKED = 100
BATCH = 1000



def rows(dump: Dump, name: str, wanted: Sequence[str]) -> Iterator[Row | Gap]:
    """Yield the rows of a table and its Gaps.

    Args:
        dump: that holds it.
        name: of the table.
        wanted: columns of it, whose values come in this order; None or "" where a row has none.
    """
    form = ending(name)
    if form == "parquet":
        yield from _parquet(dump, name, wanted)
    elif form in SEPARATED:
        yield from _separated(dump, name, wanted)
    else:
        for found in _items(dump, name):
            if isinstance(found, Gap):
                yield found
            else:
                yield found[0], [*map(found[1].get, wanted)]


def columns(dump: Dump, name: str) -> list[str]:
    """Return the names of a table's columns; of JSON the fields of its first rows.

    Raises:
        SourceError: it cannot be had.
    """
    if ending(name) == "parquet":
        with seekable(dump, name) as file:
            try:
                return _told(pq.ParquetFile(file).schema_arrow)
            except (pa.ArrowException, OSError):
                return []
    if ending(name) in SEPARATED:
        return separated.header(dump, name)
    found = (item[1] for item in islice(_items(dump, name), ASKED) if not isinstance(item, Gap))
    return list(dict.fromkeys(field for item in found for field in item))


def _separated(dump: Dump, name: str, wanted: Sequence[str]) -> Iterator[Row | Gap]:
    try:
        header = separated.header(dump, name)
    except SourceError as error:
        yield Gap(error.code, name, None, str(error))
        return
    # The two at the end are nobody's: of one place alone it would give no tuple.
    values = itemgetter(*(header.index(field) for field in wanted), 0, 0)
    for found in separated.rows(dump, name):
        if isinstance(found, Gap):
            yield found
        else:
            yield found[0], values(found[1])


def _items(dump: Dump, name: str) -> Iterator[Item | Gap]:
    """Yield the objects of JSON lines or of a JSON list."""
    head = dump.head(name, HEAD).removeprefix(lines.BOM).lstrip()
    if ending(name) != "json" or not head.startswith(b"["):
        yield from lines.objects(dump, name)
        return
    for found in walk.items(dump, name, (walk.STEP,)):
        if isinstance(found, Gap) or isinstance(found[1], dict):
            yield found
        else:
            yield Gap("broken-line", name, found[0], f"a JSON {type(found[1]).__name__}, no object")


def _parquet(dump: Dump, name: str, wanted: Sequence[str]) -> Iterator[Row | Gap]:
    line = 0
    try:
        with seekable(dump, name) as file:
            reader = pq.ParquetFile(file, pre_buffer=False)
            for batch in reader.iter_batches(batch_size=BATCH, columns=list(wanted)):
                places = [batch.schema.names.index(field) for field in wanted]
                told = [batch.column(place).to_pylist() for place in places]
                for row in zip(*told, strict=True) if told else [()] * len(batch):
                    line += 1
                    yield line, row
    except SourceError as error:
        yield Gap(error.code, name, line or None, f"{error}; {line} rows came before that")
    except (pa.ArrowException, OSError) as error:
        said = str(error).partition("\n")[0][:200]
        yield Gap("archive.corrupt", name, line or None, f"no Parquet: {said}; {line} rows came")


def _told(schema: pa.Schema) -> list[str]:
    """Return the columns that are no bytes: pictures may lie in a table."""
    return [field.name for field in schema if not _is_bytes(field.type)]


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
