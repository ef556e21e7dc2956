"""Ray nodes that die, freeze, leave and come in the middle of 400 shards."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.jobs.nodes import raylets, send
from tests.jobs.underway import Driver, Made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.jobs.nodes import Raylets

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made.make(tmp_path_factory.mktemp("nodes"))


@pytest.fixture(scope="module")
def head() -> Iterator[Raylets]:
    with raylets() as cluster:
        yield cluster


@pytest.fixture
def cluster(head: Raylets) -> Iterator[Raylets]:
    """Two nodes beside the head."""
    for _ in range(2):
        head.add()
    try:
        yield head
    finally:
        for node in [*head.cluster.worker_nodes]:
            head.kill(node)


def test_nodes_that_die_come_leave_and_are_drained_lose_nothing(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    first, second = cluster.cluster.worker_nodes
    with Driver(made, dataset, cluster.address, tmp_path) as driver:
        driver.reach(0.1)
        cluster.kill(first)
        added = cluster.add()
        driver.until(lambda: cluster.workers(added) != [])
        cluster.drain(second, 3)
        cluster.add()
        driver.reach(0.5)
        cluster.kill(second)
        driver.reach(0.7)
        cluster.leave(added)
        driver.finish()
    made.check(dataset)


def test_a_killed_driver_and_a_cluster_without_nodes_lose_nothing(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    with Driver(made, dataset, cluster.address, tmp_path) as driver:
        driver.reach(0.3)
        driver.kill()
    # What the dead driver had asked the cluster for is free again.
    with Driver(made, dataset, cluster.address, tmp_path) as driver:
        driver.reach(0.4)
        for node in [*cluster.cluster.worker_nodes]:
            cluster.kill(node)
        time.sleep(2)
        assert driver.process.poll() is None
        cluster.add()
        driver.finish()
    made.check(dataset)


def test_a_worker_and_a_node_that_freeze_are_given_up_and_change_nothing_when_they_wake(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    first, second = cluster.cluster.worker_nodes
    hasty = {"IMGBATCH_SOURCE_SECONDS": "2"}
    with Driver(made, dataset, cluster.address, tmp_path, settings=hasty) as driver:
        driver.reach(0.2)
        stopped, frozen = cluster.workers(first), cluster.workers(second)
        assert stopped
        assert frozen
        send(stopped, signal.SIGSTOP)
        cluster.pause(second)
        driver.finish()
    assert all(worker.is_running() for worker in frozen), "no zombie is left to wake"
    send(stopped, signal.SIGCONT)
    cluster.resume(second)
    gone([*stopped, *frozen])
    made.check(dataset)


def gone(workers: list[psutil.Process]) -> None:
    """Wait until Ray has ended them: they belong to a run that is over."""
    left = psutil.wait_procs(workers, timeout=30)[1]
    assert not left
