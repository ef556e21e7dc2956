"""What a run has left, and what its budget pays, enter; how many machines it should have leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgbatch.cloud import ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

# A machine's boot is worth two shards or more; the last shards are left to machines that are up.
SHARDS_PER_WORKER = 2
# Of the budget, beyond which nothing is added.
ADDING = 0.9
# A machine is added where the budget pays all that there are for so long, and the deadline lets
# it live so long: less than that is its boot and nothing else.
WORTH_SECONDS, LAST_SECONDS = 600.0, 300.0
# More machines than any group has.
ANY = 10**6


@dataclass(frozen=True, slots=True)
class Work:
    """What the run on the head says of itself, and Ray of its machines.

    Attributes:
        shards: to be done, of this run; 0 until it knows.
        shards_done, sources, sources_done: of these.
        begun: whether a worker has begun a shard.
        joined: machines of the pool that have a node in Ray.
        busy: those of them that have a worker with something to do.
        ended: exit code of the run; None while it goes on.
        failed_boots: machines that did not come up, and why.
        stop: who asked for the end, as in "by ada@desk"; "" nobody.
        eta: seconds until the end as it goes; None where nothing tells yet.
        bytes_read, bytes_written: of INPUT, and of the parts of finished shards.
    """

    shards: int = 0
    shards_done: int = 0
    sources: int = 0
    sources_done: int = 0
    begun: bool = False
    joined: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    ended: int | None = None
    failed_boots: Mapping[str, str] = field(default_factory=dict)
    stop: str = ""
    eta: float | None = None
    bytes_read: int = 0
    bytes_written: int = 0

    @property
    def left(self) -> int:
        """Shards that are not done."""
        return max(0, self.shards - self.shards_done)


def wanted(work: Work, *, most: int, affordable: int) -> int:
    """Return how many machines a run should have, as its work and its money go.

    Args:
        work: how far it is; before it knows its shards, no machine waits for them.
        most: machines at once.
        affordable: machines that the budget pays for a while.
    """
    return max(0, min(most, math.ceil(work.left / SHARDS_PER_WORKER), affordable))


def affordable(*, budget: float, spent: float, head: float, worker: float) -> int:
    """Return how many workers 90% of a budget pay for as long as it takes to be of use.

    Args:
        budget: dollars in all.
        spent: of these.
        head: dollars an hour of the head.
        worker: dollars an hour of one worker, with the traffic that it causes.
    """
    per_hour = (ADDING * budget - spent) / (WORTH_SECONDS / ledger.HOUR) - head
    return (
        max(0, math.floor(min(per_hour / worker, ANY))) if worker > 0 else int(per_hour > 0) * ANY
    )
