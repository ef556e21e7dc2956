"""Posts that a later export does not hold any more: their media leave OUT all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.dataset import Dataset, tombstones
from imgbatch.dataset.post_marks import author_mark, mark
from imgbatch.errors import DatasetError, ImgbatchError
from imgbatch.fetching import kept
from imgbatch.fetching.owners import TABLE
from imgbatch.fetching.takedown import take_out
from imgbatch.fetching.traces import traces
from imgbatch.storage import open_store
from tests.fetching import given
from tests.posts.made import bring, rows
from tests.servers.misbehaving import Misbehaving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST, SECOND = (str(10**18 + number) for number in range(2))


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with Misbehaving() as server:
        yield server


def export(file: Path, posts: dict[str, list[str]], when: str = "2026-11-02") -> Path:
    """Write a dump of posts with these pictures; return its folder."""
    given.dump(file, posts.values())
    lines = [json.loads(line) for line in (file / "tweets.jsonl").read_text().splitlines()]
    for line, own in zip(lines, posts, strict=True):
        line |= {"id": own, "author_id": own[-3:], "created_at": f"{when}T10:00:00.000Z"}
        line["author"]["id"] = own[-3:]
    (file / "tweets.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in (out / "media").rglob("*") if path.is_file()}


@pytest.fixture
def shared(server: Misbehaving, tmp_path: Path) -> tuple[Path, str]:
    """OUT of a dump whose second post is gone; the address of the picture that both had."""
    both, other = (f"{server.url}/ok/{number}.png" for number in range(2))
    out = tmp_path / "out"
    given.fetch(export(tmp_path / "dump", {FIRST: [both], SECOND: [both, other]}), out)
    given.fetch(export(tmp_path / "dump", {FIRST: [both]}), out)
    return out, both


def test_what_a_former_post_has_too_stays_until_that_is_named(shared: tuple[Path, str]) -> None:
    out, both = shared
    file = given.rows(out)[both]["file"]
    first = frozenset({mark("x", FIRST)})
    assert (take_out(str(out), first).files, file in files(out)) == (0, True)
    assert traces(str(out), first).problems == []
    assert (take_out(str(out), frozenset({mark("x", SECOND)})).files, files(out)) == (2, set())


@pytest.fixture
def removed(server: Misbehaving, tmp_path: Path) -> tuple[Path, str, str]:
    """OUT of a dump whose first post is gone; the addresses of its picture and of the other's."""
    theirs, other = (f"{server.url}/ok/{number}.png" for number in range(2))
    out = tmp_path / "out"
    given.fetch(export(tmp_path / "dump", {FIRST: [theirs], SECOND: [other]}), out)
    given.fetch(export(tmp_path / "dump", {SECOND: [other]}), out)
    return out, theirs, other


@pytest.mark.parametrize("by", [mark("", FIRST), mark("x", FIRST), author_mark("x", FIRST[-3:])])
def test_the_media_of_a_post_that_the_export_dropped_leave_with_it(
    removed: tuple[Path, str, str], by: str
) -> None:
    out, theirs, other = removed
    assert set(given.rows(out)) == {theirs, other}
    left = take_out(str(out), frozenset({by}))
    assert (left.posts, left.urls, left.files, left.nobodys) == (0, 1, 1, 0)
    assert set(given.rows(out)) == {other}
    assert files(out) == {given.rows(out)[other]["file"]}
    assert FIRST not in "".join(p.read_text("latin-1") for p in out.rglob("*") if p.is_file())


def test_the_media_that_a_post_had_before_it_was_edited_leave_with_it(
    server: Misbehaving, tmp_path: Path
) -> None:
    old, new, other = (f"{server.url}/ok/{number}.png" for number in range(3))
    out = tmp_path / "out"
    given.fetch(export(tmp_path / "dump", {FIRST: [old], SECOND: [other]}), out)
    given.fetch(export(tmp_path / "dump", {FIRST: [new], SECOND: [other]}), out)
    left = take_out(str(out), frozenset({mark("x", FIRST)}))
    assert (left.posts, left.urls, left.files) == (1, 2, 2)
    assert set(given.rows(out)) == {other}
    assert len(files(out)) == 1


def test_what_a_present_post_links_to_stays_and_leaves_with_the_last_of_them(
    server: Misbehaving, tmp_path: Path
) -> None:
    both, other = (f"{server.url}/ok/{number}.png" for number in range(2))
    out, source = tmp_path / "out", tmp_path / "dump"
    given.fetch(export(source, {FIRST: [both], SECOND: [both, other]}), out)
    given.fetch(export(source, {SECOND: [both, other]}), out)
    left = take_out(str(out), frozenset({mark("x", FIRST)}))
    assert (left.urls, left.files, len(files(out))) == (0, 0, 2)
    given.fetch(export(source, {SECOND: [other]}), out)
    left = take_out(str(out), frozenset({mark("x", SECOND)}))
    assert (left.posts, left.urls, left.files, files(out)) == (1, 2, 2, set())


