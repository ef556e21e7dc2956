"""Nights on rented machines: a run from its order to the last line of its ledger.

The cloud is FakeCloud, which machines there are is the Scaler's choice; what happens in between is
drawn here, from distributions that lie here and nowhere else. Nothing below `imgbatch/` reads this
file (`test_plan_against_ledger` looks): a planner that knew these numbers would prove nothing.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, field

from imgbatch.cloud.control import Order, State
from imgbatch.cloud.ledger import Line, spent
from imgbatch.cloud.scaling import Scaler
from imgbatch.cloud.work import Work
from tests.cloud.fake import NOON, FakeCloud, deployment

TICK = 10.0
HEAD = "imgbatch-lab-head"


@dataclass(frozen=True)
class Hidden:
    """What one night is drawn from.

    Attributes:
        boot, boot_sigma: seconds of a worker, and how far one is from another.
        head_boot: seconds of the head.
        preemptions: per machine and hour.
        seconds: of a whole machine per source, by type.
        own: how far one machine of a type is from another, as a standard deviation of logarithms.
        scatter: the same between sources.
        listing: seconds per source until the head knows its shards.
        closing: seconds from the last shard until the run has ended.
    """

    boot: float
    boot_sigma: float
    head_boot: float
    preemptions: float
    seconds: dict[str, float]
    own: float
    scatter: float
    listing: float
    closing: float


def usual(draw: random.Random) -> Hidden:
    """A night as most are."""
    slow = draw.lognormvariate(0, 0.5)
    return Hidden(
        boot=draw.uniform(140, 290),
        boot_sigma=draw.uniform(0.1, 0.35),
        head_boot=draw.uniform(75, 170),
        preemptions=draw.choice([0.0, 0.05, 0.1, 0.3, 0.8]),
        seconds={"g.small": 0.02 * slow, "g.large": 0.012 * slow, "c.small": 0.05 * slow},
        own=draw.uniform(0.02, 0.12),
        scatter=draw.uniform(0.4, 1.2),
        listing=draw.uniform(0.0001, 0.0006),
        closing=draw.uniform(10, 60),
    )


def calm(seconds: float) -> Hidden:
    """A night on which all machines are alike, nothing happens, and a source takes so long."""
    kinds = dict.fromkeys(("g.small", "g.large", "c.small"), seconds)
    return Hidden(
        boot=180,
        boot_sigma=0.0,
        head_boot=100,
        preemptions=0.0,
        seconds=kinds,
        own=0.0,
        scatter=0.3,
        listing=0.0002,
        closing=20,
    )


@dataclass(frozen=True)
class Corpus:
    """What there is to do, and on what."""

    sources: int
    per_shard: int
    pool: str
    most: int

    @property
    def shards(self) -> int:
        return math.ceil(self.sources / self.per_shard)


def any_corpus(draw: random.Random) -> Corpus:
    per_shard = draw.choice([500, 1000, 1000])
    sources = int(math.exp(draw.uniform(math.log(30_000), math.log(1_500_000))))
    return Corpus(
        sources, per_shard, draw.choice(["gpu", "gpu", "cpu"]), draw.choice([2, 4, 8, 16])
    )


@dataclass
class Slot:
    """A worker process on a machine, at one shard."""

    machine: str
    shard: float | None = None
    left: float = 0.0


@dataclass
class Night:
    """One run, from its order to the end of its last machine."""

    corpus: Corpus
    hidden: Hidden
    seed: int
    slots: dict[str, int]
    state: State | None = None
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw, hidden = random.Random(self.seed), self.hidden
        self.draw = draw
        self.here = deployment(most=20)
        self.cloud = FakeCloud(
            self.here,
            seed=self.seed,
            boot=lambda own: hidden.boot * own.lognormvariate(0, hidden.boot_sigma),
            preemptions=hidden.preemptions,
        )
        self.started = self.cloud.now
        sigma = math.sqrt(math.log(1 + hidden.scatter**2))
        self.source = lambda: draw.lognormvariate(-(sigma**2) / 2, sigma)
        self.factors: dict[str, float] = {}

    def factor(self, machine: str) -> float:
        """By how much a machine is slower than its type."""
        own = self.hidden.own
        return self.factors.setdefault(machine, self.draw.lognormvariate(0, own))

    def sample(self, type_: str, sources: int = 64) -> list[float]:
        """What somebody measures beforehand: seconds of some sources on one machine of a type."""
        slow = self.draw.lognormvariate(0, self.hidden.own)
        return [self.hidden.seconds[type_] * slow * self.source() for _ in range(sources)]

    def run(self) -> None:
        hidden, corpus, cloud = self.hidden, self.corpus, self.cloud
        order = self.order = Order(
            run=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOON)) + "-night",
            input="s3://in",
            dataset="s3://out",
            recipe="",
            pool=corpus.pool,
            most=corpus.most,
            budget=1e6,
            deadline=NOON + 1e7,
        )
        cloud.groups.want(HEAD, 1)
        cloud.advance(hidden.head_boot)
        scaler = Scaler(order, self.here, cloud, now=cloud.now)
        scaler.took("taken", cloud.now)
        known = cloud.now + 10 + hidden.listing * corpus.sources
        # The mean of a shard's sources: nearly normal, whatever one source is.
        scatter = hidden.scatter / math.sqrt(corpus.per_shard)
        queue = [
            corpus.per_shard * max(0.2, self.draw.gauss(1, scatter)) for _ in range(corpus.shards)
        ]
        left, slots = len(queue), list[Slot]()
        ended: float | None = None
        while True:
            joined = cloud.joined(f"imgbatch-lab-{corpus.pool}")
            if cloud.now >= known:
                left -= self._work(slots, queue, joined)
            if not left and ended is None:
                ended = cloud.now + hidden.closing
            over = ended is not None and cloud.now >= ended
            done = corpus.shards - left
            self.state = scaler.step(
                cloud.now,
                Work(
                    shards=corpus.shards if cloud.now >= known else 0,
                    shards_done=done,
                    sources=corpus.sources,
                    sources_done=done * corpus.per_shard,
                    joined=joined,
                    busy=frozenset(slot.machine for slot in slots if slot.shard is not None),
                    ended=0 if over else None,
                ),
            )
            if self.state.over:
                break
            cloud.advance(TICK)
        scaler.book.close(cloud.now)
        self.lines = scaler.ledger

    def _work(self, slots: list[Slot], queue: list[float], joined: frozenset[str]) -> int:
        """Let a tick of work be done; return how many shards were finished."""
        for slot in [slot for slot in slots if slot.machine not in joined]:
            slots.remove(slot)
            if slot.shard is not None:
                queue.append(slot.shard)  # lost with its machine: from its beginning again
        here = {slot.machine for slot in slots}
        types = {r.machine: r.type for r in self.cloud.rented}
        for machine in sorted(joined - here):
            slots += [Slot(machine) for _ in range(self.slots[types[machine]])]
        finished = 0
        for slot in slots:
            rate = self.hidden.seconds[types[slot.machine]] * self.factor(slot.machine)
            rate *= self.slots[types[slot.machine]]
            room = TICK
            while room > 0:
                if slot.shard is None:
                    if not queue:
                        break
                    slot.shard = queue.pop()
                    slot.left = slot.shard * rate
                took = min(room, slot.left)
                slot.left -= took
                room -= took
                if slot.left <= 0:
                    slot.shard = None
                    finished += 1
        return finished

    @property
    def seconds(self) -> float:
        return self.cloud.now - self.started

    @property
    def dollars(self) -> float:
        return spent(self.lines, self.cloud.now)
