"""How many machines a run is to have, now: what there is and what is left enters, a state leaves.

    members, events, prices (cloud)  --+
    shards done, who works (Work)      +--> Scaler.step(now) --> Groups.want / remove, State, ledger
    order: budget, deadline, most    --+

One step is one look and at most a few calls; nothing waits here and no clock is read: `now` is
given. So the loop on the head and a simulation of a night run the same lines.

    want = min(most, ceil(shards left / SHARDS_PER_WORKER), what 90% of the budget pay for a while)
    nothing is added near the deadline, without a price, nor after machines in a row that did not
    come up
    machines are removed by name: idle ones, and those that never came up
    all end at once: the run is over, or must end (`ending`)
"""

from __future__ import annotations

import calendar
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from imgbatch.cloud import ledger, trouble
from imgbatch.cloud.book import Book
from imgbatch.cloud.boots import Boots
from imgbatch.cloud.closing import gone_by
from imgbatch.cloud.control import State
from imgbatch.cloud.crossing import Crossing
from imgbatch.cloud.ending import (
    ENDING_SECONDS,
    GRACE_SECONDS,
    Ending,
    must_end,
    no_machines,
    no_price,
    no_quota,
)
from imgbatch.cloud.work import LAST_SECONDS, Work, affordable, wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from imgbatch.cloud import Cloud, Event, Member
    from imgbatch.cloud.control import Order, Phase
    from imgbatch.cloud.deployment import Deployment

