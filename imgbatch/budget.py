"""How many sources may fail: outcomes enter; nothing leaves, or the error that ends the run.

A budget of the whole run (`--max-failed`) is the user's. A shard's own says when it is not the
sources that fail but the store: credentials that ran out, a bucket or network that is gone. Such a
shard is not committed as a thousand failures; the run ends and goes on from there another time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, SOURCES, Dataset
from imgbatch.dataset.parts import read_part
from imgbatch.errors import StorageError, TooManyFailedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import pyarrow as pa

    from imgbatch.dataset import Part
    from imgbatch.records import Outcome, Shard

OUTCOMES = f"tables/{SOURCES}"
# What a store that is out says of each source. `fetch.missing` and `fetch.changed` are of sources.
OUT = ("fetch.denied", "fetch.failed", "fetch.timeout")


class Budget:
    """Counts the failed sources of a dataset while its shards are finished.

    Args:
        dataset: its committed failures count from the start.
        max_failed: how many may fail; below 1 it is a share of the manifest's sources; None: all.
        redone: names of the shards whose outcomes are written anew.
    """

    def __init__(self, dataset: Dataset, max_failed: float | None, redone: Collection[str]) -> None:
        self._dataset = dataset
        self._allowed = math.inf
        self._failed = 0
        if max_failed is None:
            return
        self._sources = sum(part.rows for part in dataset.table(MANIFEST).parts().values())
        self._allowed = max_failed * self._sources if max_failed < 1 else max_failed
        parts = dataset.table(OUTCOMES).parts().values()
        self._failed = self._count(part for part in parts if part.shard not in redone)

    def _count(self, parts: Iterable[Part]) -> int:
        return sum(failed_in(read_part(self._dataset.store, part)[0]) for part in parts)

    def take(self, parts: Iterable[Part]) -> None:
        """Count the failed sources of parts that are committed as they lay written.

        Raises:
            TooManyFailedError: as for `add`.
        """
        if self._allowed < math.inf:
            self.add(self._count(part for part in parts if part.table == OUTCOMES))

    def add(self, failed: int) -> None:
        """Count the failed sources of a finished shard, those that were carried over too.

        Raises:
            TooManyFailedError: whatever comes now, more fail than allowed.
        """
        self._failed += failed
        self.check()

    def check(self) -> None:
        """Compare what failed so far with what is allowed.

        Raises:
            TooManyFailedError: it is more.
        """
        if self._failed > self._allowed:
            raise TooManyFailedError(
                f"{self._failed} of {self._sources} sources failed; "
                f"--max-failed allows {self._allowed:g}"
            )


def failed_in(outcomes: pa.Table) -> int:
    """Return how many rows of the table `sources` are of failed sources."""
    return int(pc.sum(pc.equal(outcomes["status"], "failed")).as_py() or 0)


def check_outage(shard: Shard, outcomes: Sequence[Outcome], *, at_least: int) -> None:
    """Refuse a shard of which nothing could be fetched.

    Args:
        shard: its name is told.
        outcomes: of its sources that were read.
        at_least: fewer are no sign of anything; 0: nothing is refused.

    Raises:
        StorageError: all of them are fetch.denied, fetch.failed or fetch.timeout.
    """
    fetched = [o for o in outcomes if o.stage == "fetch" or o.sha256 is not None]
    if not at_least or len(fetched) < at_least:
        return
    if all(o.error_class in OUT for o in fetched):
        first = fetched[0]
        raise StorageError(
            f"none of {len(fetched)} sources of shard {shard.label} could be fetched; the first: "
            f"{first.error_class}: {first.message}",
            "Check credentials and network, then run again: finished shards stay. Where these "
            "sources are lost indeed, set IMGBATCH_OUTAGE_SOURCES=0 to have them as failures.",
        )
