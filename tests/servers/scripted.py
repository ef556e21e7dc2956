"""A bucket's server in this process that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class Answer:
    """One answer; an S3 error if it has a code."""

    status: int = 200
    code: str = ""
    extra: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0

    def encoded(self) -> bytes:
        if not self.code:
            return self.body
        said = f"<Code>{self.code}</Code><Message>what it says of {self.code}</Message>{self.extra}"
        return f"<?xml version='1.0'?><Error>{said}</Error>".encode()


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Scripted:
    """Answers with what stands first in `script`; with `always` when that is empty."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.always = Answer()
        self.asked: list[Asked] = []
        self._stop = threading.Event()
        handler = type("Bound", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answer = self.script.pop(0) if self.script else self.always
        self._stop.wait(answer.delay)
        return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # head and body in one packet
    owner: Scripted

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.owner.next(Asked(self.command, self.path, headers, body))
        data = answer.encoded()
        if "Date" in answer.headers:  # by a clock of its own
            self.send_response_only(answer.status)
        else:
            self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - so it is called
