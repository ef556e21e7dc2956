"""Posts that a later export lacks, by the policy `forget`: they leave as by the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch import removed
from imgbatch.dataset import Dataset, posts, tombstones
from imgbatch.dataset.audit import records
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.needles import texts
from imgbatch.dataset.verify import verify
from imgbatch.errors import BusyError, FencedError
from imgbatch.posts import leaving
from imgbatch.posts.in_names import ids_in_names
from imgbatch.report import write_report
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

FIRST, SECOND, THIRD = (f"150000000000000000{n}" for n in (1, 2, 3))
FORGET = 'removed = "forget"'


def first(folder: Path) -> list[Tweet]:
    """Pictures of the first alone, of the first and second, and of the second alone."""
    photo(folder / "FfOfFirst1.jpg")
    photo(folder / f"{FIRST}_loose.jpg", tail=b"1")
    photo(folder / "FfOfBoth22.jpg", "china.jpg")
    photo(folder / "FfOfThird3.jpg", "flower.jpg")
    tweets = [
        Tweet(FIRST, "one", ["FfOfFirst1.jpg", "FfOfBoth22.jpg", "FfOfThird3.jpg"]),
        Tweet(SECOND, "two", ["FfOfBoth22.jpg"], author="8"),
    ]
    write_dump(folder / "tweets.jsonl", tweets)
    return tweets


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    first(tmp_path / "in")
    bring(tmp_path / "in", tmp_path / "own", FORGET)
    write_report(Dataset.open(str(tmp_path / "own")))
    # The third is new, and has a picture of the first.
    later = [Tweet(SECOND, "two", ["FfOfBoth22.jpg"], author="8")]
    later.append(Tweet(THIRD, "three", ["FfOfThird3.jpg"], author="9"))
    write_dump(tmp_path / "in/tweets.jsonl", later)
    return tmp_path / "in"


def names(own: Path, table: str) -> set[str]:
    found = Dataset.open(str(own)).read(table, columns=["address"])["address"].to_pylist()
    return {address.rpartition("/")[2] for address in found}


def named(own: Path, *words: str) -> list[str]:
    files = [path for path in own.rglob("*") if path.is_file()]
    said = {path: list(texts(path.name, path.read_bytes())) for path in files}
    return [p.name for p, found in said.items() if any(w in t for t in found for w in words)]


@pytest.mark.slow
def test_they_leave_with_their_sources_history_and_report_and_never_come_back(
    dump: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    summary = bring(dump, own, FORGET)
    assert summary.posts
    assert summary.posts["removed"] == 1
    assert summary.forgot
    assert summary.forgot["image"] == 2
    left = {"FfOfBoth22.jpg", "FfOfThird3.jpg", "tweets.jsonl"}
    assert names(own, "manifest") == names(own, "sources") == left
    assert named(own, FIRST, "FfOfFirst1") == []
    assert (own / "report/index.html").exists()
    dataset = Dataset.open(str(own))
    proof = verify_forgotten(dataset, of_posts=[("x", FIRST)], ids=ids_in_names(dataset))
    assert proof.problems == []
    assert verify(dataset).problems == []
    begun, done = sorted(records(dataset.store), key=lambda one: -one["posts"])
    assert (begun["posts"], begun["named"], begun["status"]) == (1, 2, "finished")
    assert begun["finished_by"] == done["run"]
    assert begun["reason"].startswith("policy: ")
    # Done again it does nothing; an older export does not bring it back, and lacks the third.
    assert bring(dump, own, FORGET).forgot is None
    first(dump)
    bring(dump, own, FORGET)
    assert rows(own, "posts", "post_id") == [(SECOND,)]
    assert names(own, "manifest") == {"FfOfBoth22.jpg", "tweets.jsonl"}
    assert named(own, FIRST, THIRD) == []


def test_a_source_that_the_export_lacks_too_leaves_no_history(dump: Path, tmp_path: Path) -> None:
    (dump / "FfOfFirst1.jpg").unlink()
    (dump / f"{FIRST}_loose.jpg").unlink()
    bring(dump, tmp_path / "own", FORGET)
    assert named(tmp_path / "own", FIRST, "FfOfFirst1") == []


def interrupt(dump: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring the later export, and let another run take the lock before the forget does."""

    def busy(*_: object) -> None:
        if records(Dataset.open(str(own)).store):
            raise BusyError("another run took the lock at that moment")

    with monkeypatch.context() as patched:
        patched.setattr(removed, "complete", busy)
        with pytest.raises(BusyError):
            bring(dump, own, FORGET)


