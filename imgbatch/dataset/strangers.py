"""A dataset enters; what is in it that nothing of ours makes leaves: folders, and single files.

By what lies right in the dataset's root and in a few folders of it, which a store names in one
request each, however much lies below them: a dataset may be the root of a bucket that holds all of
a project. Drawback: a file deeper than that, as in `logs/RUN/`, is not named.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from imgbatch.dataset import MANIFEST, MARKER, counts, groups, lock, posts, tombstones
from imgbatch.storage.addresses import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from imgbatch.dataset import Dataset
    from imgbatch.storage import Store

TABLES = "tables"
OURS = {
    *(MANIFEST, TABLES, groups.FOLDER, *posts.TABLES, tombstones.FOLDER),
    *("logs", "runs", "report", "set-aside", "doctor"),
}
# Patterns of the files that may lie right in a folder; "" is the dataset's root.
FILES = {
    "": (MARKER, lock.NAME, counts.NAME),
    TABLES: (),
    groups.FOLDER: (),
    "logs": (),
    "runs": ("*.json",),
    "report": ("index.html", "codebook.csv", "codebook.md"),
}
SHOWN = 5


def strangers(dataset: Dataset, tables: Collection[str]) -> list[str]:
    """Return a note on folders and files that are not the dataset's; none where all are.

    Args:
        dataset: to look at.
        tables: names that are known as tables already.
    """
    folders = set(dataset.store.folders())
    found = [f"{name}/" for name in sorted(folders - OURS)]
    unknown = set(dataset.store.folders(TABLES)).difference(tables)
    if unknown:
        unknown -= set(dataset.tables())
    found += [f"{TABLES}/{name}/" for name in sorted(unknown)]
    for folder in sorted(folders.intersection(FILES) | {""}):
        found += _files(dataset.store, folder)
    return [f"no part of the dataset: {few(found)}"] if found else []


def few(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    shown = ", ".join(quote(name) for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN:,} more" if names[SHOWN:] else shown


def _files(store: Store, folder: str) -> Iterator[str]:
    for name in store.files(folder):
        if not any(fnmatchcase(name, ours) for ours in FILES[folder]):
            yield f"{folder}/{name}" if folder else name
