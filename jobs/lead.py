"""The life of a head: which order comes next, and what follows when none does, turn by turn.

    the newest of its group? -> schedules that are due -> the oldest order -> Scale (jobs.scale)
        |                                                   |                 | over: off the
        +-- no: it ends              none: pools to 0, -----+                   queue
                                     no lease, head group to 0

What enters are the control objects and the cloud's groups; what leaves is in them. An order whose
own objects are damaged fails and holds no other up, and so does one at which turn after turn fails
for what nobody foresaw. What begins an order, or ends it before it began, is in `jobs.orders`.
"""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Protocol

from imgbatch.cloud import schedules
from imgbatch.cloud.ending import GRACE_SECONDS
from imgbatch.errors import (
    CloudError,
    DeploymentError,
    FencedError,
    ImgbatchError,
    PermissionsError,
    SettingsError,
    StorageError,
)
from jobs.orders import Orders, said
from jobs.scale import LOG, Scale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.cloud import Cloud, ledger
    from imgbatch.cloud.control import Control, Order, State
    from imgbatch.cloud.deployment import Deployment
    from jobs.scale import Run

AGAIN_SECONDS = 10.0
# What wakes a head so soon after this one's end may do so before that, and come to nothing.
SOON_SECONDS = 120.0
AGAIN = "Order it again: what was finished stays."
# So many turns of an order in a row may fail for what nobody foresaw.
UNFORESEEN = 5
# A clock that moves by more against a count that nobody corrects was set. What is less is lateness.
SET_SECONDS = 5.0
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
        clock: seconds since 1970, by the machine's own.
        count: seconds from any moment on, which no correction of a clock touches.
    """

    def __init__(
        self,
        control: Control,
        cloud: Cloud,
        deployment: Deployment,
        *,
        machine: str,
        host: Host,
        clock: Callable[[], float],
        count: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control, self._cloud, self._deployment = control, cloud, deployment
        self._machine, self._host, self._clock, self._count = machine, host, clock, count
        self._orders = Orders(control, cloud, deployment, machine=machine, say=host.say)
        self._scale: Scale | None = None
        self._run: Run | None = None
        self._began: float | None = None
        self._first = True
        self._ahead = 0.0
        self._apart: float | None = None
        self._failing = ("", 0)

    def turn(self, now: float) -> float | None:
        """Do what is due; return in how many seconds to come again, None: nothing is left to do."""
        self._look_at_the_clock()
        now += self._ahead
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

    def _look_at_the_clock(self) -> None:
        """Take back of the clock's correction what somebody corrected at the clock itself since."""
        apart = self._clock() - self._count()
        set_by = apart - (apart if self._apart is None else self._apart)
        if self._apart is not None and abs(set_by) < SET_SECONDS:
            return
        self._apart = apart
        before = self._ahead + (self._scale.ahead if self._scale else 0.0)
        if not before or not set_by:
            return  # by no correction of ours: the clock is believed
        self._host.say(f"the clock was set by {set_by:.0f} s")
        self._ahead -= set_by
        if self._ahead < 0 and self._scale:
            self._scale.ahead += self._ahead
        self._ahead = max(0.0, self._ahead)

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
        self._ahead += scale.ahead
        self._scale = self._run = None
        self._first = False
        return 0.0

    # -- what comes next ---------------------------------------------------------------------------

    def _idle(self, now: float) -> float | None:
        try:
            return self._next(now)
        except CloudError as error:
            self._orders.hold_on(error, now)
            raise

    def _next(self, now: float) -> float | None:
        """Take the oldest order, or leave.

        Raises:
            CloudError: the cloud does not do what it is asked; it is tried again in the next turn.
        """
        self._wake(now)  # first: a head that has an order waits for a cloud that is out
        if (behind := self._lead() - now) > 0:
            # The cloud's clock counts: by ours, the tick that woke this head is yet to come.
            self._ahead, now = self._ahead + behind, now + behind
            self._wake(now)
        orders = self._orders.waiting()
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
            order, former = self._orders.dated(orders[0], now)
            lines = self._orders.lines(order)
        except (DeploymentError, SettingsError) as error:
            # Without them nobody knows what was spent. It must not hold up what waits behind it.
            reason = f"what a head before told of it cannot be read: {error}. {AGAIN}"
            self._end(orders[0], said(orders[0], "failed", reason, error.exit_code, now), None)
            return
        if former and former.over:
            self._control.close(order.run)  # told already, by a head that went before it did this
        elif refused := self._orders.refused(order, former, now):
            self._end(order, refused, former)
        else:
            # Of a scheduled one too: its own begins when it is taken, by this head.
            until = max([order.deadline, *(self._orders.deadline(o, now) for o in orders[1:])])
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
        self._orders.send_away(order, now)
        reason = (
            f"imgbatch failed at it {UNFORESEEN} times in a row: {type(error).__name__}: {error}"
        )
        if self._run:
            self._control.put(order.run, LOG, self._run.log())
            reason += f"; `imgbatch cloud logs {order.run}` says where"
        told = said(order, "failed", f"{reason}. {AGAIN}", BUG, now, former)
        self._end(order, told, former)
        self.close()
        self._first = False
        return 0.0

    def _lead(self) -> float:
        """See that no newer head is there; return since when this one is, by the cloud's clock.

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
        return max(since, default=0.0)

    def _wake(self, now: float) -> None:
        """Have what is due in the queue; a schedule that is wrong holds nothing else up."""
        try:
            schedules.due(self._control, now)
        except ImgbatchError as error:
            self._host.say(f"the schedules could not be looked at: {error}")

    def _soon(self) -> None:
        """Have in the queue what comes due while this head leaves, and in the moments after it.

        The cloud's wake changes nothing while a head is there, and nobody wakes another when that
        one is gone. What comes with an end of all machines, or after it, is left to its own wake.
        """
        now = self._clock() + self._ahead
        kill = schedules.killed(self._deployment.schedules, now)
        until = now + SOON_SECONDS if kill is None else min(now + SOON_SECONDS, kill - 1)
        self._wake(max(now, until))

    def _end(self, order: Order, told: State, former: State | None) -> None:
        """Take an order off the queue that is over before it began here.

        Raises:
            CloudError: what became of its machines is not told yet; it is asked again.
        """
        if self._orders.end(order, told, former):
            self._first = False

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
        lease = self._orders.hold(order, now, pool=order.pool)
        try:
            for name in self._deployment.pools:
                if name != order.pool:
                    self._orders.empty(name)
            run = self._host.start(order)
        except (PermissionsError, DeploymentError) as error:
            reason = f"{error}. {error.remedy}"
            self._end(order, said(order, "failed", reason, error.exit_code, now, former), former)
            return
        self._run, self._orders.out = run, None
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
        self._soon()
        if self._orders.waiting():
            return 0.0
        groups, own = self._cloud.groups, self._deployment.head.group
        for pool in self._deployment.pools:
            self._orders.empty(pool)
        self._control.release()
        groups.want(own, 0)
        self._soon()  # once more: a wake until here was to a group that had its head
        for group in self._deployment.groups:
            try:
                groups.disarm(group)
            except (CloudError, DeploymentError) as error:
                # Of empty groups: whoever orders next arms anew. Who waits now is to be seen.
                self._host.say(str(error))
        if orders := self._orders.waiting():
            # Ordered between the look and the end: whoever ordered may have armed and woken before
            # it, and is to find both as they were left.
            ends = [
                (order.heads_until or self._orders.deadline(order, now)) + GRACE_SECONDS
                for order in orders
            ]
            groups.arm(own, max(ends))
            groups.want(own, 1)
            return 0.0
        return None
