"""Machines of Google that boot from their startup script, watch the lease, and leave; on loopback.

What runs for real: the script as Terraform renders it, the watch, curl. What stands in: docker,
systemctl, nvidia-smi (shims.py), and the few answers of Google's that a machine asks for
(google_lab.py). What boot.sh and watch.sh do is told by test_boots.py; here is what gcp.sh adds.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.cloud.control import Lease
from imgbatch.cloud.versions import encoded
from tests.cloud.google_lab import BUCKET, REGION, TOKEN, Google, GoogleMetadata
from tests.cloud.machine import HOOK, Machine
from tests.cloud.rendered import GOOGLE_HEAD, GOOGLE_WORKER, render

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

RUN = "20261121T120000Z-abc123"
POOL, HEAD = "imgbatch-lab-gpu", "imgbatch-lab-head"
NUMBER = "8271625340918273645"
QUICK = {
    "WATCH_SECONDS": "1",
    "SILENT_SECONDS": "600",
    "HEAD_SECONDS": "600",
    "GPU_SECONDS": "0",
    "TRY_SECONDS": "0",
}


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as found:
        yield found


def lease(**changes: Any) -> bytes:
    told = {
        "run": RUN,
        "deadline": 4_000_000_000,
        "beat": 1,
        "left": 3600,
        "head": "",
        "head_machine": "1",
        "pool": "gpu",
    }
    return encoded(Lease(**{**told, **changes}))


@contextmanager
def booting(google: Google, role: str = "worker", **more: Any) -> Iterator[Machine]:
    """Launch a machine of a group and start it."""
    variables = GOOGLE_WORKER if role == "worker" else GOOGLE_HEAD
    address = "127.20.2.7"
    metadata = GoogleMetadata(NUMBER, google.launch(str(variables["group"])), address)
    environment = {**google.environment, **QUICK, **more.pop("times", {})}
    given = {"gpu": True, "job": "sleep 600", "metadata": metadata, **more}
    with Machine(NUMBER, address, environment, **given) as machine:
        machine.start(render(variables))
        yield machine


def left(google: Google, machine: Machine, group: str = POOL) -> None:
    """Wait until a machine has left, and its group has become smaller by it."""
    machine.wait(lambda: not google.members(group))
    assert google.size(group) == 0


def test_a_worker_without_a_lease_leaves_by_its_name_before_anything_costly(google: Google) -> None:
    other = google.launch(POOL)
    with booting(google) as machine:
        machine.wait(lambda: google.members(POOL) == [other])
        assert google.size(POOL) == 1
        assert "there is no lease" in machine.said
        assert not any(words[0] in ("pull", "run") for words in machine.docker)


def test_a_worker_with_a_lease_comes_up_knows_its_number_and_leaves_when_it_is_released(
    google: Google,
) -> None:
    google.objects["control/lease.json"] = lease()
    with booting(google) as machine:
        machine.wait((machine.root / "run/imgbatch/up").exists)
        (login,) = [words for words in machine.docker if words[0] == "login"]
        assert login[1:4] == ["--username", "oauth2accesstoken", "--password-stdin"]
        assert login[4] == f"https://{REGION}-docker.pkg.dev"
        (words,) = [words for words in machine.docker if words[0] == "run"]
        job = words[words.index("--entrypoint") + 3 :]
        assert job == [
            "-P",
            "-m",
            "jobs.node",
            f"gs://{BUCKET}/control",
            "--pool",
            "gpu",
            "--machine",
            NUMBER,
            "--address",
            machine.address,
        ]
        time.sleep(2)
        assert google.size(POOL) == 1, machine.said
        del google.objects["control/lease.json"]
        left(google, machine)
        assert TOKEN not in machine.said


def test_a_machine_image_of_googles_gets_docker_and_what_hands_it_the_gpu(google: Google) -> None:
    """Its images have the driver, and neither Docker nor the whole of NVIDIA's toolkit."""
    google.objects["control/lease.json"] = lease()
    with booting(google, lacks=(HOOK, "docker", "dnf")) as machine:
        machine.wait((machine.root / "run/imgbatch/up").exists)
        installs = [words for words in machine.installed if words.startswith("install")]
        assert [words.split()[-1] for words in installs] == ["libnvidia-container1", "docker.io"]
        # dockerd knows GPUs only where the hook is there when it starts.
        assert "--allow-change-held-packages nvidia-container-toolkit " in installs[0]
        (words,) = [words for words in machine.docker if words[0] == "run"]
        assert words[words.index("--gpus") + 1] == "all"


def test_a_machine_without_a_gpu_gets_no_toolkit_of_nvidias(google: Google) -> None:
    with booting(google, "head", gpu=None, lacks=(HOOK,)) as machine:
        machine.wait((machine.root / "run/imgbatch/up").exists)
        assert machine.installed == []


def test_a_container_is_told_where_google_is_and_nothing_else(google: Google) -> None:
    google.objects["control/lease.json"] = lease()
    with booting(google, job="env") as machine:
        machine.wait(lambda: "GCE_METADATA_HOST" in machine.container_log)
        names = {line.partition("=")[0] for line in machine.container_log.splitlines()}
    services = {name for name in names if name.startswith(("GCE_", "STORAGE_", "CLOUDSDK_", "AWS"))}
    assert services == {
        "GCE_METADATA_HOST",
        "STORAGE_EMULATOR_HOST",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
    }


def test_a_gpu_that_does_not_answer_is_reported_to_the_oldest_run(google: Google) -> None:
    google.objects["control/lease.json"] = lease()
    with booting(google, gpu=False) as machine:
        left(google, machine)
        told = json.loads(google.objects[f"control/runs/{RUN}/boots/{NUMBER}.json"])
    assert told["machine"] == NUMBER
    assert "nvidia-smi did not pass" in told["reason"]


def test_a_head_that_fails_before_there_is_a_lease_tells_the_run_that_waits_for_longest(
    google: Google,
) -> None:
    google.objects["control/orders/20261121T110000Z-000001.json"] = b"{}"
    google.objects["control/orders/20261121T120000Z-000002.json"] = b"{}"
    with booting(google, "head", times={"SHIM_PULL": "1"}) as machine:
        left(google, machine, HEAD)
        name = f"control/runs/20261121T110000Z-000001/boots/{NUMBER}.json"
        assert "pull failed" in json.loads(google.objects[name])["reason"]
        # A second request for a machine that is ending might make the group smaller by another one.
        time.sleep(2)
        assert google.leavings == 1


def test_a_bucket_that_is_gone_is_no_lease_that_is_gone(google: Google) -> None:
    google.objects["control/lease.json"] = lease()
    with booting(google, times={"SILENT_SECONDS": "5"}) as machine:
        machine.wait((machine.root / "run/imgbatch/up").exists)
        google.gone = True
        left(google, machine)
        assert "could not be read for 5 s" in machine.said


def test_a_machine_that_can_write_to_no_disk_says_why_and_leaves_its_group(google: Google) -> None:
    google.objects["control/lease.json"] = lease()
    with booting(google, gpu=False, times={"TMPDIR": "/nowhere"}) as machine:
        left(google, machine)
        assert f"control/runs/{RUN}/boots/{NUMBER}.json" in google.objects


def test_a_cloud_that_lets_nobody_leave_has_the_machine_end_itself(google: Google) -> None:
    google.refuses = True
    with booting(google) as machine:
        machine.wait((machine.root / "shutdown").exists)
        assert google.size(POOL) == 1
        assert "403" in machine.said
