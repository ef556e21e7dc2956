"""Enters: INPUT, a table of posts, and its column of media. Leaves: it and the files that it names.

Only those are sources, not whatever else lies in the table's folder: `~/posts.csv` is no reason to
read a home. A name that has no file gives no source; the posts step tells of it. A URL stands for
a file of its last part beside the table, where a downloader may have put it.

Names lie in SQLite in a temporary file of its own: memory does not grow with the table.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch.errors import InputError
from imgbatch.sources.blobs import LOCAL_SCHEME, NO_FILE
from imgbatch.sources.dumps import Dump
from imgbatch.sources.dumps._rows import ENDINGS
from imgbatch.sources.dumps.names import MEMBER, URL, base, ending, folder, resolve
from imgbatch.sources.dumps.table import named
from imgbatch.sources.listing import list_object, open_input
from imgbatch.storage import open_store
from imgbatch.storage.addresses import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.records import Source
    from imgbatch.sources.dumps import Asked
    from imgbatch.sources.listing import Known
    from imgbatch.storage import Entry, Store


def is_table(url: str) -> bool:
    """Tell whether INPUT is a table by its name: `.csv`, `.jsonl`, `.parquet`, ..., `.csv.gz`."""
    return ending(open_store(url).root) in ENDINGS


def open_table(url: str, asked: Asked, *, known: Known | None = None) -> Iterator[Source]:
    """Yield a table as a source, and the files below its folder that it names, each once.

    Args:
        url: of the table; a folder of such a name is listed as any other.
        asked: which column names them.
        known: as for `open_input`.

    Raises:
        InputError: it is not there, or a file cannot be looked at.
        DumpError: it has no such column.
        SourceError, StorageError: it cannot be read.
    """
    root = open_store(url).root
    own = []
    for source in open_input(url, known=known):
        yield source
        own.append(source)
        if source.address != root:
            own.clear()
    if len(own) == 1:
        yield from _named(own[0], asked, known)


def _named(table: Source, asked: Asked, known: Known | None) -> Iterator[Source]:
    dump = Dump(table.address, [table])
    with contextlib.closing(dump), contextlib.closing(sqlite3.connect("")) as wanted:
        wanted.execute("CREATE TABLE names (name TEXT PRIMARY KEY, file TEXT) WITHOUT ROWID")
        found = ((name, name.partition(MEMBER)[0]) for name in _names(dump, asked))
        wanted.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", found)
        wanted.execute("CREATE INDEX by_file ON names (file)")
        store = open_store(table.address.rpartition("/")[0])
        for entry in _entries(store, wanted):
            yield from _sources(store, entry, wanted, known, table)


def _names(dump: Dump, asked: Asked) -> Iterator[str]:
    """Yield the names of the dump that a table means."""
    for table, medium in named(dump, asked):
        if URL.match(medium):
            name = folder(table) + quote(base(medium)) if base(medium) else None
        else:
            name = resolve(medium, table)
        if name:
            yield name


def _entries(store: Store, wanted: sqlite3.Connection) -> Iterator[Entry]:
    """Yield the objects that are wanted and there.

    A folder is asked for each; a bucket, where each question takes a request, is listed.
    """
    if not store.root.startswith(LOCAL_SCHEME):
        for entry in store.list():
            if _has(wanted, "file", quote(entry.name)):
                yield entry
        return
    here = Path(unquote(store.root.removeprefix(LOCAL_SCHEME)))
    for (name,) in _all(wanted):
        try:
            entry = store.head(unquote(name))
            if not (here / entry.name).is_dir():
                yield entry
        except FileNotFoundError:
            continue
        except OSError as error:
            # Whatever a table says may stand for a name that no file can have.
            if error.errno not in NO_FILE:
                raise InputError(f"{store.address(unquote(name))}: {error.strerror}") from error


def _all(wanted: sqlite3.Connection) -> Iterable[tuple[str]]:
    return wanted.execute("SELECT DISTINCT file FROM names ORDER BY file")


def _has(wanted: sqlite3.Connection, column: str, name: str) -> bool:
    query = f"SELECT 1 FROM names WHERE {column} = ? LIMIT 1"  # noqa: S608 - one of two words
    return wanted.execute(query, (name,)).fetchone() is not None


def _sources(
    store: Store, entry: Entry, wanted: sqlite3.Connection, known: Known | None, table: Source
) -> Iterator[Source]:
    """Yield a wanted object; of an archive itself and its wanted members, or all if it is named."""
    whole = _has(wanted, "name", quote(entry.name))
    for source in list_object(store, entry, known=known):
        name = source.address.removeprefix(store.root + "/")
        if source.address != table.address and (
            whole or MEMBER not in name or _has(wanted, "name", name)
        ):
            yield source
