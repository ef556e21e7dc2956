"""While a file may hold posts that were not read, no post of its input counts as removed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.sources.dumps import Gap
from imgbatch.sources.dumps.unread import CUT, unread
from imgbatch.summary_lines import run_lines
from tests.posts.made import Tweet, bring, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST, SECOND, THIRD, FOURTH, FIFTH = (f"150000000000000000{n}" for n in range(1, 6))
FORGET = 'removed = "forget"'
GONE = {"errors": [{"title": "Not Found Error", "resource_id": "17", "value": "17"}], "__twarc": {}}
HEADER = "id,timestamp,author,body,thread_id,image_url,unix_timestamp\n"


def ids(own: Path) -> set[str]:
    return {post for (post,) in rows(own, "posts", "post_id")}


def two_accounts(tmp_path: Path, said: str = FORGET) -> tuple[Path, Path]:
    """An input of two files with two posts each, and the dataset that was made of it."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_dump(folder / "a.jsonl", [Tweet(FIRST), Tweet(SECOND)])
    write_dump(folder / "b.jsonl", [Tweet(THIRD), Tweet(FOURTH)])
    bring(folder, tmp_path / "own", said)
    return folder, tmp_path / "own"


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(json.dumps(GONE) + "\n", id="refused"),
        pytest.param('{"meta": {"result_count": 0}, "__twarc": {}}\n', id="none found"),
    ],
)
def test_a_file_that_says_itself_that_it_has_no_posts_loses_them(tmp_path: Path, said: str) -> None:
    folder, own = two_accounts(tmp_path)
    (folder / "b.jsonl").write_text(said)
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    summary = bring(folder, own, FORGET)
    assert summary.posts
    assert summary.posts["gaps"]["no-posts"] == 1
    assert ids(own) == {FIRST}


def suspects(own: Path) -> list[str]:
    return [ref for kind, ref in rows(own, "post_gaps", "kind", "ref") if kind == "suspect-file"]


def test_while_a_file_is_silent_no_post_counts_as_removed(tmp_path: Path) -> None:
    folder, own = two_accounts(tmp_path)
    for _ in range(2):
        (folder / "b.jsonl").write_text('{"note": "of something else"}\n')
        write_dump(folder / "a.jsonl", [Tweet(FIRST)])
        summary = bring(folder, own, FORGET)
        assert ids(own) == {FIRST, SECOND, THIRD, FOURTH}
        assert summary.posts
        assert summary.posts["gaps"]["withheld-removals"] == 3
        named = {"count": 1, "files": (f"{folder.as_uri()}/b.jsonl",)}
        assert summary.posts["suspects"] == named
    told = "\n".join(run_lines(summary))
    assert "1  metadata files may hold posts that were not read" in told
    assert f"{folder.as_uri()}/b.jsonl" in told
    write_dump(folder / "b.jsonl", [Tweet(THIRD)])
    bring(folder, own, FORGET)
    assert (ids(own), suspects(own)) == ({FIRST, THIRD}, [])


@pytest.mark.parametrize("said", [b"", b'{"note": "of something else"}\n'])
def test_a_file_that_is_taken_away_withholds_nothing(tmp_path: Path, said: bytes) -> None:
    folder, own = two_accounts(tmp_path)
    (folder / "b.jsonl").write_bytes(said)
    bring(folder, own, FORGET)
    assert ids(own) == {FIRST, SECOND, THIRD, FOURTH}
    (folder / "b.jsonl").unlink()
    bring(folder, own, FORGET)
    assert ids(own) == {FIRST, SECOND}


def test_a_post_of_two_files_waits_for_the_one_that_broke(tmp_path: Path) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    folder.mkdir()
    write_dump(folder / "a.jsonl", [Tweet(FIRST), Tweet(SECOND)])
    write_dump(folder / "b.jsonl", [Tweet(SECOND), Tweet(THIRD)])
    bring(folder, own, FORGET)
    (folder / "b.jsonl").write_bytes(b"")
    bring(folder, own, FORGET)  # the second is read of the first file now
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    bring(folder, own, FORGET)
    assert ids(own) == {FIRST, SECOND, THIRD}
    write_dump(folder / "b.jsonl", [Tweet(SECOND)])
    bring(folder, own, FORGET)
    assert ids(own) == {FIRST, SECOND}


