"""How many machines a run is to have, now: what there is and what is left enters, a state leaves.

    members, events, prices (cloud)  --+
    shards done, who works (Work)      +--> Scaler.step(now) --> Groups.want / remove, State, ledger
    order: budget, deadline, most    --+

One step is one look and at most a few calls; nothing waits here and no clock is read: `now` is
given. So the loop on the head and a simulation of a night run the same lines.

    want = min(most, ceil(shards left / SHARDS_PER_WORKER), what the budget allows)
    nothing is added when 90% of the budget are spent, or the deadline is near
    machines are removed by name: idle ones, and those that never came up
    all end at once: the run is over, budget, deadline, a stop, machines that do not come up

Decision, 2026-11: the budget counts as reached when what is spent, and what ending takes, are all
of it. So a run ends a minute's price below its budget and not above it. Drawback: of a budget of a
few cents that minute is a share that is seen.
"""

from __future__ import annotations

import calendar
import contextlib
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from imgbatch.cloud import ledger, trouble
from imgbatch.cloud.book import Book
from imgbatch.cloud.control import State
from imgbatch.errors import CancelledError, CloudError, QuotaError, SpentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imgbatch.cloud import Cloud, Event, Member
    from imgbatch.cloud.control import Order
    from imgbatch.cloud.deployment import Deployment

TICK_SECONDS = 10.0
# A machine's boot is worth two shards or more; the last shards are left to machines that are up.
SHARDS_PER_WORKER = 2
# Of the budget, beyond which nothing is added.
ADDING = 0.9
# A machine is added where the budget pays all that there are for so long, and the deadline lets
# it live so long: less than that is its boot and nothing else.
WORTH_SECONDS, LAST_SECONDS = 600.0, 300.0
# How long a run has to commit what is finished once its end was asked for.
ENDING_SECONDS = 60.0
# An idle machine ends after so long; one that idles while shards wait does not come up right.
IDLE_SECONDS, USELESS_SECONDS = 60.0, 300.0
# A machine that does not join Ray in that time is ended.
BOOT_SECONDS = 900.0
# So many that did not come up, and none that did: no use in trying on.
FAILED_BOOTS = 3

End = Literal["stopped", "budget", "deadline", "failed"]


