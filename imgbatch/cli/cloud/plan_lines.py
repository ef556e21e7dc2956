"""A forecast enters; the lines that people read before they pay leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imgbatch.cloud.estimate import HOUR
from imgbatch.cloud.transfer import FREE
from imgbatch.report.words import counted, data_size, number
from imgbatch.summary_lines import retention_lines
from imgbatch.terminal import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.cloud.bids import Bid
    from imgbatch.cloud.offers import Offer
    from imgbatch.forecast import Forecast

HEAD = (
    "",
    "region",
    "GPU",
    "spot $/h",
    "zones",
    "on-demand $/h",
    "of",
    "machines",
    "sources/s",
    "time p50",
    "p90",
    "$ p50",
    "p90",
)
# Without a deployment, each type that a region has is a row; the cheapest are enough to choose by.
MOST_ROWS = 12


def lines(found: Forecast) -> list[str]:
    """Return a forecast as lines."""
    plan = found.plan
    read = f"{counted(plan.sources, 'source')} ({data_size(plan.bytes)})"
    told = [
        f"to do: {read} in {counted(plan.shards, 'shard')}, of {plan.listed:,} listed",
        f"speed: {found.sample.said}",
        *(f"note: {note}" for note in found.notes),
        *retention_lines(plan.retention),
    ]
    if plan.nothing:
        return [*told, "nothing to do: a run would cost its head's minutes and nothing else"]
    told += ["", *table(found), ""]
    told += _prices(found) + _quotas(found) + _beside(found)
    return told + _advice(found)


def table(found: Forecast) -> list[str]:
    """Return what there is to choose from, with what the run would take on it."""
    shown = found.bids if found.place.deployment else found.bids[:MOST_ROWS]
    told = aligned([HEAD, *(_row(bid, found) for bid in shown)])
    dearer = len(found.bids) - len(shown)
    return [*told, f"  and {dearer} dearer ones: --json"] if dearer else told


def _row(bid: Bid, found: Forecast) -> tuple[str, ...]:
    offers = bid.offers
    mark = "* " if bid is found.best else "  "
    named = bid.name
    if found.place.deployment:
        named = f"pool {bid.name}" if bid.whole else f"  {bid.name}"
        if bid.whole and len(offers) > 1:
            named += f": any of {len(offers)}"
        elif bid.whole and offers:
            named += f": {offers[0].machine.type}"
    own = bid.estimate
    days = sorted({offer.day for offer in offers})
    return (
        mark + named,
        bid.region,
        ", ".join(dict.fromkeys(_gpu(offer) for offer in offers)),
        _span([price for offer in offers for _, price in offer.spot[:1]]),
        _zones(offers),
        _span([offer.on_demand for offer in offers if offer.on_demand is not None]),
        days[0] if days else "",
        _machines(bid),
        number(float(f"{own.per_second:.2g}")) if own else "-",
        _clock(own.seconds.p50) if own else "-",
        _clock(own.seconds.p90) if own else "-",
        f"{own.dollars.p50:.2f}" if own else "-",
        f"{own.dollars.p90:.2f}" if own else "-",
    )


def _gpu(offer: Offer) -> str:
    machine = offer.machine
    if not machine.gpu:
        return f"{machine.cores} cores"
    return machine.gpu if machine.gpus == 1 else f"{machine.gpus} {machine.gpu}"


def _zones(offers: Sequence[Offer]) -> str:
    """Return in how many zones there are spot machines; "all" where a price tells no zone."""
    if any(not zone for offer in offers for zone, _ in offer.spot):
        return "all"
    counts = sorted({len(offer.spot) for offer in offers})
    return "-".join(dict.fromkeys((str(counts[0]), str(counts[-1])))) if counts else "-"


def _span(prices: Sequence[float]) -> str:
    """Return prices from the lowest to the highest."""
    if not prices:
        return "-"
    ends = dict.fromkeys((f"{min(prices):.3f}", f"{max(prices):.3f}"))
    return "-".join(ends)


def _machines(bid: Bid) -> str:
    """Return how many machines there would be, and what the quota says of them."""
    if not bid.offers:
        return "none there"
    if bid.estimate is None:
        return "refused"
    most = min([bid.asked, *(o.quota.allowed for o in bid.offers if o.quota.allowed)])
    word = str(bid.estimate.machines)
    if most < bid.asked:
        return f"{word} (quota {most})"
    unsure = any(offer.quota.state == "unknown" for offer in bid.offers)
    return f"{word} (quota ?)" if unsure else word


def _clock(seconds: float) -> str:
    """Return a time as it is worth telling: hours and minutes."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60}h{minutes % 60:02}m" if minutes >= 60 else f"{minutes}m"  # noqa: PLR2004 - an hour


