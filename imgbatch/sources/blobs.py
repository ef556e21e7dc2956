"""Enters: bytes as they arrive. Leaves: a Blob, in memory or over a file that is kept open.

Files are held by descriptor and the temporary ones have no name: they go away with the last Blob
or reader that uses them, and with the process however it ends. So a Blob needs no closing.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tempfile
import weakref
from typing import TYPE_CHECKING, BinaryIO, cast

from imgbatch.errors import AccessError, FetchError, OutageError, StorageError
from imgbatch.media import HEAD_BYTES, Blob
from imgbatch.storage import ChangedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed import WriteableBuffer

    from imgbatch.storage import Store

LOCAL_SCHEME = "file://"
CHUNK = 2**20
# What the system says of a name that is no file, whenever it is asked.
NO_FILE = {
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENXIO,
    errno.ENAMETOOLONG,
    errno.EINVAL,
}
BUFFER = 2**16


@contextlib.contextmanager
def fetching(address: str) -> Iterator[None]:
    """Turn what a store raises into the FetchError of one source.

    Decision, 2026-11: a source that is not in the version which the listing saw is fetch.changed,
    and final for this run: a row must be of the version that it names. The next run's listing sees
    the new version and does it again, unasked. Drawback: until then it is a failure.

    Raises:
        FetchError: fetch.missing, fetch.changed, fetch.denied, fetch.unreadable, fetch.timeout or
            fetch.failed.
        AccessError, OutageError: of no one source: they end the run.
    """
    try:
        yield
    except (AccessError, OutageError):
        raise
    except ChangedError as error:
        raise FetchError("fetch.changed", f"{address} is another than was listed") from error
    except FileNotFoundError as error:
        raise FetchError("fetch.missing", f"{address} is not there any more") from error
    except PermissionError as error:
        raise FetchError("fetch.denied", f"{address}: {error}") from error
    except StorageError as error:
        code = "fetch.timeout" if error.timed_out else "fetch.failed"
        raise FetchError(code, f"{address}: {error}") from error
    except TimeoutError as error:
        raise FetchError("fetch.timeout", f"{address}: {error}") from error
    except OSError as error:
        code = "fetch.unreadable" if error.errno in NO_FILE else "fetch.failed"
        raise FetchError(code, f"{address}: {error}") from error


class _Whole(io.RawIOBase):
    """A file of a store that must not end before the object does."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        if not data and self._file.tell() < self._size:
            raise StorageError(f"the store gave {self._file.tell()} of {self._size} bytes")
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._size}[whence]
        return self._file.seek(base + offset)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def open_whole(store: Store, name: str, version: str = "", *, size: int | None = None) -> BinaryIO:
    """Open an object so that a body that is cut short on its way is an error and no end of file.

    Args:
        store: where it lies.
        name: of the object.
        version: in which it must be; "" for any.
        size: of the object where it is known, which saves asking.

    Raises:
        StorageError: from its reads too.
    """
    file = store.open(name, version)
    if store.root.startswith(LOCAL_SCHEME):
        return file
    size = store.head(name).size if size is None else size
    return cast("BinaryIO", io.BufferedReader(_Whole(file, size), BUFFER))


class Held:
    """A part of a file that stays open, and the same file, as long as this object lives."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self.descriptor = descriptor
        self.start = start
        self.size = size
        weakref.finalize(self, os.close, descriptor)

    def open(self) -> BinaryIO:
        """Open the part as a seekable file with a position of its own."""
        return cast("BinaryIO", io.BufferedReader(_Reader(self), BUFFER))

    def blob(self) -> Blob:
        """Return the part as a Blob."""
        head = os.pread(self.descriptor, min(HEAD_BYTES, self.size), self.start)
        return Blob(head, self.size, opener=self.open)


class _Reader(io.RawIOBase):
    def __init__(self, held: Held) -> None:
        self._held = held
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self._held.size - self._position
        if left <= 0:
            return 0
        view = memoryview(buffer).cast("B")[:left]
        count = os.preadv(self._held.descriptor, [view], self._held.start + self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._held.size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "seek before the start")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


def gather(chunks: Iterable[bytes], *, size: int, in_memory: int) -> Blob:
    """Return a Blob of all chunks: in memory up to `in_memory` bytes, else in a temporary file.

    Args:
        chunks: the bytes in order; what they raise passes through.
        size: how many bytes there will be.
        in_memory: the most bytes that may be held in memory.

    Raises:
        StorageError: the temporary file cannot be written.
    """
    if size <= in_memory:
        return Blob.of(b"".join(chunks))
    with spool() as file:
        for chunk in chunks:
            with spooling():
                file.write(chunk)
        with spooling():
            file.flush()
        return Held(os.dup(file.fileno()), 0, file.tell()).blob()


def spool() -> BinaryIO:
    """Open a temporary file without a name.

    Raises:
        StorageError: it cannot be made.
    """
    with spooling():
        return cast("BinaryIO", tempfile.TemporaryFile(prefix="imgbatch-"))


@contextlib.contextmanager
def spooling() -> Iterator[None]:
    """Turn what writing a temporary file raises into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"temporary folder {tempfile.gettempdir()}: {error}",
            "Free space there, or point TMPDIR to a larger disk, then run again.",
        ) from error
