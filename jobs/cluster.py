"""What a Ray cluster says of itself, and how it is asked for more machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.places import CORES_PER_WORKER, Machine, Need

if TYPE_CHECKING:
    from collections.abc import Callable


def quiet() -> None:
    """Keep Ray from printing what its raylets say: stdout is for our results.

    Decision, 2026-11: through a private name of Ray 2.60, whose `log_to_driver=False` spares the
    lines of workers only; a lost machine printed a page of its raylet's log between our JSON lines.
    Drawback: looked at again with each new Ray; a test would tell.
    """
    import ray  # noqa: PLC0415 - nothing to do must not start Ray

    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001 - see above


class Cluster:
    """The cluster that this process is connected to."""

    def __init__(self) -> None:
        import ray  # noqa: PLC0415 - nothing to do must not start Ray

        self._ray = ray
        self._asks: list[Any] = []
        self._asked: tuple[Need, int] | None = None

    def machines(self) -> tuple[list[Machine], set[str]]:
        """Return the machines that are up, and the nodes of those that are about to go.

        Decision, 2026-11: who is about to go is read through a private name of Ray 2.60. The public
        list of nodes does not say it, and Ray's state API needs the dashboard, which a local Ray
        does not have. Drawback: looked at again with each new Ray; a test would tell.
        """
        leaving = set(self._ray._private.state.state.get_draining_nodes())  # noqa: SLF001 - see above
        up = [
            Machine(
                node["NodeID"],
                int(node["Resources"].get("CPU", 0)),
                node["Resources"].get("GPU", 0.0),
                node["Resources"].get("memory", 0.0),
            )
            for node in self._ray.nodes()  # type: ignore[no-untyped-call] # ray leaves it bare
            if node["Alive"]
        ]
        return up, leaving

    def ask(self, need: Need, count: int) -> None:
        """Have so many more workers' worth of resources asked for: what autoscalers look at.

        Decision, 2026-11: by tasks that do nothing and find no room, not `request_resources`. They
        are gone with this process however it ends; a request stays in the cluster and keeps
        machines, and their bill, up for nobody. Drawback: where there is room after all they run,
        for a moment.
        """
        if self._asked == (need, count):
            return
        self.withdraw()
        self._asked = (need, count)
        if not count:
            return
        # By the core: a machine of one core may be all that the cluster can get.
        bundles = count if need.gpu or need.memory else count * CORES_PER_WORKER
        remote: Any = self._ray.remote(_nothing)
        options = {"num_cpus": 1, "num_gpus": need.gpu, "memory": need.memory or None}
        task: Callable[[], Any] = remote.options(**options, max_retries=0).remote
        self._asks = [task() for _ in range(bundles)]

    def withdraw(self) -> None:
        """Ask for nothing any more."""
        for ask in self._asks:
            self._ray.cancel(ask)
        self._asks, self._asked = [], None


def _nothing() -> None:
    """Take a place in the queue, where an autoscaler counts it."""
