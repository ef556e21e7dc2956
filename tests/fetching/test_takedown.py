"""Posts are taken out of what a fetch wrote: their media go, others' stay, none comes back."""

from __future__ import annotations

import json
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.dataset import Dataset
from imgbatch.dataset.post_marks import author_mark, mark
from imgbatch.errors import DatasetError
from imgbatch.fetching import kept
from imgbatch.fetching.takedown import check_out, take_out
from imgbatch.fetching.traces import traces
from imgbatch.storage import open_store
from tests.fetching import given
from tests.posts.made import bring, rows
from tests.servers.misbehaving import Misbehaving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST, SECOND, THIRD = (str(10**18 + number) for number in range(3))
CODE = "Caaaaaaaa11"


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with Misbehaving() as server:
        yield server


@pytest.fixture
def fetched(server: Misbehaving, tmp_path: Path) -> Path:
    """OUT of a dump of three posts; the first two have one picture in common."""
    urls = [f"{server.url}/ok/{number}.png" for number in range(4)]
    given.dump(tmp_path / "dump", [[urls[0], urls[1]], [urls[1]], [urls[2], f"{server.url}/gone"]])
    lines = tmp_path / "dump/tweets.jsonl"
    lines.write_text(lines.read_text().replace("2026-11-02", "2020-11-02"))
    given.fetch(tmp_path / "dump", tmp_path / "out", attempts=1)
    return tmp_path / "out"


@pytest.mark.parametrize("line", [b"[1]", b"null", b"5", b"[" * 100_000])
def test_a_line_that_is_neither_a_post_nor_a_gap_is_told_and_mended_by_a_fetch(
    fetched: Path, line: bytes
) -> None:
    with (fetched / kept.POSTS).open("ab") as file:
        file.write(line + b"\n")
    gone = frozenset({mark("x", FIRST)})
    for look in (take_out, traces):
        with pytest.raises(DatasetError, match=r"posts\.jsonl, line 4"):
            look(str(fetched), gone)
    given.fetch(fetched.parent / "dump", fetched)
    assert traces(str(fetched)).problems == []


def ids(out: Path) -> list[str]:
    return [post["post_id"] for post in given.posts(out) if "post_id" in post]


def files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in (out / "media").rglob("*") if path.is_file()}


def test_a_post_leaves_with_what_only_it_links_to_and_no_fetch_brings_it_back(
    fetched: Path, server: Misbehaving
) -> None:
    before = given.rows(fetched)
    both, other, gone = (f"{server.url}{path}" for path in ("/ok/1.png", "/ok/2.png", "/gone"))
    left = take_out(str(fetched), frozenset({mark("", FIRST)}))
    assert (left.posts, left.urls, left.files) == (1, 1, 1)
    assert ids(fetched) == [SECOND, THIRD]
    assert set(given.rows(fetched)) == {both, other, gone}
    assert files(fetched) == {before[url]["file"] for url in (both, other)}
    assert not any(FIRST in path.read_text("latin-1") for path in fetched.rglob("*.*"))
    asked = server.asked.total()
    again = given.fetch(fetched.parent / "dump", fetched)
    assert (again.asked, server.asked.total()) == (0, asked)
    assert ids(fetched) == [SECOND, THIRD]
    assert [post["gap"]["kind"] for post in given.posts(fetched) if "gap" in post] == [
        "forgotten-posts"
    ]
    # Its author's too: then all of them go.
    left = take_out(str(fetched), frozenset({author_mark("x", "7")}))
    assert (left.posts, left.files, ids(fetched), files(fetched)) == (2, 2, [], set())


