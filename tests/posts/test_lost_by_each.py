"""A post that several inputs have and lose one after the other leaves with the last of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.posts.made import bring, photo, rows
from tests.posts.test_copies_of_posts import shown
from tests.posts.test_post_copies import COLUMNS, FIRST, SECOND, clean, sheet, there

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

LOST = "only-in-other-input"
FORGET = 'removed = "forget"'


def policy(name: str) -> str:
    return f'{COLUMNS}\nremoved = "{name}"'


def read(folder: Path, input_: str, *, has: bool, said: str, turn: int) -> None:
    """Read an input anew that has the post, or has it no more."""
    own = folder / "own"
    first = (FIRST, f"{input_}.jpg") if has else (SECOND, "")
    (folder / "in" / input_).mkdir(parents=True, exist_ok=True)
    sheet(folder / "in" / input_ / "p.csv", first, (f"{turn:04}{ord(input_)}", ""))
    bring(folder / "in" / input_, own, said, add_input=own.exists())


def present(own: Path) -> bool:
    return (FIRST, "present") in rows(own, "posts", "post_id", "state")


@pytest.mark.parametrize("said", ["mark", "forget"])
@pytest.mark.parametrize(
    "turns",
    [
        "b+ a+ a- b-",
        "b+ a+ b- a-",
        # Read by the one after the other lost it: it is not the other's again.
        "b+ a+ a- b+ b-",
        "a+ b+ b- a+ b- a-",
        "a+ b+ a- b+ a- b-",
        pytest.param("a+ b+ c+ c- a- b-", marks=pytest.mark.slow),
        pytest.param("a+ b+ c+ c- b+ b- a-", marks=pytest.mark.slow),
        pytest.param("a+ b+ c+ a- c- a+ b- c- a-", marks=pytest.mark.slow),
    ],
)
def test_a_post_leaves_with_the_last_input_that_had_it(
    tmp_path: Path, turns: str, said: str
) -> None:
    own = tmp_path / "own"
    has: dict[str, bool] = {}
    for at, (input_, sign) in enumerate(turns.split()):
        has[input_] = sign == "+"
        read(tmp_path, input_, has=has[input_], said=policy(said), turn=at)
        assert present(own) == any(has.values()), f"{turns} after turn {at}"
        clean(own)
    assert (said == "forget") == (FIRST not in {one for (one,) in rows(own, "posts", "post_id")})
    # That it was lost is told as long as it stays.
    assert not [ref for kind, ref in rows(own, "post_gaps", "kind", "ref") if kind == LOST]


def test_what_an_input_lost_is_told_by_post_and_no_longer_than_its_row_is_there(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    for at, (input_, sign) in enumerate(("b+", "a+", "a-")):
        read(tmp_path, input_, has=sign == "+", said=policy("forget"), turn=at)
    told = [row for row in rows(own, "post_gaps") if row["kind"] == LOST]
    assert [(row["ref"], row["input"][-4:]) for row in told] == [(f"x {FIRST}", "in/a")]
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes").returncode == 0
    assert not [ref for (ref,) in rows(own, "post_gaps", "ref") if FIRST in ref]
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0


def test_a_post_that_its_own_recipe_keeps_is_not_forgotten_by_anothers(tmp_path: Path) -> None:
    for at, (input_, sign, said) in enumerate(
        (("b", "+", "forget"), ("a", "+", "keep"), ("a", "-", "keep"), ("b", "-", "forget"))
    ):
        read(tmp_path, input_, has=sign == "+", said=policy(said), turn=at)
    assert present(tmp_path / "own")
    # Until the recipe does so no more.
    read(tmp_path, "a", has=False, said=policy("forget"), turn=4)
    assert not present(tmp_path / "own")


@pytest.mark.parametrize("cut", ["a", "b"])
def test_an_export_that_is_cut_takes_away_nothing_that_it_had(tmp_path: Path, cut: str) -> None:
    own, said = tmp_path / "own", policy("forget")
    for at, (input_, sign) in enumerate(("b+", "a+", "a-")):
        read(tmp_path, input_, has=sign == "+", said=said, turn=at)
    lines = (tmp_path / "in" / cut / "p.csv").read_bytes()
    (tmp_path / "in" / cut / "p.csv").write_bytes(b"")
    bring(tmp_path / "in" / cut, own, said)
    assert present(own)
    (tmp_path / "in" / cut / "p.csv").write_bytes(lines + b"9,x,more,\n")
    bring(tmp_path / "in" / cut, own, said)
    assert present(own)
    read(tmp_path, "b", has=False, said=said, turn=3)
    assert not present(own)
    clean(own)


@pytest.mark.parametrize("said", ["keep", "forget"])
def test_a_file_that_its_input_gave_to_another_post_is_lent_no_more(
    tmp_path: Path, imgbatch: Callable[..., Done], said: str
) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    photo(one / "a.jpg")
    photo(other / "else.jpg", "flower.jpg")
    sheet(one / "p.csv", (FIRST, "a.jpg"))
    sheet(other / "p.csv", (FIRST, "https://cdn.example/m/old.jpg"))
    bring(other, own, policy(said))
    bring(one, own, policy(said), add_input=True)
    sheet(one / "p.csv", (SECOND, "a.jpg"))
    bring(one, own, policy(said))
    photo(other / "more.jpg", "flower.jpg", b"more")
    bring(other, own, policy(said))
    media = rows(own, "post_media", "post_id", "status", "local_path")
    assert media == [(FIRST, "linked", None), (SECOND, "matched", "a.jpg")]
    assert rows(own, "post_copies") == []
    assert imgbatch("forget", own, "--post-id", SECOND, "--yes", "--json").said["sources"] == 1
    assert "a.jpg" not in there(own)
    clean(own)


def test_a_post_stays_while_an_input_has_a_part_of_it(tmp_path: Path) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    name = "zeeschuimer-export-instagram.com-20240104.ndjson"
    shown(one / name, caption={"text": "whole"}, taken_at=1704103200)
    shown(other / name, _zs_partial=True)
    bring(one, own, FORGET)
    bring(other, own, FORGET, add_input=True)
    shown(one / name, code="C2", caption={"text": "another"})
    bring(one, own, FORGET)
    photo(other / "more.jpg")
    bring(other, own, FORGET)
    assert [*rows(own, "posts", "post_id", "text")] == [("C1", "whole"), ("C2", "another")]
    shown(other / name, code="C3", caption={"text": "a third"})
    bring(other, own, FORGET)
    assert rows(own, "posts", "post_id") == [("C2",), ("C3",)]
    clean(own)
