"""What begins an order on a head, and what ends it before it began: its deadline, lease and state.

    the queue --> dated: until when? --> refused? --> hold the lease --> Scale (jobs.lead)
                                            | yes: its end is told, off the queue

What enters are the control objects and the cloud's groups; what leaves is in them. While the cloud
does not answer, the lease is held all the same, a dead head's too: a head without one leaves.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from imgbatch.cloud import ledger, schedules
from imgbatch.cloud.closing import Closing, with_cost
from imgbatch.cloud.control import State
from imgbatch.cloud.holding import Holding
from imgbatch.cloud.launch import SHORTEST
from imgbatch.cloud.ledger import LEDGER
from imgbatch.errors import (
    CloudError,
    DeploymentError,
    SettingsError,
    SpentError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Control, Order, Phase
    from imgbatch.cloud.deployment import Deployment

# A lease that another head did not renew for so long is that of a dead one: it does so nine times.
DEAD_SECONDS = 180.0
# So many times what became of one run's machines is asked for: some three minutes in which the
# cloud does all else. What it never tells holds no other run up.
SETTLE_TRIES = 18
# A run that ends sooner than that could not begin.
LEAST_SECONDS = 120.0
MOMENT = "%Y-%m-%d %H:%M UTC"


class Orders:
    """The queue as one head goes through it, and the lease that it has for it.

    Args:
        control: the objects of the deployment.
        cloud: where its groups are.
        deployment: what there is.
        machine: the head's name for the cloud.
        say: told what goes wrong and will be tried again.

    Attributes:
        out: since when the cloud does not answer, and no other head renews the lease; None: it
            did not yet fail to.
    """

    def __init__(
        self,
        control: Control,
        cloud: Cloud,
        deployment: Deployment,
        *,
        machine: str,
        say: Callable[[str], None],
    ) -> None:
        self._control, self._cloud, self._deployment = control, cloud, deployment
        self._machine, self._say = machine, say
        self._lease: Holding | None = None
        self._other: tuple[str, int] | None = None
        self._unsettled = ("", 0)
        self.out: float | None = None

    # -- what is known of an order -----------------------------------------------------------------

    def waiting(self) -> list[Order]:
        """Return the orders of the queue that can be read, oldest first."""
        return self._control.orders(self._say)

    def dated(self, order: Order, now: float) -> tuple[Order, State | None]:
        """Return an order with its deadline, and what a head before this one told of it."""
        former = self._control.state(order.run)
        end = former.deadline if former else self.deadline(order, now)
        return order.model_copy(update={"deadline": end}), former

    def deadline(self, order: Order, now: float) -> float:
        """Return when a run must be over; a scheduled one has that from when it is first taken."""
        return order.deadline or schedules.deadline(order, self._deployment.schedules, now)

    def lines(self, order: Order) -> list[ledger.Line]:
        """Return the ledger that a head before this one left of an order."""
        raw = self._control.get(order.run, LEDGER)
        return ledger.read(raw) if raw else []

    def refused(self, order: Order, former: State | None, now: float) -> State | None:
        """Return the end of an order that cannot begin; None: it can."""
        if order.pool not in self._deployment.pools:
            known = ", ".join(self._deployment.pools)
            reason = f"there is no pool {order.pool!r}; there are {known}"
            return said(order, "failed", reason, DeploymentError.exit_code, now, former)
        if order.deadline - now < LEAST_SECONDS:
            reason = f"its deadline was reached while it waited. {SpentError.remedy}"
            return said(order, "deadline", reason, SpentError.exit_code, now, former)
        if order.hours and former is None and order.deadline - now < SHORTEST:
            reason = (
                f"at {time.strftime(MOMENT, time.gmtime(order.deadline))} all machines of this "
                "deployment end, as its schedules have it: too near to begin. Its next tick does "
                "what is left; or order it yourself after that."
            )
            return said(order, "deadline", reason, SpentError.exit_code, now)
        return None

    # -- what is done about it ---------------------------------------------------------------------

    def hold(self, order: Order, now: float, *, pool: str) -> Holding:
        """Have the lease, for an order that is begun or is to be; pool "": for no worker."""
        if self._lease is None or self._lease.run != order.run:
            lease = Holding(self._control, order, self._machine)
            lease.take(now)
            self._lease = lease
        self._lease.pool = pool
        self._lease.keep(now)
        return self._lease

    def end(self, order: Order, told: State, former: State | None) -> bool:
        """Take an order off the queue that is over before it began here.

        Args:
            order: which.
            told: its end.
            former: what a head before this one told of it.

        Returns:
            Whether its ledger has this head's hours: those after it are the next run's.

        Raises:
            CloudError: what became of its machines is not told yet; it is asked again.
        """
        lines = self._settled(order, former, told.at)
        if lines is not None:
            told = with_cost(told, lines, told.at)
        self._control.tell(told)
        self._control.close(told.run)
        return any(line.machine == self._machine for line in lines or ())

    def _settled(self, order: Order, former: State | None, now: float) -> list[ledger.Line] | None:
        """Close the ledger of an order that is over.

        Its own pool may never answer, while those of what waits behind it do: so it is asked some
        times, and then what is known without it counts. Times, not seconds: while the cloud is out
        altogether, nobody asks.

        Raises:
            CloudError: it is asked again.
        """
        control, deployment, run = self._control, self._deployment, order.run
        closing = Closing(control, deployment, self._cloud.groups, self._cloud.market)
        try:
            return closing.settle(run, order, former, now, self._say)
        except CloudError as error:
            tries = self._unsettled[1] + 1 if self._unsettled[0] == run else 1
            self._unsettled = run, tries
            if tries < SETTLE_TRIES:
                raise
            self._say(f"what became of the machines of {run} is not told: {error}")
        return Closing(control, deployment).settle(run, order, former, now, self._say)

    def send_away(self, order: Order, now: float) -> None:
        """End the workers of an order: by the lease, and by their group."""
        if order.pool not in self._deployment.pools:
            return
        if self._lease and self._lease.run == order.run:
            self._lease.pool = ""
            with contextlib.suppress(StorageError):  # the group is asked all the same
                self._lease.keep(now)
        self.empty(order.pool)

    def empty(self, pool: str) -> None:
        """End the machines of a pool, where there are any."""
        groups, group = self._cloud.groups, self._deployment.pools[pool].group
        # An `up` since this head began may have taken a pool away: what is not there is empty.
        with contextlib.suppress(DeploymentError):
            if groups.size(group).wanted or groups.members(group):
                groups.want(group, 0)

    # -- while the cloud is out --------------------------------------------------------------------

    def hold_on(self, error: CloudError, now: float) -> None:
        """Hold the lease while the cloud does not do what it is asked, and say why the run waits.

        A head without a lease of its own leaves after some minutes, and nobody would wake another.
        Whether another head still leads, whose the lease is, such a cloud does not tell; its
        renewals do. Workers without Ray cost and do nothing: they are not kept for long.
        """
        out = self._waited(now)
        found = self._next_open(now)
        if found is None or (self._other and out < DEAD_SECONDS):
            return
        order, former = found
        reason = f"{error}. {error.remedy}"
        # With the moment of what was told before: from there on the cloud is asked what happened.
        before = former and former.model_copy(update={"reason": reason})
        self._control.tell(before or said(order, "waiting", reason, None, now))
        self.hold(order, now, pool=order.pool if out < DEAD_SECONDS else "")

    def _next_open(self, now: float) -> tuple[Order, State | None] | None:
        """Return the oldest order that could be begun; None: there is none."""
        for waiting in self.waiting():
            order, former = self.dated(waiting, now)
            if not (former and former.over) and not self.refused(order, former, now):
                return order, former
        return None

    def _waited(self, now: float) -> float:
        """Return since how long the cloud is out, and no other head renews the lease."""
        lease = None
        with contextlib.suppress(DeploymentError, SettingsError):  # damaged: of no head
            lease = self._control.lease()
        theirs = lease if lease and lease.head_machine != self._machine else None
        other = (theirs.head_machine, theirs.beat) if theirs else None
        # Or since a moment that is yet to come: the clock was fast, and is set.
        if self.out is None or self.out > now or (other and other != self._other):
            self.out = now
        self._other = other
        return now - self.out


def said(
    order: Order,
    phase: Phase,
    reason: str,
    code: int | None,
    now: float,
    former: State | None = None,
) -> State:
    """Return how an order stands that is not begun; what a head before told of its work stays."""
    told = {"phase": phase, "at": now, "reason": reason, "code": code}
    none = {"workers": 0, "booting": 0, "per_hour": 0.0, "eta": None}
    if former:
        return former.model_copy(update={**told, **none})
    limits = {"deadline": order.deadline, "budget": order.budget}
    return State.model_validate({"run": order.run, **limits, **told})
