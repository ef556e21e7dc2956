"""A number of Ray nodes of one core each on this machine, and a command that gets their address.

Run as a process of its own: `nodes COUNT COMMAND...`; `--address HOST:PORT` is put behind COMMAND.
A worker takes two cores where it can get them: so nodes are what makes workers of one core each.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 2**27


def main(count: int, command: list[str]) -> int:
    """Start the nodes, run the command, end the nodes; return the command's exit code."""
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}
    head = {**node, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count - 1):
            cluster.add_node(wait=True, **node)
        words = [*command, "--address", cluster.address]
        return subprocess.run(words, check=False).returncode  # noqa: S603 - command lines of this folder, no shell
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call] # ray leaves it bare


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
