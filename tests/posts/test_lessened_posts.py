"""A recipe that keeps less of posts than before: the run says where the rest stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from imgbatch.summary_lines import run_lines
from tests.posts.made import Tweet, bring, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.summary import Summary
    from tests.posts.made import Done

FIRST, SECOND = "1500000000000000001", "1500000000000000002"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A dump `in`, and its dataset `own`, which has texts and names."""
    (tmp_path / "in").mkdir()
    write_dump(tmp_path / "in/tweets.jsonl", [Tweet(FIRST, "said so"), Tweet(SECOND, "said so")])
    summary = bring(tmp_path / "in", tmp_path / "own")
    assert summary.lessened == []
    return tmp_path


def said(summary: Summary) -> list[str]:
    lines = run_lines(summary)
    assert any("forget DATASET --former" in line for line in lines) == bool(summary.lessened)
    return [line for line in lines if "keeps less" in line]


def with_texts(own: Path) -> list[Path]:
    """Return the files of posts, committed or not, that hold what one says."""
    return [
        path
        for path in (own / "posts").glob("*.parquet")
        if "said so" in pq.read_table(path)["text"].to_pylist()
    ]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ("text = false", "posts, post_media"),
        ("names = false", "posts"),
        ("text = false\nnames = false", "posts, post_media"),
    ],
)
def test_a_run_that_keeps_less_of_posts_says_so_once(place: Path, now: str, told: str) -> None:
    less = bring(place / "in", place / "own", now)
    # Nothing was computed: it is said all the same.
    assert less.shards == 0
    assert said(less) == [f"{told}: the recipe keeps less than a former one did"]
    assert less.record()["lessened"] == told.split(", ")
    write_dump(place / "in/tweets.jsonl", [Tweet(FIRST), Tweet("1500000000000000003")])
    again = bring(place / "in", place / "own", now)
    assert (again.posts is not None, said(again)) == (True, [])


def test_it_is_said_where_pictures_are_computed_as_well(place: Path) -> None:
    (place / "in/more.jsonl").write_bytes((place / "in/tweets.jsonl").read_bytes())
    less = bring(place / "in", place / "own", "text = false")
    assert less.shards > 0
    assert said(less) == ["posts, post_media: the recipe keeps less than a former one did"]


def test_posts_that_are_read_no_more_are_kept_with_less_too(place: Path) -> None:
    write_dump(place / "in/tweets.jsonl", [Tweet(FIRST, "said so")])
    bring(place / "in", place / "own", "text = false")
    assert rows(place / "own", "posts", "text", "author_name") == [(None, "u7"), (None, "u7")]
    bring(place / "in", place / "own", "names = false")
    assert rows(place / "own", "posts", "text", "author_name") == [("said so", None), (None, None)]


def test_so_are_names_that_stand_for_ids(tmp_path: Path) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    folder.mkdir()
    header = "id,timestamp,author,body,thread_id,image_url,unix_timestamp\n"
    row = "{0},2024-01-01 00:00:00,ada,b,{0},https://example.org/{0}.jpg,1704067200\n"
    (folder / "a.csv").write_text(header + row.format(11) + row.format(12))
    (folder / "b.csv").write_text(header + row.format(11))
    bring(folder, own, 'dump = "4cat"')
    assert rows(own, "posts", "author_id") == [("ada",), ("ada",)]
    (folder / "a.csv").write_text(header + row.format(11))
    bring(folder, own, 'dump = "4cat"\nnames = false')
    assert rows(own, "posts", "author_id", "author_name") == [(None, None), (None, None)]
    assert rows(own, "post_copies", "author_id") == [(None,)]


def test_a_run_that_keeps_more_of_posts_or_as_much_says_nothing(place: Path) -> None:
    same = bring(place / "in", place / "own", 'removed = "mark"')
    assert (same.posts is not None, said(same)) == (True, [])
    bring(place / "in", place / "own", "text = false")
    more = bring(place / "in", place / "own", "names = true")
    assert (more.posts is not None, said(more)) == (True, [])


def test_what_is_named_takes_out_what_posts_said(
    place: Path, imgbatch: Callable[..., Done]
) -> None:
    bring(place / "in", place / "own", "text = false")
    assert rows(place / "own", "posts", "text") == [(None,), (None,)]
    assert with_texts(place / "own")
    assert imgbatch("forget", place / "own", "--former", "--yes").returncode == 0
    assert with_texts(place / "own") == []


def test_another_inputs_posts_are_not_lessened_by_it(place: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write_dump(tmp_path / "other/tweets.jsonl", [Tweet("1500000000000000009")])
    new = bring(tmp_path / "other", place / "own", "text = false", add_input=True)
    assert (new.posts is not None, said(new)) == (True, [])
