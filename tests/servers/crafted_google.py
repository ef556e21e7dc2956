"""As much of Google's JSON API as administering a bucket takes; tells `permissions` as it is told.

Runs in the test's own process: nothing of deltalake asks it.
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


class Google:
    """The state of the server.

    Attributes:
        buckets: their metadata by name.
        permissions: what whoever asks is permitted.
        blind: whether conditions are ignored, as the emulator on PyPI does.
    """

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Any]] = {}
        self.generations: dict[str, int] = {}
        self.permissions: set[str] = set()
        self.blind = False
        self.patches = 0
        self.url = ""


@contextmanager
def serving() -> Iterator[Google]:
    """Serve until the end of the block."""
    state = Google()
    handler = type("Bound", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Google

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def _take(self) -> str:
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.all_permissions = parse_qs(parts.query).get("permissions", [])
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return parts.path

    def do_GET(self) -> None:
        path = self._take()
        name = re.sub(r"^/storage/v1/b/([^/]+).*", r"\1", path)
        if name not in self.state.buckets:
            self._answer(404, {"error": {"code": 404, "message": "no such bucket"}})
        elif path.endswith("/iam/testPermissions"):
            have = [one for one in self.all_permissions if one in self.state.permissions]
            self._answer(200, {"permissions": have})
        elif path.endswith("/o"):
            self._answer(200, {"items": []})
        else:
            self._answer(200, self.state.buckets[name])

    def do_POST(self) -> None:
        path = self._take()
        if path.startswith("/upload/"):
            self._upload()
            return
        made = json.loads(self.body)
        self.state.buckets[made["name"]] = {"location": "US", **made}
        self._answer(200, self.state.buckets[made["name"]])

    def do_PATCH(self) -> None:
        name = self._take().rpartition("/")[2]
        self.state.patches += 1
        for key, value in json.loads(self.body).items():
            now = self.state.buckets[name].get(key)
            merged = {**now, **value} if isinstance(now, dict) and key != "lifecycle" else value
            self.state.buckets[name][key] = merged
        self._answer(200, self.state.buckets[name])

    def _upload(self) -> None:
        match = re.search(rb'"name": ?"([^"]+)"', self.body)
        name = match[1].decode() if match else self.query["name"]
        now = self.state.generations.get(name, 0)
        asked = self.query.get("ifGenerationMatch")
        if asked is not None and int(asked) != now and not self.state.blind:
            self._answer(412, {"error": {"code": 412, "message": "conditionNotMet"}})
            return
        self.state.generations[name] = now + 1
        self._answer(200, {"name": name, "generation": str(now + 1)})

    def _answer(self, status: int, record: dict[str, Any]) -> None:
        data = json.dumps(record).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
