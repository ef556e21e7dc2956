"""Enters: members of compressed tars, which cannot be read by themselves. Leaves: each as a file.

The first that is asked for takes one pass over its tar: all its metadata go behind each other into
one temporary file without a name, which vanishes with the Dump; media stay where they are.

Decision, 2026-11: a copy on disk, unpacked, because formats look into a file more than once and in
the order of names, and a compressed tar runs forward only. Drawback: a disk as large as a tar's
metadata, and of a member of more than 1 GiB nothing: that is `archive.bomb`, as it is for media.
"""

from __future__ import annotations

import os
import shutil
import weakref
from typing import TYPE_CHECKING, BinaryIO

from imgbatch.errors import ArchiveError, SourceError
from imgbatch.sources.blobs import CHUNK, Held, spool, spooling
from imgbatch.sources.streams import read_stream

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from imgbatch.records import Source
    from imgbatch.settings import Limits

SCHEMA = "CREATE TABLE spooled (address TEXT PRIMARY KEY, start, size, class, said) WITHOUT ROWID"
IN_MEMORY = 2**20


class Spooled:
    """The metadata of compressed tars.

    Args:
        names: SQLite in which it may note where each lies: there may be millions.
        limits: how often a store is asked again.
    """

    def __init__(self, names: sqlite3.Connection, limits: Limits) -> None:
        self._names = names
        self._names.execute(SCHEMA)
        self._limits = limits.model_copy(update={"fetched_bytes": IN_MEMORY})
        self._file: BinaryIO | None = None
        self._filled: set[str | None] = set()

    def open(self, source: Source, beside: Iterable[Source]) -> BinaryIO:
        """Open a member as a seekable file; the caller closes it.

        Args:
            source: the member.
            beside: it and all other metadata of its tar, in the order of the stream.

        Raises:
            SourceError: it cannot be had.
            StorageError: the temporary file cannot be written.
        """
        if source.container not in self._filled:
            self._filled.add(source.container)
            self._fill(source, beside)
        found = self._find(source)
        if found is None:
            raise ArchiveError("archive.unsupported", "no metadata by its name")
        start, size, error_class, said = found
        if error_class is not None:
            raise SourceError(error_class, said)
        assert self._file is not None, "something lies in it"
        return Held(os.dup(self._file.fileno()), start, size).open()

    def _find(self, source: Source) -> tuple[int, int, str | None, str] | None:
        query = "SELECT start, size, class, said FROM spooled WHERE address = ?"
        found: tuple[int, int, str | None, str] | None = self._names.execute(
            query, (source.address,)
        ).fetchone()
        return found

    def _fill(self, source: Source, beside: Iterable[Source]) -> None:
        """Copy the metadata of a tar."""
        if self._file is None:
            self._file = spool()
            weakref.finalize(self, self._file.close)
        file = self._file
        assert source.container is not None, "only members are spooled"
        for member, given in read_stream(source.container, beside, limits=self._limits):
            start = file.tell()
            row: tuple[object, ...] = (start, member.size, None, "")
            if isinstance(given, SourceError):
                row = (None, None, given.code, str(given))
            else:
                with spooling(), given.open() as member_file:
                    shutil.copyfileobj(member_file, file, CHUNK)
            self._names.execute(
                "INSERT INTO spooled VALUES (?, ?, ?, ?, ?)", (member.address, *row)
            )
        with spooling():
            file.flush()
