"""Who asks: keys, profiles, programs that give keys, key files of Google; and when they expire."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from imgbatch.dataset import MANIFEST
from imgbatch.dataset.delta import Table
from imgbatch.dataset.manifest import SCHEMA
from imgbatch.errors import AccessError
from imgbatch.storage import credentials, ends_with_keys, open_store
from tests.conftest import ask
from tests.servers.scripted import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.scripted import Scripted

STAMPED = {"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT"}
PROFILES = """\
[profile lab]
region = eu-central-1
endpoint_url = {url}
aws_access_key_id = AKIALAB
aws_secret_access_key = secret-of-lab

[profile program]
endpoint_url = {url}
credential_process = {program}
"""
# A program that gives other keys each time, which end soon.
PROGRAM = """\
import json, pathlib
count = pathlib.Path({folder!r}) / "count"
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
print(json.dumps({{"Version": 1, "AccessKeyId": f"AKIA{{number}}", "SecretAccessKey": "s",
    "SessionToken": f"token{{number}}", "Expiration": {expiration!r}}}))
"""


@pytest.fixture
def profiles(untold: pytest.MonkeyPatch, scripted: Scripted, tmp_path: Path) -> Path:
    """Write a config file with two profiles whose endpoint is the scripted server."""
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    program = tmp_path / "keys.py"
    program.write_text(PROGRAM.format(folder=str(tmp_path), expiration=soon))
    config = tmp_path / "config"
    config.write_text(PROFILES.format(url=scripted.url, program=f"{sys.executable} {program}"))
    untold.setenv("AWS_CONFIG_FILE", str(config))
    scripted.always = Answer(body=b"x", headers=STAMPED)
    return config


def asked_by(scripted: Scripted) -> list[str]:
    """Return region and access key of each request."""
    return [
        asked.headers["authorization"].partition("Credential=")[2].split("/aws4_request")[0]
        for asked in scripted.asked
    ]


@pytest.mark.usefixtures("profiles")
def test_a_profile_brings_keys_region_and_endpoint(scripted: Scripted) -> None:
    assert open_store("s3://b?profile=lab").get("x") == b"x"
    (said,) = asked_by(scripted)
    assert said.startswith("AKIALAB/")
    assert "/eu-central-1/s3" in said


@pytest.mark.usefixtures("profiles")
def test_the_environment_names_a_profile_and_keys_there_win_over_it(
    scripted: Scripted, untold: pytest.MonkeyPatch
) -> None:
    untold.setenv("AWS_PROFILE", "lab")
    open_store("s3://b").get("x")
    untold.setenv("AWS_ENDPOINT_URL", scripted.url)
    untold.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    untold.setenv("AWS_SECRET_ACCESS_KEY", "s")
    open_store("s3://c").get("x")
    open_store("s3://d?profile=lab").get("x")
    assert [said.split("/")[0] for said in asked_by(scripted)] == ["AKIALAB", "AKIAENV", "AKIALAB"]


@pytest.mark.usefixtures("profiles")
def test_keys_that_end_soon_are_asked_for_again_by_requests_and_for_delta(
    scripted: Scripted, untold: pytest.MonkeyPatch
) -> None:
    untold.setattr(credentials, "TTL", timedelta(0))
    store = open_store("s3://b?profile=program")
    for _ in range(3):
        store.get("x")
    used = [said.split("/")[0] for said in asked_by(scripted)]
    assert len(set(used)) == 3
    assert scripted.asked[-1].headers["x-amz-security-token"] == f"token{used[-1][4:]}"
    first, second = (store.delta_location("t")[1] for _ in range(2))
    assert first["aws_access_key_id"] != second["aws_access_key_id"]
    assert second["aws_session_token"] == f"token{second['aws_access_key_id'][4:]}"
    assert second["aws_endpoint"] == scripted.url


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(("profile", "ends"), [("lab", False), ("program", True)])
def test_a_link_tells_whether_it_ends_with_its_keys(profile: str, *, ends: bool) -> None:
    link = open_store(f"s3://b?profile={profile}").link("x", 60)
    assert link is not None
    assert ends_with_keys(link) == ends


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("url", "says"), [("s3://b?profile=nobody", "nobody"), ("s3://b", "no credentials were found")]
)
def test_without_credentials_it_says_where_they_are_looked_for(url: str, says: str) -> None:
    with pytest.raises(AccessError, match=says) as caught:
        open_store(url).get("x")
    assert "AWS_PROFILE" in caught.value.remedy


def test_a_program_that_stops_giving_keys_ends_in_an_access_error(
    profiles: Path, scripted: Scripted, untold: pytest.MonkeyPatch
) -> None:
    untold.setattr(credentials, "TTL", timedelta(0))
    store = open_store("s3://b?profile=program")
    store.get("x")
    (profiles.parent / "keys.py").write_text("raise SystemExit('your session ended')")
    with pytest.raises(AccessError, match="expired") as caught:
        store.get("x")
    assert "aws sso login" in caught.value.remedy
    assert len(scripted.asked) == 1


def test_plain_keys_need_no_heavy_import() -> None:
    code = (
        "import sys; from imgbatch.storage import open_store; "
        "store = open_store('s3://b'); store.delta_location('t'); store.link('x', 60); "
        "print([m for m in ('boto3', 'botocore', 'google.auth') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


@pytest.fixture
def key_file(gs_server: str, tmp_path: Path) -> Iterator[Path]:
    """Make the server ask for tokens, and a service account that it gives them to."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "key.json"
    said = {
        "type": "service_account",
        "client_email": "lab@example.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "project_id": "lab",
        "token_uri": f"{gs_server}/token",
    }
    path.write_text(json.dumps(said))
    ask(f"{gs_server}/_fake", {"tokens": True, "token_seconds": 100})
    yield path
    ask(f"{gs_server}/_fake", {"tokens": False, "token_seconds": 3600})


@pytest.mark.usefixtures("gs_bucket", "untold")
def test_a_key_file_of_google_is_used_and_its_tokens_are_renewed(
    gs_server: str, key_file: Path
) -> None:
    store = open_store(f"gs://tests/keyed?endpoint={gs_server}&credentials={key_file}")
    store.put("x", b"one")
    ask(f"{gs_server}/_fake", {"revoke": True})
    # obstore wants tokens for five minutes, these are for 100 s: new ones, but not twice in 0.1 s.
    time.sleep(0.2)
    assert store.get("x") == b"one"
    link = store.link("x", 60)
    assert link is not None
    assert "X-Goog-Signature" in link
    # deltalake takes the key file itself.
    Table(store, MANIFEST).create(SCHEMA, fence=0, run="create")
    assert any("_delta_log" in entry.name for entry in store.list())


@pytest.mark.usefixtures("gs_bucket", "untold")
def test_who_does_not_say_who_asks_is_told_to(gs_server: str, key_file: Path) -> None:
    assert key_file
    store = open_store(f"gs://tests?endpoint={gs_server}&anonymous=true")
    with pytest.raises(AccessError, match="who asks") as caught:
        store.get("x")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.remedy


def test_a_key_file_that_is_none_is_refused(untold: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text('{"type": "service_account"}')
    untold.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(AccessError, match="gs://b: no credentials") as caught:
        open_store("gs://b").get("x")
    assert "gcloud auth" in caught.value.remedy
