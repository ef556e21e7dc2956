"""Ray's head and a run's driver as children of the head process: started, heard, and begun again.

    Ray        `ray start --head`, which computes nothing; its dashboard stays on this machine
    driver     `python -m jobs.analyze`, as soon as Ray is up
    eyes       `python -m jobs.nodes`: which machines are in Ray, and which have work

What enters is an order; what leaves is a `cloud.work.Work` whenever it is asked for. None of it
is waited for. A driver that a signal killed, or that a bucket or Ray failed, begins again where the
dataset stands, as often as `jobs.child` has it; the same goes for Ray itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgbatch.cloud.work import Work
from imgbatch.dataset import Dataset
from imgbatch.errors import CancelledError, ClusterError, ImgbatchError, JobError, StorageError
from imgbatch.observe import cancel, life
from jobs.child import Child

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Order
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.observe.life import Life
    from jobs.child import Diary

OBJECT_STORE_BYTES = 256 * 2**20
# What may pass: a bucket that is out, machines that were lost, a Ray that is not there.
PASSING = (StorageError.exit_code, JobError.exit_code, ClusterError.exit_code)
# A lost machine is noticed after 12 s, not after Ray's 66.
HASTY = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where Ray's head listens; `address` is this machine's inside the network."""

    address: str
    gcs: int = 6379
    dashboard: int = 8265
    client: int = 10001


@dataclass
class Progress:
    """How far a run is over all its drivers: each tells of what it found undone."""

    shards: int = 0
    shards_done: int = 0
    sources: int = 0
    sources_done: int = 0
    begun: bool = False
    eta: float | None = None
    bytes_read: int = 0
    bytes_written: int = 0
    _run: str = ""
    _before: tuple[int, int] = (0, 0)

    def take(self, run: str, told: Mapping[str, Any]) -> None:
        """Take what a driver says of itself."""
        if run != self._run:
            # What a driver before it had done is not among what this one found to do.
            self._run = run
            self._before = (
                max(0, self.shards - int(told["of_shards"])),
                max(0, self.sources - int(told["of"])),
            )
        shards, sources = self._before
        self.shards, self.shards_done = (
            shards + int(told["of_shards"]),
            shards + int(told["shards"]),
        )
        self.sources, self.sources_done = sources + int(told["of"]), sources + int(told["sources"])
        # The driver runs from when a worker is up and has its first shard.
        self.begun = self.begun or told.get("state") == "running"
        self.eta = told.get("eta_seconds")
        # Of this driver alone: whoever counts what was paid sees that they begin anew.
        self.bytes_read = int(told.get("bytes", 0))
        self.bytes_written = int(told.get("bytes_written", 0))