@dataclass(frozen=True, slots=True)
class Work:
    """What the run on the head says of itself, and Ray of its machines.

    Attributes:
        shards: to be done, of this run; 0 until it knows.
        shards_done, sources, sources_done: of these.
        joined: machines of the pool that have a node in Ray.
        busy: those of them that have a worker with something to do.
        ended: exit code of the run; None while it goes on.
        failed_boots: machines that did not come up, and why.
        stop: who asked for the end, and when; "" nobody.
        eta: seconds until the end as it goes; None where nothing tells yet.
    """

    shards: int = 0
    shards_done: int = 0
    sources: int = 0
    sources_done: int = 0
    joined: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    ended: int | None = None
    failed_boots: Mapping[str, str] = field(default_factory=dict)
    stop: str = ""
    eta: float | None = None

    @property
    def left(self) -> int:
        """Shards that are not done."""
        return max(0, self.shards - self.shards_done)


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a run ends before its work is done."""

    phase: End
    code: int
    reason: str
    since: float


def wanted(work: Work, *, most: int, affordable: int) -> int:
    """Return how many machines a run should have, as its work and its money go.

    Args:
        work: how far it is; before it knows its shards, no machine waits for them.
        most: machines at once.
        affordable: machines that the budget pays for a while.
    """
    if work.ended is not None:
        return 0
    return max(0, min(most, math.ceil(work.left / SHARDS_PER_WORKER), affordable))


def affordable(*, budget: float, spent: float, head: float, worker: float) -> int:
    """Return how many workers 90% of a budget pay for as long as it takes to be of use.

    Args:
        budget: dollars in all.
        spent: of these.
        head: dollars an hour of the head.
        worker: dollars an hour of one worker.
    """
    left = (ADDING * budget - spent) / (WORTH_SECONDS / ledger.HOUR) - head
    if left <= 0:
        return 0
    return math.floor(left / worker) if worker > 0 else 10**6


class Scaler:
    """The machines of one run: one order, one pool.

    Args:
        order: what is wanted; its deadline is set.
        deployment: its groups.
        cloud: asked for members, events and prices, and told sizes.
        now: when the order was taken.
        head_since: from when the head's hours are this run's; None: from its launch.
        lines: of the ledger of a head before us, that was at this run.
        former: what that head said last.

    Attributes:
        book: whose `lines` are the ledger.
    """

    def __init__(
        self,
        order: Order,
        deployment: Deployment,
        cloud: Cloud,
        *,
        now: float,
        head_since: float | None = None,
        lines: Iterable[ledger.Line] = (),
        former: State | None = None,
    ) -> None:
        self.order = order
        self._cloud = cloud
        self._pool = deployment.pools[order.pool]
        self._head = deployment.head.group
        self.book = Book(cloud.market, deployment, order.pool, head_since=head_since, lines=lines)
        self._from = now
        self._ordered = _time_of(order.run, now)
        self._heard = min([now, *(line.start for line in self.book.lines)])
        self._events: list[Event] = []
        self._ahead = 0.0
        self._came: dict[str, float] = {}
        self._idle: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._refused = ""
        self._ending: _Ending | None = None
        self._preemptions = former.preemptions if former else 0
        self._steps = dict(former.steps) if former else {}

    @property
    def ledger(self) -> list[ledger.Line]:
        """Every interval of every machine so far."""
        return self.book.lines

    def step(self, now: float, work: Work) -> State:
        """Look once, and have the pool be as it should be.

        Raises:
            CloudError: the cloud does not answer; the next step tries again.
        """
        members = self._look(now)
        now += self._ahead
        self._judge_boots(members, work, now)
        self._judge_end(members, work, now)
        if self._ending or work.ended is not None:
            self._end(members, work, now)
        else:
            self._size(members, work, now)
        return self._state(members, work, now)

    # -- what there is -----------------------------------------------------------------------------

    def _look(self, now: float) -> list[Member]:
        """Return the machines of the pool; price and count all that there are."""
        groups = self._cloud.groups
        heads, members = groups.members(self._head), groups.members(self._pool.group)
        news = groups.events(self._pool.group, self._heard)
        # The cloud's clock counts: a head whose clock is behind would think that it has time left.
        moments = [*(m.since for m in (*heads, *members)), *(event.at for event in news)]
        self._ahead = max([self._ahead, *(at - now for at in moments)])
        known = set(self._events)
        fresh = [event for event in news if event not in known]
        self._events = (self._events + fresh)[-500:]
        # Events come late, and not in order: a while is asked for again.
        self._heard = max(self._heard, now + self._ahead - BOOT_SECONDS)
        self._preemptions += sum(event.kind == "preempted" for event in fresh)
        self.book.see(heads, members, fresh, now + self._ahead)
        return [member for member in members if member.state != "leaving"]

    def _judge_boots(self, members: Sequence[Member], work: Work, now: float) -> None:
        """Take note of who came up and who did not; end those that never will."""
        for machine in work.joined:
            if machine not in self._came:
                self._came[machine] = now
                self._failed.clear()
        self._idle = {m: self._idle.get(m, now) for m in work.joined - work.busy}
        for machine, reason in work.failed_boots.items():
            if machine not in self._came:
                self._failed.setdefault(machine, reason)
        for member in members:
            if member.machine not in self._came and now - member.since > BOOT_SECONDS:
                minutes = f"{BOOT_SECONDS / 60:g} minutes"
                self._give_up(member, f"it did not join Ray within {minutes} of its launch")
            elif work.left and now - self._idle.get(member.machine, now) > USELESS_SECONDS:
                self._give_up(member, "it joined Ray, and did no work while there was some")

    def _give_up(self, member: Member, reason: str) -> None:
        self._failed[member.machine] = reason
        self._cloud.groups.remove(self._pool.group, member.machine)

    # -- how it ends -------------------------------------------------------------------------------

    def _judge_end(self, members: Sequence[Member], work: Work, now: float) -> None:
        """See whether the run must end before its work is done."""
        if self._ending or work.ended is not None:
            return
        if work.stop:
            self._begin_end("stopped", CancelledError.exit_code, f"stopped {work.stop}", now)
        elif now + ENDING_SECONDS + TICK_SECONDS >= self.order.deadline:
            said = f"the deadline is reached: {SpentError.remedy}"
            self._begin_end("deadline", SpentError.exit_code, said, now)
        elif self.book.spent(now) + self._reserve() >= self.order.budget:
            said = f"the budget of {self.order.budget:.2f} $ is spent: {SpentError.remedy}"
            self._begin_end("budget", SpentError.exit_code, said, now)
        elif len(self._failed) >= FAILED_BOOTS and not work.joined:
            machine, reason = list(self._failed.items())[-1]
            said = (
                f"{len(self._failed)} machines did not come up and none did; the last, {machine}: "
                f"{reason}. Mend that and run again: what is finished stays."
            )
            self._begin_end("failed", CloudError.exit_code, said, now)
        elif not members and (said := self._no_quota()):
            self._begin_end("failed", QuotaError.exit_code, said, now)

    def _no_quota(self) -> str:
        """Return why there can never be a machine; "" where there may be."""
        if not any(event.kind == "quota" and event.at >= self._from for event in self._events):
            return ""
        if not self._refused:
            self._refused = trouble.no_quota(self._pool, self._cloud.market, self.book.region)
        return self._refused

    def _reserve(self) -> float:
        """Return what ending costs."""
        return self.book.per_hour() * (ENDING_SECONDS + 2 * TICK_SECONDS) / ledger.HOUR

    def _begin_end(self, phase: End, code: int, reason: str, now: float) -> None:
        self._ending = _Ending(phase, code, reason, now)

    def _end(self, members: Sequence[Member], work: Work, now: float) -> None:
        """End all machines, once the run has committed or had its time to."""
        groups, ending = self._cloud.groups, self._ending
        late = ending is not None and now - ending.since >= ENDING_SECONDS
        if work.ended is not None or late or not work.joined:
            if members or groups.size(self._pool.group).wanted:
                self._want(0)
        elif groups.size(self._pool.group).wanted > len(members):
            self._want(len(members))  # none comes any more

    def _want(self, count: int) -> None:
        # Refused where a machine came since we looked: the next step sees it.
        with contextlib.suppress(ValueError):
            self._cloud.groups.want(self._pool.group, count)

    # -- how many ----------------------------------------------------------------------------------

    def _size(self, members: Sequence[Member], work: Work, now: float) -> None:
        """Have the pool grow or shrink towards what is wanted."""
        groups, pool = self._cloud.groups, self._pool
        size = groups.size(pool.group)
        here = {member.machine for member in members}
        spent, price = self.book.spent(now), self.book.price_of_worker()
        most = min(self.order.most, pool.most if size.most is None else size.most)
        head = self.book.per_hour("head")
        paid = affordable(budget=self.order.budget, spent=spent, head=head, worker=price)
        want = wanted(work, most=most, affordable=paid)
        for machine in self._surplus(here, want, work, now):
            groups.remove(pool.group, machine)
            here.remove(machine)
        size = groups.size(pool.group)
        adding = now + LAST_SECONDS < self.order.deadline
        aim = max(len(here), want if adding else 0)
        if aim != size.wanted:
            self._want(aim)

    def _surplus(self, here: set[str], want: int, work: Work, now: float) -> list[str]:
        """Return idle machines beyond what is wanted, those that idle longest first."""
        if not work.shards:
            return []
        idle = sorted(
            (since, machine)
            for machine, since in self._idle.items()
            if machine in here and now - since >= IDLE_SECONDS
        )
        return [machine for _, machine in idle][: max(0, len(here) - want)]

    # -- how it stands -----------------------------------------------------------------------------

    def _state(self, members: Sequence[Member], work: Work, now: float) -> State:
        phase, code, reason = self._phase(members, work, now)
        joined = work.joined & {member.machine for member in members}
        self._step("first-worker", now, when=bool(joined))
        self._step("first-shard", now, when=work.shards_done > 0)
        self._step("last-shard", now, when=0 < work.shards == work.shards_done)
        self._step("scaled-in", now, when=work.ended is not None and not members)
        return State(
            run=self.order.run,
            phase=phase,
            at=now,
            deadline=self.order.deadline,
            budget=self.order.budget,
            reason=reason,
            code=code,
            shards=work.shards,
            shards_done=work.shards_done,
            sources=work.sources,
            sources_done=work.sources_done,
            workers=len(joined),
            booting=len(members) - len(joined),
            preemptions=self._preemptions,
            spent=self.book.spent(now),
            per_hour=self.book.per_hour(),
            eta=work.eta,
            steps=dict(self._steps),
        )

    def _step(self, name: str, now: float, *, when: bool) -> None:
        if when:
            self.took(name, now)

    def took(self, step: str, now: float) -> None:
        """Take note of when a step was first done, in seconds since the order."""
        self._steps.setdefault(step, round(max(0.0, now - self._ordered), 1))

    def _phase(
        self, members: Sequence[Member], work: Work, now: float
    ) -> tuple[Phase, int | None, str]:
        """Return phase, exit code and reason."""
        if work.ended is not None and not members:
            if work.ended == 0:
                return "done", 0, ""
            if self._ending:
                return self._ending.phase, self._ending.code, self._ending.reason
            return "failed", work.ended, f"the run ended with code {work.ended}; see its log"
        if self._ending:
            return "draining", None, self._ending.reason
        if work.ended is not None:
            return "draining", None, ""
        if work.joined:
            return "working", None, self._waits(members, now)
        return "waiting", None, self._waits(members, now) or _begins(work)

    def _waits(self, members: Sequence[Member], now: float) -> str:
        recent = [event for event in self._events if event.at >= now - BOOT_SECONDS]
        return trouble.reason(recent, members=len(members), failed=self._failed)


Phase = Literal["waiting", "working", "draining", "done", "failed", "stopped", "budget", "deadline"]


def _time_of(run: str, default: float) -> float:
    """Return when a run was ordered: its id begins with that."""
    try:
        return float(calendar.timegm(time.strptime(run[:16], "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return default


def _begins(work: Work) -> str:
    return "machines are asked for" if work.shards else "the run lists its input"
