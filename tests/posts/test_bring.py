"""Posts of a dump come into the dataset, and a later export changes its own share."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from imgbatch import planned
from imgbatch.dataset import Dataset, post_parts, posts
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.delta import Table
from imgbatch.dataset.export import export
from imgbatch.dataset.repair import mend
from imgbatch.dataset.verify import verify
from imgbatch.errors import DumpError, FencedError, SettingsError
from imgbatch.posts import bring as bring_posts
from imgbatch.posts import find
from imgbatch.report import write_report
from imgbatch.settings import Limits, PostSettings
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests.corpus import Silent, run_inline
from tests.posts.made import RECIPE, Tweet, bring, parts, photo, rows, write_dump

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND, THIRD = "1500000000000000001", "1500000000000000002", "1500000000000000003"


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dump `in` and the dataset `own` that was made of it."""
    folder = tmp_path_factory.mktemp("posts")
    photo(folder / "in/media/FfAAbbCCdd.jpg")
    photo(folder / "in/media/FfSecond22.jpg", "china.jpg")
    photo(folder / "in/media/stray.jpg", "flower.jpg")
    write_dump(
        folder / "in/tweets.jsonl",
        [
            Tweet(FIRST, "one \u00e9", ["FfAAbbCCdd?format=jpg&name=orig", "FfSecond22.jpg"]),
            Tweet(SECOND, "two", ["FfAAbbCCdd.jpg", "FfGone3333.jpg"], author="8"),
            Tweet(THIRD, "three", when="1965-03-04T05:06:07.000Z"),
        ],
    )
    bring(folder / "in", folder / "own")
    return folder


