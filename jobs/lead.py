"""The life of a head: which order comes next, and what follows when none does, turn by turn.

    the newest of its group? -> schedules that are due -> the oldest order -> Scale (jobs.scale)
        |                                                   |                 | over: off the
        +-- no: it ends              none: pools to 0, -----+                   queue
                                     no lease, head group to 0

What enters are the control objects and the cloud's groups; what leaves is in them. An order whose
own objects are damaged fails and holds no other up, and so does one at which turn after turn fails
for what nobody foresaw. While the cloud does not answer, the lease is held all the same, a dead
head's too: a head without one leaves.
"""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Protocol

from imgbatch.cloud import ledger, schedules
from imgbatch.cloud.control import State
from imgbatch.cloud.holding import Holding
from imgbatch.cloud.ledger import HOUR
from imgbatch.errors import (
    CloudError,
    DeploymentError,
    FencedError,
    ImgbatchError,
    PermissionsError,
    SettingsError,
    SpentError,
    StorageError,
)
from jobs.scale import GRACE_SECONDS, LEDGER, LOG, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Control, Order, Phase
    from imgbatch.cloud.deployment import Deployment
    from jobs.scale import Run

AGAIN_SECONDS = 10.0
# A lease that another head did not renew for so long is that of a dead one: it does so nine times.
DEAD_SECONDS = 180.0
# A run that ends sooner than that could not begin.
LEAST_SECONDS = 120.0
AGAIN = "Order it again: what was finished stays."
# So many turns of an order in a row may fail for what nobody foresaw.
UNFORESEEN = 5
BUG = 1


class Host(Protocol):
    """What a head machine can do besides talking to the cloud."""

    def start(self, order: Order) -> Run:
        """Begin an order; returns at once."""

    def say(self, line: str) -> None:
        """Take down what the head says."""


