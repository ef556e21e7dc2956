"""Posts that were forgotten, and pictures of theirs that a later export has in another place."""

from __future__ import annotations

import json
import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset, posts
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.verify import verify
from imgbatch.posts.rows import ROWS, Batches
from imgbatch.sources.dumps import Post
from tests.corpus import PHOTOS
from tests.posts.made import Tweet, bring, photo, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

CHAT = 1234567890
GONE, STAYS = "1500000000000000001", "1500000000000000002"
POLICIES = ("keep", "mark", "forget")


def export(folder: Path, pictures: dict[int, str]) -> None:
    """Write what Telegram Desktop exports of messages with a picture each."""
    messages = []
    for number, name in pictures.items():
        photo(folder / name, tail=str(number).encode())
        messages.append(
            {
                "id": number,
                "type": "message",
                "date_unixtime": "1709528767",
                "from": "Ada",
                "from_id": "user1",
                "text": f"said {number}",
                "photo": name,
            }
        )
    head = {"name": "c", "type": "public_channel", "id": CHAT, "messages": messages}
    (folder / "result.json").write_text(json.dumps(head))


def listed(folder: Path) -> set[str]:
    """Return what the dataset has of the input, but metadata files."""
    own = Dataset.open(str(folder / "own"))
    found = own.read("manifest", columns=["address"])["address"].to_pylist()
    assert set(own.read("sources", columns=["address"])["address"].to_pylist()) == set(found)
    names = {address.partition("/in/")[2] for address in found}
    return {name for name in names if name.endswith(".jpg")}


def joined(folder: Path) -> list[tuple[str, str]]:
    return rows(folder / "own", "post_media", "post_id", "status")


def sound(folder: Path, platform: str, post_id: str) -> None:
    own = Dataset.open(str(folder / "own"))
    assert verify(own).problems == []
    assert verify_forgotten(own, of_posts=[(platform, post_id)]).problems == []


