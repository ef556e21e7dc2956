"""HTTP/2 over TLS, against a server of the h2 library: files, a host that asks to wait, cuts."""

from __future__ import annotations

import contextlib
import socketserver
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.fetching import given
from tests.servers.misbehaving import picture
from tests.servers.secure import Said, Secure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.secure import Cut

    Serve = Callable[..., contextlib.AbstractContextManager[Secure]]

# More than a stream's first window and a frame hold, so that both sides speak of flow control.
LARGE = picture(0) + b"\0" * (20 * 2**20)
CUTS: dict[str, Cut] = {"/reset": "reset", "/short": "short", "/goodbye": "goodbye"}


def answer(path: str, times: int) -> Said:
    """Answer as the path says."""
    name = path.split("/")[1]
    if name == "limited" and times == 1:
        return Said(429, headers={"retry-after": "0"})
    if name in ("ok", "limited"):
        return Said(200, picture(int(path.rpartition("/")[2])), {"content-type": "image/png"})
    if name == "large":
        return Said(200, LARGE)
    return Said(200, LARGE, cut=CUTS[path]) if path in CUTS else Said(404)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    @contextlib.contextmanager
    def serving(*protocols: str) -> Iterator[Secure]:
        with Secure(tmp_path, answer, protocols) as server:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
            yield server

    return serving


def test_files_and_a_host_that_asks_to_wait(serve: Serve, tmp_path: Path) -> None:
    paths = [*(f"/ok/{n}" for n in range(12)), "/limited/12", "/large"]
    with serve("h2", "http/1.1") as server:
        urls = [f"{server.url}{path}" for path in paths]
        source = given.dump(tmp_path / "dump", [urls])
        given.fetch(source, tmp_path / "out", http2=True, seconds=30.0, per_host=3)
        assert server.connections <= 3
        assert {protocol for protocol, _ in server.asked} == {"h2"}
        assert server.asked["h2", "/limited/12"] == 2
    rows = given.rows(tmp_path / "out")
    assert {row["message"] for row in rows.values()} == {""}
    came = [(tmp_path / "out" / rows[url]["file"]).read_bytes() for url in urls]
    assert came == [*map(picture, range(13)), LARGE]


def test_threads_do_not_mix_up_what_they_ask_for(serve: Serve, tmp_path: Path) -> None:
    # The engine's HTTP/2 is not made for several threads on one connection. They meet more often
    # when they take turns more often.
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with serve("h2") as server:
            urls = [f"{server.url}/ok/{n}" for n in range(300)]
            source = given.dump(tmp_path / "dump", [[url] for url in urls])
            given.fetch(source, tmp_path / "out", http2=True, attempts=1, seconds=30.0)
    finally:
        sys.setswitchinterval(before)
    rows = given.rows(tmp_path / "out")
    assert {row["message"] for row in rows.values()} == {""}
    came = [(tmp_path / "out" / rows[url]["file"]).read_bytes() for url in urls]
    assert came == [*map(picture, range(300))]


@pytest.mark.parametrize("path", CUTS)
def test_a_stream_that_is_cut_is_the_outcome_of_its_url_and_of_no_other(
    serve: Serve, tmp_path: Path, path: str
) -> None:
    with serve("h2") as server:
        urls = [f"{server.url}{one}" for one in ("/ok/1", path, "/ok/2")]
        source = given.dump(tmp_path / "dump", [urls])
        given.fetch(source, tmp_path / "out", http2=True, attempts=2, per_host=1, seconds=30.0)
        assert server.asked["h2", path] == 2
    rows = given.rows(tmp_path / "out")
    assert [rows[url]["error_class"] for url in urls] == ["", "link.broken", ""]
    assert len(list((tmp_path / "out" / "media").rglob("*.png"))) == 2


@pytest.mark.parametrize(
    ("http2", "offered", "spoken"),
    [
        (True, ("http/1.1",), "http/1.1"),
        (False, ("h2", "http/1.1"), "http/1.1"),
        (True, ("http/1.1", "h2"), "http/1.1"),
    ],
)
def test_http2_is_spoken_only_where_it_was_asked_for_and_the_server_likes_it(
    serve: Serve, tmp_path: Path, *, http2: bool, offered: tuple[str, ...], spoken: str
) -> None:
    with serve(*offered) as server:
        source = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1"]])
        given.fetch(source, tmp_path / "out", http2=http2)
        assert {protocol for protocol, _ in server.asked} == {spoken}
    (row,) = given.rows(tmp_path / "out").values()
    assert row["status"] == "ok"


def test_a_certificate_that_nobody_vouches_for_is_final(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve("h2") as server:
        monkeypatch.delenv("SSL_CERT_FILE")
        source = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1"]])
        given.fetch(source, tmp_path / "out", http2=True)
        assert not server.asked
    (row,) = given.rows(tmp_path / "out").values()
    assert (row["error_class"], row["attempts"]) == ("link.tls", 1), row["message"]


class _HangingUp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(2**16)


def test_a_server_that_hangs_up_before_tls_stands_is_asked_again(tmp_path: Path) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _HangingUp) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        url = f"https://127.0.0.1:{server.server_address[1]}/ok/1"
        given.fetch(given.dump(tmp_path / "dump", [[url]]), tmp_path / "out", attempts=2)
        server.shutdown()
        thread.join()
    (row,) = given.rows(tmp_path / "out").values()
    assert (row["error_class"], row["attempts"]) == ("link.connect", 2), row["message"]
