"""Crews on several real raylets: machines that come, go, are drained, killed, small or absent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from imgbatch.dataset import Dataset
from imgbatch.errors import JobError, SettingsError
from imgbatch.models.devices import cuda_devices
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    # Ray's own Cluster leaves its log files and children to the interpreter's end.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PREEMPTED = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
STORE = 80 * 2**20


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head that runs no workers: machines are added by the test."""
    # A lost machine is noticed after 3 s, not 15: before its tasks are given out twice.
    noticed = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    made = Cluster(initialize_head=True, head_node_args={**head, "_system_config": noticed})
    yield made
    made.shutdown()


def machine(cluster: Cluster, cores: int, **more: Any) -> Any:
    return cluster.add_node(num_cpus=cores, object_store_memory=STORE, **more)


class Driver:
    """`tests.jobs.sleepers` in a process of its own."""

    def __init__(
        self, cluster: Cluster, root: Path, folder: Path, count: int, seconds: float, **told: object
    ) -> None:
        self.folder = folder / "done"
        self.folder.mkdir()
        self.lines = folder / "lines"
        words = [cluster.address, self.folder, count, seconds, json.dumps(told)]
        with self.lines.open("w") as out, (folder / "errors").open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.jobs.sleepers", *map(str, words)],
                cwd=root,
                env={**os.environ, "PYTHONPATH": str(root)},
                stdout=out,
                stderr=errors,
            )
        self.errors = folder / "errors"

    def told(self, key: str) -> list[Any]:
        lines = self.lines.read_text().splitlines(keepends=True)
        read = [json.loads(line) for line in lines if line.endswith("\n")]
        return [line[key] for line in read if key in line]

    def until(self, condition: Callable[[], object], *, seconds: float = 40) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.errors.read_text() + self.lines.read_text()
            assert time.monotonic() < end, self.lines.read_text()
            time.sleep(0.05)

    def begun(self) -> list[dict[str, Any]]:
        files = [(path.name[:4], path.read_text()) for path in self.folder.iterdir()]
        found = [{"shard": shard, **json.loads(text)} for shard, text in files if text]
        return sorted(found, key=lambda began: began["at"])

    def nodes(self) -> set[str]:
        return {began["node"] for began in self.begun()}

    def finish(self, count: int, *, seconds: float = 60) -> None:
        """Wait for its end: every shard came once, and every picture was counted once."""
        assert self.process.wait(seconds) == 0, self.errors.read_text()
        assert sorted(self.told("finished")) == [f"{n:04}" for n in range(count)]
        assert self.told("outcomes") == [count]


