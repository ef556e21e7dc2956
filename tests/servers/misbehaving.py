"""A web server in this process that does what servers on the web do wrong, one path for each."""

from __future__ import annotations

import contextlib
import gzip
import io
import socket
import socketserver
import struct
import threading
from collections import Counter
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Self

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

LAST_MODIFIED = "Mon, 02 Nov 2026 10:00:00 GMT"
PAGE = b"<!doctype html><html><body>This link has expired</body></html>"


def picture(number: int) -> bytes:
    """Return the bytes of a PNG that no other number gives."""
    file = io.BytesIO()
    Image.new("RGB", (32, 24), (number % 256, number // 256 % 256, 77)).save(file, "PNG")
    return file.getvalue()


@lru_cache
def bomb() -> bytes:
    """Return the bytes of a picture that unpacks to 64 MiB."""
    return gzip.compress(picture(0) + b"\0" * (64 * 2**20), 1)


@lru_cache
def wordy() -> bytes:
    """Return a gzip member of 64 KiB that holds one byte: the rest is the name of its file."""
    empty = gzip.compress(b"\0", mtime=0)
    return empty[:3] + b"\x08" + empty[4:10] + b"a" * (2**16 - 30) + b"\0" + empty[10:]


class Misbehaving:
    """The server; counts what it was asked, and may be told to answer otherwise.

    Attributes:
        asked: how often each path was asked for.
        given: how often each path gave a whole picture.
        robots: what robots.txt says, and with which status.
        edition: added to the number of every picture: raising it changes them all.
        elsewhere: where /to-elsewhere redirects to.
        later: status and headers with which /changing answers from now on; None: it is there.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.asked: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self.heads: dict[str, list[str]] = {}
        self.robots = (404, b"")
        self.edition = 0
        self.elsewhere = ""
        self.later: tuple[int, dict[str, str]] | None = None
        self.lock = threading.Lock()
        self.most_at_once = self.at_once = 0
        self.pause = 0.0
        self.stopped = threading.Event()
        handler = type("Bound", (_Handler,), {"owner": self})
        self._server = _Server((address, 0), handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{address}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class _Handler(socketserver.StreamRequestHandler):
    owner: Misbehaving
    paths: ClassVar[dict[str, Callable[[_Handler], None]]] = {}

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError, OSError):
            while line := self.rfile.readline(2**16):
                head = []
                while (more := self.rfile.readline(2**16)) not in (b"\r\n", b""):
                    head.append(more.decode("latin-1").strip())
                self.one(line.split()[1].decode("ascii"), head)

    def one(self, path: str, head: list[str]) -> None:
        owner = self.owner
        self.path, self.sent = (
            path,
            {h.partition(":")[0].lower(): h.partition(":")[2].strip() for h in head},
        )
        with owner.lock:
            owner.asked[path] += 1
            owner.heads[path] = head
            self.times = owner.asked[path]
            if not path.endswith("robots.txt"):
                owner.at_once += 1
                owner.most_at_once = max(owner.most_at_once, owner.at_once)
        try:
            owner.stopped.wait(owner.pause)
            name = path.split("?", maxsplit=1)[0].strip("/").split("/")[0]
            getattr(self, "do_" + name.replace("-", "_").replace(".", "_"), self.do_missing)()
        finally:
            if not path.endswith("robots.txt"):
                with owner.lock:
                    owner.at_once -= 1

    # --- what it says ---------------------------------------------------------------------------

    def say(
        self, status: int, body: bytes = b"", length: int | None = None, **headers: str
    ) -> None:
        lines = [
            f"HTTP/1.1 {status} Said",
            f"Content-Length: {len(body) if length is None else length}",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        self.wfile.flush()

    def close(self) -> None:
        self.wfile.flush()
        raise ConnectionError

    def number(self) -> int:
        last = self.path.rpartition("/")[2].partition(".")[0]
        return (int(last) if last.isdigit() else 0) + self.owner.edition

    def picture(self, **headers: str) -> None:
        self.owner.given[self.path] += 1
        self.say(200, picture(self.number()), Content_Type="image/png", **headers)

    # --- well behaved ---------------------------------------------------------------------------

    def do_robots_txt(self) -> None:
        status, text = self.owner.robots
        self.say(status, text, Content_Type="text/plain")

    def do_ok(self) -> None:
        tag = f'"{self.number()}"'
        if self.sent.get("if-none-match") == tag:
            self.say(304, ETag=tag)
        else:
            self.picture(ETag=tag, Last_Modified=LAST_MODIFIED)

    do_forbidden = do_ok

    def do_changing(self) -> None:
        if self.owner.later is None:
            self.do_ok()
        else:
            status, headers = self.owner.later
            self.say(status, b"" if status == 304 else picture(self.number()), **headers)

    def do_dated(self) -> None:
        if self.sent.get("if-modified-since") == LAST_MODIFIED:
            self.say(304)
        else:
            self.picture(Last_Modified=LAST_MODIFIED)

    def do_accented(self) -> None:
        """Have an ETag in raw UTF-8."""
        tag = '"caf\u00e9 \u0142"'.encode().decode("latin-1")
        if self.sent.get("if-none-match") == tag:
            self.say(304)
        else:
            self.picture(ETag=tag)

    def do_gzip(self) -> None:
        self.say(200, gzip.compress(picture(0)), Content_Encoding="gzip", Content_Type="image/png")

    def do_members(self) -> None:
        """Pack a picture in two members, as `gzip FILE; cat` and some caches do."""
        data = picture(0)
        packed = gzip.compress(data[:50]) + gzip.compress(data[50:])
        self.say(200, packed, Content_Encoding="gzip", Content_Type="image/png")

    def do_padded(self) -> None:
        packed = gzip.compress(picture(0)) + b"\0" * 300
        self.say(200, packed, Content_Encoding="gzip", Content_Type="image/png")

    def do_large(self) -> None:
        self.say(200, picture(0) + b"\0" * (6 * 2**20), Content_Type="image/png")

    def do_html_named(self) -> None:
        self.say(200, picture(0), Content_Type="text/html")

    def do_until_closed(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + picture(0))
        self.close()

    # --- its bodies -----------------------------------------------------------------------------

    def do_empty(self) -> None:
        self.say(200, Content_Type="image/png")

    def do_page(self) -> None:
        self.say(200, PAGE, Content_Type="image/jpeg")

    def do_long_page(self) -> None:
        self.say(200, PAGE * 10_000, length=20 * 2**20, Content_Type="image/jpeg")
        self.close()

    def do_claims(self) -> None:
        self.say(200, picture(0), length=10**15, Content_Type="image/png")
        self.close()

    def do_short(self) -> None:
        """Say fewer bytes than come."""
        self.say(200, picture(0) + b"HTTP/1.1 200 OK\r\n\r\n", length=len(picture(0)))
        self.close()

    def do_cut(self) -> None:
        self.say(200, picture(0)[:40], length=len(picture(0)), Content_Type="image/png")
        self.close()

    def do_cut_once(self) -> None:
        self.do_cut() if self.times == 1 else self.picture()

    def do_endless(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        data = picture(0)
        while not self.owner.stopped.is_set():
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            data = b"\0" * 2**16

    def do_garbage(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\nwhat\r\n")
        self.close()

    def do_bomb(self) -> None:
        self.say(200, bomb(), Content_Encoding="gzip", Content_Type="image/png")

    def do_padded_on(self) -> None:
        self.go_on(b"\0" * 2**16)

    def do_empty_members(self) -> None:
        self.go_on(gzip.compress(b"") * 3000)

    def do_wordy_members(self) -> None:
        self.go_on(wordy())

    def go_on(self, piece: bytes) -> None:
        """Pack a picture, and let a piece follow it again and again: far beyond what it may."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n")
        self.wfile.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for data in [gzip.compress(picture(0)), *[piece] * 1000, b""]:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def do_bad_gzip(self) -> None:
        self.say(200, b"\x1f\x8bno gzip at all", Content_Encoding="gzip")

    def do_trailing(self) -> None:
        packed = gzip.compress(picture(0)) + b"no second member"
        self.say(200, packed, Content_Encoding="gzip", Content_Type="image/png")

    def do_brotli(self) -> None:
        self.say(200, b"\x0b\x02\x80", Content_Encoding="br")

    def do_drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for byte in picture(0) + b"\0" * 10_000:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.owner.stopped.wait(0.02):
                return

    # --- its heads ------------------------------------------------------------------------------

    def do_drip_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.owner.stopped.wait(0.02):
            self.wfile.write(b"a")
            self.wfile.flush()

    def do_silent(self) -> None:
        self.owner.stopped.wait(60)

    def do_huge_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Huge: " + b"a" * 2**21 + b"\r\n\r\n")
        self.close()

    def do_no_http(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        self.close()

    def do_reset(self) -> None:
        if self.times > 1:
            self.picture()
            return
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise ConnectionError

    # --- its statuses ---------------------------------------------------------------------------

    def do_missing(self) -> None:
        self.say(404, b"nothing here")

    def do_partial(self) -> None:
        self.say(206, picture(0)[:60], Content_Type="image/png")

    def do_expired(self) -> None:
        self.say(403, PAGE)

    def do_gone(self) -> None:
        self.say(410)

    def do_flaky(self) -> None:
        self.say(503) if self.times < 3 else self.picture()

    def do_withheld(self) -> None:
        self.say(451)

    def do_noai_down(self) -> None:
        """Be down, behind what says `noai` of its own page."""
        self.say(503, X_Robots_Tag="noai")

    def do_broken(self) -> None:
        self.say(500)

    def do_limited(self) -> None:
        self.say(429) if self.times == 1 else self.picture()

    def do_limited_seconds(self) -> None:
        self.say(429, Retry_After="1") if self.times == 1 else self.picture()

    def do_limited_date(self) -> None:
        self.say(503, Retry_After=formatdate(0, usegmt=True)) if self.times == 1 else self.picture()

    def do_limited_long(self) -> None:
        self.say(429, Retry_After="99999")

    def do_noai(self) -> None:
        self.say(200, picture(0), X_Robots_Tag="noindex, NoAI")

    def do_noai_others(self) -> None:
        self.picture(X_Robots_Tag="otherbot: noai")

    # --- its redirects --------------------------------------------------------------------------

    def do_loop(self) -> None:
        self.say(302, Location="/loop")

    def do_ping(self) -> None:
        self.say(302, Location="/pong")

    def do_pong(self) -> None:
        self.say(302, Location="/ping")

    def do_hops(self) -> None:
        left = self.number() - self.owner.edition
        self.say(301, Location=f"{left - 1}") if left else self.picture()

    def do_to_utf8(self) -> None:
        self.say(302, Location="/ok/f\u00e9\u0142/1.png".encode().decode("latin-1"))

    def do_to_name(self) -> None:
        location = f"http://b\u00fccher.invalid:{self.owner.port}/ok/3.png"
        self.say(302, Location=location.encode().decode("latin-1"))

    def do_to_latin1(self) -> None:
        self.say(302, Location="/ok/f\u00e9/2.png")

    def do_to_elsewhere(self) -> None:
        self.say(302, Location=self.owner.elsewhere)

    def do_to_file(self) -> None:
        self.say(302, Location="file:///etc/passwd")

    def do_nowhere(self) -> None:
        self.say(302, Location="http://[")
