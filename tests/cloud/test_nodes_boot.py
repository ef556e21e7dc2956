"""Machines whose container is real: `jobs.node` joins a Ray head, is drained, follows, leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cloud.test_boots import booting, lab, left
from tests.jobs.cluster import TOKEN, head, with_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cloud.lab import Lab
    from tests.cloud.machine import Machine

__all__ = ["lab"]
pytestmark = [pytest.mark.slow, pytest.mark.ray]

# The watch sleeps: what leaves here leaves by itself.
ASLEEP = {"WATCH_SECONDS": "600", "SHIM_WORDS": "--look 2 --notice 1 --grace 0"}

# What a terminal on the head would say of its nodes, as one line of JSON.
NODES = """
import json, sys, ray
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
draining = ray._private.state.state.get_draining_nodes()
print(json.dumps([{**n, "draining": n["NodeID"] in draining} for n in ray.nodes()]))
"""
BUSY = """
import sys, time, ray
from pathlib import Path
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
@ray.remote(num_cpus=1, max_retries=0)
def work(mark):
    Path(mark).touch()
    time.sleep(8)
    return "finished"
print(ray.get(work.remote(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def gcs() -> Iterator[str]:
    """The address of a head that computes nothing."""
    with head(cpus=0) as found:
        yield found.gcs


def nodes(gcs: str) -> list[dict[str, Any]]:
    words = [sys.executable, "-c", NODES, gcs]
    done = subprocess.run(words, env=with_token(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def node_of(gcs: str, machine: Machine) -> dict[str, Any]:
    """Return the live node with a machine's label, once there is one."""

    def look() -> list[dict[str, Any]]:
        return [
            node
            for node in nodes(gcs)
            if node["Alive"] and node["Labels"].get("imgbatch-machine") == machine.machine
        ]

    (found,) = machine.wait(look)
    return dict(found)


def test_a_worker_joins_under_its_own_name_and_leaves_with_the_lease(lab: Lab, gcs: str) -> None:
    lab.moto.client("ssm").put_parameter(Name=lab.token, Value=TOKEN, Overwrite=True)
    lab.control.hold(lab.lease())
    with booting(lab, job=None, times=ASLEEP) as machine:
        machine.wait(lambda: machine.booted == 0)
        lab.control.hold(lab.lease(beat=2, head=gcs))  # it was there before its head
        node = node_of(gcs, machine)
        assert node["NodeManagerAddress"] == machine.address
        assert node["Resources"]["CPU"] > 0
        lab.control.release()
        left(lab, machine)
        assert "leaves: there is no lease" in machine.container_log
        machine.wait(lambda: not [p for p in machine.processes if "ray" in p.name()])
    assert TOKEN not in machine.container_log


def test_a_spot_notice_drains_the_node_and_what_it_is_at_ends_well(lab: Lab, gcs: str) -> None:
    lab.moto.client("ssm").put_parameter(Name=lab.token, Value=TOKEN, Overwrite=True)
    lab.control.hold(lab.lease(head=gcs))
    with booting(lab, job=None, times=ASLEEP) as machine:
        node = node_of(gcs, machine)
        mark = machine.root / "begun"
        words = [sys.executable, "-c", BUSY, gcs, str(mark)]
        with subprocess.Popen(words, env=with_token(), stdout=subprocess.PIPE, text=True) as busy:
            machine.wait(mark.exists)
            machine.metadata.take_back()
            machine.wait(
                lambda: any(n["NodeID"] == node["NodeID"] and n["draining"] for n in nodes(gcs))
            )
            assert busy.communicate(timeout=60)[0] == "finished\n"
        machine.wait(lambda: "Ray ended" in machine.container_log)
        assert "takes this machine back" in machine.container_log
        # The cloud takes it; it does not go by itself, and does not join again.
        assert lab.members(lab.pool) == [machine.machine]
        assert machine.container_log.count("joins the head") == 1
