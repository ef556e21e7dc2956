"""`imgbatch cloud doctor` and `connect`, on a server that answers like AWS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.cli.cloud.doctor import _alarm, _orphans
from imgbatch.cloud import Left, known
from imgbatch.errors import CloudError, DeploymentError
from tests.cloud.moto_server import REGION
from tests.cloud.test_known import made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cloud.moto_server import Moto


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without any notes."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))


def doctor(cloud: str = "aws") -> tuple[int, dict[str, dict[str, Any]]]:
    """Run it; return its exit code and its lines by name."""
    done = CliRunner().invoke(app, ["cloud", "doctor", cloud, "--json"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    *checks, last = lines
    assert last["event"] == "examined"
    assert last["exit_code"] == done.exit_code
    return done.exit_code, {one["name"]: one for one in checks}


@pytest.mark.slow
def test_the_doctor_finds_what_is_nobody_s_in_another_region(moto: Moto, tmp_path: Path) -> None:
    lab = made("lab", tmp_path)
    known.remember(lab, lab.control)
    tags = [{"Key": "imgbatch:deployment", "Value": "forgotten"}]
    disk = moto.client("ec2", "us-west-2").create_volume(
        AvailabilityZone="us-west-2a",
        Size=100,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )["VolumeId"]
    code, lines = doctor()
    assert code != 0
    assert "terraform" in lines
    assert lines["deployment lab"]["state"] == "ok"
    assert lines["budget alarm lab"]["state"] == "unknown"
    orphan = lines[f"disk {disk}"]
    assert orphan["state"] == "failed"
    assert "us-west-2" in orphan["said"]
    assert disk in orphan["fix"]


@pytest.mark.parametrize(
    ("alarm", "state", "said"),
    [
        (100.0, "ok", "letters at 50, 80 and 100% of 100 a month"),
        (0.0, "unknown", "none: nobody hears when a month gets dear"),
        (None, "unknown", "a version that does not tell"),
    ],
)
def test_whether_there_is_a_budget_alarm_is_told(
    tmp_path: Path, alarm: float | None, state: str, said: str
) -> None:
    lab = made("lab", tmp_path).model_copy(update={"alarm": alarm})
    line = _alarm(lab)
    assert (line.state, said in line.said) == (state, True)
    assert alarm or f"`scripts/cloud up {lab.cloud} --name lab`" in line.fix


def test_what_was_found_is_told_although_a_region_could_not_be_asked() -> None:
    def left() -> Iterator[Left]:
        fix = "aws ec2 terminate-instances"
        yield Left("machine", "i-1", "us-west-2", "forgotten", costs=True, remove=fix)
        raise CloudError("looking what is left in eu-west-1: no answer", "Look again.")

    found, region = list(_orphans(left()))
    assert (found[0], found[1].name, found[1].state) == (30, "machine i-1", "failed")
    assert (region[0], region[1].name, region[1].state) == (27, "orphans", "failed")
    assert "eu-west-1" in region[1].said
    assert region[1].fix == "Look again."


def test_a_machine_of_a_deployment_that_is_known_is_told_too(tmp_path: Path) -> None:
    lab = made("lab", tmp_path)
    known.remember(lab, lab.control)
    left = [Left("machine", "i-1", "us-west-2", "lab", costs=True, remove="")]
    (machine, nothing) = [check for _, check in _orphans(iter(left))]
    assert (machine.name, machine.state) == ("machine i-1", "unknown")
    assert "cloud stop --force --deployment lab" in machine.fix
    assert nothing.state == "ok"


def test_the_doctor_goes_on_without_credentials(
    moto: Moto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert moto.url
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    code, lines = doctor()
    assert code == 27
    assert lines["credentials"]["state"] == "failed"
    assert "aws configure" in lines["credentials"]["fix"]
    assert "terraform" in lines


def test_a_cloud_that_is_none_is_not_called_a_matter_of_credentials() -> None:
    code, lines = doctor("azure")
    assert code == 10
    assert "credentials" not in lines
    assert "aws or gcp" in lines["cloud"]["fix"]


def test_connect_notes_a_deployment_and_refuses_a_place_without_one(
    moto: Moto, tmp_path: Path
) -> None:
    lab = made("lab", tmp_path)
    s3 = moto.client("s3")
    where = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket="imgbatch-lab-1", CreateBucketConfiguration=where)
    url = "s3://imgbatch-lab-1/control"
    refused = CliRunner().invoke(app, ["cloud", "connect", url])
    assert isinstance(refused.exception, DeploymentError)
    assert f"there is no deployment at {url}" in str(refused.exception)
    told = (tmp_path / "lab" / "control" / "deployment.json").read_bytes()
    s3.put_object(Bucket="imgbatch-lab-1", Key="control/deployment.json", Body=told)
    done = CliRunner().invoke(app, ["cloud", "connect", url, "--json"])
    assert json.loads(done.stdout)["deployment"]["name"] == "lab"
    assert known.find(None) == lab
