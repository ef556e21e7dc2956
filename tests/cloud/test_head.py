"""The head for real: `jobs.head` on groups of moto's, `jobs.node` on each machine that they have.

Every machine is a few processes with an address of loopback of its own; Ray, the bucket's objects
and the dataset are real.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from imgbatch.cloud import ledger, open_cloud
from imgbatch.cloud.control import Control, Order, State, new_run
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from tests import corpus
from tests.cloud.moto_server import REGION, Moto
from tests.jobs.cluster import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud import Cloud

pytestmark = [pytest.mark.slow, pytest.mark.ray]
ROOT = Path(__file__).parents[2]
BUCKET, HEAD, POOL = "lab", "imgbatch-lab-head", "imgbatch-lab-cpu"
SECONDS = 300


@dataclass
class Site:
    """A deployment on moto, and the processes of its machines."""

    moto: Moto
    folder: Path
    control: Control
    cloud: Cloud
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    dashboards: dict[str, int] = field(default_factory=dict)

    def boot(self) -> None:
        """Start what each machine runs that is new, and end those that the cloud has ended."""
        here = set()
        for group, role in ((HEAD, "head"), (POOL, "node")):
            for member in self.cloud.groups.members(group):
                here.add(member.machine)
                if member.machine not in self.processes and member.state != "leaving":
                    self._boot(member.machine, role)
        for machine in self.processes.keys() - here:
            self.kill(machine)

    def _boot(self, machine: str, role: str) -> None:
        number = len(self.processes) + 1
        words = [self.control.store.root, "--machine", machine, "--address", f"127.20.77.{number}"]
        if role == "head":
            port, dashboard, client = map(str, free_ports(3))
            words += ["--port", port, "--dashboard-port", dashboard, "--client-port", client]
            self.dashboards[machine] = int(dashboard)
        else:
            words += ["--pool", "cpu", "--look", "1", "--notice", "3600"]
        with (self.folder / f"{role}-{machine}.log").open("wb") as out:
            self.processes[machine] = subprocess.Popen(
                [sys.executable, "-P", "-m", f"jobs.{role}", *words],
                cwd=self.folder,
                env={**os.environ, "IMGBATCH_SHARD_SOURCES": "4"},
                stdout=out,
                stderr=out,
            )

    def kill(self, machine: str) -> None:
        """End a machine as a cloud does: all of it, at once."""
        family = self._family(self.processes[machine].pid)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.processes[machine].wait()

    def _family(self, pid: int) -> list[psutil.Process]:
        try:
            own = psutil.Process(pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def listening(self, machine: str) -> dict[int, set[str]]:
        """Return where a machine's processes take connections: addresses by port."""
        found: dict[int, set[str]] = {}
        for process in self._family(self.processes[machine].pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in process.net_connections(kind="tcp"):
                    if one.status == psutil.CONN_LISTEN:
                        found.setdefault(one.laddr.port, set()).add(one.laddr.ip)
        return found

    def close(self) -> None:
        for machine in self.processes:
            self.kill(machine)

    def until(self, condition: Any, seconds: float = SECONDS) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{self.alive()} still run\n{self.logs()}"
            self.boot()
            time.sleep(0.5)

    def alive(self) -> list[str]:
        return [name for name, process in self.processes.items() if process.poll() is None]

    def logs(self) -> str:
        return "\n".join(f"{p.name}\n{p.read_text()[-6000:]}" for p in self.folder.glob("*.log"))

    def order(self, **more: Any) -> Order:
        """Do what `cloud run` does."""
        deadline = time.time() + 1800
        told = {"recipe": corpus.RECIPE, "pool": "cpu", "most": 2, "budget": 5.0, **more}
        order = Order(
            run=new_run(),
            input=f"s3://{BUCKET}/in",
            dataset=f"s3://{BUCKET}/out",
            deadline=deadline,
            environment={"IMGBATCH_SHARD_SOURCES": "4"},
            **told,
        )
        self.control.order(order)
        for group in (HEAD, POOL):
            self.cloud.groups.arm(group, deadline)
        self.cloud.groups.want(HEAD, 1)
        return order

    def state(self, order: Order) -> State | None:
        return self.control.state(order.run)


@pytest.fixture
def site(moto: Moto, tmp_path: Path) -> Iterator[Site]:
    s3, scaling, ec2 = (moto.client(name) for name in ("s3", "autoscaling", "ec2"))
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    files = corpus.make(tmp_path / "in")
    for path in (path for path in files.rglob("*") if path.is_file()):
        s3.upload_file(str(path), BUCKET, f"in/{path.relative_to(files)}")
    told = deployed()
    s3.put_object(Bucket=BUCKET, Key="control/deployment.json", Body=json.dumps(told).encode())
    moto.client("ssm").put_parameter(Name=told["token"], Value="unset", Type="SecureString")
    for group, type_, most, on_demand in ((HEAD, "m7i.large", 1, 100), (POOL, "c7i.xlarge", 4, 0)):
        data = {"ImageId": "ami-12c6146b", "InstanceType": type_}
        ec2.create_launch_template(LaunchTemplateName=group, LaunchTemplateData=data)
        template = {
            "LaunchTemplateSpecification": {"LaunchTemplateName": group, "Version": "$Latest"}
        }
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=group,
            MixedInstancesPolicy={
                "LaunchTemplate": {**template, "Overrides": [{"InstanceType": type_}]},
                "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": on_demand},
            },
            MinSize=0,
            MaxSize=most,
            DesiredCapacity=0,
            AvailabilityZones=[f"{REGION}a"],
        )
    found = Site(moto, tmp_path, Control(f"s3://{BUCKET}/control"), open_cloud("aws", REGION))
    yield found
    found.close()


