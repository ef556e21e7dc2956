"""Posts of datasets from before ids counted within a file: each has the mark of its own file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.dataset import Dataset, posts, tombstones
from imgbatch.dataset.post_marks import is_forgotten, mark
from imgbatch.dataset.verify import verify
from imgbatch.platforms import marked
from imgbatch.sources import dumps
from tests.posts.made import bring, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Before = Callable[[Path, str], None]

TABLE = 'dump = "table"\nid_column = "id"\nmedia_column = "image"\nremoved = "{0}"'
POLICIES = ("keep", "mark", "forget")
LINES = [f'{{"id": "{n}", "author_id": "7", "text": "t{n}", "image": ""}}\n' for n in (1, 2, 3)]


def write(file: Path, *lines: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(["id,author_id,text,image", *lines]) + "\n")


def again(folder: Path, policy: str) -> dict[str, Any]:
    summary = bring(folder / "in", folder / "own", TABLE.format(policy))
    assert summary.posts is not None
    assert verify(Dataset.open(str(folder / "own"))).problems == []
    return summary.posts


def told(folder: Path) -> list[tuple[str, str, str]]:
    return sorted(rows(folder / "own", "posts", "post_id", "text", "state"))


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Before:
    """Brings `in` as versions did by which the posts of all tables were of one platform."""

    def run(folder: Path, policy: str) -> None:
        with monkeypatch.context() as former:
            former.setattr(dumps, "marked", lambda form, _: form)
            former.setattr(posts, "VERSION", 1)
            bring(folder / "in", folder / "own", TABLE.format(policy))
        assert {one for (one,) in rows(folder / "own", "posts", "platform")} == {"table"}

    return run


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_an_export_that_is_cut_at_first_loses_and_doubles_nothing(
    tmp_path: Path, before: Before, policy: str
) -> None:
    file = tmp_path / "in/posts.jsonl"
    file.parent.mkdir()
    file.write_text("".join(LINES))
    before(tmp_path, policy)
    whole = [(str(n), f"t{n}", "present") for n in (1, 2, 3)]
    file.write_text("".join(LINES)[:-20])
    again(tmp_path, policy)
    assert told(tmp_path) == whole
    file.write_text("".join(LINES))
    counts = again(tmp_path, policy)
    assert told(tmp_path) == whole
    assert (counts["new"], counts["removed"], counts["absent"]) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_a_post_that_another_table_lacks_stays_in_its_own(
    tmp_path: Path, before: Before, policy: str
) -> None:
    write(tmp_path / "in/a.csv", "1,7,a1,", "2,7,a2,")
    write(tmp_path / "in/b.csv", "1,8,b1,", "2,8,b2,")
    before(tmp_path, policy)
    assert [text for _, text, _ in told(tmp_path)] == ["b1", "b2"]
    write(tmp_path / "in/b.csv", "1,8,b1,")
    again(tmp_path, policy)
    there = {text: state for _, text, state in told(tmp_path)}
    left = {"keep": {"b2": "present"}, "mark": {"b2": "removed"}, "forget": {}}[policy]
    assert there == {"a1": "present", "a2": "present", "b1": "present"} | left
    # And a stone of one table's post is none of the other's.
    write(tmp_path / "in/a.csv", "1,7,a1,", "2,7,a2,", "3,7,a3,")
    again(tmp_path, policy)
    assert {text: state for _, text, state in told(tmp_path)} == there | {"a3": "present"}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_post_whose_author_is_read_otherwise_now_is_the_same_post(
    tmp_path: Path, before: Before, policy: str
) -> None:
    write(tmp_path / "in/a.csv", "1,7,one,", "2,8,two,")
    before(tmp_path, policy)
    write(tmp_path / "in/a.csv", "1,7,one,", "2,1.5E+18,two,")
    counts = again(tmp_path, policy)
    assert told(tmp_path) == [("1", "one", "present"), ("2", "two", "present")]
    assert (counts["new"], counts["removed"], counts["absent"]) == (0, 0, 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_table_that_has_another_name_by_now_keeps_its_posts(
    tmp_path: Path, before: Before, policy: str
) -> None:
    write(tmp_path / "in/week1.csv", "1,7,one,", "2,7,two,")
    before(tmp_path, policy)
    (tmp_path / "in/week1.csv").rename(tmp_path / "in/week2.csv")
    counts = again(tmp_path, policy)
    assert told(tmp_path) == [("1", "one", "present"), ("2", "two", "present")]
    assert (counts["new"], counts["removed"]) == (0, 0)


@pytest.mark.slow
def test_a_post_that_leaves_takes_the_stone_of_its_own_file(tmp_path: Path, before: Before) -> None:
    write(tmp_path / "in/a.csv", "1,7,one,", "2,7,two,")
    before(tmp_path, "forget")
    write(tmp_path / "in/a.csv", "1,7,one,")
    assert again(tmp_path, "forget")["removed"] == 1
    assert told(tmp_path) == [("1", "one", "present")]
    stones = tombstones.read(Dataset.open(str(tmp_path / "own")).store)
    assert mark("table", "2") not in stones
    assert is_forgotten(stones, marked("table", f"file://{tmp_path}/in/a.csv"), "2")
    # A table of another name has a living post 2.
    write(tmp_path / "in/b.csv", "2,9,of b,")
    again(tmp_path, "forget")
    assert told(tmp_path) == [("1", "one", "present"), ("2", "of b", "present")]
    # What is read of the first stays out.
    write(tmp_path / "in/a.csv", "1,7,one,", "2,7,two,")
    again(tmp_path, "forget")
    assert told(tmp_path) == [("1", "one", "present"), ("2", "of b", "present")]


@pytest.mark.slow
def test_posts_that_lie_there_with_and_without_a_mark_become_one(
    tmp_path: Path, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in/a.csv", "1,7,one,", "2,7,two,")
    before(tmp_path, "keep")
    with monkeypatch.context() as between:
        # As where a version that had marks did not know whose the rows without one are.
        between.setattr("imgbatch.dataset.former._mark", _leave)
        again(tmp_path, "keep")
    assert len(told(tmp_path)) == 4
    write(tmp_path / "in/a.csv", "1,7,edited,")
    assert again(tmp_path, "keep")["changed"] == 1
    assert told(tmp_path) == [("1", "edited", "present"), ("2", "two", "present")]


def _leave(spill: Any, _: Any) -> None:
    spill.run(
        "CREATE TABLE remarked (seq BIGINT, stored VARCHAR, stored_id VARCHAR, "
        "platform VARCHAR, post_id VARCHAR)"
    )


@pytest.mark.slow
def test_a_column_of_platforms_may_say_the_name_of_a_format_and_no_stone_is_of_it(
    tmp_path: Path,
) -> None:
    head, folder = "id,platform,text,image\n", tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text(f"{head}1,webdataset,one,\n2,webdataset,two,\n")
    again(tmp_path, "forget")
    (folder / "a.csv").write_text(f"{head}1,webdataset,one,\n")
    counts = again(tmp_path, "forget")
    assert told(tmp_path) == [("1", "one", "present"), ("2", "two", "present")]
    assert (counts["removed"], counts["absent"]) == (0, 1)
    assert counts["gaps"]["withheld-removals"] == 1
