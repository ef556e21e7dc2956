"""Keys, tokens and signatures leave no trace: not on a terminal, in a dataset, in Ray's logs.

They are planted where users have them, and servers tell all that they are sent, in errors too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.release import release
from imgbatch.storage import open_store
from imgbatch.storage.secrets import scrub
from tests import corpus
from tests.conftest import server

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID = ("AWS_", "GOOGLE_", "STORAGE_")
SERVER = Path(__file__).parent / "servers" / "crafted_s3.py"
SECRET = "plantedSecretAccessKey0123456789/abc+def"
TOKEN = "plantedSessionToken0123456789//////abcdef=="
PROFILE_SECRET = "plantedProfileKey0123456789ABCDEFGHIJKL"
PROFILE_TOKEN = "plantedProfileToken0123456789ABCDEFGH"
RAY_TOKEN = "plantedRayAuthToken0123456789abcdefghijk"
SIGNATURE = "SECRETsignature0123456789abcdef"
PASSWORD = "plantedPassw0rd"
# What our own requests were signed with, as the servers tell it.
SIGNED = re.compile(rb"Signature=[0-9a-f]{64}|assertion=eyJ|Bearer ey")


@dataclass
class Planted:
    """An environment full of secrets, and all that was said in it.

    Attributes:
        folder: where datasets and Ray's logs go.
        needles: what must be found nowhere.
    """

    folder: Path
    environment: dict[str, str]
    needles: list[bytes]
    said: list[str] = field(default_factory=list)

    def imgbatch(self, *words: str | Path, **variables: str) -> int:
        done = subprocess.run(
            [sys.executable, "-m", "imgbatch", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
            env=self.environment | variables,
        )
        self.said += [done.stdout, done.stderr]
        return done.returncode

    def leaks(self, *datasets: str) -> list[str]:
        """Return where a needle is found: in files, on the terminal, in the rows of datasets."""
        texts = {f"terminal {n}": text.encode() for n, text in enumerate(self.said)}
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):  # sockets, and what Ray takes away meanwhile
                texts[str(path)] = path.read_bytes() if path.is_file() else b""
        for url in datasets:
            dataset = Dataset.open(url)
            for table in (MANIFEST, *dataset.tables()):
                texts[f"{url} {table}"] = repr(dataset.read(table).to_pylist()).encode()
            for entry in dataset.store.list():
                texts[f"{url}/{entry.name}"] = dataset.store.get(entry.name)
        return [
            f"{where}: {needle.decode()}"
            for where, text in texts.items()
            for needle in (*self.needles, *SIGNED.findall(text))
            if needle in text
        ]


@pytest.fixture(scope="module")
def crafted_url() -> Iterator[str]:
    with server(str(SERVER)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def planted(crafted_url: str) -> Iterator[Planted]:
    # Ray puts sockets there, whose paths may not be long.
    folder = Path(tempfile.mkdtemp(prefix="s"))
    outside = Path(tempfile.mkdtemp(prefix="k"))
    pem = private_key()
    (outside / "google.json").write_text(google_key(pem, f"{crafted_url}/token"))
    (outside / "credentials").write_text(
        f"[lab]\naws_access_key_id = AKIAPROFILEKEY01\naws_secret_access_key = {PROFILE_SECRET}\n"
        f"aws_session_token = {PROFILE_TOKEN}\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SAID)}
    environment = clean | {
        "AWS_ENDPOINT_URL": crafted_url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIAPLANTEDKEYID",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_SHARED_CREDENTIALS_FILE": str(outside / "credentials"),
        "GOOGLE_APPLICATION_CREDENTIALS": str(outside / "google.json"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": RAY_TOKEN,
        "RAY_TMPDIR": str(folder),
        "IMGBATCH_FETCH_ATTEMPTS": "2",
    }
    inner = pem.splitlines()[2]
    texts = [
        SECRET,
        TOKEN,
        quote(TOKEN, safe=""),
        PROFILE_SECRET,
        PROFILE_TOKEN,
        RAY_TOKEN,
        SIGNATURE,
        PASSWORD,
        inner,
    ]
    yield Planted(folder, environment, [text.encode() for text in texts])
    shutil.rmtree(folder)
    shutil.rmtree(outside)


def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def google_key(pem: str, token_uri: str) -> str:
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "lab",
            "private_key_id": "0123456789abcdef",
            "private_key": pem,
            "client_email": "anna@lab.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": token_uri,
        }
    )


AS_PROFILE = {
    "AWS_PROFILE": "lab",
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_SESSION_TOKEN": "",
}


@pytest.mark.slow
def test_refusals_that_tell_all_they_were_sent_are_told_without_secrets(planted: Planted) -> None:
    folder = planted.folder
    corpus.many(folder / "c", 1)
    words = ["--engine", "inline"]
    codes = {
        "input": planted.imgbatch("run", "s3://echo/photos", folder / "d", *words),
        "dataset": planted.imgbatch("run", folder / "c", "s3://echo/d", *words),
        "doctor": planted.imgbatch("doctor", "s3://echo/photos", "s3://echo/d"),
        "profile": planted.imgbatch("doctor", "s3://echo/a", "s3://echo/d", **AS_PROFILE),
        "verify": planted.imgbatch("verify", "s3://echo/d"),
        "status": planted.imgbatch("status", "s3://echo/d"),
        "harden": planted.imgbatch("bucket", "harden", "s3://echo/d"),
        "google": planted.imgbatch("doctor", "gs://echo/photos", folder / "d"),
        "google run": planted.imgbatch("run", "gs://echo/photos", folder / "d", *words),
    }
    assert {name for name, code in codes.items() if code in (0, 1, 2)} == set(), planted.said
    assert planted.leaks() == []


@pytest.mark.slow
def test_what_becomes_a_row_or_a_log_line_holds_no_secret(planted: Planted) -> None:
    dataset = planted.folder / "d"
    assert planted.imgbatch("run", "s3://gossip/photos", dataset, "--engine", "inline") == 0
    rows = Dataset.open(str(dataset)).read("sources").to_pylist()
    assert {row["error_class"] for row in rows} == {"fetch.denied", "fetch.failed"}
    assert planted.imgbatch("report", dataset) == 0
    assert planted.leaks(str(dataset)) == []


@pytest.mark.slow
def test_runs_on_ray_leave_no_secret_in_datasets_reports_and_logs_of_ray(
    planted: Planted, bucket: str
) -> None:
    name = uuid.uuid4().hex
    picture = next(corpus.many(planted.folder / "c", 1).iterdir()).read_bytes()
    open_store(f"s3://{bucket}/{name}").put("in/a.jpg", picture)
    well = {
        "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    place = f"s3://{bucket}/{name}"
    ran = [
        planted.imgbatch("run", f"{place}/in", f"{place}/d", **well),
        planted.imgbatch("status", f"{place}/d", **well),
        planted.imgbatch("report", f"{place}/d", **well),
        planted.imgbatch("doctor", f"{place}/in", f"{place}/d", **well),
        planted.imgbatch("run", "s3://gossip/photos", planted.folder / "d"),
    ]
    assert ran == [0] * 5, planted.said
    assert list(planted.folder.glob("**/*.log")), "Ray kept its logs elsewhere"
    assert planted.leaks(f"{place}/d", str(planted.folder / "d")) == []
    assert boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{name}/d/logs/")["KeyCount"]


@pytest.fixture
def dashboard() -> Iterator[str]:
    """HOST:PORT of what answers as Ray's dashboard does, and takes every job.

    Ray's own takes tokens alone; a password is asked for by a proxy in front of it.
    """

    class Dashboard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told: object = {"ray_version": release().ray}
            if self.path.endswith("/logs"):
                told = {"logs": "Running entrypoint for job x\naccepted: here\n"}
            elif "/api/jobs/imgbatch-" in self.path:
                told = {"type": "SUBMISSION", "status": "RUNNING", "entrypoint": "python"}
            elif "/api/jobs" in self.path:
                told = []
            self.answer(told)

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer({"job_id": told["submission_id"], "submission_id": told["submission_id"]})

        def answer(self, told: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Dashboard) as served:
        thread = threading.Thread(target=served.serve_forever, args=[0.01])
        thread.start()
        yield f"127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_password_in_the_address_of_a_cluster_is_told_nowhere(
    planted: Planted, dashboard: str
) -> None:
    folder = planted.folder
    corpus.many(folder / "c", 1)
    words = [folder / "c", folder / "d"]
    given, nowhere = f"http://anna:{PASSWORD}@{dashboard}", f"http://anna:{PASSWORD}@127.0.0.1:9"
    codes = [
        planted.imgbatch("submit", *words, RAY_API_SERVER_ADDRESS=nowhere),
        planted.imgbatch("run", *words, "--address", nowhere),
        planted.imgbatch("submit", *words, "--address", given),
        planted.imgbatch("submit", *words, "--address", given, "--json"),
    ]
    assert codes == [22, 10, 0, 0], planted.said
    shown = f"http://anna:***@{dashboard}"
    assert f" to {shown}\n" in planted.said[4]
    assert json.loads(planted.said[6].splitlines()[0])["address"] == shown
    assert planted.leaks() == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "GET https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA&X-Amz-Signature=deadbeef99&x=1",
            "GET https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA&X-Amz-Signature=***&x=1",
        ),
        (
            "https://h/x?Signature=aB%2Fcd12345&Expires=3&AWSAccessKeyId=AK",
            "https://h/x?Signature=***&Expires=3&AWSAccessKeyId=AK",
        ),
        (
            "https://b.storage.googleapis.com/k?X-Goog-Signature=0123456789abcdef",
            "https://b.storage.googleapis.com/k?X-Goog-Signature=***",
        ),
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=0123456789abcdef",
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=***",
        ),
        ("authorization: Bearer 0123.456-789", "authorization: Bearer ***"),
        ("x-amz-security-token:FQoGZXIvYXdzEX", "x-amz-security-token:***"),
        (
            r"{\"refresh_token\": \"1//0gabcdef\", \"a\": 1}",
            r"{\"refresh_token\": \"***\", \"a\": 1}",
        ),
        ("<SessionToken>FwoGZXIvYXdz</SessionToken>", "<SessionToken>***</SessionToken>"),
        ("<StringToSign>AWS4\nabc</StringToSign>", "<StringToSign>***</StringToSign>"),
        ("https://anna:hunter2hunter@host/x", "https://anna:***@host/x"),
        ("https://anna:hunter2@hunter@host/x@y", "https://anna:***@host/x@y"),
        ("https://:hunter2hunter@host:80/x", "https://:***@host:80/x"),
        ("https://host:80/x@y http://host:80", None),
        (
            '{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n"}',
            '{"private_key": "***\\n"}',
        ),
        ("a basic problem; the token expired; design=abcdefghi", None),
    ],
)
def test_scrub_hides_secrets_and_leaves_the_rest(text: str, left: str | None) -> None:
    assert scrub(text) == (text if left is None else left)


def test_scrub_hides_what_the_environment_says_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_API_KEY", "abc-planted-value")
    monkeypatch.setenv("LAB_TOKEN_FILE", "/run/secrets/token-of-the-lab")
    assert scrub("sent abc-planted-value from /run/secrets/token-of-the-lab") == (
        "sent *** from /run/secrets/token-of-the-lab"
    )