def test_posts_that_were_too_old_when_the_export_dropped_them_leave_by_retain(
    server: Misbehaving, tmp_path: Path
) -> None:
    theirs, other = (f"{server.url}/ok/{number}.png" for number in range(2))
    out, source = tmp_path / "out", tmp_path / "dump"
    given.fetch(export(source, {FIRST: [theirs]}, when="2020-11-02"), out)
    given.fetch(export(source, {SECOND: [other]}), out)
    left = take_out(str(out), frozenset(), before=1.7e9)
    assert (left.posts, left.urls, left.files) == (0, 1, 1)
    assert set(given.rows(out)) == {other}


def test_of_a_fetch_of_before_what_nobody_links_to_leaves_and_is_told(
    removed: tuple[Path, str, str],
) -> None:
    out, _, other = removed
    (out / TABLE).unlink()  # earlier versions kept no such record
    told = traces(str(out), frozenset({mark("x", FIRST)}))
    assert any("nobody knows" in problem for problem in told.problems)
    left = take_out(str(out), frozenset(), before=1.0)
    assert (left.urls, left.nobodys, len(files(out))) == (0, 0, 2)
    left = take_out(str(out), frozenset({mark("x", FIRST)}))
    assert (left.urls, left.files, left.nobodys) == (1, 1, 1)
    assert set(given.rows(out)) == {other}
    assert traces(str(out), frozenset({mark("x", FIRST)})).problems == []


def test_of_a_fetch_of_before_its_posts_are_remembered_by_the_first_of_now(
    server: Misbehaving, tmp_path: Path
) -> None:
    theirs, other = (f"{server.url}/ok/{number}.png" for number in range(2))
    out, source = tmp_path / "out", tmp_path / "dump"
    given.fetch(export(source, {FIRST: [theirs], SECOND: [other]}), out)
    (out / TABLE).unlink()
    given.fetch(export(source, {SECOND: [other]}), out)
    left = take_out(str(out), frozenset({mark("x", SECOND)}))
    assert (left.urls, left.nobodys, set(given.rows(out))) == (1, 0, {theirs})


