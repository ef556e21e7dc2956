"""The cluster: which machines it has, and which are about to go; it is asked and waited for more.

Decision, 2026-11: two names of Ray 2.60 that are not public are used here. The public list of nodes
does not say which are drained, and Ray's state API needs the dashboard, which a local Ray does not
have. And `log_to_driver=False` spares the lines of workers only: a lost machine printed a page of
its raylet's log between the JSON lines of our stdout. Drawback: looked at again with each new Ray;
tests/jobs/test_cluster.py would tell.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import ray

from imgbatch.errors import JobError
from jobs.places import Machine, Need, told

if TYPE_CHECKING:
    from collections.abc import Callable

# Where workers run, more machines are asked for after so long; where none do, at once.
ASK_SECONDS = 5.0
# Without any worker, this is told so soon, and every so often from then on.
SAY_SECONDS, SAY_AGAIN_SECONDS = 5.0, 60.0


def quiet() -> None:
    """Keep Ray from printing what its raylets say: stdout is for our results."""
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001 - see the top of this file


class Cluster:
    """The cluster that this process is connected to.

    Args:
        local: it is this machine, started by us: it cannot grow.
        patience: seconds without any worker until the run is ended.
        say: tells the user a line.
    """

    def __init__(self, *, local: bool, patience: float, say: Callable[[str], None]) -> None:
        self._local = local
        self._patience = patience
        self._say = say
        self._asks: list[Any] = []
        self._asked: tuple[Need, int] | None = None
        self._full = self._manned = time.monotonic()
        self._said = self._manned - SAY_AGAIN_SECONDS + SAY_SECONDS

    def machines(self) -> tuple[list[Machine], set[str]]:
        """Return the machines that are up, and the nodes of those that are about to go."""
        leaving = set(ray._private.state.state.get_draining_nodes())  # noqa: SLF001 - as above
        up = [
            Machine(
                node["NodeID"],
                int(node["Resources"].get("CPU", 0)),
                node["Resources"].get("GPU", 0.0),
                node["Resources"].get("memory", 0.0),
            )
            for node in ray.nodes()  # type: ignore[no-untyped-call] # ray leaves it bare
            if node["Alive"]
        ]
        return up, leaving

    def reckon(self, need: Need, *, lacking: int, started: int, running: int, up: int) -> None:
        """Ask for more machines where tasks outnumber workers, and see that some worker runs.

        Args:
            need: of one worker.
            lacking: how many more workers would have something to do.
            started: how many are up or on their way.
            running: how many processes there are.
            up: how many of them can be given tasks.

        Raises:
            JobError: none is up after all that time, or none can ever be.
        """
        now = time.monotonic()
        if lacking <= 0:
            self._full = now
        if lacking <= 0 or self._local:
            self.ask(need, 0)
        elif not started or now - self._full > ASK_SECONDS:
            # As many again as there are: what the cluster cannot give costs no more than that.
            self.ask(need, min(lacking, max(1, running)))
        if running or self._local:
            self._said = now - SAY_AGAIN_SECONDS + SAY_SECONDS
        if up:
            self._manned = now
        else:
            self._without(need, now, never=self._local and not started)

    def _without(self, need: Need, now: float, *, never: bool) -> None:
        """Say that no worker is up, where it is time to; `never`: and none can be.

        Raises:
            JobError: as for `reckon`.
        """
        waited = now - self._manned
        if not never and waited <= self._patience and now - self._said <= SAY_AGAIN_SECONDS:
            return
        said = f"each worker needs {need}; the cluster has {told(self.machines()[0])}"
        if never:
            raise JobError(
                f"no worker can run on this machine: {said}",
                "Run on a cluster that has it (--address), or leave out the analyzer that asks.",
            )
        if waited > self._patience:
            raise JobError(
                f"no worker came up in {waited:.0f} s: {said}",
                "`ray status` says what the cluster does; IMGBATCH_CLUSTER_SECONDS is the limit. "
                "Run the same command again: only the undone shards are computed.",
            )
        self._said = now
        self._say(f"waiting for workers: {said}")

    def ask(self, need: Need, count: int) -> None:
        """Have so many more workers' worth of resources asked for: what autoscalers look at.

        Decision, 2026-11: by tasks that do nothing and find no room, not `request_resources`. They
        are gone with this process however it ends; a request stays in the cluster and keeps
        machines, and their bill, up for nobody. Drawback: where there is room after all they run,
        for a moment.
        """
        stand = not self._asks or not ray.wait(self._asks, timeout=0)[0]
        if self._asked == (need, count) and stand:
            return  # nobody has answered yet
        for ask in self._asks:
            ray.cancel(ask)
        self._asked = (need, count)
        remote: Any = ray.remote(_nothing)
        options = {"num_cpus": 1, "num_gpus": need.gpu, "memory": need.memory or None}
        asking = remote.options(**options, max_retries=0)
        self._asks = [asking.remote() for _ in range(count)]


def _nothing() -> None:
    """Take a place in the queue, where an autoscaler counts it."""
