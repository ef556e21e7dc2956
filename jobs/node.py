"""What a worker machine runs: `python -P -m jobs.node CONTROL --pool P --machine ID --address IP`.

    lease -- names the head --> token -- of the cloud's secrets --> `ray start`, a child, kept up
      |                                                                  |
      +-- says to leave: out of the group, as `cloud.leaving` has it     +-- the cloud takes the
                                                                             machine back: drained

What enters is the URL of the control objects; nothing leaves: the work is Ray's. What ends a
machine whatever becomes of this process is `infra/boot/watch.sh`, outside of the container.

Decision, 2026-11: a drain is asked for by SIGTERM to `ray start`, which Ray 2.60 answers with a
drain of its own node for preemption and an end as soon as that is idle. `ray drain-node` does the
same call, but wants the node's id, which a process without a driver cannot know. Drawback: an
environment variable of Ray's that its documentation does not name; tests/cloud/test_boots.py would
tell.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imgbatch import terminal
from imgbatch.cloud import cloud_of
from imgbatch.cloud.control import Control
from imgbatch.cloud.deployment import read
from imgbatch.cloud.leaving import UNREADABLE, Watcher
from imgbatch.cloud.notice import taken_in
from imgbatch.errors import CloudError, DeploymentError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Lease
    from imgbatch.cloud.deployment import Deployment

LABEL = "imgbatch-machine"
OBJECT_STORE_BYTES = 256 * 2**20
TICK_SECONDS = 1.0
# Without Ray, the head is waited for: every such second is one of the user's.
WAIT_SECONDS = 3.0
# A Ray that ends so soon after its start never joined; after so many in a row, another machine may.
SOON_SECONDS, ATTEMPTS = 60.0, 4
# A spot machine has two minutes from its notice on AWS, half a minute on Google Cloud.
DRAIN_SECONDS = {"aws": 100, "gcp": 20}
END_SECONDS = 10.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def node(
    control: Annotated[str, typer.Argument(help="URL of the deployment's control objects.")],
    *,
    pool: Annotated[str, typer.Option(help="The pool that this machine belongs to.")],
    machine: Annotated[str, typer.Option(help="Its name for the cloud.")],
    address: Annotated[str, typer.Option(help="Its address inside the network.")],
    look: Annotated[float, typer.Option(help="Seconds between looks at the lease.")] = 60.0,
    notice: Annotated[float, typer.Option(help="Seconds between looks for a notice.")] = 5.0,
    grace: Annotated[float, typer.Option(help="Seconds that the machine's own watch has.")] = 120.0,
) -> None:
    """Have this machine work for the head of its deployment until it is to leave."""
    objects = Control(control)
    deployment = read(objects.deployment())
    here = Here(deployment, pool, machine, address)
    waits = Waits(look, notice, grace)
    Node(here, objects, cloud_of(deployment), waits).run()


@dataclass(frozen=True, slots=True)
class Here:
    """Which machine this is."""

    deployment: Deployment
    pool: str
    machine: str
    address: str

    @property
    def group(self) -> str:
        """The group that the machine is a member of.

        Raises:
            DeploymentError: the deployment has no such pool.
        """
        if self.pool not in self.deployment.pools:
            raise DeploymentError(f"the deployment has no pool {self.pool!r}")
        return self.deployment.pools[self.pool].group


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds.

    Attributes:
        look: between looks at the lease while Ray is up.
        notice: between questions whether the machine is taken back.
        grace: from the reason to leave until this process asks the cloud itself.
    """

    look: float
    notice: float
    grace: float


