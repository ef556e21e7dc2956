"""A post has one id, whichever format tells of it, and keeps its pictures when that changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.dataset import Dataset, posts
from imgbatch.dataset.verify import verify
from imgbatch.sources.dumps import _gallery_dl_post, yt_dlp
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.posts.made import Done

TWEET = "1600000000000000001"
MEDIA = ("1600000000000000091", "1600000000000000092")
POLICIES = ("keep", "mark", "forget")


def video(folder: Path, medium: str, at: int, infos: Path | None = None) -> None:
    """Put a video of the tweet there, as yt-dlp names it, and its metadata here or elsewhere."""
    info = {
        "id": medium,
        "display_id": TWEET,
        "extractor_key": "Twitter",
        "title": f"Ada - said #{at}",
        "description": "said",
        "uploader": "Ada",
        "channel_id": "7",
        "timestamp": 1709528767,
        "webpage_url": f"https://twitter.com/u7/status/{TWEET}",
        "ext": "mp4",
    }
    (infos or folder).mkdir(parents=True, exist_ok=True)
    told = (infos or folder) / f"Ada - said #{at} [{medium}].info.json"
    told.write_text(json.dumps(info))
    photo(folder / f"Ada - said #{at} [{medium}].jpg", tail=medium.encode())
    (folder / f"Ada - said #{at} [{medium}].mp4").write_bytes(b"made up" + medium.encode())


def reddit(folder: Path, *posts_: str) -> None:
    for own in posts_:
        item: dict[str, Any] = {
            "category": "reddit",
            "subcategory": "subreddit",
            "id": own,
            "title": f"text of {own}",
            "author": "ada",
            "author_fullname": "t2_9",
            "created_utc": 1683364087.0,
            "num": 0,
        }
        photo(folder / f"{own} a hill.jpg", tail=own.encode())
        photo(folder / f"{own}_loose.jpg", tail=b"loose" + own.encode())
        (folder / f"{own} a hill.jpg.json").write_text(json.dumps(item))


def there(own: Path) -> list[str]:
    listed = Dataset.open(str(own)).read("sources")["address"].to_pylist()
    return sorted(address.rpartition("/")[2] for address in listed)


def pictures(own: Path) -> list[str]:
    return [name for name in there(own) if name.endswith((".jpg", ".mp4"))]


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Has formats give the ids that former versions gave."""
    with monkeypatch.context() as former:
        former.setattr(_gallery_dl_post, "whole", lambda bare, **_: bare)
        former.setattr(yt_dlp, "post_id_of", lambda info, _: info["id"])
        former.setattr(posts, "VERSION", 2)
        yield former