@pytest.fixture
def own(brought: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(brought / "own", tmp_path / "own")
    # Addresses are of the first folder: it is the input of both.
    return tmp_path / "own"


@pytest.fixture
def dump(brought: Path) -> Path:
    """Its input; what a test changes is put back."""
    kept = brought / "kept"
    if kept.exists():
        shutil.rmtree(brought / "in")
        shutil.copytree(kept, brought / "in")
    else:
        shutil.copytree(brought / "in", kept)
    return brought / "in"


def test_each_post_has_a_row_and_each_medium_its_source_in_the_posts_order(brought: Path) -> None:
    told = rows(brought / "own", "posts", "post_id", "text", "author_name", "n_media", "state")
    assert told == [
        (FIRST, "one \u00e9", "u7", 2, "present"),
        (SECOND, "two", "u8", 2, "present"),
        (THIRD, "three", "u7", 0, "present"),
    ]
    times = [when.isoformat() for (when,) in rows(brought / "own", "posts", "created_at")]
    assert times[0] == "2024-03-04T05:06:07+00:00"
    assert times[2] == "1965-03-04T05:06:07+00:00"
    sources = Dataset.open(str(brought / "own")).read("sources").to_pylist()
    named = {row["address"].rpartition("/")[2]: row["source_id"] for row in sources}
    first, second = named["FfAAbbCCdd.jpg"], named["FfSecond22.jpg"]
    media = rows(
        brought / "own", "post_media", "post_id", "media_idx", "status", "joined_by", "source_id"
    )
    assert media == [
        (FIRST, 0, "matched", "basename", first),
        (FIRST, 1, "matched", "basename", second),
        (SECOND, 0, "matched", "basename", first),  # one file of two posts
        (SECOND, 1, "linked", "", None),
    ]


def test_what_is_unmatched_is_listed_on_both_sides(brought: Path) -> None:
    gaps = rows(brought / "own", "post_gaps", "kind", "ref", "message")
    assert [(kind, ref.rpartition("/")[2]) for kind, ref, _ in gaps] == [
        ("unmatched-medium", f"x {SECOND} 1"),
        ("unmatched-source", "stray.jpg"),
    ]
    found = verify(Dataset.open(str(brought / "own")))
    assert found.problems == []
    assert (found.rows["posts"], found.rows["post_media"], found.rows["post_gaps"]) == (3, 4, 2)


def test_a_run_again_reads_and_writes_nothing(own: Path, dump: Path) -> None:
    before = Dataset.open(str(own)).table("posts").version
    summary = bring(dump, own)
    assert summary.posts is None
    assert "posts" not in summary.record()
    assert Dataset.open(str(own)).table("posts").version == before


def test_a_touched_dump_is_read_and_no_part_is_written(own: Path, dump: Path) -> None:
    former = parts(own)
    (dump / "tweets.jsonl").touch()
    summary = bring(dump, own)
    assert summary.posts is not None
    assert (summary.posts["new"], summary.posts["changed"], summary.posts["removed"]) == (0, 0, 0)
    assert parts(own) == former
    assert bring(dump, own).posts is None


@pytest.mark.slow
def test_plan_says_what_a_run_does_then(own: Path, dump: Path) -> None:
    def ahead() -> planned.Plan:
        return planned.plan(Request(str(dump), str(own), RECIPE, ""), Limits(), Silent())

    assert ahead().posts is None
    assert ahead().nothing
    write_dump(dump / "tweets.jsonl", [Tweet(FIRST, "edited"), Tweet("1500000000000000009")])
    found = ahead()
    assert found.posts is not None
    assert (found.posts.new, found.posts.changed, found.posts.absent) == (1, 1, 2)
    assert found.record()["posts"]["formats"] == ("twarc2",)
    summary = bring(dump, own)
    assert summary.posts is not None
    assert (summary.posts["new"], summary.posts["changed"], summary.posts["absent"]) == (1, 1, 2)
    assert ahead().posts is None


def test_an_edited_post_is_found_in_the_former_version_as_it_was(own: Path, dump: Path) -> None:
    table = Dataset.open(str(own)).table("posts")
    write_dump(dump / "tweets.jsonl", [Tweet(FIRST, "edited"), Tweet(SECOND), Tweet(THIRD)])
    bring(dump, own)
    assert rows(own, "posts", "text")[0] == ("edited",)
    then = table.as_of(table.version).dataset().to_table().sort_by("post_id")
    assert then["text"].to_pylist()[0] == "one \u00e9"


@pytest.mark.slow
def test_an_edit_costs_the_part_that_it_lies_in(tmp_path: Path, monkeypatch: object) -> None:
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setattr(posts, "PART_ROWS", 10)
    tweets = [Tweet(str(10**18 + at), media=[f"FfMedium{at:04}.jpg"]) for at in range(100)]
    (tmp_path / "in").mkdir()
    write_dump(tmp_path / "in/tweets.jsonl", tweets)
    bring(tmp_path / "in", tmp_path / "own")
    former = parts(tmp_path / "own")
    assert len(former["posts"]) == 16
    with monkeypatch.context() as patched:
        patched.setattr(post_parts, "AT_ONCE", 50)
        bring(tmp_path / "in", tmp_path / "sixteenths")
    assert parts(tmp_path / "sixteenths") == former
    tweets[17].text = "edited"
    write_dump(tmp_path / "in/tweets.jsonl", tweets)
    bring(tmp_path / "in", tmp_path / "own")
    now = parts(tmp_path / "own")
    assert len(now["posts"] - former["posts"]) == 1
    assert now["post_media"] == former["post_media"]
    assert now["post_gaps"] == former["post_gaps"]
    assert verify(Dataset.open(str(tmp_path / "own"))).problems == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("removed", "left"),
    [
        ("keep", [(FIRST, "present"), (SECOND, "present"), (THIRD, "present")]),
        ("mark", [(FIRST, "present"), (SECOND, "removed"), (THIRD, "removed")]),
        ("forget", [(FIRST, "present")]),
    ],
)
def test_a_post_that_a_later_export_lacks_is_kept_marked_or_forgotten(
    own: Path, dump: Path, removed: str, left: list[tuple[str, str]]
) -> None:
    write_dump(dump / "tweets.jsonl", [Tweet(FIRST)])
    summary = bring(dump, own, f'removed = "{removed}"')
    assert summary.posts is not None
    assert rows(own, "posts", "post_id", "state") == left
    assert summary.posts["removed"] == (0 if removed == "keep" else 2)
    assert {post_id for (post_id,) in rows(own, "post_media", "post_id")} <= {p for p, _ in left}
    assert verify(Dataset.open(str(own))).problems == []
    again = bring(dump, own, f'removed = "{removed}"')
    assert again.posts is None


