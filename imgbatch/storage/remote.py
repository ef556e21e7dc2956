"""Buckets and memory through obstore."""

from __future__ import annotations

import contextlib
import io
import mimetypes
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast
from urllib.parse import quote as percent

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import MemoryStore

from imgbatch.errors import AccessError, OutageError, StorageError
from imgbatch.storage import ChangedError, Entry, access, versions
from imgbatch.storage.addresses import quote, unquote
from imgbatch.storage.ahead import AheadFile
from imgbatch.storage.clients import client
from imgbatch.storage.echo import Echo
from imgbatch.storage.listings import Listing, version_of
from imgbatch.storage.odd import OddNames, RetoldError, is_odd
from imgbatch.storage.options import split
from imgbatch.storage.refusals import refusal
from imgbatch.storage.secrets import cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from obstore import Attributes, GetOptions, ListResult, ObjectMeta, UpdateVersion
    from obstore.store import ObjectStore

    from imgbatch.storage import Former
    from imgbatch.storage.clients import Client

READ_BYTES = 2**16
ODD = (
    "Give a place whose URL has something between two slashes, neither `.` nor `..`, and no "
    "control characters."
)

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
        self.root = self._canonical(prefix).rstrip("/")
        self._odd = OddNames(self.place)
        self._echo = Echo()
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
        return f"{self.place}/{quote(name).replace('?', '%3F')}"

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield every object below a prefix, as the store pages them, a page ahead."""
        folder = prefix.strip("/")
        odd = self._odd if self._memory is None else None
        listing = Listing(self._store, odd, prefix=self._prefix, look=self.head)
        with self._mapped(prefix):
            yield from listing.below(self._prefix + (f"{folder}/" if folder else ""))

    def folders(self, prefix: str = "") -> Sequence[str]:
        """Return what the names below a prefix have up to their next slash."""
        return sorted(path.rpartition("/")[2] for path in self._level(prefix)["common_prefixes"])

    def files(self, prefix: str = "") -> Sequence[str]:
        """Return the names below a prefix that have no further slash."""
        # Consoles mark a folder by an object of its name and a slash, told here without the slash.
        mark = self._below(prefix)
        paths: list[str] = self._level(prefix)["objects"]["path"].to_pylist()
        return sorted(path.rpartition("/")[2] for path in paths if path != mark)

    def _level(self, prefix: str) -> ListResult[Any]:
        # All of one level at once, 0.2 KB each: obstore has no such call that pages. As a table of
        # Arrow's: a dictionary for each object was 0.8 KB.
        below = self._below(prefix) or None
        with self._mapped(prefix):
            return obstore.list_with_delimiter(self._store, prefix=below, return_arrow=True)

    def _below(self, prefix: str) -> str:
        return f"{self._prefix}{prefix.strip('/')}".strip("/")

    def head(self, name: str) -> Entry:
        """Return size and version of one object."""
        if self._is_odd(name):
            with self._mapped(name):
                return Entry(name, *self._odd.objects.head(self._prefix + name))
        meta = self._meta(name)
        return Entry(name, meta["size"], version_of(dict(meta)))

    def _is_odd(self, name: str) -> bool:
        return self._memory is None and is_odd(self._prefix + name)

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
            return self._got(name, version)

    def get_range(self, name: str, start: int, length: int, version: str = "") -> bytes:
        """Return a part of an object."""
        if length == 0:
            return b""
        try:
            with self._mapped(name):
                return self._got(name, version, (start, start + length))
        except StorageError as error:
            # A range behind the end is refused: worth a second request only then.
            if type(error) is StorageError and start >= self.head(name).size:
                return b""
            raise

    def _got(self, name: str, version: str, stretch: tuple[int, int] | None = None) -> bytes:
        """Get bytes, and hold the version that came with them against the one that is meant.

        Decision, 2026-11: the answer's own version is looked at, not If-Match sent: every store
        says its version, not every one knows the condition. Drawback: what has changed is
        transferred once.
        """
        found, read = self._answer(name, stretch)
        if version and found != version:
            raise ChangedError(f"{self.address(name)} changed meanwhile")
        return bytes(read())

    def _answer(self, name: str, stretch: tuple[int, int] | None) -> tuple[str, Callable[[], Any]]:
        if self._is_odd(name):
            return self._odd.objects.read(self._prefix + name, stretch)
        options: GetOptions = {"range": stretch} if stretch else {}
        found = obstore.get(self._store, self._prefix + name, options=options)
        return version_of(dict(found.meta)), found.bytes

    def open(self, name: str, version: str = "") -> BinaryIO:
        """Open an object as a seekable file that reads ranges ahead, all of one version."""
        entry = self.head(name)
        if version and entry.version != version:
            raise ChangedError(f"{self.address(name)} changed meanwhile")

        def get(start: int, length: int) -> bytes:
            return self.get_range(name, start, length, entry.version)

        return cast("BinaryIO", io.BufferedReader(AheadFile(get, entry.size), READ_BYTES))

    def put(self, name: str, data: bytes) -> None:
        """Write an object in one request.

        Raises:
            AccessError: the name is odd, here and wherever something is written or deleted.
            StorageError: other bytes came there; S3 itself refuses these, of Google see `echo`.
        """
        etag = self._put(name, data, "overwrite")
        if self._scheme == "gs":
            again = partial(self.get, name, etag)
            self._echo.compare(self.address(name), data, etag, again)

    def put_file(self, name: str, path: str) -> None:
        """Write an object from a file; in several requests where it is large."""
        with self._mapped(name):
            obstore.put(self._store, self._writable(name), Path(path))

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
                self._writable(name),
                data,
                mode=mode,
                attributes=said,
                use_multipart=False,
            )
        return version_of(dict(written))

    def replace(self, name: str, data: bytes, version: str) -> str:
        """Write an object by a request that names the etag (S3) or generation it must still have.

        Looked up first, since what we call the version may be another of the two.
        """
        self._writable(name)
        meta = self._meta(name)
        if version_of(dict(meta)) != version:
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
            obstore.delete(self._store, self._writable(name))

    def _writable(self, name: str) -> str:
        """Return the key of what is to be written; nothing of ours has an odd one."""
        if self._is_odd(name):
            raise AccessError(f"{self.address(name)}: such a name is read and never written", ODD)
        return self._prefix + name

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
        if self._memory is not None or self._is_odd(name):
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
        except (BaseError, RetoldError, FileNotFoundError) as error:
            raise refusal(self.root, name, error) from cause(error)
