from __future__ import annotations

import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imgbatch.sources.dumps import Dump, Gap, Post, read_all
from imgbatch.sources.dumps.meta import files, mended, recognise
from imgbatch.sources.dumps.names import resolve

FIXTURE = Path(__file__).parent / "meta"
INSTAGRAM = "instagram-ada_made_up-2023-06-01-AbCdEf"
ACTIVITY = f"{INSTAGRAM}/your_instagram_activity"
FACEBOOK = "facebook-ada_made_up/your_facebook_activity/posts"


def read(folder: Path) -> tuple[list[Post], list[Gap]]:
    found = [each for _, each in read_all(Dump.at(str(folder)), ["meta"])]
    posts = [each for each in found if isinstance(each, Post)]
    return posts, [each for each in found if isinstance(each, Gap)]


def by_text(folder: Path) -> dict[str | None, Post]:
    return {post.text: post for post in read(folder)[0]}


def names(post: Post) -> list[str | None]:
    """Return the names in the dump that a post's paths mean."""
    beside = post.raw_ref.rpartition(":")[0]
    return [resolve(medium.path, beside) for medium in post.media if medium.path]


def baked(words: str) -> str:
    """Return text as Meta writes it: UTF-8 taken for Latin-1."""
    return words.encode().decode("latin-1")


def posted(path: Path, *items: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(items))


@pytest.fixture(scope="module")
def dump() -> dict[str | None, Post]:
    return by_text(FIXTURE)


def test_a_post_of_one_picture_has_the_time_and_caption_of_its_medium(
    dump: dict[str | None, Post],
) -> None:
    post = dump["a caf\u00e9, marker, \U0001f600"]
    assert post.platform == "instagram"
    assert post.raw_ref == f"{ACTIVITY}/media/posts_1.json:2"
    assert post.created_at == datetime(2023, 5, 6, 9, 8, 7, tzinfo=UTC)
    assert post.time_source == "media.creation_timestamp"
    assert names(post) == [f"{INSTAGRAM}/media/posts/202305/18000000000000001_n.jpg"]
    assert post.post_id.startswith("1683364087-")


def test_a_carousel_keeps_its_order_and_the_file_that_is_missing(
    dump: dict[str | None, Post],
) -> None:
    post = dump["a carousel, na\u00efve"]
    assert post.time_source == "creation_timestamp"
    assert [medium.kind for medium in post.media] == ["image", "video", "image"]
    assert post.media[2].path == "/media/posts/202305/18000000000000004_n.jpg"
    dumped = Dump.at(str(FIXTURE))
    assert [dumped.has(str(name)) for name in names(post)] == [True, True, False]


def test_stories_newer_items_and_threads_are_posts_too(dump: dict[str | None, Post]) -> None:
    assert dump["a story"].media[0].kind == "image"
    newer = dump["as newer downloads have it"]
    assert newer.post_id == "17000000000000006"
    assert newer.url == "https://www.instagram.com/p/CrMadeUp/"
    thread = dump["a thread without a file"]
    assert (thread.platform, thread.media) == ("threads", ())


def test_a_facebook_post_has_words_files_and_what_is_said_of_them(
    dump: dict[str | None, Post],
) -> None:
    post = dump["words of a post, \u00fcber"]
    assert (post.platform, post.time_source) == ("facebook", "timestamp")
    assert [medium.kind for medium in post.media] == ["image", "video"]
    assert post.media[0].alt_text == "a described hill, Z\u00fcrich"
    assert names(post) == [f"{FACEBOOK}/media/album_1/1_n.jpg", f"{FACEBOOK}/media/album_1/2_n.mp4"]


def test_a_shared_link_is_counted_and_what_was_done_is_no_text(
    dump: dict[str | None, Post],
) -> None:
    assert dump[None].metrics == {"shared_links": 1}
    assert dump["only words"].media == ()


def test_a_picture_of_an_album_belongs_to_the_post_and_to_the_album(
    dump: dict[str | None, Post],
) -> None:
    album = dump["a described hill, Z\u00fcrich"]
    assert album.raw_ref == f"{FACEBOOK}/album/0.json:4"
    assert names(album) == names(dump["words of a post, \u00fcber"])[:1]
    assert dump["a video"].media[0].kind == "video"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (baked("caf\u00e9 \U0001f600 \u4f60\u597d"), "caf\u00e9 \U0001f600 \u4f60\u597d"),
        ("plain", "plain"),
        ("caf\u00e9", "caf\u00e9"),  # Latin-1 by chance, and no UTF-8
        ("already right \u4f60", "already right \u4f60"),
        (baked("\u00e9") + "\u4f60", baked("\u00e9") + "\u4f60"),
        ("", None),
        (17, None),
    ],
)
def test_mojibake_is_mended_and_what_is_none_stays(written: object, meant: str | None) -> None:
    assert mended(written) == meant


def test_files_with_names_in_other_scripts_are_found(tmp_path: Path) -> None:
    uri = "media/posts/202305/caf\u00e9 100% \u4f60.jpg"
    posted(tmp_path / "media/posts_1.json", {"uri": baked(uri), "creation_timestamp": 1})
    (tmp_path / "media/posts/202305").mkdir(parents=True)
    (tmp_path / uri).write_bytes(b"made up")
    dump = Dump.at(str(tmp_path))
    (post,), _ = read(tmp_path)
    assert dump.has(str(names(post)[0]))