@pytest.mark.slow
def test_a_removed_post_that_comes_back_is_present_again(own: Path, dump: Path) -> None:
    write_dump(dump / "tweets.jsonl", [Tweet(FIRST)])
    bring(dump, own, 'removed = "mark"')
    write_dump(dump / "tweets.jsonl", [Tweet(FIRST), Tweet(SECOND)])
    summary = bring(dump, own, 'removed = "mark"')
    assert summary.posts is not None
    assert (summary.posts["new"], summary.posts["changed"]) == (0, 1)
    assert rows(own, "posts", "state") == [("present",), ("present",), ("removed",)]


def test_a_dump_that_is_cut_removes_nothing_and_says_so(own: Path, dump: Path) -> None:
    file = dump / "tweets.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    summary = bring(dump, own, 'removed = "forget"')
    assert summary.posts is not None
    assert [p for (p,) in rows(own, "posts", "post_id")] == [FIRST, SECOND, THIRD]
    assert summary.posts["gaps"]["withheld-removals"] == 1


@pytest.mark.slow
def test_metadata_that_is_gone_removes_nothing(own: Path, dump: Path) -> None:
    (dump / "tweets.jsonl").unlink()
    summary = bring(dump, own, 'removed = "forget"')
    assert summary.posts is not None
    assert summary.posts["formats"] == []
    assert len(rows(own, "posts")) == 3
    assert bring(dump, own, 'removed = "forget"').posts is None


def test_of_two_dumps_with_the_same_ids_the_one_read_last_stays(own: Path, dump: Path) -> None:
    write_dump(dump / "zz.jsonl", [Tweet(FIRST, "later", ["FfSecond22.jpg"]), Tweet(SECOND, "")])
    summary = bring(dump, own)
    assert summary.posts is not None
    assert summary.posts["gaps"]["duplicate-posts"] == 2
    assert rows(own, "posts", "text", "raw_ref")[0] == ("later", "zz.jsonl:1")
    found = rows(own, "post_media", "post_id", "status", "source_url")
    assert found[0] == (FIRST, "matched", "https://pbs.twimg.com/media/FfSecond22.jpg")
    # Files of the copies that did not stay are theirs all the same.
    assert {(own_id, status) for own_id, status, _ in found[1:]} == {
        (FIRST, "other-copy"),
        (SECOND, "other-copy"),
    }
    assert rows(own, "posts", "n_media")[:2] == [(1,), (0,)]
    assert verify(Dataset.open(str(own))).problems == []


@pytest.mark.slow
def test_a_medium_that_comes_later_is_matched_then_and_one_that_goes_is_linked(
    own: Path, dump: Path
) -> None:
    photo(dump / "media/FfGone3333.jpg", tail=b"3")
    (dump / "media/FfSecond22.jpg").unlink()
    bring(dump, own)
    assert rows(own, "post_media", "status") == [
        ("matched",),
        ("linked",),
        ("matched",),
        ("matched",),
    ]
    assert verify(Dataset.open(str(own))).problems == []


def test_an_input_that_is_no_dump_makes_no_tables(tmp_path: Path) -> None:
    photo(tmp_path / "in/a.jpg")
    (tmp_path / "in/notes.json").write_text(json.dumps({"id": "1"}))
    summary = run_inline(tmp_path / "in", tmp_path / "own", recipe=RECIPE)
    assert summary.posts is None
    there = {path.name for path in (tmp_path / "own").iterdir()}
    assert there.isdisjoint(posts.TABLES)
    record = Dataset.open(str(tmp_path / "own")).runs()[-1]
    assert "posts" not in record
    assert set(record["recipe"]) == {"media", "analyzers"}


