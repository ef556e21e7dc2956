"""An order enters; it leaves in the queue, with a head that comes up and a moment at which it ends.

The order of steps is the promise: no machine can exist before the cloud itself knows when to end
it. Whatever fails in between is taken back, last step first.

    1  control/orders/<run>.json      put once
    2  arm head and pool              the cloud ends their machines at the deadline
    3  want(head, 1)                  only now can anything cost money
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.cloud.ledger import HOUR
from imgbatch.errors import CloudError, DeploymentError, RunError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from imgbatch.cloud import Groups, Market
    from imgbatch.cloud.control import Control, Order
    from imgbatch.cloud.deployment import Deployment

# Less than a machine takes to boot, load its image, do something and end.
SHORTEST = 900.0


def launch(order: Order, place: Place, *, now: float) -> list[Order]:
    """Put an order into the queue and have a head come up for it.

    Args:
        order: with a deadline.
        place: where.
        now: seconds since 1970.

    Returns:
        The orders before it, oldest first.

    Raises:
        SettingsError: it has no deadline, or one that is too near.
        CloudError, StorageError: a step was refused; what was done before is taken back.
    """
    if order.deadline < now + SHORTEST:
        raise SettingsError(
            f"the deadline is {max(0.0, order.deadline - now) / 60:.0f} minutes away: machines "
            "need some to come up",
            f"Give at least --deadline {SHORTEST / 60:.0f}m.",
        )
    undo = ExitStack()
    try:
        # Noted before it is tried: who fails to answer may have taken it all the same.
        undo.callback(place.control.withdraw, order.run)
        _put(order, place)
        for group in place.groups_of(order):
            undo.callback(_restore, group, place.groups.armed(group), place.groups, now)
            _arm(group, order, place)
        undo.callback(rest, place, but=order.run)
        wake(place)
    except BaseException as error:
        _take_back(undo, order, error)
        raise
    return [other for other in place.control.orders() if other.run < order.run]


def _put(order: Order, place: Place) -> None:
    try:
        place.control.order(order)
    except FileExistsError:
        # Its id was drawn for it alone: a request that was repeated, since the answer to the first
        # was lost, met its own object.
        if order not in place.control.orders(lambda _: None):
            raise


@dataclass(frozen=True, slots=True)
class Place:
    """Where orders go: a deployment, its control objects, its groups of machines.

    Attributes:
        market: what machines cost that nobody counted; None: nobody asks.
    """

    deployment: Deployment
    control: Control
    groups: Groups
    market: Market | None = None

    @property
    def head(self) -> str:
        """The head's group."""
        return self.deployment.head.group

    def groups_of(self, order: Order) -> tuple[str, ...]:
        """Return the groups whose machines work for an order, the head's first."""
        pool = self.deployment.pools.get(order.pool)
        return (self.head, pool.group) if pool else (self.head,)


def wake(place: Place) -> bool:
    """Have a head come up; return whether none was on its way already."""
    if place.groups.size(place.head).wanted:
        return False
    place.groups.want(place.head, 1)
    return True


def latest(
    group: str, order: Order, place: Place, unread: Callable[[str], None] | None = None
) -> float:
    """Return when a group's machines are to end at the latest, for all that wait or are at work.

    A group has one such moment. A run that queues behind another must neither end it nor be ended
    by its deadline; each run's own stays in its lease, which machines obey by themselves.

    Args:
        group: whose.
        order: with its deadline, in the queue or not.
        place: where.
        unread: told of an order that cannot be read; without, that is an error.
    """
    ends = [
        _end(group, other, place)
        for other in (order, *place.control.orders(unread))
        if group in place.groups_of(other)
    ]
    # Of a run that was taken its lease tells, also of one that has its deadline only from then.
    lease = place.control.lease()
    pools = place.deployment.pools
    if lease and (
        group == place.head or (lease.pool in pools and pools[lease.pool].group == group)
    ):
        ends.append(float(lease.deadline))
    return max(ends)


