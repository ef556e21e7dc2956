"""Posts with the same id: of one platform, of two inputs, of two tables, of two rows of one."""

from __future__ import annotations

import contextlib
import gzip
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from imgbatch import planned
from imgbatch.__main__ import main
from imgbatch.dataset import Dataset, posts, tombstones
from imgbatch.dataset.joining import SOURCE_IDS, bring_sources
from imgbatch.dataset.medium_marks import is_place_marked
from imgbatch.dataset.post_columns import OTHER_INPUT
from imgbatch.dataset.post_marks import (
    author_mark,
    is_author_forgotten,
    is_forgotten,
    mark,
)
from imgbatch.dataset.posts_forgotten import older
from imgbatch.dataset.spill import Spill
from imgbatch.dataset.verify import verify
from imgbatch.platforms import marked, unmarked
from imgbatch.posts.keys import source_keys
from imgbatch.posts.privacy import pseudonym
from imgbatch.settings import Limits
from imgbatch.sources import dumps
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests.corpus import Silent, run_inline
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from imgbatch.summary import Summary
    from tests.posts.made import Done

RECIPE = '[posts]\nmedia_column = "image"\nid_column = "id"\n{0}\n[analyzers.image]\n'
HEAD = "id,author_id,text,image"
X = "1500000000000000001"


def table(file: Path, *lines: str, head: str = HEAD) -> Path:
    """Write a table, and a photograph of its own for each file that it names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([head, *lines]) + "\n")
    for number, line in enumerate(lines):
        if (name := line.rpartition(",")[2]).endswith(".jpg"):
            photo(file.parent / name, tail=f"{file}{number}".encode())
    return file


def run(table: Path, own: Path, said: str = "", **flags: bool) -> Summary:
    return run_inline(table, own, recipe=RECIPE.format(said), **flags)


def told(own: Path) -> list[tuple[str, str]]:
    """Return the id and the text of every post, in order."""
    return sorted(rows(own, "posts", "post_id", "text"))


def gaps(own: Path, kind: str) -> list[tuple[str, int | None, int]]:
    found = rows(own, "post_gaps", "kind", "ref", "line", "count")
    return [tuple(rest) for own_kind, *rest in found if own_kind == kind]


def statuses(own: Path) -> list[str]:
    return [status for (status,) in rows(own, "post_media", "status")]


def running(folder: Path, word: str, author: int) -> Path:
    lines = (f"{n},{author},{word} {n},{word}{n}.jpg" for n in (1, 2, 3))
    return table(folder / "posts.csv", *lines)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with two tables of posts 1 to 3, and the dataset `own` of both."""
    run(running(tmp_path / "a", "berlin", 7), tmp_path / "own")
    run(running(tmp_path / "b", "paris", 8), tmp_path / "own", add_input=True)
    return tmp_path


def test_posts_of_two_tables_with_the_same_running_ids_are_all_kept(two: Path) -> None:
    own = two / "own"
    assert told(own) == [(str(n), f"{word} {n}") for n in (1, 2, 3) for word in ("berlin", "paris")]
    assert statuses(own) == ["matched"] * 6
    assert not gaps(own, "unmatched-source")
    assert gaps(own, "same-id-in-other-table") == [("", None, 3)]
    platforms = {platform for (platform,) in rows(own, "posts", "platform")}
    assert len(platforms) == 2
    assert {unmarked(platform) for platform in platforms} == {"table"}
    assert verify(Dataset.open(str(own))).problems == []


def test_a_plan_of_a_second_table_takes_none_of_its_posts_for_those_of_the_first(
    tmp_path: Path,
) -> None:
    run(running(tmp_path / "a", "berlin", 7), tmp_path / "own")
    file = running(tmp_path / "b", "paris", 8)
    own = str(tmp_path / "own")
    request = Request(str(file), own, RECIPE.format(""), "inline", add_input=True)
    ahead = planned.plan(request, Limits(), Silent()).posts
    assert ahead is not None
    assert (ahead.new, ahead.changed) == (3, 0)


