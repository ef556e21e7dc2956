"""Several Ray nodes on this machine: raylets of the test's own, killed, paused, drained and added.

Everything is ended by the ids of the processes that were started here; files lie in a folder of the
cluster's own.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from ray.cluster_utils import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
CORES = 2
STORE_BYTES = 80 * 2**20
# A node that says nothing is dead after some seconds, not after Ray's half a minute. Less than that
# ends nodes that only wait for a core: other tests are at work beside these.
HASTY = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "4",
}


@dataclass
class Raylets:
    """A head that computes nothing and nodes of two cores each."""

    folder: Path
    cluster: Cluster
    started: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> Any:
        node = self.cluster.add_node(num_cpus=CORES, object_store_memory=STORE_BYTES)
        self.family(node)
        return node

    def family(self, node: Any) -> list[psutil.Process]:
        """Return the processes of a node: its raylet and all that came of it."""
        found = []
        for info in (i for infos in node.all_processes.values() for i in infos):
            with contextlib.suppress(psutil.NoSuchProcess):
                own = psutil.Process(info.process.pid)
                found += [own, *own.children(recursive=True)]
        self.started |= {process.pid: process for process in found}
        return found

    def workers(self, node: Any) -> list[psutil.Process]:
        return [process for process in self.family(node) if is_worker(process)]

    def kill(self, node: Any) -> None:
        """End a node as a power cut does."""
        send(self.family(node), signal.SIGKILL)
        self.cluster.remove_node(node, allow_graceful=False)

    def leave(self, node: Any) -> None:
        """End a node in the way of `ray stop`."""
        self.family(node)
        self.cluster.remove_node(node, allow_graceful=True)

    def pause(self, node: Any) -> None:
        """Stop a node where it stands."""
        send(self.family(node), signal.SIGSTOP)

    def resume(self, node: Any) -> None:
        """Let a node go on that was given up meanwhile; wait until it has ended itself."""
        send(self.family(node), signal.SIGCONT)
        for info in (i for infos in node.all_processes.values() for i in infos):
            # A raylet that nobody waited for still has its number: its workers think that it lives.
            info.process.wait(timeout=30)

    def drain(self, node: Any, seconds: int) -> None:
        drain(self.address, node.node_id, seconds)

    def close(self) -> None:
        for node in self.cluster.list_all_nodes():
            self.family(node)
        send(self.started.values(), signal.SIGKILL)
        for node in self.cluster.list_all_nodes():
            node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def raylets() -> Iterator[Raylets]:
    """A cluster of one head, which takes no actors; nodes are added by the test."""
    # Not below pytest's folder: the name of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="rays"))
    with pytest.MonkeyPatch.context() as patch:
        own = {"RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
        for name, value in {**HASTY, **own}.items():
            patch.setenv(name, value)
        found = Raylets(folder, Cluster(shutdown_at_exit=False))
        (folder / "ray").mkdir()
        try:
            found.cluster.add_node(
                num_cpus=0,
                temp_dir=str(folder / "ray"),
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
            )
            yield found
        finally:
            found.close()


def drain(
    address: str,
    node: str,
    seconds: int,
    *,
    inside: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Tell a cluster that a node is taken away in so many seconds, as a cloud does for a spot."""
    words = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address]
    words += ["--node-id", node, "--deadline-remaining-seconds", str(seconds)]
    words += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a test"]
    said = subprocess.run(
        [*inside, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is one of our workers."""
    try:
        return process.cmdline()[:1] != [] and process.cmdline()[0].startswith("ray::Worker")
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def send(processes: Any, number: signal.Signals) -> None:
    """Send a signal to those that still run."""
    for process in processes:
        # By psutil: a number that another process has meanwhile is not hit.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
