"""Rows for the disk, as posts and gaps come."""

from __future__ import annotations

import pytest

from imgbatch.posts.rows import CHARACTERS, Batches
from imgbatch.sources.dumps import Counted, Media, Post
from imgbatch.sources.dumps.posts import FURTHER, LONGEST, MOST

LONG = "x" * 2**20


@pytest.mark.parametrize("field", ["text", "author_name", "url"])
def test_long_words_of_any_field_come_few_at_a_time(field: str) -> None:
    posts = [("table", Post(str(n), "table", "a.csv:1")) for n in range(40)]
    for _, post in posts:
        setattr(post, field, LONG)
    sizes = [rows[0].nbytes for rows in Batches("file:///d").of(posts)]
    assert len(sizes) == 6
    assert max(sizes) < 1.2 * CHARACTERS


def test_long_paths_of_media_come_few_at_a_time() -> None:
    media = tuple(Media(n, "image", path=LONG) for n in range(10))
    posts = [("table", Post(str(n), "table", "a.csv:1", media=media)) for n in range(4)]
    assert len(list(Batches("file:///d").of(posts))) == 5


def test_what_a_dump_says_itself_is_counted_in_few_words() -> None:
    counted = Counted()
    for number in range(2 * MOST):
        counted.note("unread", f"{number} {LONG[:1000]}", "a.json", number)
    gaps = list(counted.gaps())
    assert len(gaps) == MOST + 1
    assert max(len(gap.message) for gap in gaps) == LONGEST
    assert (gaps[-1].message, gaps[-1].count) == (FURTHER, MOST)
