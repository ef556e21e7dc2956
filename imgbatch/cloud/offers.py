"""A market enters; the machines that one can have there, with price and quota, leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imgbatch.cloud import Machine, Market, Price, Quota

State = Literal["ok", "less", "none", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an account may have so many machines.

    Attributes:
        state: all that are asked for, fewer, none; or nobody could tell.
        allowed: how many; None where nobody could tell.
        said: why, and what to do about it; "" where all is well.
    """

    state: State
    allowed: int | None
    said: str = ""

    def word(self, asked: int) -> str:
        """Return it in a word or two."""
        if self.state == "none":
            return "refused: 0"
        return "unknown" if self.allowed is None else f"{min(asked, self.allowed)} of {asked}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A type of machine in a region.

    Attributes:
        pool: of the deployment that has it; "" without a deployment.
        spot: dollars an hour by zone, the lowest first; none where there are no such.
        on_demand: dollars an hour; None where it is not told.
        day, source: of the lowest price that a run would pay.
        bought: whether a run takes spot machines or not.
        besides: dollars an hour of disk and address.
        quota: for machines as a run takes them.
    """

    region: str
    machine: Machine
    pool: str
    spot: tuple[tuple[str, float], ...]
    on_demand: float | None
    day: str
    source: str
    bought: Literal["spot", "on-demand"]
    besides: float
    quota: Verdict

    @property
    def dollars(self) -> tuple[float, ...]:
        """What an hour of it can cost, the machine alone."""
        if self.bought == "spot":
            return tuple(price for _, price in self.spot)
        return () if self.on_demand is None else (self.on_demand,)


@dataclass(frozen=True, slots=True)
class Ask:
    """How machines are to be had.

    Attributes:
        spot: as spare machines that the cloud may take back.
        most: so many at once.
        disk_gib: of each.
        pool: whose they are; "" without a deployment.
        zones: where they may be; none: in any.
    """

    region: str
    spot: bool
    most: int
    disk_gib: int
    pool: str = ""
    zones: tuple[str, ...] = ()


def offers(market: Market, machines: Iterable[Machine], ask: Ask) -> list[Offer]:
    """Return what there is of some types of machine; without those that have no price there.

    Raises:
        CloudError: no price is known at all.
    """
    types = {machine.type: machine for machine in machines}
    prices = market.prices(list(types), ask.region) if types else []
    quotas, why = _quotas(market, ask.region)
    besides = market.besides(ask.disk_gib, ask.region)
    found = []
    for machine in types.values():
        own = [p for p in prices if p.type == machine.type and _in(p, ask.zones)]
        paid = sorted((p for p in own if p.spot == ask.spot), key=_dollars)
        if not paid:
            continue
        found.append(
            Offer(
                region=ask.region,
                machine=machine,
                pool=ask.pool,
                spot=tuple((p.zone, p.dollars) for p in sorted(own, key=_dollars) if p.spot),
                on_demand=next((p.dollars for p in own if not p.spot), None),
                day=paid[0].day,
                source=paid[0].source,
                bought="spot" if ask.spot else "on-demand",
                besides=besides,
                quota=verdict(machine, quotas, spot=ask.spot, most=ask.most, why=why),
            )
        )
    return found


def unpriced(prices: Iterable[Price], wanted: Iterable[tuple[str, bool]]) -> set[str]:
    """Return the types without a price that bounds what they cost.

    Args:
        prices: that are known.
        wanted: types, and whether as spot machines: those cost no more than on demand, and a price
            on demand is one of them too.
    """
    told = {(price.type, price.spot) for price in prices}
    return {
        type_
        for type_, spot in wanted
        if (type_, False) not in told and not (spot and (type_, True) in told)
    }


def head_price(
    market: Market, types: Sequence[str], *, region: str, disk_gib: int, first: bool
) -> float:
    """Return dollars an hour of a head.

    Args:
        market: of the cloud.
        types: that would do.
        region: where.
        disk_gib: its disk.
        first: take the first of them that has a price, else the cheapest.

    Raises:
        CloudError: none has one.
    """
    prices = {p.type: p.dollars for p in market.prices(types, region) if not p.spot}
    own = [prices[type_] for type_ in types if type_ in prices]
    if not own:
        raise CloudError(
            f"no price is known in {region} for any of {', '.join(types)}",
            f"Look whether {region} is the name of a region, or take another one.",
        )
    return (own[0] if first else min(own)) + market.besides(disk_gib, region)


def verdict(
    machine: Machine, quotas: Sequence[Quota], *, spot: bool, most: int, why: str = ""
) -> Verdict:
    """Return whether quotas let an account have so many machines.

    Args:
        machine: of which type.
        quotas: those that are known.
        spot: whether as spot machines.
        most: asked for.
        why: none is known.
    """
    told = [_allowed(machine, q) for q in quotas if q.gpu == machine.gpu and q.spot == spot]
    if not told:
        return Verdict("unknown", None, why or "the cloud does not tell this quota")
    allowed, quota = min(told, key=lambda pair: pair[0])
    bound = f"quota {quota.name!r} in {quota.region} is {quota.limit:g} {quota.unit}"
    if quota.used:
        bound += f", {quota.used:g} of them in use"
    if not allowed:
        return Verdict("none", 0, f"{bound}: not one {machine.type}. To do: {quota.fix}")
    if allowed < most:
        return Verdict("less", allowed, f"{bound}: {allowed} {machine.type}. To do: {quota.fix}")
    return Verdict("ok", allowed)


def _allowed(machine: Machine, quota: Quota) -> tuple[int, Quota]:
    free = max(0.0, quota.limit - (quota.used or 0.0))
    each = machine.cores if quota.unit == "cores" else machine.gpus
    return (int(free // each) if each else 10**6), quota


def _quotas(market: Market, region: str) -> tuple[Sequence[Quota], str]:
    """Return the quotas, or why nobody could tell them: a plan goes on without."""
    try:
        return market.quotas(region), ""
    except CloudError as error:
        return (), f"the quota could not be asked for: {error}"


def _in(price: Price, zones: Sequence[str]) -> bool:
    return not (price.zone and zones) or price.zone in zones


def _dollars(price: Price) -> float:
    return price.dollars
