"""A web server in this process that gives files in ranges, and fails as a test says."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class Fault:
    """What goes wrong with one request.

    Attributes:
        status: answer so, without the file.
        cut: close the connection after so many bytes of the body.
        stall: wait for so long, after those bytes or before all of them.
    """

    status: int = 0
    cut: int | None = None
    stall: float = 0.0


@dataclass
class Files:
    """Files by name, and what is to go wrong with the next requests, first come first served."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    ranges: bool = True
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Self:
        self.stopped = threading.Event()
        handler = type("Bound", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: Files

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        owner, asked = self.owner, self.headers.get("Range", "")
        owner.asked.append(f"{self.path} {asked}".strip())
        fault = owner.faults.pop(0) if owner.faults else Fault()
        data = owner.files.get(self.path.lstrip("/"))
        status = fault.status or (404 if data is None else 200)
        if status >= 400 or data is None:
            self._head(status, 0)
            return
        start, _, end = (
            asked.removeprefix("bytes=").partition("-") if owner.ranges else ("", "", "")
        )
        if start and int(start) >= len(data):
            self._head(416, 0)
            return
        body = data[int(start or 0) : int(end) + 1 if end else None]
        self._head(206 if start else 200, len(body))
        self.wfile.write(body[: fault.cut or 0])
        self.wfile.flush()
        owner.stopped.wait(fault.stall)
        if fault.cut is None:
            self.wfile.write(body)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
