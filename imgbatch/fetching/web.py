"""One request enters; its answer leaves, or LinkError. No redirect is followed.

Decision, 2026-11: httpx2's engine (httpcore2) is used without its client: redirects, retries and
compression are decided here, one by one, and its network backend is where addresses are checked.
httpx2 is what httpx goes on as, the same code in other hands. Drawback: headers come as bytes.

Decision, 2026-11: files are asked for uncompressed (`Accept-Encoding: identity`); what comes
compressed all the same is unpacked in pieces, and never beyond `max_bytes`, packed or unpacked.
Drawback: none known, pictures and videos are compressed in themselves.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpcore2

from imgbatch import __version__
from imgbatch.errors import ImgbatchError, LinkError
from imgbatch.fetching.connections import Connections
from imgbatch.fetching.reach import Checked, extend, within
from imgbatch.fetching.robots import AGENT
from imgbatch.fetching.urls import canonical, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import httpx2

    from imgbatch.fetching.asked import FetchSettings

# A body that comes slower than this, in bytes a second, is given up.
SLOWEST = 8 * 1024
SMALL_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
MISSING, GONE, DENIED, LEGAL, TOO_MANY, SERVER_ERRORS = 404, 410, {401, 403}, 451, 429, 500
PARTIAL = 206
# How zlib is told to find out by itself whether it is gzip or zlib.
ANY_HEADER = zlib.MAX_WBITS | 32
UNPACKED = 2**16
# A head takes up to 64 KiB, and some pad to the block of a tape. More that unpacks to nothing, in
# zeros or in empty members, only holds a thread.
IDLE = 2**20
ENGINE = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError)
DEL = 0x7F


@dataclass(slots=True)
class Answer:
    """What a server says before its body.

    Attributes:
        headers: names in lower case; of several with one name, the first. Values as latin-1, which
            gives any bytes back; that of `location` is what its bytes mean.
        tags: all X-Robots-Tag headers.
    """

    status: int
    headers: Mapping[str, str]
    tags: list[str]
    body: Iterator[bytes]


class _Made(threading.local):
    count = 0


class Web:
    """What asks servers, from any thread.

    Args:
        settings: how.
        backend: connects to hosts.
    """

    def __init__(self, settings: FetchSettings, backend: httpcore2.NetworkBackend) -> None:
        self._settings = settings
        self._connections = Connections(settings, backend)
        about = f"; {settings.contact}" if settings.contact else ""
        self._agent = f"{AGENT}/{__version__} (research{about})".encode()
        self._made = _Made()

    def made(self) -> int:
        """Return how many requests this thread has made."""
        return self._made.count

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    @contextlib.contextmanager
    def ask(self, url: httpx2.URL, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Ask for a URL and yield the answer, its body still to be read.

        Args:
            url: which.
            headers: that are sent beside our own; values in latin-1, as `Answer.headers` has them.

        Raises:
            LinkError: nothing comes, not in time, or it breaks off, from the body's reads too.
        """
        self._made.count += 1
        settings = self._settings
        waits = dict.fromkeys(("connect", "read", "write", "pool"), settings.connect_seconds)
        waits["read"] = settings.seconds
        sent = [
            (b"Host", url.netloc),
            (b"User-Agent", self._agent),
            (b"Accept", b"image/*, video/*, */*;q=0.1"),
            (b"Accept-Encoding", b"identity"),
            *((name.encode("ascii"), text.encode("latin-1")) for name, text in headers.items()),
        ]
        with (
            _told(),
            within(settings.seconds),
            self._connections.lent() as pool,
            pool.stream("GET", _core(url), headers=sent, extensions={"timeout": waits}) as found,
        ):
            if found.status == PARTIAL:
                # Its length is that of the part: nothing else would tell that the rest is missing.
                raise LinkError("link.broken", "the server sends a part of it, unasked (206)")
            yield _answer(found)

    def small(self, url: str, most: int) -> tuple[int, bytes]:
        """Return status and the first bytes of what a URL gives, redirects followed.

        Raises:
            LinkError: it cannot be had.
        """
        at = canonical(url)
        for _ in range(SMALL_REDIRECTS + 1):
            with self.ask(at, {}) as answer:
                location = answer.headers.get("location")
                if answer.status not in REDIRECTS or not location:
                    # Twice: the first bytes of a longer one count, also where packing adds some.
                    return answer.status, _first(unpacked(answer, 2 * most), most)
            at = joined(at, location)
        return MISSING, b""  # RFC 9309, 2.3.1.2: more hops than five may count as none there


