"""One Delta Lake table: its committed parts, and the driver's fenced commits.

Only this module imports deltalake. A commit names its run and the SHA-256 of each part it adds, so
`verify` can tell a part that changed on the disk from one that was written so.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import (
    AddAction,
    CommitProperties,
    PostCommitHookProperties,
    RemoveAction,
    Transaction,
    create_table_with_add_actions,
)

from imgbatch.errors import DamageError, DatasetError, FencedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pyarrow.compute as pc

    from imgbatch.storage import Store

APP = "imgbatch"
LOCAL = pyarrow.fs.LocalFileSystem()
FETCHES = 8
SLICE = 256
# Commits name their run for as long as the dataset lives; delta's default forgets after 30 days.
CONFIGURATION = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.checkpointInterval": "100",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One immutable Parquet file of a table.

    Decision, 2026-11: a name ends with the first digits of the file's own SHA-256. Whoever wakes
    late and writes something else for the same shard, a worker that was believed lost or a run that
    another one overtook, writes another file; no committed one is ever written to again. Drawback:
    what such a one leaves is a file that no commit names.

    Attributes:
        table: name of the table below the dataset's root.
        path: file name, `<shard>@<g>[-<fingerprint8>]-<sha256, 8>.parquet`.
        sha256: of the file; "" where the commit that tells it is not at hand.
    """

    table: str
    path: str
    size: int
    rows: int
    sha256: str = ""

    @property
    def shard(self) -> str:
        """The shard's name."""
        return self.path.partition("@")[0]

    @property
    def label(self) -> str:
        """The shard's name and generation: `<shard>@<g>`."""
        return self.path.partition("-")[0]

    @property
    def stem(self) -> str:
        """What the part is of: `<shard>@<g>[-<fingerprint8>]`."""
        return self.path.rpartition("-")[0]

    @property
    def generation(self) -> int:
        """The shard's generation that the part was written for."""
        return int(self.label.partition("@")[2])

    @property
    def fingerprint(self) -> str:
        """The first 8 digits of the fingerprint; "" for a part of the manifest."""
        return self.stem.partition("-")[2]


