"""Posts that former versions had by other ids: none comes back, comes twice or is lost for that."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch import removed
from imgbatch.dataset import Dataset, posts, tombstones
from imgbatch.dataset.post_marks import mark
from imgbatch.dataset.verify import verify
from imgbatch.fetching.takedown import take_out
from imgbatch.sources.dumps import _gallery_dl_post, csv_4cat, yt_dlp
from tests.fetching import given as fetching
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.posts.made import Done

    Command = Callable[..., Done]

TWEET, OTHER = "1600000000000000001", "1600000000000000002"
MEDIA = ("1600000000000000091", "1600000000000000092")
POLICIES = ("keep", "mark", "forget")
HIDDEN = "pseudonyms = true"


def video(folder: Path, medium: str, tweet: str = TWEET, stem: str | None = None) -> None:
    """Put a video of a tweet there, and what yt-dlp writes of it, called after its id or so."""
    folder.mkdir(parents=True, exist_ok=True)
    info = {
        "id": medium,
        "display_id": tweet,
        "extractor_key": "Twitter",
        "description": f"said {tweet}",
        "uploader": "Ada",
        "channel_id": "7",
        "timestamp": 1709528767,
        "webpage_url": f"https://twitter.com/u7/status/{tweet}",
        "ext": "mp4",
    }
    name = stem or f"said [{medium}]"
    (folder / f"{name}.info.json").write_text(json.dumps(info))
    (folder / f"{name}.mp4").write_bytes(b"made up" + medium.encode())


def message(folder: Path, number: int, chat: str = "chan") -> None:
    """Put down what yt-dlp writes of a message of Telegram."""
    folder.mkdir(parents=True, exist_ok=True)
    info = {
        "id": str(number),
        "extractor_key": "TelegramEmbed",
        "title": "T",
        "description": f"said {chat} {number}",
        "channel_id": chat,
        "timestamp": 1709528767,
        "webpage_url": f"https://t.me/{chat}/{number}",
        "ext": "mp4",
    }
    (folder / f"{chat} {number}.info.json").write_text(json.dumps(info))


def reddit(folder: Path, own: str, stem: str, **more: str) -> None:
    """Put a picture there and what gallery-dl writes of its submission or comment."""
    item: dict[str, Any] = {
        "category": "reddit",
        "subcategory": "subreddit",
        "id": own,
        "title": f"text of {own}",
        "author": "ada",
        "author_fullname": "t2_9",
        "created_utc": 1683364087.0,
        "num": 0,
        **more,
    }
    photo(folder / f"reddit/hills/{stem}.jpg", tail=own.encode())
    (folder / f"reddit/hills/{stem}.jpg.json").write_text(json.dumps(item))


def submissions(file: Path, *ids: str) -> None:
    """Write a dump of Reddit's submissions."""
    file.parent.mkdir(parents=True, exist_ok=True)
    more = {"author": "bob", "subreddit": "hills", "created_utc": 1683364087, "num_comments": 0}
    items = [{"id": own, "title": f"of {own}", "permalink": "/r/hills/", **more} for own in ids]
    file.write_text("".join(json.dumps(item) + "\n" for item in items))


def there(own: Path) -> list[str]:
    listed = Dataset.open(str(own)).read("sources")["address"].to_pylist()
    return sorted(address.rpartition("/")[2] for address in listed)