@pytest.mark.slow
def test_an_archive_in_an_archive_is_told_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/outer.zip", "w") as outer:
        outer.writestr("media/inner.zip", b"PK\x05\x06" + bytes(18))
        outer.writestr("notes.bin", b"of no kind")
    bring(tmp_path / "in", tmp_path / "own")
    sources = Dataset.open(str(tmp_path / "own")).read("sources").to_pylist()
    told = {
        row["address"].rpartition("/")[2]: (row["error_class"], row["message"]) for row in sources
    }
    assert told["inner.zip"] == (
        "nested-archive",
        "an archive in an archive is not opened: unpack the outer one",
    )
    assert told["notes.bin"] == ("not-media", None)
    with pytest.raises(DumpError, match=r"media/inner.zip is an archive in an archive"):
        bring(tmp_path / "in", tmp_path / "other", dump="twarc2")


def test_with_dump_none_nothing_is_looked_for(brought: Path, tmp_path: Path) -> None:
    assert bring(brought / "in", tmp_path / "own", dump="none").posts is None
    assert not (tmp_path / "own/posts").exists()


@pytest.mark.slow
def test_a_sample_of_the_input_brings_no_posts(brought: Path, tmp_path: Path) -> None:
    assert bring(brought / "in", tmp_path / "own", limit=2).posts is None
    assert not (tmp_path / "own/posts").exists()


def test_a_format_that_there_is_not_ends_the_run_before_anything_is_made(tmp_path: Path) -> None:
    photo(tmp_path / "in/a.jpg")
    with pytest.raises(DumpError, match="did you mean 'twarc2'"):
        bring(tmp_path / "in", tmp_path / "own", dump="twarc")
    assert not (tmp_path / "own").exists()


def test_a_named_format_that_is_not_there_is_refused_before_anything_is_analysed(
    tmp_path: Path,
) -> None:
    photo(tmp_path / "in/a.jpg")
    with pytest.raises(DumpError, match="no file of the format twarc2"):
        bring(tmp_path / "in", tmp_path / "own", dump="twarc2")
    assert verify(Dataset.open(str(tmp_path / "own"))).ok == 0
    bring(tmp_path / "in", tmp_path / "own")
    assert verify(Dataset.open(str(tmp_path / "own"))).ok == 1


def test_pseudonyms_do_not_come_beside_plain_ids(
    own: Path, dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dump / "tweets.jsonl").touch()
    with pytest.raises(SettingsError, match="no file of a key"):
        bring(dump, own, "pseudonyms = true")
    (tmp_path / "key").write_text("0123456789abcdef" * 4)
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match="plain ids"):
        bring(dump, own, "pseudonyms = true")
    assert len(rows(own, "posts")) == 3