@pytest.mark.parametrize(
    ("metadata", "uri", "lies"),
    [
        ("content/posts_1.json", "media/posts/1.jpg", "media/posts/1.jpg"),
        ("posts/your_posts_1.json", "photos_and_videos/1.jpg", "photos_and_videos/1.jpg"),
        (
            "your_facebook_activity/posts/your_posts_1.json",
            "posts/media/1.jpg",
            "your_facebook_activity/posts/media/1.jpg",
        ),
        (
            "posts/your_posts_1.json",
            "your_facebook_activity/posts/media/1.jpg",
            "posts/media/1.jpg",
        ),
        ("photos_and_videos/album/0.json", "photos_and_videos/1.jpg", "photos_and_videos/1.jpg"),
        ("deep/er/media/posts_12.json", "media/1.jpg", "deep/er/media/1.jpg"),
    ],
)
def test_paths_of_older_and_newer_downloads_are_found(
    tmp_path: Path, metadata: str, uri: str, lies: str
) -> None:
    posted(tmp_path / metadata, {"uri": uri, "creation_timestamp": 1})
    (tmp_path / lies).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / lies).write_bytes(b"made up")
    (post,), _ = read(tmp_path)
    assert names(post) == [lies]


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("instagram-ada-2023-06-01-AbC.zip", "instagram-ada-2023-06-01-XyZ.zip", True),
        ("facebook-me-part1.zip", "facebook-me-part2.zip", True),
        ("instagram-ada-2023-06-01-AbC.zip", "instagram-bob-2023-06-01-XyZ.zip", False),
    ],
)
def test_a_file_may_lie_in_another_archive_of_the_same_download(
    tmp_path: Path, first: str, second: str, *, found: bool
) -> None:
    item = {"uri": "media/posts/1.jpg", "creation_timestamp": 1}
    with zipfile.ZipFile(tmp_path / first, "w") as packed:
        packed.writestr("your_instagram_activity/media/posts_1.json", json.dumps([item]))
    with zipfile.ZipFile(tmp_path / second, "w") as packed:
        packed.writestr("media/posts/1.jpg", b"made up")
    (post,), _ = read(tmp_path)
    assert names(post) == [
        f"{second}!/media/posts/1.jpg" if found else f"{first}!/media/posts/1.jpg"
    ]
    assert Dump.at(str(tmp_path)).has(str(names(post)[0])) == found


def test_two_accounts_side_by_side_keep_their_own_files_of_the_same_name(tmp_path: Path) -> None:
    for who in ("ada", "bob"):
        posted(tmp_path / who / "media/posts_1.json", {"uri": "media/1.jpg", "timestamp": 1})
        (tmp_path / who / "media/1.jpg").write_bytes(b"made up")
    posts, _ = read(tmp_path)
    assert [names(post) for post in posts] == [["ada/media/1.jpg"], ["bob/media/1.jpg"]]


@pytest.mark.parametrize("uri", ["../../outside.jpg", "media/../../../outside.jpg", "/etc/x.jpg"])
def test_a_path_that_climbs_finds_nothing(tmp_path: Path, uri: str) -> None:
    (tmp_path / "outside.jpg").write_bytes(b"made up")
    posted(tmp_path / "in/media/posts_1.json", {"uri": uri, "creation_timestamp": 1})
    (post,), _ = read(tmp_path / "in")
    assert post.media[0].path == f"/{uri}"


def test_an_id_is_the_same_wherever_and_in_whichever_order_the_download_lies(
    tmp_path: Path,
) -> None:
    shutil.copytree(FIXTURE, tmp_path / "deeper" / "dump")
    here, there = read(FIXTURE)[0], read(tmp_path)[0]
    assert sorted(post.post_id for post in here) == sorted(post.post_id for post in there)
    assert len({post.post_id for post in here}) == len(here)


def test_an_edited_caption_keeps_the_id_of_a_post_with_a_file(tmp_path: Path) -> None:
    item = {"uri": "media/1.jpg", "creation_timestamp": 1, "title": "before"}
    posted(tmp_path / "media/posts_1.json", item)
    (before,), _ = read(tmp_path)
    posted(tmp_path / "media/posts_1.json", {**item, "title": "after"})
    (after,), _ = read(tmp_path)
    assert before.post_id == after.post_id
    assert (before.text, after.text) == ("before", "after")


def test_an_item_that_says_nothing_is_a_gap(tmp_path: Path) -> None:
    posted(tmp_path / "media/posts_1.json", {"media": [], "uri": 5}, {"creation_timestamp": 1})
    posts, gaps = read(tmp_path)
    assert len(posts) == 1
    assert ("no-id", 1) in {(gap.kind, gap.line) for gap in gaps}


def test_other_files_of_a_download_hold_no_posts(tmp_path: Path) -> None:
    for name in ("likes/liked_posts.json", "saved/saved_posts.json", "messages/message_1.json"):
        posted(tmp_path / "your_instagram_activity" / name, {"timestamp": 1, "uri": "x"})
    dump = Dump.at(str(tmp_path))
    assert list(files(dump)) == []
    assert recognise(dump) == 0.0
