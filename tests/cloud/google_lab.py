"""As much of Google Cloud as a machine asks for when it boots, leaves and reports; on loopback.

    with Google() as google:
        google.objects["control/lease.json"] = b"..."
        name = google.launch("imgbatch-lab-gpu")
        google.members("imgbatch-lab-gpu")

Cloud Storage's objects, the deletion of a group's machines, and each machine's metadata service.
All of it answers to the token that the metadata service gives, and to no other.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

TOKEN = "ya29.a-token-of-the-machines-account"
PROJECT, REGION, ZONE = "pictures-123456", "europe-west4", "europe-west4-b"
BUCKET = f"imgbatch-lab-{PROJECT}-{REGION}"
GROUPS = f"/compute/v1/projects/{PROJECT}/regions/{REGION}/instanceGroupManagers/"


class _Server:
    """A server of loopback whose answers a function gives: status and body."""

    def __init__(self, address: str) -> None:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(*answer("GET", self.path, dict(self.headers), b""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._say(*answer("POST", self.path, dict(self.headers), body))

            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Say nothing."""

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self.place = f"{address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(
        self, verb: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        raise NotImplementedError

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class GoogleMetadata(_Server):
    """A machine's metadata service: answers to who says that it knows whom it asks."""

    def __init__(self, number: str, name: str, address: str) -> None:
        token = {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}
        self._told = {
            "instance/id": number,
            "instance/name": name,
            "instance/zone": f"projects/123456789012/zones/{ZONE}",
            "instance/network-interfaces/0/ip": address,
            "instance/service-accounts/default/token": json.dumps(token),
            "instance/preempted": "FALSE",
            "project/project-id": PROJECT,
        }
        super().__init__(address)

    @property
    def environment(self) -> dict[str, str]:
        return {"GCE_METADATA_HOST": self.place}

    def take_back(self, seconds: float = 30) -> None:
        del seconds  # Google says that it is so, and not when
        self._told["instance/preempted"] = "TRUE"

    def answer(
        self, verb: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        del body
        if verb != "GET" or headers.get("Metadata-Flavor") != "Google":
            return 403, b"Missing Metadata-Flavor:Google header."
        found = self._told.get(path.removeprefix("/computeMetadata/v1/"))
        return (404, b"not found") if found is None else (200, found.encode())


class Google(_Server):
    """Cloud Storage and Compute Engine.

    Attributes:
        objects: of the one bucket, by name.
        gone: whether the bucket is.
        refuses: whether groups let nobody leave.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.gone = self.refuses = False
        self.leavings = 0
        self._groups: dict[str, list[str]] = {}
        self._sizes: dict[str, int] = {}
        self._launched = 0
        self._lock = threading.Lock()
        super().__init__("127.0.0.1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which Google's programs ask here."""
        return {
            "STORAGE_EMULATOR_HOST": f"http://{self.place}",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"http://{self.place}/compute/v1/",
        }

    def launch(self, group: str) -> str:
        """Have a group grow by one; return the machine's name."""
        with self._lock:
            self._launched += 1
            name = f"{group}-{self._launched:04x}"
            self._groups.setdefault(group, []).append(name)
            self._sizes[group] = self._sizes.get(group, 0) + 1
        return name

    def members(self, group: str) -> list[str]:
        return list(self._groups[group])

    def size(self, group: str) -> int:
        return self._sizes[group]

    def answer(
        self, verb: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, b'{"error": {"code": 401, "message": "Invalid Credentials"}}'
        asked = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        with self._lock:
            if asked.path.startswith(GROUPS) and verb == "POST":
                return self._group(asked.path.removeprefix(GROUPS), json.loads(body))
            return self._object(verb, asked.path, query, body)

    def _group(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        group, _, verb = path.partition("/")
        if self.refuses or verb != "deleteInstances" or group not in self._groups:
            return 403, b'{"error": {"code": 403, "message": "Required permission"}}'
        assert body.keys() <= {"instances", "skipInstancesOnValidationError"}
        self.leavings += 1
        for url in body["instances"]:
            place, name = url.rsplit("/", 1)
            assert place == f"zones/{ZONE}/instances", url
            if name in self._groups[group]:
                self._groups[group].remove(name)
                self._sizes[group] -= 1
        return 200, b'{"kind": "compute#operation", "status": "RUNNING"}'

    def _object(
        self, verb: str, path: str, query: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        if self.gone:
            return 404, b'{"error": {"message": "The specified bucket does not exist."}}'
        if (verb, path) == ("POST", f"/upload/storage/v1/b/{BUCKET}/o"):
            self.objects[query["name"]] = body
            return 200, b"{}"
        place = f"/storage/v1/b/{BUCKET}/o"
        if (verb, path) == ("GET", place):
            found = sorted(name for name in self.objects if name.startswith(query["prefix"]))
            items = [{"name": name} for name in found[: int(query["maxResults"])]]
            return 200, json.dumps({"items": items} if items else {}, indent=2).encode()
        name = unquote(path.removeprefix(f"{place}/"))
        if verb == "GET" and path.startswith(f"{place}/") and query == {"alt": "media"}:
            if name in self.objects:
                return 200, self.objects[name]
            return 404, f"No such object: {BUCKET}/{name}".encode()
        return 400, f"{verb} {path}".encode()


class _Tokens(_Server):
    """Where a service account's key gets its tokens."""

    def answer(
        self, verb: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        del path, headers
        if verb != "POST" or b"assertion=" not in body:
            return 400, b'{"error": "invalid_request"}'
        return 200, json.dumps({"access_token": TOKEN, "expires_in": 3599}).encode()


@contextmanager
def tokens() -> Iterator[str]:
    """The URL of a server that gives tokens for keys."""
    server = _Tokens("127.0.0.1")
    try:
        yield f"http://{server.place}/token"
    finally:
        server.close()


def key_file(folder: Path, url: str) -> Path:
    """Return a key of a service account that gets its tokens at a URL."""
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "one",
        "private_key": pem.decode(),
        "client_email": f"somebody@{PROJECT}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": url,
    }
    file = folder / "key.json"
    file.write_text(json.dumps(key), "utf-8")
    return file
