"""Files beside an export that hold no posts: they give none, and withhold no removal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.dataset import posts
from imgbatch.sources.dumps import twarc2
from tests.posts.made import Tweet, bring, rows, write_dump

if TYPE_CHECKING:
    from pathlib import Path

POLICIES = ("keep", "mark", "forget")
FIRST, SECOND = "1500000000000000001", "1500000000000000002"
FOLLOWERS = [{"id": "501", "username": "bob", "name": "Bob"}, {"id": "502", "username": "cleo"}]
COUNTED = [{"start": "2024-03-04T00:00:00Z", "end": "2024-03-05T00:00:00Z", "tweet_count": 2}]


def pages(file: Path, *data: list[dict[str, Any]]) -> None:
    lines = [{"data": one, "meta": {}, "__twarc": {"version": "2"}} for one in data]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write(folder: Path, *ids: str) -> None:
    folder.mkdir(exist_ok=True)
    write_dump(folder / "tweets.jsonl", [Tweet(own) for own in ids])
    pages(folder / "counts.jsonl", COUNTED)
    pages(folder / "followers.jsonl", FOLLOWERS)
    pages(folder / "following.jsonl", FOLLOWERS)


def read(folder: Path, policy: str) -> dict[str, Any]:
    summary = bring(folder / "in", folder / "own", f'removed = "{policy}"').posts
    assert summary is not None
    return summary


def told(folder: Path) -> list[tuple[str, str]]:
    return rows(folder / "own", "posts", "post_id", "state")


LEFT = {
    "keep": [(FIRST, "present"), (SECOND, "present")],
    "mark": [(FIRST, "present"), (SECOND, "removed")],
    "forget": [(FIRST, "present")],
}


@pytest.mark.parametrize("policy", POLICIES)
def test_followers_and_counts_are_no_posts_and_withhold_nothing(
    tmp_path: Path, policy: str
) -> None:
    write(tmp_path / "in", FIRST, SECOND)
    read(tmp_path, policy)
    assert told(tmp_path) == LEFT["keep"]
    write(tmp_path / "in", FIRST)
    assert read(tmp_path, policy)["removed"] == (policy != "keep")
    assert told(tmp_path) == LEFT[policy]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_former_version_took_for_posts_leaves_and_is_not_removed(
    tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in", FIRST, SECOND)
    with monkeypatch.context() as former:
        former.setattr(posts, "VERSION", posts.VERSION - 1)
        former.setattr(twarc2, "_is_other", lambda _: False)
        read(tmp_path, policy)
    assert told(tmp_path) == [*LEFT["keep"], ("501", "present"), ("502", "present")]
    counts = read(tmp_path, policy)
    assert (counts["new"], counts["removed"], counts["absent"]) == (0, 0, 0)
    assert "suspect-file" not in counts["gaps"]
    assert told(tmp_path) == LEFT["keep"]
    write(tmp_path / "in", FIRST)
    assert read(tmp_path, policy)["removed"] == (policy != "keep")
    assert told(tmp_path) == LEFT[policy]
