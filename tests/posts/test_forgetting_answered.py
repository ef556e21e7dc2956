"""Posts that the dataset knows only since another answers or shares them are forgotten."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

ORIGINAL, SHARE, ANSWER = (f"150000000000000000{n}" for n in (1, 2, 3))


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)])
def own(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of a repost and an answer to the same post, which is none of it; or pseudonyms."""
    key = tmp_path / "key"
    key.write_text("a secret that is long enough")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(key))
    photo(tmp_path / "in/media/FfOfShare1.jpg")

    def to(kind: str) -> dict[str, list[dict[str, str]]]:
        return {"referenced_tweets": [{"type": kind, "id": ORIGINAL}]}

    tweets = [
        Tweet(SHARE, "RT @u7: shared", ["FfOfShare1.jpg"], author="8", more=to("retweeted")),
        Tweet(ANSWER, "answered", author="9", more=to("replied_to")),
    ]
    write_dump(tmp_path / "in/tweets.jsonl", tweets)
    bring(tmp_path / "in", tmp_path / "own", f"pseudonyms = {str(request.param).lower()}")
    return tmp_path / "own"


@pytest.fixture
def notices(tmp_path: Path) -> Path:
    file = tmp_path / "notices.jsonl"
    file.write_text(json.dumps({"delete": {"status": {"id_str": ORIGINAL}}}))
    return file


def test_who_answers_or_shares_them_names_them_no_more(
    own: Path, notices: Path, imgbatch: Callable[..., Done]
) -> None:
    assert sum(one is not None for one in named(own)) == 2
    done = imgbatch("forget", own, "--deleted-posts", notices, "--yes", "--json")
    assert (done.returncode, done.said["posts"]) == (0, 0), done.stderr
    assert named(own) == [None] * 4
    proven = imgbatch("verify", own, "--forgotten", "--deleted-posts", notices)
    assert proven.returncode == 0, proven.stdout
    # They stay, with what they have.
    assert rows(own, "post_media", "status") == [("matched",)]
    assert verify(Dataset.open(str(own))).problems == []
    again = imgbatch("forget", own, "--deleted-posts", notices, "--yes", "--json")
    assert (again.said["files"], again.said["rows"]) == (0, {})


def test_who_shares_them_is_told_once_and_what_it_repeats_goes_by_its_own_id(
    own: Path, notices: Path, imgbatch: Callable[..., Done]
) -> None:
    done = imgbatch("forget", own, "--deleted-posts", notices, "--yes")
    said = "1 posts that share one of them stay, and no longer name it"
    assert said in done.stdout
    (share,) = [post for post, text in rows(own, "posts", "post_id", "text") if "shared" in text]
    assert f"\n  {share}\n" in done.stdout
    assert said not in imgbatch("forget", own, "--deleted-posts", notices, "--yes").stdout
    assert imgbatch("forget", own, "--post-id", share, "--yes").returncode == 0
    assert [text for (text,) in rows(own, "posts", "text")] == ["answered"]
    assert rows(own, "post_media") == []


@pytest.mark.slow
def test_who_shares_a_post_of_an_author_is_told_where_the_post_is_here(
    own: Path, tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    write_dump(tmp_path / "in/more.jsonl", [Tweet(ORIGINAL, "shared", author="7")])
    hidden = rows(own, "posts", "post_id")[0] not in [(SHARE,), (ANSWER,)]
    bring(tmp_path / "in", own, f"pseudonyms = {str(hidden).lower()}")
    notices = tmp_path / "author.jsonl"
    notices.write_text(json.dumps({"user_delete": {"id": "7"}}))
    done = imgbatch("forget", own, "--deleted-posts", notices, "--yes", "--json")
    assert (done.returncode, done.said["posts"]) == (0, 1), done.stderr
    assert len(done.said["shared_by"]) == 1
    assert named(own) == [None] * 4
    assert imgbatch("verify", own, "--forgotten", "--deleted-posts", notices).returncode == 0


def test_a_post_of_another_platform_is_shared_by_nobody_here(
    own: Path, imgbatch: Callable[..., Done]
) -> None:
    words = ("--post-id", ORIGINAL, "--platform", "tiktok", "--missing-ok", "--yes", "--json")
    done = imgbatch("forget", own, *words)
    assert (done.returncode, done.said["shared_by"]) == (0, []), done.stderr
    assert sum(one is not None for one in named(own)) == 2


def named(own: Path) -> list[str | None]:
    return [one for pair in rows(own, "posts", "reply_to", "repost_of") for one in pair]
