"""A folder on this machine as a store."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote as percent

from imgbatch.errors import DeniedError, StorageError
from imgbatch.storage import ChangedError, Entry, Former
from imgbatch.storage.addresses import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PARTIAL = ".imgbatch-partial-"
COPIED_BYTES = 2**20
DENIED = (
    "Give a folder that is yours, or have it made readable and writable for you (`ls -ld FOLDER` "
    "shows who may). Then run again: finished shards stay."
)
NO_FOLDER = "Check the path: a file stands in its way, or nothing can be made there."
# File systems keep times to a second or better.
MTIME_STEPS = (1, 10**6, 2 * 10**9)


class LocalStore:
    """A folder. Names are paths below it; a name that is no UTF-8 is kept by surrogate escapes."""

    def __init__(self, folder: str, *, quoted: bool = False) -> None:
        self.folder = os.path.abspath(unquote(folder) if quoted else folder)
        self.root = "file://" + quote(self.folder).rstrip("/")

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield every file below, links to files included; a folder that is a link is not entered.

        Raises:
            FileNotFoundError, PermissionError: the folder itself, or one below it.
        """
        folders = [prefix.strip("/")]
        while folders:
            folder = folders.pop()
            with _allowed(), os.scandir(self._path(folder) if folder else self.folder) as found:
                for item in found:
                    name = f"{folder}/{item.name}" if folder else item.name
                    if item.name.startswith(PARTIAL):
                        continue
                    if item.is_dir(follow_symlinks=False):
                        folders.append(name)
                        continue
                    yield _entry(name, item)

    def folders(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the folders in a folder; a link to one is none."""
        try:
            with _allowed(), os.scandir(self._path(prefix.strip("/"))) as found:
                return sorted(item.name for item in found if item.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []  # a bucket has no empty folders either

    def files(self, prefix: str = "") -> Sequence[str]:
        """Return the names of what is no folder in a folder; half written files are left out."""
        try:
            with _allowed(), os.scandir(self._path(prefix.strip("/"))) as found:
                names = [item.name for item in found if not item.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if not name.startswith(PARTIAL))

    def head(self, name: str) -> Entry:
        """Return size and version of one file."""
        with _allowed():
            return _entry(name, Path(self._path(name)), missing_ok=False)

    def get(self, name: str, version: str = "") -> bytes:
        """Return a whole file."""
        with self.open(name, version) as file:
            return file.read()

    def get_range(self, name: str, start: int, length: int, version: str = "") -> bytes:
        """Return a part of a file."""
        # Not through a file object: this is how each picture is read, and every system call is a
        # place where a thread may lose the interpreter lock.
        descriptor, size = self._descriptor(name, version)
        try:
            return _read_at(descriptor, start, min(length, size - start))
        finally:
            os.close(descriptor)

    def open(self, name: str, version: str = "") -> BinaryIO:
        """Open a regular file for reading; a pipe or device is refused, it could hang for ever."""
        return os.fdopen(self._descriptor(name, version)[0], "rb")

    def _descriptor(self, name: str, version: str) -> tuple[int, int]:
        with _mapped(name):
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                os.close(descriptor)
                raise PermissionError(errno.EACCES, "not a regular file", self._path(name))
            if version and _version(found) != version:
                os.close(descriptor)
                raise ChangedError(errno.EEXIST, "changed meanwhile", name)
            return descriptor, found.st_size

    def put(self, name: str, data: bytes) -> None:
        """Write beside, flush to disk, rename."""
        with _mapped(name), self._partial(name, [data]) as written:
            os.replace(written, self._path(name))

    def put_file(self, name: str, path: str) -> None:
        """Copy beside, then rename over."""
        with _mapped(name), open(path, "rb") as file:
            chunks = iter(partial(file.read, COPIED_BYTES), b"")
            with self._partial(name, chunks) as written:
                os.replace(written, self._path(name))

    def put_once(self, name: str, data: bytes) -> None:
        """Write beside, then link under the name, which fails when it is taken."""
        with _mapped(name), self._partial(name, [data]) as written:
            os.link(written, self._path(name))

    @contextlib.contextmanager
    def _partial(self, name: str, chunks: Iterable[bytes]) -> Iterator[str]:
        folder = os.path.dirname(self._path(name))
        try:
            os.makedirs(folder, exist_ok=True)
        except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
            # Not what a verb means by a name that is taken, or one that is not there.
            raise StorageError(
                f"{name}: no folder can be made at {quote(folder)}: {error.strerror}", NO_FOLDER
            ) from error
        written = os.path.join(folder, PARTIAL + uuid.uuid4().hex)
        try:
            with open(written, "xb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            yield written
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(written)

    def replace(self, name: str, data: bytes, version: str) -> str:
        """Write beside, compare and rename while the file that is replaced is locked.

        Who waits for the lock finds another file under the name when it has it. Locks of this kind
        (flock) hold between processes of one machine, and over NFS.
        """
        path = self._path(name)
        with _mapped(name), open(path, "r+b") as former:
            fcntl.flock(former, fcntl.LOCK_EX)
            here, locked = os.stat(path), os.fstat(former.fileno())
            if here.st_ino != locked.st_ino or _version(here) != version:
                raise ChangedError(errno.EEXIST, "changed meanwhile", name)
            with self._partial(name, [data]) as written:
                _advance(written, here)
                os.replace(written, path)
                return _version(os.stat(path))

    def delete(self, name: str) -> None:
        """Delete a file."""
        with _mapped(name), contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(name))

    def former(self, prefix: str = "") -> Iterator[Former]:
        """Yield the files that writers who were killed left half written."""
        for folder, _, files in os.walk(self._path(prefix)):
            for name in files:
                if name.startswith(PARTIAL):
                    yield Former(os.path.relpath(os.path.join(folder, name), self.folder), "")

    def recall(self, former: Former) -> bytes:
        """Return what such a file holds."""
        return self.get(former.name)

    def erase(self, former: Iterable[Former]) -> None:
        """Delete such files."""
        for gone in former:
            self.delete(gone.name)

    def address(self, name: str) -> str:
        """Return `file://` and the absolute path; readable; see `quote`."""
        return f"{self.root}/{quote(name)}"

    def link(self, name: str, seconds: int) -> str | None:  # noqa: ARG002 - a file has no such end
        """Return the file's URL, as browsers take it."""
        return "file://" + percent(os.fsencode(self._path(name)))

    def delta_location(self, name: str) -> tuple[str, dict[str, str]]:
        """Return the path of a table's folder."""
        return self._path(name), {}


def _read_at(descriptor: int, start: int, length: int) -> bytes:
    data = os.pread(descriptor, max(length, 0), start)
    if len(data) < length:  # cut short meanwhile, or more than one call gives
        while more := os.pread(descriptor, length - len(data), start + len(data)):
            data += more
    return data


def _entry(name: str, item: os.DirEntry[str] | Path, *, missing_ok: bool = True) -> Entry:
    try:
        found = item.stat()
    except OSError:
        # A link to nothing or to itself, a file that went away meanwhile: fetching will say so.
        if not missing_ok:
            raise
        return Entry(name, 0, "missing")
    return Entry(name, found.st_size, _version(found))


def _version(found: os.stat_result) -> str:
    return f"{found.st_size}-{found.st_mtime_ns}"


def _advance(partial: str, former: os.stat_result) -> None:
    """Make a file newer than its former one, also where both were written in one clock tick."""
    for step in MTIME_STEPS:
        if os.stat(partial).st_mtime_ns > former.st_mtime_ns:
            return
        newer = former.st_mtime_ns + step
        os.utime(partial, ns=(newer, newer))


@contextlib.contextmanager
def _allowed() -> Iterator[None]:
    """Say what this user may not do as every store says it."""
    try:
        yield
    except DeniedError:
        raise
    except PermissionError as error:
        place = str(error.filename or "")
        if os.path.basename(place).startswith(PARTIAL):
            place = os.path.dirname(place)  # whoever reads this knows of no such file
        raise DeniedError(f"{quote(place)}: {error.strerror}", DENIED) from error


@contextlib.contextmanager
def _mapped(name: str) -> Iterator[None]:
    try:
        with _allowed():
            yield
    except (FileNotFoundError, FileExistsError, PermissionError):
        raise
    except OSError as error:
        remedy = "Free space on the disk, then run again." if error.errno == errno.ENOSPC else None
        raise StorageError(f"{name}: {error}", remedy) from error
