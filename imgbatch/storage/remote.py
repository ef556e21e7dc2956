"""Buckets and memory through obstore."""

from __future__ import annotations

import contextlib
import io
import mimetypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeVar, cast
from urllib.parse import quote as percent

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import MemoryStore

from imgbatch.errors import OutageError, StorageError
from imgbatch.storage import ChangedError, Entry, access, versions
from imgbatch.storage.addresses import quote, unquote
from imgbatch.storage.ahead import AheadFile
from imgbatch.storage.clients import client
from imgbatch.storage.options import split
from imgbatch.storage.refusals import refusal
from imgbatch.storage.secrets import cause

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from obstore import Attributes, GetOptions, ObjectMeta, UpdateVersion
    from obstore.store import ObjectStore

    from imgbatch.storage import Former
    from imgbatch.storage.clients import Client

T = TypeVar("T")
READ_BYTES = 2**16
# Empty objects of a listing's page that are looked at side by side.
MARKERS = 16

# A MemoryStore is empty when made: one per name and process, or two openers would not meet.
_MEMORY: dict[str, MemoryStore] = {}


class RemoteStore:
    """A bucket, a prefix of one, or a named store in this process's memory."""

    def __init__(self, url: str) -> None:
        bare, given = split(url)
        self._scheme, _, rest = bare.partition("://")
        self.bucket, _, prefix = unquote(rest).strip("/").partition("/")
        self.place = f"{self._scheme}://{self.bucket}"
        self._prefix = f"{prefix}/" if prefix else ""
        self.root = self._canonical(prefix)
        self._memory: ObjectStore | None = None
        self._made: tuple[int, Client] | None = None
        if self._scheme == "memory":
            self._memory = _MEMORY.setdefault(self.bucket, MemoryStore())
        else:
            access.remember(self.place, given)

    @property
    def _store(self) -> ObjectStore:
        return self._client.store if self._memory is None else self._memory

    @property
    def _client(self) -> Client:
        """Return the bucket's client, as this process knows now how to reach it."""
        edition = access.edition()
        if self._made is None or self._made[0] != edition:
            self._made = (edition, client(self.place))
        return self._made[1]

    def _canonical(self, name: str) -> str:
        # `?` begins the options of a bucket.
        return f"{self.place}/{quote(name).replace('?', '%3F')}".rstrip("/")

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield every object below a prefix, as the store pages them, a page ahead."""
        below = f"{self._prefix}{prefix.strip('/')}".strip("/") or None
        with self._mapped(prefix):
            for page in _ahead(obstore.list(self._store, prefix=below, chunk_size=1000)):
                yield from self._without_markers([self._entry(meta) for meta in page])

    def _entry(self, meta: ObjectMeta) -> Entry:
        name = meta["path"].removeprefix(self._prefix)
        return Entry(name, meta["size"], _version(dict(meta)))

    def _without_markers(self, page: Sequence[Entry]) -> Iterator[Entry]:
        """Leave out what consoles and tools put where they want a folder to be seen: `folder/`.

        obstore lists such an empty object without the slash; asked for, it is not there.
        """
        empty = [entry.name for entry in page if entry.size == 0 and self._memory is None]
        if not empty:
            yield from page
            return
        with ThreadPoolExecutor(MARKERS) as pool:
            there = dict(zip(empty, pool.map(self._holds, empty), strict=True))
        yield from (entry for entry in page if there.get(entry.name, True))

    def _holds(self, name: str) -> bool:
        try:
            self._meta(name)
        except FileNotFoundError:
            return False
        return True

    def folders(self, prefix: str = "") -> Sequence[str]:
        """Return what the names below a prefix have up to their next slash."""
        below = f"{self._prefix}{prefix.strip('/')}".strip("/")
        with self._mapped(prefix):
            found = obstore.list_with_delimiter(self._store, prefix=below or None)
        return sorted(path.rpartition("/")[2] for path in found["common_prefixes"])

    def head(self, name: str) -> Entry:
        """Return size and version of one object."""
        meta = self._meta(name)
        return Entry(name, meta["size"], _version(dict(meta)))

    def _meta(self, name: str) -> ObjectMeta:
        try:
            with self._mapped(name):
                return obstore.head(self._store, self._prefix + name)
        except StorageError as error:
            # Answers to HEAD have no body that says why.
            if not error.timed_out and not isinstance(error, OutageError):
                with self._mapped(name):
                    obstore.get_range(self._store, self._prefix + name, start=0, length=1)
            raise

    def get(self, name: str, version: str = "") -> bytes:
        """Return a whole object."""
        with self._mapped(name):
            return self._got(name, version, {})

    def get_range(self, name: str, start: int, length: int, version: str = "") -> bytes:
        """Return a part of an object."""
        if length == 0:
            return b""
        try:
            with self._mapped(name):
                return self._got(name, version, {"range": (start, start + length)})
        except StorageError as error:
            # A range behind the end is refused: worth a second request only then.
            if type(error) is StorageError and start >= self.head(name).size:
                return b""
            raise

    def _got(self, name: str, version: str, options: GetOptions) -> bytes:
        """Get bytes, and hold the version that came with them against the one that is meant.

        Decision, 2026-11: the answer's own version is looked at, not If-Match sent: every store
        says its version, not every one knows the condition. Drawback: what has changed is
        transferred once.
        """
        found = obstore.get(self._store, self._prefix + name, options=options)
        if version and _version(dict(found.meta)) != version:
            raise ChangedError(f"{self.address(name)} changed meanwhile")
        return bytes(found.bytes())

    def open(self, name: str, version: str = "") -> BinaryIO:
        """Open an object as a seekable file that reads ranges ahead, all of one version."""
        entry = self.head(name)
        if version and entry.version != version:
            raise ChangedError(f"{self.address(name)} changed meanwhile")

        def get(start: int, length: int) -> bytes:
            return self.get_range(name, start, length, entry.version)

        return cast("BinaryIO", io.BufferedReader(AheadFile(get, entry.size), READ_BYTES))

    def put(self, name: str, data: bytes) -> None:
        """Write an object in one request."""
        self._put(name, data, "overwrite")

    def put_file(self, name: str, path: str) -> None:
        """Write an object from a file; in several requests where it is large."""
        with self._mapped(name):
            obstore.put(self._store, self._prefix + name, Path(path))

    def put_once(self, name: str, data: bytes) -> None:
        """Write an object by a conditional request."""
        self._put(name, data, "create")

    def _put(
        self, name: str, data: bytes, mode: Literal["create", "overwrite"] | UpdateVersion
    ) -> str:
        kind = mimetypes.guess_type(name)[0]
        said: Attributes = {"Content-Type": kind} if kind else {}
        with self._mapped(name):
            written = obstore.put(
                self._store,
                self._prefix + name,
                data,
                mode=mode,
                attributes=said,
                use_multipart=False,
            )
        return _version(dict(written))

    def replace(self, name: str, data: bytes, version: str) -> str:
        """Write an object by a request that names the etag (S3) or generation it must still have.

        Looked up first, since what we call the version may be another of the two.
        """
        meta = self._meta(name)
        if _version(dict(meta)) != version:
            raise ChangedError(f"{self.address(name)} changed meanwhile")
        seen = {k: str(v) for k, v in dict(meta).items() if k in ("e_tag", "version") and v}
        try:
            return self._put(name, data, cast("UpdateVersion", seen))
        except ChangedError:
            if self.head(name).version != version:
                raise
        # Ceph (16.2) compares the condition, quotes and all, with an etag that has none.
        seen["e_tag"] = seen.get("e_tag", "").strip('"')
        return self._put(name, data, cast("UpdateVersion", seen))

    def delete(self, name: str) -> None:
        """Delete an object."""
        with contextlib.suppress(FileNotFoundError), self._mapped(name):
            obstore.delete(self._store, self._prefix + name)

    def former(self, prefix: str = "") -> Iterator[Former]:
        """Yield the versions that a bucket with versioning keeps of what is gone."""
        below = f"{self._prefix}{prefix}/" if prefix else self._prefix
        if self._scheme == "s3":
            yield from versions.s3_former(self.place, below)
        elif self._scheme == "gs":
            yield from versions.gs_former(self.place, below)

    def recall(self, former: Former) -> bytes:
        """Return the bytes of such a version."""
        recall = versions.gs_recall if self._scheme == "gs" else versions.s3_recall
        return recall(self.place, former)

    def erase(self, former: Iterable[Former]) -> None:
        """Delete such versions."""
        if self._memory is not None:
            return
        erase = versions.gs_erase if self._scheme == "gs" else versions.s3_erase
        erase(self.place, former)

    def address(self, name: str) -> str:
        """Return the object's URL, readable; see `quote`."""
        return self._canonical(self._prefix + name)

    def link(self, name: str, seconds: int) -> str | None:
        """Return a link that opens an object for so long; None where nobody can sign one."""
        if self._memory is not None:
            return None
        with self._mapped(name):
            return self._client.link(self._prefix + name, seconds)

    def delta_location(self, name: str) -> tuple[str, dict[str, str]]:
        """Return the URL of a table, and what deltalake is told; see `Client.delta_options`."""
        options = {} if self._memory is not None else self._client.delta_options()
        return f"{self.place}/{percent(self._prefix + name)}", options

    @contextlib.contextmanager
    def _mapped(self, name: str) -> Iterator[None]:
        try:
            yield
        except ChangedError:
            raise
        except PreconditionError as error:
            raise ChangedError(f"{self.address(name)} changed meanwhile") from cause(error)
        except AlreadyExistsError as error:
            raise FileExistsError(f"{self.address(name)} is there already") from cause(error)
        except (BaseError, FileNotFoundError) as error:
            raise refusal(self.root, name, error) from cause(error)


def _ahead(pages: Iterator[T]) -> Iterator[T]:
    """Yield pages; the next one is asked for while one is looked at."""
    with ThreadPoolExecutor(1, "list") as pool:
        coming = pool.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = pool.submit(next, pages, None)
            yield page


def _version(meta: dict[str, object]) -> str:
    # The etag first: listings of buckets with versioning give it alone, other answers both.
    return str(
        meta.get("e_tag") or meta.get("version") or f"{meta['size']}-{meta['last_modified']}"
    )
