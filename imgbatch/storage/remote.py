"""Buckets and memory through obstore."""

from __future__ import annotations

import contextlib
import io
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import MemoryStore, from_url

from imgbatch.errors import StorageError
from imgbatch.storage import ChangedError, Entry, versions
from imgbatch.storage.addresses import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed import WriteableBuffer as Buffer
    from obstore import UpdateVersion
    from obstore.store import ObjectStore, RetryConfig

    from imgbatch.storage import Former

READ_BYTES = 2**20
# A request that a bucket drops or answers with 5xx is repeated by obstore itself, so few times that
# they do not multiply with the attempts that are made and logged above it.
REPEATS: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}
# A request that takes longer than obstore allows (30 s); its text is all that it says.
TIMED_OUT = ("timed out", "timeout")

# A MemoryStore is empty when made: one per name and process, or two openers would not meet.
_MEMORY: dict[str, MemoryStore] = {}


class RemoteStore:
    """A bucket, a prefix of one, or a named store in this process's memory."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.rstrip("/").partition("://")
        self.root = f"{scheme}://{quote(rest)}"
        self._scheme = scheme
        self.bucket, _, prefix = rest.partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._store: ObjectStore
        if scheme == "memory":
            self._store = _MEMORY.setdefault(self.bucket, MemoryStore())
        else:
            self._store = from_url(f"{scheme}://{self.bucket}", retry_config=REPEATS)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield every object below a prefix, as the store pages them."""
        below = f"{self._prefix}{prefix.strip('/')}".strip("/") or None
        with _mapped(prefix):
            for page in obstore.list(self._store, prefix=below, chunk_size=1000):
                for meta in page:
                    name = meta["path"].removeprefix(self._prefix)
                    yield Entry(name, meta["size"], _version(dict(meta)))

    def head(self, name: str) -> Entry:
        """Return size and version of one object."""
        with _mapped(name):
            meta = obstore.head(self._store, self._prefix + name)
        return Entry(name, meta["size"], _version(dict(meta)))

    def get(self, name: str) -> bytes:
        """Return a whole object."""
        with _mapped(name):
            return bytes(obstore.get(self._store, self._prefix + name).bytes())

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return a part of an object."""
        if length == 0:
            return b""
        key = self._prefix + name
        try:
            with _mapped(name):
                return bytes(obstore.get_range(self._store, key, start=start, length=length))
        except StorageError:
            # A range behind the end is refused: worth a second request only then.
            if start >= self.head(name).size:
                return b""
            raise

    def open(self, name: str) -> BinaryIO:
        """Open an object as a seekable file that reads by ranges."""
        with _mapped(name):
            reader = obstore.open_reader(self._store, self._prefix + name)
        return cast("BinaryIO", io.BufferedReader(_RangeFile(reader), READ_BYTES))

    def put(self, name: str, data: bytes) -> None:
        """Write an object in one request."""
        with _mapped(name):
            obstore.put(self._store, self._prefix + name, data, use_multipart=False)

    def put_file(self, name: str, path: str) -> None:
        """Write an object from a file; in several requests where it is large."""
        with _mapped(name):
            obstore.put(self._store, self._prefix + name, Path(path))

    def put_once(self, name: str, data: bytes) -> None:
        """Write an object by a conditional request."""
        with _mapped(name):
            obstore.put(self._store, self._prefix + name, data, mode="create", use_multipart=False)

    def replace(self, name: str, data: bytes, version: str) -> str:
        """Write an object by a request that names the etag (S3) or generation it must still have.

        Looked up first, since what we call the version may be another of the two.
        """
        key = self._prefix + name
        with _mapped(name):
            meta = obstore.head(self._store, key)
            if _version(dict(meta)) != version:
                raise ChangedError(f"{name} changed meanwhile")
            seen: dict[str, str] = {
                k: str(v) for k, v in dict(meta).items() if k in ("e_tag", "version") and v
            }
            written = obstore.put(
                self._store, key, data, mode=cast("UpdateVersion", seen), use_multipart=False
            )
        return _version(dict(written))

    def delete(self, name: str) -> None:
        """Delete an object."""
        with contextlib.suppress(FileNotFoundError), _mapped(name):
            obstore.delete(self._store, self._prefix + name)

    def former(self, prefix: str = "") -> Iterator[Former]:
        """Yield the versions that a bucket with versioning keeps of what is gone."""
        below = f"{self._prefix}{prefix}/" if prefix else self._prefix
        if self._scheme == "s3":
            yield from versions.s3_former(self.bucket, below)
        elif self._scheme == "gs":
            yield from versions.gs_former(self.bucket, below)

    def recall(self, former: Former) -> bytes:
        """Return the bytes of such a version."""
        recall = versions.gs_recall if self._scheme == "gs" else versions.s3_recall
        return recall(self.bucket, former)

    def erase(self, former: Iterable[Former]) -> None:
        """Delete such versions."""
        erase = versions.gs_erase if self._scheme == "gs" else versions.s3_erase
        erase(self.bucket, former)

    def address(self, name: str) -> str:
        """Return the object's URL, readable; see `quote`."""
        return f"{self.root}/{quote(name)}"

    def delta_location(self, name: str) -> tuple[str, dict[str, str]]:
        """Return the URL of a table; credentials come from the environment, as for the store."""
        return f"{self.root}/{name}", {}


class _RangeFile(io.RawIOBase):
    """An obstore reader as a raw file: its own read() gives a buffer type that is no `bytes`."""

    def __init__(self, reader: obstore.ReadableFile) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        with _mapped("range read"):
            data = self._reader.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()


def _version(meta: dict[str, object]) -> str:
    return str(
        meta.get("version") or meta.get("e_tag") or f"{meta['size']}-{meta['last_modified']}"
    )


@contextlib.contextmanager
def _mapped(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except ChangedError:
        raise
    except PreconditionError as error:
        raise ChangedError(str(error)) from error
    except AlreadyExistsError as error:
        raise FileExistsError(str(error)) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionError(str(error)) from error
    except BaseError as error:
        failed = StorageError(f"{name}: {error}")
        failed.timed_out = any(words in str(error).lower() for words in TIMED_OUT)
        raise failed from error
