"""What a damaged or silent file withholds: its own posts, or what left while it was broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.posts.made import Tweet, bring, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST, SECOND, THIRD, FOURTH = (f"150000000000000000{n}" for n in (1, 2, 3, 4))
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


def test_a_silent_file_keeps_its_own_posts_and_no_others(tmp_path: Path) -> None:
    folder, own = two_accounts(tmp_path)
    (folder / "b.jsonl").write_text('{"note": "of something else"}\n')
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    bring(folder, own, FORGET)
    assert ids(own) == {FIRST, THIRD, FOURTH}
    gaps = rows(own, "post_gaps", "kind", "ref", "count")
    assert [gap for gap in gaps if gap[0] == "withheld-removals"] == [
        ("withheld-removals", "b.jsonl", 2)
    ]


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
    (tmp_path / "in/a.jsonl").touch()
    folder = tmp_path / "in"
    write_dump(folder / "a.jsonl", [Tweet(FIRST), Tweet(SECOND)])
    bring(folder, tmp_path / "own", FORGET)
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    summary = bring(folder, tmp_path / "own", FORGET)
    assert summary.posts
    assert summary.posts["gaps"]["broken-file"] == 1
    assert ids(tmp_path / "own") == {FIRST}


def test_a_broken_file_that_came_keeps_what_left_then_and_nothing_that_leaves_later(
    tmp_path: Path,
) -> None:
    folder, own = two_accounts(tmp_path)
    (folder / "b.jsonl").unlink()
    (folder / "later.jsonl").write_bytes(b"")
    bring(folder, own, FORGET)
    assert ids(own) == {FIRST, SECOND, THIRD, FOURTH}
    # Read once more, it is as broken as it was.
    write_dump(folder / "a.jsonl", [Tweet(FIRST)])
    summary = bring(folder, own, FORGET)
    assert summary.posts
    assert (summary.posts["removed"], summary.posts["gaps"]["withheld-removals"]) == (1, 2)
    assert ids(own) == {FIRST, THIRD, FOURTH}
    write_dump(folder / "later.jsonl", [Tweet(FOURTH)])
    bring(folder, own, FORGET)
    assert ids(own) == {FIRST, FOURTH}


@pytest.mark.slow
def test_a_post_that_waits_for_a_broken_file_can_be_forgotten(
    tmp_path: Path, imgbatch: Callable[..., object]
) -> None:
    folder, own = two_accounts(tmp_path)
    (folder / "b.jsonl").unlink()
    (folder / "later.jsonl").write_bytes(b"")
    bring(folder, own, FORGET)
    assert sum(kind == "withheld-post" for (kind,) in rows(own, "post_gaps", "kind")) == 2
    imgbatch("forget", own, "--post-id", THIRD, "--yes")
    assert ids(own) == {FIRST, SECOND, FOURTH}
    waiting = [ref for kind, ref in rows(own, "post_gaps", "kind", "ref") if kind[0] == "w"]
    assert not any(THIRD in ref for ref in waiting)
