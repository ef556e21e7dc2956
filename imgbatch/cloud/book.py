"""The ledger of a run as it grows: machines that were seen enter, priced intervals leave.

A line is opened at the moment that the cloud gives for a machine's launch, and closed at the moment
that it gives for its end; where it gives none, when the machine is not there any more. A machine
whose spot price has changed gets a new line. What came and went between two looks is found by the
events that tell of it, and counted at the dearest price that it can have had. One that went while
nobody looked, and of whose end nothing is told, is `ledger.last_seen`.

A machine whose price is not known counts as dearer than any that a cloud rents (`rates`), so that a
budget holds, until it is known: then the line is put right. A run ends where that lasts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imgbatch.cloud import ledger
from imgbatch.cloud.rates import UNKNOWN, Rates
from imgbatch.cloud.trouble import PRICE_FIX, no_price
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from imgbatch.cloud import Event, Market, Member
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.rates import Role

# Who looked longer ago than that does not know when a machine went that is not there any more.
LOOKED_SECONDS = 120.0


class Book:
    """Every machine of a run, with what it costs.

    Args:
        market: asked for prices (`rates`).
        deployment: whose head and pool it is.
        pool: by name.
        head_since: from when the head's hours count; None: from its launch.
        lines: that a head before us wrote; what those cost that go on is known by them.
        looked: when that head looked last, or when a run was taken that had none; seconds since
            1970. What was there by then and has no line is another run's; None: nothing is.
        until: by when the machines of these lines were gone at the latest, had nobody taken the
            lease again.

    Attributes:
        lines: the ledger.
        region: where prices hold.
    """

    def __init__(
        self,
        market: Market,
        deployment: Deployment,
        pool: str,
        *,
        head_since: float | None = None,
        lines: Iterable[ledger.Line] = (),
        looked: float | None = None,
        until: float = math.inf,
    ) -> None:
        self.lines = list(lines)
        self.region = deployment.region
        self._head_since = head_since
        self._looked, self._until = looked, until
        self._taken = None if self.lines else looked
        self._others: set[str] | None = None
        self._rates = Rates(market, deployment, pool, self.lines)
        self._spot = deployment.pools[pool].spot
        # Machines whose own type was not told.
        self._untyped: set[str] = set()

    @property
    def unpriced(self) -> list[str]:
        """Types of the deployment, or of machines that are there, without a known price."""
        return self._rates.unpriced

    @property
    def unpriced_since(self) -> float | None:
        """From when on there are such; None: there are none."""
        return self._rates.unpriced_since

    def spent(self, now: float) -> float:
        """Return dollars so far, at most; before the first look, of what a head before us saw."""
        return ledger.at_most(self.lines, min(now, self._until))

    def per_hour(self, role: Role | None = None) -> float:
        """Return dollars an hour as it stands, of all machines or those of one role."""
        return ledger.per_hour(line for line in self.lines if role in (None, line.role))

    def price_of_worker(self) -> float:
        """Return what an hour of one more worker costs: as those at work, or the dearest.

        Raises:
            CloudError: a type that may come has no price that is known.
        """
        if self.unpriced:
            raise CloudError(no_price(self.unpriced, self.region), PRICE_FIX)
        open_ones = [x for x in self.lines if x.end is None and x.role == "worker"]
        if open_ones:
            return max(line.dollars + line.besides for line in open_ones)
        return self._rates.dearest("worker")[0] + self._rates.beside("worker")

    @property
    def guesses(self) -> bool:
        """Whether a machine that is there counts as dearer than any, as nobody knows its price."""
        return any(line.end is None and line.priced == "unknown" for line in self.lines)

    def gone(self, heads: Sequence[Member]) -> bool:
        """Return whether a head whose hours are counted is not there any more."""
        here = {head.machine for head in heads}
        return any(x.end is None and x.role == "head" and x.machine not in here for x in self.lines)

    def see(
        self,
        heads: Sequence[Member],
        members: Sequence[Member],
        events: Sequence[Event],
        now: float,
    ) -> None:
        """Bring the ledger up to now.

        Args:
            heads: machines of the head's group that exist, those that leave among them.
            members: the same of the pool.
            events: of the pool, that were not told before.
            now: by the cloud's clock.
        """
        asked = self._rates.look([*heads, *members], now)
        if self._others is None:
            self._others = self._of_others([*heads, *members])
        for member in heads:
            self._open(member, "head", self._head_since)
        for member in members:
            # One that another run left here is ours from when we came.
            since = self._taken if member.machine in self._others else None
            self._open(member, "worker", since)
        ends = {e.machine: e.at for e in events if e.machine and e.kind in ("ended", "preempted")}
        here = {member.machine for member in (*heads, *members)} - ends.keys()
        self._unseen(here | ends.keys(), now)
        self._end(lambda x: None if x.machine in here else min(now, ends.get(x.machine, now)))
        self._missed(events, ends, here)
        if asked:
            self._reprice(now)
        # From here on they are there for as long as this head renews the lease.
        self._looked, self._until = now, math.inf

    def close(self, now: float) -> None:
        """End what goes on: the run is over, the head's hours are another one's."""
        self._unseen((), now)
        self._end(lambda _: now)

    def set_back(self, now: float) -> None:
        """Go on after the head's clock was fast and is set: nothing was after now."""
        self.lines = [ledger.set_back(line, now) for line in self.lines]
        moments = (self._looked, self._taken, self._head_since)
        self._looked, self._taken, self._head_since = (at and min(at, now) for at in moments)
        self._rates.set_back(now)

    def _unseen(self, told: Collection[str], now: float) -> None:
        """End what went since the last look, where that is long ago and nothing is told of it."""
        looked, until = self._looked, min(now, self._until)
        if looked is None or now - looked <= LOOKED_SECONDS:
            return
        self.lines = [
            line
            if line.end is not None or line.machine in told
            else ledger.last_seen(line, looked, until)
            for line in self.lines
        ]

    def _end(self, at: Callable[[ledger.Line], float | None]) -> None:
        """Close lines that go on, at the moment that is said of each; None: it goes on."""
        ends = {line.machine: at(line) for line in self.lines if line.end is None}
        told = {machine: end for machine, end in ends.items() if end is not None}
        self.lines = ledger.ended(self.lines, told)

    def _of_others(self, here: Sequence[Member]) -> set[str]:
        """Return the machines of the first look that no head of this run can have asked for.

        Clouds list a machine for minutes after its end. Of later looks nobody has to know: one that
        was launched since is this run's, whatever the head's clock says of the moment.
        """
        looked = -math.inf if self._looked is None else self._looked
        own = {line.machine for line in self.lines}
        return {x.machine for x in here if x.since <= looked and x.machine not in own}

    def _open(self, member: Member, role: Role, since: float | None) -> None:
        own = [line for line in self.lines if line.machine == member.machine]
        known = own or member.machine in (self._others or ())
        if any(line.end is None for line in own) or (known and member.state == "leaving"):
            return
        # One that was not listed for once goes on where it ended.
        start = max([member.since, since or 0.0, *(line.end or 0.0 for line in own)])
        self._add(member.machine, role, member.type, member.zone, spot=member.spot, start=start)

    def _add(
        self, machine: str, role: Role, type_: str, zone: str, *, spot: bool, start: float
    ) -> None:
        if not type_:
            # One whose type is not told is of its group: it counts as the dearest of that.
            self._untyped.add(machine)
            type_ = self._rates.dearest(role)[1]
        price = self._rates.of(type_, zone, spot=spot)
        line = ledger.Line(
            machine=machine,
            role=role,
            type=type_,
            zone=zone,
            spot=spot,
            start=start,
            dollars=price.dollars if price else UNKNOWN,
            besides=self._rates.beside(role),
            priced=price.source if price else "unknown",
        )
        self.lines.append(line)

    def _missed(self, events: Sequence[Event], ends: dict[str, float], here: set[str]) -> None:
        """Count machines that came and went while nobody looked."""
        seen = here | {line.machine for line in self.lines}
        for event in events:
            if event.kind == "launched" and event.machine in ends and event.machine not in seen:
                self._add(event.machine, "worker", "", "", spot=self._spot, start=event.at)
                self._end(lambda x: ends.get(x.machine))

    def _reprice(self, now: float) -> None:
        self.lines = [self._righted(line) for line in self.lines]
        going = [line for line in self.lines if line.end is None]
        prices = [self._rates.of(line.type, line.zone, spot=line.spot) for line in going]
        changed = [
            line
            for line, price in zip(going, prices, strict=True)
            if price and price.dollars != line.dollars
        ]
        machines = {line.machine for line in changed}
        self._end(lambda x: now if x.machine in machines else None)
        for x in changed:
            self._add(x.machine, x.role, x.type, x.zone, spot=x.spot, start=max(x.start, now))

    def _righted(self, line: ledger.Line) -> ledger.Line:
        """Return a line at the price that is known by now, where it was begun without one."""
        if line.priced != "unknown":
            return line
        type_ = self._rates.dearest(line.role)[1] if line.machine in self._untyped else line.type
        price = self._rates.of(type_, line.zone, spot=line.spot)
        if price is None:
            return line
        known = {"type": type_, "dollars": price.dollars, "priced": price.source}
        return line.model_copy(update=known)
