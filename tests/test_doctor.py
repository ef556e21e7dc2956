"""What the doctor says of stores that are well, and of those that are not."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from typer.testing import CliRunner

from imgbatch import doctor
from imgbatch.cli import app
from imgbatch.dataset import Dataset
from imgbatch.dataset.lock import Holder
from imgbatch.errors import StorageError
from imgbatch.storage import access, open_store
from imgbatch.storage.buckets import open_bucket
from tests.conftest import server

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path(__file__).parent / "servers" / "crafted_s3.py"
SECRET = "plantedSecretKey0123456789abcdefghijklmn"


@pytest.fixture(scope="module")
def crafted_port() -> Iterator[int]:
    with server(str(SERVER)) as port:
        yield port


@pytest.fixture
def crafted(
    crafted_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.MonkeyPatch:
    """Keys for the server whose buckets behave as they are named."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{crafted_port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTEDKEYID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    open_store.cache_clear()
    return monkeypatch


def examined(input_url: str | Path, dataset_url: str | Path) -> dict[str, doctor.Finding]:
    """Return the findings that are not about this machine, by part and check."""
    lines = list(doctor.examine(str(input_url), str(dataset_url)))
    return {f"{line.part} {line.finding.check}": line.finding for line in lines}


def failed(found: dict[str, doctor.Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.state == "failed"]


def test_folders_that_are_well_are_all_ok_and_left_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"picture")
    lines = list(doctor.examine(str(tmp_path / "in"), str(tmp_path / "new" / "dataset")))
    assert {line.finding.state for line in lines} == {"ok"}
    assert doctor.worst(lines) == 0
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.jpg"]


def test_memory_is_looked_at_too() -> None:
    open_store("memory://in").put("a.jpg", b"picture")
    found = examined("memory://in", f"memory://{uuid.uuid4().hex}")
    assert failed(found) == ["dataset format"]
    assert "memory" in found["dataset format"].text


def test_a_single_file_is_an_input(tmp_path: Path) -> None:
    (tmp_path / "one.zip").write_bytes(b"archive")
    found = examined(tmp_path / "one.zip", tmp_path / "d")
    assert failed(found) == []
    assert "7 bytes" in found["input list"].text


@pytest.mark.parametrize(
    ("input_name", "dataset_name", "check", "code"),
    [
        ("nothing", "d", "input list", 11),
        ("empty", "d", "input list", 11),
        ("in", "in/d", "dataset settings", 10),
        ("in", "foreign", "dataset format", 12),
        ("in", "future", "dataset format", 12),
        ("in", "in/a.jpg", "dataset put", 16),
    ],
)
def test_a_folder_that_would_not_do_is_said_with_the_code_of_a_run(
    tmp_path: Path, input_name: str, dataset_name: str, check: str, code: int
) -> None:
    for name in ("in", "empty", "foreign", "future"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"picture")
    (tmp_path / "foreign" / "thesis.tex").write_text("not ours")
    (tmp_path / "future" / "dataset.json").write_text('{"format": 99}')
    lines = list(doctor.examine(str(tmp_path / input_name), str(tmp_path / dataset_name)))
    wrong = {f"{line.part} {line.finding.check}": line for line in lines if line.code}
    assert wrong[check].code == code
    assert wrong[check].finding.remedy
    assert doctor.worst(lines) in (code, 16)


def test_a_run_at_work_is_a_warning_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"picture")
    dataset = Dataset.create(str(tmp_path / "d"))
    dataset.store.put("lock.json", Holder.me("run-7", expires=60).encoded())
    found = examined(tmp_path / "in", tmp_path / "d")
    assert found["dataset lock"].state == "warning"
    assert "run-7" in found["dataset lock"].text


def test_what_a_killed_doctor_leaves_keeps_no_run_from_its_dataset(tmp_path: Path) -> None:
    open_store(str(tmp_path)).put("doctor/imgbatch-probe-0", b"")
    assert Dataset.find(str(tmp_path)) is None
    open_store(str(tmp_path)).put("doctor/thesis.tex", b"")
    assert examined(tmp_path, tmp_path)["dataset format"].state == "failed"


