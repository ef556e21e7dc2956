"""A metadata file that gave posts and gives none now: what it held is not known to be gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.dataset.post_columns import SUSPECT
from imgbatch.dataset.post_marks import mark
from imgbatch.fetching.takedown import take_out
from tests.fetching import given
from tests.posts.made import bring, rows
from tests.servers.misbehaving import Misbehaving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORBIDDEN = '{"errors": [{"title": "Forbidden"}]}\n'
NO_RESULTS = '{"meta": {"result_count": 0}, "__twarc": {}}\n'
FORGET = 'removed = "forget"'


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with Misbehaving() as server:
        yield server


@pytest.fixture
def source(server: Misbehaving, tmp_path: Path) -> Path:
    """A dump of two files of one post each."""
    folder = given.dump(tmp_path / "dump", [[f"{server.url}/ok/{n}.png"] for n in range(2)])
    one, other = (folder / "tweets.jsonl").read_text().splitlines(keepends=True)
    (folder / "tweets.jsonl").write_text(one)
    (folder / "other.jsonl").write_text(other)
    return folder


def suspects(out: Path) -> list[str]:
    gaps = [one["gap"] for one in given.posts(out) if "gap" in one]
    return [gap["ref"] for gap in gaps if gap["kind"] == SUSPECT]


def files(out: Path) -> int:
    return sum(path.is_file() for path in (out / "media").rglob("*"))


@pytest.mark.parametrize("text", [FORBIDDEN, "{}\n", "<html>log in</html>", "", '{"data": [{"id"'])
def test_nothing_is_let_go_of_while_a_file_gives_no_posts_and_does_not_say_why(
    source: Path, tmp_path: Path, text: str
) -> None:
    out, other = tmp_path / "out", source / "other.jsonl"
    whole = other.read_text()
    assert given.fetch(source, out).silent == 0
    other.write_text(text)
    # The second time posts.jsonl has its posts no more.
    for removed in ("forget", "keep", "forget"):
        found = given.fetch(source, out, removed=removed)
        assert (found.silent, found.deleted, files(out)) == (1, 0, 2)
        assert suspects(out) == ["other.jsonl"]
    other.write_text(whole)
    found = given.fetch(source, out, removed="forget")
    assert (found.silent, found.asked, suspects(out)) == (0, 0, [])


@pytest.mark.parametrize("text", [NO_RESULTS, None])
def test_what_says_that_it_has_none_or_was_taken_away_is_believed(
    source: Path, tmp_path: Path, text: str | None
) -> None:
    out, other = tmp_path / "out", source / "other.jsonl"
    given.fetch(source, out)
    other.write_text(FORBIDDEN)
    assert given.fetch(source, out, removed="forget").silent == 1
    if text is None:
        other.unlink()
    else:
        other.write_text(text)
    found = given.fetch(source, out, removed="forget")
    assert (found.silent, found.deleted, files(out), suspects(out)) == (0, 1, 1, [])


def test_a_file_whose_posts_were_all_forgotten_is_none(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given.fetch(source, out)
    own = json.loads((source / "other.jsonl").read_text())["id"]
    before = (out / "posts.jsonl").read_bytes()
    take_out(str(out), frozenset({mark("x", own)}))
    (out / "posts.jsonl").write_bytes(before)  # as if it had been killed before it wrote that
    found = given.fetch(source, out, removed="forget")
    assert (found.silent, files(out), suspects(out)) == (0, 1, [])


def test_that_a_file_is_silent_is_told(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given.fetch(source, out)
    (source / "other.jsonl").write_text(FORBIDDEN)
    words = ["fetch", str(source), str(out), "--allow-private", "--removed", "forget"]
    said = CliRunner().invoke(app, words).output
    assert "1 metadata files gave posts and give none now" in said


@pytest.mark.slow
def test_a_dataset_of_what_was_fetched_takes_none_of_its_posts_for_removed(
    source: Path, tmp_path: Path
) -> None:
    out, own, other = tmp_path / "out", tmp_path / "own", source / "other.jsonl"
    given.fetch(source, out)
    bring(out, own, FORGET)
    other.write_text(FORBIDDEN)
    given.fetch(source, out)
    bring(out, own, FORGET)
    assert len(rows(own, "posts", "post_id")) == 2
    other.write_text(NO_RESULTS)
    given.fetch(source, out)
    bring(out, own, FORGET)
    assert len(rows(own, "posts", "post_id")) == 1
