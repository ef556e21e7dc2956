"""A market enters; what an hour of each machine of a run costs leaves, as far as anybody knows.

No machine is ever counted at the price of another type, and no price is forgotten once it was told:
while the market says nothing, that holds. What has none is `unpriced`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from imgbatch.cloud import Price
from imgbatch.cloud.offers import unpriced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imgbatch.cloud import Market, Member, ledger
    from imgbatch.cloud.deployment import Deployment

Role = Literal["head", "worker"]
PRICES_SECONDS = 300.0
# The same while a price lacks: a cloud that did not answer once may answer the next time.
AGAIN_SECONDS = 60.0
# Dollars an hour that no machine costs (the dearest of AWS, with 32 TB of memory, are at some 400;
# from memory): of one whose price nobody knows.
UNKNOWN = 500.0


class Rates:
    """What is known of the prices of a run's machines.

    Args:
        market: asked for prices every five minutes, and every minute while one lacks.
        deployment: whose head and pool it is.
        pool: by name.
        lines: that a head before us wrote; what those cost that go on is known by them.

    Attributes:
        unpriced: types of the deployment, or of machines that are there, without a known price: no
            budget can be kept with them.
        unpriced_since: from when on there are such; None: there are none.
    """

    def __init__(
        self, market: Market, deployment: Deployment, pool: str, lines: Iterable[ledger.Line] = ()
    ) -> None:
        self._market, self._region = market, deployment.region
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
        self._prices = [_told_by(line, self._region) for line in lines if _is_price(line)]
        self._asked: float | None = None
        self._asked_for: frozenset[tuple[str, bool]] = frozenset()
        # What the cloud said that the region does not have, and what has come all the same.
        self._lacking: set[str] = set()
        self._came: set[str] = set()
        self.unpriced: list[str] = []
        self.unpriced_since: float | None = None

    def look(self, here: Sequence[Member], now: float) -> bool:
        """Have prices of all that may come and of all that is there; note what has none.

        Returns:
            Whether the market was asked.
        """
        wanted = {
            *((type_, False) for type_ in self._types["head"]),
            *((type_, self._spot) for type_ in self._types["worker"]),
            *((member.type, member.spot) for member in here if member.type),
        }
        self._came |= {member.type for member in here}
        wait = AGAIN_SECONDS if self.unpriced else PRICES_SECONDS
        old = self._asked is None or now - self._asked >= wait
        asked = old or not wanted <= self._asked_for
        if asked:
            self._ask(wanted, now)
        self.unpriced = sorted(unpriced(self._prices, wanted) - (self._lacking - self._came))
        if not self.unpriced:
            self.unpriced_since = None
        elif self.unpriced_since is None:
            self.unpriced_since = now
        return asked

    def set_back(self, now: float) -> None:
        """Go on after the head's clock was fast and is set: ask anew."""
        self._asked = None
        self.unpriced_since = self.unpriced_since and min(self.unpriced_since, now)

    def _ask(self, wanted: set[tuple[str, bool]], now: float) -> None:
        """Ask for prices; a type that the market is silent about keeps what it told before.

        So does one that the region was said to lack: a market forgets that, and is not always
        answered.
        """
        found = self._market.prices(sorted({type_ for type_, _ in wanted}), self._region)
        told = {(price.type, price.spot) for price in found}
        kept = [price for price in self._prices if (price.type, price.spot) not in told]
        self._prices = [*found, *kept]
        unknown = unpriced(self._prices, wanted)
        lacks = self._market.lacks(sorted(unknown), self._region) if unknown else []
        self._lacking = (self._lacking | set(lacks)) & unknown
        self._asked, self._asked_for = now, frozenset(wanted)

    def of(self, type_: str, zone: str, *, spot: bool) -> Price | None:
        """Return the price of a machine: in its zone, else the dearest that it may have.

        None: nobody knows one. No spot machine costs more than the same on demand; the other way
        round nothing is told.
        """
        own = [price for price in self._prices if price.type == type_]
        kind = [price for price in own if price.spot == spot] or (own if spot else [])
        exact = [price for price in kind if price.zone == zone and zone]
        return max(exact or kind, key=lambda price: price.dollars, default=None)

    def dearest(self, role: Role) -> tuple[float, str]:
        """Return dollars an hour and the type of the dearest machine of a role that may come."""
        types, spot = self._types[role], role == "worker" and self._spot
        prices = [(self.of(type_, "", spot=spot), type_) for type_ in types]
        known = [(price.dollars, type_) for price, type_ in prices if price]
        return max(known, default=(UNKNOWN, types[0]))

    def beside(self, role: Role) -> float:
        """Return dollars an hour of the disk and address of a machine of a role."""
        if role not in self._besides:
            self._besides[role] = self._market.besides(self._disks[role], self._region)
        return self._besides[role]


def _is_price(line: ledger.Line) -> bool:
    """Return whether a line tells what a machine costs that is there."""
    return line.end is None and line.priced != "unknown"


def _told_by(line: ledger.Line, region: str) -> Price:
    """Return the price that an open line has: the last that is known of its type and market."""
    assert line.priced != "unknown"
    day = datetime.fromtimestamp(line.start, UTC).strftime("%Y-%m-%d")
    return Price(line.type, region, line.zone, line.spot, line.dollars, day, line.priced)
