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


def named(own: Path) -> list[str | None]:
    return [one for pair in rows(own, "posts", "reply_to", "repost_of") for one in pair]