class HostedRun:
    """Ray and the driver of one order, on this machine.

    Args:
        order: what to run.
        deployment: whose secret holds the token.
        cloud: which keeps it.
        ports: where Ray listens.
        diary: told what they print.

    Attributes:
        address: HOST:PORT of Ray's control server; "" until it is up.
    """

    def __init__(
        self, order: Order, deployment: Deployment, cloud: Cloud, *, ports: Ports, diary: Diary
    ) -> None:
        self._order, self._ports, self._diary = order, ports, diary
        self.address = ""
        self._token = secrets.token_hex(32)
        self._folder = tempfile.TemporaryDirectory(prefix="ib")  # sockets below it: short
        self._gpus = bool(deployment.pools[order.pool].gpus)
        cloud.secrets.put(deployment.token, self._token)
        self._ray = Child(self._start(), self._environment(), diary.write, lambda _: True)
        self._driver: Child | None = None
        self._eyes: Child | None = None
        self._seen: dict[str, bool] = {}
        self._life: Life | None = None
        self._progress = Progress()
        self._cancelled = False

    # -- what is asked of it -----------------------------------------------------------------------

    def work(self, *, stop: str, failed_boots: dict[str, str]) -> Work:
        """Return how far it is; starts what has yet to start, and again what died."""
        broken = self._ray.look()
        if not self.address and _answers(self._ports):
            self.address = f"{self._ports.address}:{self._ports.gcs}"
            self._drive()
        if self._driver and self._eyes:
            self._driver.look()
            if self._eyes.look() is not None:
                self._watch()
            self._read()
        progress = self._progress
        return Work(
            shards=progress.shards,
            shards_done=progress.shards_done,
            sources=progress.sources,
            sources_done=progress.sources_done,
            begun=progress.begun,
            joined=frozenset(self._seen),
            busy=frozenset(machine for machine, works in self._seen.items() if works),
            ended=self._ended(broken),
            failed_boots=failed_boots,
            stop=stop,
            eta=progress.eta,
            bytes_read=progress.bytes_read,
            bytes_written=progress.bytes_written,
        )

    def cancel(self) -> None:
        """Have the driver commit what is finished and end."""
        self._cancelled = True
        if self._driver is None:
            return
        self._read()
        if self._life and self._life.alive:
            with contextlib.suppress(ImgbatchError):  # then it is killed some seconds later
                cancel.ask(Dataset.open(self._order.dataset).store, self._life.run)
        else:
            self._driver.tell(signal.SIGTERM)

    def kill(self) -> None:
        """End the driver by force."""
        self._cancelled = True
        if self._driver:
            self._driver.end()

    def close(self) -> None:
        """End Ray and all else."""
        for child in (self._eyes, self._driver, self._ray):
            if child:
                child.end()
        self._folder.cleanup()

    def log(self) -> bytes:
        """Return what was said, the last of it."""
        return self._diary.read()

    # -- its children ------------------------------------------------------------------------------

    def _start(self) -> list[str]:
        ports = self._ports
        words = ["start", "--head", "--block", "--port", str(ports.gcs), "--num-cpus", "0"]
        words += ["--node-ip-address", ports.address, "--disable-usage-stats"]
        words += ["--dashboard-host", "127.0.0.1", "--dashboard-port", str(ports.dashboard)]
        words += ["--ray-client-server-port", str(ports.client)]
        words += ["--object-store-memory", str(OBJECT_STORE_BYTES)]
        words += ["--temp-dir", self._folder.name]
        return [sys.executable, "-P", "-m", "ray.scripts.scripts", *words]

    def _drive(self) -> None:
        recipe = Path(self._folder.name) / "recipe.toml"
        recipe.write_text(self._order.recipe, "utf-8")
        order = self._order
        words = ["--recipe", str(recipe), "--address", self.address, *order.words]
        words += ["--", order.input, order.dataset]
        run = [sys.executable, "-u", "-P", "-m", "jobs.analyze", *words]
        self._driver = Child(run, self._environment(), self._diary.write, self._passing)
        self._watch()

    def _watch(self) -> None:
        words = [sys.executable, "-P", "-m", "jobs.nodes", self.address]
        self._eyes = Child(words, self._environment(), self._see, lambda _: True)

    def _see(self, line: bytes) -> None:
        try:
            self._seen = json.loads(line)
        except ValueError:
            self._diary.write(line)

    def _environment(self) -> dict[str, str]:
        """Return what the children are told: the order's own words, and where and how long."""
        left = max(60, int(self._order.deadline - time.time()))
        own = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            # A run without machines waits: how long is the head's to say.
            "IMGBATCH_CLUSTER_SECONDS": str(left),
            **({"IMGBATCH_DEVICE": "cuda"} if self._gpus else {}),
        }
        outer = dict(os.environ)  # noqa: TID251 - passed on unread
        return {**outer, **HASTY, **own, **self._order.environment}

    def _passing(self, code: int) -> bool:
        again = not self._cancelled and (code < 0 or code in PASSING)
        if again:
            self._diary.say(f"the driver ended with {code} and begins again")
        return again

    # -- how far it is -----------------------------------------------------------------------------

    def _ended(self, broken: int | None) -> int | None:
        code = self._driver.code if self._driver else None
        if code is None and broken is not None:
            return ClusterError.exit_code
        if code is None and self._cancelled and self._driver is None:
            return CancelledError.exit_code
        # By a signal: Ray's own children are told the same number by nobody but us.
        return JobError.exit_code if code is not None and code < 0 else code

    def _read(self) -> None:
        """Look into the dataset for what the driver says of itself."""
        if self._driver is None:
            return
        try:
            dataset = Dataset.open(self._order.dataset)
            known = self._life.run if self._life and self._life.alive else None
            found = life.life(dataset, known) if known else life.last(dataset)
        except (ImgbatchError, OSError):
            return  # not made yet, or its bucket does not answer: the driver says which
        told = found.progress if found else None
        if (
            found
            and told
            and told["pid"] == self._driver.pid
            and told["host"] == socket.gethostname()
        ):
            self._life = found
            self._progress.take(found.run, told)


def _answers(ports: Ports) -> bool:
    try:
        socket.create_connection((ports.address, ports.gcs), timeout=1.0).close()
    except OSError:
        return False
    return True