class Node:
    """A machine's Ray, and what may end it.

    Args:
        here: which machine this is.
        control: where the lease is.
        cloud: what keeps the token, and has the group.
    """

    def __init__(self, here: Here, control: Control, cloud: Cloud, waits: Waits) -> None:
        self._here = here
        self._group = here.group
        self._control = control
        self._cloud = cloud
        self._waits = waits
        self._watcher = Watcher(here.machine, here.pool)
        self._ray: Ray | None = None
        self._failed = 0
        self._taken = False
        self._ended = threading.Event()

    def run(self) -> None:
        """Return when the machine has left its group, or somebody ends this process."""
        signal.signal(signal.SIGTERM, lambda *_: self._ended.set())
        look_at = notice_at = time.monotonic()
        while not self._ended.is_set():
            now = time.monotonic()
            if now >= look_at:
                if reason := self._look(now):
                    self._leave(reason)
                    return
                look_at = now + (self._waits.look if self._ray else WAIT_SECONDS)
            if now >= notice_at and not self._taken:
                self._notice()
                notice_at = now + self._waits.notice
            if self._ray and self._ray.code is not None:
                self._over(self._ray)
                look_at = now + WAIT_SECONDS
            self._ended.wait(TICK_SECONDS)
        self._stop()

    def _look(self, now: float) -> str | None:
        """Go by the lease: return why to leave, or have Ray where the head is."""
        lease = self._lease()
        if reason := self._watcher.look(lease, now, time.time()):
            return reason
        if lease is None or lease == UNREADABLE or not lease.head or self._taken:
            return None
        if self._failed >= ATTEMPTS:
            return self._report(lease.run, f"Ray ended {ATTEMPTS} times right after its start")
        if self._ray and self._ray.head != lease.head:
            _say(f"the head is now at {lease.head}")
            self._stop()
        if not self._ray:
            self._start(lease.head)
        return None

    def _report(self, run: str, reason: str) -> str:
        """Tell the run why this machine is of no use to it, as the boot script does."""
        here = self._here
        said = {"machine": here.machine, "pool": here.pool, "reason": reason, "at": time.time()}
        try:
            self._control.put(run, f"boots/{here.machine}.json", json.dumps(said).encode())
        except StorageError as error:
            _say(f"the reason could not be reported: {error}")
        return reason

    def _lease(self) -> Lease | Literal["unreadable"] | None:
        try:
            return self._control.lease()
        except (StorageError, DeploymentError) as error:
            _say(f"the lease cannot be read: {error}")
            return UNREADABLE

    def _start(self, head: str) -> None:
        try:
            token = self._cloud.secrets.get(self._here.deployment.token)
        except CloudError as error:
            _say(f"no token of the cluster yet: {error}")
            return
        _say(f"joins the head at {head}")
        self._ray = Ray(head, token, self._here)

    def _over(self, ray: Ray) -> None:
        _say(f"Ray ended with {ray.code}")
        soon = time.monotonic() - ray.started < SOON_SECONDS
        self._failed = self._failed + 1 if soon and not self._taken else 0
        ray.clear()
        self._ray = None

    def _notice(self) -> None:
        """Ask whether the machine is taken back; its workers then end what they are at."""
        try:
            seconds = taken_in(self._here.deployment.cloud)
        except CloudError as error:
            _say(str(error))
            return
        if seconds is not None:
            self._taken = True
            _say(f"the cloud takes this machine back in {seconds:.0f} s")
            if self._ray:
                self._ray.drain()

    def _stop(self) -> None:
        if self._ray:
            self._ray.end()
            self._ray = None

    def _leave(self, reason: str) -> None:
        """Leave the group for good; what the cloud does not take now is tried again.

        The machine's watch sees the same, and comes first: two who ask at once might make the group
        smaller by two.
        """
        _say(f"leaves: {reason}")
        self._stop()
        self._ended.wait(self._waits.grace)
        while not self._ended.is_set():
            try:
                self._cloud.groups.remove(self._group, self._here.machine)
            except CloudError as error:
                _say(f"the cloud does not let this machine leave: {error}")
                self._ended.wait(self._waits.look)
            else:
                return


class Ray:
    """`ray start` on this machine, as a child.

    Attributes:
        head: where the cluster's control server is.
        started: the moment, as time.monotonic() has it.
    """

    def __init__(self, head: str, token: str, here: Here) -> None:
        self.head = head
        self.started = time.monotonic()
        words = ["start", "--block", "--address", head, "--node-ip-address", here.address]
        words += ["--labels", f"{LABEL}={here.machine}", "--disable-usage-stats"]
        words += ["--object-store-memory", str(OBJECT_STORE_BYTES)]
        # Its own, and short for the sockets below it: in the head's, which it would take, two that
        # start at once on one host come upon each other's sockets, and their raylets die unseen.
        self._folder = tempfile.TemporaryDirectory(prefix="ib", ignore_cleanup_errors=True)
        words += ["--temp-dir", self._folder.name]
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-P", "-m", "ray.scripts.scripts", *words],
            env=_environment(token, here.deployment.cloud),
            start_new_session=True,
        )

    @property
    def code(self) -> int | None:
        """The exit code once it has ended."""
        return self._process.poll()

    def drain(self) -> None:
        """Have its workers end what they are at and take nothing more; it ends with them."""
        self._process.terminate()

    def end(self) -> None:
        """End it, gently for some seconds."""
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.clear()

    def clear(self) -> None:
        """Remove what it kept on the disk, once it has ended."""
        self._folder.cleanup()


def _environment(token: str, cloud: str) -> Mapping[str, str]:
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(DRAIN_SECONDS[cloud]),
    }
    return {**os.environ, **own}  # noqa: TID251 - passed on unread


def _say(line: str) -> None:
    typer.echo(f"node: {line}", err=True)


if __name__ == "__main__":
    terminal.process(app)
