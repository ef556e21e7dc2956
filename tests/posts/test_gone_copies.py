"""A copy of a post is gone, and its file is there still: whose it is, and what a takedown takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.posts.made import bring, photo, rows
from tests.posts.test_post_copies import COLUMNS, FIRST, SECOND, clean, sheet, there

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

FORGET = f'{COLUMNS}\nremoved = "forget"'


def media(own: Path) -> list[tuple[str, str, str]]:
    return rows(own, "post_media", "post_id", "status", "local_path")


@pytest.mark.parametrize("said", [COLUMNS, FORGET], ids=["keep", "forget"])
def test_a_file_that_an_input_has_still_leaves_with_the_post_that_it_lost(
    tmp_path: Path, imgbatch: Callable[..., Done], said: str
) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    for folder, picture in ((one, "china.jpg"), (other, "flower.jpg")):
        photo(folder / f"{folder.name}.jpg", picture)
        sheet(folder / "p.csv", (FIRST, f"{folder.name}.jpg"), (SECOND, ""))
    bring(one, own, said)
    bring(other, own, said, add_input=True)
    both = [(FIRST, "matched", "b.jpg"), (FIRST, "other-copy", "//a.jpg")]
    assert media(own) == both
    sheet(one / "p.csv", (SECOND, ""))
    bring(one, own, said)
    # Neither input says so any more; nor does it matter which of them is read then.
    for folder in (other, one, other):
        assert media(own) == both
        assert rows(own, "post_copies", "post_id") == [(SECOND,)]
        photo(folder / "more.jpg", "flower.jpg", str(len(there(own))).encode())
        bring(folder, own, said)
    if said == FORGET:
        sheet(other / "p.csv", (SECOND, ""))
        bring(other, own, said)
    else:
        done = imgbatch("forget", own, "--post-id", FIRST, "--yes")
        assert "in/a/a.jpg" in done.stdout
    assert there(own) == {"p.csv", "more.jpg"}
    assert media(own) == []
    clean(own)


def second_week(one: Path, own: Path) -> None:
    """Bring two weeks of one post with a picture each, and take the first week's table away."""
    for week, picture in (("w1", "china.jpg"), ("w2", "flower.jpg")):
        photo(one / f"{week}.jpg", picture)
        sheet(one / f"{week}.csv", (FIRST, f"{week}.jpg"))
    bring(one, own, COLUMNS)
    (one / "w1.csv").unlink()


def test_a_weeks_file_leaves_with_its_post_when_the_week_is_gone(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own, one = tmp_path / "own", tmp_path / "in"
    second_week(one, own)
    for name in ("more.jpg", "another.jpg"):
        bring(one, own, COLUMNS)
        assert media(own) == [(FIRST, "matched", "w2.jpg"), (FIRST, "other-copy", "//w1.jpg")]
        photo(one / name, "flower.jpg", name.encode())
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json").said["sources"] == 2
    assert there(own) == {"w2.csv", "more.jpg"}
    clean(own)


def test_a_weeks_file_is_another_posts_that_names_it_now(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own, one = tmp_path / "own", tmp_path / "in"
    second_week(one, own)
    bring(one, own, COLUMNS)
    # By its address alone: no file that is another's is taken so.
    sheet(one / "w3.csv", (SECOND, "https://cdn.example/m/w1.jpg"))
    bring(one, own, COLUMNS)
    assert rows(own, "post_media", "post_id", "status", "joined_by") == [
        (FIRST, "matched", "metadata"),
        (SECOND, "matched", "basename"),
    ]
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json").said["sources"] == 1
    assert "w1.jpg" in there(own)
    clean(own)


def test_a_file_that_stood_in_is_another_posts_when_its_copy_is_gone(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    link = "https://cdn.example/m/old.jpg"
    photo(one / "else.jpg", "flower.jpg")
    photo(other / "b.jpg")
    sheet(one / "p.csv", (FIRST, link))
    sheet(other / "p.csv", (FIRST, "b.jpg"))
    bring(other, own, COLUMNS)
    bring(one, own, COLUMNS, add_input=True)
    stands_in = [(FIRST, "matched", "//b.jpg")]
    assert media(own) == stands_in
    # Nobody else has the file: it stays what it is, whichever input is read then.
    sheet(other / "p.csv", (SECOND, ""))
    bring(other, own, COLUMNS)
    for folder in (one, other):
        assert media(own) == stands_in
        photo(folder / "more.jpg", "flower.jpg", folder.name.encode())
        bring(folder, own, COLUMNS)
    assert media(own) == stands_in
    assert rows(own, "post_copies") == []
    sheet(other / "p.csv", (SECOND, "b.jpg"))
    bring(other, own, COLUMNS)
    # What the medium was, its own input says when it is read again.
    assert media(own) == [(FIRST, "missing", None), (SECOND, "matched", "b.jpg")]
    photo(one / "again.jpg", "flower.jpg", b"again")
    bring(one, own, COLUMNS)
    assert media(own) == [(FIRST, "linked", None), (SECOND, "matched", "b.jpg")]
    clean(own)
    assert imgbatch("forget", own, "--post-id", SECOND, "--yes", "--json").said["sources"] == 1
    assert "b.jpg" not in there(own)
    clean(own)
