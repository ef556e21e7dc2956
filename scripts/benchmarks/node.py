"""A Ray node of so many cores on this machine, and a command that gets its address.

Run as a process of its own: `node CORES COMMAND...`; `--address HOST:PORT` is put behind COMMAND.
A worker takes one core, so the node has as many workers as cores.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 2**27


def main(cores: int, command: list[str]) -> int:
    """Start the node, run the command, end the node; return the command's exit code."""
    head: dict[str, Any] = {
        "num_cpus": cores,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        words = [*command, "--address", cluster.address]
        return subprocess.run(words, check=False).returncode  # noqa: S603 - command lines of this folder, no shell
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call] # ray leaves it bare


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