@pytest.mark.slow
def test_pseudonyms_of_another_key_do_not_come_beside_those_of_the_first(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_text("0123456789abcdef" * 4)
    said = "pseudonyms = true"
    bring(dump, tmp_path / "hidden", said)
    first = rows(tmp_path / "hidden", "posts", "post_id")
    assert FIRST not in {post_id for (post_id,) in first}
    (tmp_path / "key").write_text("fedcba9876543210" * 4)
    write_dump(dump / "tweets.jsonl", [Tweet(FIRST, "edited")])
    with pytest.raises(SettingsError, match="another key"):
        bring(dump, tmp_path / "hidden", said)
    assert rows(tmp_path / "hidden", "posts", "post_id") == first


@pytest.mark.slow
def test_a_second_input_keeps_the_posts_of_the_first(own: Path, tmp_path: Path) -> None:
    photo(tmp_path / "more/FfOther444.jpg", "china.jpg", b"4")
    write_dump(tmp_path / "more/more.jsonl", [Tweet("1500000000000000044", "", ["FfOther444.jpg"])])
    summary = bring(tmp_path / "more", own, add_input=True, said='removed = "forget"')
    assert summary.posts is not None
    assert (summary.posts["posts"], summary.posts["new"], summary.posts["removed"]) == (4, 1, 0)
    assert rows(own, "post_media", "status")[-1] == ("matched",)
    assert verify(Dataset.open(str(own))).problems == []


@pytest.mark.slow
def test_a_run_that_was_overtaken_commits_no_posts(own: Path, dump: Path) -> None:
    write_dump(dump / "tweets.jsonl", [Tweet(FIRST, "edited")])
    bring(dump, own, dump="none")
    dataset, root = Dataset.open(str(own)), open_store(str(dump)).root
    found = find(dataset, root, PostSettings())
    assert found is not None
    number = take_number(dataset, "slow")
    take_number(Dataset.open(str(own)), "quick")
    former = parts(own)
    with pytest.raises(FencedError):
        bring_posts(dataset, root, found, PostSettings(), run="slow", number=number)
    assert parts(own) == former


@pytest.mark.slow
@pytest.mark.parametrize("table", posts.TABLES)
def test_a_damaged_part_is_named_and_read_again_from_the_dump(
    own: Path, dump: Path, table: str
) -> None:
    write_dump(dump / "zz.jsonl", [Tweet(SECOND, "later")])
    bring(dump, own)
    before = {name: rows(own, name) for name in posts.TABLES}
    (name,) = parts(own)[table]
    file = own / table / name
    data = file.read_bytes()
    file.unlink()
    assert any(name in problem for problem in verify(Dataset.open(str(own))).problems)
    file.write_bytes(data.replace(b"PAR1", b"RAP1"))
    assert any(name in problem for problem in verify(Dataset.open(str(own))).problems)
    summary = bring(dump, own, repair=True)
    assert summary.repaired == 1
    assert {name: rows(own, name) for name in posts.TABLES} == before
    assert verify(Dataset.open(str(own))).problems == []
    assert bring(dump, own).posts is None


@pytest.mark.slow
@pytest.mark.parametrize("through", [0, 1, 2])
def test_a_repair_that_is_killed_between_its_commits_loses_no_posts(
    own: Path, dump: Path, monkeypatch: pytest.MonkeyPatch, through: int
) -> None:
    before = {name: rows(own, name) for name in posts.TABLES}
    (name,) = parts(own)["posts"]
    (own / "posts" / name).write_bytes(b"broken")
    left = [True] * through
    commit = Table.commit

    def killed(*args: object, **words: object) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        commit(*args, **words)  # type: ignore[arg-type]

    dataset = Dataset.open(str(own))
    number = take_number(dataset, "killed")
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Table, "commit", killed)
        mend(dataset, [], run="killed", number=lambda: number)
    bring(dump, own, repair=True)
    assert {name: rows(own, name) for name in posts.TABLES} == before
    assert verify(Dataset.open(str(own))).problems == []


def test_a_damaged_manifest_is_named_where_there_are_posts_too(own: Path) -> None:
    (part,) = Dataset.open(str(own)).table("manifest").parts()
    file = own / "manifest" / part
    file.write_bytes(file.read_bytes()[:-100])
    assert any(part in problem for problem in verify(Dataset.open(str(own))).problems)


def test_posts_are_exported_and_told_in_the_report(brought: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(str(brought / "own"))
    written = export(dataset, str(tmp_path / "out"), form="csv")
    assert (written["posts"], written["post_media"], written["post_gaps"]) == (3, 4, 2)
    assert "one \u00e9" in (tmp_path / "out/posts.csv").read_text("utf-8")
    write_report(dataset)
    page = (brought / "own/report/index.html").read_text("utf-8")
    assert 'id="posts"' in page
    people = "post_copies.author_id, posts.author_id, posts.author_name, posts.text"
    assert f"It holds who people are and what they wrote: {people}." in page
    assert "what a model perceives" not in page
    codebook = (brought / "own/report/codebook.csv").read_text("utf-8")
    assert "post_media,joined_by" in codebook
    shutil.rmtree(brought / "own/report")
