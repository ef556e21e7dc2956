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
    from collections.abc import Callable, Iterator, Sequence

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
        yield from _picked(_items(dump, name), wanted)


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
    values = _picker([header.index(field) for field in wanted])
    for found in separated.rows(dump, name):
        if isinstance(found, Gap):
            yield found
        else:
            yield found[0], values(found[1])


def _picker(keys: list[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values at some keys or places, as a tuple however few they are."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda row: tuple(row[key] for key in keys)


def _picked(items: Iterator[Item | Gap], wanted: Sequence[str]) -> Iterator[Row | Gap]:
    values = _picker(list(wanted))
    for found in items:
        if isinstance(found, Gap):
            yield found
            continue
        line, item = found
        try:
            yield line, values(item)
        except KeyError:
            yield line, [*map(item.get, wanted)]


def _items(dump: Dump, name: str) -> Iterator[Item | Gap]:
    """Return the objects of JSON lines or of a JSON list."""
    if ending(name) == "json":
        head = dump.head(name, HEAD).removeprefix(lines.BOM).lstrip()
        if head.startswith(b"["):
            return _listed(dump, name)
    return lines.objects(dump, name)


def _listed(dump: Dump, name: str) -> Iterator[Item | Gap]:
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
