"""A run on machines that are really rented: told by a variable, skipped without it.

    IMGBATCH_LIVE_CLOUD=1 pytest tests/live/test_cloud.py

It takes the deployment that this laptop knows (IMGBATCH_LIVE_DEPLOYMENT=NAME where there are
several), of either cloud, with its image pushed (`scripts/cloud up aws`, or gcp; `scripts/image
NAME`). Four pictures go to its bucket, a machine without a GPU works on them, and all is gone
again: some cents, some minutes.
Whatever happens here, the cloud itself ends the machines after 30 minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if not os.environ.pop("IMGBATCH_LIVE_CLOUD", ""):
    pytest.skip("IMGBATCH_LIVE_CLOUD is not set: nothing is rented", allow_module_level=True)

from imgbatch.cli.cloud.opened import opened
from imgbatch.cloud.aws import doors
from imgbatch.cloud.zero import machines
from imgbatch.dataset import Dataset
from imgbatch.storage import open_store
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cli.cloud.opened import Opened

DEPLOYMENT = os.environ.pop("IMGBATCH_LIVE_DEPLOYMENT", None)
PICTURES = 4
# Of one on-demand head and one small spot machine for a quarter of an hour, with room to spare.
CENTS = 0.50


# What a machine knows of itself: how its user data came, what boot.sh left, what its group tells.
# `metadata` is that of infra/boot/aws.sh, as the machine itself has it.
LOOK = """bash -c '. /opt/imgbatch/watch.sh
metadata ../user-data | od -An -tx1 -N2 || true
echo "$(metadata autoscaling/target-lifecycle-state)"
sha256sum </opt/imgbatch/watch.sh'"""
MINUTES = 15


def imgbatch(*words: str, code: int = 0) -> str:
    process = begun(*words)
    printed, _ = process.communicate()
    assert process.returncode == code, printed
    return printed


def begun(*words: str) -> subprocess.Popen[str]:
    named = ("--deployment", DEPLOYMENT) if DEPLOYMENT else ()
    return subprocess.Popen(
        [sys.executable, "-m", "imgbatch", "cloud", *words, *named],
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def place() -> Iterator[Opened]:
    """The deployment; no machine of it is left behind, whatever the tests came to."""
    found = opened(DEPLOYMENT)
    assert found.control.orders() == [], "somebody works with this deployment"
    yield found
    imgbatch("stop", "--force")
    assert set(machines(found.place).values()) == {0}


@pytest.fixture(scope="module")
def folder(place: Opened, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a folder of the deployment's bucket, with pictures in it."""
    url = f"{place.deployment.bucket}/imgbatch-test-{uuid.uuid4().hex[:8]}"
    store = open_store(url)
    pictures: Path = corpus.many(tmp_path_factory.mktemp("live") / "photos", PICTURES)
    for file in pictures.iterdir():
        store.put(f"photos/{file.name}", file.read_bytes())
    yield url
    for entry in list(store.list()):
        store.delete(entry.name)


def test_a_run_ends_well_within_its_money_and_leaves_no_machine(place: Opened, folder: str) -> None:
    words = ("--gpus", "cpu") if "cpu" in place.deployment.pools else ()
    money = ("--budget", f"{CENTS}", "--deadline", "30m", "--max-workers", "1", "--yes", "--json")
    printed = imgbatch("run", f"{folder}/photos", f"{folder}/d", *money, *words)
    last = json.loads(printed.splitlines()[-1])
    assert (last["phase"], last["code"]) == ("done", 0)
    assert 0 < last["spent"] < CENTS
    # What every step waited for; the waits that are ours are the differences between some of them.
    sys.stderr.write(json.dumps(last["steps"]) + "\n")
    dataset = Dataset.open(f"{folder}/d")
    assert dataset.read("sources", columns=["status"])["status"].to_pylist() == ["ok"] * PICTURES


@pytest.mark.skipif(not shutil.which("aws"), reason="asks the machine by the program `aws`")
def test_a_head_has_its_packed_user_data_and_is_told_what_its_group_does(
    place: Opened, folder: str
) -> None:
    """A machine that its group ends is told `Terminated` there; that one is not waited for here."""
    if place.deployment.cloud != "aws":
        pytest.skip("asks the machine by a command of AWS")
    words = ("--budget", f"{CENTS}", "--deadline", "30m", "--max-workers", "1", "--yes", "--json")
    run = begun("run", f"{folder}/photos", f"{folder}/e", *words)
    try:
        packed, state, digest = asked_of_the_head(place)
    finally:
        printed, _ = run.communicate()
    assert packed.split() == ["1f", "8b"], "user data is not gzip"
    assert state == "InService"
    assert digest.split()[0] == hashlib.sha256(own_watch()).hexdigest()
    assert run.returncode == 0, printed


def own_watch() -> bytes:
    """Return the watch as user data lays it down: with the line that ends a here-document."""
    script = Path(__file__).parents[2] / "infra" / "boot" / "watch.sh"
    return script.read_bytes() + b"\n"


def asked_of_the_head(place: Opened) -> list[str]:
    """Run LOOK on the head as soon as it takes commands; return the lines that it printed."""
    end = time.monotonic() + MINUTES * 60
    while time.monotonic() < end:
        time.sleep(10)
        for head in place.place.groups.members(place.deployment.head.group):
            sent = aws(doors.send(place.deployment, head.machine, LOOK))
            if not sent:
                continue  # its agent is not up yet
            aws(doors.wait(place.deployment, head.machine, sent))
            status, told, wrong = json.loads(aws(doors.said(place.deployment, head.machine, sent)))
            assert status == "Success", wrong
            return str(told).splitlines()
    pytest.fail(f"no head took a command in {MINUTES} minutes")


def aws(words: list[str]) -> str:
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def test_the_same_run_again_rents_nothing(place: Opened, folder: str) -> None:
    words = ("--budget", f"{CENTS}", "--deadline", "30m", "--yes", "--json")
    printed = imgbatch("run", f"{folder}/photos", f"{folder}/d", *words)
    assert json.loads(printed.splitlines()[-1])["event"] == "nothing"
    assert place.control.orders() == []
