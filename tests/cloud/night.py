"""A night in a cloud in memory: real heads (`jobs.lead`) over a simulated run, minute by minute.

night = Night(tmp_path, preemptions=2.0)
night.order(budget=5, hours=6)       # what `cloud run` does; then the laptop is switched off
night.until_quiet()                  # heads come and go, take the order, scale, end
night.check()                        # what must hold after any night
"""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import deployment as told
from imgbatch.cloud import schedules
from imgbatch.cloud.control import Control, Order, State
from imgbatch.cloud.costs import costs
from imgbatch.cloud.former import ordered_at
from imgbatch.cloud.ledger import read, read_traffic, spent
from imgbatch.cloud.work import Work
from jobs.lead import Head
from tests.cloud.fake import STEP_SECONDS, FakeCloud, Rented, deployment

if TYPE_CHECKING:
    from pathlib import Path

SPEED = {"g.small": 1.0, "g.large": 1.8, "c.small": 0.3}
HOUR = 3600.0
WEEK = 7 * 24 * HOUR
RAY_SECONDS, LIST_SECONDS, END_SECONDS = 8.0, 20.0, 8.0


@dataclass
class FakeDataset:
    """Shards, and which of them are committed.

    Attributes:
        size: bytes of each shard.
        drivers: that are at work on it now.
        crowded: whether there ever were two.
    """

    shards: dict[int, float]
    done: set[int] = field(default_factory=set)
    size: int = 0
    drivers: int = 0
    crowded: bool = False

    @property
    def whole(self) -> bool:
        return len(self.done) == len(self.shards)


class FakeRun:
    """Ray and a driver that compute shards in simulated seconds; a `jobs.scale.Run`."""

    def __init__(self, cloud: FakeCloud, group: str, dataset: FakeDataset) -> None:
        self.address = ""
        self._cloud, self._group, self._dataset = cloud, group, dataset
        self._from = self._now = cloud.now
        self._of = len(dataset.shards) - len(dataset.done)
        self._before = len(dataset.done)
        self._left = deque(shard for shard in dataset.shards if shard not in dataset.done)
        self._hands: dict[str, tuple[int, float]] = {}
        self._cancelled: float | None = None
        self.ended: int | None = None
        dataset.drivers += 1
        dataset.crowded |= dataset.drivers > 1
        self._closed = False

    def advance(self) -> None:
        now, self._now = self._now, self._cloud.now
        if now - self._from >= RAY_SECONDS:
            self.address = "10.0.0.1:6379"
        if self.ended is not None or now - self._from < LIST_SECONDS:
            return
        self._compute(self._now - now)
        if self._dataset.whole:
            self.ended = 0
        elif self._cancelled is not None and now - self._cancelled >= END_SECONDS:
            self.ended = 20

    def _compute(self, seconds: float) -> None:
        up = self._cloud.joined(self._group)
        joined = {r.machine: r for r in self._cloud.alive(self._group) if r.machine in up}
        for machine in self._hands.keys() - joined.keys():
            self._left.appendleft(self._hands.pop(machine)[0])
        for machine, rented in sorted(joined.items()):
            left = seconds * SPEED[rented.type]
            while left > 0 and (hand := self._hands.get(machine) or self._take()):
                shard, needs = hand
                self._hands[machine] = shard, needs - left
                if needs > left:
                    break
                left -= needs
                del self._hands[machine]
                self._dataset.done.add(shard)

    def _take(self) -> tuple[int, float] | None:
        if not self._left:
            return None
        shard = self._left.popleft()
        return shard, self._dataset.shards[shard]

    def work(self, *, stop: str, failed_boots: dict[str, str]) -> Work:
        planned = self._cloud.now - self._from >= LIST_SECONDS
        done = len(self._dataset.done) - self._before
        joined = self._cloud.joined(self._group)
        return Work(
            shards=self._of if planned else 0,
            shards_done=done if planned else 0,
            joined=joined,
            begun=bool(self._hands),
            busy=frozenset(self._hands) & joined,
            ended=self.ended,
            failed_boots=failed_boots,
            stop=stop,
            bytes_read=done * self._dataset.size if planned else 0,
        )

    def cancel(self) -> None:
        self._cancelled = self._cancelled or self._cloud.now

    def kill(self) -> None:
        self.ended = 130 if self.ended is None else self.ended

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._dataset.drivers -= 1

    def log(self) -> bytes:
        return b""


