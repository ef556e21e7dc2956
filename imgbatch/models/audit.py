"""The cache of this machine enters; what each file in it is worth leaves."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imgbatch.models import cache
from imgbatch.models.pack import is_unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kept:
    """A file or an unpacked pack in the cache.

    Attributes:
        state: whole; damaged: it is not what it should be, and is never used; unfinished: a
            download that a later one goes on with.
    """

    path: Path
    size: int
    state: Literal["whole", "damaged", "unfinished"]


def audit() -> Iterator[Kept]:
    """Yield all that is in the cache, each file read anew; nothing is changed."""
    folder = cache.folder()
    for place in _folders(folder):
        for path in sorted(place.iterdir()):
            if path.is_dir():
                yield from _packs(path, place)
            elif path.name != cache.LOCK:
                yield _file(path, place.name)
    for kind in _folders(folder.parent):
        for place in _folders(kind) if kind != folder else ():
            yield from _made(place)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _file(path: Path, sha256: str) -> Kept:
    size = path.stat().st_size
    if path.name.endswith(cache.PARTIAL):
        return Kept(path, size, "unfinished")
    whole = cache.digest(path).startswith(sha256)
    return Kept(path, size, "whole" if whole else "damaged")


def _made(place: Path) -> Iterator[Kept]:
    """Yield what was made of weights here, each file with its digest beside it."""
    for beside in sorted(place.glob(f"*{cache.SEAL}")):
        path = beside.with_suffix("")
        if path.is_file():
            said = cache.seal_of(path)
            whole = said is not None and cache.digest(path) == said
            yield Kept(path, path.stat().st_size, "whole" if whole else "damaged")


def _packs(folder: Path, place: Path) -> Iterator[Kept]:
    for pack in sorted(path for path in folder.iterdir() if path.is_dir()):
        size = sum(path.stat().st_size for path in pack.rglob("*") if path.is_file())
        archive = place / f"{pack.name}.zip"
        if pack.name.endswith(cache.PARTIAL):
            yield Kept(pack, size, "unfinished")
        elif archive.is_file():
            yield Kept(pack, size, "whole" if _matches(archive, pack) else "damaged")


def _matches(archive: Path, pack: Path) -> bool:
    try:
        with zipfile.ZipFile(archive) as opened:
            return is_unpacked(opened, pack)
    except zipfile.BadZipFile:
        return False
