"""Buckets are made and hardened, on moto's S3 and on a fake of Google's JSON API."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.errors import SettingsError, StorageError
from imgbatch.storage.buckets import open_bucket
from tests.servers import crafted_google

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from tests.servers.crafted_google import Google

LIFECYCLE = "get_bucket_lifecycle_configuration"


@pytest.fixture
def name(bucket: str) -> str:
    """A name that no bucket on the test's S3 server has."""
    return f"{bucket}-{uuid.uuid4().hex}"


def imgbatch(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def hardened(name: str) -> dict[str, Any]:
    s3 = boto3.client("s3")
    rules = getattr(s3, LIFECYCLE)(Bucket=name)["Rules"]
    return {
        "public": s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
        "encryption": s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"],
        "versioning": s3.get_bucket_versioning(Bucket=name)["Status"],
        "rules": {rule["ID"]: rule for rule in rules},
    }


def test_a_bucket_is_made_private_encrypted_and_versioned(name: str) -> None:
    assert imgbatch("bucket", "create", f"s3://{name}", "--region", "eu-west-1").exit_code == 0
    found = hardened(name)
    assert set(found["public"].values()) == {True}
    assert "AES256" in json.dumps(found["encryption"])
    assert found["versioning"] == "Enabled"
    leftovers = found["rules"]["imgbatch-leftovers"]
    assert leftovers["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    assert leftovers["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    probes = found["rules"]["imgbatch-probes"]
    assert probes["Filter"]["Prefix"] == "doctor/imgbatch-probe-"
    where = boto3.client("s3").get_bucket_location(Bucket=name)
    assert where["LocationConstraint"] == "eu-west-1"


def test_making_and_hardening_again_change_nothing(name: str) -> None:
    imgbatch("bucket", "create", f"s3://{name}")
    first = hardened(name)
    again = imgbatch("bucket", "create", f"s3://{name}")
    assert "is there already; nothing was changed" in again.stdout
    done = json.loads(imgbatch("bucket", "harden", f"s3://{name}", "--yes", "--json").stdout)
    assert not done["changed"]
    assert [change["setting"] for change in done["changes"]] == ["plain http"]
    assert hardened(name) == first


def test_harden_without_yes_shows_and_changes_nothing(name: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=name)
    shown = imgbatch("bucket", "harden", f"s3://{name}").stdout
    assert "nothing was changed yet: add --yes" in shown
    assert "versioning" in shown
    assert "Status" not in s3.get_bucket_versioning(Bucket=name)


def test_what_others_set_stays(name: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=name)
    theirs = {
        "ID": "logs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 9},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [theirs]})
    statement = {
        "Sid": "Readers",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket=name, Policy=policy)
    for change in open_bucket(f"s3://{name}/datasets/one").changes():
        change.make()  # the refusal of plain http included: this server does not act on it
    rules = {rule["ID"]: rule for rule in getattr(s3, LIFECYCLE)(Bucket=name)["Rules"]}
    assert rules["logs"] == theirs
    ours = rules["imgbatch-datasets-one-leftovers"]
    assert ours["Filter"]["Prefix"] == "datasets/one/"
    statements = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
    assert statements[0] == statement
    assert statements[1]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert open_bucket(f"s3://{name}/datasets/one").changes() == []


def test_plain_http_is_not_shut_through_an_endpoint_that_is_plain_http(name: str) -> None:
    imgbatch("bucket", "create", f"s3://{name}")
    (change,) = open_bucket(f"s3://{name}").changes()
    assert change.setting == "plain http"
    assert "nobody could reach" in change.refused


def test_what_no_bucket_is_cannot_be_hardened(name: str) -> None:
    with pytest.raises(StorageError, match="no such bucket"):
        imgbatch("bucket", "harden", f"s3://{name}")
    with pytest.raises(SettingsError, match="is no bucket"):
        open_bucket("folder/of/mine")


def test_what_a_bucket_does_by_itself_to_a_dataset_is_told(name: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    rule = {
        "ID": "scratch",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": 30},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    versions, scratch = open_bucket(f"s3://{name}/d").keeps()
    assert (versions.state, scratch.state) == ("warning", "failed")
    assert f"imgbatch bucket harden s3://{name}/d" in versions.remedy
    assert "deletes objects here after 30 days" in scratch.text


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    with crafted_google.serving() as state:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", state.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "lab")
        yield state


def test_a_google_bucket_is_made_and_hardened_once(google: Google) -> None:
    words = ["bucket", "create", "gs://photos", "--region", "europe-west3"]
    assert imgbatch(*words).exit_code == 0
    made = google.buckets["photos"]
    assert made["location"] == "europe-west3"
    assert made["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert made["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert made["versioning"]["enabled"] is True
    kinds = [rule["action"]["type"] for rule in made["lifecycle"]["rule"]]
    assert kinds == ["AbortIncompleteMultipartUpload", "Delete", "Delete"]
    before = google.patches
    assert "nothing to change" in imgbatch("bucket", "harden", "gs://photos", "--yes").stdout
    assert google.patches == before


def test_rules_of_others_stay_in_a_google_bucket(google: Google) -> None:
    theirs = {"action": {"type": "Delete"}, "condition": {"age": 9, "matchesPrefix": ["logs/"]}}
    google.buckets["photos"] = {"name": "photos", "lifecycle": {"rule": [theirs]}}
    imgbatch("bucket", "harden", "gs://photos/d", "--yes")
    rules = google.buckets["photos"]["lifecycle"]["rule"]
    assert rules[0] == theirs
    assert rules[2]["condition"]["matchesPrefix"] == ["d/"]


def test_google_is_asked_what_is_permitted(google: Google) -> None:
    google.buckets["photos"] = {"name": "photos"}
    google.permissions = {"storage.objects.list", "storage.objects.get"}
    (reading,) = open_bucket("gs://photos").may(("list", "get"))
    (writing,) = open_bucket("gs://photos").may(("list", "get", "put", "delete"))
    assert reading.state == "ok"
    assert "storage.objects.create, storage.objects.delete" in writing.text
    assert "add-iam-policy-binding gs://photos" in writing.remedy
    assert "roles/storage.objectUser" in writing.remedy


def test_a_google_bucket_is_looked_at(google: Google) -> None:
    google.buckets["photos"] = {"name": "photos", "location": "EUROPE-WEST3"}
    found = {finding.check: finding for finding in open_bucket("gs://photos/d").look()}
    assert {finding.state for finding in found.values()} == {"ok"}
    assert "EUROPE-WEST3" in found["region"].text
    missing = list(open_bucket("gs://photo").look())[-1]
    assert missing.blocks
    assert "no bucket photo" in missing.text


def test_a_google_server_that_ignores_conditions_is_called_dangerous(google: Google) -> None:
    google.buckets["photos"] = {"name": "photos"}
    (well,) = open_bucket("gs://photos").guards("probe")
    google.blind = True
    (ill,) = open_bucket("gs://photos").guards("probe")
    assert well.state == "ok"
    assert ill.text.startswith("DANGEROUS")


def test_what_a_google_bucket_does_by_itself_to_a_dataset_is_told(google: Google) -> None:
    google.buckets["photos"] = {
        "name": "photos",
        "versioning": {"enabled": True},
        "softDeletePolicy": {"retentionDurationSeconds": "604800"},
        "retentionPolicy": {"retentionPeriod": "86400"},
        "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]},
    }
    found = {finding.check: finding.state for finding in open_bucket("gs://photos/d").keeps()}
    assert found == {
        "versioning": "warning",
        "soft delete": "warning",
        "retention": "failed",
        "lifecycle": "failed",
    }


def test_no_google_login_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f"{tmp_path}/none.json")
    (finding,) = open_bucket("gs://photos").look()
    assert finding.state == "failed"
    assert "gcloud auth application-default login" in finding.remedy
