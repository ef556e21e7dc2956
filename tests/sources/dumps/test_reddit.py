"""Every field of Reddit's dumps, as it reaches the tables."""

from __future__ import annotations

import bz2
import json
import lzma
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from imgbatch.sources.dumps import Dump, Gap, Media, Plain, Post, choose, reddit
from tests.contracts.dumps import fixture

if TYPE_CHECKING:
    from pathlib import Path

LONG_WINDOW = 27


def read(where: Path) -> list[Post | Gap]:
    return list(reddit.read(Dump.at(str(where)), Plain()))


@pytest.fixture
def posts(tmp_path: Path) -> dict[str, Post]:
    found = read(fixture("reddit", tmp_path / "dump"))
    return {post.post_id: post for post in found if isinstance(post, Post)}


def one(folder: Path, **fields: Any) -> Post:
    row = {"id": "1a2b3c", "subreddit": "s", "author": "a", "title": "t", "created_utc": 1}
    row |= {"score": 1, "num_comments": 0, "is_self": False, "author_fullname": "t2_a", **fields}
    folder.mkdir(exist_ok=True)
    (folder / "RS_2023-12.ndjson").write_text(json.dumps(row) + "\n")
    (post,) = [found for found in read(folder) if isinstance(found, Post)]
    return post


def test_a_submission_with_a_picture(posts: dict[str, Post]) -> None:
    assert posts["t3_18abc01"] == Post(
        post_id="t3_18abc01",
        platform="reddit",
        raw_ref="RS_2023-12.ndjson:1",
        author_id="t2_ada01",
        author_name="ada_example",
        created_at=datetime(2023, 12, 1, tzinfo=UTC),
        time_source="created_utc",
        text="The marker over the hills",
        url="https://www.reddit.com/r/stargazers/comments/18abc01/a_title/",
        metrics={
            "score": 12,
            "ups": 12,
            "downs": 0,
            "num_comments": 3,
            "num_crossposts": 0,
            "gilded": 0,
        },
        media=(
            Media(0, "image", url="https://i.redd.it/abcdefghij01.jpg", width=1080, height=720),
        ),
    )


def test_a_gallery_in_its_own_order_with_one_that_is_gone(posts: dict[str, Post]) -> None:
    assert posts["t3_18abc02"].media == (
        Media(
            0,
            "image",
            url="https://i.redd.it/gal2second.gif",
            key="gal2second",
            width=300,
            height=200,
            alt_text="the second night",
        ),
        Media(
            1,
            "image",
            url="https://preview.redd.it/gal1first.jpg?width=800&s=2a",
            key="gal1first",
            width=800,
            height=600,
        ),
        Media(2, "image", key="gal3gone", status="unavailable"),
    )


def test_a_video_that_reddit_hosts(posts: dict[str, Post]) -> None:
    assert posts["t3_18abc03"].media == (
        Media(
            0,
            "video",
            url="https://v.redd.it/vid00comet1/DASH_720.mp4?source=fallback",
            key="vid00comet1",
            width=1280,
            height=720,
            duration=17.0,
        ),
    )


def test_a_crosspost_shows_what_it_shares(posts: dict[str, Post]) -> None:
    post = posts["t3_18abc04"]
    assert (post.repost_of, post.author_name) == ("t3_18abc01", "bob_example")
    assert [medium.url for medium in post.media] == ["https://i.redd.it/abcdefghij01.jpg"]


def test_a_deleted_author_is_nobody_and_the_deletion_is_told(posts: dict[str, Post]) -> None:
    post = posts["t3_18abc05"]
    assert (post.author_id, post.author_name) == (None, None)
    assert post.metrics["was_deleted_later"] == 1
    assert post.text == "Is this the right place?\n\nI mean [this](https://example.org)."


def test_the_preview_of_a_link_is_no_medium_unless_the_link_is_a_picture(
    posts: dict[str, Post],
) -> None:
    assert posts["t3_18abc06"].media == ()
    (medium,) = posts["t3_18abc07"].media
    assert medium.url == "https://external-preview.redd.it/seven.png?s=9&w=1"
    assert posts["t3_18abc07"].metrics["over_18"] == 1


