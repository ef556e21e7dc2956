"""Takedowns of posts, and posts past their time: what leaves, what stays, and the proof."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset, posts, tombstones
from imgbatch.dataset.needles import texts
from imgbatch.dataset.posts_forgotten import look_up
from imgbatch.dataset.verify import verify
from imgbatch.posts.privacy import pseudonym, read_key
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

FIRST, SECOND, THIRD, FOURTH = (f"150000000000000000{n}" for n in (1, 2, 3, 4))
ANSWER = {"referenced_tweets": [{"type": "replied_to", "id": FIRST}]}


def dump(folder: Path) -> None:
    photo(folder / "media/FfOfFirst1.jpg")
    photo(folder / "media/FfOfBoth22.jpg", "china.jpg")
    photo(folder / "media/FfOfThird3.jpg", "flower.jpg")
    write_dump(
        folder / "tweets.jsonl",
        [
            Tweet(FIRST, "one", ["FfOfFirst1.jpg", "FfOfBoth22.jpg", "FfGone4444.jpg"]),
            Tweet(SECOND, "two", ["FfOfBoth22.jpg"], author="8", more=ANSWER),
            Tweet(THIRD, "three", ["FfOfThird3.jpg"], when="2020-03-04T05:06:07.000Z"),
            Tweet(FOURTH, "four", when="1965-03-04T05:06:07.000Z"),
        ],
    )


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("takedown")
    dump(folder / "in")
    bring(folder / "in", folder / "own", "keep_days = 30")
    return folder


@pytest.fixture
def own(brought: Path, tmp_path: Path) -> Path:
    shutil.copytree(brought / "own", tmp_path / "own")
    return tmp_path / "own"


def names(own: Path, table: str = "sources") -> set[str]:
    found = Dataset.open(str(own)).read(table, columns=["address"])["address"].to_pylist()
    return {address.rpartition("/")[2] for address in found}


@pytest.mark.slow
def test_a_post_leaves_with_the_sources_that_are_its_own(
    brought: Path, own: Path, imgbatch: Callable[..., Done]
) -> None:
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json", "--reason", "ticket 7")
    assert done.returncode == 0, done.stderr
    assert (done.said["posts"], done.said["sources"]) == (1, 1)
    assert done.said["rows"]["posts"] == 1
    assert done.said["rows"]["post_media"] == 3
    assert done.said["rows"]["post_gaps"] == 1
    assert rows(own, "posts", "post_id", "reply_to") == [
        (SECOND, None),
        (THIRD, None),
        (FOURTH, None),
    ]
    assert rows(own, "post_media", "post_id", "status") == [(SECOND, "matched"), (THIRD, "matched")]
    assert names(own) == {"FfOfBoth22.jpg", "FfOfThird3.jpg", "tweets.jsonl"}
    made = posts.record(Dataset.open(str(own)))
    assert made
    assert (made["counts"]["posts"], made["counts"]["media"]) == (3, {"matched": 2})
    assert verify(Dataset.open(str(own))).problems == []
    proven = imgbatch("verify", own, "--forgotten", "--post-id", FIRST)
    assert proven.returncode == 0, proven.stdout
    # No file of the dataset holds what it said or its id, and the audit says how much.
    for path in own.rglob("*"):
        said = texts(path.name, path.read_bytes()) if path.is_file() else []
        assert not any(FIRST in text for text in said), path
    (audit,) = [json.loads(path.read_text()) for path in (own / "forgotten").glob("*.json")]
    assert (audit["posts"], audit["named"], audit["reason"]) == (1, 1, "ticket 7")
    # The dump has it still, twice: it is not brought back, and that is counted as one post.
    write_dump(brought / "in/more.jsonl", [Tweet("1500000000000000009", "nine"), Tweet(FIRST)])
    bring(brought / "in", own)
    assert [post for (post,) in rows(own, "posts", "post_id")] == [
        SECOND,
        THIRD,
        FOURTH,
        "1500000000000000009",
    ]
    gaps = dict(rows(own, "post_gaps", "kind", "count"))
    assert gaps["forgotten-posts"] == 1
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0
    assert verify(Dataset.open(str(own))).problems == []
    (brought / "in/more.jsonl").unlink()


def test_a_list_of_deleted_posts_of_which_most_is_unknown(
    own: Path, tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    notices = [
        {"delete": {"status": {"id": int(FIRST), "id_str": FIRST}}},
        {"delete": {"status": {"id": int(SECOND), "id_str": SECOND}}},
        {"delete": {"status": {"id": 9, "id_str": "9"}}},
        {"user_protect": {"id": 3}},
    ]
    weekly = tmp_path / "weekly.jsonl"
    weekly.write_text("\n".join(map(json.dumps, notices)))
    done = imgbatch("forget", own, "--deleted-posts", weekly, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    said = done.said
    assert (said["posts"], said["unknown_posts"], said["others"]) == (2, 1, {"user_protect": 1})
    assert names(own) == {"FfOfThird3.jpg", "tweets.jsonl"}
    assert imgbatch("verify", own, "--forgotten", "--deleted-posts", weekly).returncode == 0
    again = imgbatch("forget", own, "--deleted-posts", weekly, "--yes", "--json")
    assert (again.returncode, again.said["posts"], again.said["files"]) == (0, 0, 0)
    never = imgbatch("verify", own, "--forgotten", "--post-id", THIRD)
    assert never.returncode == 14
    assert "never forgotten here" in never.stdout


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_of_an_account_that_is_deleted_no_post_stays_and_none_comes_later(
    *, hidden: bool, tmp_path: Path, imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("a secret that is long enough")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(key))
    said = f"pseudonyms = {str(hidden).lower()}"
    own = tmp_path / "own"
    dump(tmp_path / "in")
    bring(tmp_path / "in", own, said)
    notices = tmp_path / "notices.jsonl"
    notices.write_text(json.dumps({"user_delete": {"id": 7, "timestamp_ms": "1"}}))
    looked = ("verify", own, "--forgotten", "--deleted-posts", notices)
    assert "authors were never forgotten here" in imgbatch(*looked).stdout
    done = imgbatch("forget", own, "--deleted-posts", notices, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    # Theirs are the first, third and fourth; the picture that the second has too stays.
    assert (done.said["posts"], done.said["unknown_posts"], done.said["sources"]) == (3, 0, 2)
    assert len(rows(own, "posts")) == 1
    assert rows(own, "posts", "reply_to") == [(None,)]
    assert names(own) == {"FfOfBoth22.jpg", "tweets.jsonl"}
    assert imgbatch(*looked).returncode == 0
    assert verify(Dataset.open(str(own))).problems == []
    write_dump(tmp_path / "in/more.jsonl", [Tweet("1500000000000000009", "nine")])
    bring(tmp_path / "in", own, said)
    assert len(rows(own, "posts")) == 1
    assert imgbatch(*looked).returncode == 0
    again = imgbatch("forget", own, "--deleted-posts", notices, "--yes", "--json")
    assert (again.returncode, again.said["posts"]) == (0, 0)


def test_what_the_input_may_hold_still_is_listed_and_stays(
    brought: Path, own: Path, imgbatch: Callable[..., Done]
) -> None:
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json")
    files = [brought / "in/media/FfOfFirst1.jpg", brought / "in/tweets.jsonl"]
    assert done.said["input_files"] == [path.as_uri() for path in files]
    assert all(path.exists() for path in files)


@pytest.mark.slow
def test_a_row_that_is_left_over_is_found(own: Path, imgbatch: Callable[..., Done]) -> None:
    kept = {path: path.read_bytes() for path in (own / "posts").glob("*.parquet")}
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes").returncode == 0
    for path, data in kept.items():
        path.write_bytes(data)
    done = imgbatch("verify", own, "--forgotten", "--post-id", FIRST)
    assert done.returncode == 14
    assert "names a forgotten source or post in 2 places" in done.stdout  # its own, and an answer
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes").returncode == 0
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0


@pytest.mark.slow
def test_a_post_of_another_platform_is_another_post(
    own: Path, imgbatch: Callable[..., Done]
) -> None:
    words = ["forget", own, "--post-id", FIRST, "--platform", "tiktok", "--yes"]
    assert imgbatch(*words).returncode == 10
    assert imgbatch(*words, "--missing-ok").returncode == 0
    assert len(rows(own, "posts")) == 4
    words[5] = "x"
    assert imgbatch(*words).returncode == 0
    assert len(rows(own, "posts")) == 3


def test_a_typing_error_and_nobody_to_ask_change_nothing(
    own: Path, imgbatch: Callable[..., Done]
) -> None:
    wrong = imgbatch("forget", own, "--post-id", "15", "--yes")
    assert (wrong.returncode, "is no post of" in wrong.stderr) == (10, True)
    asked = imgbatch("forget", own, "--post-id", FIRST)
    assert (asked.returncode, "1 sources and 1 posts cannot be undone" in asked.stderr) == (
        10,
        True,
    )
    assert not (own / "forgotten").exists()


@pytest.mark.slow
def test_a_forgotten_source_leaves_its_post_and_names_nothing_there(
    brought: Path, own: Path, imgbatch: Callable[..., Done]
) -> None:
    path = brought / "in/media/FfOfThird3.jpg"
    assert imgbatch("forget", own, "--source", path, "--yes").returncode == 0
    columns = ("post_id", "status", "source_id", "local_path", "source_url")
    assert rows(own, "post_media", *columns)[-1] == (THIRD, "forgotten", None, None, None)
    assert ("unmatched-medium", f"x {THIRD} 0") in rows(own, "post_gaps", "kind", "ref")
    made = posts.record(Dataset.open(str(own)))
    assert made
    assert made["counts"]["media"] == {"matched": 3, "linked": 1, "forgotten": 1}
    assert verify(Dataset.open(str(own))).problems == []
    assert imgbatch("verify", own, "--forgotten", "--source", path).returncode == 0
    bring(brought / "in", own, "text = false")
    assert rows(own, "post_media", *columns)[-1] == (THIRD, "forgotten", None, None, None)


@pytest.mark.slow
def test_posts_past_their_time_go_and_that_is_logged(
    own: Path, imgbatch: Callable[..., Done]
) -> None:
    assert "cannot be undone" in imgbatch("retain", own).stderr
    done = imgbatch("retain", own, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert (done.said["posts"], done.said["sources"], done.said["days"]) == (4, 3, 30)
    assert rows(own, "posts") == []
    assert names(own) == {"tweets.jsonl"}
    (audit,) = [json.loads(path.read_text()) for path in (own / "forgotten").glob("*.json")]
    assert audit["reason"].startswith("retention: 30 days, before ")
    again = imgbatch("retain", own, "--yes")
    assert (again.returncode, "nothing to do" in again.stdout) == (0, True)
    assert verify(Dataset.open(str(own))).problems == []


def test_days_may_be_given_and_a_time_from_before_1970_is_old(
    own: Path, imgbatch: Callable[..., Done]
) -> None:
    done = imgbatch("retain", own, "--days", "20000", "--yes", "--json")
    assert (done.returncode, done.said["posts"], done.said["sources"]) == (0, 1, 0)
    assert [post for (post,) in rows(own, "posts", "post_id")] == [FIRST, SECOND, THIRD]


def test_a_dataset_without_a_time_or_without_posts_says_so(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    photo(tmp_path / "in/a.jpg")
    bring(tmp_path / "in", tmp_path / "own")
    done = imgbatch("retain", tmp_path / "own")
    assert (done.returncode, "keep_days" in done.stderr) == (10, True)
    assert "no post is older" in imgbatch("retain", tmp_path / "own", "--days", "3").stdout


@pytest.mark.slow
def test_a_list_of_ids_finds_posts_by_their_pseudonyms(
    tmp_path: Path, imgbatch: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("a secret that is long enough")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(key))
    dump(tmp_path / "in")
    bring(tmp_path / "in", tmp_path / "own", "pseudonyms = true")
    done = imgbatch("forget", tmp_path / "own", "--post-id", FIRST, "--yes", "--json")
    assert (done.returncode, done.said["posts"]) == (0, 1), done.stderr
    shown = pseudonym(read_key(), "post", "x", SECOND)
    done = imgbatch("forget", tmp_path / "own", "--post-id", shown, "--yes", "--json")
    assert (done.returncode, done.said["posts"]) == (0, 1), done.stderr
    assert len(rows(tmp_path / "own", "posts")) == 2


@pytest.mark.slow
def test_a_forget_that_was_killed_after_its_tombstones_is_completed_by_the_next(
    own: Path, imgbatch: Callable[..., Done]
) -> None:
    dataset = Dataset.open(str(own))
    found = look_up(dataset, [("", FIRST)])
    tombstones.add(dataset.store, "killed", found.marks | found.sources)
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 14
    assert imgbatch("forget", own, "--post-id", FIRST, "--yes").returncode == 0
    assert imgbatch("verify", own, "--forgotten", "--post-id", FIRST).returncode == 0
    assert names(own) == {"FfOfBoth22.jpg", "FfOfThird3.jpg", "tweets.jsonl"}
