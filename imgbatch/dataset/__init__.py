"""A dataset: a few Delta Lake tables below one root, and the runs that filled them.

    DATASET/
      dataset.json             the format's version: what makes a folder a dataset
      manifest/                one row per source, one part per shard and generation
      tables/sources/          one row per source: its outcome
      tables/<analyzer>/       the analyzers' rows
      tables/<analyzer>_regions/  what was found in pictures, where it looks for such
      groups/<name>/           labels: one row per thing that a grouper labelled
      posts/ post_media/ post_copies/ post_gaps/  of a dump: posts, media joined to sources, where
                               else posts were read, and gaps
      outcomes.parquet         how many sources of each part of `sources` came to what; derived
      logs/<run>/*.jsonl       structured logs
      runs/<run>.json          what a run was asked, did and took
      runs/<run>/progress.json how far it is, written again every few seconds
      runs/<run>/cancel.json   that it is to end
      lock.json                who is changing it just now
      report/index.html
      forgotten/               keyed hashes of forgotten sources, and who forgot when

Done is a commit: the snapshot holds the part of (shard, generation, fingerprint). There is no
other marker.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgbatch import __version__
from imgbatch.dataset.damage import lost_marker
from imgbatch.dataset.delta import Table
from imgbatch.dataset.part import Part
from imgbatch.dataset.parts import readable
from imgbatch.errors import DamageError, DatasetError
from imgbatch.storage import Store, open_store
from imgbatch.storage.buckets import PROBE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    import pyarrow.compute as pc

__all__ = ["FORMAT", "MANIFEST", "SOURCES", "Dataset", "Part", "Table", "TableSpec"]

FORMAT = 2
MARKER = "dataset.json"
MANIFEST = "manifest"
REPAIR = "`imgbatch run INPUT DATASET --repair` mends it."
SOURCES = "sources"


@dataclass(frozen=True)
class TableSpec:
    """One table that a recipe fills.

    Attributes:
        name: as below `tables/`; `sources`, or an analyzer's.
        schema: all its columns, keys first.
        fingerprint: of everything that its rows depend on; its first 8 digits are in part names.
        metadata: goes into each part's Parquet metadata, so that a part explains itself.
        grain: `source` (one row per source), `picture` (one per picture of an ok source),
            `sequence` (one per ok source), or `region` (any number per picture).
    """

    name: str
    schema: pa.Schema
    fingerprint: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    grain: str = "picture"

    @property
    def path(self) -> str:
        """The table's folder below the dataset's root."""
        return f"tables/{self.name}"

    @property
    def short(self) -> str:
        """The first 8 digits of the fingerprint, as they stand in part names."""
        return self.fingerprint[:8]

    def stem(self, label: str) -> str:
        """Return what the names of parts for a shard and generation begin with."""
        return f"{label}-{self.short}"


class Dataset:
    """An opened dataset.

    Attributes:
        url: its root's canonical URL.
        store: the store at its root.
        made_by: the version of imgbatch that made it.
    """

    def __init__(self, store: Store, made_by: str = __version__) -> None:
        self.store = store
        self.url = store.root
        self.made_by = made_by
        self._tables: dict[str, Table] = {}

    @classmethod
    def open(cls, url: str) -> Dataset:
        """Open a dataset.

        Raises:
            DatasetError: there is none, or it has another format version.
            DamageError: there is one, without the object that says so.
        """
        store = open_store(url)
        try:
            marker = json.loads(store.get(MARKER))
        except FileNotFoundError:
            lost = _lost(store, "is missing")
            raise lost or DatasetError(f"{url} is not an imgbatch dataset (no {MARKER})") from None
        except ValueError as error:
            said = f"{url}/{MARKER} is not readable: {error}"
            raise _lost(store, f"is not readable: {error}") or DatasetError(said) from error
        found = marker.get("format") if isinstance(marker, dict) else None
        if found is None and (lost := _lost(store, "says no format")):
            raise lost
        if found != FORMAT:
            raise DatasetError(
                f"{url} has dataset format {found}; this imgbatch {__version__} knows {FORMAT}",
                "Use the version of imgbatch that made it, or a new dataset.",
            )
        return cls(store, str(marker.get("made_by")))

    @classmethod
    def find(cls, url: str) -> Dataset | None:
        """Open a dataset; None when nothing is there yet.

        Raises:
            DatasetError: something else is there, or it has another format version.
            DamageError: as for `open`.
        """
        store = open_store(url)
        if _holds(store, MARKER):
            return cls.open(url)
        empty = _is_empty(store, url)
        # Another run may have made it between the two looks.
        if _holds(store, MARKER):
            return cls.open(url)
        if not empty:
            if lost := _lost(store, "is missing"):
                raise lost
            raise DatasetError(
                f"{url} is not an imgbatch dataset and not empty",
                "Give a folder or prefix that is empty or not there yet.",
            )
        return None

    @classmethod
    def create(cls, url: str) -> Dataset:
        """Open a dataset, or make an empty one where there is nothing yet.

        Raises:
            DatasetError: something else is there, or it has another format version.
        """
        found = cls.find(url)
        if found is None:
            marker = json.dumps({"format": FORMAT, "made_by": __version__}).encode()
            # Another run may make it at the same moment: the same bytes.
            with contextlib.suppress(FileExistsError):
                open_store(url).put_once(MARKER, marker)
            found = cls.open(url)
        return found

    def table(self, path: str) -> Table:
        """Return one table by its folder, as this process last saw it."""
        if path not in self._tables:
            self._tables[path] = Table(self.store, path)
        return self._tables[path]

    def refreshed(self, path: str) -> Table:
        """Return one table as it is now, which is how this process sees it from here on."""
        if path not in self._tables:
            return self.table(path)
        self._tables[path].refresh()
        return self._tables[path]

    def reopened(self, path: str) -> Table:
        """Return what `refreshed` does, also where its log was moved away and begun anew."""
        if path not in self._tables:
            return self.table(path)
        self._tables[path].reopen()
        return self._tables[path]

    def newest(self, path: str) -> Table:
        """Return one table as it is now, and leave what this process saw of it as it is."""
        return Table(self.store, path)

    def opened(self) -> list[Table]:
        """Return the tables that were asked for so far."""
        return list(self._tables.values())

    def tables(self) -> list[str]:
        """Return the names of the tables below `tables/`, `sources` first."""
        return sorted(self.folders("tables"), key=lambda name: (name != SOURCES, name))

    def folders(self, below: str) -> list[str]:
        """Return the names of the Delta tables right below a folder, in order."""
        # Not by all that lies there: of a large dataset that is a million files.
        found = self.store.folders(below)
        return sorted(n for n in found if _holds_any(self.store, f"{below}/{n}/_delta_log"))

    def read(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """Return committed rows of a table, in no promised order.

        Args:
            name: a table below `tables/`, or `manifest`.
            columns: the columns to read; all by default.
            where: a pyarrow filter expression.

        Raises:
            DatasetError: there is no such table.
            DamageError: one of its parts cannot be read.
        """
        path = MANIFEST if name == MANIFEST else f"tables/{name}"
        with readable(f"table {name}"):
            return self.table(path).dataset().to_table(columns=columns, filter=where)

    def batches(
        self,
        name: str,
        *,
        columns: Sequence[str],
        where: pc.Expression | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield committed rows of a table as `read` returns them, a few parts in memory at a time.

        Raises:
            DatasetError: there is no such table.
        """
        path = MANIFEST if name == MANIFEST else f"tables/{name}"
        return self.table(path).batches(columns, where)

    def runs(self) -> list[dict[str, Any]]:
        """Return the records of all runs, oldest first.

        Raises:
            DamageError: one of them is not readable.
        """
        # By the number that each took, and not by the clock: two may begin in the same second.
        records = [self.run_record(name) for name in self.run_names()]
        return sorted(records, key=lambda record: int(record["number"]))

    def run_names(self) -> list[str]:
        """Return the names of the objects that hold the records of runs."""
        if not _holds_any(self.store, "runs"):
            return []
        names = [entry.name for entry in self.store.list("runs")]
        return sorted(n for n in names if n.endswith(".json") and n.count("/") == 1)

    def run_record(self, name: str) -> dict[str, Any]:
        """Return the record of a run by the name of its object.

        Raises:
            DamageError: it is not readable.
        """
        try:
            record: dict[str, Any] = json.loads(self.store.get(name))
            # Without these nothing can be told of it.
            int(record["number"]), str(record["run"]), dict(record["tables"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamageError(f"{name} is not readable: {error!r}", REPAIR) from error
        return record

    def write_run(self, record: Mapping[str, Any]) -> None:
        """Write the record of a run; called again, it replaces the former one."""
        data = json.dumps(record, indent=1, default=str).encode()
        self.store.put(f"runs/{record['run']}.json", data)


def _lost(store: Store, words: str) -> DamageError | None:
    """Return what to say of a dataset whose marker is lost; None where there is no dataset."""
    return lost_marker(store, MARKER, json.dumps({"format": FORMAT}), words)


def _holds(store: Store, name: str) -> bool:
    try:
        store.head(name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _holds_any(store: Store, prefix: str = "") -> bool:
    try:
        return next(store.list(prefix), None) is not None
    except FileNotFoundError:
        return False


def _is_empty(store: Store, url: str) -> bool:
    try:
        # What a doctor that was killed leaves there is nobody's.
        return all(entry.name.startswith(PROBE) for entry in store.list())
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        raise DatasetError(
            f"{url} is a file", "Give a folder that is empty or not there."
        ) from None