def test_videos_of_a_tweet_are_the_tweets_and_leave_with_it(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    for at, medium in enumerate(MEDIA, 1):
        video(folder, medium, at)
    tweets = [Tweet(TWEET, "said"), Tweet("1600000000000000002", "another")]
    write_dump(folder / "tweets.jsonl", tweets)
    bring(folder, own)
    assert rows(own, "posts", "post_id", "text", "author_id") == [
        (TWEET, "said", "7"),
        ("1600000000000000002", "another", "7"),
    ]
    told = rows(own, "post_media", "post_id", "media_idx", "status", "joined_by")
    assert told == [(TWEET, at, "matched", "metadata") for at in range(4)]
    done = imgbatch("forget", own, "--post-id", TWEET, "--platform", "x", "--yes")
    assert done.returncode == 0, done.stderr
    assert pictures(own) == []
    assert [name for name in there(own) if "said" in name] == []


def test_a_video_beside_no_metadata_is_found_by_its_own_id(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    for at, medium in enumerate(MEDIA, 1):
        video(folder / "videos", medium, at, folder / "infos")
    bring(folder, own)
    told = rows(own, "post_media", "post_id", "media_key", "status", "joined_by")
    assert told == [(TWEET, medium, "matched", "id") for medium in MEDIA]
    # The pictures beside are joined to nothing, and go by their names.
    done = imgbatch("forget", own, "--post-id", TWEET, "--platform", "x", "--yes")
    assert done.returncode == 0, done.stderr
    assert pictures(own) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_submissions_of_before_get_their_whole_ids_and_lose_nothing(
    tmp_path: Path, before: pytest.MonkeyPatch, policy: str
) -> None:
    folder, own, said = tmp_path / "in", tmp_path / "own", f'removed = "{policy}"'
    reddit(folder / "reddit/hills", "18abc2x", "18abc3x")
    bring(folder, own, said)
    assert rows(own, "posts", "post_id") == [("18abc2x",), ("18abc3x",)]
    had = pictures(own)
    before.undo()
    # One of them is gone, too.
    for name in ("18abc3x a hill.jpg.json", "18abc3x a hill.jpg", "18abc3x_loose.jpg"):
        (folder / "reddit/hills" / name).unlink()
    summary = bring(folder, own, said)
    assert summary.posts is not None
    gone = "removed" if policy == "forget" else "absent"
    assert (summary.posts["new"], summary.posts[gone]) == (0, 1)
    # What is not read any more is called as it was.
    left = {"keep": [("18abc3x", "present")], "mark": [("18abc3x", "removed")]}.get(policy, [])
    left += [("t3_18abc2x", "present")]
    assert rows(own, "posts", "post_id", "state") == left
    assert [name for name in pictures(own) if "18abc2x" in name] == had[:2]
    assert [row for row in rows(own, "post_media", "post_id", "status") if "2x" in row[0]] == [
        ("t3_18abc2x", "matched")
    ]
    assert verify(Dataset.open(str(own))).problems == []


@pytest.mark.parametrize("policy", POLICIES)
def test_videos_of_before_become_their_tweet_and_lose_nothing(
    tmp_path: Path, before: pytest.MonkeyPatch, policy: str
) -> None:
    folder, own, said = tmp_path / "in", tmp_path / "own", f'removed = "{policy}"'
    for at, medium in enumerate(MEDIA, 1):
        video(folder, medium, at)
    bring(folder, own, said)
    assert rows(own, "posts", "post_id") == [(medium,) for medium in MEDIA]
    had = there(own)
    before.undo()
    summary = bring(folder, own, said)
    assert summary.posts is not None
    assert [summary.posts[name] for name in ("new", "absent", "removed")] == [0, 0, 0]
    assert rows(own, "posts", "post_id", "state") == [(TWEET, "present")]
    assert rows(own, "post_media", "status") == [("matched",)] * 4
    assert there(own) == had
    assert verify(Dataset.open(str(own))).problems == []


@pytest.mark.parametrize("given", ["t3_18abc3x", "18abc3x"])
def test_what_was_forgotten_by_its_id_of_before_stays_out(
    tmp_path: Path, before: pytest.MonkeyPatch, imgbatch: Callable[..., Done], given: str
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    reddit(folder / "reddit/hills", "18abc2x", "18abc3x")
    bring(folder, own)
    command = ("forget", own, "--platform", "reddit", "--yes", "--post-id")
    assert imgbatch(*command, "18abc2x").returncode == 0
    before.undo()
    bring(folder, own)
    assert rows(own, "posts", "post_id") == [("t3_18abc3x",)]
    # And by either that of now, or the bare one that lists may have.
    done = imgbatch(*command, given)
    assert done.returncode == 0
    assert "1 unknown" not in done.stdout
    assert rows(own, "posts", "post_id") == []
    assert pictures(own) == []


def test_a_dataset_of_before_forgets_by_the_id_of_now(
    tmp_path: Path, before: pytest.MonkeyPatch, imgbatch: Callable[..., Done]
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    reddit(folder / "reddit/hills", "18abc2x")
    bring(folder, own)
    before.undo()
    words = ("forget", own, "--platform", "reddit", "--yes", "--post-id", "t3_18abc2x")
    done = imgbatch(*words)
    assert done.returncode == 0, done.stdout
    for _ in range(2):
        assert rows(own, "posts", "post_id") == []
        assert pictures(own) == []
        bring(folder, own)


def test_a_tweet_of_another_format_takes_the_place_of_its_video(
    tmp_path: Path, before: pytest.MonkeyPatch
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    video(folder / "a", MEDIA[0], 1)
    (folder / "b").mkdir()
    write_dump(folder / "b/tweets.jsonl", [Tweet(TWEET, "said")])
    bring(folder / "a", own)
    bring(folder / "b", own, add_input=True)
    before.undo()
    bring(folder / "b", own)
    bring(folder / "a", own)
    assert rows(own, "posts", "post_id", "dump") == [(TWEET, "yt-dlp")]
    assert [one for (one,) in rows(own, "post_media", "status")] == ["matched", "matched"]


@pytest.mark.parametrize("policy", POLICIES)
def test_pseudonyms_of_before_follow_too(
    tmp_path: Path, before: pytest.MonkeyPatch, policy: str
) -> None:
    (tmp_path / "key").write_text("a key of more than sixteen bytes")
    before.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    folder, own = tmp_path / "in", tmp_path / "own"
    said = f'removed = "{policy}"\npseudonyms = true'
    reddit(folder / "reddit/hills", "18abc2x")
    bring(folder, own, said)
    had, files = rows(own, "posts", "post_id"), there(own)
    before.undo()
    before.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    bring(folder, own, said)
    ((now, state),) = rows(own, "posts", "post_id", "state")
    assert ([(now,)] != had, state) == (True, "present")
    assert rows(own, "post_media", "status") == [("matched",)]
    assert there(own) == files
