"""What the head machine runs: `python -P -m jobs.head CONTROL --machine ID --address IP`.

What enters is the URL of the control objects; all that leaves is in them (`jobs.lead`). Nothing
but this process acts while a run goes on: whoever ordered it may switch the laptop off. When the
head is lost its group makes another one, which finds the order still in the queue, the ledger, and
what the dataset has; when this process is ended the order stays too.

It ends with 0 where its group is as it should be without it: of none, or with another head. What
ends it otherwise has it begin again (`infra/boot`), some times.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch import terminal
from imgbatch.cloud import cloud_of
from imgbatch.cloud.control import Control
from imgbatch.cloud.deployment import read
from jobs.child import Diary
from jobs.hosted import HostedRun, Ports
from jobs.lead import Head

if TYPE_CHECKING:
    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Order
    from imgbatch.cloud.deployment import Deployment
    from jobs.scale import Run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


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
    life = Head(objects, cloud, deployment, machine=machine, host=host, clock=time.time)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        while not ended.is_set() and (pause := life.turn(time.time())) is not None:
            ended.wait(pause)
    finally:
        life.close()


if __name__ == "__main__":
    terminal.process(app)
