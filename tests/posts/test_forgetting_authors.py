"""A platform's notices of deleted authors meet datasets that call the platform otherwise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset, tombstones
from imgbatch.dataset.post_marks import is_forgotten
from imgbatch.platforms import unmarked
from tests.posts.made import bring, photo, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

TABLE = 'dump = "table"\nmedia_column = "image"\nid_column = "id"'


def table(folder: Path, platform: str | None, *, rows: str = "") -> Path:
    """Bring two posts of author 901 and one of 902; return the dataset."""
    own = folder / "own"
    photo(folder / "in/a.jpg")
    photo(folder / "in/b.jpg", "china.jpg")
    head = "id,user_id,image" + (",platform" if platform else "")
    said = [("11111111", "901", "a.jpg"), ("22222222", "901", ""), ("33333333", "902", "b.jpg")]
    lines = [",".join([*one, *([platform] if platform else [])]) for one in said]
    (folder / "in/posts.csv").write_text("\n".join([head, *lines]) + f"\n{rows}")
    bring(folder / "in", own, TABLE)
    return own


@pytest.fixture
def notices(tmp_path: Path) -> Path:
    file = tmp_path / "notices.jsonl"
    file.write_text("".join(json.dumps({"user_delete": {"id": one}}) + "\n" for one in (901, 5)))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["twitter", "x", "Twitter"])
def test_authors_of_x_are_found_where_it_is_called_twitter(
    platform: str, tmp_path: Path, notices: Path, imgbatch: Callable[..., Done]
) -> None:
    own = table(tmp_path, platform)
    done = imgbatch("forget", own, "--deleted-posts", notices, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert (done.said["posts"], done.said["sources"]) == (2, 1)
    assert (done.said["authors"], done.said["authors_here"]) == (2, 1)
    assert rows(own, "posts", "post_id") == [("33333333",)]
    looked = imgbatch("verify", own, "--forgotten", "--deleted-posts", notices)
    assert looked.returncode == 0, looked.stdout
    assert "given authors: 0 with posts here, 2 with none" in looked.stdout
    # A later table has them still, and one more: none comes.
    table(tmp_path, platform, rows=f"44444444,901,,{platform}\n55555555,903,,{platform}\n")
    assert {one for (one,) in rows(own, "posts", "post_id")} == {"33333333", "55555555"}


@pytest.mark.slow
def test_a_post_that_stands_under_the_other_name_is_a_trace(
    tmp_path: Path, notices: Path, imgbatch: Callable[..., Done]
) -> None:
    own = table(tmp_path, "twitter")
    looked = ("verify", own, "--forgotten", "--deleted-posts", notices)
    kept = {path: path.read_bytes() for path in (own / "posts").glob("*.parquet")}
    assert imgbatch("forget", own, "--deleted-posts", notices, "--yes").returncode == 0
    for path, data in kept.items():
        path.write_bytes(data)
    assert "names a forgotten source or post in 2 places" in imgbatch(*looked).stdout


def test_one_post_is_named_by_either_name_of_its_platform(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = table(tmp_path, "twitter")
    words = ["forget", own, "--post-id", "11111111", "--platform", "x", "--yes"]
    assert imgbatch(*words).returncode == 0
    assert rows(own, "posts", "post_id") == [("22222222",), ("33333333",)]
    stones = tombstones.read(Dataset.open(str(own)).store)
    assert is_forgotten(stones, "twitter", "11111111")
    # As former versions of imgbatch made them.
    old = tombstones.Tombstones(hashes=frozenset({stones.hash("post twitter 7")}), key=stones.key)
    assert is_forgotten(old, "twitter", "7")


@pytest.mark.slow
def test_posts_of_no_known_platform_stay_and_nobody_is_told_that_none_is_left(
    tmp_path: Path, notices: Path, imgbatch: Callable[..., Done]
) -> None:
    own = table(tmp_path, None)
    assert {unmarked(platform) for (platform,) in rows(own, "posts", "platform")} == {"table"}
    done = imgbatch("forget", own, "--deleted-posts", notices, "--yes")
    assert "given authors: 0 with posts here, 2 with none" in done.stdout
    assert "WARNING: 2 posts have an author by a given id" in done.stdout
    looked = ("verify", own, "--forgotten", "--deleted-posts", notices)
    left = imgbatch(*looked)
    assert (left.returncode, "none is left" in left.stdout) == (14, False)
    # Whoever knows that they are others' says so; whoever knows that they are meant does too.
    assert imgbatch(*looked, "--platform", "x").returncode == 0
    words = ("forget", own, "--deleted-posts", notices, "--platform", "table", "--yes")
    assert imgbatch(*words).returncode == 0
    assert rows(own, "posts", "post_id") == [("33333333",)]
    assert imgbatch(*looked, "--platform", "table").returncode == 0


@pytest.mark.slow
def test_where_no_post_is_of_the_platform_those_of_none_are_told(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = table(tmp_path, None)
    notices = tmp_path / "notices.jsonl"
    notices.write_text('{"user_delete": {"id": "5"}}')
    said = "(3 of 'table') were not looked at for these authors"
    done = imgbatch("forget", own, "--deleted-posts", notices, "--yes")
    assert said in done.stdout
    looked = imgbatch("verify", own, "--forgotten", "--deleted-posts", notices)
    assert said in looked.stdout