def test_a_file_all_of_whose_posts_are_read_of_others_falls_silent(tmp_path: Path) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    folder.mkdir()
    write_dump(folder / "a.jsonl", [Tweet(SECOND)])
    write_dump(folder / "b.jsonl", [Tweet(SECOND), Tweet(THIRD)])
    bring(folder, own, FORGET)
    (folder / "a.jsonl").write_text('{"note": "of something else"}\n')
    bring(folder, own, FORGET)
    write_dump(folder / "b.jsonl", [Tweet(THIRD)])
    bring(folder, own, FORGET)
    assert (ids(own), suspects(own)) == ({SECOND, THIRD}, ["a.jsonl"])


@pytest.mark.parametrize("said", [b"", b'{"note": "of something else"}\n'])
def test_what_another_input_has_stays_while_its_file_is_not_read(
    tmp_path: Path, said: bytes
) -> None:
    first, own = two_accounts(tmp_path)
    second = tmp_path / "other"
    second.mkdir()
    write_dump(second / "c.jsonl", [Tweet(THIRD), Tweet(FOURTH), Tweet(FIFTH)])
    bring(second, own, FORGET, add_input=True)
    (first / "b.jsonl").write_bytes(said)
    bring(first, own, FORGET)
    bring(first, own, FORGET)  # as broken as it was
    write_dump(second / "c.jsonl", [Tweet(FIFTH)])
    bring(second, own, FORGET)
    assert ids(own) == {FIRST, SECOND, THIRD, FOURTH, FIFTH}
    write_dump(first / "b.jsonl", [Tweet(FOURTH)])
    bring(first, own, FORGET)
    bring(second, own, FORGET)
    assert ids(own) == {FIRST, SECOND, FOURTH, FIFTH}


@pytest.mark.slow
def test_posts_that_are_marked_removed_withhold_nothing(tmp_path: Path) -> None:
    folder, own = two_accounts(tmp_path, 'removed = "mark"')
    (folder / "b.jsonl").unlink()
    bring(folder, own, 'removed = "mark"')
    (folder / "b.jsonl").write_text('{"note": "of something else"}\n')
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    summary = bring(folder, own, 'removed = "mark"')
    assert summary.posts
    assert "withheld-removals" not in summary.posts["gaps"]
    assert dict(rows(own, "posts", "post_id", "state")) == {
        FIRST: "present", SECOND: "removed", THIRD: "removed", FOURTH: "removed",
    }  # fmt: skip


