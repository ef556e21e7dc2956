"""Outcomes enter as they come; OUT keeps each from then on, and holds one table of all at the end.

    OUT/fetched/about.json            that this is a fetch, and of which format version
    OUT/fetched/journal/000001.jsonl  outcomes of a fetch that is under way, or was killed
    OUT/fetched/outcomes.parquet      one row per URL; outcomes.jsonl the same

A file is put first and its outcome comes after, so an outcome never names a file that is not there.
What a killed fetch had put and not yet told of is found by its name and taken as it lies.

Decision, 2026-11: the journal is numbered objects that are each put once, not a file that grows:
buckets cannot append. Drawback: up to a second of outcomes that hold no file is lost by a kill, and
asked for again. A lock (`fetched/lock.json`, as runs have it) keeps a second fetch out; were it
lost, a number that is taken already tells.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from imgbatch import __version__
from imgbatch.errors import BusyError, DatasetError
from imgbatch.fetching.kinds import HEAD_BYTES, kind_of
from imgbatch.fetching.task import FIELDS, now
from imgbatch.fetching.worker import MEDIA
from imgbatch.storage import claim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.fetching.links import Links
    from imgbatch.fetching.task import Row
    from imgbatch.storage import Store

FOLDER = "fetched"
ABOUT = f"{FOLDER}/about.json"
JOURNAL = f"{FOLDER}/journal"
TABLE = f"{FOLDER}/outcomes.parquet"
LINES = f"{FOLDER}/outcomes.jsonl"
POSTS = "posts.jsonl"
OURS = re.compile(rf"^{MEDIA}/[0-9a-f]{{2}}/([0-9a-f]{{32}})-([0-9a-f]{{8}})\.[a-z0-9]+$")
JOURNAL_SECONDS = 1.0
ROW_GROUP = 10_000
INTEGERS = {"bytes", "http_status", "attempts", "max_bytes"}
SCHEMA = pa.schema(
    [(name, pa.int64() if name in INTEGERS else pa.string()) for name in FIELDS]
    + [("linked", pa.bool_())]
)


def take(store: Store) -> None:
    """Claim OUT.

    Raises:
        DatasetError: it holds something else.
    """
    if refuse_other(store):
        return
    _refuse_unless_empty(store)
    text = json.dumps({"format": "fetched", "version": 1, "imgbatch": __version__}, indent=1)
    store.put(ABOUT, text.encode())


def refuse_other(store: Store) -> bool:
    """Refuse a fetch of another format; return whether there is one of ours.

    Raises:
        DatasetError: it holds something else.
    """
    try:
        found = json.loads(store.get(ABOUT))
    except FileNotFoundError:
        return False
    except ValueError as error:
        raise DatasetError(f"{store.root}/{ABOUT} is not readable: {error}") from error
    if not isinstance(found, dict) or (found.get("format"), found.get("version")) != ("fetched", 1):
        raise DatasetError(f"{store.root}/{ABOUT} is of another format", "Give another OUT.")
    return True


def _refuse_unless_empty(store: Store) -> None:
    try:
        empty = next(store.list(), None) is None
    except FileNotFoundError:
        empty = True
    except NotADirectoryError:
        empty = False
    if not empty:
        raise DatasetError(
            f"{store.root} is not empty and holds nothing that was fetched",
            "Give a folder or prefix that is empty or not there yet.",
        )


def outcomes(store: Store) -> Iterator[Row]:
    """Yield the outcomes of former fetches, those of a journal last.

    Raises:
        DatasetError: the table is damaged.
    """
    with contextlib.suppress(FileNotFoundError), store.open(TABLE) as file:
        try:
            for batch in pq.ParquetFile(file).iter_batches(ROW_GROUP):
                for row in batch.to_pylist():
                    row.pop("linked")
                    yield row
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            raise DatasetError(
                f"{store.root}/{TABLE} is damaged: {error}",
                f"Delete it: {LINES} holds the same for people, and what lies in {MEDIA}/ is "
                "taken as it lies; failures are asked for again.",
            ) from error
    for name in journal(store):
        for line in store.get(name).splitlines():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise DatasetError(
                    f"{store.root}/{name} is damaged: {error}", "Delete it."
                ) from error


def journal(store: Store) -> list[str]:
    """Return the names of a journal's parts, in order."""
    try:
        return sorted(entry.name for entry in store.list(JOURNAL))
    except FileNotFoundError:
        return []


