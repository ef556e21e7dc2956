"""Where else a post was read: what other copies and pieces of it say counts for takedowns too."""

from __future__ import annotations

import csv
import json
import time
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import Dataset
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.posts_forgotten import older
from imgbatch.dataset.verify import verify
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

FIRST, SECOND, THIRD = (f"160000000000000000{n}" for n in (1, 2, 3))
COLUMNS = 'media_column = "image"'
KEY = "k3y9abcdef12x"


def there(own: Path) -> set[str]:
    """Return what the sources are called."""
    listed = Dataset.open(str(own)).read("sources")["address"].to_pylist()
    return {address.rpartition("/")[2] for address in listed}


def sheet(file: Path, *posts: tuple[str, str], **more: str) -> None:
    """Write a table of posts of X: id and images of each, and further columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["id", "platform", "text", "image", *more])
        table.writerows([own, "x", "said", image, *more.values()] for own, image in posts)


def video(folder: Path, name: str, medium: str, post_id: str = FIRST) -> None:
    """Put a video there as yt-dlp does that is told to name files by a number."""
    info = {
        "id": medium,
        "display_id": post_id,
        "extractor_key": "Twitter",
        "description": "said",
        "timestamp": 1709528767,
        "webpage_url": f"https://twitter.com/u7/status/{post_id}",
        "ext": "mp4",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.info.json").write_text(json.dumps(info))
    (folder / f"{name}.mp4").write_bytes(b"made up" + medium.encode())


def part(folder: Path, number: int) -> None:
    """Put one picture of an album there as gallery-dl does that is told to name files by a number.

    Another album's lies between this and the next.
    """
    for own, name in ((SECOND, f"{number}"), (THIRD, f"{number}x")):
        told = {
            "category": "twitter",
            "subcategory": "timeline",
            "tweet_id": int(own),
            "date": "2024-01-01 00:00:00",
            "content": "said",
            "author": {"id": 7, "name": "ada"},
            "num": number,
            "count": 2,
        }
        photo(folder / f"{name}.jpg", tail=name.encode())
        (folder / f"{name}.jpg.json").write_text(json.dumps(told))


def clean(own: Path) -> None:
    assert verify(Dataset.open(str(own))).problems == []


def test_the_metadata_files_of_every_piece_go_with_a_post(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    for at in (1, 2):
        video(tmp_path / "in", f"clip{at}", f"160000000000000009{at}")
        part(tmp_path / "in/twitter/u", at)
    bring(tmp_path / "in", own)
    assert rows(own, "posts", "post_id", "n_media") == [(FIRST, 2), (SECOND, 2), (THIRD, 2)]
    assert [post_id for (post_id,) in rows(own, "post_copies", "post_id")] == [FIRST, SECOND, THIRD]
    clean(own)
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json")
    assert (done.said["posts"], done.said["sources"]) == (1, 4)
    for at in (1, 2):
        assert f"in/clip{at}.info.json" in done.stdout
    assert len(there(own)) == 8
    assert imgbatch("forget", own, "--post-id", SECOND, "--yes").returncode == 0
    assert there(own) == {"1x.jpg", "1x.jpg.json", "2x.jpg", "2x.jpg.json"}
    clean(own)


def conversation(folder: Path, *left: str) -> None:
    """Write a file that is called as its first post and has pictures, and a newer one of texts."""
    folder.mkdir(parents=True, exist_ok=True)
    write_dump(folder / f"{FIRST}.jsonl", [Tweet(own, "old", [f"{own}.jpg"]) for own in left])
    write_dump(folder / "zall.jsonl", [Tweet(own, "new") for own in left])


def test_a_file_with_copies_of_posts_that_stay_stays(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own, others = tmp_path / "own", ([SECOND, THIRD], {f"{SECOND}.jpg", f"{THIRD}.jpg"})
    for post_id in (FIRST, SECOND, THIRD):
        photo(tmp_path / "in" / f"{post_id}.jpg", tail=post_id.encode())
    conversation(tmp_path / "in", FIRST, SECOND, THIRD)
    policy = 'removed = "forget"'
    bring(tmp_path / "in", own, policy)
    byhand = tmp_path / "byhand"
    bring(tmp_path / "in", byhand)
    assert imgbatch("forget", byhand, "--post-id", FIRST, "--yes").returncode == 0
    conversation(tmp_path / "in", SECOND, THIRD)
    for dataset in (own, byhand):
        bring(tmp_path / "in", dataset, policy if dataset == own else "")
        photo(tmp_path / "in" / f"{dataset.name}.jpg", "flower.jpg", dataset.name.encode())
        bring(tmp_path / "in", dataset, policy if dataset == own else "")
        assert [post_id for (post_id,) in rows(dataset, "posts", "post_id")] == others[0]
        assert f"{FIRST}.jsonl" in there(dataset)
        assert there(dataset) >= others[1]
        found = rows(dataset, "post_media", "post_id", "status")
        assert found == [(SECOND, "other-copy"), (THIRD, "other-copy")]
        clean(dataset)


def of_reddit(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    item = {
        "id": "abc123x",
        "author": "ada",
        "subreddit": "s",
        "title": text,
        "selftext": "",
        "num_comments": 0,
        "score": 1,
        "created_utc": 1683364087,
        "url": "https://v.redd.it/zzz",
        "is_video": True,
        "media": {"reddit_video": {"fallback_url": "https://v.redd.it/zzz/DASH_720.mp4"}},
    }
    (folder / name).write_text(json.dumps(item) + "\n")


def test_a_file_that_was_found_by_its_mediums_id_is_a_copys_when_another_input_has_the_post(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    info = {
        "id": KEY,
        "display_id": "abc123x",
        "extractor_key": "Reddit",
        "title": "hi",
        "channel_id": "s",
        "timestamp": 1683364087,
        "webpage_url": "https://www.reddit.com/r/s/comments/abc123x/x/",
        "ext": "mp4",
    }
    (one / "infos").mkdir(parents=True)
    (one / "infos/v.info.json").write_text(json.dumps(info))
    named = [f"hi [{KEY}]{end}" for end in (".mp4", ".description", ".en.vtt")]
    for name in named:
        (one / name).write_bytes(b"made up " + name.encode())
    photo(one / f"hi [{KEY}]-frame.jpg")
    bring(one, own)
    assert rows(own, "post_media", "status", "joined_by") == [("matched", "id")]
    of_reddit(other, "RS_2023-05.jsonl", "newer")
    bring(other, own, add_input=True)
    for again in range(2):
        assert rows(own, "posts", "text", "dump") == [("newer", "reddit")]
        found = rows(own, "post_media", "status", "joined_by")
        assert found == [("linked", ""), ("other-copy", "id")]
        assert rows(own, "post_copies", "dump", "input") == [("yt-dlp", f"file://{one}")]
        clean(own)
        photo(other / "more.jpg", "flower.jpg", b"%d" % again)
        bring(other, own)
    done = imgbatch("forget", own, "--post-id", "t3_abc123x", "--yes", "--json")
    assert done.said["posts"] == 1
    assert not {name for name in there(own) if KEY in name}
    proof = verify_forgotten(Dataset.open(str(own)), of_posts=[("reddit", "t3_abc123x")])
    assert proof.problems == []


def test_what_stands_behind_a_posts_media_has_no_place_in_it(tmp_path: Path) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    for folder, name in ((one, "a0"), (one, "a1"), (other, "b0")):
        photo(folder / f"{name}.jpg", tail=name.encode())
    sheet(one / "p.csv", (FIRST, "a0.jpg,a1.jpg"))
    sheet(other / "p.csv", (FIRST, "b0.jpg"))
    bring(one, own, COLUMNS)
    bring(other, own, COLUMNS, add_input=True)
    sheet(other / "p.csv", (FIRST, "b0.jpg,https://dead.example/zz/qwertyuiop124.jpg"))
    counts = bring(other, own, COLUMNS).posts
    assert counts is not None
    assert counts["changed"] == 1
    assert rows(own, "post_media", "status", "local_path") == [
        ("matched", "b0.jpg"),
        ("linked", None),
        ("other-copy", "//a0.jpg"),
        ("other-copy", "//a1.jpg"),
    ]
    clean(own)


def test_a_file_of_a_copy_is_nobodys_when_the_copy_is_gone(tmp_path: Path) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    photo(one / "a.jpg")
    photo(other / "b.jpg", "china.jpg")
    sheet(one / "p.csv", (FIRST, "a.jpg"))
    sheet(other / "p.csv", (FIRST, "b.jpg"))
    bring(one, own, COLUMNS)
    bring(other, own, COLUMNS, add_input=True)
    both = [("matched", "b.jpg"), ("other-copy", "//a.jpg")]
    assert rows(own, "post_media", "status", "local_path") == both
    # A cut table may have the post all the same.
    (one / "p.csv").write_text('id,platform,text,image\n"cut')
    bring(one, own, COLUMNS)
    assert rows(own, "post_media", "status", "local_path") == both
    sheet(one / "p.csv", (SECOND, "a.jpg"))
    bring(one, own, COLUMNS)
    found = rows(own, "post_media", "post_id", "status", "local_path")
    assert found == [(FIRST, "matched", "b.jpg"), (SECOND, "matched", "a.jpg")]
    assert rows(own, "post_copies") == []
    clean(own)


def test_whose_a_post_is_any_copy_may_say(tmp_path: Path, imgbatch: Callable[..., Done]) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    one.mkdir(parents=True)
    write_dump(one / "t.jsonl", [Tweet(FIRST, author="7"), Tweet(SECOND, author="8")])
    photo(other / "a.jpg")
    sheet(other / "p.csv", (FIRST, "a.jpg"))
    bring(one, own)
    bring(other, own, COLUMNS, add_input=True)
    assert dict(rows(own, "posts", "post_id", "author_id"))[FIRST] is None
    notice = tmp_path / "notices.jsonl"
    notice.write_text(json.dumps({"user_delete": {"id": 7}}) + "\n")
    done = imgbatch("forget", own, "--deleted-posts", notice, "--yes", "--json")
    assert (done.said["posts"], done.said["sources"]) == (1, 1)
    assert rows(own, "posts", "post_id") == [(SECOND,)]
    assert rows(own, "post_copies") == []
    # Neither copy comes back.
    for folder in (one, other):
        photo(folder / "more.jpg", "flower.jpg", folder.name.encode())
        bring(folder, own, COLUMNS if folder == other else "")
        assert rows(own, "posts", "post_id") == [(SECOND,)]
    clean(own)


def test_when_a_post_was_made_any_copy_may_say(tmp_path: Path) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    one.mkdir(parents=True)
    write_dump(one / "t.jsonl", [Tweet(FIRST, when="2020-03-04T05:06:07.000Z"), Tweet(SECOND)])
    sheet(other / "p.csv", (FIRST, "a.jpg"), (THIRD, "b.jpg"))
    bring(one, own)
    bring(other, own, COLUMNS, add_input=True)
    before = time.mktime((2023, 1, 1, 0, 0, 0, 0, 0, 0))
    known, timeless = older(Dataset.open(str(own)), before)
    assert (known.here, timeless) == (1, 1)
    assert known.marks == {f"post x {FIRST}"}


def test_files_that_may_be_a_medium_of_another_copy_are_told(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    for folder in ("x", "y"):
        photo(tmp_path / "in" / folder / "qwerty123uiop.jpg", tail=folder.encode())
    sheet(tmp_path / "in/week1.csv", (FIRST, "https://h.example/qwerty123uiop.jpg"))
    sheet(tmp_path / "in/week2.csv", (FIRST, ""))
    bring(tmp_path / "in", own, COLUMNS)
    told = [(ref, count) for kind, ref, count in rows(own, "post_gaps", "kind", "ref", "count")
            if kind == "ambiguous-copy"]  # fmt: skip
    assert told == [(f"x {FIRST}", 1)]
    clean(own)
    done = imgbatch("forget", own, "--post-id", FIRST, "--yes", "--json")
    assert done.said["ambiguous_media"] == 1
    assert "ambiguous-copy" not in {kind for (kind,) in rows(own, "post_gaps", "kind")}


def test_a_takedown_of_a_metadata_file_leaves_no_name_of_it(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    for week in ("w1", "w2"):
        sheet(tmp_path / f"in/{week}/{week}.csv", (FIRST, "x.jpg"))
    bring(tmp_path / "in", own, COLUMNS)
    assert rows(own, "post_copies", "raw_ref") == [("w1/w1.csv:2",)]
    address = f"file://{tmp_path}/in/w1/w1.csv"
    assert imgbatch("forget", own, "--source", address, "--yes").returncode == 0
    assert rows(own, "post_copies") == []
    whole: list[dict[str, Any]] = rows(own, "post_gaps") + rows(own, "posts")
    assert "w1.csv" not in str(whole)
    clean(own)


def test_copies_of_other_inputs_stay_and_those_of_this_one_are_as_it_is_now(
    tmp_path: Path,
) -> None:
    own, one, other = tmp_path / "own", tmp_path / "in/a", tmp_path / "in/b"
    for week in ("w1", "w2"):
        sheet(one / f"{week}.csv", (FIRST, ""), (SECOND, ""))
    sheet(other / "p.csv", (FIRST, ""))
    bring(one, own, COLUMNS)
    bring(other, own, COLUMNS, add_input=True)

    def copies() -> list[tuple[str, str, str]]:
        found = rows(own, "post_copies", "post_id", "raw_ref", "input")
        return sorted((own_id, ref, input_[-1]) for own_id, ref, input_ in found)

    both = [(FIRST, "w1.csv:2", "a"), (FIRST, "w2.csv:2", "a"), (SECOND, "w1.csv:3", "a")]
    assert copies() == both
    photo(other / "more.jpg")
    bring(other, own, COLUMNS)
    assert copies() == both
    # Another week of this input, where one is no copy any more; the other input is one then.
    sheet(one / "w1.csv", (SECOND, ""))
    bring(one, own, COLUMNS)
    assert copies() == [(FIRST, "p.csv:2", "b"), (SECOND, "w1.csv:2", "a")]
    # A cut file takes nothing away that was known.
    with (one / "w2.csv").open("a") as out:
        out.write('"cut')
    sheet(one / "w1.csv", (THIRD, ""))
    bring(one, own, COLUMNS)
    assert (FIRST, "p.csv:2", "b") in copies()
    clean(own)
