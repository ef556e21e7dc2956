"""An input that no format is recognised in: what may hold posts is told, by plan and run alike."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch import planned
from imgbatch.cli import plan_lines
from imgbatch.dataset import Dataset
from imgbatch.settings import Limits
from imgbatch.summary import Request
from imgbatch.summary_lines import run_lines
from tests.corpus import Silent
from tests.posts.made import RECIPE, Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from pathlib import Path

FIRST = "1500000000000000001"


def plan(input_: Path, own: Path, **flags: Any) -> planned.Plan:
    request = Request(str(input_), str(own), RECIPE, "inline", **flags)
    return planned.plan(request, Limits(), Silent())


def archive(file: Path, data: bytes) -> None:
    """Write a tar or zip of a photograph and posts."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as held:
            held.writestr("a.jpg", b"\xff\xd8\xff")
            held.writestr("t.jsonl", data)
        return
    with tarfile.open(file, "w") as tar:
        for name, each in (("a.jpg", b"\xff\xd8\xff"), ("t.jsonl", data)):
            info = tarfile.TarInfo(name)
            info.size = len(each)
            tar.addfile(info, io.BytesIO(each))


def test_files_that_may_hold_posts_are_told_again_and_again(tmp_path: Path) -> None:
    photo(tmp_path / "in/a.jpg")
    for at in range(3):
        (tmp_path / f"in/{at}.json").write_text('{"setting": 1}')
    (tmp_path / "in/labels.csv").write_text("file,label\na.jpg,cat\n")
    (tmp_path / "in/words.txt").write_text("words")
    own, told = tmp_path / "own", {"csv": 1, "json": 3}
    said = "posts: none, as no dump is recognised; files that may hold some: 1 csv, 3 json"
    for _ in range(2):
        ahead = plan(tmp_path / "in", own)
        assert ahead.record()["unread"] == told
        assert any(line.startswith(said) for line in plan_lines.lines(ahead))
        summary = bring(tmp_path / "in", own)
        assert summary.record()["unread"] == told
        assert any(line.startswith(said) for line in run_lines(summary))
    assert Dataset.open(str(own)).runs()[-1]["unread"] == told


@pytest.mark.parametrize("flags", [{"dump": "none"}, {"limit": 2}])
def test_where_no_posts_are_looked_for_nothing_is_told(
    tmp_path: Path, flags: dict[str, Any]
) -> None:
    photo(tmp_path / "in/a.jpg")
    (tmp_path / "in/a.json").write_text("{}")
    assert "unread" not in plan(tmp_path / "in", tmp_path / "own", **flags).record()
    summary = bring(tmp_path / "in", tmp_path / "own", **flags)
    assert "unread" not in summary.record()
    assert not any(line.startswith("posts") for line in run_lines(summary))


def test_of_pictures_alone_and_of_a_dump_nothing_is_told(tmp_path: Path) -> None:
    photo(tmp_path / "in/a.jpg")
    assert "unread" not in bring(tmp_path / "in", tmp_path / "own").record()
    write_dump(tmp_path / "in/t.jsonl", [Tweet(FIRST)])
    (tmp_path / "in/other.json").write_text("{}")
    assert "unread" not in plan(tmp_path / "in", tmp_path / "own").record()
    summary = bring(tmp_path / "in", tmp_path / "own")
    assert "unread" not in summary.record()
    assert summary.posts is not None
    assert summary.posts["gaps"]["unread"] == 1


@pytest.mark.parametrize("name", ["t.tar", "t.zip"])
def test_of_an_archive_that_is_cut_plan_and_run_say_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    write_dump(tmp_path / "t.jsonl", [Tweet(str(int(FIRST) + at)) for at in range(100)])
    file = tmp_path / "in" / name
    archive(file, (tmp_path / "t.jsonl").read_bytes())
    file.write_bytes(file.read_bytes()[:-12_000])
    ahead = plan(tmp_path / "in", tmp_path / "own")
    summary = bring(tmp_path / "in", tmp_path / "own")
    if name == "t.tar":
        assert ahead.posts is not None
        assert summary.posts is not None
        assert ahead.posts.new == summary.posts["new"] > 0
        told = rows(tmp_path / "own", "post_gaps", "kind", "ref")
        assert ("archive.truncated", name) in told
    else:
        # The list of its members lay where it was cut.
        assert ahead.posts is None
        assert ahead.unread == summary.unread == {"damaged archive": 1}


def test_what_was_a_dump_and_is_of_no_format_any_more_is_told(tmp_path: Path) -> None:
    photo(tmp_path / "in/a.jpg")
    write_dump(tmp_path / "in/t.jsonl", [Tweet(FIRST)])
    bring(tmp_path / "in", tmp_path / "own")
    (tmp_path / "in/t.jsonl").write_text(json.dumps({"setting": 1}) + "\n")
    assert plan(tmp_path / "in", tmp_path / "own").unread == {"jsonl": 1}
    summary = bring(tmp_path / "in", tmp_path / "own")
    assert summary.unread == {"jsonl": 1}
    assert summary.posts is not None
    assert summary.posts["formats"] == []


def test_an_archive_in_an_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    archive(tmp_path / "inner.zip", b"{}\n")
    with zipfile.ZipFile(tmp_path / "in/outer.zip", "w") as held:
        held.write(tmp_path / "inner.zip", "inner.zip")
    told = {"archive in an archive": 1}
    assert plan(tmp_path / "in", tmp_path / "own").unread == told
    assert bring(tmp_path / "in", tmp_path / "own").unread == told
