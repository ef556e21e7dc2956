"""An order enters; what it may cost, machines and traffic, leaves as lines and as a question."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imgbatch.errors import SettingsError

if TYPE_CHECKING:
    from imgbatch.cloud.control import Order
    from imgbatch.cloud.deployment import Deployment

CENT = 0.01


def priced(order: Order, deployment: Deployment) -> tuple[Order, list[str]]:
    """Return an order with the prices of its traffic, and lines of what is paid per GB."""
    from imgbatch.cli.cloud.plan import origin
    from imgbatch.cloud.transfer import tariff, transfer, writing
    from imgbatch.forecast import scheme_of

    where = {"cloud": deployment.cloud, "region": deployment.region}
    scheme, place, home = scheme_of(order.input), origin(order.input), origin(order.dataset)
    reads = transfer(scheme=scheme, place=place, size=0, sources=0, **where)
    writes = writing(scheme=scheme_of(order.dataset), place=home, size=0, **where)
    lines = [
        f"traffic: {path.said}: ${path.per_gb:.3f} per GB {verb}, counted towards the budget "
        f"(price of {path.day})"
        for path, verb in ((reads, "read"), (writes, "written"))
        if path.said
    ]
    lines += [
        f"traffic: where {what} lies is not told to these credentials: what it costs from another "
        "region counts towards nothing"
        for what, found, path in (("INPUT", place, reads), ("DATASET", home, writes))
        if found is None and not path.said
    ]
    order = order.model_copy(update={"tariff": tariff(reads, writes, scheme=scheme)})
    return order, lines


def cap(order: Order) -> list[str]:
    """Return what a run is expected to cost, or how far its budget goes where nobody knows."""
    traffic = order.expected.get("traffic", 0.0)
    if traffic >= CENT:
        low, high = (order.expected[f"dollars_{name}"] - traffic for name in ("p50", "p90"))
        total = f"${low + traffic:.2f} to ${high + traffic:.2f} in all"
        machines = f"${low:.2f} to ${high:.2f} of machines"
        return [f"expected: {machines} and ${traffic:.2f} of traffic, {total}"]
    if order.expected or not order.tariff.read:
        return []
    most = order.budget / order.tariff.read
    pays = f"${order.budget:.2f} pay at most {most:,.0f} GB of traffic, and no machine then"
    return [f"how much is read, nobody listed: {pays}"]


def question(order: Order, doubts: int) -> str:
    """Return what whoever pays is asked."""
    traffic = order.expected.get("traffic", 0.0)
    counted = ""
    if traffic >= CENT:
        counted = f", ${traffic:.2f} of traffic expected among them"
    elif order.tariff.read or order.tariff.written:
        counted = ", traffic among them"
    but = f" ({doubts} of the checks are not certain)" if doubts else ""
    return f"Rent machines for up to ${order.budget:.2f}{counted}{but}?"


def refuse_short(order: Order, *, yes: bool) -> None:
    """Have nobody agree unseen to a run whose budget is likely to end it.

    Raises:
        SettingsError: --yes was given, and one run in two would take more.
    """
    likely = order.expected.get("dollars_p50", 0.0)
    if yes and likely > order.budget:
        traffic = order.expected.get("traffic", 0.0)
        among = f", ${traffic:.2f} of it traffic" if traffic >= CENT else ""
        raise SettingsError(
            f"the run is expected to cost ${likely:.2f}{among}, and --budget is "
            f"${order.budget:.2f}: it would end before its work is done",
            f"Give --budget {math.ceil(order.expected['dollars_p90'])}, or leave --yes out and "
            "answer the question: what is finished by then stays.",
        )


def beyond(order: Order, now: float) -> list[str]:
    """Return which of money and time is likely to end the run before its work is done."""
    bounds = {
        "budget": (
            "dollars",
            order.budget,
            f"--budget {math.ceil(order.expected.get('dollars_p90', 0))}",
        ),
        "deadline": ("seconds", order.deadline - now, "a later --deadline"),
    }
    return [
        f"the {name} may end it before its work is done: one run in "
        f"{'two' if order.expected[f'{unit}_p50'] > bound else 'ten'} would take more; give {more}"
        for name, (unit, bound, more) in bounds.items()
        if order.expected.get(f"{unit}_p90", 0.0) > bound
    ]
