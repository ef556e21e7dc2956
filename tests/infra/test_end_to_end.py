"""From nothing to rented machines and back: `up`, `run`, a machine taken back, `status`, `down`.

All is real but the cloud and docker: Terraform and its AWS provider, the user data that they
render, the shell of a machine's boot and watch, the head, Ray on addresses of loopback, the run,
the dataset. The cloud is moto's server, whose instances really boot here (tests/cloud/machines.py).
What moto does not do is not proved by this: deadlines that the cloud keeps by itself, the largest
size of a group, permissions.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests import corpus
from tests.cloud.conftest import moto, moto_process
from tests.cloud.machines import Machines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cloud.moto_server import Moto

__all__ = ["moto", "moto_process"]

# Its Ray mostly waits for Terraform, as all that stand beside it do.
pytestmark = pytest.mark.slow

NAME = "end2end"
VARIABLES = {
    "name": NAME,
    "region": "eu-central-1",
    "vpc_cidr": "127.20.0.0/16",
    "pools": {"cpu": {"machines": ["c7i.2xlarge", "m7i.2xlarge"], "most": 2}},
}
COPIES = 15
STEPS = [
    "ordered",
    "head",
    "taken",
    "ray",
    "first-worker",
    "first-shard-begun",
    "first-shard",
    "last-shard",
    "scaled-in",
    "ended",
]


class Terminal:
    """Commands as a user types them, on a laptop that knows nothing but its credentials."""

    def __init__(self, environment: dict[str, str], root: Path) -> None:
        self._environment = environment
        self._root = root

    @contextlib.contextmanager
    def start(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command beside the test; it ends with it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "imgbatch", *words],
            cwd=self._root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def __call__(self, *words: str) -> str:
        with self.start(*words) as process:
            said, _ = process.communicate(timeout=400)
        assert process.returncode == 0, f"{' '.join(words)}: {process.returncode}\n{said}"
        return said

    def told(self, *words: str) -> Any:
        """Return the last line of JSON that a command prints."""
        lines = [line for line in self(*words, "--json").splitlines() if line.startswith("{")]
        return json.loads(lines[-1])


@pytest.fixture
def terminal(
    moto: Moto,
    terraform_environment: dict[str, str],
    tmp_path: Path,
    root: Path,
) -> Iterator[Terminal]:
    variables = root / "infra" / "aws" / f"{NAME}.tfvars.json"
    variables.write_text(json.dumps(VARIABLES), "utf-8")
    own = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {**os.environ, **terraform_environment, **moto.environment(), **own}
    yield Terminal(environment, root)
    variables.unlink(missing_ok=True)


def _fill(bucket: str, folder: Path) -> int:
    """Put a corpus into the bucket: real photographs, archives and broken files, several times."""
    from imgbatch.storage import open_store

    corpus.make(folder)
    store = open_store(f"{bucket}/in")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for copy in range(COPIES):
        for path in files:
            name = f"{copy:02d}/{path.relative_to(folder)}"
            if copy and path.suffix in (".gz", ".zip", ".tar"):
                continue
            store.put(name, path.read_bytes())
    return len(files)


def _push_image(aws: Moto) -> None:
    """Have something in the registry under the tag that machines pull; nobody unpacks it."""
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    config = {"digest": f"sha256:{'0' * 64}"}
    manifest = {"schemaVersion": 2, "mediaType": kind, "layers": [], "config": config}
    for repository in aws.client("ecr").describe_repositories()["repositories"]:
        aws.client("ecr").put_image(
            repositoryName=repository["repositoryName"],
            imageManifest=json.dumps(manifest),
            imageTag="latest",
        )


def _desired(aws: Moto) -> dict[str, int]:
    groups = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return {group["AutoScalingGroupName"]: group["DesiredCapacity"] for group in groups}


def test_a_run_on_rented_machines_from_up_to_down(
    terminal: Terminal,
    moto: Moto,
    tmp_path: Path,
) -> None:
    up = terminal.told("cloud", "up", "aws", "--name", NAME, "--yes")["deployment"]
    assert set(_desired(moto).values()) == {0}, "a deployment runs no machine"
    _push_image(moto)
    bucket = up["bucket"]
    _fill(bucket, tmp_path / "corpus")
    dataset = f"{bucket}/out"
    small = {"IMGBATCH_SHARD_SOURCES": "20", "IMGBATCH_COMMIT_SECONDS": "2"}
    terminal._environment.update(small)
    container = {"RAY_DISABLE_MEMORY_MONITOR": "1", **_limits()}
    with Machines(moto, container=container) as machines:
        words = ["cloud", "run", f"{bucket}/in", dataset, "--recipe", "quick"]
        words += ["--budget", "5", "--deadline", "1h", "--max-workers", "2", "--yes", "--json"]
        with terminal.start(*words) as following:
            machines.wait(lambda: len(machines.at("cpu")) == 2 or following.poll() is not None, 180)
            _take_one_back(moto, machines, following)
            machines.wait(lambda: following.poll() is not None, 240)
            said, _ = following.communicate()
        assert following.returncode == 0, f"{said}\n{machines.told()[-20_000:]}"
        state = json.loads([line for line in said.splitlines() if line.startswith("{")][-1])
        assert state["phase"] == "done", state
        assert state["preemptions"] == 1, state
        assert 0 < state["spent"] < 1, state
        print(f"\nseconds since the order: {state['steps']}")  # noqa: T201 - for whoever asks with -s
        assert list(state["steps"]) == STEPS
        _waits(state["steps"])
        machines.wait(lambda: not machines.at("cpu") and not machines.at("head"), 120)
    assert set(_desired(moto).values()) == {0}
    _is_whole(terminal, dataset, state["sources"])
    _costs(terminal, state["run"])
    down = terminal.told("cloud", "down", "aws", "--name", NAME, "--yes")
    assert down["left"] == []


def _waits(steps: dict[str, float]) -> None:
    """Assert that no wait of ours has grown out of hand: the bar is 30 s on idle machines.

    moto's machines are up at once and pull no image, so all of it is ours. All machines of the test
    share one here, with whatever else runs: hence three times the bar.
    """
    assert steps["taken"] - steps["head"] < 10
    assert steps["ray"] - steps["taken"] < 30
    assert steps["first-shard-begun"] < 90


def _limits() -> dict[str, str]:
    """Return how small Ray is to be: all machines of the test are this one."""
    return {"RAY_object_store_memory": str(128 * 2**20)}


def _take_one_back(aws: Moto, machines: Machines, following: subprocess.Popen[str]) -> None:
    """Have the cloud want a spot machine back just after it came: a notice, then its end."""
    assert following.poll() is None, "it ended before it had two machines"
    victim = machines.at("cpu")[0]
    victim.metadata.take_back(seconds=10)
    with contextlib.suppress(Exception):
        aws.client("ec2").terminate_instances(InstanceIds=[victim.machine])


def _is_whole(terminal: Terminal, dataset: str, listed: int) -> None:
    terminal("verify", dataset)
    outcomes = terminal.told("status", dataset)["outcomes"]
    counted = sum(sum(classes.values()) for classes in outcomes.values())
    assert counted == listed, outcomes
    assert outcomes["failed"], "broken files have their rows too"


def _costs(terminal: Terminal, run: str) -> None:
    told = terminal.told("cloud", "costs", run)
    assert told["run"] == run
