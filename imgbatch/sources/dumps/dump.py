"""Enters: INPUT, or the sources of one. Leaves: a Dump, which names its files and opens them.

Decision, 2026-11: the names lie in an SQLite database in a temporary file of its own (SQLite keeps
it in memory while it is small, and it vanishes with the Dump). Names come sorted, so whatever
lists them, the same dump is read in the same order, and a dump of ten million files takes disk and
no memory. Drawback: making it costs a pass over the listing, some microseconds a file.
"""

from __future__ import annotations

import io
import sqlite3
from typing import TYPE_CHECKING, BinaryIO, cast

from imgbatch.errors import ArchiveError, SourceError
from imgbatch.records import Source, Verdict
from imgbatch.settings import Limits
from imgbatch.sources.blobs import CHUNK, fetching
from imgbatch.sources.dumps.names import ending
from imgbatch.sources.dumps.packed import Pieces, unpacked
from imgbatch.sources.dumps.spooled import Spooled
from imgbatch.sources.fetch import check_header, patience
from imgbatch.sources.listing import open_input
from imgbatch.sources.names import archive_form, claims_media
from imgbatch.sources.ranges import Stretch
from imgbatch.sources.tars import BLOCK
from imgbatch.sources.unpack import LOCAL, unpack_zip
from imgbatch.storage import locate, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

    from imgbatch.sources.listing import Known

COLUMNS = "name, version, size, container, packing, start, packed, method, status, class, message"
SCHEMA = """
    CREATE TABLE files (name TEXT PRIMARY KEY, version, size, container, packing, start, packed,
        method, status, class, message, media, ending) WITHOUT ROWID;
    CREATE INDEX by_ending ON files (media, ending, name);
"""
BATCH = 10_000
# What comes after every name that begins with a prefix.
LAST = "\U0010ffff"
# A zip member's local header takes at most so much before its data.
LOCAL_HEADER = LOCAL.size + 2 * 0xFFFF
# What `read` gives at most: metadata of one post or of one download, never of a dump.
WHOLE = 2**26
# What formats read, by its endings, of which "" is none: of a compressed tar that much is copied.
TOLD = (
    "", "bz2", "csv", "gz", "js", "json", "jsonl", "ndjson", "parquet", "tsv", "xz", "zst",
)  # fmt: skip