def test_a_time_as_text_and_before_1970(posts: dict[str, Post]) -> None:
    assert posts["t3_18abc08"].created_at == datetime(1969, 12, 31, tzinfo=UTC)
    assert [medium.kind for medium in posts["t3_18abc08"].media] == ["video"]


def test_comments_reply_to_submissions_and_comments(posts: dict[str, Post]) -> None:
    assert posts["t1_kb00001"].reply_to == "t3_18abc01"
    assert posts["t1_kb00002"].reply_to == "t1_kb00001"
    assert posts["t1_kb00002"].url == "https://www.reddit.com/comments/18abc01/_/kb00002"
    assert posts["t1_kb00001"].text == "What a marker"
    # An emoji inside the text is no medium of it.
    assert [medium.key for medium in posts["t1_kb00003"].media] == ["giphy|wave1|downsized"]


def test_a_video_of_a_gallery_and_media_without_a_gallery(tmp_path: Path) -> None:
    told = {"e": "RedditVideo", "status": "valid", "x": 640, "y": 360, "id": "v1"}
    told["hlsUrl"] = "https://v.redd.it/link/1/asset/v1/HLSPlaylist.m3u8?a=1&amp;b=2"
    (medium,) = one(tmp_path / "a", media_metadata={"v1": told}).media
    url = "https://v.redd.it/link/1/asset/v1/HLSPlaylist.m3u8?a=1&b=2"
    assert medium == Media(0, "video", url=url, key="v1", width=640, height=360)


@pytest.mark.parametrize("wrong", [None, 3, "x", [], {}, [[]], {"items": None}, {"items": [3]}])
def test_media_of_other_types_are_no_error(tmp_path: Path, wrong: object) -> None:
    told = {"a": wrong}
    for field in ("gallery_data", "media", "preview", "crosspost_parent_list", "url", "_meta"):
        assert len(one(tmp_path / field, media_metadata=told, **{field: wrong}).media) <= 1
    assert one(tmp_path / "media_metadata", media_metadata=wrong).post_id == "t3_1a2b3c"


def test_months_are_read_as_they_are_packed(tmp_path: Path) -> None:
    folder = fixture("reddit", tmp_path / "dump")
    expected = [(post.post_id, post.created_at) for post in read(folder) if isinstance(post, Post)]
    for name, pack in (("RC_2023-12", bz2.compress), ("RS_2023-12", lzma.compress)):
        plain = folder / f"{name}.ndjson"
        (folder / f"{name}.{'bz2' if name < 'RD' else 'xz'}").write_bytes(pack(plain.read_bytes()))
        plain.unlink()
    dump = Dump.at(str(folder))
    assert list(reddit.files(dump)) == ["RC_2023-12.bz2", "RS_2023-12.xz"]
    assert choose(dump) == ["reddit"]
    assert [(p.post_id, p.created_at) for p in read(folder) if isinstance(p, Post)] == expected


def test_a_month_with_a_long_window_is_read(tmp_path: Path) -> None:
    folder = fixture("reddit", tmp_path / "dump")
    data = (folder / "RS_2023-12.ndjson").read_bytes() * 50
    settings = zstandard.ZstdCompressionParameters(window_log=LONG_WINDOW + 4, enable_ldm=True)
    made = zstandard.ZstdCompressor(compression_params=settings)
    (folder / "RS_2024-01.zst").write_bytes(made.compress(data))
    found = [post for post in read(folder) if isinstance(post, Post)]
    assert sum(post.raw_ref.startswith("RS_2024-01.zst:") for post in found) == 400


@pytest.mark.parametrize(
    ("name", "post"),
    [
        ("media/18abc01 A title.jpg", "t3_18abc01"),
        ("media/18abc02 02 Three nights.jpg", "t3_18abc02"),
        ("ada_example_A title_18abc01.jpg", "t3_18abc01"),
        ("ada_example_A title_18abc02_2.png", "t3_18abc02"),
        ("abcdefghij01.jpg", None),
        ("a.jpg", None),
    ],
)
def test_ids_in_the_names_of_downloaded_files(name: str, post: str | None) -> None:
    assert reddit.posts_of(name) == post
