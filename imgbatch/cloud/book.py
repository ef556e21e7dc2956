"""The ledger of a run as it grows: machines that were seen enter, priced intervals leave.

A line is opened at the moment that the cloud gives for a machine's launch, and closed at the moment
that it gives for its end; where it gives none, when the machine is not there any more. A machine
whose spot price has changed gets a new line. What came and went between two looks is found by the
events that tell of it, and counted at the dearest price that it can have had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from imgbatch.cloud import ledger
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imgbatch.cloud import Event, Market, Member, Price
    from imgbatch.cloud.deployment import Deployment

Role = Literal["head", "worker"]
PRICES_SECONDS = 300.0


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

    def spent(self, now: float) -> float:
        """Return dollars so far."""
        return ledger.spent(self.lines, now)

    def per_hour(self, role: Role | None = None) -> float:
        """Return dollars an hour as it stands, of all machines or those of one role."""
        return ledger.per_hour(line for line in self.lines if role in (None, line.role))

    def price_of_worker(self) -> float:
        """Return what an hour of one more worker costs: as those at work, or the dearest."""
        open_ones = [x for x in self.lines if x.end is None and x.role == "worker"]
        if open_ones:
            return max(line.dollars + line.besides for line in open_ones)
        dearest = max(
            self._of(type_, "", spot=self._spot).dollars for type_ in self._types["worker"]
        )
        return dearest + self._beside("worker")

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

        Raises:
            CloudError: no price is known, so no budget can be kept.
        """
        self._refresh(now)
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
        self._add(member.machine, role, member.type, member.zone, spot=member.spot, start=start)

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
            dollars=price.dollars,
            besides=self._beside(role),
            priced=price.source,
        )
        self.lines.append(line)

    def _missed(self, events: Sequence[Event], ends: dict[str, float], here: set[str]) -> None:
        """Count machines that came and went while nobody looked."""
        seen = here | {line.machine for line in self.lines}
        for event in events:
            if event.kind == "launched" and event.machine in ends and event.machine not in seen:
                prices = [
                    (self._of(t, "", spot=self._spot).dollars, t) for t in self._types["worker"]
                ]
                type_ = max(prices)[1]
                spot, start = self._spot, event.at
                self._add(event.machine, "worker", type_, "", spot=spot, start=start)
                self._end(lambda x: ends.get(x.machine))

    def _reprice(self, now: float) -> None:
        if self._asked != now:
            return
        changed = [
            line
            for line in self.lines
            if line.end is None
            and self._of(line.type, line.zone, spot=line.spot).dollars != line.dollars
        ]
        machines = {line.machine for line in changed}
        self._end(lambda x: now if x.machine in machines else None)
        for x in changed:
            self._add(x.machine, x.role, x.type, x.zone, spot=x.spot, start=max(x.start, now))

    def _refresh(self, now: float) -> None:
        if self._asked is not None and now - self._asked < PRICES_SECONDS:
            return
        types = sorted({*self._types["head"], *self._types["worker"]})
        found = self._market.prices(types, self.region)
        if not found and not self._prices:
            raise CloudError(f"no price is known of {', '.join(types)} in {self.region}")
        self._prices = found or self._prices
        self._asked = now

    def _of(self, type_: str, zone: str, *, spot: bool) -> Price:
        """Return the price of a machine: in its zone, else the dearest that it may have."""
        own = [price for price in self._prices if price.type == type_] or self._prices
        kind = [price for price in own if price.spot == spot] or own
        exact = [price for price in kind if price.zone == zone and zone]
        return max(exact or kind, key=lambda price: price.dollars)

    def _beside(self, role: Role) -> float:
        if role not in self._besides:
            self._besides[role] = self._market.besides(self._disks[role], self.region)
        return self._besides[role]
