"""What a driver and its workers say to each other: frozen, small and picklable, without secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from imgbatch.storage.access import UNTOLD, Access

if TYPE_CHECKING:
    from imgbatch.dataset import Part
    from imgbatch.dataset.counts import Counts
    from imgbatch.dataset.plan import Work
    from imgbatch.records import Shard
    from imgbatch.settings import Limits, Recipe
    from imgbatch.watch import Reason

Stage = Literal["decode", "analyze"]


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker of a run is told.

    Attributes:
        access: how the buckets are reached.
    """

    run: str
    dataset: str
    recipe: Recipe
    limits: Limits
    access: Access = UNTOLD


@dataclass(frozen=True, slots=True)
class Poison:
    """A source that ends whichever process works on it.

    Attributes:
        shard: name of its shard.
        place: its place in the shard.
        stage: what ended it: decoding, or an analyzer afterwards.
    """

    shard: str
    place: int
    reason: Reason
    stage: Stage


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker does in one go: a shard, or all undone shards of one compressed tar.

    Attributes:
        works: what is to do for each shard.
        poisons: sources that are not to be touched again; their outcomes say why.
        only: a probe: of the sources only those at these places are read, and nothing is written.
    """

    works: tuple[Work, ...]
    poisons: tuple[Poison, ...] = ()
    only: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Progress since the worker's last tick.

    Attributes:
        outcomes: how many sources came to `ok`, or to which error class.
        bytes: that were read for them.
        stages: seconds by stage, summed over threads; what a shard took to write comes in a
            tick behind it.
        threads: seconds that the worker's decoding threads had, busy or not.
        gpu: those of `stages` that belong to analyzers that compute on a GPU.
    """

    outcomes: dict[str, int]
    pictures: int
    bytes: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    threads: float = 0.0
    gpu: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crewed:
    """How many workers are up now, and how many were lost so far."""

    alive: int
    lost: int


@dataclass(frozen=True, slots=True)
class Finished:
    """One shard's parts, written and ready to be committed.

    Attributes:
        outcomes: how many of the sources that were read came to `ok`, or to which error class.
        failed: how many sources of the whole shard failed; None where outcomes were not to do.
        stages: seconds by stage, summed over threads.
        counts: how many rows of its part of `sources` have which status and error class.
    """

    shard: Shard
    parts: tuple[Part, ...]
    outcomes: dict[str, int]
    pictures: int
    bytes: int
    seconds: float
    stages: dict[str, float]
    failed: int | None = None
    counts: Counts = ()