def test_a_variable_that_is_mistyped_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMGBATCH_THREDS", "4")
    finding = examined(tmp_path, tmp_path / "d")["here settings"]
    assert finding.state == "failed"
    assert "IMGBATCH_THREADS" in finding.text


def test_a_bucket_that_is_well_is_all_ok_and_left_as_it_was(bucket: str) -> None:
    name = uuid.uuid4().hex
    open_store(f"s3://{bucket}/{name}").put("in/a.jpg", b"picture")
    found = examined(f"s3://{bucket}/{name}/in", f"s3://{bucket}/{name}/d")
    assert failed(found) == []
    assert "region us-east-1" in found["input region"].text
    assert "arn:aws:" in found["input credentials"].text
    assert found["dataset compare and swap"].state == "ok"
    assert [entry.name for entry in open_store(f"s3://{bucket}/{name}").list()] == ["in/a.jpg"]


def test_a_bucket_that_is_mistyped_is_answered_with_the_names_that_are_near(bucket: str) -> None:
    finding = examined(f"s3://{bucket}x/in", f"s3://{bucket}/d")["input bucket"]
    assert finding.state == "failed"
    assert f"Did you mean {bucket}?" in finding.remedy


def test_a_bucket_at_google_that_is_well_is_all_ok_and_left_as_it_was(gs_bucket: str) -> None:
    place = f"gs://{gs_bucket}/{uuid.uuid4().hex}"
    open_store(place).put("in/a.jpg", b"picture")
    found = examined(f"{place}/in", f"{place}/d")
    assert failed(found) == []
    assert "storage.objects.delete" in found["dataset permissions"].text
    assert found["dataset compare and swap"].state == "ok"
    assert [entry.name for entry in open_store(place).list()] == ["in/a.jpg"]


