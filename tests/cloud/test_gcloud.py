"""Google's own program on the stand-in: the variables and words that we share with it are its own.

It tells what it does not know before it asks anybody: a command or a flag that is none of its own
ends with code 2, what nobody answers with 1.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import open_cloud
from imgbatch.cloud.gcp import doors
from tests.cloud.gcp_fake import LABEL, PROJECT, REGION, google_cloud
from tests.cloud.test_gcp import deployment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cloud.gcp_fake import FakeGoogle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="this test needs gcloud"),
]
UNKNOWN = 2


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    with google_cloud(tmp_path) as made:
        made.tokens.add("of-a-test")
        (tmp_path / "token").write_text("of-a-test")
        monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "settings"))
        monkeypatch.setenv("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
        monkeypatch.setenv("HOME", str(tmp_path))  # where it makes a key for ssh
        yield made


def gcloud(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, env=os.environ, timeout=120
    )


def test_gcloud_sees_the_same_groups_machines_and_jobs(fake: FakeGoogle) -> None:
    made = fake.deploy("lab")
    groups = open_cloud("gcp", REGION, most={made.gpu: 2}).groups
    groups.want(made.gpu, 2)
    fake.advance()
    fake.advance()
    groups.arm(made.gpu, 4_000_000_000)
    place = ["--project", PROJECT, "--format", "json"]
    group = ["gcloud", "compute", "instance-groups", "managed", "list-instances", made.gpu]
    listed = json.loads(gcloud([*group, "--region", REGION, *place]).stdout)
    assert {one["id"] for one in listed} == {m.machine for m in groups.members(made.gpu)}
    job = ["gcloud", "scheduler", "jobs", "describe", f"{made.gpu}-deadline", "--location", REGION]
    told = json.loads(gcloud([*job, *place]).stdout)
    assert (told["state"], told["schedule"]) == ("ENABLED", "6 7 2 10 *")


def test_gcloud_knows_every_word_of_the_commands_that_we_print_and_run(fake: FakeGoogle) -> None:
    made = fake.deploy("lab")
    cloud = open_cloud("gcp", REGION, most={made.gpu: 1})
    cloud.groups.want(made.gpu, 1)
    fake.advance()
    label, zone = {"labels": {LABEL: "lab"}}, {"zone": f"zones/{REGION}-a"}
    region = {"region": f"regions/{REGION}"}
    fake.listed |= {
        "disks": [{"name": "disk-1", **zone, **label}],
        "addresses": [{"name": "address-1", **region, **label}],
        "snapshots": [{"name": "snapshot-1", **label}],
        "routers": [{"name": "router-1", **region, "description": f"{LABEL}=lab"}],
        "networks": [{"name": "network-1", "description": f"{LABEL}=lab"}],
        "firewalls": [{"name": "firewall-1", "description": f"{LABEL}=lab"}],
        "accounts": [{"email": f"ib@{PROJECT}.iam", "description": f"{LABEL}=lab"}],
        "roles": [{"name": f"projects/{PROJECT}/roles/ib", "description": f"{LABEL}=lab"}],
        "buckets": [{"name": "imgbatch-lab", "location": "US", **label}],
        "repositories": [{"name": "projects/p/locations/l/repositories/x", **label}],
    }
    left = {one.kind: shlex.split(one.remove) for one in cloud.account.left("lab")}
    assert len(left) == 15
    lab = deployment(made)
    (machine,) = cloud.groups.members(made.gpu)
    words = {
        **left,
        "send": [*doors.send(lab, machine.machine, "true"), "--dry-run"],
        "secret": doors.secret(lab),
    }
    with ThreadPoolExecutor(4) as pool:
        ended = dict(zip(words, pool.map(gcloud, words.values()), strict=True))
    unknown = {what: done.stderr for what, done in ended.items() if done.returncode == UNKNOWN}
    assert unknown == {}
    assert gcloud(["gcloud", "compute", "ssh", "x", "--no-such-flag"]).returncode == UNKNOWN
