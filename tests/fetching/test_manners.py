"""What a fetch asks for and what it leaves alone: addresses, robots, rates, what is here."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from imgbatch.dataset.lock import RunLock
from imgbatch.errors import BusyError, DatasetError, LinkError, SettingsError, TooManyFailedError
from imgbatch.fetching import FetchSettings
from imgbatch.fetching.hosts import Hosts
from imgbatch.fetching.kept import SCHEMA, Journal
from imgbatch.fetching.reach import Checked, is_public, resolve
from imgbatch.fetching.robots import Robots, forbids_ai
from imgbatch.fetching.task import Task
from imgbatch.fetching.urls import canonical
from imgbatch.fetching.web import retry_after
from imgbatch.storage import open_store
from tests.fetching import given
from tests.servers.misbehaving import Misbehaving, picture

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with Misbehaving() as server:
        yield server


# --- addresses ----------------------------------------------------------------------------------

PRIVATE = [
    "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.8",
    "198.18.0.1", "203.0.113.7", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1",
    "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "2002:7f00:1::", "2001:db8::1", "2001:0:7f00:1::", "3fff::1",
    "168.63.129.16", "::ffff:168.63.129.16", "192.88.99.1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
    "2002:808:808::", "168.63.129.15", "192.88.98.255",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_public_net_is_known(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_net_is_known(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_no_way_of_writing_this_machine_is_asked(server: Misbehaving, tmp_path: Path) -> None:
    hosts = ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"]
    urls = [f"http://{host}:{server.port}/ok/1.png" for host in hosts]
    urls += ["http://[::1]/a.png", "http://[::ffff:127.0.0.1]/a.png", "http://169.254.169.254/"]
    source = given.dump(tmp_path / "dump", [urls])
    given.fetch(source, tmp_path / "out", backend=Checked(), attempts=1)
    classes = {row["error_class"] for row in given.rows(tmp_path / "out").values()}
    # One of them is none by the rules of URLs.
    assert classes <= {"link.private", "link.url"}
    assert "link.private" in classes
    assert not server.asked


def test_a_name_that_changes_its_address_after_the_check_is_asked_where_it_was_checked(
    server: Misbehaving, tmp_path: Path
) -> None:
    with Misbehaving("127.0.0.2") as private:
        answers = iter(["127.0.0.1", "127.0.0.2"])
        asked = []

        def rebinding(host: str, port: int) -> list[str]:
            del port
            asked.append(host)
            return [next(answers)]

        backend = Checked(lambda address: address == given.HERE, rebinding)
        urls = [f"http://rebinding.test:{server.port}/until-closed?{n}" for n in range(2)]
        source = given.dump(tmp_path / "dump", [urls])
        given.fetch(
            source, tmp_path / "out", backend=backend, ignore_robots=True, per_host=1, attempts=1
        )
        found = sorted(row["error_class"] for row in given.rows(tmp_path / "out").values())
        assert found == ["", "link.private"]
        assert asked == ["rebinding.test"] * 2
        assert not private.asked


def test_of_several_addresses_one_that_does_not_answer_is_passed_over(server: Misbehaving) -> None:
    backend = Checked(lambda _: True, lambda *_: ["127.0.0.3", "127.0.0.1"])
    stream = backend.connect_tcp("two.test", server.port, timeout=5)
    assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
    stream.close()


def test_a_host_without_address_is_told() -> None:
    with pytest.raises(LinkError, match=r"no-such-host\.invalid has no address"):
        resolve("no-such-host.invalid", 80)


def test_a_resolver_that_does_not_answer_is_waited_for_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        answered.wait(30)
        raise OSError("nothing")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    started = time.monotonic()
    try:
        with pytest.raises(LinkError, match=r"slow\.test") as told:
            Checked(lambda _: True).connect_tcp("slow.test", 80, timeout=0.2)
    finally:
        answered.set()
    assert told.value.code == "link.dns"
    assert time.monotonic() - started < 5


# --- robots -------------------------------------------------------------------------------------


def test_robots_are_read_once_and_obeyed(server: Misbehaving, tmp_path: Path) -> None:
    server.robots = (200, b"User-agent: *\nDisallow: /forbidden/*.png$\nAllow: /\n")
    paths = ["/ok/1.png", "/ok/2.png", "/forbidden/3.png", "/forbidden/4.png"]
    source = given.dump(tmp_path / "dump", [[f"{server.url}{path}" for path in paths]])
    given.fetch(source, tmp_path / "out")
    found = {url.removeprefix(server.url): row for url, row in given.rows(tmp_path / "out").items()}
    assert [found[path]["status"] for path in paths] == ["ok", "ok", "filtered", "filtered"]
    assert found["/forbidden/3.png"]["error_class"] == "link.robots"
    assert server.asked["/robots.txt"] == 1
    assert not server.asked["/forbidden/3.png"]


@pytest.mark.parametrize(
    ("robots", "error"),
    [((503, b""), "link.server"), ((206, b"User-agent: *\nAllow: /\nDisa"), "link.broken")],
)
def test_a_robots_txt_that_cannot_be_had_forbids_everything_for_now(
    server: Misbehaving, tmp_path: Path, robots: tuple[int, bytes], error: str
) -> None:
    server.robots = robots
    source = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1.png"]])
    given.fetch(source, tmp_path / "out", attempts=1)
    (row,) = given.rows(tmp_path / "out").values()
    assert row["error_class"] == error
    assert not server.asked["/ok/1.png"]
    server.robots = (404, b"")
    given.fetch(source, tmp_path / "out", retry=("link.*",))
    assert given.rows(tmp_path / "out")[f"{server.url}/ok/1.png"]["status"] == "ok"


def test_who_is_told_to_ignores_robots_and_noai(server: Misbehaving, tmp_path: Path) -> None:
    server.robots = (200, b"User-agent: *\nDisallow: /\n")
    urls = [f"{server.url}{path}" for path in ("/forbidden/1.png", "/noai")]
    source = given.dump(tmp_path / "dump", [urls])
    given.fetch(source, tmp_path / "out", ignore_robots=True)
    assert {row["status"] for row in given.rows(tmp_path / "out").values()} == {"ok"}


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        (["noai"], "noai"),
        (["noindex, NOIMAGEAI"], "noimageai"),
        (["all", "imgbatch: noai"], "noai"),
        (["otherbot: noai"], None),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], "noai"),
        (["noindex, nofollow"], None),
    ],
)
def test_what_x_robots_tag_forbids_us(tags: list[str], word: str | None) -> None:
    assert forbids_ai(tags) == word


# --- rates --------------------------------------------------------------------------------------


def test_a_host_has_never_more_requests_under_way_than_allowed(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.pause = 0.02
    source = given.dump(tmp_path / "dump", [[f"{server.url}/ok/{n}.png" for n in range(24)]])
    given.fetch(source, tmp_path / "out", per_host=3)
    assert server.most_at_once == 3


def hosts(urls: dict[str, list[str]], **settings: float) -> Hosts:
    left = {host: [Task(url, url, url) for url in found] for host, found in urls.items()}
    made = Hosts(FetchSettings.model_validate(settings), lambda host: left.pop(host, []))
    for host in urls:
        made.open(host)
    return made


def test_requests_to_a_host_are_apart_by_its_rate_and_other_hosts_do_not_wait() -> None:
    made = hosts({"a": ["http://a/1", "http://a/2"], "b": ["http://b/1"]}, rate=2, per_host=9)
    first, second = made.take(100.0), made.take(100.0)
    assert {task.url for task in (first, second) if task} == {"http://a/1", "http://b/1"}
    assert made.take(100.0) is None
    assert made.wait(100.0) == pytest.approx(0.5)
    assert getattr(made.take(100.5), "url", None) == "http://a/2"


def test_a_host_that_says_429_is_left_alone_by_all_its_urls_and_a_crawl_delay_counts() -> None:
    made = hosts({"a": ["http://a/1", "http://a/2"]}, rate=100, per_host=9)
    task = made.take(0.0)
    assert task is not None
    made.answered(task, 7.0, None, 0.0)
    error = LinkError("link.limited", "")
    error.after = 30.0
    task.attempts = 1
    assert made.again(task, error, 1.0)
    assert made.take(30.9) is None
    assert made.take(31.0) is not None
    assert made.take(37.9) is None
    assert made.take(38.0) is not None


def test_a_host_that_asks_for_more_patience_than_there_is_is_left_for_this_time(
    server: Misbehaving, tmp_path: Path
) -> None:
    urls = [f"{server.url}/limited-long?{n}" for n in range(8)]
    source = given.dump(tmp_path / "dump", [urls])
    given.fetch(source, tmp_path / "out", per_host=1)
    rows = given.rows(tmp_path / "out").values()
    assert {row["error_class"] for row in rows} == {"link.limited", "link.unasked"}
    assert sum(server.asked[path] for path in server.asked if "limited" in path) < 4


def test_a_host_whose_crawl_delay_is_beyond_patience_is_left_for_this_time(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.robots = (200, b"User-agent: *\nCrawl-delay: 90000\n")
    urls = [f"{server.url}/ok/{n}.png" for n in range(8)]
    source = given.dump(tmp_path / "dump", [urls])
    given.fetch(source, tmp_path / "out", per_host=1)
    rows = given.rows(tmp_path / "out").values()
    assert {row["error_class"] for row in rows} == {"link.limited", "link.unasked"}
    assert server.given.total() == 0


def test_a_host_that_is_down_is_not_asked_for_each_of_its_urls(tmp_path: Path) -> None:
    urls = [f"http://127.0.0.1:1/{n}.jpg" for n in range(50)]
    source = given.dump(tmp_path / "dump", [urls])
    given.fetch(source, tmp_path / "out", attempts=1, down_after=3, per_host=1)
    rows = given.rows(tmp_path / "out").values()
    assert {row["error_class"] for row in rows} == {"link.connect", "link.unasked"}
    assert sum(row["attempts"] for row in rows) < 10
    asked = sum(row["attempts"] > 0 for row in rows)
    again = given.fetch(source, tmp_path / "out", attempts=1, down_after=3, per_host=1)
    assert again.asked == 50 - asked


def test_a_host_that_gives_no_answer_is_left_after_a_while_and_any_answer_lets_it_live() -> None:
    made = hosts({"a": [f"http://a/{n}" for n in range(9)]}, rate=1000, per_host=9, down_after=3)
    silent = LinkError("link.timeout", "")

    def ask(at: float, error: LinkError | None) -> bool:
        task = made.take(at)
        assert task is not None
        return made.is_dead(made.answered(task, 0.0, error, at), at)

    assert not any(ask(at, silent) for at in (1.0, 2.0, 3.0, 10.9))
    assert not ask(10.95, LinkError("link.missing", ""))
    assert not any(ask(at, silent) for at in (11.0, 20.0))
    assert ask(21.0, silent)


def test_what_leads_to_a_host_that_is_down_is_not_asked_there(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.elsewhere = "http://127.0.0.2:1/x.png"
    urls = [f"{server.url}/to-elsewhere?{n}" for n in range(20)]
    source = given.dump(tmp_path / "dump", [urls])
    anywhere = Checked(lambda _: True)
    given.fetch(source, tmp_path / "out", anywhere, attempts=1, down_after=2, per_host=1)
    classes = [row["error_class"] for row in given.rows(tmp_path / "out").values()]
    assert sorted(set(classes)) == ["link.connect", "link.unasked"]
    assert classes.count("link.connect") < 5


def test_those_who_wait_for_a_robots_txt_that_cannot_be_had_do_not_each_ask_for_it() -> None:
    class Dead:
        asked = 0

        def small(self, url: str, most: int) -> tuple[int, bytes]:
            del url, most
            self.asked += 1
            time.sleep(0.2)
            raise LinkError("link.timeout", "no answer in time")

    web = Dead()
    robots = Robots(web)

    def check(number: int) -> str:
        with pytest.raises(LinkError) as told:
            robots.check(canonical(f"http://a/{number}.png"))
        return told.value.code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(check, range(4))) == ["link.timeout"] * 4
    assert web.asked == 1
    assert check(5) == "link.timeout"
    assert web.asked == 2  # it may be there by now


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 02 Nov 2026 10:00:00 GMT", 0.0),
        ("Mon, 02 Nov 2026 10:00:00 -0000", 0.0),
        ("soon", None),
        ("", None),
        ("\xb2", None),
        (f"Mon, 02 Nov {10**20} 10:00:00 GMT", None),
    ],
)
def test_how_long_retry_after_means(said: str, seconds: float | None) -> None:
    assert retry_after(said) == seconds


# --- what is here already -----------------------------------------------------------------------


def test_a_url_of_many_posts_is_asked_once(server: Misbehaving, tmp_path: Path) -> None:
    url = f"{server.url}/ok/1.png"
    source = given.dump(tmp_path / "dump", [[url]] * 50 + [[url + "#fragment", url]])
    given.fetch(source, tmp_path / "out")
    assert server.asked["/ok/1.png"] == 1
    paths = {m["path"] for post in given.posts(tmp_path / "out") for m in post["media"]}
    assert paths == {given.rows(tmp_path / "out")[url]["file"]}


def test_again_asks_for_nothing_and_changes_no_byte(server: Misbehaving, tmp_path: Path) -> None:
    urls = [f"{server.url}{path}" for path in ("/ok/1.png", "/gone", "/broken")]
    source, out = given.dump(tmp_path / "dump", [[url] for url in urls]), tmp_path / "out"
    given.fetch(source, out, attempts=1)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    asked = server.asked.total()
    assert given.fetch(source, out).asked == 0
    assert server.asked.total() == asked
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == before


def test_a_new_export_costs_its_new_urls_only(server: Misbehaving, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given.fetch(given.dump(tmp_path / "week1", [[f"{server.url}/ok/1.png"]]), out)
    given.fetch(given.dump(tmp_path / "week2", [[f"{server.url}/ok/{n}.png"] for n in (1, 2)]), out)
    assert server.given == {"/ok/1.png": 1, "/ok/2.png": 1}


@pytest.mark.parametrize("path", ["/ok/1.png", "/dated/1.png", "/accented/1.png"])
def test_refresh_takes_only_what_changed(server: Misbehaving, tmp_path: Path, path: str) -> None:
    source, out = given.dump(tmp_path / "dump", [[f"{server.url}{path}"]]), tmp_path / "out"
    given.fetch(source, out)
    (former,) = given.rows(out).values()
    given.fetch(source, out, refresh=True)
    (row,) = given.rows(out).values()
    assert (row["http_status"], row["file"], server.given[path]) == (304, former["file"], 1)


def test_refresh_replaces_what_changed_and_keeps_what_is_gone(
    server: Misbehaving, tmp_path: Path
) -> None:
    urls = [f"{server.url}/ok/{n}.png" for n in (1, 2)]
    source, out = given.dump(tmp_path / "dump", [urls]), tmp_path / "out"
    given.fetch(source, out)
    server.edition = 40
    given.fetch(source, out, refresh=True)
    rows = given.rows(out)
    assert [(out / rows[url]["file"]).read_bytes() for url in urls] == [picture(41), picture(42)]
    assert len(list((out / "media").rglob("*.png"))) == 2
    server.robots = (200, b"User-agent: *\nDisallow: /\n")
    given.fetch(source, out, refresh=True)
    row = given.rows(out)[urls[0]]
    assert (row["status"], row["error_class"]) == ("filtered", "link.robots")
    assert (out / row["file"]).read_bytes() == picture(41)


def test_what_nobody_foresaw_of_one_url_is_its_outcome_and_ends_no_fetch(
    server: Misbehaving, tmp_path: Path
) -> None:
    urls = [f"{server.url}/ok/{n}.png" for n in (1, 2)]
    source, out = given.dump(tmp_path / "dump", [urls]), tmp_path / "out"
    given.fetch(source, out)
    # An ETag that no server can have sent: somebody edited the table.
    table = pq.read_table(out / "fetched" / "outcomes.parquet").to_pylist()
    former = table[0]["file"]
    table[0]["etag"] = "\u65e5"
    pq.write_table(pa.Table.from_pylist(table, SCHEMA), out / "fetched" / "outcomes.parquet")
    given.fetch(source, out, refresh=True)
    rows = given.rows(out)
    assert [rows[url]["error_class"] for url in urls] == ["link.unexpected", ""]
    assert (rows[urls[0]]["file"], rows[urls[1]]["http_status"]) == (former, 304)
    assert "UnicodeEncodeError" in rows[urls[0]]["message"]


def test_who_asks_may_have_a_name_in_any_letters_and_in_one_line(
    server: Misbehaving, tmp_path: Path
) -> None:
    source = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1.png"]])
    given.fetch(source, tmp_path / "out", contact="J\u00fcrgen \u0141ukasz, me@example.org")
    (said,) = [line for line in server.heads["/ok/1.png"] if line.startswith("User-Agent")]
    sent = said.encode("latin-1").decode()
    assert sent.endswith("(research; J\u00fcrgen \u0141ukasz, me@example.org)")
    with pytest.raises(ValueError, match="contact"):
        FetchSettings(contact="me\r\nX-Other: 1")


def test_refresh_takes_an_older_file_where_the_url_leads_elsewhere_now(
    server: Misbehaving, tmp_path: Path
) -> None:
    # Both places say the same date: by it alone the one could be taken for the other.
    server.elsewhere = f"{server.url}/dated/1.png"
    source = given.dump(tmp_path / "dump", [[f"{server.url}/to-elsewhere"]])
    out = tmp_path / "out"
    given.fetch(source, out)
    server.elsewhere = f"{server.url}/broken"
    given.fetch(source, out, refresh=True, attempts=1)
    server.elsewhere = f"{server.url}/dated/2.png"
    for _ in range(2):
        given.fetch(source, out, refresh=True)
        (row,) = given.rows(out).values()
        assert (row["status"], (out / row["file"]).read_bytes()) == ("ok", picture(2))
    assert row["http_status"] == 304


def test_a_file_that_somebody_deleted_is_fetched_again(server: Misbehaving, tmp_path: Path) -> None:
    source = given.dump(tmp_path / "dump", [[f"{server.url}/ok/{n}.png" for n in range(3)]])
    out = tmp_path / "out"
    given.fetch(source, out)
    (out / given.rows(out)[f"{server.url}/ok/1.png"]["file"]).unlink()
    assert given.fetch(source, out).asked == 1
    assert server.given["/ok/1.png"] == 2


def test_media_that_lie_in_the_dump_are_not_asked_for(server: Misbehaving, tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture(1))
    rows = ["id,image_url", "1,a.png", f"2,{server.url}/ok/2.png"]
    (folder / "posts.csv").write_text("\n".join(rows) + "\n")
    words = ["--media-column", "image_url", "--id-column", "id"]
    done = imgbatch("fetch", folder, tmp_path / "out", *words, "--allow-private", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["outcomes"] == {"ok": 1}
    media = [post["media"][0] for post in given.posts(tmp_path / "out") if "post_id" in post]
    assert [(m["path"] is None, m["status"]) for m in media] == [(True, "in-dump"), (False, "")]


# --- killed, and other ends ---------------------------------------------------------------------


def imgbatch(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_a_killed_fetch_goes_on_and_nothing_that_came_is_asked_again(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.pause = 0.02
    count = 120
    urls = [f"{server.url}/ok/{n}.png" for n in range(count)]
    source, out = given.dump(tmp_path / "dump", [[url] for url in urls]), tmp_path / "out"
    words = ["--allow-private", "--rate", "1000", "--per-host", "4"]
    kills = 0
    for share in (0.2, 0.5, 0.8):
        child = subprocess.Popen([sys.executable, "-m", "imgbatch", "fetch", source, out, *words])
        while server.given.total() < share * count and child.poll() is None:
            time.sleep(0.005)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.wait()
    assert kills == 3
    assert not (out / "posts.jsonl").exists()
    there = len(list((out / "media").rglob("*.png")))
    before = _settled(server)
    given.fetch(source, out)
    rows = given.rows(out)
    assert [(out / rows[url]["file"]).read_bytes() for url in urls] == [*map(picture, range(count))]
    assert (server.given - before).total() == count - there
    # What was under way at a kill comes again: at most four requests each time.
    assert server.given.total() <= count + 4 * kills
    assert not list((out / "fetched" / "journal").iterdir())
    assert {m["status"] for post in given.posts(out) for m in post["media"]} == {""}


def _settled(server: Misbehaving) -> Counter[str]:
    """Return what was given once nothing more is: a killed client asked for it, too."""
    last, same = server.given.copy(), 0
    while same < 10:
        time.sleep(0.05)
        now = server.given.copy()
        last, same = now, same + 1 if now == last else 0
    return last


def test_two_fetches_at_once_are_told(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    first, second = Journal(store), Journal(store)
    for number, journal in enumerate((first, second)):
        journal.add({"url": "http://a/", "fetched_at": f"2026-11-22T09:00:00.00000{number}Z"})
    first.flush()
    with pytest.raises(BusyError, match="another fetch"):
        second.flush()


def test_a_fetch_beside_one_that_lives_is_refused(server: Misbehaving, tmp_path: Path) -> None:
    source, out = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1.png"]]), tmp_path / "out"
    given.fetch(source, out)
    lock = RunLock.take(open_store(str(out / "fetched")), "another", expires=60)
    with pytest.raises(BusyError, match="another is at work"):
        given.fetch(source, out)
    lock.release()
    assert given.fetch(source, out).asked == 0


def test_rows_of_a_table_with_one_id_become_one_post(server: Misbehaving, tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    folder.mkdir()
    urls = [f"{server.url}/ok/{n}.png" for n in (1, 2)]
    rows = ["id,image_url", f"7,{urls[0]}", "8,", f"7,{urls[1]}", f"7,{urls[0]}"]
    (folder / "posts.csv").write_text("\n".join(rows) + "\n")
    words = ["--media-column", "image_url", "--id-column", "id", "--allow-private"]
    done = imgbatch("fetch", folder, tmp_path / "out", *words)
    assert done.returncode == 0, done.stderr
    posts = [post for post in given.posts(tmp_path / "out") if "post_id" in post]
    found = {post["post_id"]: [m["url"] for m in post["media"]] for post in posts}
    assert found == {"7": urls, "8": []}


def test_rows_with_one_id_of_two_platforms_or_files_stay_two_posts(
    server: Misbehaving, tmp_path: Path
) -> None:
    folder, out = tmp_path / "dump", tmp_path / "out"
    folder.mkdir()
    urls = [f"{server.url}/ok/{n}.png" for n in range(6)]
    said = [f"1,x,7,one,{urls[0]}", f"1,tiktok,7,two,{urls[1]}", f"1,,7,three,{urls[2]}"]
    said += [f"1,x,7,one,{urls[3]}", f"1,,8,four,{urls[4]}"]
    head = "id,platform,author_id,text,image_url"
    (folder / "berlin.csv").write_text("\n".join([head, *said]) + "\n")
    (folder / "paris.csv").write_text(f"{head}\n1,,9,five,{urls[5]}\n")
    words = ["--media-column", "image_url", "--id-column", "id", "--allow-private"]
    done = imgbatch("fetch", folder, out, *words)
    assert done.returncode == 0, done.stderr
    found = [post for post in given.posts(out) if "post_id" in post]
    assert {post["post_id"] for post in found} == {"1"}
    assert len({post["platform"] for post in found}) == 4
    media = {post["text"]: [m["url"] for m in post["media"]] for post in found}
    assert media == {
        "one": [urls[0], urls[3]],
        "two": [urls[1]],
        "four": [urls[2], urls[4]],
        "five": [urls[5]],
    }
    gaps = [line["gap"] for line in given.posts(out) if "gap" in line]
    told = [(gap["ref"], gap["line"], gap["count"]) for gap in gaps if "differ" in gap["kind"]]
    assert told == [("berlin.csv", 4, 1)]


def test_out_in_the_dump_or_with_something_else_is_refused(tmp_path: Path) -> None:
    source = given.dump(tmp_path / "dump", [["http://127.0.0.1:1/a.png"]])
    with pytest.raises(SettingsError, match="lie in one another"):
        given.fetch(source, source / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="holds nothing that was fetched"):
        given.fetch(source, tmp_path / "other")


def test_too_many_failures_end_it_and_what_came_stays(server: Misbehaving, tmp_path: Path) -> None:
    urls = [f"{server.url}/ok/0.png", *(f"{server.url}/gone?{n}" for n in range(5))]
    source, out = given.dump(tmp_path / "dump", [urls]), tmp_path / "out"
    words = ["--allow-private", "--max-failed", "2", "--per-host", "1", "--rate", "500"]
    done = imgbatch("fetch", source, out, *words)
    assert done.returncode == TooManyFailedError.exit_code, done.stderr
    given.fetch(source, out)
    assert server.asked["/ok/0.png"] == 1
    assert given.rows(out)[urls[0]]["status"] == "ok"


@pytest.mark.slow
def test_an_unknown_dump_and_a_wrong_flag_have_their_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.md").write_text("nothing")
    assert imgbatch("fetch", tmp_path / "x", tmp_path / "out").returncode == 32
    assert imgbatch("fetch", tmp_path / "x", tmp_path / "out", "--rate", "0").returncode == 10
    assert not (tmp_path / "out").exists()


def test_a_fetch_into_a_bucket_is_the_same(server: Misbehaving, tmp_path: Path) -> None:
    urls = [f"{server.url}/ok/1.png", f"{server.url}/large"]
    source = given.dump(tmp_path / "dump", [urls])
    found = given.fetch(source, f"memory://fetched-{tmp_path.name}/here")  # type: ignore[arg-type] # a URL
    store = open_store(found.out)
    sizes = {entry.size for entry in store.list("media")}
    assert sizes == {len(picture(1)), len(picture(0)) + 6 * 2**20}


@pytest.mark.slow
def test_a_run_joins_the_posts_to_what_was_fetched(server: Misbehaving, tmp_path: Path) -> None:
    urls = [[f"{server.url}/ok/1.png"], [f"{server.url}/ok/2.png", f"{server.url}/gone"]]
    source, out = given.dump(tmp_path / "dump", urls), tmp_path / "out"
    given.fetch(source, out)
    done = imgbatch("run", out, tmp_path / "d", "--engine", "inline", "--json")
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout.splitlines()[-1])["outcomes"]
    assert outcomes["ok"] == 2
    assert not [name for name in outcomes if name.startswith(("decode", "fetch"))]
    media = DeltaTable(tmp_path / "d" / "post_media").to_pyarrow_table().to_pylist()
    found = {row["source_url"]: (row["status"], row["joined_by"]) for row in media}
    assert found == {
        urls[0][0]: ("matched", "metadata"),
        urls[1][0]: ("matched", "metadata"),
        urls[1][1]: ("link.gone", ""),
    }
