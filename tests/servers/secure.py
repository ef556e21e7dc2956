"""A web server over TLS in this process that speaks HTTP/2, or HTTP/1.1 to who does not.

What it answers is told by `Secure.answer`; a body may be cut in one of the ways of HTTP/2.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import socketserver
import ssl
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamReset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The stream is reset; it ends too early; the server says goodbye and goes.
Cut = Literal["", "reset", "short", "goodbye"]
DAYS = 2


@dataclass(frozen=True, slots=True)
class Said:
    """An answer.

    Attributes:
        cut: how half of its body is all that comes, though its length is said; over HTTP/2 only.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: Cut = ""

    @property
    def sent(self) -> bytes:
        """What comes of the body."""
        return self.body[: len(self.body) // 2] if self.cut else self.body

    def head(self) -> list[tuple[str, str]]:
        """Return the header fields."""
        return [("content-length", str(len(self.body))), *self.headers.items()]


class Secure:
    """The server; counts what it was asked.

    Args:
        folder: gets its certificate, `certificate.pem`, which is its own authority.
        answer: what a path gives, by it and by how often it was asked.
        protocols: that it offers, the first it likes best.

    Attributes:
        asked: how often each path was asked for, by (protocol, path).
        connections: that came so far.
    """

    def __init__(
        self,
        folder: Path,
        answer: Callable[[str, int], Said],
        protocols: tuple[str, ...] = ("h2", "http/1.1"),
    ) -> None:
        self.answer = answer
        self.asked: Counter[tuple[str, str]] = Counter()
        self.connections = 0
        self.lock = threading.Lock()
        self.certificate = folder / "certificate.pem"
        _write_certificate(self.certificate)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate)
        self.context.set_alpn_protocols(list(protocols))
        handler = type("Bound", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, protocol: str, path: str) -> Said:
        """Count a request; return its answer."""
        with self.lock:
            self.asked[protocol, path] += 1
            times = self.asked[protocol, path]
        return self.answer(path, times)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class _Handler(socketserver.BaseRequestHandler):
    owner: Secure

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            # Without it the end of an answer waits for the client's acknowledgement.
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = self.owner.context.wrap_socket(self.request, server_side=True)
            with self.owner.lock:
                self.owner.connections += 1
            with contextlib.closing(stream):
                if stream.selected_alpn_protocol() == "h2":
                    _Http2(self.owner, stream).serve()
                else:
                    self._serve(stream)

    def _serve(self, stream: ssl.SSLSocket) -> None:
        """Speak HTTP/1.1."""
        with stream.makefile("rb") as lines:
            while first := lines.readline():
                while lines.readline() not in (b"\r\n", b""):
                    pass
                said = self.owner.take("http/1.1", first.split()[1].decode("ascii"))
                head = [f"HTTP/1.1 {said.status} Said"]
                head += [f"{name}: {value}" for name, value in said.head()]
                stream.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + said.body)


class _Http2:
    """One connection."""

    def __init__(self, owner: Secure, stream: ssl.SSLSocket) -> None:
        self._owner = owner
        self._stream = stream
        self._state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        # By stream: the answer, and what of its body is still to be sent.
        self._bodies: dict[int, tuple[Said, memoryview]] = {}
        self._goodbye = False

    def serve(self) -> None:
        """Answer until the other side goes, or this one says goodbye."""
        self._state.initiate_connection()
        self._flush()
        while not self._goodbye and (data := self._stream.recv(2**16)):
            for event in self._state.receive_data(data):
                self._take(event)
            for number in list(self._bodies):
                self._send(number)
            self._flush()

    def _take(self, event: Any) -> None:
        if isinstance(event, StreamReset):
            self._bodies.pop(event.stream_id, None)
        elif isinstance(event, RequestReceived):
            said = self._owner.take("h2", dict(event.headers)[":path"])
            head = [(":status", str(said.status)), *said.head()]
            self._state.send_headers(event.stream_id, head)
            self._bodies[event.stream_id] = said, memoryview(said.sent)

    def _send(self, number: int) -> None:
        """Send as much of a body as the other side takes now."""
        said, left = self._bodies[number]
        while left and (most := self._state.local_flow_control_window(number)):
            size = min(most, self._state.max_outbound_frame_size, len(left))
            self._state.send_data(number, bytes(left[:size]))
            left = left[size:]
        self._bodies[number] = said, left
        if left:
            return
        del self._bodies[number]
        if said.cut == "reset":
            self._state.reset_stream(number)
        elif said.cut == "goodbye":
            self._goodbye = True
            self._state.close_connection(last_stream_id=number)
        else:
            self._state.end_stream(number)

    def _flush(self) -> None:
        self._stream.sendall(self._state.data_to_send())


def _write_certificate(path: Path) -> None:
    """Write a certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=DAYS))
        .not_valid_after(now + dt.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + plain)