@pytest.mark.slow
def test_a_file_that_is_read_as_another_format_is_not_silent(tmp_path: Path) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    folder.mkdir()
    row = "{0},2024-01-01 00:00:00,u,b,{0},https://example.org/{0}.jpg,1704067200\n"
    (folder / "posts.csv").write_text(HEADER + row.format(11) + row.format(12))
    bring(folder, own, f'dump = "4cat"\n{FORGET}')
    (folder / "posts.csv").write_text(HEADER + row.format(11))
    summary = bring(folder, own, f'dump = "table"\n{FORGET}')
    assert summary.posts
    assert (summary.posts["removed"], ids(own)) == (2, {"11"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty.jsonl", b""),
        pytest.param("zeros.csv", b"\0" * 100, marks=pytest.mark.slow),
        pytest.param("cut.json", b'{"a": [1, ', marks=pytest.mark.slow),
    ],
)
def test_a_broken_file_that_was_there_withholds_nothing(
    tmp_path: Path, name: str, said: bytes
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(said)
    for number in range(25):
        (tmp_path / f"in/b{number}.json").touch()
    folder = tmp_path / "in"
    write_dump(folder / "a.jsonl", [Tweet(FIRST), Tweet(SECOND)])
    bring(folder, tmp_path / "own", FORGET)
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    summary = bring(folder, tmp_path / "own", FORGET)
    assert summary.posts
    assert summary.posts["gaps"]["broken-file"] == 26
    assert ids(tmp_path / "own") == {FIRST}


def test_a_broken_file_that_came_keeps_all_until_it_is_whole(tmp_path: Path) -> None:
    folder, own = two_accounts(tmp_path)
    (folder / "b.jsonl").unlink()
    (folder / "later.jsonl").write_bytes(b"")
    bring(folder, own, FORGET)
    # Read once more, it is as broken as it was; and under another name, too.
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    bring(folder, own, FORGET)
    (folder / "later.jsonl").rename(folder / "latest.jsonl")
    summary = bring(folder, own, FORGET)
    assert ids(own) == {FIRST, SECOND, THIRD, FOURTH}
    assert summary.posts
    assert (summary.posts["gaps"]["withheld-removals"], suspects(own)) == (3, ["latest.jsonl"])
    write_dump(folder / "latest.jsonl", [Tweet(FOURTH)])
    bring(folder, own, FORGET)
    assert ids(own) == {FIRST, FOURTH}


def test_a_file_that_was_broken_from_the_start_and_broke_otherwise_is_suspect(
    tmp_path: Path,
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    folder.mkdir()
    (folder / "cut.json").write_bytes(b'{"a": [1, ')
    write_dump(folder / "a.jsonl", [Tweet(FIRST), Tweet(SECOND)])
    bring(folder, own, FORGET)
    (folder / "cut.json").write_bytes(b'{"a": [1, 2, ')
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    bring(folder, own, FORGET)
    assert (ids(own), suspects(own)) == ({FIRST, SECOND}, ["cut.json"])


def test_a_file_that_the_recipe_reads_no_more_withholds_and_says_why(tmp_path: Path) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    folder.mkdir()
    row = "{0},2024-01-01 00:00:00,u,b,{0},https://example.org/{0}.jpg,1704067200\n"
    (folder / "posts.csv").write_text(HEADER + row.format(11))
    write_dump(folder / "a.jsonl", [Tweet(FIRST), Tweet(SECOND)])
    bring(folder, own, FORGET)
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    for _ in range(2):
        bring(folder, own, f'dump = "twarc2"\n{FORGET}')
        assert ids(own) == {FIRST, SECOND, "11"}
        gaps = rows(own, "post_gaps", "kind", "ref", "message")
        (why,) = (gap for gap in gaps if gap[0] == "suspect-file")
        assert why[1] == "posts.csv"
        assert "as another format now" in why[2]
    (folder / "posts.csv").unlink()
    bring(folder, own, f'dump = "twarc2"\n{FORGET}')
    assert ids(own) == {FIRST}


def test_a_run_counts_the_files_of_its_own_input(tmp_path: Path) -> None:
    first, own = two_accounts(tmp_path)
    for file in first.iterdir():
        file.write_text('{"note": "of something else"}\n')
    bring(first, own, FORGET)
    second = tmp_path / "other"
    second.mkdir()
    write_dump(second / "c.jsonl", [Tweet(FIFTH)])
    bring(second, own, FORGET, add_input=True)
    (second / "c.jsonl").write_bytes(b"")
    told = run_lines(bring(second, own, FORGET))
    assert any("1  metadata files may hold posts" in line for line in told)
    assert not any("more: see post_gaps" in line for line in told)


def test_a_file_that_was_broken_before_its_size_was_told_withholds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    folder.mkdir()
    (folder / "cut.json").write_bytes(b'{"a": [1, ')
    write_dump(folder / "a.jsonl", [Tweet(FIRST), Tweet(SECOND)])

    def gap(kind: str, ref: str, line: int | None, _: str) -> Gap:
        return Gap(kind, ref, line, CUT)

    with monkeypatch.context() as former:
        former.setattr(sys.modules[unread.__module__], "Gap", gap)
        bring(folder, own, FORGET)
    assert rows(own, "post_gaps", "kind", "message") == [("broken-file", CUT)]
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    bring(folder, own, FORGET)
    assert (ids(own), suspects(own)) == ({FIRST}, [])


@pytest.mark.slow
def test_of_more_broken_files_than_others_are_told_each_is_told(tmp_path: Path) -> None:
    folder, own = two_accounts(tmp_path)
    for number in range(1001):
        (folder / f"c{number:04}.json").write_text('{"k": 1}')
    (folder / "z1.jsonl").touch()
    bring(folder, own, FORGET)
    assert suspects(own) == ["z1.jsonl"]
    (folder / "z1.jsonl").unlink()
    (folder / "b.jsonl").rename(folder / "z2.jsonl")
    (folder / "z2.jsonl").write_bytes(b"")
    bring(folder, own, FORGET)
    assert (ids(own), suspects(own)) == ({FIRST, SECOND, THIRD, FOURTH}, ["z2.jsonl"])


def test_a_takedown_of_a_suspect_file_leaves_no_name_of_it(
    tmp_path: Path, imgbatch: Callable[..., object]
) -> None:
    folder, own = two_accounts(tmp_path)
    (folder / "b.jsonl").write_bytes(b"")
    bring(folder, own, FORGET)
    source = f"{folder.as_uri()}/b.jsonl"
    imgbatch("forget", own, "--source", source, "--yes")
    assert suspects(own) == []
    imgbatch("verify", own, "--forgotten", "--source", source)
