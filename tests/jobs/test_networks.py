"""Nodes in networks of their own, that are cut off, die and are drained in the middle of a run."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.jobs.networks import HEAD, WORKERS, networks, possible
from tests.jobs.underway import Driver, Made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.jobs.networks import Networks

pytestmark = pytest.mark.slow
CUT_SECONDS = 20
FIRST, SECOND = WORKERS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made.make(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def three() -> Iterator[Networks]:
    why = possible()
    if why and not os.environ.get("CI"):
        pytest.skip(why)
    with networks() as found:
        yield found


@pytest.fixture
def net(three: Networks) -> Networks:
    """All three up again, whatever the test before did to them."""
    three.restart()
    return three


def drive(net: Networks, made: Made, dataset: Path) -> Driver:
    return Driver(made, dataset, net.address, inside=net.inside(HEAD), settings=net.environment)


def test_a_killed_node_and_a_drained_one_lose_nothing(
    net: Networks, made: Made, tmp_path: Path
) -> None:
    with drive(net, made, tmp_path / "d") as driver:
        driver.reach(0.2)
        net.kill(FIRST)
        net.start(FIRST)
        net.up(FIRST)
        driver.reach(0.5)
        net.drain(SECOND, 3)
        time.sleep(3)
        net.kill(SECOND)
        driver.finish()
    made.check(tmp_path / "d")


def test_a_killed_driver_leaves_what_the_next_one_finishes(
    net: Networks, made: Made, tmp_path: Path
) -> None:
    with drive(net, made, tmp_path / "d") as driver:
        driver.reach(0.4)
        driver.kill()
    with drive(net, made, tmp_path / "d") as driver:
        driver.finish()
    made.check(tmp_path / "d")


def test_a_node_that_is_cut_off_for_20_s_loses_nothing_and_spoils_nothing(
    net: Networks, made: Made, tmp_path: Path
) -> None:
    with drive(net, made, tmp_path / "d") as driver:
        driver.reach(0.2)
        net.cut(FIRST)
        end = time.monotonic() + CUT_SECONDS
        # The others finish meanwhile; what was cut off sees that it is not wanted any more.
        driver.finish()
        made.check(tmp_path / "d")
        assert net.workers(FIRST), "no zombie is left to come back"
        time.sleep(max(0.0, end - time.monotonic()))
        net.mend(FIRST)
    net.alone(FIRST)
    made.check(tmp_path / "d")