@pytest.fixture
def start(cluster: Cluster, root: Path, tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    drivers: list[Driver] = []

    def begin(count: int, seconds: float, **told: object) -> Driver:
        drivers.append(Driver(cluster, root, tmp_path, count, seconds, **told))
        return drivers[-1]

    yield begin
    for driver in drivers:
        driver.process.kill()
        driver.process.wait()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it may also end between the two calls
        return False


def gone(pids: Iterable[int]) -> None:
    end = time.monotonic() + 30
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < end, f"left: {left}"
        time.sleep(0.1)


def test_machines_of_all_sizes_work_and_a_killed_one_costs_nothing(
    cluster: Cluster, start: Callable[..., Driver]
) -> None:
    large, small = machine(cluster, 4), machine(cluster, 1)
    driver = start(240, 0.4)
    driver.until(lambda: driver.told("alive")[-1:] == [5])
    driver.until(lambda: {large.node_id, small.node_id} <= driver.nodes())
    cluster.remove_node(large, allow_graceful=False)
    late = machine(cluster, 2)
    driver.until(lambda: late.node_id in driver.nodes())
    driver.until(lambda: driver.told("lost")[-1] == 4)
    driver.finish(240)
    assert cluster.head_node.node_id not in driver.nodes()


def test_a_run_waits_for_machines_says_so_and_uses_what_comes(
    cluster: Cluster, start: Callable[..., Driver]
) -> None:
    driver = start(150, 0.2)
    driver.until(lambda: driver.told("said"))
    said = driver.told("said")[0]
    assert said.startswith("waiting for workers: each worker needs a core; the cluster has ")
    first = machine(cluster, 1)
    driver.until(lambda: first.node_id in driver.nodes())
    second = machine(cluster, 2)
    driver.until(lambda: second.node_id in driver.nodes())
    driver.finish(150)
    assert driver.told("lost")[-1] == 0


def test_a_run_that_no_machine_comes_for_ends_and_names_what_it_lacks(
    cluster: Cluster, start: Callable[..., Driver]
) -> None:
    machine(cluster, 1)
    driver = start(5, 0.1, gpu=0.5, memory=2**30, patience=3)
    assert driver.process.wait(60) == 1
    said = driver.errors.read_text()
    assert "no worker came up in 3 s: each worker needs a core, 0.5 GPU, 1.0 GiB of memory" in said
    assert "1 x (1 cores" in said


def test_a_worker_has_its_share_of_a_gpu(cluster: Cluster, start: Callable[..., Driver]) -> None:
    machine(cluster, 4)
    graphic = machine(cluster, 4, num_gpus=1)
    driver = start(12, 0.1, gpu=0.5)
    driver.finish(12)
    assert driver.nodes() == {graphic.node_id}
    assert len({began["pid"] for began in driver.begun()}) == 2


def analyze(
    root: Path, folder: Path, address: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run an analyzer that asks for a GPU over 20 pictures."""
    corpus.many(folder / "in", 20)
    (folder / "r.toml").write_text('[analyzers."tests.graphic"]\n')
    words = [folder / "in", folder / "d", "--recipe", folder / "r.toml", "--address", address]
    return subprocess.run(
        [sys.executable, "-m", "jobs.analyze", *map(str, words)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(cuda_devices() > 0, reason="this machine has CUDA")
def test_whoever_drives_a_cluster_needs_no_gpu_and_its_workers_do(
    cluster: Cluster, root: Path, tmp_path: Path
) -> None:
    machine(cluster, 2, num_gpus=1)
    listed = []
    for address in ("local", cluster.address):
        ended = analyze(root, tmp_path, address, IMGBATCH_DEVICE="cuda")
        assert ended.returncode == SettingsError.exit_code, ended.stderr
        assert "shows no CUDA device" in ended.stderr
        listed.append(Dataset.open(str(tmp_path / "d")).read("manifest").num_rows)
    # Here nothing is begun; there a machine is found to show Ray a GPU that CUDA does not have.
    assert listed == [0, 20]


def test_an_analyzer_that_asks_for_a_gpu_runs_where_there_is_one_and_nowhere_else(
    cluster: Cluster, root: Path, tmp_path: Path
) -> None:
    machine(cluster, 2, num_gpus=1)
    here = analyze(root, tmp_path, "local")
    assert here.returncode == JobError.exit_code, here.stderr
    assert "no worker can run on this machine: each worker needs a core, 0.5 GPU" in here.stderr
    there = analyze(root, tmp_path, cluster.address)
    assert there.returncode == 0, there.stderr
    rows = Dataset.open(str(tmp_path / "d")).read("tests.graphic").to_pylist()
    assert {row["gpu"] for row in rows} == {"0"}
    assert len(rows) == 20


def test_a_drained_machine_ends_what_it_is_at_and_is_given_nothing_more(
    cluster: Cluster, start: Callable[..., Driver]
) -> None:
    going, staying = machine(cluster, 1), machine(cluster, 1)
    driver = start(24, 1.0)
    driver.until(lambda: {going.node_id, staying.node_id} <= driver.nodes())
    deadline = int((time.time() + 60) * 1000)
    gcs = GcsClient(address=cluster.address)
    assert gcs.drain_node(going.node_id, PREEMPTED, "a test", deadline)[0]
    drained = time.time()
    driver.until(lambda: driver.told("alive")[-1] == 1)
    driver.finish(24)
    last = max(began["at"] for began in driver.begun() if began["node"] == going.node_id)
    assert last < drained + 3  # it is noticed within a second, and one hand-out may be under way
    assert driver.told("lost")[-1] == 0
    assert len(driver.begun()) == 24, "nothing was done twice"


def test_a_stopped_worker_does_not_hold_up_the_end_and_counts_nothing_twice(
    cluster: Cluster, start: Callable[..., Driver]
) -> None:
    machine(cluster, 4)
    driver = start(8, 0.5)
    driver.until(lambda: len(driver.begun()) >= 3)
    stopped = driver.begun()[-1]["pid"]
    os.kill(stopped, signal.SIGSTOP)
    driver.finish(8)
    gone([stopped])


def test_no_worker_outlives_a_killed_driver(cluster: Cluster, start: Callable[..., Driver]) -> None:
    machine(cluster, 4)
    driver = start(400, 0.3)
    driver.until(lambda: len({began["pid"] for began in driver.begun()}) == 4)
    pids = {began["pid"] for began in driver.begun()}
    driver.process.kill()
    gone(pids)
