"""A server in front of another one: hands everything on and counts it.

With `bare_etags` it refuses conditions whose etag is in quotes, as Ceph does. With a `fate` it
spoils answers to what reads, as that says of each; so many of the next PUTs as `bends` says reach
the other one with another last byte.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Out for a moment; gone without a word; gone amid the body.
Fate = Literal["sound", "busy", "gone", "cut"]

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, the bytes of its answer's body, and what was sent with it."""

    method: str
    path: str
    range: str
    bytes: int
    headers: dict[str, str]
    sent: bytes


class Counting(ThreadingHTTPServer):
    """Hands requests on to an endpoint, and keeps what was asked."""

    daemon_threads = True
    bare_etags = False

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(endpoint).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[Asked] = []
        self.fate: Callable[[], Fate] = lambda: "sound"
        self.bends = 0

    def of(self, name: str) -> list[Asked]:
        """Return the requests for one object."""
        return [one for one in self.asked if urlsplit(one.path).path.endswith(f"/{name}")]


class _Handler(BaseHTTPRequestHandler):
    server: Counting
    protocol_version = "HTTP/1.1"
    # Without it each answer waits for the client's acknowledgement of its header.
    disable_nagle_algorithm = True

    def _hand_on(self) -> None:
        if self.server.bare_etags and '"' in self.headers.get("If-Match", ""):
            self.send_error(412)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.fate() if self.command in ("GET", "HEAD") else "sound"
        if fate == "busy":
            self.send_error(503)
            return
        if fate == "gone":
            self.close_connection = True
            return
        if self.command == "PUT" and self.server.bends:
            self.server.bends -= 1
            body = body[:-1] + bytes([body[-1] ^ 1])
        behind = http.client.HTTPConnection(self.server.behind)
        with contextlib.closing(behind):
            behind.request(self.command, self.path, body, dict(self.headers))
            answer = behind.getresponse()
            data = answer.read()
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = self.headers.get("Range") or ""
            asked = Asked(self.command, self.path, got, len(data), headers, body)
            self.server.asked.append(asked)
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in HOP:
                    self.send_header(key, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            self.close_connection = self.close_connection or fate == "cut"
            self.wfile.write(data[: len(data) // 2] if fate == "cut" else data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _hand_on  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def counting(endpoint: str) -> Iterator[Counting]:
    """Have such a server in front of an endpoint."""
    with Counting(endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
