"""Nodes in networks of their own, that are cut off, die and are drained in the middle of a run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests import corpus
from tests.jobs.networks import HEAD, WORKERS, networks, possible
from tests.jobs.underway import LIMITS, SOURCES, Driver, Made, slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.jobs.networks import Networks

pytestmark = pytest.mark.slow
CUT_SECONDS = 20
# Of each picture: half of the nodes are at work for longer than the cable is out, and then some.
CUT_RECIPE, FAR_RECIPE = 0.06, 0.25
FIRST, SECOND = WORKERS
# moto's server answers some 150 requests a second, and a shard takes nine.
S3_SHARDS = 100
FILL = """
import pathlib, sys, boto3
from botocore.config import Config
# The server may have begun just before: a connection that is refused is tried again for a while.
s3 = boto3.client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": 12}))
s3.create_bucket(Bucket="tests")
for path in pathlib.Path(sys.argv[1]).iterdir():
    s3.put_object(Bucket="tests", Key=f"in/{path.name}", Body=path.read_bytes())
"""


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


@pytest.fixture
def far(net: Networks, tmp_path: Path) -> Made:
    """An input of 100 shards and the dataset of an undisturbed run, on an S3 server at the head."""
    net.serve()
    local = corpus.many(tmp_path / "in", S3_SHARDS * SOURCES)
    run(net, "-c", FILL, str(local))
    quick = slow(tmp_path, 0)
    words = ["run", "s3://tests/in", "s3://tests/whole", "--recipe", str(quick)]
    run(net, "-m", "imgbatch", *words, "--engine", "inline")
    return Made("s3://tests/in", slow(tmp_path, FAR_RECIPE), "s3://tests/whole")


def run(net: Networks, *words: str) -> None:
    """Run something in Python at the head."""
    done = subprocess.run(
        [*net.inside(HEAD), sys.executable, *words],
        env={**net.environment, **LIMITS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def drive(net: Networks, made: Made, dataset: Path | str, folder: Path) -> Driver:
    inside, environment = net.inside(HEAD), net.environment
    return Driver(made, dataset, net.address, folder, inside=inside, settings=environment)


def test_a_killed_node_a_drained_one_and_a_killed_driver_lose_nothing(
    net: Networks, made: Made, tmp_path: Path
) -> None:
    with drive(net, made, tmp_path / "d", tmp_path) as driver:
        driver.reach(0.2)
        net.kill(FIRST)
        net.start(FIRST)
        net.up(FIRST)
        driver.reach(0.4)
        driver.kill()
    with drive(net, made, tmp_path / "d", tmp_path) as driver:
        driver.reach(0.2)
        net.drain(SECOND, 2)
        time.sleep(2)
        net.kill(SECOND)
        driver.finish()
    made.check(tmp_path / "d")


def test_a_node_that_is_cut_off_for_20_s_loses_nothing_and_spoils_nothing(
    net: Networks, made: Made, tmp_path: Path
) -> None:
    made = replace(made, recipe=slow(tmp_path, CUT_RECIPE))
    with drive(net, made, tmp_path / "d", tmp_path) as driver:
        driver.reach(0.2)
        net.cut(FIRST)
        time.sleep(CUT_SECONDS)
        assert net.workers(FIRST), "no zombie is left to come back"
        # What was cut off comes back in the middle of the run, and sees that it is not wanted.
        assert driver.process.poll() is None, "it is over already"
        net.mend(FIRST)
        driver.finish()
    net.alone(FIRST)
    made.check(tmp_path / "d")


def test_a_bucket_out_of_reach_for_20_s_and_a_killed_driver_lose_nothing(
    net: Networks, far: Made, tmp_path: Path
) -> None:
    with drive(net, far, "s3://tests/d", tmp_path) as driver:
        driver.reach(0.2)
        net.cut(FIRST)
        time.sleep(CUT_SECONDS / 2)
        assert driver.process.poll() is None
        driver.kill()
    with drive(net, far, "s3://tests/d", tmp_path) as driver:
        time.sleep(CUT_SECONDS / 2)
        assert driver.process.poll() is None, driver.said.read_text()
        net.mend(FIRST)
        driver.finish()
    net.alone(FIRST)
    run(net, "-m", "tests.jobs.underway", far.whole, "s3://tests/d")
