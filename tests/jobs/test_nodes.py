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


def test_a_killed_node_is_made_up_for_and_an_added_one_helps(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    with Driver(made, dataset, cluster.address, tmp_path) as driver:
        driver.reach(0.2)
        cluster.kill(next(iter(cluster.cluster.worker_nodes)))
        added = cluster.add()
        driver.reach(0.8)
        assert cluster.workers(added), "the new node has no worker"
        driver.finish()
    made.check(dataset)


def test_a_run_waits_for_nodes_when_all_have_died(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    with Driver(made, dataset, cluster.address, tmp_path) as driver:
        driver.reach(0.3)
        for node in [*cluster.cluster.worker_nodes]:
            cluster.kill(node)
        time.sleep(3)
        cluster.add()
        driver.finish()
    made.check(dataset)


def test_a_killed_driver_leaves_what_the_next_one_finishes(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    for share in (0.2, 0.5):
        with Driver(made, dataset, cluster.address, tmp_path) as driver:
            driver.reach(share)
            driver.kill()
    with Driver(made, dataset, cluster.address, tmp_path) as driver:
        # The cluster is the same: what the dead driver had asked for is free again.
        driver.finish()
    made.check(dataset)


def test_a_worker_that_is_stopped_is_replaced_and_changes_nothing_when_it_wakes(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    hasty = {"IMGBATCH_SOURCE_SECONDS": "2"}
    with Driver(made, dataset, cluster.address, tmp_path, settings=hasty) as driver:
        driver.reach(0.3)
        stopped = [w for node in cluster.cluster.worker_nodes for w in cluster.workers(node)][:1]
        send(stopped, signal.SIGSTOP)
        driver.finish()
    send(stopped, signal.SIGCONT)
    made.check(dataset)
    gone(stopped)
    made.check(dataset)


def test_a_node_that_freezes_is_given_up_and_changes_nothing_when_it_wakes(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    with Driver(made, dataset, cluster.address, tmp_path) as driver:
        driver.reach(0.3)
        node = next(iter(cluster.cluster.worker_nodes))
        workers = cluster.workers(node)
        cluster.pause(node)
        driver.finish()
    assert all(worker.is_running() for worker in workers), "no zombie is left to wake"
    cluster.resume(node)
    gone(workers)
    made.check(dataset)


def test_a_drained_node_and_one_that_leaves_lose_nothing(
    cluster: Raylets, made: Made, tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    first, second = cluster.cluster.worker_nodes
    with Driver(made, dataset, cluster.address, tmp_path) as driver:
        driver.reach(0.2)
        cluster.add()
        cluster.drain(first, 5)
        driver.reach(0.4)
        cluster.leave(second)
        driver.reach(0.6)
        cluster.kill(first)
        driver.finish()
    made.check(dataset)


def gone(workers: list[psutil.Process]) -> None:
    """Wait until Ray has ended them: they belong to a run that is over."""
    left = psutil.wait_procs(workers, timeout=30)[1]
    assert not left
