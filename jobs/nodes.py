"""Tell of a Ray cluster's machines: `python -P -m jobs.nodes HOST:PORT` prints JSON, now and then.

    {"i-0abc": true, "i-0def": false}    machines of ours by their label; whether work is there

A process of its own: Ray's client ends whatever process it is in when its server is gone for a
minute, and the head must outlive that. This one is started again.

Decision, 2026-11: what autoscalers are told (`get_cluster_resource_state`), not a driver's
`ray.nodes()`: it says since when each node is idle, and no driver has to be connected for it.
Drawback: it is Ray's own interface, not promised to users; the tests of `jobs.head` would tell.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from typing import Annotated, Any

import typer

from imgbatch import terminal
from jobs.node import LABEL

SECONDS = 2.0
TIMEOUT_SECONDS = 10.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def nodes(address: Annotated[str, typer.Argument(help="HOST:PORT of the control server.")]) -> None:
    """Print which machines of ours are in the cluster and which have work, every two seconds."""
    client = _ray("_raylet").GcsClient(address)
    while True:
        raw = client.get_cluster_resource_state(timeout_s=TIMEOUT_SECONDS)
        sys.stdout.write(json.dumps(told(raw)) + "\n")
        sys.stdout.flush()
        time.sleep(SECONDS)


def told(raw: bytes) -> dict[str, bool]:
    """Return which machines are up, and whether each has work, by Ray's own reply."""
    state = _ray("core.generated.autoscaler_pb2")
    reply = state.GetClusterResourceStateReply()
    reply.ParseFromString(raw)
    return {
        node.labels[LABEL]: node.idle_duration_ms == 0
        for node in reply.cluster_resource_state.node_states
        if LABEL in node.labels and node.status != state.NodeStatus.Value("DEAD")
    }


def _ray(module: str) -> Any:
    # Ray loads for a second, and has no types of these.
    return import_module(f"ray.{module}")


if __name__ == "__main__":
    terminal.process(app)
