"""What the doctor says of a Google bucket whose server does not answer as it should."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from imgbatch import doctor
from imgbatch.storage.buckets import open_bucket
from tests.conftest import free_port
from tests.servers.scripted import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.storage.buckets import Finding
    from tests.servers.scripted import Scripted

TOKEN = Answer(
    body=json.dumps({"access_token": "hunter2", "expires_in": 3600}).encode(),
    headers={"Content-Type": "application/json"},
)
ROBOT = "robot@lab.iam.gserviceaccount.com"


def look(url: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in open_bucket(url).look()}


@pytest.fixture
def keyed(untold: pytest.MonkeyPatch, scripted: Scripted, tmp_path: Path) -> str:
    """The URL of a bucket that is asked with a key file; tokens come from the server too."""
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    said = {
        "type": "service_account",
        "client_email": ROBOT,
        "private_key_id": "1",
        "private_key": pem.decode(),
        "project_id": "lab",
        "token_uri": f"{scripted.url}/token",
    }
    (tmp_path / "key.json").write_text(json.dumps(said))
    untold.setenv("NO_PROXY", "127.0.0.1")
    return f"gs://photos/d?endpoint={scripted.url}&credentials={tmp_path}/key.json"


def test_keys_that_the_server_does_not_take_are_told_with_the_command(
    keyed: str, scripted: Scripted
) -> None:
    refused = Answer(401, body=b"Invalid Credentials " + b"x" * 1000)
    # The library gets another token twice before it believes that.
    scripted.script = [TOKEN, refused] * 3
    scripted.always = refused
    found = look(keyed)
    credentials = found["credentials"]
    assert list(found) == ["credentials", "clock"]
    assert (credentials.state, credentials.blocks) == ("failed", True)
    assert credentials.text.startswith("Invalid Credentials")
    assert len(credentials.text) <= 200
    assert "gcloud auth application-default login" in credentials.remedy
    assert "hunter2" not in f"{found}"


def test_a_login_that_has_expired_is_told_with_the_command(keyed: str, scripted: Scripted) -> None:
    said = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    kind = {"Content-Type": "application/json"}
    scripted.always = Answer(400, body=json.dumps(said).encode(), headers=kind)
    found = look(keyed)["credentials"]
    assert (found.state, found.blocks) == ("failed", True)
    assert "expired or revoked" in found.text
    assert "gcloud auth application-default login" in found.remedy


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize(
    ("off", "state", "says"),
    [(-20, "failed", "ahead"), (20, "failed", "behind"), (5, "warning", "4 minutes behind")],
)
def test_a_clock_that_is_off_is_told_by_the_server_s_date(
    scripted: Scripted, off: int, state: str, says: str
) -> None:
    theirs = datetime.now(UTC) + timedelta(minutes=off)
    scripted.always = Answer(
        body=b'{"location": "EU"}',
        headers={"Date": format_datetime(theirs, usegmt=True), "Content-Type": "application/json"},
    )
    found = look(f"gs://photos?endpoint={scripted.url}&anonymous=true")["clock"]
    assert (found.state, found.blocks) == (state, state == "failed")
    assert says in found.text
    assert "timedatectl" in found.remedy


@pytest.mark.usefixtures("untold")
def test_a_clock_that_google_would_refuse_ends_the_look(scripted: Scripted, tmp_path: Path) -> None:
    theirs = datetime.now(UTC) - timedelta(hours=3)
    scripted.always = Answer(body=b"{}", headers={"Date": format_datetime(theirs, usegmt=True)})
    url = f"gs://photos?endpoint={scripted.url}&anonymous=true"
    lines = [line for line in doctor.examine(url, str(tmp_path / "d")) if line.part == "input"]
    states = {line.finding.check: line.finding.state for line in lines}
    assert states == {"credentials": "ok", "clock": "failed", "the rest": "skipped"}
    assert doctor.worst(lines) == 16


@pytest.mark.usefixtures("untold")
def test_a_server_that_nobody_reaches_is_told(tmp_path: Path) -> None:
    url = f"gs://photos?endpoint=http://127.0.0.1:{free_port()}&anonymous=true"
    found = look(url)["endpoint"]
    assert (found.state, found.blocks) == ("failed", True)
    assert "is not reached" in found.text
    assert "HTTPS_PROXY" in found.remedy
    lines = [line for line in doctor.examine(url, str(tmp_path / "d")) if line.part == "input"]
    assert [line.finding.check for line in lines] == ["credentials", "endpoint", "the rest"]


@pytest.mark.usefixtures("untold")
def test_the_project_that_pays_is_named_there_too(scripted: Scripted) -> None:
    scripted.always = Answer(body=b"{}", headers={"Content-Type": "application/json"})
    look(f"gs://photos?endpoint={scripted.url}&anonymous=true&project=lab")
    assert len(scripted.asked) > 1
    assert {asked.headers.get("x-goog-user-project") for asked in scripted.asked} == {"lab"}
