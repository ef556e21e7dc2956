"""Every misbehaviour of a server is an outcome of its URL, and of no other."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import httpcore2
import pytest

from imgbatch.fetching.reach import Checked
from tests.fetching import given
from tests.servers.misbehaving import Misbehaving, picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Path to the class of its outcome; "" where the picture comes in the end.
EXPECTED = {
    "/ok/1.png": "",
    "/gzip": "",
    "/members": "",
    "/padded": "",
    "/large": "",
    "/html-named": "",
    "/until-closed": "",
    "/short": "",
    "/cut-once": "",
    "/reset": "",
    "/flaky": "",
    "/limited": "",
    "/limited-seconds": "",
    "/limited-date": "",
    "/noai-others": "",
    "/hops/9": "",
    "/to-utf8": "",
    "/to-latin1": "",
    "/empty": "link.empty",
    "/page": "link.type",
    "/long-page": "link.type",
    "/claims": "link.too-large",
    "/endless": "link.too-large",
    "/bomb": "link.too-large",
    "/wordy-members": "link.too-large",
    "/cut": "link.broken",
    "/partial": "link.broken",
    "/garbage": "link.broken",
    "/huge-head": "link.broken",
    "/no-http": "link.broken",
    "/bad-gzip": "link.encoding",
    "/trailing": "link.encoding",
    "/padded-on": "link.encoding",
    "/empty-members": "link.encoding",
    "/brotli": "link.encoding",
    "/no/such/thing.jpg": "link.missing",
    "/expired": "link.denied",
    "/gone": "link.gone",
    "/withheld": "link.legal",
    "/noai-down": "link.server",
    "/broken": "link.server",
    "/noai": "link.noai",
    "/loop": "link.redirects",
    "/ping": "link.redirects",
    "/hops/12": "link.redirects",
    "/to-elsewhere": "link.private",
    "/to-file": "link.url",
    "/nowhere": "link.dns",
    "/to-name": "link.dns",
}
SLOW = ("/drip", "/drip-head", "/silent")
FOREIGN = {
    "ftp://127.0.0.1/a.jpg": "link.url",
    "http://user:secret@127.0.0.1/a.jpg": "link.url",
    "not a url": "link.url",
    "data:image/png;base64,AAAA": "link.url",
    "http://no-such-host.invalid/a.jpg": "link.dns",
    "http://127.0.0.1:1/a.jpg": "link.connect",
}


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Misbehaving, Path]]:
    folder = tmp_path_factory.mktemp("fetch")
    with Misbehaving() as server, Misbehaving("127.0.0.2") as private:
        server.elsewhere = f"{private.url}/ok/1.png"
        urls = [f"{server.url}{path}" for path in EXPECTED]
        source = given.dump(folder / "dump", [[url] for url in [*urls, *FOREIGN]])
        given.fetch(
            source,
            folder / "out",
            seconds=20.0,
            attempts=3,
            max_bytes=32 * 2**20,
            down_after=1000,
            at_once=64,
            per_host=64,
        )
        assert not private.asked
        yield server, folder / "out"


def test_who_takes_too_long_is_given_up_however_often_a_byte_comes(tmp_path: Path) -> None:
    with Misbehaving() as server:
        source = given.dump(tmp_path / "dump", [[f"{server.url}{path}" for path in SLOW]])
        given.fetch(source, tmp_path / "out", seconds=0.4, attempts=2, ignore_robots=True)
        assert {path: server.asked[path] for path in SLOW} == dict.fromkeys(SLOW, 2)
    rows = given.rows(tmp_path / "out").values()
    assert {row["error_class"] for row in rows} == {"link.timeout"}


class Stream(httpcore2.NetworkStream):
    """A connection whose third read finds no memory: the answer's head came with an earlier one."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self.stream, self.reads = stream, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.reads += 1
        if self.reads == 3:
            raise MemoryError("no room for the next piece")
        return self.stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, timeout)

    def close(self) -> None:
        self.stream.close()