def told(own: Path) -> list[tuple[str, str]]:
    return rows(own, "posts", "platform", "post_id")


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Has formats give the ids that former versions gave, and names a key of pseudonyms."""
    (tmp_path / "key").write_text("a key of more than sixteen bytes")
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    platform_of = yt_dlp.platform_of

    def by_extractor(info: dict[str, Any]) -> str:
        telegram = info["extractor_key"] == "TelegramEmbed"
        return "telegramembed" if telegram else platform_of(info)

    former = pytest.MonkeyPatch()
    former.setattr(_gallery_dl_post, "whole", lambda bare, **_: bare)
    former.setattr(yt_dlp, "platform_of", by_extractor)
    former.setattr(yt_dlp, "post_id_of", lambda info, _: info["id"])
    former.setattr(posts, "VERSION", 2)
    yield former
    former.undo()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hidden", [False, True])
def test_all_videos_of_a_tweet_become_the_tweet(
    tmp_path: Path, before: pytest.MonkeyPatch, imgbatch: Command, policy: str, *, hidden: bool
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    said = f'removed = "{policy}"\npseudonyms = {str(hidden).lower()}'
    for medium in MEDIA:
        video(folder, medium)
    bring(folder, own, said)
    assert len(told(own)) == 2
    had = there(own)
    before.undo()
    for _ in range(2):
        bring(folder, own, said)
        assert len(told(own)) == 1
        assert rows(own, "post_media", "status") == [("matched",)] * 2
        assert there(own) == had
    assert verify(Dataset.open(str(own))).problems == []
    assert imgbatch("forget", own, "--post-id", TWEET, "--yes").returncode == 0
    assert (told(own), rows(own, "post_media")) == ([], [])


# Of each: what is put down, what is forgotten by the former version's id, and what stays.
def _videos(folder: Path) -> None:
    video(folder, MEDIA[0], TWEET, "one")
    video(folder, MEDIA[1], OTHER, "two")


def _messages(folder: Path) -> None:
    message(folder, 17)
    message(folder, 18)


def _submissions(folder: Path) -> None:
    reddit(folder, "abc12", "one")
    reddit(folder, "abc13", "two")


def _comments(folder: Path) -> None:
    reddit(folder, "jabc123", "one", link_id="t3_abc12", body="said")
    reddit(folder, "jabc124", "two", link_id="t3_abc12", body="said")


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("platform", [True, False])
@pytest.mark.parametrize(
    ("put", "gone", "named", "stays"),
    [
        (_videos, MEDIA[0], "x", ("x", OTHER)),
        (_messages, "17", "telegramembed", ("telegram", "chan/18")),
        (_submissions, "abc12", "reddit", ("reddit", "t3_abc13")),
        (_comments, "jabc123", "reddit", ("reddit", "t1_jabc124")),
    ],
)
def test_what_was_forgotten_by_a_former_id_stays_out(  # noqa: PLR0913 - of each its own words
    tmp_path: Path,
    before: pytest.MonkeyPatch,
    imgbatch: Command,
    put: Callable[[Path], None],
    gone: str,
    named: str,
    stays: tuple[str, str],
    *,
    hidden: bool,
    platform: bool,
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    said = HIDDEN if hidden else ""
    put(folder)
    bring(folder, own, said)
    words = ("--platform", named) if platform else ()
    assert imgbatch("forget", own, "--post-id", gone, *words, "--yes").returncode == 0
    before.undo()
    bring(folder, own, said)
    left = told(own)
    assert len(left) == 1
    assert hidden or left == [stays]
    # And nothing else does, when that one is forgotten by its id of now.
    done = imgbatch("forget", own, "--post-id", stays[1], "--yes")
    assert done.returncode == 0, done.stderr
    assert told(own) == []


@pytest.mark.parametrize("given", ["abc13", "t3_abc13"])
def test_pseudonyms_of_reddit_are_found_by_either_form_of_the_id(
    tmp_path: Path, imgbatch: Command, before: pytest.MonkeyPatch, given: str
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    _submissions(folder)
    bring(folder, own, HIDDEN)
    had = told(own)
    before.undo()
    bring(folder, own, HIDDEN)
    assert not set(told(own)) & set(had)
    done = imgbatch("forget", own, "--post-id", given, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert (done.said["posts"], done.said["unknown_posts"]) == (1, 0)
    assert len(told(own)) == 1
    bring(folder, own, HIDDEN)
    assert len(told(own)) == 1


def test_a_number_without_a_platform_is_no_message_of_telegram(
    tmp_path: Path, imgbatch: Command
) -> None:
    own = tmp_path / "own"
    table = tmp_path / "tab/posts.csv"
    table.parent.mkdir()
    table.write_text("id,author,text,image\n17,ada,said,a.jpg\n")
    photo(tmp_path / "tab/a.jpg")
    bring(table.parent, own, 'dump = "table"\nmedia_column = "image"')
    assert imgbatch("forget", own, "--post-id", "17", "--yes").returncode == 0
    for chat in ("chan", "chan3"):
        message(tmp_path / "in", 17, chat)
    bring(tmp_path / "in", own, add_input=True)
    assert told(own) == [("telegram", "chan/17"), ("telegram", "chan3/17")]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hidden", [False, True])
def test_a_list_of_deleted_posts_reaches_what_a_former_version_calls_otherwise(
    tmp_path: Path, before: pytest.MonkeyPatch, imgbatch: Command, policy: str, *, hidden: bool
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    said = f'removed = "{policy}"\npseudonyms = {str(hidden).lower()}'
    _videos(folder)
    bring(folder, own, said)
    before.undo()
    gone = tmp_path / "gone.txt"
    gone.write_text(f"{TWEET}\n")
    words = (own, "--deleted-posts", gone, "--platform", "x")
    done = imgbatch("forget", *words, "--yes")
    assert done.returncode == 0
    # It is not known yet, and that is said: there and in the proof.
    assert len(told(own)) == 2
    assert f"file://{folder}" in done.stdout
    assert "run it again" in done.stdout
    assert "run it again" in imgbatch("verify", *words, "--forgotten").stdout
    summary = bring(folder, own, said)
    assert summary.posts is not None
    assert summary.posts["removed"] == 1
    assert len(told(own)) == 1
    assert rows(own, "post_media", "status") == [("matched",)]
    assert there(own) == ["two.info.json", "two.mp4"]
    proof = imgbatch("verify", *words, "--forgotten")
    assert proof.returncode == 0, proof.stdout
    assert "run it again" not in proof.stdout
    assert verify(Dataset.open(str(own))).problems == []
    assert summary.posts["posts"] == 1


def test_a_former_row_of_a_number_that_two_chats_have_is_of_its_own_file(
    tmp_path: Path, before: pytest.MonkeyPatch, imgbatch: Command
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    message(folder, 17, "chan")
    message(folder, 17, "dan")
    bring(folder, own)
    assert rows(own, "posts", "post_id", "text") == [("17", "T\n\nsaid dan 17")]
    before.undo()
    words = ("--post-id", "chan/17", "--platform", "telegram", "--missing-ok", "--yes")
    assert imgbatch("forget", own, *words).returncode == 0
    summary = bring(folder, own)
    assert summary.posts is not None
    assert (summary.posts["new"], summary.posts["removed"]) == (0, 0)
    assert told(own) == [("telegram", "dan/17")]


def test_another_inputs_rows_stay_until_that_input_is_read(
    tmp_path: Path, before: pytest.MonkeyPatch
) -> None:
    own, dump, folder = tmp_path / "own", tmp_path / "a", tmp_path / "b"
    submissions(dump / "RS_2023-05.jsonl", "abc12")
    _submissions(folder)
    bring(dump, own)
    bring(folder, own, add_input=True)
    before.undo()
    submissions(dump / "RS_2023-06.jsonl", "abc99")
    bring(dump, own)
    assert rows(own, "posts", "post_id", "dump") == [
        ("abc12", "gallery-dl"),
        ("abc13", "gallery-dl"),
        ("t3_abc12", "reddit"),
        ("t3_abc99", "reddit"),
    ]
    assert rows(own, "post_media", "post_id", "status") == [
        ("abc12", "matched"),
        ("abc13", "matched"),
    ]
    summary = bring(folder, own)
    assert summary.posts is not None
    assert [summary.posts[name] for name in ("new", "absent", "removed")] == [0, 0, 0]
    assert [one for (one,) in rows(own, "posts", "post_id")] == ["t3_abc12", "t3_abc13", "t3_abc99"]
    assert rows(own, "post_media", "post_id", "status") == [
        ("t3_abc12", "matched"),
        ("t3_abc13", "matched"),
    ]


def _bare(folder: Path, *ids: str) -> None:
    """Write a dump of Reddit's submissions as 4CAT did."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{own},{own},2021-03-04 05:06:07,said {own},ada\n" for own in ids]
    header = "id,thread_id,timestamp,body,author\n"
    (folder / "reddit-search-0a1b2c.csv").write_text(header + "".join(lines))