def test_a_takedown_that_was_killed_is_completed_by_a_fetch_of_an_export_without_the_post(
    removed: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, theirs, other = removed
    with monkeypatch.context() as patched:
        patched.setattr(kept, "write_tables", _killed)
        with pytest.raises(KeyboardInterrupt):
            take_out(str(out), frozenset({mark("x", FIRST)}))
    assert theirs in given.rows(out)
    assert traces(str(out), frozenset({mark("x", FIRST)})).problems
    given.fetch(out.parent / "dump", out)
    assert set(given.rows(out)) == {other}
    assert len(files(out)) == 1
    assert traces(str(out), frozenset({mark("x", FIRST)})).problems == []


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_whose_a_url_was_is_kept_by_marks_that_need_their_key(
    removed: tuple[Path, str, str],
) -> None:
    out, *_ = removed
    assert pq.read_table(out / TABLE).num_rows == 2
    assert FIRST.encode() not in (out / TABLE).read_bytes()
    (out / kept.FOLDER / tombstones.KEY).write_bytes(b"k" * tombstones.KEY_BYTES)
    with pytest.raises(DatasetError, match="another key"):
        take_out(str(out), frozenset({mark("x", FIRST)}))
    (out / kept.FOLDER / tombstones.KEY).unlink()
    with pytest.raises(ImgbatchError, match="key"):
        take_out(str(out), frozenset({mark("x", FIRST)}))


def test_traces_are_found_wherever_they_are_left(removed: tuple[Path, str, str]) -> None:
    out, theirs, _ = removed
    gone, second = frozenset({mark("x", FIRST)}), frozenset({mark("x", SECOND)})
    told = traces(str(out), gone)
    assert any("never forgotten" in problem for problem in told.problems)
    assert any("1 URLs" in problem for problem in told.problems)
    assert any("1 lines" in problem for problem in traces(str(out), second).problems)
    former = {name: (out / name).read_bytes() for name in (given.rows(out)[theirs]["file"],)}
    take_out(str(out), gone)
    assert traces(str(out), gone).problems == []
    for name, data in former.items():
        (out / name).write_bytes(data)
        assert any(name in problem for problem in traces(str(out), gone).problems)
        (out / name).unlink()
    partial = out / "media" / ".imgbatch-partial-1"
    partial.write_bytes(b"half")
    assert any("half" in problem for problem in traces(str(out), gone).problems)
    partial.unlink()
    assert traces(str(out)).problems == []


def test_a_fetch_may_let_go_of_what_no_post_links_to_and_tells_of_it_else(
    removed: tuple[Path, str, str], server: Misbehaving
) -> None:
    out, theirs, other = removed
    source = out.parent / "dump"
    assert given.fetch(source, out).unlinked == 1
    found = given.fetch(source, out, removed="forget")
    assert (found.unlinked, found.deleted, set(given.rows(out))) == (0, 1, {other})
    assert len(files(out)) == 1
    # Not where it is not known: a line that is damaged may be the post.
    given.fetch(export(source, {FIRST: [theirs], SECOND: [other]}), out)
    lines = (source / "tweets.jsonl").read_text().splitlines()
    (source / "tweets.jsonl").write_text(f"{lines[0][:40]}\n{lines[1]}\n")
    found = given.fetch(source, out, removed="forget")
    assert (found.unlinked, len(files(out)), server.given["/ok/0.png"]) == (1, 2, 2)
    assert found.lost == 1


def test_a_fetch_of_a_table_that_is_cut_lets_go_of_nothing(
    server: Misbehaving, tmp_path: Path
) -> None:
    out, source = tmp_path / "out", tmp_path / "dump"
    source.mkdir()
    head = "thread_id,id,timestamp,author,image_urls,body\n"
    lines = [
        f"{own},{own},2024-03-04 05:06:07,ada,{server.url}/ok/{number}.png,what {own} said\n"
        for number, own in enumerate((FIRST, SECOND))
    ]
    (source / "twitter-x.csv").write_text(head + "".join(lines))
    given.fetch(source, out, removed="forget")
    (source / "twitter-x.csv").write_text(head + lines[0][:-3])
    found = given.fetch(source, out, removed="forget")
    assert (found.gaps, found.unlinked, len(files(out))) == (1, 1, 2)
    (source / "twitter-x.csv").write_text(head + lines[0])
    found = given.fetch(source, out, removed="forget")
    assert (found.gaps, found.deleted, len(files(out))) == (0, 1, 1)


def test_how_many_posts_are_gone_from_out_is_told(
    removed: tuple[Path, str, str], server: Misbehaving
) -> None:
    out, *_ = removed
    assert given.fetch(out.parent / "dump", out).lost == 0
    other = export(out.parent / "other", {"55": [f"{server.url}/ok/5.png"]})
    assert given.fetch(other, out).lost == 1
    words = ["fetch", str(out.parent / "dump"), str(out), "--allow-private"]
    done = CliRunner().invoke(app, words)
    assert "1 posts that OUT had are not in this dump" in done.output
    assert "no post links to" in done.output


@pytest.mark.slow
def test_a_forget_of_a_removed_post_is_proved_of_what_was_fetched_too(
    server: Misbehaving, tmp_path: Path
) -> None:
    theirs, other = (f"{server.url}/ok/{number}.png" for number in range(2))
    out, source, own = tmp_path / "out", tmp_path / "dump", tmp_path / "own"
    given.fetch(export(source, {FIRST: [theirs], SECOND: [other]}), out)
    bring(out, own)
    given.fetch(export(source, {SECOND: [other]}), out)

    def call(*words: str) -> Any:
        return CliRunner().invoke(app, [*words, "--fetched", str(out), "--json"])

    verify = ["verify", str(own), "--forgotten", "--post-id", FIRST]
    assert call(*verify).exit_code != 0
    done = call("forget", str(own), "--post-id", FIRST, "--yes")
    assert done.exit_code == 0, done.output
    (said,) = json.loads(done.output)["fetched"]
    assert (said["posts"], said["urls"], said["files"]) == (0, 1, 1)
    assert list(open_store(str(out)).former()) == []
    done = call(*verify)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["fetched"][0]["problems"] == []
    bring(out, tmp_path / "new")
    assert rows(tmp_path / "new", "posts", "post_id") == [(SECOND,)]
    assert call("verify", str(own)).exit_code != 0


@pytest.mark.slow
def test_a_run_tells_no_gap_for_what_the_fetch_wrote_beside_its_posts(
    removed: tuple[Path, str, str], tmp_path: Path
) -> None:
    out, *_ = removed
    take_out(str(out), frozenset({mark("x", FIRST)}))
    (out / "notes.json").write_text("[]")
    bring(out, tmp_path / "own")
    assert rows(tmp_path / "own", "post_gaps", "kind", "ref") == [("unread", "notes.json")]
    sources = Dataset.open(str(tmp_path / "own")).read("sources", columns=["error_class"])
    assert set(sources["error_class"].to_pylist()) == {None, "sidecar"}


def test_what_killed_fetches_left_half_written_is_deleted_by_the_next(
    removed: tuple[Path, str, str],
) -> None:
    out, *_ = removed
    partials = [out / folder / ".imgbatch-partial-1" for folder in ("", "media", "media/ab")]
    for partial in partials:
        partial.parent.mkdir(exist_ok=True)
        partial.write_bytes(b"half")
    given.fetch(out.parent / "dump", out)
    assert [partial for partial in partials if partial.exists()] == []
