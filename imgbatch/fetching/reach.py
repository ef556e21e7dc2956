"""A host's name enters; a connection to an address that was looked at before leaves, or LinkError.

A name is resolved once, its addresses are checked, and the socket is given an address, never the
name: what answers is what was checked, whatever the name says a moment later (DNS rebinding).
`2130706433`, `0x7f.1` and the like are names to the resolver, so their addresses are checked too.

Decision, 2026-11: no proxy of the environment is used. Behind one, somebody else resolves names and
nothing of this could be promised. Drawback: machines that reach the web through one cannot fetch.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import httpcore2

from imgbatch.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    # From a host and a port to its addresses, as the system's resolver gives them.
    Resolve = Callable[[str, int], list[str]]

# All that is given out as unicast (RFC 4291, 2.4); the rest is local, reserved, or another
# protocol's.
UNICAST = ipaddress.IPv6Network("2000::/3")
# RFC 6052: an IPv4 address behind a translator. RFC 9637: for documentation.
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")
# No server of the public net, though registered as global: what machines of one network say to each
# other (RFC 6890), relays of 6to4 that are no more (RFC 7526), and, as Microsoft documents it, what
# tells each machine of Azure what it is to know, from inside alone.
INNER = (
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv4Network("168.63.129.16/32"),
)
LAST_32 = 2**32 - 1


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public net's, the one that it wraps included."""
    if isinstance(address, ipaddress.IPv4Address):
        inner = address.is_multicast or any(address in network for network in INNER)
        return address.is_global and not inner
    wrapped = _wrapped(address)
    if wrapped is not None:
        return is_public(wrapped)
    return address.is_global and address in UNICAST and address not in DOCUMENTATION


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & LAST_32)
    return address.ipv4_mapped or address.sixtofour


def resolve(host: str, port: int) -> list[str]:
    """Return a host's addresses in the order in which the system would try them.

    Raises:
        LinkError: link.dns, it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise LinkError("link.dns", f"{host} has no address: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _in_time(resolver: Resolve, host: str, port: int, seconds: float | None) -> list[str]:
    """Return a host's addresses, as long as the resolver does not take too long.

    The system's has no limit of its own: a thread waits for it, and goes on to where nobody else
    waits any more.

    Raises:
        LinkError: link.dns, there are none, or not in time.
    """
    told: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            told.put(resolver(host, port))
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            told.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        found = told.get(timeout=seconds)
    except Empty:
        raise LinkError("link.dns", f"{host} has no address after {seconds:.1f} s") from None
    if isinstance(found, Exception):
        raise found
    return found


class Checked(httpcore2.NetworkBackend):
    """Connects to checked addresses only.

    Args:
        allowed: which addresses may be asked.
        resolver: gives a host's addresses.
    """

    def __init__(
        self, allowed: Callable[[Address], bool] = is_public, resolver: Resolve = resolve
    ) -> None:
        self._allowed = allowed
        self._resolve = resolver
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first of a host's allowed addresses that answers.

        Raises:
            LinkError: link.private, none is allowed; link.dns, there is none.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: none answers.
        """
        allowed = self._checked(host, port, _left(timeout))
        for address in allowed[:-1]:
            with contextlib.suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return self._connect(address, port, timeout, local_address, socket_options)
        return self._connect(allowed[-1], port, timeout, local_address, socket_options)

    def _checked(self, host: str, port: int, timeout: float | None) -> list[str]:
        found = _in_time(self._resolve, host, port, timeout)
        allowed = [a for a in found if self._allowed(ipaddress.ip_address(a))]
        if not allowed:
            shown = ", ".join(found) or "nothing"
            raise LinkError("link.private", f"{host} is {shown}: not an address of the public net")
        return allowed

    def _connect(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local: str | None,
        options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.NetworkStream:
        return _Timed(self._sockets.connect_tcp(address, port, _left(timeout), local, options))


class _Deadline(threading.local):
    at: float | None = None


_deadline = _Deadline()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let nothing that this thread asks take longer in all, however often a byte comes."""
    _deadline.at = time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline.at = None


def extend(seconds: float) -> None:
    """Allow this thread's request some more time, for what has come."""
    if _deadline.at is not None:
        _deadline.at += seconds


def _left(timeout: float | None) -> float | None:
    if _deadline.at is None:
        return timeout
    left = _deadline.at - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time for the whole answer is over")
    return left if timeout is None else min(timeout, left)


class _Timed(httpcore2.NetworkStream):
    """A connection whose every read and write ends at the deadline of the thread that asks."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """Speak TLS from now on.

        Raises:
            LinkError: link.tls, they do not agree, or its certificate is none that we take.
            httpcore2.ConnectError: the other side hangs up.
        """
        try:
            made = self._stream.start_tls(ssl_context, server_hostname, _left(timeout))
        except httpcore2.ConnectError as error:
            # Looked at here: the engine's pool takes the cause away from what it hands on.
            why = error.__cause__
            if isinstance(why, ssl.SSLError) and not isinstance(why, ssl.SSLEOFError):
                raise LinkError("link.tls", str(error)) from error
            raise
        return _Timed(made)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