FORGET = 'removed = "forget"'


def test_a_row_with_an_id_of_then_takes_no_post_of_another_input_with_it(
    tmp_path: Path, before: pytest.MonkeyPatch
) -> None:
    own, one, other = tmp_path / "own", tmp_path / "a", tmp_path / "b"
    before.setattr(csv_4cat, "whole", lambda bare, **_: bare)
    submissions(one / "RS_2023-05.jsonl", "abc12x")
    _bare(other, "abc12x", "abc13x")
    video(one, MEDIA[0])
    video(other, MEDIA[0])
    bring(one, own, FORGET)
    bring(other, own, FORGET, add_input=True)
    before.undo()
    # The other input lacks by now what this one has still; each is read again, and again.
    _bare(other, "abc13x")
    for file in other.glob("said*"):
        file.unlink()
    for again, folder in enumerate((one, other, one, other)):
        photo(folder / f"{again}.jpg", tail=b"%d" % again)
        bring(folder, own, FORGET)
        assert set(told(own)) >= {("reddit", "t3_abc12x"), ("x", TWEET)}, again
        assert f"said [{MEDIA[0]}].mp4" in there(own)
    assert ("reddit", "t3_abc13x") in told(own)
    assert verify(Dataset.open(str(own))).problems == []


def test_rows_of_then_that_no_other_post_was_called_as_leave_with_their_input(
    tmp_path: Path, before: pytest.MonkeyPatch
) -> None:
    own, one, other = tmp_path / "own", tmp_path / "a", tmp_path / "b"
    before.setattr(csv_4cat, "whole", lambda bare, **_: bare)
    message(one, 17)
    _bare(one, "abc12x", "abc13x", "abc14x")
    submissions(other / "RS_2023-05.jsonl", "abc13x")
    bring(one, own, FORGET)
    bring(other, own, FORGET, add_input=True)
    before.undo()
    # Of these, ids of today are known; what else the first input had, it has no more.
    (one / "chan 17.info.json").unlink()
    _bare(one, "abc14x")
    message(other, 17, "chat")
    bring(other, own, FORGET)
    summary = bring(one, own, FORGET)
    assert ("reddit", "abc12x") not in told(own)
    assert set(told(own)) >= {("reddit", "t3_abc14x"), ("reddit", "t3_abc13x")}
    assert ("telegram", "chat/17") in told(own)
    # The other input has posts that might be these.
    assert summary.posts
    assert summary.posts["removed"] == 1
    assert {("reddit", "abc13x"), ("telegramembed", "17")} <= set(told(own))


