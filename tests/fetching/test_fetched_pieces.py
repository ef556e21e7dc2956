"""Posts whose format tells of them in several places: OUT has all of their media."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch import fetching
from imgbatch.fetching import FetchSettings, Wish
from imgbatch.sources.dumps.posts import Plain
from tests.fetching import given
from tests.posts.made import photo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TWEET = 1600000000000000001


def carousel(folder: Path, names: tuple[str, ...]) -> None:
    """Write a post of several files as gallery-dl has it: one metadata file for each of them."""
    for number, name in enumerate(names, 1):
        photo(folder / name, tail=name.encode())
        item = {"category": "twitter", "subcategory": "timeline", "tweet_id": TWEET}
        item |= {"num": number, "content": "said", "date": "2023-05-06 09:08:07"}
        (folder / f"{name}.json").write_text(json.dumps(item))


def table(folder: Path, names: tuple[str, ...]) -> None:
    """Write a post of several files as a table has it: one row for each of them."""
    for name in names:
        photo(folder / name, tail=name.encode())
    rows = [f"1,x,u,said,{name}" for name in names]
    (folder / "posts.csv").write_text("\n".join(["id,platform,author,text,image", *rows, ""]))


def media(source: Path, out: Path, *, is_table: bool) -> list[dict[str, Any]]:
    """Fetch a dump of one post; return its media in OUT."""
    settings = FetchSettings(**given.QUICK)
    wish = Wish(str(source), str(out), settings)
    if is_table:
        wish = replace(wish, dump="table", columns=Plain("image", "id"))
    fetching.fetch(wish, backend=given.only_here())
    (post,) = [line for line in given.posts(out) if "gap" not in line]
    found: list[dict[str, Any]] = post["media"]
    return found


@pytest.mark.parametrize("write", [carousel, table])
def test_files_of_one_post_that_lie_in_the_dump_are_a_medium_each(
    tmp_path: Path, write: Callable[[Path, tuple[str, ...]], None]
) -> None:
    write(tmp_path / "in", ("a.jpg", "b.jpg", "c.jpg"))
    found = media(tmp_path / "in", tmp_path / "out", is_table=write is table)
    told = [(medium["index"], medium["status"], medium["path"]) for medium in found]
    assert told == [(0, "in-dump", None), (1, "in-dump", None), (2, "in-dump", None)]


def test_a_file_that_two_rows_name_is_one_medium(tmp_path: Path) -> None:
    table(tmp_path / "in", ("a.jpg", "b.jpg", "a.jpg"))
    found = media(tmp_path / "in", tmp_path / "out", is_table=True)
    assert [medium["index"] for medium in found] == [0, 1]