def test_a_table_that_is_read_again_beside_another_changes_its_own_posts(two: Path) -> None:
    own = two / "own"
    file = two / "a/posts.csv"
    file.write_text(file.read_text().replace("berlin 2", "edited"))
    summary = run(file, own).posts
    assert summary is not None
    assert (summary["posts"], summary["new"], summary["changed"]) == (6, 0, 1)
    assert [text for _, text in told(own)].count("edited") == 1
    assert ("2", "paris 2") in told(own)
    # What the other input came to is still said.
    assert len(gaps(own, "same-id-in-other-table")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("platform", [[], ["--platform", "table"]])
def test_a_takedown_by_id_reaches_the_posts_of_both_tables(
    two: Path, monkeypatch: pytest.MonkeyPatch, platform: Sequence[str]
) -> None:
    own = two / "own"
    words = ["forget", str(own), "--post-id", "2", *platform, "--yes", "--json"]
    monkeypatch.setattr(sys, "argv", ["imgbatch", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    left = [(str(n), f"{word} {n}") for n in (1, 3) for word in ("berlin", "paris")]
    assert told(own) == left
    assert len(rows(own, "post_media")) == 4
    for name in ("a", "b"):
        file = two / name / "posts.csv"
        file.write_text(file.read_text() + "4,7,more,\n")
        run(file, own)
    assert told(own) == [*left, ("4", "more"), ("4", "more")]


def test_posts_past_their_time_leave_one_table_and_not_the_other(tmp_path: Path) -> None:
    head = "id,created_at,image"
    for name, year in (("a", 1999), ("b", 2199)):
        file = table(tmp_path / name / "posts.csv", f"1,{year}-01-01,{name}.jpg", head=head)
        run(file, tmp_path / "own", add_input=name == "b")
    found, timeless = older(Dataset.open(str(tmp_path / "own")), 1.7e9)
    assert (found.here, len(found.sources), timeless) == (1, 1, 0)
    assert len(found.marks) == 1


@pytest.mark.slow
def test_a_post_of_a_platform_that_two_inputs_have_is_one_and_that_is_counted(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own"
    for name, text in (("a", "earlier"), ("b", "later")):
        (tmp_path / name).mkdir()
        tweets = [Tweet(X, text), Tweet(f"150000000000000000{'23'[name == 'b']}", text)]
        write_dump(tmp_path / name / "tweets.jsonl", tweets)
        bring(tmp_path / name, own, add_input=name == "b")
    assert [text for _, text in told(own)] == ["later", "earlier", "later"]
    assert gaps(own, "same-id-in-other-input") == [(f"x {X}", None, 1)]
    write_dump(tmp_path / "a/tweets.jsonl", [Tweet(X, "latest")])
    bring(tmp_path / "a", own)
    assert [text for _, text in told(own)] == ["latest", "earlier", "later"]
    # Of the input that has it too, and whose row it is not.
    told_of = rows(own, "post_gaps", "kind", "ref", "input")
    assert [(ref, name[-2:]) for kind, ref, name in told_of if kind == OTHER_INPUT] == [
        (f"x {X}", "/b")
    ]
    assert verify(Dataset.open(str(own))).problems == []


def test_posts_of_two_files_of_one_folder_are_all_kept(tmp_path: Path) -> None:
    table(tmp_path / "in/berlin.csv", "1,901,berlin,berlin.jpg", "2,901,alone,")
    table(tmp_path / "in/paris.csv", "1,902,paris,paris.jpg")
    run(tmp_path / "in", tmp_path / "own")
    found = rows(tmp_path / "own", "posts", "post_id", "author_id", "text", "n_media")
    assert sorted(found) == [
        ("1", "901", "berlin", 1),
        ("1", "902", "paris", 1),
        ("2", "901", "alone", 0),
    ]
    assert gaps(tmp_path / "own", "same-id-in-other-table") == [("", None, 2)]
    assert statuses(tmp_path / "own") == ["matched", "matched"]


def test_a_column_of_platforms_says_that_ids_count_everywhere(tmp_path: Path) -> None:
    head = "id,platform,text,image"
    lines = "7,x,one,a.jpg", "7,tiktok,other,b.jpg", "7,,none,c.jpg"
    table(tmp_path / "in/one.csv", *lines, head=head)
    table(tmp_path / "in/two.csv", "7,x,again,d.jpg", head=head)
    run(tmp_path / "in", tmp_path / "own")
    found = [(unmarked(p), t, n) for p, t, n in rows(tmp_path / "own", "posts", *NAMED)]
    assert sorted(found) == [("table", "none", 1), ("tiktok", "other", 1), ("x", "again", 1)]
    assert gaps(tmp_path / "own", "duplicate-posts") == [("one.csv", None, 1)]


NAMED = ("platform", "text", "n_media")


def test_rows_of_one_post_that_say_something_else_are_counted(tmp_path: Path) -> None:
    lines = ["1,7,said,a.jpg", "1,7,said,b.jpg", "2,7,first,", "2,7,second,", "2,8,second,"]
    # What a row leaves out contradicts nothing.
    run(table(tmp_path / "in/posts.csv", *lines, "3,,,", "3,7,told,"), tmp_path / "own")
    assert told(tmp_path / "own") == [("1", "said"), ("2", "second"), ("3", "told")]
    assert gaps(tmp_path / "own", "differing-rows") == [("posts.csv", 4, 2)]
    assert not gaps(tmp_path / "own", "duplicate-posts")


def test_ids_that_a_spreadsheet_rounded_are_counted_and_remove_nothing(tmp_path: Path) -> None:
    own = tmp_path / "own"
    file = table(tmp_path / "in/posts.csv", f"{X},7,one,a.jpg", "1500000000000000002,7,two,b.jpg")
    run(file, own, 'removed = "forget"')
    before = told(own)
    file.write_text(f"{HEAD}\n1.5E+18,7,one,a.jpg\n1.5E+18,1.5E+18,two,b.jpg\n9,1.5E+18,nine,\n")
    summary = run(file, own, 'removed = "forget"').posts
    assert summary is not None
    assert summary["removed"] == 0
    assert told(own) == [*before, ("9", "nine")]
    assert gaps(own, "rounded-id") == [("posts.csv", 2, 2)]
    assert gaps(own, "bad-field") == [("posts.csv", 4, 1)]


def test_a_table_with_another_name_keeps_its_posts_places(tmp_path: Path) -> None:
    own = tmp_path / "own"
    table(tmp_path / "in/week1.csv", "1,7,one,a.jpg", "2,7,two,b.jpg")
    run(tmp_path / "in", own)
    (tmp_path / "in/week1.csv").unlink()
    table(tmp_path / "in/week2.csv", "1,7,edited,a.jpg", "2,8,of another author,b.jpg")
    summary = run(tmp_path / "in", own).posts
    assert summary is not None
    assert (summary["posts"], summary["new"], summary["changed"]) == (3, 1, 1)
    assert told(own) == [("1", "edited"), ("2", "of another author"), ("2", "two")]
    assert verify(Dataset.open(str(own))).problems == []


def test_a_table_that_cannot_be_read_keeps_its_posts_from_another(tmp_path: Path) -> None:
    own = tmp_path / "own"
    head = "id,text,image"
    file = table(tmp_path / "in/a.csv", "1,one,a.jpg", "2,two,a.jpg", head=head)
    packed = file.with_name("a.csv.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    run(tmp_path / "in", own)
    packed.write_bytes(packed.read_bytes()[:12])
    table(tmp_path / "in/b.csv", "1,another,b.jpg", head=head)
    run(tmp_path / "in", own)
    assert told(own) == [("1", "another"), ("1", "one"), ("2", "two")]


def test_a_dataset_of_before_ids_counted_within_a_file_keeps_each_post_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, file = tmp_path / "own", running(tmp_path / "a", "berlin", 7)
    with monkeypatch.context() as former:
        former.setattr(dumps, "marked", lambda form, _: form)
        former.setattr(posts, "VERSION", posts.VERSION - 1)
        run(file, own)
    assert {platform for (platform,) in rows(own, "posts", "platform")} == {"table"}
    summary = run(file, own).posts
    assert summary is not None
    assert (summary["posts"], summary["new"], summary["changed"]) == (3, 0, 0)
    assert "table" not in {platform for (platform,) in rows(own, "posts", "platform")}
    assert statuses(own) == ["matched"] * 3


def test_a_file_that_is_called_as_a_post_is_that_of_its_own_table(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for name in ("a", "b"):
        table(tmp_path / name / "posts.csv", "picture1,7,one,https://example.org/media/5e8f02")
        photo(tmp_path / name / "picture1.jpg", tail=name.encode())
        run(tmp_path / name, own, add_input=name == "b")
    assert rows(own, "post_media", "status", "joined_by") == [("matched", "id")] * 2
    assert len({source for (source,) in rows(own, "post_media", "source_id")}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["keep", "mark", "forget"])
def test_a_table_that_is_cut_when_it_gets_another_name_is_not_doubled(
    tmp_path: Path, policy: str
) -> None:
    own, said = tmp_path / "own", f'removed = "{policy}"'
    lines = [f'{{"id": "{n}", "author_id": "7", "text": "t{n}", "image": ""}}\n' for n in (1, 2, 3)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/week1.jsonl").write_text("".join(lines))
    run(tmp_path / "in", own, said)
    (tmp_path / "in/week1.jsonl").unlink()
    for text in ("".join(lines)[:-10], "".join(lines)):
        (tmp_path / "in/week2.jsonl").write_text(text)
        run(tmp_path / "in", own, said)
        assert told(own) == [(str(n), f"t{n}") for n in (1, 2, 3)]
    assert len(set(rows(own, "posts", "platform"))) == 1
    assert set(rows(own, "posts", "state")) == {("present",)}


def test_a_new_row_of_a_table_is_none_of_one_that_is_gone(tmp_path: Path) -> None:
    own = tmp_path / "own"
    table(tmp_path / "in/berlin.csv", "1,7,berlin 1,a.jpg", "2,7,berlin 2,b.jpg")
    table(tmp_path / "in/paris.csv", "1,7,paris 1,c.jpg")
    run(tmp_path / "in", own)
    (tmp_path / "in/berlin.csv").unlink()
    table(tmp_path / "in/paris.csv", "1,7,paris 1,c.jpg", "2,7,paris 2,d.jpg")
    run(tmp_path / "in", own)
    assert sorted(text for _, text in told(own)) == ["berlin 1", "berlin 2", "paris 1", "paris 2"]


@pytest.mark.slow
def test_a_takedown_by_a_plain_id_holds_for_pseudonyms_under_another_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imgbatch: Callable[..., Done]
) -> None:
    own, key = tmp_path / "own", tmp_path / "key"
    key.write_text("0123456789abcdef" * 4)
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(key))
    table(tmp_path / "in/week1.csv", "1,7,one,", "2,7,two,")
    run(tmp_path / "in", own, "pseudonyms = true")
    assert imgbatch("forget", own, "--post-id", "2", "--yes").returncode == 0
    (tmp_path / "in/week1.csv").rename(tmp_path / "in/week2.csv")
    run(tmp_path / "in", own, "pseudonyms = true")
    assert rows(own, "posts", "text") == [("one",)]
    assert imgbatch("verify", own, "--forgotten", "--post-id", "2").returncode == 0


def test_pseudonyms_in_names_are_made_once_however_many_tables_there_are(tmp_path: Path) -> None:
    for name in "abc":
        table(tmp_path / f"in/{name}.csv", f"1,7,one,{name}.jpg")
    run(tmp_path / "in", tmp_path / "own")
    asked: list[Sequence[str]] = []
    dataset = Dataset.open(str(tmp_path / "own"))
    with contextlib.closing(Spill()) as spill:
        platforms = {"platform": [one for (one,) in rows(tmp_path / "own", "posts", "platform")]}
        for name in ("post", "gone_read"):
            spill.add(name, pa.table(platforms))

        def ids(_: pa.Table, platforms: Sequence[str]) -> pa.Table:
            asked.append(platforms)
            return SOURCE_IDS.empty_table()

        bring_sources(spill, dataset, source_keys({}), ids)
    assert asked == [["table"]]


def test_what_was_forgotten_of_a_table_stays_so_with_the_mark_of_its_file(tmp_path: Path) -> None:
    marks = {mark("table", "1"), author_mark("table", "7"), "medium table 2 0"}
    stones = tombstones.add(open_store(str(tmp_path)), "forgotten", marks)
    now = marked("table", "file:///a/posts.csv")
    assert [is_forgotten(stones, now, own) for own in "12"] == [True, False]
    assert [is_author_forgotten(stones, now, own) for own in "78"] == [True, False]
    assert [is_place_marked(stones, now, "2", place) for place in (0, 1)] == [True, False]


def test_pseudonyms_are_the_same_whatever_file_an_id_counts_within() -> None:
    one, other = (marked("table", f"file:///{name}/posts.csv") for name in "ab")
    assert one != other
    assert unmarked(one) == unmarked(other) == "table"
    assert unmarked("table-of-mine") == "table-of-mine"
    key = b"0123456789abcdef"
    assert pseudonym(key, "author", one, "7") == pseudonym(key, "author", "table", "7")
