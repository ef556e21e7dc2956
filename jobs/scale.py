"""One order on the head, turn by turn: lease, machines, ledger and state until it is over.

    a turn: renew the lease -> is the deadline armed? -> what does the run say? -> Scaler.step
            -> end the run where it must end -> ledger and state into the bucket

What enters are an order that was taken and its run (Ray and the driver, `jobs.hosted`); what leaves
are control objects and what the cloud is told. No turn waits, no turn fails for what may pass: a
bucket or a cloud that does not answer is tried again in the next, and said.

Decision, 2026-11: the deadline that the cloud keeps is armed again by the head, though whoever
ordered the run armed it, and without it no machine is asked for. Drawback: a permission that the
head lacks ends a run that might have been well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from imgbatch.cloud import ledger
from imgbatch.cloud.control import UNSAID, State, told
from imgbatch.cloud.ending import GRACE_SECONDS, TICK_SECONDS
from imgbatch.cloud.ledger import LEDGER
from imgbatch.cloud.scaling import Scaler
from imgbatch.cloud.stopped import STOP
from imgbatch.errors import (
    CloudError,
    DeploymentError,
    PermissionsError,
    RunError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Control, Order
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.holding import Holding
    from imgbatch.cloud.work import Work

LOG = "head.log"
# Until the run knows its shards, and while the first machines boot and begin the first of them,
# each second is one that somebody waits.
HASTE_SECONDS = 2.0
ARMED_SECONDS = 300.0
# A listing costs as much as ten reads.
BOOTS_SECONDS = 30.0
# What a run may take to commit, before it is ended by force.
CANCEL_SECONDS = 40.0


class Run(Protocol):
    """What computes: Ray's head and the driver beside it, or what a test has for them.

    Attributes:
        address: HOST:PORT of Ray's control server; "" until it is up.
    """

    address: str

    def work(self, *, stop: str, failed_boots: dict[str, str]) -> Work:
        """Return how far it is; starts what has yet to start, and again what died."""

    def cancel(self) -> None:
        """Have it commit what is finished and end."""

    def kill(self) -> None:
        """End the driver by force."""

    def close(self) -> None:
        """End Ray."""

    def log(self) -> bytes:
        """Return what was said, the last of it."""


class Scale:
    """One order at work.

    Args:
        order: with its deadline.
        deployment: where.
        control: the objects.
        cloud: the machines.
        run: what computes.
        lease: of this order, taken.
        lines: of the ledger of a head before this one.
        former: what that head said last; None: there was none.
        head_until: until when the head itself may live: the latest deadline of all that wait.
        now: the moment.
        began: when the head's process did.
        first: whether the head's hours since its launch are this order's.
        say: told what goes wrong and will be tried again.

    Attributes:
        state: as it was last, or will be, written.
        told: whether the end was written.
    """

    def __init__(  # noqa: PLR0913 - one argument per thing that an order goes by
        self,
        order: Order,
        deployment: Deployment,
        control: Control,
        cloud: Cloud,
        run: Run,
        *,
        lease: Holding,
        lines: Sequence[ledger.Line],
        former: State | None,
        head_until: float,
        now: float,
        began: float,
        first: bool,
        say: Callable[[str], None],
    ) -> None:
        self.order = order
        self._control, self._cloud, self._run, self._say = control, cloud, run, say
        self._head = deployment.head.group
        self._deadlines = {
            self._head: head_until + GRACE_SECONDS,
            deployment.pools[order.pool].group: order.deadline + GRACE_SECONDS,
        }
        self._scaler = Scaler(
            order,
            deployment,
            cloud,
            now=now,
            head_since=None if first else now,
            lines=lines,
            former=former,
        )
        for step, at in (("ordered", -math.inf), ("head", began), ("taken", now)):
            self._scaler.took(step, at)
        self._lease = lease
        lease.until = head_until
        self.told = False
        self._armed = self._listed = -math.inf
        self._now = now
        self._ending: float | None = None
        self._boots: dict[str, str] = {}
        self._reports: set[str] | None = None
        self._stop = ""
        self._written: bytes = b""
        self.state = self._first(now)

    @property
    def ahead(self) -> float:
        """Seconds that the cloud's clock is known to be ahead of ours."""
        return self._scaler.ahead

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self._scaler.ahead = max(0.0, seconds)

    def _first(self, now: float) -> State:
        order = self.order
        return State(
            run=order.run,
            phase="waiting",
            at=now,
            deadline=order.deadline,
            budget=order.budget,
            reason="the head starts Ray",
            spent=self._scaler.spent(now),
            traffic=self._scaler.crossing.traffic,
        )

    def turn(self, now: float) -> float:
        """Do what is due; return in how many seconds to come again. `state` says how it stands.

        Raises:
            FencedError: another head leads.
        """
        if now < self._now:
            self._set_back(now)
        self._now = now
        self._keep(now)
        work = self._work(now)
        if work.ended is None and self._ending is not None:
            self._urge(now)
        self._step(now, work)
        self._tell(now)
        return HASTE_SECONDS if self._awaited(work) else TICK_SECONDS

    def _set_back(self, now: float) -> None:
        """Go on after the clock was fast and is set: nothing waits for what it told to come again.

        The lease sees to itself.
        """
        self._say(f"the clock was set back by {self._now - now:.0f} s")
        self._armed, self._listed = min(self._armed, now), min(self._listed, now)
        self._ending = self._ending and min(self._ending, now)
        self._scaler.set_back(now)

    def _awaited(self, work: Work) -> bool:
        """Whether somebody waits for the first shard, and not for the cloud to have a machine."""
        if self.state.phase not in ("waiting", "working"):
            return False
        there = self.state.booting or self.state.workers
        return not work.shards or bool(there and "first-shard-begun" not in self.state.steps)

    # -- what keeps machines alive -----------------------------------------------------------------

    def _keep(self, now: float) -> None:
        """Renew the lease; a bucket that does not answer is asked again in the next turn."""
        self._lease.head = self._run.address
        if self._run.address:
            self._scaler.took("ray", now)
        try:
            self._lease.keep(now)
        except StorageError as error:
            self._say(f"the lease could not be renewed: {error}")

    def _arm(self, now: float) -> None:
        """See that the cloud itself will end all machines.

        Raises:
            CloudError: it may not; no machine is asked for then.
        """
        if now - self._armed < ARMED_SECONDS:
            return
        self._lengthen()
        for group, until in self._deadlines.items():
            at = self._cloud.groups.armed(group)
            if at is None or abs(at - until) > 2 * GRACE_SECONDS:
                self._cloud.groups.arm(group, until)
        self._armed = now

    def _lengthen(self) -> None:
        """Let the head live for what was ordered since, as whoever ordered has armed it."""
        try:
            ends = [order.deadline + GRACE_SECONDS for order in self._control.orders(self._say)]
        except StorageError as error:
            self._say(f"the queue cannot be read: {error}")
            return
        latest = max([self._deadlines[self._head], *ends])
        self._deadlines[self._head], self._lease.until = latest, latest - GRACE_SECONDS

    # -- what the run says -------------------------------------------------------------------------

    def _work(self, now: float) -> Work:
        try:
            if now - self._listed >= BOOTS_SECONDS:
                self._look_for_reports()
                self._listed = now
            self._stop = self._stop or self._stopped()
        except StorageError as error:
            self._say(f"the control objects cannot be read: {error}")
        return self._run.work(stop=self._stop, failed_boots=self._boots)

    def _look_for_reports(self) -> None:
        """Take note of machines of the pool that say why they do not come up.

        What was said before the first look was said to a head before this one: machines came up
        since, for all that is known here. And a head that cannot begin says so in the same place.
        """
        names = self._control.names(f"runs/{self.order.run}/boots")
        if self._reports is None:
            self._reports = set(names)
        for name in names:
            if name in self._reports:
                continue
            report = told(self._control.store.get(name))
            if report.get("pool", self.order.pool) == self.order.pool:
                machine = name.rpartition("/")[2].removesuffix(".json")
                self._boots[machine] = str(report.get("reason", UNSAID))
            self._reports.add(name)

    def _stopped(self) -> str:
        raw = self._control.get(self.order.run, STOP)
        return f"by {told(raw).get('by', 'somebody')}" if raw is not None else ""

    # -- what follows ------------------------------------------------------------------------------

    def _step(self, now: float, work: Work) -> None:
        try:
            self._arm(now)
            self.state = self._scaler.step(now, work)
        except (PermissionsError, DeploymentError) as error:
            self._scaler.give_up(f"{error}. {error.remedy}", error.exit_code, now)
            self._without(now, work, error)
        except CloudError as error:
            self._say(f"the cloud does not do what it is asked: {error}")
            self._without(now, work, error)
        if self.state.phase == "draining" and work.ended is None and self._ending is None:
            self._ending = now
            self._run.cancel()

    def _without(self, now: float, work: Work, error: RunError) -> None:
        """Go on without the cloud: what it does not tell does not change, but time and money."""
        self.state = self._scaler.blind(now, work, f"{type(error).__name__}: {error}")
        if work.ended is not None:
            # No worker can be ended by us now: by a lease that is for none they end themselves.
            self._lease.pool = ""
            self._keep(now)

    def _urge(self, now: float) -> None:
        if self._ending is not None and now - self._ending > CANCEL_SECONDS:
            self._run.kill()

    # -- what is told ------------------------------------------------------------------------------

    def _tell(self, now: float) -> None:
        """Put ledger and state; the ledger first, so that no state tells of what it lacks."""
        if self.state.over:
            self._scaler.book.close(now + self._scaler.ahead)
            self._scaler.took("ended", now)
            steps = self._scaler.steps
            self.state = self.state.model_copy(update={"steps": steps, "per_hour": 0.0})
        data = ledger.write(self._scaler.ledger, self._scaler.crossing.traffic)
        try:
            if data != self._written:
                self._control.put(self.order.run, LEDGER, data)
                self._written = data
            self._control.put(self.order.run, LOG, self._run.log())
            self._control.tell(self.state)
        except StorageError as error:
            self._say(f"the state could not be written: {error}")
        else:
            self.told = self.state.over