class Table:
    """A Delta table as one process last saw it; `refresh` looks again.

    Args:
        version: of the table, to read it as it stood then; the newest by default.
    """

    def __init__(self, store: Store, name: str, *, version: int | None = None) -> None:
        self.name = name
        self._store = store
        self._asked = version
        self._location, self._options = store.delta_location(name)
        self._delta = self._open()

    def _open(self) -> DeltaTable | None:
        try:
            return DeltaTable(
                self._location, version=self._asked, storage_options=self._options or None
            )
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise DatasetError(f"table {self.name} cannot be opened: {error}") from error

    def refresh(self) -> None:
        """Look again for what others committed."""
        self._delta = self._open()

    @property
    def exists(self) -> bool:
        """Whether the table was ever committed to."""
        return self._delta is not None

    @property
    def version(self) -> int:
        """The Delta version of this snapshot; -1 when there is no table."""
        return -1 if self._delta is None else int(self._delta.version())

    @property
    def fence(self) -> int:
        """The number of the newest run that committed here; 0 when there is none."""
        if self._delta is None:
            return 0
        return int(self._delta.transaction_version(APP) or 0)

    def schema(self) -> pa.Schema:
        """Return the table's columns.

        Raises:
            DatasetError: there is no such table.
        """
        return pa.schema(self._require().schema().to_arrow())

    def as_of(self, version: int) -> Table:
        """Return the table as it stood at a version, to be read only.

        Raises:
            DatasetError: there is no such version.
        """
        return Table(self._store, self.name, version=version)

    def parts(self) -> dict[str, Part]:
        """Return the committed parts by file name, without their digests."""
        if self._delta is None:
            return {}
        actions = pa.table(self._delta.get_add_actions())
        columns = [actions[name].to_pylist() for name in ("path", "size_bytes", "num_records")]
        return {
            path: Part(self.name, path, size, rows)
            for path, size, rows in zip(*columns, strict=True)
        }

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every part that some commit added, by file name."""
        found: dict[str, str] = {}
        for commit in reversed(self.history()):
            found.update(json.loads(commit.get("digests", "{}")))
        return found

    def history(self) -> list[dict[str, Any]]:
        """Return what each commit said of itself, the newest first."""
        return [] if self._delta is None else self._delta.history()

    def dataset(self) -> pads.Dataset:
        """Return the committed rows for reading by columns and filters, in no promised order.

        Decision, 2026-11: not through deltalake's own reader. It hands pyarrow a file system that
        is written in Python, pyarrow's threads may still be in it when the interpreter ends, and
        then the process aborts (about one exit in six, deltalake 1.6.6 with pyarrow 26). Folders
        are read by pyarrow itself, buckets by our store. Drawback: parts of a bucket are fetched
        whole, whatever columns are asked for.

        Raises:
            DatasetError: there is no such table.
        """
        return self._rows(list(self.parts()), self.schema())

    def _rows(self, parts: Sequence[str], schema: pa.Schema) -> pads.Dataset:
        if "://" not in self._location:
            paths = [f"{self._location}/{path}" for path in parts]
            return pads.dataset(paths, schema=schema, format="parquet", filesystem=LOCAL)
        with ThreadPoolExecutor(FETCHES) as pool:
            tables = list(pool.map(self._fetch, parts))
        whole = pa.concat_tables([schema.empty_table(), *tables], promote_options="default")
        return pads.dataset(whole.select(schema.names))

    def batches(
        self,
        columns: Sequence[str],
        where: pc.Expression | None = None,
        only: Collection[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield some columns of the committed rows, a few parts in memory at a time.

        Args:
            columns: their names.
            where: a filter.
            only: the file names of the parts to read; all by default.

        Raises:
            DatasetError: there is no such table.
        """
        names, schema = list(columns), self.schema()
        paths = sorted(self.parts() if only is None else only)
        # By the slice: pyarrow keeps the footer of each file until its dataset is dropped.
        for start in range(0, len(paths), SLICE):
            rows = self._rows(paths[start : start + SLICE], schema)
            try:
                yield from rows.to_batches(columns=names, filter=where)
            except (pa.ArrowException, OSError) as error:
                raise DamageError(f"table {self.name}: {error}") from error

    def _fetch(self, path: str) -> pa.Table:
        table = pq.read_table(pa.BufferReader(self._store.get(f"{self.name}/{path}")))
        return table.replace_schema_metadata(None)

    def _require(self) -> DeltaTable:
        if self._delta is None:
            raise DatasetError(f"no table {self.name!r} in this dataset")
        return self._delta

    def create(self, schema: pa.Schema, *, fence: int, run: str, description: str = "") -> None:
        """Create the table with no rows; one that is there already is left as it is."""
        if self.version >= 0:
            return
        try:
            with _mapped(self.name):
                create_table_with_add_actions(
                    self._location,
                    Schema.from_arrow(schema),
                    [],
                    mode="ignore",
                    name=self.name.rpartition("/")[2],
                    description=description,
                    configuration=CONFIGURATION,
                    storage_options=self._options or None,
                    commit_properties=_properties(fence, run, []),
                )
        except CommitFailedError as error:
            self.refresh()
            if not self.exists:
                raise StorageError(f"table {self.name}: {error}") from error
            return  # another run made it at the same moment
        self.refresh()

    def add_columns(self, schema: pa.Schema) -> None:
        """Add the columns that a newer analyzer has; older parts read as null there.

        Raises:
            DatasetError: a column changed its type.
        """
        here = self.schema()
        for column in schema:
            if column.name in here.names and here.field(column.name).type != column.type:
                raise DatasetError(
                    f"table {self.name}: column {column.name} is {here.field(column.name).type}, "
                    f"this version of imgbatch writes {column.type}",
                    "Use the version of imgbatch that made it, or a new dataset.",
                )
        missing = [column for column in schema if column.name not in here.names]
        if missing:
            fields = Schema.from_arrow(pa.schema(missing)).fields
            with _mapped(self.name):
                self._require().alter.add_columns(fields)
            self.refresh()

    def commit(
        self, adds: Sequence[Part], removes: Iterable[Part], *, fence: int, run: str
    ) -> None:
        """Add and remove parts in one transaction.

        Raises:
            FencedError: a newer run committed to this table since.
            StorageError: the commit could not be written.
        """
        while True:
            if self.fence > fence:
                raise FencedError(f"run {self.fence} took over table {self.name} from run {fence}")
            try:
                self._commit(adds, removes, fence=fence, run=run)
            except CommitFailedError as error:
                # Somebody committed since our snapshot. Not us: one driver commits one at a time.
                before = self.version
                self.refresh()
                if self.version == before:
                    raise StorageError(f"table {self.name}: {error}") from error
                here = {(p.path, p.size) for p in self.parts().values()}
                if self.fence == fence and adds and {(p.path, p.size) for p in adds} <= here:
                    return  # our own commit: an interrupt came before we saw that it was through
                if self.fence == fence:
                    raise FencedError(f"another run took number {fence} as well") from None
                continue
            self.refresh()
            return

    def _commit(
        self, adds: Sequence[Part], removes: Iterable[Part], *, fence: int, run: str
    ) -> None:
        now = int(time.time() * 1000)
        delta = self._require()
        actions: list[AddAction | RemoveAction] = [
            AddAction(p.path, p.size, {}, now, data_change=True, stats=_stats(p)) for p in adds
        ]
        # A path cannot leave and come in one transaction; adding it again replaces it.
        added = {part.path for part in adds}
        actions += [
            RemoveAction(p.path, data_change=True, deletion_timestamp=now, size=p.size)
            for p in removes
            if p.path not in added
        ]
        with _mapped(self.name):
            delta.create_write_transaction(
                actions,
                mode="append",
                schema=delta.schema(),
                commit_properties=_properties(fence, run, adds),
                post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
            )


def _stats(part: Part) -> str:
    return json.dumps({"numRecords": part.rows})


def _properties(fence: int, run: str, adds: Sequence[Part]) -> CommitProperties:
    metadata: Mapping[str, Any] = {
        "run": run,
        "digests": json.dumps({part.path: part.sha256 for part in adds}),
    }
    return CommitProperties(
        custom_metadata=dict(metadata),
        max_commit_retries=0,
        app_transactions=[Transaction(APP, fence)],
    )


class _mapped:  # noqa: N801 - reads as a statement where it is used
    """Turns deltalake's errors into ours; a lost race stays CommitFailedError for the caller."""

    def __init__(self, table: str) -> None:
        self.table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CommitFailedError):
            return
        if isinstance(error, DeltaError):
            raise DamageError(f"table {self.table}: {error}") from error
        if isinstance(error, OSError):
            raise StorageError(f"table {self.table}: {error}") from error