# Events come late and in no order: so much is asked for again. What is older explains nothing.
LATE_SECONDS = 900.0
GONE = ("ended", "preempted")


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
        book: what its machines cost.
        crossing: what its traffic costs.
        ahead: seconds that the cloud's clock is known to be ahead of the head's.
        ending: why the run ends before its work is done; None: it goes on.
        steps: when each step was first done, in seconds since the order.
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
        self._group, self._head = self._pool.group, deployment.head.group
        self.book = Book(
            cloud.market,
            deployment,
            order.pool,
            head_since=head_since,
            lines=lines,
            looked=former.seen if former else now,
            until=_left_by(order, former, now),
        )
        self.crossing = Crossing(order.tariff, former.traffic if former else None)
        self.ending: Ending | None = None
        self.steps = dict(former.steps) if former else {}
        self._former = (former.shards, former.sources) if former else (0, 0)
        self._preemptions = former.preemptions if former else 0
        self._ordered = _time_of(order.run, now)
        self._from = self._looked = former.seen if former else now
        self._events: list[Event] = []
        self.ahead = 0.0
        self._boots = Boots()
        self._refused: str | None = None
        self._given_up = False

    @property
    def ledger(self) -> list[ledger.Line]:
        """Every interval of every machine so far."""
        return self.book.lines

    def step(self, now: float, work: Work) -> State:
        """Look once, and have the pool be as it should be.

        Raises:
            CloudError: the cloud does not answer; the next step tries again.
        """
        self.crossing.see(work, now)
        members = self._look(now)
        now += self.ahead
        work = self._whole(work)
        for member in self._boots.look(members, self._events, work, now):
            self._cloud.groups.remove(self._group, member.machine)
            members.remove(member)
        if work.ended is None and not self.ending:
            self._judge(members, work, now)
        if work.ended is not None or self.ending:
            self._end(members, work, now)
        else:
            self._size(members, work, now)
        return self._state(members, work, now)

    def blind(self, now: float, work: Work, reason: str) -> State:
        """Return how it stands while the cloud does not answer: time and money go on all the same.

        Args:
            now: the moment.
            work: as for `step`.
            reason: what the cloud said.
        """
        self.crossing.see(work, now)
        now, work = now + self.ahead, self._whole(work)
        if work.ended is None and not self.ending:
            self.ending = self._must_end(work, now)
        state = self._state([], work, now).model_copy(update={"looked": self._looked})
        if state.over and not self._given_up:
            # Machines may be there: nobody knows, so it is asked again.
            state = state.model_copy(update={"phase": "draining", "code": None})
        return state.model_copy(update={"reason": state.reason or reason})

    def set_back(self, now: float) -> None:
        """Go on after the head's clock was fast and is set: what was noted by it is not to come."""
        self.crossing.set_back(now)
        now += self.ahead
        self._from, self._looked = min(self._from, now), min(self._looked, now)
        if self.ending:
            self.ending = replace(self.ending, since=min(self.ending.since, now))
        self._boots.set_back(now)
        self.book.set_back(now)

    def give_up(self, reason: str, code: int, now: float) -> None:
        """End the run: the cloud will never do what is needed, and its machines are to leave."""
        self._given_up = True
        self.ending = self.ending or Ending("failed", code, reason, now)

    def spent(self, now: float) -> float:
        """Return dollars so far, of machines and of traffic."""
        return self.book.spent(now) + self.crossing.traffic.dollars

    def took(self, step: str, now: float) -> None:
        """Take note of when a step was first done."""
        self.steps.setdefault(step, round(max(0.0, now - self._ordered), 1))

    # -- what there is -----------------------------------------------------------------------------

    def _whole(self, work: Work) -> Work:
        """Add what was done before this head: a run finds only what is undone."""
        if not work.shards:
            return work
        shards, sources = self._former
        more, other = max(0, shards - work.shards), max(0, sources - work.sources)
        return replace(
            work,
            shards=work.shards + more,
            shards_done=work.shards_done + more,
            sources=work.sources + other,
            sources_done=work.sources_done + other,
        )

    def _look(self, now: float) -> list[Member]:
        """Return the machines of the pool; price and count all that there are."""
        groups = self._cloud.groups
        heads, members = groups.members(self._head), groups.members(self._group)
        here = {member.machine for member in (*heads, *members)}
        told = self._told(self._group, here)
        if self.book.gone(heads):
            told += self._told(self._head, here)
        news = [event for event in told if event not in self._events]
        # The cloud's clock counts: a head whose clock is behind would think that it has time left.
        moments = [*(member.since for member in (*heads, *members)), *(event.at for event in news)]
        self.ahead = max([self.ahead, *(at - now for at in moments)])
        now += self.ahead
        # The first look goes back to the last one of the head before us.
        self._from = max(self._from, now - LATE_SECONDS)
        self._events = [e for e in (*self._events, *news) if e.at > self._from]
        self._preemptions += sum(event.kind == "preempted" for event in news)
        self.book.see(heads, members, news, now)
        self._looked = now
        return [member for member in members if member.state != "leaving"]

    def _told(self, group: str, here: Collection[str]) -> list[Event]:
        """Return what happened in a group since the last look.

        What that look did not know yet is news, though it came to pass before: the head before us
        told by its own clock when it looked, and clouds tell late. Of a machine that is not there
        any more all is asked: by a clock that is fast, its end is long ago.
        """
        going = {line.machine for line in self.book.lines if line.end is None}
        gone = [x.start for x in self.book.lines if x.machine in going and x.machine not in here]
        return [
            event
            for event in self._cloud.groups.events(group, min([self._from - LATE_SECONDS, *gone]))
            if event.at > self._from or (event.machine in going and event.kind in GONE)
        ]

    # -- how it ends -------------------------------------------------------------------------------

    def _judge(self, members: Sequence[Member], work: Work, now: float) -> None:
        """See whether the run must end before its work is done."""
        pending = sum(member.machine not in work.joined for member in members)
        self.ending = self._must_end(work, now) or no_machines(
            self._boots, work, pending=pending, now=now
        )
        if not self.ending and not members and (said := self._no_quota()):
            self.ending = no_quota(said, now)

    def _must_end(self, work: Work, now: float) -> Ending | None:
        spent, per_hour = self.spent(now), self._per_hour()
        ending = must_end(self.order, work, spent=spent, per_hour=per_hour, now=now)
        return no_price(self.book, ending, now)

    def _per_hour(self) -> float:
        return self.book.per_hour() + self.crossing.per_hour

    def _no_quota(self) -> str:
        """Return why there can never be a machine; "" where there may be."""
        if self._refused is None and any(event.kind == "quota" for event in self._events):
            market, region = self._cloud.market, self.book.region
            self._refused = trouble.no_quota(self._pool, market, region)
        return self._refused or ""

    def _end(self, members: Sequence[Member], work: Work, now: float) -> None:
        """End all machines, once the run has committed or had its time to."""
        size = self._cloud.groups.size(self._group)
        late = self.ending is not None and now - self.ending.since >= ENDING_SECONDS
        if work.ended is not None or late or not work.joined:
            if members or size.wanted:
                self._cloud.groups.want(self._group, 0)
        elif size.wanted > len(members):
            self._want(len(members))  # none comes any more

    # -- how many ----------------------------------------------------------------------------------

    def _size(self, members: Sequence[Member], work: Work, now: float) -> None:
        """Have the pool grow or shrink towards what is wanted."""
        size = self._cloud.groups.size(self._group)
        most = min(self.order.most, size.most)
        here = {member.machine for member in members}
        # Without a price no budget can be kept: nothing is added, and what is there goes on.
        pays = len(here) if self.book.unpriced else self._affordable(work, now)
        want = wanted(work, most=most, affordable=pays)
        surplus = self._boots.idle(here, now)[: max(0, len(here) - want)] if work.shards else []
        for machine in surplus:
            self._cloud.groups.remove(self._group, machine)
        here -= set(surplus)
        if self._boots.stuck or now + LAST_SECONDS >= self.order.deadline:
            want = 0
        if self._hindered(now):
            # What is asked for and does not come would come for ever after us, one by one.
            want = min(want, len(here) + max(1, len(here)))
        aim = max(len(here), want)
        if aim != size.wanted - len(surplus):
            self._want(aim)

    def _hindered(self, now: float) -> bool:
        return bool(trouble.reason(self._recent(now), members=0, failed={}))

    def _recent(self, now: float) -> list[Event]:
        return [event for event in self._events if event.at >= now - LATE_SECONDS]

    def _affordable(self, work: Work, now: float) -> int:
        traffic = self.crossing.per_hour / max(1, len(work.joined))
        return affordable(
            budget=self.order.budget,
            spent=self.spent(now),
            head=self.book.per_hour("head"),
            worker=self.book.price_of_worker() + traffic,
        )

    def _want(self, count: int) -> None:
        # Refused where a machine came since we looked: the next step sees it.
        with contextlib.suppress(ValueError):
            self._cloud.groups.want(self._group, count)

    # -- how it stands -----------------------------------------------------------------------------

    def _state(self, members: Sequence[Member], work: Work, now: float) -> State:
        phase, code, reason = self._phase(members, work, now)
        joined = work.joined & {member.machine for member in members}
        done = {
            "first-worker": bool(joined),
            "first-shard-begun": work.begun or work.shards_done > 0,
            "first-shard": work.shards_done > 0,
            "last-shard": 0 < work.shards <= work.shards_done,
            "scaled-in": work.ended is not None and not members,
        }
        for step in (name for name, is_done in done.items() if is_done):
            self.took(step, now)
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
            spent=self.spent(now),
            per_hour=self._per_hour(),
            traffic=self.crossing.traffic,
            eta=work.eta,
            steps=dict(self.steps),
        )

    def _phase(
        self, members: Sequence[Member], work: Work, now: float
    ) -> tuple[Phase, int | None, str]:
        """Return phase, exit code and reason."""
        if work.ended is not None and not members:
            return _over(work.ended, self.ending)
        if work.ended is not None or self.ending:
            return "draining", None, self.ending.reason if self.ending else ""
        recent = self._recent(now)
        said = trouble.reason(recent, members=len(members), failed=self._boots.failed)
        if self.book.unpriced:
            said = f"{trouble.no_price(self.book.unpriced, self.book.region)}; it is asked again"
        if work.joined:
            return "working", None, said
        begins = "machines are asked for" if work.shards else "the run lists its input"
        return "waiting", None, said or begins


def _over(code: int, ending: Ending | None) -> tuple[Phase, int, str]:
    if code == 0:
        return "done", 0, ""
    if ending:
        return ending.phase, ending.code, ending.reason
    return "failed", code, f"the run ended with code {code}: `imgbatch cloud logs` says why"


def _left_by(order: Order, former: State | None, now: float) -> float:
    """Return by when the machines of a head before us were gone at the latest.

    One that may be there yet goes by the lease that was just taken.
    """
    left = gone_by(order, former, former.seen, now) if former else now
    return left if left < now else order.deadline + GRACE_SECONDS


def _time_of(run: str, default: float) -> float:
    """Return when a run was ordered: its id begins with that."""
    try:
        return float(calendar.timegm(time.strptime(run[:16], "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return default
