"""What every worker's process is asked before it works: its versions, and the folders it sees.

A worker of another imgbatch would write other rows, and one that does not see the folder INPUT
would call every source missing: neither is let near the dataset.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch.dataset import MARKER
from imgbatch.errors import SettingsError, VersionError
from imgbatch.pipeline import Worker
from imgbatch.release import read, refuse_other, release
from imgbatch.storage import open_store
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from imgbatch.messages import Job

# What Ray and Python say of a machine that lacks our modules.
ABSENT = ("No module named 'imgbatch", "No module named 'jobs", "failed to import")


@dataclass(frozen=True, slots=True)
class Seen:
    """A file or folder as one machine sees it: the same path elsewhere may be another one.

    Attributes:
        inode, changed: the same on all machines that mount it.
    """

    path: str
    inode: int
    changed: int

    def same(self) -> bool:
        """Whether this machine sees it too. It may have been written to since; never before."""
        now = Seen.at(self.path)
        return now.inode == self.inode and now.changed >= self.changed

    @classmethod
    def at(cls, path: str) -> Seen:
        """Look at a path; one that is not there has inode 0."""
        try:
            told = Path(path).stat()
        except OSError:
            return cls(path, 0, 0)
        return cls(path, told.st_ino, told.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker's process must be like: as the driver's, which made this.

    Attributes:
        release: its versions, as `release.Release.record` says them.
    """

    release: dict[str, str]
    seen: tuple[Seen, ...]


def terms(input: str | None, dataset: str) -> Terms:  # noqa: A002 - the word that users see
    """Return the terms that this process sets as a driver."""
    return Terms(release().record(), seen(input, dataset))


def worker(terms: Terms, job: Job, name: str) -> Worker:
    """Return a worker, in the process that it is to work in.

    Raises:
        VersionError: another imgbatch, Ray or Python than the driver's, with both named.
        SettingsError: INPUT or DATASET is a folder that this machine does not see.
    """
    host = socket.gethostname()
    refuse_other(read(terms.release), release(), places=("the driver", f"the worker on {host}"))
    if unseen := [place.path for place in terms.seen if not place.same()]:
        folders = " and ".join(path.removesuffix(f"/{MARKER}") for path in unseen)
        raise SettingsError(
            f"{folders} is not the same folder on the worker's machine {host}",
            "On a cluster of several machines INPUT and DATASET are buckets, or folders that all "
            "of them mount at the same path.",
        )
    return Worker(job, name)


def seen(input: str | None, dataset: str) -> tuple[Seen, ...]:  # noqa: A002 - the word that users see
    """Return what of these is on the disk here. The dataset's own folder changes all the time."""
    paths = [_path(input)] if input is not None else []
    paths += [f"{folder}/{MARKER}" for folder in [_path(dataset)] if folder is not None]
    return tuple(Seen.at(path) for path in paths if path is not None)


def absent(said: str) -> VersionError | None:
    """Return the error for a machine without our modules, if that is what Ray says."""
    if not any(word in said for word in ABSENT):
        return None
    return VersionError(
        f"a machine of the cluster has no imgbatch, or another one; the driver has {release()}",
        "Use the same image on every machine, or `imgbatch submit --ship`.",
    )


def _path(url: str) -> str | None:
    root = open_store(url).root
    return unquote(root.removeprefix("file://")) if root.startswith("file://") else None