def test_what_was_killed_on_the_way_is_completed_by_the_next(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(kept, "tidy", _killed)
        with pytest.raises(KeyboardInterrupt):
            take_out(str(fetched), frozenset({mark("x", THIRD)}))
    left = take_out(str(fetched), frozenset({mark("x", THIRD)}))
    assert (left.posts, left.files) == (1, 1)
    assert (ids(fetched), len(files(fetched))) == ([FIRST, SECOND], 2)


def _killed(*_: object) -> int:
    raise KeyboardInterrupt


def test_what_is_no_fetch_or_not_finished_is_refused(fetched: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing that was fetched"):
        check_out(str(tmp_path / "dump"))
    (fetched / "posts.jsonl").unlink()
    with pytest.raises(DatasetError, match="not finished"):
        take_out(str(fetched), frozenset())


@pytest.mark.slow
def test_forget_and_retain_reach_what_was_fetched_too(fetched: Path, tmp_path: Path) -> None:
    def call(*words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--fetched", str(fetched), "--yes", "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.output)

    own = tmp_path / "own"
    bring(fetched, own)
    said = call("forget", str(own), "--post-id", THIRD)
    assert (said["posts"], said["fetched"][0]["posts"], said["fetched"][0]["files"]) == (1, 1, 1)
    assert (ids(fetched), len(files(fetched))) == ([FIRST, SECOND], 2)
    bring(fetched, own)
    assert rows(own, "posts", "post_id") == [(FIRST,), (SECOND,)]
    statuses = Dataset.open(str(own)).read("sources", columns=["status"])["status"].to_pylist()
    assert statuses.count("ok") == 2
    said = call("retain", str(own), "--days", "365")
    assert (said["posts"], said["fetched"][0]["posts"]) == (2, 2)
    assert (ids(fetched), files(fetched), rows(own, "posts")) == ([], set(), [])
    again = call("retain", str(own), "--days", "365")
    assert (again["posts"], again["fetched"][0]["posts"]) == (0, 0)
    assert list(open_store(str(fetched)).former()) == []


@pytest.mark.slow
def test_what_an_edited_post_had_leaves_the_dataset_with_its_file(
    fetched: Path, server: Misbehaving, tmp_path: Path
) -> None:
    """No row of the dataset says any more whose it was; OUT knows."""
    own, urls = tmp_path / "own", [f"{server.url}/ok/{number}.png" for number in (0, 1, 2)]
    bring(fetched, own)
    given.dump(tmp_path / "dump", [[urls[1]], [urls[1]], [urls[2]]])
    given.fetch(tmp_path / "dump", fetched)
    bring(fetched, own)
    words = ("--post-id", FIRST, "--fetched", str(fetched), "--yes", "--json")
    done = CliRunner().invoke(app, ["forget", str(own), *words])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert (said["sources"], said["fetched"][0]["files"]) == (1, 1)
    sources = Dataset.open(str(own)).read("sources", columns=["address"])["address"].to_pylist()
    there = {f"{fetched.as_uri()}/{name}" for name in files(fetched)}
    assert {one for one in sources if "/media/" in one} == there


@pytest.fixture
def zipped(server: Misbehaving, tmp_path: Path) -> Path:
    """OUT of a zip of 4CAT alone, which says of a picture that it did not get whose it is."""
    pack(tmp_path / "zips", f"{server.url}/ok/1.png", CODE)
    given.fetch(tmp_path / "zips", tmp_path / "out")
    return tmp_path / "out"


def pack(folder: Path, url: str, code: str) -> None:
    folder.mkdir(exist_ok=True)
    told = {"filename": "1.png", "success": False, "post_ids": [code]}
    with zipfile.ZipFile(folder / "images-0a1b2c.zip", "w") as packed:
        packed.writestr(".metadata.json", json.dumps({url: told}))


def test_a_post_that_only_a_zip_names_is_of_any_platform(zipped: Path) -> None:
    marks = frozenset({mark("instagram", CODE)})
    assert (ids(zipped), len(files(zipped))) == ([CODE], 1)
    assert len(traces(str(zipped), marks).problems) == 3
    left = take_out(str(zipped), marks)
    assert (left.posts, left.urls, left.files) == (1, 1, 1)
    assert (ids(zipped), files(zipped)) == ([], set())
    assert traces(str(zipped), marks).problems == []
    given.fetch(zipped.parent / "zips", zipped)
    assert (ids(zipped), files(zipped)) == ([], set())


def test_so_is_one_that_an_earlier_zip_named(zipped: Path, server: Misbehaving) -> None:
    dump, marks = zipped.parent / "zips", frozenset({mark("instagram", CODE)})
    pack(dump, f"{server.url}/ok/2.png", "Cbbbbbbbb22")
    given.fetch(dump, zipped)
    assert (ids(zipped), len(files(zipped))) == (["Cbbbbbbbb22"], 2)
    left = take_out(str(zipped), marks)
    assert (left.posts, left.urls, left.files) == (0, 1, 1)
    pack(dump, f"{server.url}/ok/1.png", CODE)
    given.fetch(dump, zipped, removed="forget")
    assert (ids(zipped), files(zipped)) == ([], set())


@pytest.mark.slow
def test_a_dataset_of_it_forgets_it_by_any_platform_too(zipped: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    bring(zipped, own)
    assert rows(own, "posts", "platform", "post_id") == [("unknown", CODE)]
    words = ("--post-id", CODE, "--platform", "instagram", "--fetched", str(zipped))
    done = CliRunner().invoke(app, ["forget", str(own), *words, "--yes"])
    assert done.exit_code == 0, done.output
    assert (rows(own, "posts"), ids(zipped), files(zipped)) == ([], [], set())
    done = CliRunner().invoke(app, ["verify", str(own), "--forgotten", *words])
    assert done.exit_code == 0, done.output
    # OUT as it was before: it is kept out of the dataset.
    shutil.rmtree(zipped)
    given.fetch(tmp_path / "zips", zipped)
    assert ids(zipped) == [CODE]
    bring(zipped, own)
    assert rows(own, "posts") == []


def test_what_an_export_beside_the_zip_lacks_is_no_post(zipped: Path, server: Misbehaving) -> None:
    given.dump(zipped.parent / "zips", [[f"{server.url}/ok/2.png"]])
    given.fetch(zipped.parent / "zips", zipped)
    assert ids(zipped) == [FIRST]
    gaps = [one["gap"] for one in given.posts(zipped) if "gap" in one]
    assert [(gap["kind"], gap["count"]) for gap in gaps] == [("not-exported", 1)]