class Little(Checked):
    """Connects to this machine alone, with little memory."""

    def connect_tcp(self, *where: Any, **how: Any) -> httpcore2.NetworkStream:
        return Stream(super().connect_tcp(*where, **how))


def test_a_machine_without_memory_is_no_outcome_of_a_url(tmp_path: Path) -> None:
    with Misbehaving() as server:
        source = given.dump(tmp_path / "dump", [[f"{server.url}/large"]])
        little = Little(lambda address: address == given.HERE)
        with pytest.raises(MemoryError, match="no room for the next piece"):
            given.fetch(source, tmp_path / "out", little, ignore_robots=True)
        assert server.asked["/large"] == 1


@pytest.mark.parametrize("path", EXPECTED)
def test_a_misbehaviour_has_its_outcome(fetched: tuple[Misbehaving, Path], path: str) -> None:
    server, out = fetched
    row = given.rows(out)[f"{server.url}{path}"]
    assert row["error_class"] == EXPECTED[path], row["message"]
    assert (row["file"] is not None) == (row["status"] == "ok") == (EXPECTED[path] == "")


@pytest.mark.parametrize("url", FOREIGN)
def test_what_is_no_url_or_has_no_server_has_its_outcome(
    fetched: tuple[Misbehaving, Path], url: str
) -> None:
    row = given.rows(fetched[1])[url]
    assert row["error_class"] == FOREIGN[url], row["message"]
    assert "secret" not in row["message"]


def test_what_came_is_what_the_server_has_and_the_outcome_says_its_digest(
    fetched: tuple[Misbehaving, Path],
) -> None:
    server, out = fetched
    expected = {"/ok/1.png": picture(1), "/large": picture(0) + b"\0" * (6 * 2**20)}
    for path in (
        "/gzip", "/members", "/padded", "/short", "/until-closed", "/hops/9", "/reset",
    ):  # fmt: skip
        expected[path] = picture(0)
    for path, data in expected.items():
        row = given.rows(out)[f"{server.url}{path}"]
        assert (out / row["file"]).read_bytes() == data, path
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert row["bytes"] == len(data)


def test_a_redirect_in_raw_bytes_leads_where_the_server_means(
    fetched: tuple[Misbehaving, Path],
) -> None:
    server, out = fetched
    rows = given.rows(out)
    paths = ("/to-utf8", "/to-latin1", "/to-name")
    led = {path: rows[f"{server.url}{path}"]["final_url"] for path in paths}
    assert led == {
        "/to-utf8": f"{server.url}/ok/f%C3%A9%C5%82/1.png",
        "/to-latin1": f"{server.url}/ok/f%E9/2.png",
        "/to-name": f"http://xn--bcher-kva.invalid:{server.port}/ok/3.png",
    }


def test_nothing_of_a_failed_url_lies_in_out(fetched: tuple[Misbehaving, Path]) -> None:
    _, out = fetched
    there = {str(path.relative_to(out)) for path in (out / "media").rglob("*") if path.is_file()}
    assert there == {row["file"] for row in given.rows(out).values() if row["file"]}


def test_what_is_final_is_asked_once_and_what_may_pass_as_often_as_allowed(
    fetched: tuple[Misbehaving, Path],
) -> None:
    server, _ = fetched
    once = (
        "/page", "/gone", "/expired", "/noai", "/claims", "/empty", "/bomb", "/loop", "/padded-on",
    )  # fmt: skip
    assert {path: server.asked[path] for path in once} == dict.fromkeys(once, 1)
    thrice = ("/cut", "/broken", "/garbage", "/partial")
    assert {path: server.asked[path] for path in thrice} == dict.fromkeys(thrice, 3)


def test_a_medium_that_failed_has_its_class_as_status_and_the_others_their_file(
    fetched: tuple[Misbehaving, Path],
) -> None:
    _, out = fetched
    for post in given.posts(out):
        (medium,) = post["media"]
        row = given.rows(out)[medium["url"]]
        assert (medium["path"], medium["status"]) == (row["file"], row["error_class"])
