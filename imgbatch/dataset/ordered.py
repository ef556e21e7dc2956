"""Tables of a dataset enter; their committed ok rows leave in the order of their keys.

Rows lie in parts in the order in which their sources were listed. They are brought into order once,
by way of files in a temporary folder, one for each beginning of an id: ids are hashes, so that the
files come out alike and one of them fits into memory, whatever the table's size.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import SOURCES, Dataset
from imgbatch.dataset.made import made_of
from imgbatch.dataset.parts import read_columns
from imgbatch.dataset.scratch import full
from imgbatch.dataset.state import state
from imgbatch.errors import DamageError, GroupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from imgbatch.dataset import Part, Table

KEYS = ("source_id", "version", "picture_id", "region_id")
# Bytes of the parts that one file of sorted rows stands for, and how many files are open at most.
PIECE_BYTES = 16 * 2**20
DIGITS = 2
CHUNK, CHUNK_BYTES = 50_000, 64 * 2**20
ROWS = 10_000
# Parts that are read by one call of a function: enough that a call is worth its way to a worker.
SLICE, SLICE_BYTES = 32, 32 * 2**20


@dataclass(frozen=True, slots=True)
class Slice:
    """Some parts of a table, for a worker to read.

    Attributes:
        url: of the dataset.
        columns: with the keys, of the rows that are ok.
    """

    url: str
    parts: tuple[Part, ...]
    columns: tuple[str, ...]

    def batches(self, dataset: Dataset) -> Iterator[pa.RecordBatch]:
        """Yield the rows, one batch for each part.

        Raises:
            DamageError: a part is missing or cannot be read.
        """
        for part in self.parts:
            rows = read_columns(dataset.store, part, [*self.columns, "status"])
            if "status" in rows.column_names:
                ok = pc.equal(rows["status"], "ok")
                # Arrow copies lists of numbers slowly, and most parts have ok rows only.
                if not pc.all(ok, skip_nulls=False).as_py():
                    rows = rows.filter(ok)
            if absent := set(self.columns).difference(rows.column_names):
                raise DamageError(f"{part.table}/{part.path} has no column {', '.join(absent)}")
            chosen = rows.select(self.columns).replace_schema_metadata(None)
            yield from chosen.combine_chunks().to_batches()


class Spread(Protocol):
    """Where the slices of `over` are worked on."""

    def __call__(
        self, function: Callable[[pa.RecordBatch], pa.Table], slices: Sequence[Slice]
    ) -> Iterator[pa.Table]:
        """Yield what the function returns for each batch of each slice, in any order."""


def apply(function: Callable[[pa.RecordBatch], pa.Table], piece: Slice) -> pa.Table:
    """Return what a function makes of the rows of one slice."""
    dataset = Dataset.open(piece.url)
    made = [function(batch) for batch in piece.batches(dataset)]
    return pa.concat_tables(made) if made else pa.table({})


def here(
    function: Callable[[pa.RecordBatch], pa.Table], slices: Sequence[Slice], *, threads: int = 4
) -> Iterator[pa.Table]:
    """Work on slices in threads of this process; few, since each holds a part that it has read."""
    with ThreadPoolExecutor(threads, "group") as pool:
        waiting = []
        for piece in slices:
            waiting.append(pool.submit(apply, function, piece))
            if len(waiting) > threads:
                yield waiting.pop(0).result()
        for one in waiting:
            yield one.result()


class Ordered:
    """The tables that a grouper reads, as they stood when this was made.

    Args:
        reads: table names, and the columns of each.
        folder: for sorted rows.
        spread: where `over` is worked on; this process by default.

    Raises:
        GroupError: a table or column is not there, has no ok row, or its parts were not all made
            alike.
    """

    def __init__(
        self,
        dataset: Dataset,
        reads: Mapping[str, Sequence[str]],
        folder: Path,
        *,
        spread: Spread = here,
    ) -> None:
        self._dataset = dataset
        self._folder = folder
        self._spread = spread
        self._tables = {name: _open(dataset, name) for name in reads}
        self._columns = {
            name: _columns(name, table, reads[name]) for name, table in self._tables.items()
        }
        self._sorted: dict[str, list[Path]] = {}
        self._counts = {name: _count(name, table) for name, table in self._tables.items()}

    def read(self) -> dict[str, dict[str, str | int]]:
        """Return what is read: of each table its version, fingerprint, ok rows and state."""
        return {
            name: {
                "version": table.version,
                "fingerprint": _fingerprint(name, table),
                "rows": self._counts[name],
                "state": state(table),
            }
            for name, table in self._tables.items()
        }

    def made_of(self, name: str) -> dict[str, Any]:
        """Return what the rows of a table were made of; see `dataset.made`."""
        return made_of(self._dataset, name)

    def count(self, name: str) -> int:
        """Return how many ok rows a table has."""
        return self._counts[name]

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """Yield the ok rows of a table in the order of their keys."""
        if name not in self._sorted:
            try:
                self._sorted[name] = self._sort(name)
            except OSError as error:
                raise full(error) from error
        for path in self._sorted[name]:
            with pa.memory_map(str(path)) as file:
                rows = pa.ipc.open_stream(file).read_all()
                yield from rows.to_batches(max_chunksize=ROWS)

    def over(self, name: str, function: Callable[[pa.RecordBatch], pa.Table]) -> pa.Table:
        """Call a function with all ok rows of a table, wherever there are workers."""
        slices = list(self._slices(name))
        made = [table for table in self._spread(function, slices) if table.num_columns]
        return in_order(pa.concat_tables(made)) if made else pa.table({})

    def _slices(self, name: str) -> Iterator[Slice]:
        held: list[Part] = []
        for _, part in sorted(self._tables[name].parts().items()):
            if len(held) == SLICE or sum(p.size for p in held) + part.size > SLICE_BYTES:
                if held:
                    yield Slice(self._dataset.url, tuple(held), self._columns[name])
                held = []
            held.append(part)
        if held:
            yield Slice(self._dataset.url, tuple(held), self._columns[name])

    def _sort(self, name: str) -> list[Path]:
        table = self._tables[name]
        size = sum(part.size for part in table.parts().values())
        digits = next((d for d in range(DIGITS) if size <= PIECE_BYTES * 16**d), DIGITS)
        where = pc.field("status") == "ok" if "status" in table.schema().names else None
        folder = self._folder / f"sorted-{name}"
        folder.mkdir()
        with contextlib.ExitStack() as stack:
            pieces: dict[str, pa.RecordBatchStreamWriter] = {}
            for rows in _chunks(table.batches(self._columns[name], where)):
                for start, piece in _cut(rows, digits):
                    if start not in pieces:
                        path = str(folder / (start or "all"))
                        pieces[start] = stack.enter_context(pa.ipc.new_stream(path, rows.schema))
                    pieces[start].write_table(piece)
        return [_put_in_order(folder / (start or "all")) for start in sorted(pieces)]


ASK_FOR_IT = "Ask for the column in the recipe, where it has a setting for it, and run again."
RECOGNITION = (
    "Add recognition = true to [analyzers.faces] of the recipe, with a pack as its detector, and "
    "run again."
)


def in_order(rows: pa.Table) -> pa.Table:
    """Return rows in the order of the keys that they have."""
    keys = [key for key in KEYS if key in rows.column_names and key != "version"]
    if ascends(rows[keys[0]]):
        return rows
    return rows.take(pc.sort_indices(rows, [(key, "ascending") for key in keys]))


def ascends(keys: pa.ChunkedArray) -> bool:
    """Whether each key comes after the one before it; that is seen 200 times as fast as sorted."""
    after = pc.less(keys.slice(0, max(0, len(keys) - 1)), keys.slice(1))
    return bool(pc.all(after, min_count=0).as_py())


def _open(dataset: Dataset, name: str) -> Table:
    table = dataset.refreshed(f"tables/{name}")
    if not table.exists:
        raise GroupError(
            f"no table {name} in {dataset.url}; there are {', '.join(dataset.tables()) or 'none'}",
            f"Run a recipe with [analyzers.{name.removesuffix('_regions')}] first. Where a grouper "
            "has a setting `table`, --set table=NAME takes one that is there.",
        )
    return table


def _columns(name: str, table: Table, wanted: Sequence[str]) -> tuple[str, ...]:
    here_ = table.schema().names
    if absent := [column for column in wanted if column not in here_]:
        raise GroupError(
            f"table {name} has no column {', '.join(absent)}: its analyzer ran with other "
            "settings, or an older version of it",
            RECOGNITION if "embedding" in absent and name.endswith("_regions") else ASK_FOR_IT,
        )
    keys = [key for key in KEYS if key in here_]
    return tuple(dict.fromkeys([*keys, *wanted]))


def _count(name: str, table: Table) -> int:
    where = pc.field("status") == "ok" if "status" in table.schema().names else None
    column = "source_id" if where is None else "status"
    found: int = sum(batch.num_rows for batch in table.batches([column], where))
    if not found:
        raise GroupError(f"table {name} has no row that is ok: there is nothing to group")
    return found


def _fingerprint(name: str, table: Table) -> str:
    """Return what all parts of a table were made with.

    Outcomes say the same of the same bytes whatever the pixels were decoded for, so that of
    `sources` does not matter.
    """
    found = sorted({part.fingerprint for part in table.parts().values()})
    if len(found) > 1 and name != SOURCES:
        raise GroupError(
            f"the rows of table {name} were made in {len(found)} ways (another model, version or "
            f"setting: {', '.join(found)}) and cannot be compared",
            "Finish the run that changed the recipe, then group again.",
        )
    return found[-1] if found else ""


def _chunks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        size += batch.nbytes
        if count >= CHUNK or size >= CHUNK_BYTES:
            yield pa.Table.from_batches(held)
            held, count, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)


def _cut(rows: pa.Table, digits: int) -> Iterator[tuple[str, pa.Table]]:
    """Yield rows by how their ids begin."""
    if not digits:
        yield "", rows
        return
    starts = pc.utf8_slice_codeunits(rows["source_id"], 0, digits)
    order = pc.sort_indices(starts)
    starts = starts.take(order).to_numpy(zero_copy_only=False).astype(str)
    rows = rows.take(order)
    names, places = np.unique(starts, return_index=True)
    ends = np.append(places[1:], len(starts))
    for name, place, end in zip(names, places, ends, strict=True):
        yield str(name), rows.slice(place, end - place)


def _put_in_order(path: Path) -> Path:
    with pa.memory_map(str(path)) as file:
        rows = in_order(pa.ipc.open_stream(file).read_all())
    done = path.with_suffix(".sorted")
    with pa.ipc.new_stream(str(done), rows.schema) as writer:
        writer.write_table(rows)
    path.unlink()
    return done