def deployed() -> dict[str, Any]:
    return {
        "format": 1,
        "name": "lab",
        "cloud": "aws",
        "region": REGION,
        "account": "123456789012",
        "bucket": f"s3://{BUCKET}",
        "control": f"s3://{BUCKET}/control",
        "image": "none",
        "token": "/imgbatch/lab/ray-token",
        "head": {"group": HEAD, "machines": ["m7i.large"], "disk_gib": 50},
        "pools": {
            "cpu": {
                "group": POOL,
                "machines": ["c7i.xlarge"],
                "gpus": [],
                "most": 4,
                "spot": True,
                "zones": [f"{REGION}a"],
                "disk_gib": 50,
            }
        },
    }


def test_an_order_is_taken_computed_and_leaves_no_machine(site: Site) -> None:
    order = site.order()
    site.until(lambda: (found := site.state(order)) and "first-worker" in found.steps)
    ((head, dashboard),) = site.dashboards.items()
    listening = site.listening(head)
    assert listening[dashboard] == {"127.0.0.1"}, "nobody outside the machine reaches it"
    site.until(lambda: (found := site.state(order)) and found.over)
    state = site.state(order)
    assert state is not None
    assert (state.phase, state.code, state.reason) == ("done", 0, ""), site.logs()
    steps = ("taken", "ray", "first-worker", "first-shard-begun", "first-shard", "last-shard")
    seconds = [state.steps[step] for step in (*steps, "scaled-in", "ended")]
    assert seconds == sorted(seconds)
    assert state.sources == state.sources_done > 0

    dataset = Dataset.open(order.dataset)
    assert verify(dataset).problems == []

    site.until(lambda: not site.alive())
    for group in (HEAD, POOL):
        assert site.cloud.groups.size(group).wanted == 0
        assert site.cloud.groups.members(group) == []
    assert site.control.lease() is None
    assert site.control.orders() == []
    lines = ledger.read(site.control.get(order.run, "ledger.jsonl") or b"")
    assert {line.role for line in lines} == {"head", "worker"}
    assert {line.machine for line in lines} == set(site.processes)
    assert all(line.end is not None for line in lines)
    assert 0 < state.spent == pytest.approx(ledger.spent(lines, time.time()), abs=0.01)
    assert b"sources" in (site.control.get(order.run, "head.log") or b"")
