"""The sources of all shards enter, one after another; what is off with all of them leaves.

No source lies in two shards. A report that shows sources which left since is older than the
dataset, and no damage: what is forgotten leaves it at once.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from imgbatch.dataset import Dataset

REPORT = "report/index.html"
SHOWN = re.compile(rb'data-source="([0-9a-f]{32})"')


class Seen:
    """What is remembered of every source: eight bytes of its id, whatever the manifest's size."""

    def __init__(self, shown: set[str]) -> None:
        self._shown = shown
        self._living: set[str] = set()
        self._ids: list[NDArray[np.uint64]] = []

    def add(self, ids: pa.ChunkedArray) -> None:
        """Take the source ids of a shard."""
        texts = ids.to_pylist()
        self._living |= self._shown.intersection(texts)
        self._ids.append(np.frombuffer(bytes.fromhex("".join(texts)), np.uint64)[::2])

    def problems(self) -> list[str]:
        """Return what is off with all of them together."""
        problems = []
        ids = np.concatenate([*self._ids, np.zeros(0, np.uint64)])
        self._ids = [ids]
        # In place: a hundred million are 800 MB.
        ids.sort()
        if twice := np.unique(ids[1:][ids[1:] == ids[:-1]]).tolist():
            named = ", ".join(value.to_bytes(8, sys.byteorder).hex() + "..." for value in twice[:5])
            problems.append(f"{len(twice)} sources lie in more than one shard: {named}")
        return problems

    def notes(self) -> list[str]:
        """Return what is old."""
        dead = self._shown - self._living
        told = f"{REPORT} shows {len(dead)} sources that are no longer in the dataset"
        return [f"{told}: run `imgbatch report` again"] if dead else []


def shown(dataset: Dataset) -> set[str]:
    """Return the ids of the sources that the report shows."""
    try:
        page = dataset.store.get(REPORT)
    except FileNotFoundError:
        return set()
    return {found.decode() for found in SHOWN.findall(page)}
