"""What the head machine runs: `python -P -m jobs.head CONTROL --machine ID --address IP`.

    schedules that are due --> the queue --> oldest order --> Scale (jobs.scale), turn by turn
                                   |                               | over: off the queue
                                   +-- empty: pools to 0, no lease, head group to 0

What enters is the URL of the control objects; all that leaves is in them. Nothing but this process
acts while a run goes on: whoever ordered it may switch the laptop off. When the head is lost its
group makes another one, which finds the order still in the queue, the ledger, and what the dataset
has; when this process is ended the order stays too.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from imgbatch import terminal
from imgbatch.cloud import cloud_of, schedules
from imgbatch.cloud.control import Control, State
from imgbatch.cloud.deployment import read
from imgbatch.cloud.ledger import HOUR
from imgbatch.errors import (
    CloudError,
    CredentialsError,
    DeploymentError,
    FencedError,
    ImgbatchError,
    PermissionsError,
    SettingsError,
    SpentError,
    StorageError,
)
from jobs.child import Diary
from jobs.hosted import HostedRun, Ports
from jobs.scale import Run, Scale

if TYPE_CHECKING:
    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Order, Phase
    from imgbatch.cloud.deployment import Deployment

AGAIN_SECONDS = 10.0
# A run that ends sooner than that could not begin.
LEAST_SECONDS = 120.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


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
        self._began: float | None = None
        self._first = True

    def turn(self, now: float) -> float | None:
        """Do what is due; return in how many seconds to come again, None: nothing is left to do."""
        self._began = self._began or now
        try:
            if self._scale and self._run:
                return self._work(self._scale, self._run, now)
            return self._next(now)
        except FencedError as error:
            self._host.say(f"another head leads: {error}")
            self.close()
            return None
        except (StorageError, CloudError, DeploymentError, SettingsError) as error:
            # The last of a state or a ledger that is damaged, or of another version.
            self._host.say(f"tried again in {AGAIN_SECONDS:g} s: {error}")
            return AGAIN_SECONDS

    def close(self) -> None:
        """End what was started here; the order stays in the queue."""
        if self._run:
            self._run.kill()
            self._run.close()
        self._scale = self._run = None

    def _work(self, scale: Scale, run: Run, now: float) -> float:
        pause = scale.turn(now)
        if not scale.told:
            return pause
        self._host.say(f"run {scale.order.run}: {scale.state.phase}. {scale.state.reason}")
        run.close()
        self._control.close(scale.order.run)
        self._scale = self._run = None
        self._first = False
        return 0.0

    # -- what comes next ---------------------------------------------------------------------------

    def _next(self, now: float) -> float | None:
        """Take the oldest order, or leave."""
        self._lead()
        self._wake(now)
        orders = self._control.orders(self._host.say)
        if not orders:
            return self._leave()
        former = self._control.state(orders[0].run)
        order = orders[0].model_copy(update={"deadline": _deadline(orders[0], former, now)})
        if former and former.over:
            self._control.close(order.run)  # told already, by a head that went before it did this
        elif refused := self._refused(order, now):
            self._control.tell(refused)
            self._control.close(order.run)
        else:
            self._take(order, orders, now)
        return 0.0

    def _lead(self) -> None:
        """See that no newer head is there.

        Raises:
            FencedError: the group has replaced this one.
        """
        heads = self._cloud.groups.members(self._deployment.head.group)
        own = [head for head in heads if head.machine == self._machine]
        newer = [h for h in heads if own and h.since > own[0].since and h.state != "leaving"]
        if newer:
            raise FencedError(f"{newer[-1].machine} is newer in the group of the head")

    def _wake(self, now: float) -> None:
        """Have what is due in the queue; a schedule that is wrong holds nothing else up."""
        try:
            schedules.due(self._control, now)
        except ImgbatchError as error:
            self._host.say(f"the schedules could not be looked at: {error}")

    def _refused(self, order: Order, now: float) -> State | None:
        """Return the end of an order that cannot begin; None: it can."""
        if order.pool not in self._deployment.pools:
            known = ", ".join(self._deployment.pools)
            said = f"there is no pool {order.pool!r}; there are {known}"
            return _said(order, "failed", said, DeploymentError.exit_code, now)
        if order.deadline - now < LEAST_SECONDS:
            said = f"its deadline was reached while it waited. {SpentError.remedy}"
            return _said(order, "deadline", said, SpentError.exit_code, now)
        return None

    def _take(self, order: Order, waiting: list[Order], now: float) -> None:
        """Begin an order.

        Raises:
            CloudError, StorageError: it is begun in the next turn; why is told.
        """
        try:
            for name, pool in self._deployment.pools.items():
                if name != order.pool:
                    self._empty(pool.group)
            run = self._host.start(order)
        except (PermissionsError, CredentialsError, DeploymentError) as error:
            said = f"{error}. {error.remedy}"
            self._control.tell(_said(order, "failed", said, error.exit_code, now))
            self._control.close(order.run)
            return
        except CloudError as error:
            self._control.tell(_said(order, "waiting", f"{error}. {error.remedy}", None, now))
            raise
        self._run = run
        try:
            self._scale = Scale(
                order,
                self._deployment,
                self._control,
                self._cloud,
                run,
                machine=self._machine,
                head_until=max(order.deadline, *(other.deadline for other in waiting)),
                now=now,
                began=self._began or now,
                first=self._first,
                say=self._host.say,
            )
        except ImgbatchError:
            # Its Ray would hold the port, with a token that the next one's replaces.
            self.close()
            raise

    def _leave(self) -> float | None:
        """End all machines, this one last."""
        groups, own = self._cloud.groups, self._deployment.head.group
        for pool in self._deployment.pools.values():
            self._empty(pool.group)
        self._control.release()
        groups.want(own, 0)
        if self._control.orders(self._host.say):
            # Ordered between the look and the end: whoever ordered may have woken us before it.
            groups.want(own, 1)
            return 0.0
        return None

    def _empty(self, group: str) -> None:
        groups = self._cloud.groups
        # An `up` since this head began may have taken a pool away: what is not there is empty.
        with contextlib.suppress(DeploymentError):
            if groups.size(group).wanted or groups.members(group):
                groups.want(group, 0)


def _said(order: Order, phase: Phase, reason: str, code: int | None, now: float) -> State:
    """Return how an order stands that has not begun."""
    return State(
        run=order.run,
        phase=phase,
        at=now,
        deadline=order.deadline,
        budget=order.budget,
        reason=reason,
        code=code,
    )


def _deadline(order: Order, former: State | None, now: float) -> float:
    """Return when a run must be over: a scheduled one so many hours after it was first taken."""
    return former.deadline if former else order.deadline or now + order.hours * HOUR


class Machine:
    """This machine as a head's host.

    Args:
        deployment: where the token goes.
        cloud: which keeps it.
        ports: where Ray listens.
    """

    def __init__(self, deployment: Deployment, cloud: Cloud, ports: Ports) -> None:
        self._deployment, self._cloud, self._ports = deployment, cloud, ports
        self._diary = Diary()

    def start(self, order: Order) -> Run:
        """Start Ray for an order."""
        self._diary.clear()
        self._diary.say(f"takes run {order.run}")
        return HostedRun(order, self._deployment, self._cloud, ports=self._ports, diary=self._diary)

    def say(self, line: str) -> None:
        """Take down what the head says."""
        self._diary.say(line)


@app.command()
def head(
    control: Annotated[str, typer.Argument(help="URL of the deployment's control objects.")],
    *,
    machine: Annotated[str, typer.Option(help="Its name for the cloud.")],
    address: Annotated[str, typer.Option(help="Its address inside the network.")],
    port: Annotated[int, typer.Option(help="Of Ray's control server.")] = 6379,
    dashboard_port: Annotated[int, typer.Option(help="Of Ray's dashboard, on 127.0.0.1.")] = 8265,
    client_port: Annotated[int, typer.Option(help="Of Ray's client server.")] = 10001,
) -> None:
    """Lead the runs of a deployment until none is left."""
    objects = Control(control)
    deployment = read(objects.deployment())
    cloud = cloud_of(deployment)
    host = Machine(deployment, cloud, Ports(address, port, dashboard_port, client_port))
    life = Head(objects, cloud, deployment, machine=machine, host=host)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        while not ended.is_set() and (pause := life.turn(time.time())) is not None:
            ended.wait(pause)
    finally:
        life.close()


if __name__ == "__main__":
    terminal.process(app)