class Head:
    """The life of a head machine.

    Args:
        control: the objects of the deployment.
        cloud: where its groups are.
        deployment: what there is.
        machine: its name for the cloud.
        host: what computes.
    """

    def __init__(
        self, control: Control, cloud: Cloud, deployment: Deployment, *, machine: str, host: Host
    ) -> None:
        self._control, self._cloud, self._deployment = control, cloud, deployment
        self._machine, self._host = machine, host
        self._scale: Scale | None = None
        self._run: Run | None = None
        self._lease: Holding | None = None
        self._began: float | None = None
        self._first = True
        self._out: float | None = None
        self._other: tuple[str, int] | None = None
        self._failing = ("", 0)

    def turn(self, now: float) -> float | None:
        """Do what is due; return in how many seconds to come again, None: nothing is left to do."""
        self._began = self._began or now
        try:
            if self._scale and self._run:
                return self._work(self._scale, self._run, now)
            return self._idle(now)
        except FencedError as error:
            self._host.say(f"another head leads: {error}")
            self.close()
            return None
        except (StorageError, CloudError, DeploymentError, SettingsError) as error:
            self._host.say(f"tried again in {AGAIN_SECONDS:g} s: {error}")
            return AGAIN_SECONDS

    def close(self) -> None:
        """End what was started here; the order stays in the queue."""
        if self._run:
            self._run.kill()
            self._run.close()
        self._scale = self._run = None

    def _work(self, scale: Scale, run: Run, now: float) -> float:
        try:
            pause = scale.turn(now)
        except ImgbatchError:
            raise
        except Exception as error:  # noqa: BLE001 - said, and the run fails of it
            return self._unforeseen(scale.order, scale.state, error, now)
        self._failing = ("", 0)
        if not scale.told:
            return pause
        self._host.say(f"run {scale.order.run}: {scale.state.phase}. {scale.state.reason}")
        self._control.close(scale.order.run)
        run.close()
        self._scale = self._run = None
        self._first = False
        return 0.0

    # -- what comes next ---------------------------------------------------------------------------

    def _idle(self, now: float) -> float | None:
        try:
            return self._next(now)
        except CloudError as error:
            self._hold_on(error, now)
            raise

    def _next(self, now: float) -> float | None:
        """Take the oldest order, or leave.

        Raises:
            CloudError: the cloud does not do what it is asked; it is tried again in the next turn.
        """
        self._wake(now)  # first: a head that has an order waits for a cloud that is out
        self._lead()
        orders = self._control.orders(self._host.say)
        if not orders:
            return self._leave(now)
        try:
            self._begin(orders, now)
        except ImgbatchError:
            raise
        except Exception as error:  # noqa: BLE001 - said, and the run fails of it
            former = self._control.state(orders[0].run)
            return self._unforeseen(orders[0], former, error, now)
        return 0.0

    def _begin(self, orders: Sequence[Order], now: float) -> None:
        """Take the oldest of the orders, or end it where it cannot begin."""
        try:
            order, former = self._dated(orders[0], now)
            lines = self._lines(order)
        except (DeploymentError, SettingsError) as error:
            # Without them nobody knows what was spent. It must not hold up what waits behind it.
            said = f"what a head before told of it cannot be read: {error}. {AGAIN}"
            self._end(_said(orders[0], "failed", said, error.exit_code, now))
            return
        if former and former.over:
            self._control.close(order.run)  # told already, by a head that went before it did this
        elif refused := self._refused(order, former, now):
            self._end(refused)
        else:
            # Of a scheduled one too: its own begins when it is taken, by this head.
            until = max([order.deadline, *(_deadline(o, None, now) for o in orders[1:])])
            self._take(order, former, lines, until=until, now=now)

    def _unforeseen(
        self, order: Order, former: State | None, error: Exception, now: float
    ) -> float:
        """Try again what failed for what nobody foresaw; after some times the order fails of it.

        Its machines are ended before it is: while the cloud or the bucket does not take that, the
        order stays, and is ended in a later turn.
        """
        run, times = self._failing
        times = times + 1 if run == order.run else 1
        self._failing = order.run, times
        self._host.say("".join(traceback.format_exception(error)).rstrip())
        if self._run and not self._scale:
            self.close()  # begun by halves
        if times < UNFORESEEN:
            return AGAIN_SECONDS
        if order.pool in self._deployment.pools:
            self._send_away(order, now)
        said = f"imgbatch failed at it {UNFORESEEN} times in a row: {type(error).__name__}: {error}"
        if self._run:
            self._control.put(order.run, LOG, self._run.log())
            said += f"; `imgbatch cloud logs {order.run}` says where"
        self._end(_said(order, "failed", f"{said}. {AGAIN}", BUG, now, former))
        self.close()
        self._first = False
        return 0.0

    def _send_away(self, order: Order, now: float) -> None:
        """End the workers of an order: by the lease, and by their group."""
        if self._lease and self._lease.run == order.run:
            self._lease.pool = ""
            with contextlib.suppress(StorageError):  # the group is asked all the same
                self._lease.keep(now)
        self._empty(self._deployment.pools[order.pool].group)

    def _dated(self, order: Order, now: float) -> tuple[Order, State | None]:
        """Return an order with its deadline, and what a head before this one told of it."""
        former = self._control.state(order.run)
        return order.model_copy(update={"deadline": _deadline(order, former, now)}), former

    def _lines(self, order: Order) -> list[ledger.Line]:
        raw = self._control.get(order.run, LEDGER)
        return ledger.read(raw) if raw else []

    def _lead(self) -> None:
        """See that no newer head is there.

        Raises:
            FencedError: the group has replaced this one.
        """
        heads = self._cloud.groups.members(self._deployment.head.group)
        since = [head.since for head in heads if head.machine == self._machine]
        # Of a group that knows this one no more, every other is newer.
        others = [h for h in heads if h.machine != self._machine and h.state != "leaving"]
        newer = [head for head in others if not since or head.since > since[0]]
        if newer:
            raise FencedError(f"{newer[-1].machine} is newer in the group of the head")

    def _hold(self, order: Order, now: float, *, pool: str) -> Holding:
        """Have the lease, for an order that is begun or is to be; pool "": for no worker."""
        if self._lease is None or self._lease.run != order.run:
            lease = Holding(self._control, order, self._machine)
            lease.take(now)
            self._lease = lease
        self._lease.pool = pool
        self._lease.keep(now)
        return self._lease

    def _hold_on(self, error: CloudError, now: float) -> None:
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
        said = f"{error}. {error.remedy}"
        # With the moment of what was told before: from there on the cloud is asked what happened.
        before = former and former.model_copy(update={"reason": said})
        self._control.tell(before or _said(order, "waiting", said, None, now))
        self._hold(order, now, pool=order.pool if out < DEAD_SECONDS else "")

    def _next_open(self, now: float) -> tuple[Order, State | None] | None:
        """Return the oldest order that could be begun; None: there is none."""
        for waiting in self._control.orders(self._host.say):
            order, former = self._dated(waiting, now)
            if not (former and former.over) and not self._refused(order, former, now):
                return order, former
        return None

    def _waited(self, now: float) -> float:
        """Return since how long the cloud is out, and no other head renews the lease."""
        lease = None
        with contextlib.suppress(DeploymentError, SettingsError):  # damaged: of no head
            lease = self._control.lease()
        theirs = lease if lease and lease.head_machine != self._machine else None
        other = (theirs.head_machine, theirs.beat) if theirs else None
        if self._out is None or (other and other != self._other):
            self._out = now
        self._other = other
        return now - self._out

    def _wake(self, now: float) -> None:
        """Have what is due in the queue; a schedule that is wrong holds nothing else up."""
        try:
            schedules.due(self._control, now)
        except ImgbatchError as error:
            self._host.say(f"the schedules could not be looked at: {error}")

    def _refused(self, order: Order, former: State | None, now: float) -> State | None:
        """Return the end of an order that cannot begin; None: it can."""
        if order.pool not in self._deployment.pools:
            known = ", ".join(self._deployment.pools)
            said = f"there is no pool {order.pool!r}; there are {known}"
            return _said(order, "failed", said, DeploymentError.exit_code, now, former)
        if order.deadline - now < LEAST_SECONDS:
            said = f"its deadline was reached while it waited. {SpentError.remedy}"
            return _said(order, "deadline", said, SpentError.exit_code, now, former)
        return None

    def _end(self, told: State) -> None:
        """Take an order off the queue that is over before it began."""
        self._control.tell(told)
        self._control.close(told.run)

    def _take(
        self,
        order: Order,
        former: State | None,
        lines: Sequence[ledger.Line],
        *,
        until: float,
        now: float,
    ) -> None:
        """Begin an order.

        Raises:
            CloudError, StorageError: it is begun in the next turn; why is told.
        """
        lease = self._hold(order, now, pool=order.pool)
        try:
            for name, pool in self._deployment.pools.items():
                if name != order.pool:
                    self._empty(pool.group)
            run = self._host.start(order)
        except (PermissionsError, DeploymentError) as error:
            said = f"{error}. {error.remedy}"
            self._end(_said(order, "failed", said, error.exit_code, now, former))
            return
        self._run, self._out = run, None
        self._scale = Scale(
            order,
            self._deployment,
            self._control,
            self._cloud,
            run,
            lease=lease,
            lines=lines,
            former=former,
            head_until=until,
            now=now,
            began=self._began or now,
            first=self._first,
            say=self._host.say,
        )

    def _leave(self, now: float) -> float | None:
        """End all machines, this one last, and take back what would end those of a next run."""
        groups, own = self._cloud.groups, self._deployment.head.group
        for pool in self._deployment.pools.values():
            self._empty(pool.group)
        self._control.release()
        groups.want(own, 0)
        for group in self._deployment.groups:
            try:
                groups.disarm(group)
            except (CloudError, DeploymentError) as error:
                # Of empty groups: whoever orders next arms anew. Who waits now is to be seen.
                self._host.say(str(error))
        if orders := self._control.orders(self._host.say):
            # Ordered between the look and the end: whoever ordered may have armed and woken before
            # it, and is to find both as they were left.
            ends = [_deadline(order, None, now) + GRACE_SECONDS for order in orders]
            groups.arm(own, max(ends))
            groups.want(own, 1)
            return 0.0
        return None

    def _empty(self, group: str) -> None:
        groups = self._cloud.groups
        # An `up` since this head began may have taken a pool away: what is not there is empty.
        with contextlib.suppress(DeploymentError):
            if groups.size(group).wanted or groups.members(group):
                groups.want(group, 0)


def _said(
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


def _deadline(order: Order, former: State | None, now: float) -> float:
    """Return when a run must be over: a scheduled one so many hours after it was first taken."""
    return former.deadline if former else order.deadline or now + order.hours * HOUR