@contextlib.contextmanager
def permissions_held() -> Iterator[None]:
    """Let the test's S3 server look at permissions, which it does on request only."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    headers = {"Content-Type": "application/octet-stream"}

    def after(calls: bytes) -> None:
        request = urllib.request.Request(url, calls, headers, method="POST")
        urllib.request.urlopen(request).close()

    after(b"0.0")
    try:
        yield
    finally:
        after(b"inf")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("allowed", "check", "action"),
    [
        (["s3:ListBucket", "s3:GetObject"], "dataset put", "s3:PutObject"),
        (["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "input list", "s3:ListBucket"),
        (["s3:ListBucket", "s3:PutObject", "s3:DeleteObject"], "input get", "s3:GetObject"),
        (["s3:ListBucket", "s3:GetObject", "s3:PutObject"], "dataset delete", "s3:DeleteObject"),
    ],
)
def test_a_permission_that_is_missing_is_named_as_a_policy_says_it(
    bucket: str, monkeypatch: pytest.MonkeyPatch, allowed: list[str], check: str, action: str
) -> None:
    name = uuid.uuid4().hex
    open_store(f"s3://{bucket}/{name}").put("in/a.jpg", b"picture")
    iam = boto3.client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": []}
    document["Statement"] = [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]
    iam.put_user_policy(UserName=name, PolicyName="some", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    open_store.cache_clear()
    with permissions_held():
        found = examined(f"s3://{bucket}/{name}/in", f"s3://{bucket}/{name}/d")
    open_store.cache_clear()
    assert found[check].state == "failed", found[check]
    assert f'"Action": "{action}"' in found[check].remedy


@pytest.mark.usefixtures("crafted")
@pytest.mark.parametrize(
    ("bucket_name", "check", "said", "remedy"),
    [
        ("skewed", "clock", "behind the server's", "timedatectl"),
        ("expired", "credentials", "expired", "AWS_SESSION_TOKEN"),
        ("unknown", "credentials", "does not know this key", "Copy key id"),
        ("mismatch", "credentials", "does not fit", "Copy key id"),
        ("elsewhere", "region", "eu-central-1", "AWS_REGION=eu-central-1"),
        ("missing", "bucket", "no bucket missing", "imgbatch bucket create s3://missing"),
        pytest.param(
            *("slow", "endpoint", "SlowDown", "pass by themselves"), marks=pytest.mark.slow
        ),
    ],
)
def test_a_server_that_refuses_everything_is_one_line_with_the_remedy(
    bucket_name: str, check: str, said: str, remedy: str
) -> None:
    found = examined(f"s3://{bucket_name}/in", f"s3://{bucket_name}/d")
    for part in ("input", "dataset"):
        assert found[f"{part} {check}"].state == "failed"
        assert said in found[f"{part} {check}"].text
        assert remedy in found[f"{part} {check}"].remedy
        assert found[f"{part} the rest"].state == "skipped"
    assert failed(found) == [f"input {check}", f"dataset {check}"]


@pytest.mark.usefixtures("crafted")
@pytest.mark.parametrize(
    ("bucket_name", "remedy"), [("glacier", "restore-object"), ("keyed", "kms:Decrypt")]
)
def test_what_no_permission_of_the_bucket_mends_has_a_remedy_of_its_own(
    tmp_path: Path, bucket_name: str, remedy: str
) -> None:
    found = examined(f"s3://{bucket_name}/photos", tmp_path / "d")
    assert remedy in found["input get"].remedy


@pytest.mark.usefixtures("crafted")
def test_a_server_that_ignores_conditions_is_called_dangerous() -> None:
    found = examined("s3://blind/photos", "s3://blind/d")
    assert failed(found) == ["dataset conditional put", "dataset compare and swap"]
    assert found["dataset conditional put"].text.startswith("DANGEROUS")
    assert found["dataset compare and swap"].text.startswith("DANGEROUS")


@pytest.mark.slow
@pytest.mark.usefixtures("crafted")
def test_a_server_that_ignores_ranges_is_told() -> None:
    assert failed(examined("s3://rangeless/photos", "s3://plain/d")) == ["input get a range"]


@pytest.mark.slow
@pytest.mark.usefixtures("crafted")
def test_a_clock_that_is_somewhat_off_is_a_warning() -> None:
    found = examined("s3://late/photos", "s3://plain/d")
    assert failed(found) == []
    assert found["input clock"].state == "warning"


def test_a_server_that_nobody_reaches_is_one_line(crafted: pytest.MonkeyPatch) -> None:
    crafted.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = examined("s3://plain/photos", "s3://plain/d")
    assert failed(found) == ["input endpoint", "dataset endpoint"]
    assert "AWS_ENDPOINT_URL" in found["input endpoint"].remedy


def test_an_endpoint_without_its_scheme_is_told(crafted: pytest.MonkeyPatch) -> None:
    crafted.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    finding = examined("s3://plain/photos", "s3://plain/d")["input settings"]
    assert "begins with http:// or https://" in finding.text
    assert "the variable that it comes from" in finding.remedy


SSO = """[profile lab]
sso_session = uni
sso_account_id = 123456789012
sso_role_name = Researcher
region = us-east-1
[sso-session uni]
sso_start_url = https://uni.awsapps.com/start
sso_region = us-east-1
"""


@pytest.mark.parametrize(
    ("variables", "said", "remedy"),
    [
        ({"AWS_PROFILE": "nope"}, "nope", "list-profiles"),
        ({"AWS_PROFILE": "lab"}, "SSO", "aws sso login --profile lab"),
        ({"AWS_ACCESS_KEY_ID": "AKIAPLANTEDKEYID"}, "AWS_SECRET_ACCESS_KEY", "aws configure"),
        (
            {"AWS_ACCESS_KEY_ID": "AKIAPLANTEDKEYID ", "AWS_SECRET_ACCESS_KEY": SECRET},
            "blank",
            "Copy it again",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "ASIAPLANTEDKEYID", "AWS_SECRET_ACCESS_KEY": SECRET},
            "ASIA...EYID",
            "AWS_SESSION_TOKEN",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "AKIAEXPIREDEXPIRED", "AWS_SECRET_ACCESS_KEY": SECRET},
            "expired",
            "Copy fresh keys",
        ),
        ({}, "none found", "aws configure"),
    ],
)
def test_credentials_that_would_not_do_are_told_before_anything_is_tried(
    crafted: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    said: str,
    remedy: str,
) -> None:
    (tmp_path / "config").write_text(SSO)
    crafted.delenv("AWS_ACCESS_KEY_ID")
    crafted.delenv("AWS_SECRET_ACCESS_KEY")
    for name, value in variables.items():
        crafted.setenv(name, value)
    found = examined("s3://plain/photos", "s3://plain/d")
    assert failed(found) == ["input credentials", "dataset credentials"]
    assert said in found["input credentials"].text
    assert remedy in found["input credentials"].remedy


def test_a_profile_is_named_and_its_secret_is_not(
    crafted: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crafted.delenv("AWS_ACCESS_KEY_ID")
    crafted.delenv("AWS_SECRET_ACCESS_KEY")
    keys = f"[lab]\naws_access_key_id = AKIAPROFILEKEY01\naws_secret_access_key = {SECRET}\n"
    (tmp_path / "credentials").write_text(keys)
    crafted.setenv("AWS_PROFILE", "lab")
    finding = examined("s3://plain/photos", "s3://plain/d")["input credentials"]
    assert finding.state == "ok"
    assert "AKIA...EY01 from the credentials file, profile lab" in finding.text


def test_the_role_of_a_machine_is_named_with_its_expiry(
    crafted: pytest.MonkeyPatch, crafted_port: int
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        crafted.delenv(name)
    crafted.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{crafted_port}")
    bucket = open_bucket("s3://plain/photos")
    found = {finding.check: finding for finding in bucket.look()}
    assert "ASIA...0001 from this EC2 machine's role" in found["credentials"].text
    assert "renewed by themselves" in found["expiry"].text
    assert {finding.state for finding in found.values()} == {"ok"}


def test_keys_that_end_soon_are_a_warning(crafted: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=30)
    crafted.setenv("AWS_SESSION_TOKEN", "plantedSessionToken")
    crafted.setenv("AWS_CREDENTIAL_EXPIRATION", soon.isoformat())
    found = {finding.check: finding for finding in open_bucket("s3://plain/photos").look()}
    assert found["expiry"].state == "warning"
    assert "a longer run will stop there" in found["expiry"].text
    assert "Copy fresh keys" in found["expiry"].remedy


@pytest.mark.slow
@pytest.mark.usefixtures("crafted")
def test_hardening_that_would_break_a_server_is_taken_back() -> None:
    with pytest.raises(StorageError, match="the server refused public access, versioning"):
        CliRunner().invoke(
            app, ["bucket", "harden", "s3://touchy", "--yes"], catch_exceptions=False
        )
    left = {change.setting for change in open_bucket("s3://touchy").changes()}
    assert left == {"public access", "versioning", "plain http"}
    assert failed(examined("s3://plain/photos", "s3://touchy/d")) == []


def run_doctor(*words: str | Path) -> subprocess.CompletedProcess[str]:
    words = ("-m", "imgbatch", "doctor", *map(str, words))
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_exits_as_the_worst_line_says_and_pipes_plain_text(tmp_path: Path) -> None:
    done = run_doctor(tmp_path / "nothing", tmp_path / "d")
    assert done.returncode == 11
    assert "\x1b" not in done.stdout
    assert "FAILED   list" in done.stdout
    assert "to do: Check the path or URL" in done.stdout
    assert done.stderr == ""


def test_keys_in_a_url_are_refused_and_not_repeated(tmp_path: Path) -> None:
    done = run_doctor("s3://AKIAPLANTEDKEYID:plantedSecretKey0123@photos/in", tmp_path / "d")
    assert done.returncode == 10
    assert "plantedSecretKey0123" not in done.stdout + done.stderr
    assert "holds a name or a password" in done.stdout


def test_an_input_without_keys_is_reached_as_its_url_says(
    crafted: pytest.MonkeyPatch, crafted_port: int, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        crafted.delenv(name)
    options = f"?anonymous=true&endpoint=http://127.0.0.1:{crafted_port}"
    found = examined(f"s3://plain/photos{options}", tmp_path / "d")
    access.forget()
    assert failed(found) == []
    assert "not signed" in found["input credentials"].text


def test_the_command_prints_json_lines_on_request(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"picture")
    done = run_doctor(tmp_path / "in", tmp_path / "d", "--json")
    *checks, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert {check["state"] for check in checks} == {"ok"}
    assert last == {"event": "examined", "failed": 0, "warnings": 0, "exit_code": 0}
    assert done.returncode == 0