def _end(group: str, order: Order, place: Place) -> float:
    """Return when a group's machines are to end for one order alone, while nobody has taken it."""
    if group != place.head or not order.heads_until:
        return order.deadline
    return min(order.deadline, order.heads_until)


def pays_heads(order: Order, deployment: Deployment, market: Market) -> float:
    """Return for how many seconds an order's budget pays for heads, if none of them takes it.

    A head that cannot read the bucket, or dies as it begins, is replaced every few minutes; nobody
    counts what they cost, as whoever takes the order would.

    Args:
        order: with its budget.
        deployment: whose head.
        market: asked what the head costs; of whom it is not known, infinity.

    Raises:
        CloudError: the prices cannot be had.
    """
    head, region = deployment.head, deployment.region
    prices = [price.dollars for price in market.prices(head.machines, region) if not price.spot]
    if not prices:
        return math.inf
    per_hour = max(prices) + market.besides(head.disk_gib, region)
    return max(SHORTEST, order.budget / per_hour * HOUR)


def heads_until(order: Order, paid: float, now: float) -> float:
    """Return until when heads come for an order that nobody takes; 0: until its deadline.

    Args:
        order: with its deadline.
        paid: seconds that its budget pays for.
        now: when it is ordered; seconds since 1970.
    """
    return now + paid if now + paid < order.deadline else 0.0


def _arm(
    group: str, order: Order, place: Place, unread: Callable[[str], None] | None = None
) -> None:
    wanted = latest(group, order, place, unread)
    place.groups.arm(group, wanted)
    # Somebody who ordered meanwhile may have armed for later just before us: the last one holds.
    # Both look again after they armed, so whoever was last sees both orders.
    while wanted < (found := latest(group, order, place, unread)):
        wanted = found
        place.groups.arm(group, wanted)


def rearm(place: Place, groups: Collection[str], now: float, say: Callable[[str], None]) -> None:
    """Arm the deadlines of the runs that wait, after those of their groups were taken back.

    Whoever orders puts the order first and arms then: what was armed and taken back is found here,
    and what was not put yet is armed by them after this.

    Args:
        place: where.
        groups: that are there.
        now: seconds since 1970.
        say: told of an order that cannot be read.
    """
    for order in place.control.orders(say):
        # One of a schedule has its deadline from when it is taken: that cannot be sooner than now.
        dated = order.model_copy(update={"deadline": order.deadline or now + order.hours * HOUR})
        if dated.deadline > now:
            for group in place.groups_of(dated):
                # A moment that has passed would end the machines that came meanwhile.
                if group in groups and latest(group, dated, place, say) > now:
                    _arm(group, dated, place, say)


def _take_back(undo: ExitStack, order: Order, error: BaseException) -> None:
    try:
        undo.close()
    except (RunError, PermissionError) as second:
        raise CloudError(
            f"run {order.run} was not begun ({error}), and what was begun of it could not be taken "
            f"back: {second}",
            f"`imgbatch cloud stop {order.run} --force` until it says that nothing is left.",
        ) from error


def _restore(group: str, before: float | None, groups: Groups, now: float) -> None:
    """Have a group end when it did before; one that may have a machine is never left without."""
    if before is not None and before > now:
        groups.arm(group, before)
    elif not (groups.size(group).wanted or groups.members(group)):
        groups.disarm(group)


def rest(place: Place, *, but: str = "") -> None:
    """End the head that may be on its way, unless a run needs it.

    Args:
        place: where.
        but: a run that does not.
    """
    if _needed(place, but) or _led(place):
        return
    place.groups.want(place.head, 0)
    if _needed(place, but):
        # Whoever ordered in between saw a head on its way, and woke none.
        place.groups.want(place.head, 1)


def _led(place: Place) -> bool:
    """Whether a head leads; a lease that nobody can read counts as none."""
    try:
        return place.control.lease() is not None
    except (DeploymentError, SettingsError):
        return False


def _needed(place: Place, but: str) -> bool:
    return any(run != but for run in place.control.waiting())
