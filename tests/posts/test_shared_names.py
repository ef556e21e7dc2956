"""Posts that name one picture alike: no copy of one of them takes it from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.posts.made import bring, photo, rows
from tests.posts.test_post_copies import COLUMNS, FIRST, SECOND, clean, sheet, there

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

NAME = "GAxYz2Qw7.jpg"


def media(own: Path) -> list[tuple[str, str, str]]:
    """Return the post, status and level of every medium, and that it has a source if joined."""
    found = rows(own, "post_media", "post_id", "status", "joined_by", "source_id")
    assert all((source is not None) == bool(level) for *_, level, source in found)
    return [(own_id, status, level) for own_id, status, level, _ in found]


SHARED = [(FIRST, "other-copy", "basename"), (SECOND, "matched", "basename")]


@pytest.mark.parametrize("said", [NAME, f"pics/{NAME}", f"./pics\\{NAME}", f"/pics/{NAME}"])
@pytest.mark.parametrize("weeks", ["w1.csv w2.csv", "w1/p.csv w2/p.csv"])
def test_a_copy_of_one_week_takes_no_picture_from_a_post_that_shares_it(
    tmp_path: Path, imgbatch: Callable[..., Done], said: str, weeks: str
) -> None:
    dump, own = tmp_path / "in", tmp_path / "own"
    first, second = weeks.split()
    photo(dump / "media" / NAME)
    sheet(dump / first, (FIRST, said), (SECOND, said))
    bring(dump, own, COLUMNS)
    assert media(own) == [(each, "matched", "basename") for each in (FIRST, SECOND)]
    sheet(dump / second, (FIRST, ""), (SECOND, said))
    bring(dump, own, COLUMNS)
    assert media(own) == SHARED
    clean(own)
    # The picture is the first post's too, by its copy, and goes with the last of the two.
    for each in (SECOND, FIRST):
        assert NAME in there(own)
        assert imgbatch("forget", own, "--post-id", each, "--yes").returncode == 0
    assert NAME not in there(own)
    clean(own)


@pytest.mark.parametrize("said", [NAME, f"pics/{NAME}", f"../pics/{NAME}"])
def test_a_copy_of_another_input_takes_no_picture_from_a_post_that_shares_it(
    tmp_path: Path, said: str
) -> None:
    one, other, own = tmp_path / "in/a", tmp_path / "in/b", tmp_path / "own"
    photo(one / "media" / NAME)
    sheet(one / "w1/p.csv", (FIRST, said))
    sheet(one / "w2/p.csv", (SECOND, said))
    bring(one, own, COLUMNS)
    sheet(other / "p.csv", (FIRST, ""))
    bring(other, own, COLUMNS, add_input=True)
    assert media(own) == SHARED
    # What the copy said is not known any more when its input is not read: only where that led.
    matched = [(each, "matched", "basename") for each in (FIRST, SECOND)]
    for turn, folder in enumerate((other, other, one, other)):
        photo(folder / "more.jpg", "flower.jpg", tail=bytes([turn]))
        bring(folder, own, COLUMNS)
        assert media(own) == (matched if folder == one else SHARED)
        clean(own)


def test_a_copy_that_stands_in_takes_no_picture_from_a_post_that_shares_it(tmp_path: Path) -> None:
    one, other, own = tmp_path / "in/a", tmp_path / "in/b", tmp_path / "own"
    photo(one / "media" / NAME)
    sheet(one / "w1.csv", (FIRST, NAME), (SECOND, NAME))
    sheet(one / "w2.csv", (FIRST, "lost.jpg"))
    bring(one, own, COLUMNS)
    matched = [(each, "matched", "basename") for each in (FIRST, SECOND)]
    assert media(own) == matched
    photo(other / "more.jpg", "flower.jpg")
    sheet(other / "p.csv", ("1600000000000000003", ""))
    bring(other, own, COLUMNS, add_input=True)
    assert media(own) == matched
    clean(own)


def test_a_name_that_a_copy_has_elsewhere_is_still_nobodys(tmp_path: Path) -> None:
    one, other, own = tmp_path / "in/a", tmp_path / "in/b", tmp_path / "own"
    photo(one / "ada" / NAME)
    sheet(one / "w1.csv", (FIRST, f"ada/{NAME}"), (SECOND, f"bob/{NAME}"))
    sheet(one / "w2.csv", (FIRST, ""), ("1600000000000000003", NAME))
    apart = [
        (FIRST, "other-copy", "metadata"),
        (SECOND, "ambiguous", ""),
        ("1600000000000000003", "ambiguous", ""),
    ]
    bring(one, own, COLUMNS)
    assert media(own) == apart
    (one / "w1.csv").unlink()
    sheet(one / "w1.csv", (FIRST, f"ada/{NAME}"))
    bring(one, own, COLUMNS)
    sheet(other / "p.csv", (FIRST, ""))
    bring(other, own, COLUMNS, add_input=True)
    kept = [(each, status) for each, status, _ in media(own) if each != SECOND]
    assert kept == [(FIRST, "other-copy"), ("1600000000000000003", "ambiguous")]
    clean(own)
