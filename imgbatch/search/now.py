"""A source of a dataset, and the version of it that a run saw, enter; what it is now leaves.

One request, as a run's listing makes it, tells versions apart. Only where they differ are bytes
had: a file that was copied or touched has another version and the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.dataset.shards import find
from imgbatch.errors import RunError, SourceError
from imgbatch.records import Source, source_id_of
from imgbatch.sources import fetch
from imgbatch.storage import locate

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.media import Blob
    from imgbatch.settings import Limits
    from imgbatch.storage import Entry


@dataclass(frozen=True, slots=True)
class Now:
    """What a source is now.

    Attributes:
        source: it, to be fetched; None where it is what the run saw, or cannot be looked at.
        blob: its bytes, where they were had.
        why: it cannot be looked at; "" where it could.
    """

    source: Source | None = None
    blob: Blob | None = None
    why: str = ""


def look(dataset: Dataset, source: Source, version: str, limits: Limits) -> Now:
    """Look at a source of the dataset again.

    A member of an archive is taken for changed where its archive is: it is not looked for in there.

    Args:
        dataset: it is in.
        source: as the manifest has it.
        version: of it that is asked about; the manifest may know a later one.
        limits: of fetching.
    """
    place = source.container or source.address
    try:
        entry = _head(place)
    except FileNotFoundError:
        return Now(why="is not there any more")
    except (RunError, OSError) as error:
        return Now(why=f"cannot be looked at ({error})")
    if source.container is not None:
        same = source.version == version and entry.version == _version(dataset, place)
        return Now() if same else Now(why="lies in an archive that has changed since")
    if entry.version == version:
        return Now()
    return _read(
        dataset, source, version, Source(source.address, entry.version, entry.size), limits
    )


def _read(dataset: Dataset, source: Source, version: str, now: Source, limits: Limits) -> Now:
    """Tell a source that was only written again from one that has changed."""
    # A larger one is not read for that alone: what it is now gives the right answer too.
    if now.size == source.size and now.size <= limits.fetched_bytes:
        try:
            blob = fetch(now, limits=limits)
        except SourceError:
            return Now(now)  # whoever fetches it says so
        same = blob.sha256() == _sha256(dataset, source, version)
        return Now() if same else Now(now, blob)
    return Now(now)


def _head(address: str) -> Entry:
    store, name = locate(address)
    return store.head(name)


def _version(dataset: Dataset, address: str) -> str | None:
    """Return the version of an archive that the manifest has."""
    found = find(dataset, [source_id_of(address)])
    return found[0].version if found else None


def _sha256(dataset: Dataset, source: Source, version: str) -> str | None:
    """Return the digest of what a run read of a source in a version."""
    where = (pc.field("source_id") == source.source_id) & (pc.field("version") == version)
    for batch in dataset.batches(SOURCES, columns=["sha256"], where=where):
        for row in batch.to_pylist():
            return str(row["sha256"])
    return None
