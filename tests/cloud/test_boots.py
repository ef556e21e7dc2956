"""Machines that boot from their user data, watch the lease, and leave; on loopback and moto.

What runs for real: the boot script as Terraform renders it, the watch, curl, the aws CLI, and in
the last tests `jobs.node` and Ray. What stands in: docker, systemctl, nvidia-smi (shims.py).
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.cloud.lab import RUN, Lab
from tests.cloud.machine import Machine, Metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cloud.moto_server import Moto

pytestmark = pytest.mark.slow

# One for ever in the eyes of a test, where it is not about that one.
QUICK = {
    "WATCH_SECONDS": "1",
    "SILENT_SECONDS": "600",
    "HEAD_SECONDS": "600",
    "GPU_SECONDS": "0",
    "TRY_SECONDS": "0",
}
WAITS = "sleep 600"


@pytest.fixture
def lab(moto_process: Moto, monkeypatch: pytest.MonkeyPatch) -> Lab:
    for name, value in moto_process.environment().items():
        monkeypatch.setenv(name, value)
    found = Lab(moto_process)
    found.make()
    return found


@contextmanager
def booting(lab: Lab, role: str = "worker", **more: Any) -> Iterator[Machine]:
    """Launch a machine of a group and start it."""
    name, address = lab.launch(lab.pool if role == "worker" else lab.head)
    times = {**QUICK, **more.pop("times", {})}
    environment = {"AWS_ENDPOINT_URL": lab.moto.url, **times}
    with Machine(name, address, environment, **{"gpu": True, "job": WAITS, **more}) as machine:
        machine.start(lab.user_data(role))
        yield machine


def ran(machine: Machine) -> list[list[str]]:
    return [words for words in machine.docker if words[0] == "run"]


def up(machine: Machine) -> bool:
    return (machine.root / "run/imgbatch/up").exists()


def left(lab: Lab, machine: Machine, group: str | None = None) -> None:
    """Wait until a machine has left, and its group has become smaller by it."""
    group = group or lab.pool
    machine.wait(lambda: machine.machine not in lab.members(group))
    assert lab.wanted(group) == len(lab.members(group))


def reported(lab: Lab, machine: Machine) -> dict[str, Any]:
    found = lab.control.get(RUN, f"boots/{machine.machine}.json")
    assert found, machine.said
    return dict(json.loads(found))


def test_a_worker_without_a_lease_leaves_before_anything_costly(lab: Lab) -> None:
    other = lab.launch(lab.pool)[0]
    with booting(lab) as machine:
        left(lab, machine)
        assert lab.members(lab.pool) == [other]
        assert not any(words[0] in ("pull", "run") for words in machine.docker)


@pytest.mark.parametrize("changes", [{"left": 0}, {"deadline": 1}, {"pool": "cpu"}])
def test_a_worker_whose_lease_is_over_or_of_another_pool_leaves(
    lab: Lab, changes: dict[str, Any]
) -> None:
    lab.control.hold(lab.lease(**changes))
    with booting(lab) as machine:
        left(lab, machine)
        assert not ran(machine)


def test_a_machine_whose_gpu_does_not_answer_says_so_leaves_and_never_joins(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    with booting(lab, gpu=False) as machine:
        left(lab, machine)
        assert not ran(machine)
        told = reported(lab, machine)
    assert "nvidia-smi did not pass" in told["reason"]
    assert "no devices were found" in told["reason"]
    assert told["pool"] == "gpu"


def test_an_image_that_cannot_be_pulled_is_reported(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    with booting(lab, times={"SHIM_PULL": "1"}) as machine:
        left(lab, machine)
        assert "pull failed" in reported(lab, machine)["reason"]


def test_a_container_gets_what_it_needs_and_nothing_else(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    with booting(lab, job="env") as machine:
        (words,) = machine.wait(lambda: ran(machine))
        known = machine.wait(lambda: "AWS_ENDPOINT_URL" in machine.container_log) and {
            line.partition("=")[0] for line in machine.container_log.splitlines()
        }
    job = words[words.index("--entrypoint") + 1 :]
    assert job[0] == "python"
    assert job[2:6] == ["-P", "-m", "jobs.node", f"s3://{lab.bucket}/control"]
    assert job[6:] == ["--pool", "gpu", "--machine", machine.machine, "--address", machine.address]
    for option in ("--gpus", "--shm-size", "--ulimit", "--network"):
        assert option in words
    aws = {name for name in known if name.startswith("AWS_")}
    assert aws == {
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_METADATA_SERVICE_TIMEOUT",
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
    }
    assert not any("IMGBATCH" in name for name in known)


def test_a_lease_that_is_released_ends_the_machine(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    with booting(lab) as machine:
        machine.wait(lambda: up(machine))
        assert lab.members(lab.pool) == [machine.machine]
        lab.control.release()
        left(lab, machine)


def test_a_lease_that_nobody_renews_ends_the_machine_and_a_renewed_one_does_not(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    # Longer than a machine that does much else takes to ask once.
    with booting(lab, times={"SILENT_SECONDS": "8"}) as machine:
        machine.wait(lambda: up(machine))
        for beat in range(2, 13):
            time.sleep(1)
            lab.control.hold(lab.lease(beat=beat))
        assert lab.members(lab.pool) == [machine.machine]
        left(lab, machine)
        assert "was not renewed" in machine.said


def test_a_bucket_that_cannot_be_read_ends_the_machine(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    with booting(lab, times={"SILENT_SECONDS": "5"}) as machine:
        machine.wait(lambda: up(machine))
        s3 = lab.moto.client("s3")
        for entry in s3.list_objects_v2(Bucket=lab.bucket)["Contents"]:
            s3.delete_object(Bucket=lab.bucket, Key=entry["Key"])
        s3.delete_bucket(Bucket=lab.bucket)
        left(lab, machine)
        assert "could not be read" in machine.said


def test_a_machine_whose_container_ends_leaves_and_says_why(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    with booting(lab, job="sh -c 'echo out of luck; exit 3'") as machine:
        left(lab, machine)
        assert "out of luck" in reported(lab, machine)["reason"]


def test_a_boot_that_hangs_is_bounded(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    slow = {"GPU_SECONDS": "600", "BOOT_SECONDS": "5"}
    with booting(lab, gpu=False, times=slow) as machine:
        left(lab, machine)
        assert "did not come up" in reported(lab, machine)["reason"]


def test_a_boot_that_cannot_even_start_its_watch_says_so_and_leaves(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    lab.control.store.put(f"orders/{RUN}.json", b"{}")
    with booting(lab, times={"SHIM_SYSTEMCTL": "1"}) as machine:
        left(lab, machine)
        assert "boot: watch failed" in reported(lab, machine)["reason"]


def test_a_machine_that_never_learns_its_name_ends_itself(lab: Lab) -> None:
    environment = {"AWS_ENDPOINT_URL": lab.moto.url, **QUICK, "SHIM_SYSTEMCTL": "1"}
    with Machine("i-0123456789abcdef0", "127.20.1.10", environment) as machine:
        machine.metadata.close()
        machine.start(lab.user_data("worker"))
        machine.wait((machine.root / "shutdown").exists)


def test_a_docker_that_never_answers_ends_the_machine(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    with booting(lab, times={"SILENT_SECONDS": "8", "WATCH_SECONDS": "2"}) as machine:
        machine.wait(lambda: ran(machine))
        (machine.root / "docker.dead").touch()
        machine.wait(lambda: up(machine))
        for beat in range(2, 200):
            lab.control.hold(lab.lease(beat=beat))
            time.sleep(0.3)
            if machine.machine not in lab.members(lab.pool):
                break
        left(lab, machine)
        assert "docker did not answer" in reported(lab, machine)["reason"]


def test_a_cloud_that_lets_nobody_leave_has_the_machine_end_itself(lab: Lab) -> None:
    environment = {"AWS_ENDPOINT_URL": lab.moto.url, **QUICK}
    with Machine("i-0123456789abcdef0", "127.20.1.9", environment) as machine:
        machine.start(lab.user_data("worker"))
        machine.wait((machine.root / "shutdown").exists)
        assert (machine.root / "shutdown").read_text("utf-8") == "-h now"
        assert "leaving: there is no lease" in machine.said


def test_a_head_is_up_before_its_lease_and_leaves_when_it_never_gets_one(lab: Lab) -> None:
    lab.control.store.put(f"orders/{RUN}.json", b"{}")
    lab.control.hold(lab.lease(run="a-former-one", head_machine="i-another"))
    job = "sh -c 'echo the bucket is not there; sleep 600'"
    with booting(lab, "head", times={"HEAD_SECONDS": "8"}, job=job) as machine:
        machine.wait(lambda: up(machine))
        assert lab.members(lab.head) == [machine.machine]
        (words,) = ran(machine)
        assert words[words.index("--restart") + 1] == "on-failure:10"
        assert "jobs.head" in words
        left(lab, machine, lab.head)
        assert lab.wanted(lab.head) == 0
        reason = reported(lab, machine)["reason"]
    assert "no lease of its own" in reason
    assert "the bucket is not there" in reason


@pytest.mark.parametrize("fault", ["job", "pull"])
def test_a_head_that_cannot_begin_says_why_and_no_other_follows_it(lab: Lab, fault: str) -> None:
    lab.control.store.put(f"orders/{RUN}.json", b"{}")
    job = "sh -c 'echo no module named jobs; exit 3'"
    times = {"SHIM_PULL": "1"} if fault == "pull" else {}
    with booting(lab, "head", times=times, job=job) as machine:
        left(lab, machine, lab.head)
        assert lab.wanted(lab.head) == 0
        told = reported(lab, machine)
    assert told["pool"] == ""
    assert {"job": "no module named jobs", "pull": "pull failed"}[fault] in told["reason"]


def test_a_head_that_a_schedule_woke_says_why_it_cannot_begin_though_no_run_waits(lab: Lab) -> None:
    lab.control.hold(lab.lease(run="a-former-one", head_machine="i-another"))
    with booting(lab, "head", job="sh -c 'echo no module named jobs; exit 3'") as machine:
        left(lab, machine, lab.head)
        told = json.loads(lab.control.store.get(f"boots/{machine.machine}.json"))
    assert "no module named jobs" in told["reason"]
    assert list(lab.control.runs()) == []


def stays(lab: Lab, machine: Machine) -> None:
    """Wait until a machine ends itself, and see that its group is not asked for anything."""
    machine.wait((machine.root / "shutdown").exists)
    assert lab.wanted(lab.head) == 1
    assert "was taken out of service" not in machine.said


def test_a_head_whose_place_another_one_has_takes_nothing_from_its_group(lab: Lab) -> None:
    with booting(lab, "head", times={"HEAD_SECONDS": "10"}) as machine:
        for beat in range(200):
            lab.control.hold(lab.lease(head_machine="i-newer", beat=beat))
            time.sleep(0.3)
            if (machine.root / "shutdown").exists():
                break
        stays(lab, machine)
        assert "no lease of its own" in machine.said


@pytest.mark.parametrize("pull", ["0", "1"])
def test_a_head_without_a_bucket_is_left_to_be_replaced(lab: Lab, pull: str) -> None:
    s3 = lab.moto.client("s3")
    s3.delete_object(Bucket=lab.bucket, Key="control/deployment.json")
    s3.delete_bucket(Bucket=lab.bucket)
    with booting(lab, "head", times={"SILENT_SECONDS": "5", "SHIM_PULL": pull}) as machine:
        stays(lab, machine)
        assert {"0": "could not be read", "1": "pull failed"}[pull] in machine.said


def test_a_head_that_hangs_is_left_to_be_replaced_and_said_so(lab: Lab) -> None:
    lab.control.store.put(f"orders/{RUN}.json", b"{}")
    with booting(lab, "head", times={"SILENT_SECONDS": "6"}) as machine:
        lab.control.hold(lab.lease(head_machine=machine.machine))
        stays(lab, machine)
        assert "was not renewed" in reported(lab, machine)["reason"]


def test_a_head_that_is_done_says_nothing_and_leaves_its_group_as_it_set_it(lab: Lab) -> None:
    lab.control.store.put(f"orders/{RUN}.json", b"{}")
    with booting(lab, "head", job="true") as machine:
        stays(lab, machine)
        assert "its container ended" in machine.said
        assert lab.control.get(RUN, f"boots/{machine.machine}.json") is None


def test_a_machine_that_its_group_is_ending_already_asks_for_nothing(lab: Lab) -> None:
    name, address = lab.launch(lab.pool)
    environment = {"AWS_ENDPOINT_URL": lab.moto.url, **QUICK, "LEFT_SECONDS": "4"}
    with Machine(name, address, environment) as machine:
        assert isinstance(machine.metadata, Metadata)
        machine.metadata.leaves()
        machine.start(lab.user_data("worker"))
        machine.wait((machine.root / "shutdown").exists)
        assert lab.members(lab.pool) == [name]
        assert lab.wanted(lab.pool) == 1


def test_a_boot_script_that_runs_again_starts_nothing_twice(lab: Lab) -> None:
    lab.control.hold(lab.lease())
    with booting(lab) as machine:
        machine.wait(lambda: machine.booted == 0)
        machine.start(lab.user_data("worker"))
        machine.wait(lambda: machine.booted == 0)
        assert len(ran(machine)) == 1
    assert not machine.processes


def test_a_machine_asks_once_to_leave_and_ends_itself_when_nothing_comes_of_it(lab: Lab) -> None:
    with booting(lab, times={"LEFT_SECONDS": "4"}) as machine:
        left(lab, machine)
        # This cloud forgets to end it.
        machine.wait((machine.root / "shutdown").exists)
        assert machine.said.count("was taken out of service") == 1
        assert machine.said.count("leaving: there is no lease") >= 2