def check_status(answer: Answer) -> None:
    """Refuse an answer that holds no file.

    Raises:
        LinkError: what its status means.
    """
    status = answer.status
    if status < 300:  # noqa: PLR2004 - HTTP's own
        return
    names = {MISSING: "missing", GONE: "gone", LEGAL: "legal", TOO_MANY: "limited"}
    name = names.get(status) or ("denied" if status in DENIED else "status")
    error = LinkError(
        "link.server" if status >= SERVER_ERRORS else f"link.{name}", f"the server answers {status}"
    )
    error.after = retry_after(answer.headers.get("retry-after", ""))
    raise error


def retry_after(said: str, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header means, a number or a date; None if neither."""
    # ASCII: headers come as latin-1, which has digits that are no number.
    if said.isascii() and said.strip().isdigit():
        return float(said)
    try:
        date = parsedate_to_datetime(said)
    except (TypeError, ValueError, OverflowError):
        return None
    date = date.replace(tzinfo=date.tzinfo or UTC)  # `-0000` is a zone that is not told
    now = now or date.now(date.tzinfo)
    return max((date - now).total_seconds(), 0.0)


def unpacked(answer: Answer, most: int) -> Iterator[bytes]:
    """Yield a body as the file that it is: unpacked if the server packed it all the same.

    Args:
        answer: whose body.
        most: bytes that a packed one may have before it is unpacked; what it gives is the caller's
            to count.

    Raises:
        LinkError: link.encoding, packed in a way that is not known, or damaged, or it goes on and
            gives nothing; link.too-large; link.broken, cut short.
    """
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        yield from answer.body
        return
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise LinkError("link.encoding", f"packed as {coding[:40]!r}, which nobody asked for")
    try:
        yield from _unpacked(answer.body, most)
    except zlib.error as error:
        raise LinkError("link.encoding", f"cannot be unpacked: {error}") from error


def _unpacked(body: Iterator[bytes], most: int) -> Iterator[bytes]:
    engine = zlib.decompressobj(ANY_HEADER)
    came = idle = 0
    for chunk in body:
        came += len(chunk)
        if came > most:
            raise LinkError("link.too-large", f"more than {most:,} bytes, packed")
        if idle > IDLE:
            raise LinkError("link.encoding", f"{idle:,} bytes of it unpack to nothing")
        idle += len(chunk)
        left = chunk
        while left:
            if engine.eof:
                # RFC 1952, 2.2: members follow one another; padding of zeros is passed over.
                left = left.lstrip(b"\0")
                if not left:
                    break
                engine = zlib.decompressobj(ANY_HEADER)
            if piece := engine.decompress(left, UNPACKED):
                idle = 0
                yield piece
            left = engine.unused_data or engine.unconsumed_tail
    yield engine.flush()
    if not engine.eof:
        raise LinkError("link.broken", "the packed answer is cut short")


def _first(body: Iterator[bytes], most: int) -> bytes:
    data = bytearray()
    for chunk in body:
        data += chunk
        if len(data) >= most:
            break
    return bytes(data[:most])


def _core(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _answer(found: httpcore2.Response) -> Answer:
    headers: dict[str, str] = {}
    tags = []
    for raw, value in found.headers:
        name = raw.decode("latin-1").lower()
        text = _place(value) if name == "location" else value.decode("latin-1")
        headers.setdefault(name, text)
        if name == "x-robots-tag":
            tags.append(text)
    return Answer(found.status, headers, tags, _body(found))


def _place(value: bytes) -> str:
    """Return a Location, which servers send as raw UTF-8 too; other bytes stay those that they are.

    No browser takes it for latin-1: `joined` would quote the UTF-8 of each character of that.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < DEL else f"%{byte:02X}" for byte in value)


def _body(found: httpcore2.Response) -> Iterator[bytes]:
    try:
        for chunk in found.iter_stream():
            extend(len(chunk) / SLOWEST)
            yield chunk
    except (*ENGINE, MemoryError, ImgbatchError):
        raise
    except Exception as error:
        # Of a stream that ends too early the engine lets its HTTP/2 library's own error through.
        raise LinkError("link.broken", f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what the engine raises into the LinkError of one URL.

    Raises:
        LinkError: link.timeout, link.connect or link.broken.
    """
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise LinkError("link.timeout", str(error) or "no answer in time") from error
    except httpcore2.ConnectError as error:
        raise LinkError("link.connect", str(error)) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise LinkError("link.broken", str(error) or "the connection broke") from error


def backend_of(settings: FetchSettings) -> Checked:
    """Return what connects to hosts as the settings allow it."""
    return Checked(lambda _: True) if settings.allow_private else Checked()
