"""Every machine that the server of tests launches really boots; one that it ends really ends.

    with Machines(aws) as machines:       from now on
        machines.at("head")                 those of a group that run, by the end of its name
        machines.at("cpu")[0].metadata.take_back()

moto keeps a table of instances and nothing runs. Here a thread looks at that table: an instance
gets a `Machine` (tests/cloud/machine.py) that boots the very user data which Terraform rendered,
with the address that moto gave it. The network of the deployment has to be one of loopback
(127.20.0.0/16), so that Linux lets each machine listen at its own.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cloud.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from tests.cloud.moto_server import Moto

LOOK_SECONDS = 0.5
# The watch of a machine looks each minute, and waits for ten: here in a tenth of that.
TIMES = {"WATCH_SECONDS": "5", "SILENT_SECONDS": "60", "HEAD_SECONDS": "90", "BOOT_SECONDS": "120"}
VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION", "AWS_MAX_ATTEMPTS")


@dataclass(frozen=True, slots=True)
class Seen:
    """An instance as the server tells it."""

    name: str
    group: str
    address: str
    running: bool


class Machines:
    """The machines of an account.

    Args:
        aws: the server.
        container: variables of the containers' processes.
    """

    def __init__(self, aws: Moto, *, container: Mapping[str, str] | None = None) -> None:
        self._aws = aws
        self._ec2 = aws.client("ec2")
        told = aws.environment()
        self._environment = {name: told[name] for name in VARIABLES if name in told} | TIMES
        # A container on this host reaches the server as its machine does.
        kept = {name: told[name] for name in ("AWS_ALLOW_HTTP",) if name in told}
        self._container = {**kept, **(container or {})}
        self._lock = threading.Lock()
        self._machines: dict[str, tuple[str, Machine]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self.launched: list[tuple[float, str, str]] = []
        self.ended: list[tuple[float, str, str]] = []
        self.said: dict[str, str] = {}

    def at(self, group: str) -> list[Machine]:
        """Return the machines that run, of the groups whose names end so."""
        with self._lock:
            return [one for name, one in self._machines.values() if name.endswith(group)]

    def count(self, group: str) -> int:
        """Return how many machines of a group were ever launched."""
        return sum(name.endswith(group) for _, _, name in self.launched)

    def told(self) -> str:
        """Return what all machines said, those that ended too."""
        with self._lock:
            said = {**self.said, **{name: one.said for name, (_, one) in self._machines.items()}}
        return "\n".join(f"===== {name}\n{text}" for name, text in said.items())

    def wait(self, condition: Callable[[], Any], seconds: float) -> Any:
        """Return what a condition says once it says something.

        Raises:
            TimeoutError: it did not, with what all machines said.
        """
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds} s in vain\n{self.told()[-40_000:]}")
            time.sleep(0.2)
        return found

    def _keep_looking(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        for seen in self._instances():
            held = self._machines.get(seen.name)
            if seen.running and held is None and seen.name not in self.said:
                self._boot(seen)
            elif not seen.running and held is not None:
                self._end(seen.name)

    def _instances(self) -> Iterator[Seen]:
        pages = self._ec2.get_paginator("describe_instances").paginate()
        for one in (i for page in pages for r in page["Reservations"] for i in r["Instances"]):
            tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
            yield Seen(
                one["InstanceId"],
                tags.get("aws:autoscaling:groupName", ""),
                one.get("PrivateIpAddress", ""),
                one["State"]["Name"] in ("pending", "running"),
            )

    def _boot(self, seen: Seen) -> None:
        asked = {"InstanceId": seen.name, "Attribute": "userData"}
        data = self._ec2.describe_instance_attribute(**asked)["UserData"]["Value"]
        machine = Machine(seen.name, seen.address, self._environment, container=self._container)
        with self._lock:
            self._machines[seen.name] = seen.group, machine
            self.launched.append((time.monotonic(), seen.name, seen.group))
        machine.start(plain(data))

    def _end(self, name: str) -> None:
        with self._lock:
            group, machine = self._machines.pop(name)
            self.said[name] = machine.said
            self.ended.append((time.monotonic(), name, group))
        with machine:
            pass

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for name in list(self._machines):
            with contextlib.suppress(KeyError):
                self._end(name)


def plain(data: str) -> str:
    """Return user data as cloud-init reads it: it may be compressed."""
    raw = base64.b64decode(data)
    return (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode()
