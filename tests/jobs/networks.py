"""Three Ray nodes with addresses of their own: network namespaces on one bridge, in a fourth one.

The machine's own network is left as it is: also the bridge is in a namespace. The test's process
stays outside and needs no way in; what runs inside is started there by `nsenter`. Files are shared.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.jobs.nodes import CORES, HASTY, ROOT, STORE_BYTES, drain, is_worker, send

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT, S3_PORT = 6379, 5000
ADDRESS = "10.77.0.{}"
HEAD, WORKERS = 1, (2, 3)
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


@dataclass
class Networks:
    """A head, which computes nothing, and two nodes; each in a network namespace."""

    folder: Path
    name: str
    environment: dict[str, str]
    processes: dict[int | str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{ADDRESS.format(HEAD)}:{PORT}"

    def inside(self, number: int) -> list[str]:
        """Return the words before a command that is to run on a node."""
        return ["nsenter", f"--net=/run/netns/{self.name}-{number}"]

    def lay(self) -> None:
        """Make the namespaces and what connects them."""
        bridge = f"{self.name}-0"
        ip("netns", "add", bridge)
        ip("-n", bridge, "link", "add", "bridge", "type", "bridge")
        ip("-n", bridge, "link", "set", "bridge", "up")
        for number in (HEAD, *WORKERS):
            space, port = f"{self.name}-{number}", f"port{number}"
            ip("netns", "add", space)
            peer = ["type", "veth", "peer", "name", "eth0", "netns", space]
            ip("-n", bridge, "link", "add", port, *peer)
            ip("-n", bridge, "link", "set", port, "master", "bridge", "up")
            ip("-n", space, "address", "add", f"{ADDRESS.format(number)}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "lo", "up")
            ip("-n", space, "link", "set", "eth0", "up")

    def cut(self, number: int) -> None:
        """Take a node's cable out, at the other end: its address stays."""
        ip("-n", f"{self.name}-0", "link", "set", f"port{number}", "down")

    def mend(self, number: int) -> None:
        """Put it in again."""
        ip("-n", f"{self.name}-0", "link", "set", f"port{number}", "up")

    def start(self, number: int) -> None:
        """Start a node's Ray; returns at once."""
        words = [*RAY, "start", "--block", "--node-ip-address", ADDRESS.format(number)]
        words += ["--object-store-memory", str(STORE_BYTES), "--temp-dir", str(self.temp(number))]
        if number == HEAD:
            words += ["--head", "--port", str(PORT), "--num-cpus", "0"]
            words += ["--include-dashboard", "false"]
        else:
            words += ["--address", self.address, "--num-cpus", str(CORES)]
        self.processes[number] = self.run(number, words)

    def serve(self) -> None:
        """Have an S3 server at the head, which the environment points at."""
        if "s3" in self.processes:
            return
        address = ADDRESS.format(HEAD)
        words = [sys.executable, "-m", "moto.server", "-H", address, "-p", str(S3_PORT)]
        self.processes["s3"] = self.run(HEAD, words)

    def temp(self, number: int) -> Path:
        return self.folder / str(number)

    def run(self, number: int, words: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{number}.said").open("ab") as said:
            return subprocess.Popen(
                [*self.inside(number), *words], env=self.environment, stdout=said, stderr=said
            )

    def family(self, number: int) -> list[psutil.Process]:
        """Return all processes in a node's namespace, which are ours alone."""
        found = subprocess.run(
            ["ip", "netns", "pids", f"{self.name}-{number}"], capture_output=True, check=False
        )
        processes = []
        for pid in found.stdout.split():
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.append(psutil.Process(int(pid)))
        return processes

    def workers(self, number: int) -> list[psutil.Process]:
        return [process for process in self.family(number) if is_worker(process)]

    def kill(self, number: int) -> None:
        """End a node as a power cut does."""
        while family := self.family(number):
            send(family, signal.SIGKILL)
            time.sleep(0.05)
        if process := self.processes.pop(number, None):
            process.wait()
        (self.folder / f"{number}.said").unlink(missing_ok=True)

    def alone(self, number: int) -> None:
        """Wait until a node has no worker of ours left."""
        end = time.monotonic() + 60
        while self.workers(number):
            assert time.monotonic() < end, "workers outlive the run that they belong to"
            time.sleep(0.1)

    def restart(self) -> None:
        """Start the nodes that are not up, with their cables in."""
        for number in WORKERS:
            self.mend(number)
            if number not in self.processes or self.processes[number].poll() is not None:
                self.kill(number)
                self.start(number)
        self.up(*WORKERS)

    def nodes(self) -> dict[int, str]:
        """Return the ids of the nodes that the head knows to be alive, by number."""
        script = "import json, sys, ray; ray.init(sys.argv[1], log_to_driver=False); "
        script += "print(json.dumps([(n['NodeManagerAddress'], n['NodeID']) "
        script += "for n in ray.nodes() if n['Alive']]))"
        said = subprocess.run(
            [*self.inside(HEAD), sys.executable, "-c", script, self.address],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        return {int(a.rpartition(".")[2]): i for a, i in json.loads(said.stdout.splitlines()[-1])}

    def drain(self, number: int, seconds: int) -> None:
        node, inside = self.nodes()[number], self.inside(HEAD)
        drain(self.address, node, seconds, inside=inside, environment=self.environment)

    def up(self, *numbers: int) -> None:
        """Wait until nodes answer."""
        end = time.monotonic() + 60
        while not all(self.registered(number) for number in numbers):
            said = "\n".join(f.read_text() for f in self.folder.glob("*.said"))
            assert time.monotonic() < end, f"not up: {said}"
            time.sleep(0.1)

    def registered(self, number: int) -> bool:
        said = self.folder / f"{number}.said"
        return b"Ray runtime started" in said.read_bytes() if said.exists() else False

    def close(self) -> None:
        if server := self.processes.pop("s3", None):
            server.kill()
            server.wait()
        for number in (*WORKERS, HEAD, 0):
            with contextlib.suppress(FileNotFoundError):
                self.kill(number)
            subprocess.run(
                ["ip", "netns", "del", f"{self.name}-{number}"],
                stderr=subprocess.DEVNULL,
                check=False,
            )
        shutil.rmtree(self.folder, ignore_errors=True)


def ip(*words: str) -> None:
    """Run `ip`, which says why when it will not."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr}")


def possible() -> str:
    """Return why no network namespace can be made here; empty when one can."""
    if not (shutil.which("ip") and shutil.which("nsenter")):
        return "the commands ip (iproute2) and nsenter (util-linux) are needed"
    name = f"imgbatch-{os.getpid()}-try"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "add", "bridge", "type", "bridge")
    except OSError as error:
        return f"network namespaces need CAP_NET_ADMIN and CAP_SYS_ADMIN: {error}"
    finally:
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
    return ""


@contextlib.contextmanager
def networks(**settings: str) -> Iterator[Networks]:
    """Head and two nodes, up; all of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="nets"))
    environment = {
        **os.environ,
        **HASTY,
        "RAY_USAGE_STATS_ENABLED": "0",
        # As Ray itself has it, but with a token of our own and no file in the user's home.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": str(ROOT),
        "AWS_ENDPOINT_URL": f"http://{ADDRESS.format(HEAD)}:{S3_PORT}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        **settings,
    }
    found = Networks(folder, f"imgbatch-{os.getpid()}", environment)
    try:
        found.lay()
        found.start(HEAD)
        found.up(HEAD)
        for number in WORKERS:
            found.start(number)
        found.up(*WORKERS)
        yield found
    finally:
        found.close()