class Manned:
    """A head machine with its process."""

    def __init__(self, night: Night, rented: Rented, skew: float) -> None:
        self.rented, self.skew = rented, skew
        self._night = night
        self.runs: list[FakeRun] = []
        self.head = Head(
            night.control,
            night.cloud,
            night.deployment,
            machine=rented.machine,
            host=self,
            clock=lambda: night.cloud.now + self.skew,
            count=lambda: night.cloud.now,
        )
        self.next: float | None = night.cloud.now

    def start(self, order: Order) -> FakeRun:
        group = self._night.deployment.pools[order.pool].group
        run = FakeRun(self._night.cloud, group, self._night.datasets[order.dataset])
        self.runs.append(run)
        return run

    def say(self, line: str) -> None:
        self._night.said.append((self._night.cloud.now, self.rented.machine, line))

    def turn(self, now: float) -> None:
        for run in self.runs:
            run.advance()
        if self.next is not None and now >= self.next:
            pause = self.head.turn(now + self.skew)
            self.next = None if pause is None else now + pause

    def lose(self) -> None:
        """What becomes of it when its machine is gone."""
        for run in self.runs:
            run.close()


class Night:
    """A cloud, its control objects, and all heads that ever were.

    Args:
        folder: of the test, for its name.
        shards: how many there are, of so many seconds each on the slowest GPU.
        heads: whether head machines run their process at all.
        head_skew: seconds that heads' clocks are ahead.
        knobs: of FakeCloud.
    """

    def __init__(
        self,
        folder: Path,
        *,
        shards: int = 200,
        seconds: float = 60.0,
        seed: int = 0,
        heads: bool = True,
        head_skew: float = 0.0,
        **knobs: Any,
    ) -> None:
        # In memory: a night writes some ten thousand objects.
        url = f"memory://{folder.parent.name}-{folder.name}/control"
        self.control, self.deployment = Control(url), deployment(control=url)
        self.cloud = FakeCloud(self.deployment, seed=seed, control=self.control, **knobs)
        draw = random.Random(seed)
        needs = {number: seconds * draw.uniform(0.5, 1.5) for number in range(shards)}
        self.datasets = {"data": FakeDataset(needs)}
        self.orders: list[Order] = []
        self.said: list[tuple[float, str, str]] = []
        self.heads: dict[str, Manned] = {}
        self.manned, self.head_skew = heads, head_skew
        self.most = 0.0
        self.wakes: list[float] = []
        self.kills: list[float] = []

    @property
    def head_group(self) -> str:
        return self.deployment.head.group

    def group(self, pool: str = "gpu") -> str:
        return self.deployment.pools[pool].group

    def order(self, *, budget: float = 50.0, hours: float = 6.0, **more: Any) -> Order:
        """Do what `cloud run` does: arm, put the order, want a head."""
        now = self.cloud.now
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        told = {"input": "in", "dataset": "data", "recipe": "", "pool": "gpu", "most": 8, **more}
        run = f"{stamp}-{len(self.orders):06x}"
        order = Order(run=run, budget=budget, deadline=now + hours * 3600, **told)
        self.orders.append(order)
        self.control.order(order)
        for group in (self.head_group, self.group(order.pool)):
            self.cloud.groups.arm(group, order.deadline)
        self.cloud.groups.want(self.head_group, 1)
        return order

    def schedule(self, tick: float, *, hours: int, weeks: int = 2, **more: Any) -> None:
        """Do what `cloud schedule add` does: the cloud wakes the head each week, and ends all.

        Args:
            tick: the first, a whole minute; seconds since 1970.
            hours: until the cloud ends what it began.
            weeks: of which the cloud is told here.
            more: of the order.
        """
        crons = [
            f"{at.tm_min} {at.tm_hour} * * {(at.tm_wday + 1) % 7}"
            for at in map(time.gmtime, (tick, tick + hours * HOUR))
        ]
        words = {"input": "in", "dataset": "data", "recipe": "", "pool": "gpu", "most": 8}
        order = Order.model_validate({"run": "", "budget": 50.0, "deadline": 0.0, **words, **more})
        since = {"since": self.cloud.now, "hours": hours, "timezone": "UTC"}
        kept = schedules.Schedule(name="weekly", cron=crons[0], order=order, **since)
        schedules.put(self.control, kept)
        self.deployment.schedules["weekly"] = told.Schedule(
            cron=crons[0], kill=crons[1], timezone="UTC", hours=hours
        )
        self.wakes = [tick + week * WEEK for week in range(weeks)]
        self.kills = [at + hours * HOUR for at in self.wakes]

    def kill(self) -> None:
        """Do what the cloud does at a schedule's end, or somebody in its console."""
        for name, group in self.cloud.state.items():
            group.wanted = 0
            for rented in self.cloud.alive(name):
                self.cloud._end(rented, "ended", "by a scheduled action")

    def stop(self, order: Order) -> None:
        """Do what `cloud stop` does."""
        self.control.put(order.run, "stop.json", b'{"by": "ada@desk", "at": 0}')

    def state(self, order: Order) -> State:
        found = self.control.state(order.run)
        assert found is not None
        return found

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.cloud.now + seconds
        while self.cloud.now < end:
            before = self.cloud.now
            self.cloud.advance(STEP_SECONDS)
            if any(before < at <= self.cloud.now for at in self.wakes):
                self.cloud.groups.want(self.head_group, 1)
            if any(before < at <= self.cloud.now for at in self.kills):
                self.kill()
            self._heads()

    def until_quiet(self, hours: float = 12.0) -> None:
        """Let time pass until no machine is left and none is wanted."""
        end = self.cloud.now + hours * 3600
        while self.cloud.now < end:
            self.run(60)
            if not self.cloud.alive() and not any(g.wanted for g in self.cloud.state.values()):
                return
        left = [rented.machine for rented in self.cloud.alive()]
        raise AssertionError(f"still there after {hours} hours: {left}")

    def _heads(self) -> None:
        now = self.cloud.now
        alive = {rented.machine: rented for rented in self.cloud.alive(self.head_group)}
        for machine in self.heads.keys() - alive.keys():
            self.heads.pop(machine).lose()
        for machine, rented in alive.items():
            if self.manned and machine not in self.heads and rented.up_at <= now:
                self.heads[machine] = Manned(self, rented, self.head_skew)
        for manned in list(self.heads.values()):
            manned.turn(now)

    def spent(self, order: Order) -> float:
        """Return what the ledger of a run says, machines and traffic."""
        raw = self.control.get(order.run, "ledger.jsonl")
        return spent(read(raw), self.cloud.now) + read_traffic(raw).dollars if raw else 0.0

    def lose_head(self) -> None:
        """The head machine dies; its group makes another."""
        (rented,) = self.cloud.alive(self.head_group)
        self.cloud.preempt(rented.machine)

    def check(self, grace: float = 60.0) -> None:
        """Assert what must hold after any night."""
        for rented in self.cloud.rented:
            orders = [o for o in self.orders if o.deadline - o.deadline % 1 > rented.since]
            own = [o.deadline for o in orders] + self._scheduled(rented.since)
            latest = max(own, default=0.0)
            assert rented.ended is not None, f"{rented.machine} is still there"
            assert rented.ended <= latest + grace, f"{rented.machine} outlived its deadline"
        for dataset in self.datasets.values():
            assert not dataset.crowded, "two drivers at once"
        self._check_costs()

    def _scheduled(self, at: float) -> list[float]:
        """Return the deadlines of scheduled runs whose tick had come by a moment."""
        runs = [run for run in self.control.runs() if self.kills and ordered_at(run) <= at]
        states = [self.control.state(run) for run in runs]
        return [state.deadline for state in states if state and state.deadline > at]

    def _check_costs(self) -> None:
        """Assert that no ledger grows: its lines are closed, or a head will come that does it."""
        now = self.cloud.now
        found, later = (
            costs(self.control, now=lambda at=at: at, unread=lambda _: None)
            for at in (now, now + WEEK)
        )
        for one in found:
            if any(line.end is None for line in one.lines):
                assert one.run in self.control.waiting(), f"nobody will close {one.run}"
                assert one.phase in ("waiting", "working", "draining", "lost")
        assert [one.dollars for one in later] == [one.dollars for one in found]
