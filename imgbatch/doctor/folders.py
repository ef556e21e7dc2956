"""What only a folder has: a disk that fills up, and empty folders that stay behind."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch.doctor.tries import size
from imgbatch.storage.addresses import unquote
from imgbatch.storage.buckets import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.storage import Store

SCHEME = "file://"
LITTLE = 2 * 10**9
# Each part and each log is a file of its own.
FEW_FILES = 10_000


@contextlib.contextmanager
def restored(store: Store) -> Iterator[None]:
    """Take folders away again that were not there before."""
    if not store.root.startswith(SCHEME):
        yield
        return
    probes = _folder(store) / "doctor"
    new = [folder for folder in (probes, *probes.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in new:
            # Not there, not ours to delete, or somebody wrote something meanwhile: it stays.
            with contextlib.suppress(OSError):
                folder.rmdir()


def room(store: Store) -> Iterator[Finding]:
    """Yield how much more fits on the disk."""
    if not store.root.startswith(SCHEME):
        return
    folder = _folder(store)
    there = next(above for above in (folder, *folder.parents) if above.exists())
    free, files = shutil.disk_usage(there).free, os.statvfs(there)
    text = f"{size(free)} free"
    # Some file systems have no such number and say 0 of 0.
    few = files.f_files > 0 and files.f_favail < FEW_FILES
    text += f", and room for {files.f_favail:,} files" if few else ""
    if free < LITTLE or few:
        yield Finding("disk", "warning", text, "Free some, or put the dataset elsewhere.")
    else:
        yield Finding("disk", "ok", text)


def _folder(store: Store) -> Path:
    return Path(unquote(store.root.removeprefix(SCHEME)))