def _prices(found: Forecast) -> list[str]:
    """Return where prices are from, where that is not just now."""
    offers = [offer for bid in found.bids for offer in bid.offers]
    sources = {offer.source for offer in offers}
    days = sorted({offer.day for offer in offers})
    heads = _span([bid.head for bid in found.bids])
    told = [f"head: ${heads} an hour, on demand, from the order to the end, in each sum"]
    if not offers:
        return ["no such machine has a price in this region", *told]
    if sources == {"live"}:
        return [f"prices: asked just now ({days[-1]})", *told]
    if "table" in sources:
        old = min(offer.day for offer in offers if offer.source == "table")
        said = f"prices: those of the table that imgbatch ships, of {old}: nobody could be asked"
        return [said, *told]
    return [f"prices: of {days[0]}, kept from a day ago at most", *told]


def _quotas(found: Forecast) -> list[str]:
    said = dict.fromkeys(
        offer.quota.said for bid in found.bids for offer in bid.offers if offer.quota.said
    )
    return [f"quota: {line}" for line in said]


def _beside(found: Forecast) -> list[str]:
    paths = [path for bid in found.bids for path in (bid.transfer, bid.writing) if path.said]
    lines = [
        f"traffic: {paid.said}: ${paid.per_gb:.3f} per GB, ${paid.dollars:.2f} in all, beside the "
        f"sums above (prices of {paid.day})"
        for paid in dict.fromkeys(paths)
    ]
    if found.sample.written is None and any(bid.writing.said for bid in found.bids):
        lines.append("how much is written, nobody measured: it is counted as it goes")
    paid = found.bids[0].transfer if found.bids else FREE
    if paid.requests >= 0.01:  # noqa: PLR2004 - a cent
        lines.append(f"requests: ${paid.requests:.2f}, beside the sums above")
    if lines:
        lines.append("traffic and requests count towards --budget")
    return lines


def _advice(found: Forecast) -> list[str]:
    best, taken = found.best, found.taken
    if best is None:
        return ["no machine can be had: see the quotas above"]
    beside = ", its traffic counted" if best.transfer.said or best.writing.said else ""
    # A lower price an hour is no lower sum where a machine is slower.
    least = min(bid.dollars for bid in found.bids)
    why = "costs least" if best.dollars <= least else "costs nearly the least and is done sooner"
    lines = [f"* recommended: {best.name} in {best.region}: the whole run {why} there{beside}"]
    if taken and taken is not best:
        lines.append(f"`imgbatch cloud run` takes pool {taken.name} by default; name GPUs: --gpus")
    if found.budget is not None and found.deadline is not None:
        lines.append(f"give --budget {found.budget:g} --deadline {span(found.deadline)}")
    return lines


def span(seconds: float) -> str:
    """Return a span as --deadline takes it, rounded up: to quarters of an hour, or to hours."""
    if seconds <= 3 * HOUR:
        return f"{15 * math.ceil(seconds / 900)}m"
    return f"{math.ceil(seconds / HOUR)}h"
