"""Rules that keep a URL away: ours when they change, and those that a host makes later."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.errors import LinkError
from imgbatch.fetching import FetchSettings
from imgbatch.fetching.hosts import Hosts
from imgbatch.fetching.reach import Checked
from imgbatch.fetching.task import Task
from tests.fetching import given
from tests.posts.made import bring, rows
from tests.servers.misbehaving import Misbehaving, picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with Misbehaving() as server:
        yield server


def error(out: Path) -> Any:
    (row,) = given.rows(out).values()
    return row["error_class"]


# --- ours ---------------------------------------------------------------------------------------


def test_a_kind_that_is_asked_for_later_is_fetched(server: Misbehaving, tmp_path: Path) -> None:
    source, out = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1.png"]]), tmp_path / "out"
    given.fetch(source, out, kinds=("video",))
    assert error(out) == "link.kind"
    assert given.fetch(source, out, kinds=("video",)).asked == 0
    assert given.fetch(source, out).asked == 1
    assert error(out) == ""


def test_a_file_that_may_be_larger_later_is_fetched_and_else_not_asked(
    server: Misbehaving, tmp_path: Path
) -> None:
    source, out = given.dump(tmp_path / "dump", [[f"{server.url}/large"]]), tmp_path / "out"
    given.fetch(source, out, max_bytes=1000)
    assert error(out) == "link.too-large"
    assert [given.fetch(source, out, max_bytes=n).asked for n in (1000, 500, 2000)] == [0, 0, 1]
    # Of earlier versions nobody knows how large it might have been.
    table = out / "fetched" / "outcomes.parquet"
    pq.write_table(pq.read_table(table).drop_columns("max_bytes"), table)
    assert [given.fetch(source, out, max_bytes=2000).asked for _ in range(2)] == [1, 0]
    assert given.fetch(source, out).asked == 1
    assert error(out) == ""


def test_private_addresses_are_asked_once_they_are_allowed(
    server: Misbehaving, tmp_path: Path
) -> None:
    source, out = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1.png"]]), tmp_path / "out"
    given.fetch(source, out, backend=Checked())
    assert error(out) == "link.private"
    assert given.fetch(source, out, backend=Checked()).asked == 0
    assert given.fetch(source, out, allow_private=True).asked == 1
    assert error(out) == ""


def test_what_robots_and_noai_forbade_is_asked_once_they_are_ignored(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.robots = (200, b"User-agent: *\nDisallow: /forbidden/\n")
    urls = [f"{server.url}{path}" for path in ("/forbidden/1.png", "/noai")]
    source, out = given.dump(tmp_path / "dump", [urls]), tmp_path / "out"
    found = given.fetch(source, out)
    assert found.outcomes == {"link.noai": 1, "link.robots": 1}
    assert given.fetch(source, out).asked == 0
    assert given.fetch(source, out, ignore_robots=True).outcomes == {"ok": 2}


def test_a_byte_order_mark_hides_no_rule_of_robots(server: Misbehaving, tmp_path: Path) -> None:
    server.robots = (200, b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /\r\n")
    source, out = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1.png"]]), tmp_path / "out"
    assert given.fetch(source, out).outcomes == {"link.robots": 1}
    assert server.asked.keys() == {"/robots.txt"}


def test_how_what_failed_is_asked_again_is_told(server: Misbehaving, tmp_path: Path) -> None:
    urls = [f"{server.url}{path}" for path in ("/ok/1.png", "/gone")]
    source = given.dump(tmp_path / "dump", [urls])
    words = ["fetch", str(source), str(tmp_path / "out"), "--allow-private"]
    for _ in range(2):
        assert "--retry 'link.*'" in CliRunner().invoke(app, words).output


# --- rates --------------------------------------------------------------------------------------


def test_what_costs_no_request_does_not_wait_for_a_rate(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.robots = (200, b"User-agent: *\nDisallow: /forbidden/\n")
    urls = [f"{server.url}/forbidden/{n}.png" for n in range(40)]
    urls += [f"data:image/png;base64,AAA{n}" for n in range(40)]
    source = given.dump(tmp_path / "dump", [urls])
    started = time.monotonic()
    found = given.fetch(source, tmp_path / "out", rate=2.0, per_host=4)
    assert time.monotonic() - started < 5
    assert found.outcomes == {"link.robots": 40, "link.url": 40}
    assert server.asked.total() == 1


def test_what_makes_requests_waits_also_beside_what_makes_none(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.robots = (200, b"User-agent: *\nDisallow: /forbidden/\n")
    urls = [f"{server.url}/{name}/{n}.png" for n in range(6) for name in ("forbidden", "ok")]
    source = given.dump(tmp_path / "dump", [urls])
    started = time.monotonic()
    given.fetch(source, tmp_path / "out", rate=4.0, per_host=4)
    assert time.monotonic() - started > 5 / 4
    assert server.given.total() == 6


def test_a_slot_that_is_given_back_shortens_no_pause() -> None:
    tasks = [Task(f"http://a/{n}", "", f"http://a/{n}") for n in range(9)]
    left = {"a": tasks}
    settings = FetchSettings.model_validate({"rate": 1, "per_host": 9})
    made = Hosts(settings, lambda host: left.pop(host, []))
    made.open("a")
    first, second = made.take(0.0), made.take(1.0)
    assert first is not None
    assert second is not None
    limited = LinkError("link.limited", "")
    limited.after = 30.0
    first.attempts = 1
    made.answered(first, 0.0, limited, 1.5)
    assert made.again(first, limited, 1.5)
    made.answered(second, 0.0, None, 1.6, free=True)
    assert made.take(31.4) is None
    third = made.take(31.5)
    assert third is not None
    assert made.take(31.6) is None
    made.answered(third, 0.0, None, 31.6, free=True)
    assert made.take(31.6) is not None


# --- theirs, later ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "code"),
    [
        ((200, {"X_Robots_Tag": "noai"}), "link.noai"),
        ((304, {"X_Robots_Tag": "noimageai"}), "link.noai"),
        ((451, {}), "link.legal"),
    ],
)
def test_what_a_host_withdraws_leaves_out(
    server: Misbehaving, tmp_path: Path, later: tuple[int, dict[str, str]], code: str
) -> None:
    url = f"{server.url}/changing/1.png"
    source, out = given.dump(tmp_path / "dump", [[url]]), tmp_path / "out"
    given.fetch(source, out)
    server.later = later
    assert given.fetch(source, out).withdrawn == 0  # nobody asked
    found = given.fetch(source, out, refresh=True)
    row = given.rows(out)[url]
    assert (row["error_class"], row["file"], row["sha256"]) == (code, None, None)
    assert (found.withdrawn, found.deleted, found.kept) == (1, 1, {})
    assert not [path for path in (out / "media").rglob("*") if path.is_file()]
    (medium,) = given.posts(out)[0]["media"]
    assert (medium["path"], medium["status"]) == (None, code)


@pytest.mark.parametrize(
    ("later", "code"),
    [
        ((410, {}), "link.gone"),
        ((404, {}), "link.missing"),
        ((403, {}), "link.denied"),
        ((503, {"X_Robots_Tag": "noai"}), "link.server"),
    ],
)
def test_what_is_there_no_more_is_kept_and_told(
    server: Misbehaving, tmp_path: Path, later: tuple[int, dict[str, str]], code: str
) -> None:
    url = f"{server.url}/changing/1.png"
    source, out = given.dump(tmp_path / "dump", [[url]]), tmp_path / "out"
    given.fetch(source, out)
    server.later = later
    found = given.fetch(source, out, refresh=True, attempts=1)
    assert (found.kept, found.withdrawn) == ({code: 1}, 0)
    assert (out / given.rows(out)[url]["file"]).read_bytes() == picture(1)
    # Later too, when nothing is asked.
    words = ["fetch", str(source), str(out), "--allow-private"]
    said = CliRunner().invoke(app, words).output
    assert "1 files are kept from before" in said
    assert code in said.split("kept from before")[1]


def test_who_ignores_noai_keeps_what_it_is_said_of_later(
    server: Misbehaving, tmp_path: Path
) -> None:
    source = given.dump(tmp_path / "dump", [[f"{server.url}/changing/1.png"]])
    given.fetch(source, tmp_path / "out")
    server.later = (200, {"X_Robots_Tag": "noai", "Content_Type": "image/png"})
    found = given.fetch(source, tmp_path / "out", refresh=True, ignore_robots=True)
    assert (found.outcomes, found.withdrawn) == ({"ok": 1}, 0)


def test_a_table_of_an_earlier_version_reads(server: Misbehaving, tmp_path: Path) -> None:
    source, out = given.dump(tmp_path / "dump", [[f"{server.url}/ok/1.png"]]), tmp_path / "out"
    given.fetch(source, out)
    table = out / "fetched" / "outcomes.parquet"
    old = pq.read_table(table).drop_columns("max_bytes")
    assert isinstance(old, pa.Table)
    pq.write_table(old, table)
    assert given.fetch(source, out).asked == 0
    assert given.rows(out)[f"{server.url}/ok/1.png"]["max_bytes"] is None


@pytest.mark.slow
def test_a_run_takes_up_what_was_withdrawn_as_media_without_a_file(
    server: Misbehaving, tmp_path: Path
) -> None:
    urls = [f"{server.url}/changing/1.png", f"{server.url}/ok/2.png"]
    source, out = given.dump(tmp_path / "dump", [urls]), tmp_path / "out"
    given.fetch(source, out)
    server.later = (451, {})
    given.fetch(source, out, refresh=True)
    bring(out, tmp_path / "own")
    assert sorted(rows(tmp_path / "own", "post_media", "status")) == [("link.legal",), ("matched",)]