class Dump:
    """One input as a dump sees it: named files that open as unpacked streams.

    Args:
        root: URL of INPUT: a folder, prefix, archive or single file.
        sources: its listing, in any order.
        limits: how long a store is asked again.

    Attributes:
        drawn: what `few` drew of the names of an ending, of those that a format may read.
    """

    def __init__(self, root: str, sources: Iterable[Source], limits: Limits | None = None) -> None:
        self.root = open_store(root).root
        self.drawn: dict[tuple[str, object], list[str]] = {}
        self._limits = limits or Limits()
        self._before = ""
        # "": a temporary file that nobody else sees.
        self._names = sqlite3.connect("")
        self._names.executescript(SCHEMA)
        self._fill(sources)
        self._spooled = Spooled(self._names, self._limits)

    @classmethod
    def at(cls, url: str, limits: Limits | None = None, known: Known | None = None) -> Dump:
        """List INPUT and return it.

        Raises:
            InputError: nothing is there, or it cannot be listed.
            StorageError: the store failed.
        """
        return cls(url, open_input(url, known=known), limits)

    def close(self) -> None:
        """Let go of the names."""
        self._names.close()

    def names(self) -> Iterator[str]:
        """Yield all names, sorted."""
        yield from self._ask("")

    def media(self) -> Iterator[str]:
        """Yield the names that promise an image or a video, sorted."""
        yield from self._ask("WHERE media = 1 ORDER BY name")

    def metadata(self, *endings: str) -> Iterator[str]:
        """Yield the other names, sorted: with one of these endings, or all of them.

        Args:
            endings: lower case, without dot; `jsonl` is also that of `a.jsonl.gz`, `tar` that of
                all tars.
        """
        if not endings:
            yield from self._ask("WHERE media = 0 ORDER BY name")
            return
        places = ", ".join("?" * len(endings))
        yield from self._ask(f"WHERE media = 0 AND ending IN ({places}) ORDER BY name", *endings)

    def nested(self) -> Iterator[str]:
        """Yield the archives that lie in archives, sorted; nobody looks into them."""
        where = "WHERE container IS NOT NULL AND ending IN ('zip', 'tar') ORDER BY name"
        yield from self._ask(where)

    def damaged(self) -> Iterator[str]:
        """Yield the archives whose members are not all known, as they are damaged, sorted."""
        where = (
            "WHERE container IS NULL AND ending IN ('zip', 'tar') "
            "AND class IN ('archive.truncated', 'archive.corrupt') ORDER BY name"
        )
        yield from self._ask(where)

    def repeated(self) -> Iterator[str]:
        """Yield the metadata of a name that their archive has already, sorted; see `members`."""
        where = "WHERE container IS NOT NULL AND media = 0 AND name GLOB '*#[0-9]*' ORDER BY name"
        yield from self._ask(where)

    def starting(self, prefix: str) -> Iterator[str]:
        """Yield all names that begin so, sorted: what lies beside a file, or in a folder."""
        yield from self._ask("WHERE name >= ? AND name < ? ORDER BY name", prefix, prefix + LAST)

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        try:
            return next(self._ask("WHERE name = ?", name), None) is not None
        except UnicodeEncodeError:
            # Half a surrogate pair, as JSON can say it: no file is called so.
            return False

    def address(self, name: str) -> str:
        """Return the address of the source of this name."""
        return self._before + name

    def version(self, name: str) -> str:
        """Return the version in which it was listed."""
        return self.source(name).version

    def size(self, name: str) -> int:
        """Return its bytes as listed, so before a `.gz` is unpacked."""
        return self.source(name).size

    def source(self, name: str) -> Source:
        """Return the source of this name.

        Raises:
            KeyError: there is none.
        """
        row = self._names.execute(f"SELECT {COLUMNS} FROM files WHERE name = ?", (name,)).fetchone()  # noqa: S608 - a constant
        if row is None:
            raise KeyError(name)
        _, version, size, container, packing, start, packed, method, *said = row
        verdict = Verdict(*said) if said[0] else None
        return Source(
            address=self.address(name),
            version=version,
            size=size,
            container=container,
            packing=packing,
            offset=start,
            packed_size=packed,
            method=method,
            verdict=verdict,
        )

    def open(self, name: str) -> BufferedReader:
        """Open a file as a stream of what it holds: gz, bz2, xz and zstd are unpacked by content.

        UTF-16 is given as UTF-8. It is read in pieces and not seekable; the caller closes it. The
        first member of a compressed tar takes a pass over that (see `spooled`).

        Raises:
            SourceError: it cannot be had, from its reads too.
            KeyError: there is none of this name.
        """
        return unpacked(self.packed(name))

    def packed(self, name: str) -> BinaryIO:
        """Open a file as it lies there; of a compressed tar's members as it lies in that.

        Raises:
            SourceError: it cannot be had, from its reads too.
            KeyError: there is none of this name.
        """
        return self._packed(self.source(name))

    def head(self, name: str, count: int) -> bytes:
        """Return the first bytes of what a file holds: those before damage, if there are any.

        Raises:
            SourceError: it cannot be had.
        """
        found = bytearray()
        with self.open(name) as file:
            while len(found) < count:
                try:
                    piece = file.read1(count - len(found))
                except SourceError:
                    if not found:
                        raise
                    break
                if not piece:
                    break
                found += piece
        return bytes(found)

    def read(self, name: str) -> bytes:
        """Return all that a small file holds.

        Raises:
            SourceError: it cannot be had; archive.bomb, it holds more than WHOLE bytes.
        """
        pieces, left = [], WHOLE
        with self.open(name) as file:
            while piece := file.read(CHUNK):
                left -= len(piece)
                if left < 0:
                    raise ArchiveError("archive.bomb", f"more than {WHOLE} bytes for one post")
                pieces.append(piece)
        return b"".join(pieces)

    def _fill(self, sources: Iterable[Source]) -> None:
        rows: list[tuple[object, ...]] = []
        for source in sources:
            rows.append(_row(source, self._relative(source.address)))
            if len(rows) == BATCH:
                self._write(rows)
        self._write(rows)
        self._names.commit()

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        places = ", ".join("?" * 13)
        self._names.executemany(f"INSERT OR REPLACE INTO files VALUES ({places})", rows)  # noqa: S608 - question marks
        rows.clear()

    def _relative(self, address: str) -> str:
        if not self._before:
            below = address.startswith(self.root + "/")
            # Else INPUT is a single file or archive, and names are those in its folder.
            self._before = (self.root if below else self.root.rpartition("/")[0]) + "/"
        return address.removeprefix(self._before)

    def _ask(self, where: str, *values: str) -> Iterator[str]:
        statement = f"SELECT name FROM files {where or 'ORDER BY name'}"  # noqa: S608 - written above
        for (name,) in self._names.execute(statement, values):
            yield name

    def _beside(self, container: str) -> Iterator[Source]:
        """Yield the metadata of a compressed tar in the order of its stream."""
        where = (
            "WHERE container = ? AND packing = 'stream' AND media = 0 AND status IS NULL "
            f"AND ending IN ({', '.join('?' * len(TOLD))}) ORDER BY start"
        )
        yield from map(self.source, self._ask(where, container, *TOLD))

    def _packed(self, source: Source) -> BinaryIO:
        said = source.verdict
        # A large member is no bomb for who reads it in pieces.
        if said is not None and said.error_class not in ("archive.bomb", "archive"):
            raise ArchiveError(said.error_class, said.message)
        if source.container is None:
            return self._stretch(source.address, 0, source.size, source.version).open()
        if source.packing == "stream":
            return self._spooled.open(source, self._beside(source.container))
        assert source.offset is not None, "the listing records each member's offset"
        if source.packing == "tar":
            self._check(source, source.offset)
            return self._stretch(source.container, source.offset, source.size).open()
        size = LOCAL_HEADER + (source.packed_size or 0)
        file = self._stretch(source.container, source.offset, size).open()
        return cast("BinaryIO", io.BufferedReader(Pieces(unpack_zip(file, source), file), CHUNK))

    def _check(self, source: Source, offset: int) -> None:
        assert source.container is not None, "only members are checked"
        with self._stretch(source.container, offset - BLOCK, BLOCK).open() as file:
            check_header(file.read(BLOCK), source)

    def _stretch(self, address: str, start: int, size: int, version: str = "") -> Stretch:
        with fetching(address):
            store, name = locate(address)
        return Stretch(
            store=store,
            name=name,
            start=start,
            size=size,
            whole=size if version else None,
            version=version,
            patience=patience(self._limits),
        )


def _row(source: Source, name: str) -> tuple[object, ...]:
    said = source.verdict
    return (
        name,
        source.version,
        source.size,
        source.container,
        source.packing,
        source.offset,
        source.packed_size,
        source.method,
        said.status if said else None,
        said.error_class if said else None,
        said.message if said else None,
        int(claims_media(name)),
        archive_form(name) or ending(name),
    )
