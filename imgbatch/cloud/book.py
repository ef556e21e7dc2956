"""The ledger of a run as it grows: machines that were seen enter, priced intervals leave.

A line is opened at the moment that the cloud gives for a machine's launch, and closed at the moment
that it gives for its end; where it gives none, when the machine is not there any more. A machine
whose spot price has changed gets a new line. What came and went between two looks is found by the
events that tell of it, and counted at the dearest price that it can have had.

No machine is ever counted at the price of another type. One whose own is not known counts as dearer
than any that a cloud rents, so that a budget holds, and its run ends (`unpriced`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from imgbatch.cloud import ledger
from imgbatch.cloud.offers import unpriced
from imgbatch.cloud.trouble import PRICE_FIX, no_price
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imgbatch.cloud import Event, Market, Member, Price
    from imgbatch.cloud.deployment import Deployment

Role = Literal["head", "worker"]
PRICES_SECONDS = 300.0
# Dollars an hour that no machine costs (the dearest of AWS, with 32 TB of memory, are at some 400;
# from memory): of one whose price nobody knows.
UNKNOWN = 500.0


class Book:
    """Every machine of a run, with what it costs.

    Args:
        market: asked for prices every five minutes.
        deployment: whose head and pool it is.
        pool: by name.
        head_since: from when the head's hours count; None: from its launch.
        lines: that a head before us wrote.

    Attributes:
        lines: the ledger.
        region: where prices hold.
        unpriced: types of the deployment, or of machines that are there, without a known price: no
            budget can be kept with them.
    """

    def __init__(
        self,
        market: Market,
        deployment: Deployment,
        pool: str,
        *,
        head_since: float | None = None,
        lines: Iterable[ledger.Line] = (),
    ) -> None:
        self.lines = list(lines)
        self.region = deployment.region
        self._market = market
        self._head_since = head_since
        self._types = {
            "head": deployment.head.machines,
            "worker": deployment.pools[pool].machines,
        }
        self._spot = deployment.pools[pool].spot
        self._disks = {
            "head": deployment.head.disk_gib,
            "worker": deployment.pools[pool].disk_gib,
        }
        self._besides: dict[str, float] = {}
        self._prices: list[Price] = []
        self._asked: float | None = None
        self._asked_for: frozenset[tuple[str, bool]] = frozenset()
        self.unpriced: list[str] = []

    def spent(self, now: float) -> float:
        """Return dollars so far."""
        return ledger.spent(self.lines, now)

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
        return self._dearest("worker")[0] + self._beside("worker")

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
        self._price([*heads, *members], now)
        ends = {e.machine: e.at for e in events if e.machine and e.kind in ("ended", "preempted")}
        here = {member.machine for member in (*heads, *members)} - ends.keys()
        self._end(lambda x: None if x.machine in here else min(now, ends.get(x.machine, now)))
        for member in heads:
            self._open(member, "head", self._head_since)
        for member in members:
            self._open(member, "worker", None)
        self._missed(events, ends, here)
        self._reprice(now)

    def close(self, now: float) -> None:
        """End what goes on: the run is over, the head's hours are another one's."""
        self._end(lambda _: now)

    def _end(self, at: Callable[[ledger.Line], float | None]) -> None:
        """Close lines that go on, at the moment that is said of each; None: it goes on."""
        ends = [at(line) if line.end is None else None for line in self.lines]
        self.lines = [
            line if end is None else line.model_copy(update={"end": max(line.start, end)})
            for line, end in zip(self.lines, ends, strict=True)
        ]

    def _open(self, member: Member, role: Role, since: float | None) -> None:
        own = [line for line in self.lines if line.machine == member.machine]
        if any(line.end is None for line in own) or (own and member.state == "leaving"):
            return
        # One that was not listed for once goes on where it ended.
        start = max([member.since, since or 0.0, *(line.end or 0.0 for line in own)])
        # One whose type is not told is of its group: it counts as the dearest of that.
        type_ = member.type or self._dearest(role)[1]
        self._add(member.machine, role, type_, member.zone, spot=member.spot, start=start)

    def _add(
        self, machine: str, role: Role, type_: str, zone: str, *, spot: bool, start: float
    ) -> None:
        price = self._of(type_, zone, spot=spot)
        line = ledger.Line(
            machine=machine,
            role=role,
            type=type_,
            zone=zone,
            spot=spot,
            start=start,
            dollars=price.dollars if price else UNKNOWN,
            besides=self._beside(role),
            priced=price.source if price else "unknown",
        )
        self.lines.append(line)

    def _missed(self, events: Sequence[Event], ends: dict[str, float], here: set[str]) -> None:
        """Count machines that came and went while nobody looked."""
        seen = here | {line.machine for line in self.lines}
        for event in events:
            if event.kind == "launched" and event.machine in ends and event.machine not in seen:
                type_ = self._dearest("worker")[1]
                spot, start = self._spot, event.at
                self._add(event.machine, "worker", type_, "", spot=spot, start=start)
                self._end(lambda x: ends.get(x.machine))

    def _reprice(self, now: float) -> None:
        if self._asked != now:
            return
        going = [line for line in self.lines if line.end is None]
        prices = [self._of(line.type, line.zone, spot=line.spot) for line in going]
        changed = [
            line
            for line, price in zip(going, prices, strict=True)
            if price and price.dollars != line.dollars
        ]
        machines = {line.machine for line in changed}
        self._end(lambda x: now if x.machine in machines else None)
        for x in changed:
            self._add(x.machine, x.role, x.type, x.zone, spot=x.spot, start=max(x.start, now))

    def _price(self, here: Sequence[Member], now: float) -> None:
        """Have prices of all that may come and of all that is there; note what has none."""
        wanted = {
            *((type_, False) for type_ in self._types["head"]),
            *((type_, self._spot) for type_ in self._types["worker"]),
            *((member.type, member.spot) for member in here if member.type),
        }
        old = self._asked is None or now - self._asked >= PRICES_SECONDS
        if old or not wanted <= self._asked_for:
            self._ask(wanted, now)
        there = {member.type for member in here}
        unknown = unpriced(self._prices, wanted)
        lacks = self._market.lacks(sorted(unknown - there), self.region) if unknown else []
        self.unpriced = sorted(unknown - set(lacks))

    def _ask(self, wanted: set[tuple[str, bool]], now: float) -> None:
        """Ask for prices; a type that the market is silent about keeps what it told before."""
        found = self._market.prices(sorted({type_ for type_, _ in wanted}), self.region)
        told = {(price.type, price.spot) for price in found}
        kept = [price for price in self._prices if (price.type, price.spot) not in told]
        self._prices = [*found, *kept]
        self._asked, self._asked_for = now, frozenset(wanted)

    def _of(self, type_: str, zone: str, *, spot: bool) -> Price | None:
        """Return the price of a machine: in its zone, else the dearest that it may have.

        None: nobody knows one. No spot machine costs more than the same on demand; the other way
        round nothing is told.
        """
        own = [price for price in self._prices if price.type == type_]
        kind = [price for price in own if price.spot == spot] or (own if spot else [])
        exact = [price for price in kind if price.zone == zone and zone]
        return max(exact or kind, key=lambda price: price.dollars, default=None)

    def _dearest(self, role: Role) -> tuple[float, str]:
        """Return dollars an hour and the type of the dearest machine of a role that may come."""
        types, spot = self._types[role], role == "worker" and self._spot
        prices = [(self._of(type_, "", spot=spot), type_) for type_ in types]
        known = [(price.dollars, type_) for price, type_ in prices if price]
        return max(known, default=(UNKNOWN, types[0]))

    def _beside(self, role: Role) -> float:
        if role not in self._besides:
            self._besides[role] = self._market.besides(self._disks[role], self.region)
        return self._besides[role]
