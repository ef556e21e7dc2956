"""Enters: an opened dataset. Leaves: one without the files, log lines and versions of the past."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from imgbatch.dataset import MANIFEST, posts
from imgbatch.dataset.needles import NUMBER
from imgbatch.dataset.repair import ASIDE
from imgbatch.dataset.tombstones import names_below

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.needles import Needles
    from imgbatch.storage import Former, Store

REPORT = "report"
TEXTS = ("logs", "runs")
LABELS = "groups"
TABLES = (MANIFEST, "tables", LABELS, *posts.TABLES)
READERS = 4
DELTA_LOG = "_delta_log"
BLANK = "(forgotten)"


def all_tables(dataset: Dataset) -> list[str]:
    """Return the folders of all tables, of former recipes and groupers too; the manifest first."""
    folders = {
        name.partition(f"/{DELTA_LOG}/")[0]
        for root in TABLES
        for name in names_below(dataset.store, root)
        if f"/{DELTA_LOG}/" in name
    }
    return sorted(folders, key=lambda folder: (folder != MANIFEST, folder))


def strays(dataset: Dataset, kept: Collection[str] = ()) -> Iterator[str]:
    """Yield the names of files below the tables that no current snapshot holds.

    Args:
        dataset: which they lie in.
        kept: names of files beside labels that belong to it all the same: no snapshot names those.
    """
    held = {
        f"{folder}/{path}"
        for folder in all_tables(dataset)
        for path in dataset.table(folder).parts()
    }
    held.update(kept)
    for root in TABLES:
        for name in names_below(dataset.store, root):
            if name not in held and DELTA_LOG not in name.split("/"):
                yield name


def traced(dataset: Dataset, needles: Needles) -> bool:
    """Tell whether what a run leaves behind names a source or a post that the tables lack.

    Those are labels, logs, records of runs, what a repair put aside, and files that no snapshot
    holds: a source that left INPUT is there still.
    """
    left = {name for root in (*TEXTS, ASIDE, LABELS) for name in names_below(dataset.store, root)}
    left.update(strays(dataset))
    rows = [name for name in sorted(left) if DELTA_LOG not in name.split("/")]

    def look(name: str) -> bool:
        try:
            return _names(needles, name, dataset.store.get(name))
        except FileNotFoundError:
            return False  # it went meanwhile

    with ThreadPoolExecutor(READERS) as pool:
        return any(pool.map(look, rows))


def kept(store: Store, needles: Needles) -> bool:
    """Tell whether a replaced or deleted object that the store still keeps names one."""
    return any(
        _names(needles, former.name, store.recall(former))
        for former in _former(store)
        if not former.marker
    )


def vacuum(dataset: Dataset, kept: Collection[str] = ()) -> int:
    """Delete every file below the tables that `strays` yields; return how many.

    Not through Delta's own vacuum: it knows only files that some commit named, and what a worker
    who was killed has written was never named.
    """
    gone = list(strays(dataset, kept))
    for name in gone:
        dataset.store.delete(name)
    return len(gone)


def texts(store: Store, needles: Needles) -> int:
    """Write logs and run records again without what names a source or a post.

    Returns:
        how many log lines were taken out and values of records blanked.
    """
    count = 0
    for folder in TEXTS:
        for name in names_below(store, folder):
            data = store.get(name)
            if found := needles.in_object(name, data):
                whole = _log if name.endswith(".jsonl") else _record
                store.put(name, whole(data.decode("utf-8", "replace"), needles).encode())
                count += found
    return count


def aside(store: Store, needles: Needles) -> int:
    """Delete what a repair put aside and names a source or a post; return how many objects.

    What says that it is Parquet and cannot be read goes too: nobody knows what is in it.
    """
    gone = [name for name in names_below(store, ASIDE) if _names(needles, name, store.get(name))]
    for name in gone:
        store.delete(name)
    return len(gone)


def all_aside(store: Store) -> int:
    """Delete all that a repair put aside; return how many objects."""
    gone = names_below(store, ASIDE)
    for name in gone:
        store.delete(name)
    return len(gone)


def _names(needles: Needles, name: str, data: bytes) -> bool:
    try:
        return needles.in_object(name, data) > 0
    except (pa.ArrowException, OSError):
        return True


def _log(text: str, needles: Needles) -> str:
    return "\n".join(line for line in text.split("\n") if not needles.in_line(line))


def _record(text: str, needles: Needles) -> str:
    try:
        return json.dumps(_blanked(json.loads(text), needles), indent=1)
    except ValueError:
        return _log(text, needles)


def _blanked(value: Any, needles: Needles) -> Any:
    if isinstance(value, str):
        return BLANK if needles.in_text(value) else value
    if isinstance(value, int) and value >= NUMBER:
        return BLANK if needles.in_text(str(value)) else value
    if isinstance(value, list):
        return [_blanked(inner, needles) for inner in value]
    if isinstance(value, dict):
        return {_blanked(key, needles): _blanked(own, needles) for key, own in value.items()}
    return value


def pages(store: Store, needles: Needles) -> int:
    """Delete those objects of the report that name a source or a post; return how many."""
    gone = [one for one in names_below(store, REPORT) if _names(needles, one, store.get(one))]
    for name in gone:
        store.delete(name)
    if gone:
        store.erase(store.former(REPORT))
    return len(gone)


def report(store: Store) -> int:
    """Delete the report: its pages hold names and small copies of pictures.

    Returns:
        how many files.
    """
    gone = names_below(store, REPORT)
    for name in gone:
        store.delete(name)
    return len(gone)


def former_versions(store: Store) -> int:
    """Delete what the store keeps of a dataset's replaced and deleted objects; return how many.

    Raises:
        StorageError: it may not be listed or deleted.
    """
    former = list(_former(store))
    store.erase(former)
    return len(former)


def _former(store: Store) -> Iterator[Former]:
    for folder in (*TABLES, *TEXTS, REPORT, ASIDE):
        yield from store.former(folder)