def files(store: Store) -> Iterator[tuple[str, str]]:
    """Yield (key, name) of the files that fetches have put."""
    with contextlib.suppress(FileNotFoundError):
        for entry in store.list(MEDIA):
            if found := OURS.match(entry.name):
                yield found[1], entry.name


def adopted(store: Store, url: str, name: str) -> Row | None:
    """Return the outcome of a file that lies here without one; None if it is not what it was."""
    digest, head, size = hashlib.sha256(), b"", 0
    with store.open(name) as file:
        while chunk := file.read(2**20):
            head = head or chunk[:HEAD_BYTES]
            digest.update(chunk)
            size += len(chunk)
    found = OURS.match(name)
    if found is None or found[2] != digest.hexdigest()[:8]:
        return None
    return {
        **dict.fromkeys(FIELDS),
        "url": url,
        "status": "ok",
        "error_class": "",
        "message": "taken as it lay here: the fetch that put it was killed",
        "file": name,
        "kind": kind_of(head, "")[0],
        "bytes": size,
        "sha256": digest.hexdigest(),
        "fetched_at": now(),
    }


class Journal:
    """Keeps outcomes in OUT, together those of about a second.

    Args:
        store: OUT.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        last = (journal(store) or [""])[-1].rpartition("/")[2].partition(".")[0]
        self._number = int(last) if last.isdigit() else 0
        self._rows: list[str] = []
        self._put_at = time.monotonic()

    def add(self, row: Row) -> None:
        """Keep an outcome, within a second from now if others follow."""
        self._rows.append(json.dumps(row))
        self.tick()

    def tick(self) -> None:
        """Write what waits for longer than a second."""
        if time.monotonic() - self._put_at >= JOURNAL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            BusyError: another fetch writes here.
        """
        if not self._rows:
            self._put_at = time.monotonic()
            return
        self._number += 1
        name = f"{JOURNAL}/{self._number:08}.jsonl"
        try:
            claim(self._store, name, ("\n".join(self._rows) + "\n").encode())
        except FileExistsError as error:
            raise BusyError(
                f"another fetch is at work on {self._store.root}",
                "Wait until it ends, then run again.",
            ) from error
        self._rows = []
        # From the end: on a slow store every outcome would be an object of its own otherwise.
        self._put_at = time.monotonic()


def write_tables(store: Store, rows: Iterable[Row]) -> None:
    """Write all outcomes, as Parquet and as lines."""
    with partial() as table, partial() as lines:
        with pq.ParquetWriter(table, SCHEMA, compression="zstd") as writer:
            batch = []
            for row in rows:
                lines.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                batch.append(row)
                if len(batch) == ROW_GROUP:
                    writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
                    batch = []
            writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
        put_changed(store, LINES, lines)
        put_changed(store, TABLE, table)


@contextlib.contextmanager
def partial() -> Iterator[BinaryIO]:
    """Lend a file of this machine that nobody else sees."""
    with tempfile.TemporaryFile() as file:
        yield cast("BinaryIO", file)


def tidy_partial(store: Store) -> None:
    """Delete what writers that were killed left half written; a bucket has no such files.

    But for what lies beside the lock: that is written again and again by whoever holds it.
    """
    if store.root.startswith("file://"):
        found = [one for one in store.former() if one.name.rpartition("/")[0] != FOLDER]
        store.erase(found)


def tidy(store: Store, links: Links) -> list[str]:
    """Delete what the tables now make needless: the journal, and files that no outcome names.

    Returns:
        the names of these files.
    """
    links.found(files(store))
    unused = list(links.unused())
    for name in [*unused, *journal(store)]:
        store.delete(name)
    return unused


def put_changed(store: Store, name: str, file: BinaryIO) -> None:
    """Write a file under a name, unless the same bytes lie there: then its version stays."""
    file.flush()
    file.seek(0)
    mine = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type] # a file of this machine
    with contextlib.suppress(FileNotFoundError), store.open(name) as there:
        if hashlib.file_digest(there, "sha256").digest() == mine:  # type: ignore[arg-type] # stores give io files
            return
    file.seek(0)
    store.put_file(name, str(Path("/dev/fd") / str(file.fileno())))
