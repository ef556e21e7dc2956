"""The parts of `sources` enter; how many sources came to what leaves, without reading their rows.

`outcomes.parquet` says it of the parts that a driver committed. A part's name holds its digest, so
what is said of a name stays true; parts that it does not name are read. It is derived: whoever
deletes it loses nothing but time, and a run that is killed leaves one that lacks its last minute.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imgbatch.dataset import SOURCES, Dataset
from imgbatch.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.storage import Store

NAME = "outcomes.parquet"
OUTCOMES = f"tables/{SOURCES}"
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("status", pa.string()),
        ("error_class", pa.string()),
        ("count", pa.int64()),
    ]
)
# It is written this often, or more rarely: at most so much of the driver's time goes there.
WRITE_SECONDS, PATIENCE = 60.0, 50

Counts = tuple[tuple[str, str | None, int], ...]


def counts_of(rows: pa.Table) -> Counts:
    """Return how many rows of `sources` have which status and error class."""
    found = rows.group_by(["status", "error_class"]).aggregate([([], "count_all")])
    return tuple(zip(*(found[name].to_pylist() for name in found.column_names), strict=True))


def outcomes(dataset: Dataset) -> Counter[tuple[str, str | None]]:
    """Return how many committed sources have which status and error class."""
    table = dataset.table(OUTCOMES)
    held = table.paths()
    told = _read(dataset.store)
    told = told.filter(pc.is_in(told["path"], value_set=held))
    total: Counter[tuple[str, str | None]] = Counter()
    _add(total, told.select(["status", "error_class"]).to_pylist(), told["count"].to_pylist())
    untold = set(held.to_pylist()) - set(told["path"].to_pylist())
    for batch in table.batches(["status", "error_class"], only=untold):
        for status, error_class, count in counts_of(pa.table(batch)):
            total[status, error_class] += count
    return total


def ok_rows(dataset: Dataset) -> dict[str, int]:
    """Return how many rows of parts of `sources` are ok, by file name; of parts that it is told of.

    One that it is told of and that is missing here has none.
    """
    told = _read(dataset.store)
    found = dict.fromkeys(told["path"].to_pylist(), 0)
    ok = told.filter(pc.equal(told["status"], "ok"))
    found.update(zip(ok["path"].to_pylist(), ok["count"].to_pylist(), strict=True))
    return found


def _add(
    total: Counter[tuple[str, str | None]],
    keys: Iterable[dict[str, str | None]],
    counts: Iterable[int],
) -> None:
    for key, count in zip(keys, counts, strict=True):
        total[str(key["status"]), key["error_class"]] += count


def _read(store: Store) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(store.get(NAME)), schema=SCHEMA)
    except (FileNotFoundError, NotADirectoryError, pa.ArrowException):
        return SCHEMA.empty_table()  # derived: then the rows are read


class Tally:
    """What a driver says of the parts that it committed, collected and written now and then."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._new: list[tuple[str, str, str | None, int]] = []
        self._pause = WRITE_SECONDS
        self._last = time.monotonic()

    def add(self, path: str, counts: Counts) -> None:
        """Take what a part of `sources` holds; writes when it is time."""
        self._new += [(path, *each) for each in counts]
        if time.monotonic() - self._last >= self._pause:
            self.write()

    def write(self) -> None:
        """Write what is known of the parts that are committed."""
        # A store that fails: the next time, or the next run, writes it, and nobody needs it.
        with contextlib.suppress(StorageError, OSError):
            if self._new:
                self._write()

    def _write(self) -> None:
        self._last = time.monotonic()
        columns = [pa.array(column) for column in zip(*self._new, strict=True)]
        fresh = pa.table(columns, names=SCHEMA.names).cast(SCHEMA)
        whole = pa.concat_tables([_read(self._dataset.store), fresh])
        held = self._dataset.table(OUTCOMES).paths()
        committed = pc.is_in(whole["path"], value_set=held)
        waiting = pc.invert(pc.is_in(fresh["path"], value_set=held)).to_pylist()
        self._new = list(itertools.compress(self._new, waiting))
        buffer = io.BytesIO()
        pq.write_table(whole.filter(committed), buffer, compression="zstd")
        self._dataset.store.put(NAME, buffer.getvalue())
        self._pause = max(WRITE_SECONDS, PATIENCE * (time.monotonic() - self._last))