def test_removals_wait_until_all_inputs_have_the_ids_of_today(
    tmp_path: Path, before: pytest.MonkeyPatch
) -> None:
    own, one, other = tmp_path / "own", tmp_path / "a", tmp_path / "b"
    before.setattr(csv_4cat, "whole", lambda bare, **_: bare)
    before.setattr(posts, "VERSION", 3)
    submissions(one / "RS_2023-05.jsonl", "abc11x", "abc12x")
    _bare(other, "abc12x", "abc13x")
    bring(one, own, FORGET)
    bring(other, own, FORGET, add_input=True)
    before.undo()
    submissions(one / "RS_2023-05.jsonl", "abc11x")
    bring(one, own, FORGET)
    bring(other, own, FORGET)
    assert ("reddit", "t3_abc12x") in told(own)


def test_a_takedown_before_the_next_run_leaves_a_file_with_copies_of_other_posts(
    tmp_path: Path, before: pytest.MonkeyPatch, imgbatch: Command
) -> None:
    own, folder = tmp_path / "own", tmp_path / "in"
    ids = (TWEET, OTHER)
    for one in ids:
        photo(folder / f"{one}.jpg", tail=one.encode())
    write_dump(folder / f"{TWEET}.jsonl", [Tweet(one, "old", [f"{one}.jpg"]) for one in ids])
    write_dump(folder / "zall.jsonl", [Tweet(one, "new") for one in ids])
    with before.context() as then:
        then.setattr(posts, "TABLES", tuple(one for one in posts.TABLES if one != posts.COPIES))
        bring(folder, own)
    before.undo()
    shutil.rmtree(own / "post_copies", ignore_errors=True)
    assert imgbatch("forget", own, "--post-id", TWEET, "--yes").returncode == 0
    assert f"{TWEET}.jsonl" in there(own)
    bring(folder, own)
    assert rows(own, "post_media", "post_id", "status") == [(OTHER, "other-copy")]


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("at", ["imgbatch.dataset.posts.commit", "imgbatch.run.forget_removed"])
@pytest.mark.parametrize(
    ("put", "gone", "stays"),
    [
        (_videos, ("x", TWEET), ("x", OTHER)),
        (_messages, ("telegram", "chan/17"), ("telegram", "chan/18")),
        (_submissions, ("reddit", "t3_abc12"), ("reddit", "t3_abc13")),
    ],
)
def test_a_run_that_is_killed_while_such_a_post_leaves_is_completed_by_the_next(
    tmp_path: Path,
    before: pytest.MonkeyPatch,
    imgbatch: Command,
    at: str,
    put: Callable[[Path], None],
    gone: tuple[str, str],
    stays: tuple[str, str],
) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    put(folder)
    bring(folder, own)
    before.undo()
    # As whoever takes a list from elsewhere: the dataset knows nothing of the post by this id.
    store = Dataset.open(str(own)).store
    tombstones.add(store, "earlier", [mark(*gone)], [gone[0]])
    calls: list[int] = []
    whole = removed.forget_removed

    def at_last(*given: Any) -> Any:
        calls.append(1)
        return whole(*given) if len(calls) == 1 else _killed()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(at, _killed if at.endswith("commit") else at_last)
        with pytest.raises(KeyboardInterrupt):
            bring(folder, own)
    for _ in range(2):
        bring(folder, own)
        assert told(own) == [stays]
        assert [name for name in there(own) if name in ("one.mp4", "one.jpg")] == []
    done = imgbatch("verify", own, "--forgotten", "--post-id", gone[1], "--platform", gone[0])
    assert done.returncode == 0, done.stdout


def test_what_a_fetch_wrote_is_known_by_former_ids_too(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    _messages(folder)
    fetching.fetch(folder, out)
    assert take_out(str(out), frozenset({mark("telegramembed", "17")})).posts == 1
    for _ in range(2):
        kept = [one["post_id"] for one in fetching.posts(out) if "post_id" in one]
        assert kept == ["chan/18"]
        fetching.fetch(folder, out)
    bring(out, tmp_path / "own")
    assert told(tmp_path / "own") == [("telegram", "chan/18")]