@pytest.mark.parametrize("policy", POLICIES)
def test_a_picture_of_a_forgotten_post_leaves_again_where_an_export_has_it_anew(
    policy: str, tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    said = f'removed = "{policy}"'
    pictures = {1: "photos/photo_1.jpg", 2: "photos/photo_2.jpg"}
    export(tmp_path / "in/march", pictures)
    bring(tmp_path / "in", tmp_path / "own", said)
    gone = f"channel{CHAT}/1"
    assert imgbatch("forget", tmp_path / "own", "--post-id", gone, "--yes").returncode == 0
    assert listed(tmp_path) == {"march/photos/photo_2.jpg"}
    export(tmp_path / "in/april", pictures)
    summary = bring(tmp_path / "in", tmp_path / "own", said)
    assert summary.forgot is not None
    assert summary.forgot["image"] == 1
    assert listed(tmp_path) == {"march/photos/photo_2.jpg", "april/photos/photo_2.jpg"}
    assert joined(tmp_path) == [(f"channel{CHAT}/2", "matched"), (f"channel{CHAT}/2", "other-copy")]
    sound(tmp_path, "telegram", gone)
    # And is told but once: the next runs do not even list it, and come to rest.
    (tmp_path / "in/april/photos/new.jpg").write_bytes(b"")
    assert bring(tmp_path / "in", tmp_path / "own", said).forgot is None
    assert bring(tmp_path / "in", tmp_path / "own", said).posts is None


def test_a_picture_that_another_post_has_too_stays(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    export(tmp_path / "in/march", {1: "photos/shared.jpg", 2: "photos/own.jpg"})
    bring(tmp_path / "in", tmp_path / "own")
    assert (
        imgbatch("forget", tmp_path / "own", "--post-id", f"channel{CHAT}/1", "--yes").returncode
        == 0
    )
    export(tmp_path / "in/april", {1: "photos/shared.jpg", 3: "photos/shared.jpg"})
    assert bring(tmp_path / "in", tmp_path / "own").forgot is None
    assert "april/photos/shared.jpg" in listed(tmp_path)
    assert (f"channel{CHAT}/3", "matched") in joined(tmp_path)


def test_by_a_name_alone_no_picture_leaves(tmp_path: Path, imgbatch: Callable[..., Done]) -> None:
    """It may be a stranger's, or a twin of one that a post which stays has."""
    name = "FfOfFirst1.jpg"
    photo(tmp_path / "in/march" / name)
    tweets = [Tweet(GONE, "one", [name]), Tweet(STAYS, "two", [name])]
    write_dump(tmp_path / "in/tweets.jsonl", tweets)
    bring(tmp_path / "in", tmp_path / "own")
    assert imgbatch("forget", tmp_path / "own", "--post-id", GONE, "--yes").returncode == 0
    photo(tmp_path / "in/april" / name)
    (tmp_path / f"in/{GONE}.jsonl").write_bytes(b"")
    bring(tmp_path / "in", tmp_path / "own")
    shutil.rmtree(tmp_path / "in/march")
    write_dump(tmp_path / f"in/{GONE}.jsonl", [Tweet("1500000000000000003", "answers")])
    bring(tmp_path / "in", tmp_path / "own")
    assert joined(tmp_path) == [(STAYS, "matched")]
    assert ("1500000000000000003",) in rows(tmp_path / "own", "posts", "post_id")
    sound(tmp_path, "x", GONE)


def test_posts_that_stay_are_joined_as_if_none_had_been_forgotten(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    """Two posts name a file alike, and whose the one of that name is nobody knows."""
    photo(tmp_path / "in/media/photo.jpg")
    tweets = [
        Tweet(GONE, "one", ["a/photo.jpg"]),
        Tweet(STAYS, "two", ["b/photo.jpg"]),
    ]
    write_dump(tmp_path / "in/tweets.jsonl", tweets)
    bring(tmp_path / "in", tmp_path / "own")
    assert joined(tmp_path) == [(GONE, "ambiguous"), (STAYS, "ambiguous")]
    assert imgbatch("forget", tmp_path / "own", "--post-id", GONE, "--yes").returncode == 0
    write_dump(tmp_path / "in/tweets.jsonl", [*tweets, Tweet("1500000000000000003", "three")])
    bring(tmp_path / "in", tmp_path / "own")
    assert joined(tmp_path) == [(STAYS, "ambiguous")]
    assert listed(tmp_path) == {"media/photo.jpg"}


def test_a_dataset_that_had_no_posts_yet_keeps_such_pictures_out(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    photo(tmp_path / "in/one.jpg")
    bring(tmp_path / "in", tmp_path / "own")
    assert posts.here(Dataset.open(str(tmp_path / "own"))) == []
    words = ("--post-id", GONE, "--missing-ok", "--yes")
    assert imgbatch("forget", tmp_path / "own", *words).returncode == 0
    (tmp_path / "in/posts.csv").write_text(f"id,platform,image\n{GONE},x,two.jpg\n")
    photo(tmp_path / "in/two.jpg")
    said = 'dump = "table"\nmedia_column = "image"'
    bring(tmp_path / "in", tmp_path / "own", said)
    assert listed(tmp_path) == {"one.jpg"}
    assert rows(tmp_path / "own", "posts", "post_id") == []


def test_the_same_path_in_another_archive_is_another_picture(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    said = 'dump = "table"\nmedia_column = "image"'
    own = tmp_path / "own"
    week(tmp_path / "in", "week1", GONE, STAYS)
    bring(tmp_path / "in", own, said)
    assert imgbatch("forget", own, "--post-id", GONE, "--yes").returncode == 0
    # Its pictures come a run before its posts.
    week(tmp_path / "in", "week2", "1500000000000000011")
    (tmp_path / "in/week2.csv").rename(tmp_path / "later.csv")
    assert bring(tmp_path / "in", own, said).forgot is None
    (tmp_path / "later.csv").rename(tmp_path / "in/week2.csv")
    bring(tmp_path / "in", own, said)
    assert ("1500000000000000011", "matched") in joined(tmp_path)


def week(folder: Path, name: str, *ids: str) -> None:
    """Write a table of posts, and a zip of their pictures, which are numbered."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as packed:
        for number in range(len(ids)):
            picture = PHOTOS["rocket.jpg"].read_bytes()
            packed.writestr(f"{number}.jpg", picture + f"{name} {number}".encode())
    lines = (f"{own},x,{number}.jpg\n" for number, own in enumerate(ids))
    (folder / f"{name}.csv").write_text("id,platform,image\n" + "".join(lines))


def test_so_many_forgotten_posts_do_not_wait_in_memory() -> None:
    taken: list[int] = []
    batches = Batches("in", lambda tables: taken.append(tables[4].num_rows))
    for number in range(2 * ROWS):
        batches.leave_out("twarc2", Post(str(number), "x", f"in:{number}"))
    assert taken == [ROWS, ROWS]