@pytest.mark.slow
def test_a_run_that_ends_before_it_is_done_leaves_it_on_record_for_the_next(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    interrupt(dump, own, monkeypatch)
    dataset = Dataset.open(str(own))
    told = verify_forgotten(dataset, of_posts=[("x", FIRST)]).problems
    assert any("is not finished" in problem for problem in told)
    assert (bring(dump, own, FORGET).forgot or {})["image"] == 2
    assert named(own, FIRST, "FfOfFirst1") == []
    assert {one["status"] for one in records(dataset.store)} == {"finished"}


@pytest.mark.slow
def test_what_is_on_record_waits_for_a_run_by_the_same_policy(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    interrupt(dump, own, monkeypatch)
    assert bring(dump, own).forgot is None
    assert {one["status"] for one in records(Dataset.open(str(own)).store)} == {"begun"}


def test_other_policies_forget_nothing(dump: Path, tmp_path: Path) -> None:
    for policy in ("keep", "mark"):
        assert bring(dump, tmp_path / "own", f'removed = "{policy}"').forgot is None
        assert (FIRST,) in rows(tmp_path / "own", "posts", "post_id")
    assert not (tmp_path / "own/forgotten").exists()


def test_what_a_table_calls_twitter_is_not_forgotten_while_the_same_post_of_x_stays(
    tmp_path: Path,
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    folder.mkdir()
    said = f'dump = "table"\nid_column = "id"\nmedia_column = "image"\n{FORGET}'
    row = {"id": FIRST, "image": "", "platform": "twitter"}
    file = folder / "posts.jsonl"
    file.write_text("".join(json.dumps({**row, "platform": p}) + "\n" for p in ("twitter", "x")))
    bring(folder, own, said)
    file.write_text(json.dumps({**row, "platform": "x"}) + "\n")
    bring(folder, own, said)
    assert rows(own, "posts", "platform", "post_id") == [("x", FIRST)]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Two inputs that have the first post, of which b was read last and is alone in the second."""
    photo(tmp_path / "a/FfOfFirst1.jpg")
    write_dump(tmp_path / "a/tweets.jsonl", [Tweet(FIRST, "of a", ["FfOfFirst1.jpg"])])
    (tmp_path / "b").mkdir()
    write_dump(tmp_path / "b/tweets.jsonl", [Tweet(FIRST, "of b"), Tweet(SECOND, "two")])
    return tmp_path


def both(folder: Path, policy: str) -> None:
    said = f'removed = "{policy}"'
    bring(folder / "a", folder / "own", said)
    bring(folder / "b", folder / "own", said, add_input=True)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mark", "forget"])
def test_a_post_that_another_input_has_still_stays(shared: Path, policy: str) -> None:
    own, said = shared / "own", f'removed = "{policy}"'
    both(shared, policy)
    write_dump(shared / "b/tweets.jsonl", [Tweet(THIRD, "three")])
    told = bring(shared / "b", own, said).posts
    assert told is not None
    assert (told["removed"], told["gaps"]["withheld-removals"]) == (1, 1)
    state = {"mark": [(SECOND, "removed")], "forget": []}[policy]
    there = [(FIRST, "present"), *state, (THIRD, "present")]
    assert rows(own, "posts", "post_id", "state") == there
    assert "FfOfFirst1.jpg" in names(own, "manifest")
    # Brought again it is that of a.
    write_dump(shared / "a/tweets.jsonl", [Tweet(FIRST, "again", ["FfOfFirst1.jpg"])])
    bring(shared / "a", own, said)
    assert rows(own, "posts", "post_id", "state") == there
    assert rows(own, "posts", "text")[0] == ("again",)
    assert rows(own, "post_media", "status") == [("matched",)]
    assert verify(Dataset.open(str(own))).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mark", "forget"])
def test_a_post_stays_that_another_input_had_before_it_was_cut(shared: Path, policy: str) -> None:
    own, said = shared / "own", f'removed = "{policy}"'
    both(shared, policy)
    (shared / "a/tweets.jsonl").write_text('{"data": [{"id": "15000')
    bring(shared / "a", own, said)
    write_dump(shared / "b/tweets.jsonl", [Tweet(SECOND, "two")])
    bring(shared / "b", own, said)
    assert rows(own, "posts", "post_id", "state") == [(FIRST, "present"), (SECOND, "present")]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mark", "forget"])
def test_a_post_that_no_input_has_leaves(shared: Path, policy: str) -> None:
    own, said = shared / "own", f'removed = "{policy}"'
    both(shared, policy)
    for name, text in (("a", "other"), ("b", "three")):
        write_dump(shared / name / "tweets.jsonl", [Tweet(THIRD, text)])
        bring(shared / name, own, said)
    present = [own for own, state in rows(own, "posts", "post_id", "state") if state == "present"]
    assert present == [THIRD]


@pytest.mark.slow
def test_which_inputs_have_a_forgotten_post_is_told_no_more(
    shared: Path, imgbatch: Callable[..., Done]
) -> None:
    own = shared / "own"
    both(shared, "keep")
    assert ("same-id-in-other-input", f"x {FIRST}") in rows(own, "post_gaps", "kind", "ref")
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes").returncode == 0
    assert not [ref for (ref,) in rows(own, "post_gaps", "ref") if FIRST in ref]
    proof = verify_forgotten(Dataset.open(str(own)), of_posts=[("x", FIRST)])
    assert proof.problems == []


@pytest.mark.slow
def test_each_input_of_a_former_version_is_read_once_more(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as former:
        former.setattr(posts, "VERSION", 1)
        both(shared, "keep")
    for is_due in (True, False):
        read = [bring(shared / name, shared / "own").posts is not None for name in "ab"]
        assert read == [is_due, is_due]


@pytest.mark.slow
def test_where_nobody_knows_what_another_input_has_nothing_is_removed(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shared / "own"
    with monkeypatch.context() as former:
        former.setattr(posts, "VERSION", 1)
        both(shared, "forget")
    write_dump(shared / "b/tweets.jsonl", [Tweet(THIRD, "three")])
    told = bring(shared / "b", own, FORGET).posts
    assert told is not None
    assert (told["removed"], told["gaps"]["withheld-removals"]) == (0, 2)
    # Run once more it is read, though nothing of it changed, and then it is known.
    again = bring(shared / "a", own, FORGET).posts
    assert again is not None
    write_dump(shared / "b/tweets.jsonl", [Tweet(THIRD, "again")])
    told = bring(shared / "b", own, FORGET).posts
    assert told is not None
    assert told["removed"] == 1
    assert rows(own, "posts", "post_id") == [(FIRST,), (THIRD,)]


def test_a_run_that_another_took_over_from_forgets_nothing(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one may have seen the export whole."""
    own, store = tmp_path / "own", Dataset.open(str(tmp_path / "own")).store
    before, look_up = tombstones.read(store), leaving.look_up_rows

    def overtaken(*args: Any, **named: Any) -> Any:
        take_number(Dataset.open(str(own)), "other")
        return look_up(*args, **named)

    with monkeypatch.context() as patched:
        patched.setattr(leaving, "look_up_rows", overtaken)
        with pytest.raises(FencedError):
            bring(dump, own, FORGET)
    assert tombstones.read(store) == before
    assert records(store) == []
