"""One Delta Lake table: its committed parts, and the driver's fenced commits.

Only this module and `transaction` import deltalake. A commit names its run and the SHA-256 of each
part it adds, so `verify` can tell a part that changed on the disk from one that was written so.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import PostCommitHookProperties, create_table_with_add_actions

from imgbatch.dataset.damage import not_ours, unreadable_log
from imgbatch.dataset.mirror import Mirror
from imgbatch.dataset.part import Part
from imgbatch.dataset.rows import SLICE_BYTES, batches, files
from imgbatch.dataset.transaction import (
    APP,
    CONFIGURATION,
    add_action,
    failed,
    mapped,
    properties,
    remove_action,
    words,
)
from imgbatch.errors import (
    AccessError,
    DamageError,
    DatasetError,
    DeniedError,
    FencedError,
    OutageError,
    StorageError,
)
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pyarrow.dataset as pads
    from deltalake.transaction import AddAction, CommitProperties, RemoveAction

    from imgbatch.storage import Store

# What each commit says of itself that no other one says.
MARK = "commit"
# So many of the newest commits are read first, for what one of them says.
NEWEST = 8


class Table:
    """A Delta table as one process last saw it; `refresh` looks again.

    Args:
        version: of the table, to read it as it stood then; the newest by default.
    """

    def __init__(self, store: Store, name: str, *, version: int | None = None) -> None:
        self.name = name
        self._store = store
        self._asked = version
        self._location = ""
        self._options: dict[str, str] = {}
        self._mirror = Mirror(store, name)
        self._delta = self._open()

    def _open(self) -> DeltaTable | None:
        self._location, self._options = self._store.delta_location(self.name)
        try:
            return DeltaTable(
                self._location, version=self._asked, storage_options=self._options or None
            )
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            ours = failed(self._store.root, self.name, error)
            if isinstance(ours, AccessError | OutageError | DeniedError):
                raise ours from error
            said = words(error)
            if isinstance(ours, DamageError) and self._asked is None:
                raise unreadable_log(self._store, self.name, said) from error
            raise DatasetError(f"table {self.name} cannot be opened: {said}") from error

    def refresh(self) -> None:
        """Look again for what others committed; what was read of the log is not read again.

        A log that somebody moved away meanwhile may be seen as it was. Nothing is committed there:
        `fence` reads the log itself, and whoever takes a number looks by `reopen` first.
        """
        keys = self._store.delta_location(self.name)[1]
        if self._delta is None or self._asked is not None or keys != self._options:
            self.reopen()
            return
        try:
            with mapped(self._store.root, self.name):
                self._delta.update_incremental()
        except DamageError:
            self.reopen()  # it may be another log by now; else this says what is off

    def reopen(self) -> None:
        """Look again at the whole log: somebody may have moved it away and begun it anew."""
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
        with mapped(self._store.root, self.name):
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

    def paths(self) -> pa.Array:
        """Return the file names of the committed parts, shape (parts,), dtype string."""
        if self._delta is None:
            return pa.array([], pa.string())
        return self._actions()["path"].cast(pa.string()).combine_chunks()

    def _actions(self) -> pa.Table:
        return pa.table(self._require().get_add_actions())

    def parts(self, shards: Collection[str] | None = None) -> dict[str, Part]:
        """Return the committed parts by file name, without their digests.

        Args:
            shards: names of those whose parts are asked for; all by default.

        Raises:
            DamageError: another program committed one.
        """
        found = self.committed(shards)
        for path, part in found.items():
            if not part.is_ours:
                raise not_ours(self.name, path)
        return found

    def committed(self, shards: Collection[str] | None = None) -> dict[str, Part]:
        """Return parts as `parts` does, those that another program committed as well.

        For who only looks: `verify` names these, and what is written or planned ends with them.
        """
        if self._delta is None:
            return {}
        actions = self._actions()
        if shards is not None:
            # Before they are Python's: of a table of 100,000 parts, a commit asks for a hundred.
            of = pc.list_element(pc.split_pattern(actions["path"], "@", max_splits=1), 0)
            actions = actions.filter(pc.is_in(of, value_set=pa.array(shards, of.type)))
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

    def history(self, newest: int | None = None) -> list[dict[str, Any]]:
        """Return what each commit said of itself, the newest first.

        Args:
            newest: so many of them, and those since this process last looked; all by default.
        """
        try:
            with mapped(self._store.root, self.name):
                return [] if self._delta is None else self._delta.history(newest)
        except DamageError as error:
            raise unreadable_log(self._store, self.name, str(error)) from error

    def said(self, word: str) -> str | None:
        """Return what was said under a word by the newest commit that has it; None: by none."""
        # Each commit is a file, and stays. One of the last says it, as a rule.
        for newest in (NEWEST, None):
            for told in self.history(newest):
                if word in told:
                    return str(told[word])
        return None

    def dataset(self) -> pads.Dataset:
        """Return the committed rows for reading by columns and filters, in no promised order.

        Of a bucket's table all parts are copied to this machine first; see `mirror`.

        Raises:
            DatasetError: there is no such table.
        """
        schema, names = self.schema(), list(self.parts())
        if "://" in self._location:
            return files(self._mirror.paths(names), schema)
        return files([f"{self._location}/{name}" for name in names], schema)

    def batches(
        self,
        columns: Sequence[str],
        where: pc.Expression | None = None,
        only: Collection[str] | None = None,
        *,
        at_once: int = SLICE_BYTES,
    ) -> Iterator[pa.RecordBatch]:
        """Yield some columns of the committed rows, a few parts in memory at a time.

        Args:
            columns: their names.
            where: a filter.
            only: the file names of the parts to read; all by default.
            at_once: bytes of parts that are read together. Whoever works on batches for longer than
                reading takes has all of these in memory, decoded, some ten times as large.

        Raises:
            DatasetError: there is no such table.
            DamageError: a part is missing or cannot be read.
        """
        parts = [p for n, p in sorted(self.parts().items()) if only is None or n in only]
        return batches(self._store, self._location, parts, self.schema(), columns, where, at_once)

    def _require(self) -> DeltaTable:
        if self._delta is None:
            raise DatasetError(f"no table {self.name!r} in this dataset")
        return self._delta

    def create(self, schema: pa.Schema, *, fence: int, run: str, description: str = "") -> None:
        """Create the table with no rows; one that is there already is left as it is."""
        if self.version >= 0:
            return
        try:
            with mapped(self._store.root, self.name):
                create_table_with_add_actions(
                    self._location,
                    Schema.from_arrow(schema),
                    [],
                    mode="ignore",
                    name=self.name.rpartition("/")[2],
                    description=description,
                    configuration=CONFIGURATION,
                    storage_options=self._options or None,
                    commit_properties=properties(fence, run, []),
                )
        except CommitFailedError as error:
            self.refresh()
            if not self.exists:
                raise StorageError(f"table {self.name}: {scrub(str(error))}") from error
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
            try:
                with mapped(self._store.root, self.name):
                    self._require().alter.add_columns(fields)
            except CommitFailedError as error:
                self.refresh()
                if not {column.name for column in missing} <= set(self.schema().names):
                    raise StorageError(f"table {self.name}: {scrub(str(error))}") from error
                return  # another run added them at the same moment, or our own answer was lost
            self.refresh()

    def commit(
        self,
        adds: Sequence[Part],
        removes: Iterable[Part],
        *,
        fence: int,
        run: str,
        said: Mapping[str, str] | None = None,
    ) -> None:
        """Add and remove parts in one transaction.

        Args:
            adds: parts to come.
            removes: parts to go.
            fence: the run's number.
            run: its id.
            said: what else the commit says of itself; `history` shows it.

        Raises:
            FencedError: a newer run committed to this table since.
            StorageError: the commit could not be written.
        """
        if self._store.delta_location(self.name)[1] != self._options:
            self.refresh()  # keys of a cloud last an hour; ours were renewed since we looked
        token = uuid.uuid4().hex
        told = {**(said or {}), MARK: token}
        while True:
            if self.fence > fence:
                raise FencedError(f"run {self.fence} took over table {self.name} from run {fence}")
            try:
                self._commit(adds, removes, properties(fence, run, adds, told))
            except CommitFailedError as error:
                # Somebody committed since our snapshot. Not us: one driver commits one at a time.
                before = self.version
                self.refresh()
                if self.version == before:
                    raise StorageError(f"table {self.name}: {scrub(str(error))}") from error
                if self.fence == fence and self._is_ours(token, self.version - before):
                    return  # the answer was lost, and the request repeated: it met our own commit
                here = {(p.path, p.size) for p in self.committed().values()}
                if self.fence == fence and adds and {(p.path, p.size) for p in adds} <= here:
                    return  # our own commit: an interrupt came before we saw that it was through
                if self.fence == fence:
                    raise FencedError(f"another run took number {fence} as well") from None
                continue
            self.refresh()
            return

    def _is_ours(self, token: str, newest: int) -> bool:
        """Return whether one of the newest commits is the one that bears this token."""
        with mapped(self._store.root, self.name):
            return any(told.get(MARK) == token for told in self._require().history(newest))

    def _commit(
        self, adds: Sequence[Part], removes: Iterable[Part], told: CommitProperties
    ) -> None:
        now = int(time.time() * 1000)
        delta = self._require()
        actions: list[AddAction | RemoveAction] = [add_action(part, now=now) for part in adds]
        # A path cannot leave and come in one transaction; adding it again replaces it.
        added = {part.path for part in adds}
        actions += [remove_action(p, now=now) for p in removes if p.path not in added]
        with mapped(self._store.root, self.name):
            delta.create_write_transaction(
                actions,
                mode="append",
                schema=delta.schema(),
                commit_properties=told,
                post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
            )
