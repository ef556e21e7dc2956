"""The files of this machine: where weights lie, whether they are whole, who may write them now.

A file lies at `CACHE/weights/<digest>/<name>`, in a mirror at `<digest>/<name>`; the digest is as
it was published, so eight digits or all. It gets that name only once it is whole: before, it is
`<name>.partial`, which a later download goes on with. What is made of weights here lies beside the
folder of weights, in `CACHE/<kind>/<key>/`, with its digest beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch import settings
from imgbatch.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.settings import Limits

PARTIAL = ".partial"
LOCK = ".lock"
SEAL = ".sha256"
# Of a whole digest in hex. Less of one, as a full disk leaves it, would fit to other files.
DIGITS = 64


@dataclass(frozen=True, slots=True)
class File:
    """A file of weights, wherever it lies.

    Attributes:
        name: of the file; its ending says how it is loaded.
        sha256: its digest, in full or its first digits.
    """

    name: str
    sha256: str

    @property
    def key(self) -> str:
        """Its name in a mirror, and below the cache's folder."""
        return f"{self.sha256}/{self.name}"


class _Known:
    """What this process was told, and what it has verified; guarded, since threads load models."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.limits: Limits | None = None
        self.whole: dict[tuple[str, str], tuple[int, int, int]] = {}


_known = _Known()


def adopt(limits: Limits) -> None:
    """Take cache and mirror from a run's limits, as its driver was told; for this process."""
    with _known.lock:
        _known.limits = limits


def told() -> Limits:
    """Return the limits that hold here: as the driver said, else as the environment says."""
    return _known.limits or settings.read_limits()


def folder() -> Path:
    """Return the folder of all weights of this machine."""
    return Path(told().model_cache).expanduser().absolute() / "weights"


def path_of(file: File) -> Path:
    """Return where a file lies, or would."""
    return folder() / file.sha256 / file.name


def is_whole(path: Path, sha256: str) -> bool:
    """Return whether a file has a digest; it is read but once while it stays the same file."""
    found = path.stat()
    mark, key = (found.st_size, found.st_mtime_ns, found.st_ino), (str(path), sha256)
    if _known.whole.get(key) == mark:
        return True
    if not digest(path).startswith(sha256):
        return False
    with _known.lock:
        _known.whole[key] = mark
    return True


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex digits."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield the partial file of a path, for one process of this machine at a time.

    Raises:
        WeightsError: the cache cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield path.with_name(path.name + PARTIAL)
    except OSError as error:
        raise WeightsError(
            f"{path.name} cannot be written to {path.parent}: {error.strerror or error}",
            "Free space there, or set IMGBATCH_MODEL_CACHE to a folder that you may write.",
        ) from error


def finish(partial: Path, path: Path) -> None:
    """Give a partial file that is whole its name; it is on the disk before."""
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.replace(path)


def seal(partial: Path, path: Path) -> None:
    """Give a partial file that was made here its name, with its digest beside it.

    Nobody publishes the digest of what a machine makes of weights, such as a network in another
    format; this one at least tells whether it is still what was made.
    """
    beside = path.with_name(path.name + SEAL)
    begun = beside.with_name(beside.name + PARTIAL)
    begun.write_text(digest(partial), "ascii")
    finish(begun, beside)
    finish(partial, path)


def is_sealed(path: Path) -> bool:
    """Return whether a file is here and is still what was made."""
    said = seal_of(path)
    return said is not None and path.is_file() and is_whole(path, said)


def seal_of(path: Path) -> str | None:
    """Return the digest beside a file that was made here; None where there is no whole one."""
    beside = path.with_name(path.name + SEAL)
    said = beside.read_text("ascii") if beside.is_file() else ""
    return said if len(said) == DIGITS else None
