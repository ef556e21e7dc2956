from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.sources.dumps import Dump, Gap, Post, read_all
from imgbatch.sources.dumps.instaloader import files, recognise
from tests.contracts.dumps import fixture

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path) -> tuple[dict[str, Post], list[Gap]]:
    found = [each for _, each in read_all(Dump.at(str(folder)), ["instaloader"])]
    posts = {each.post_id: each for each in found if isinstance(each, Post)}
    return posts, [each for each in found if isinstance(each, Gap)]


def saved(folder: Path, stem: str, node: dict[str, Any], *beside: str) -> None:
    made = {"node": node, "instaloader": {"version": "4.15", "node_type": "Post"}}
    (folder / f"{stem}.json").write_text(json.dumps(made))
    for ending in beside:
        (folder / f"{stem}{ending}").write_bytes(b"made up")


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture("instaloader", tmp_path_factory.mktemp("instaloader") / "dump")


def test_a_photo_has_every_field_of_its_node(dump: Path) -> None:
    post = read(dump)[0]["CrAAAAAAAA1"]
    assert post.platform == "instagram"
    assert post.raw_ref == "ada/2023-05-06_09-08-07_UTC.json:1"
    assert (post.author_id, post.author_name) == ("9001", "ada_made_up")
    assert post.created_at == datetime(2023, 5, 6, 9, 8, 7, tzinfo=UTC)
    assert post.time_source == "taken_at_timestamp"
    assert post.text == "a photograph, marker #made_up"
    assert post.url == "https://www.instagram.com/p/CrAAAAAAAA1/"
    assert post.metrics == {"likes": 7, "comments": 2}
    (medium,) = post.media
    assert medium.path == "2023-05-06_09-08-07_UTC.jpg"
    assert medium.url == "https://scontent.example.net/v/CrAAAAAAAA1_n.jpg?x=1"
    assert (medium.key, medium.width, medium.height) == ("3000000000000000001", 1080, 1350)
    assert medium.alt_text == "Photo of a hill."


def test_the_slides_of_a_carousel_keep_their_order_and_a_missing_one_its_place(dump: Path) -> None:
    media = read(dump)[0]["CrAAAAAAAA2"].media
    assert [(medium.kind, medium.path, medium.key) for medium in media] == [
        ("image", "2023-05-07_10-00-00_UTC_1.jpg", "3000000000000000101"),
        ("video", "2023-05-07_10-00-00_UTC_2.mp4", "3000000000000000102"),
        ("image", "2023-05-07_10-00-00_UTC_2.jpg", "thumbnail"),
        ("image", None, "3000000000000000103"),
    ]
    assert media[3].url == "https://scontent.example.net/v/c3_n.jpg"


def test_a_video_has_its_length_views_and_first_frame(dump: Path) -> None:
    post = read(dump)[0]["CrAAAAAAAA3"]
    assert post.metrics == {"likes": 7, "comments": 5, "video_views": 100, "video_plays": 120}
    video, frame = post.media
    assert (video.kind, video.duration) == ("video", 14.5)
    assert video.url == "https://scontent.example.net/v/3.mp4"
    assert (frame.kind, frame.path, frame.key) == (
        "image",
        "2023-05-08_11-00-00_UTC.jpg",
        "thumbnail",
    )


def test_a_story_goes_by_its_number_and_its_largest_size(dump: Path) -> None:
    post = read(dump)[0]["3000000000000000004"]
    assert post.url is None
    assert post.media[0].url == "https://scontent.example.net/v/s_large.jpg"
    assert post.media[0].path == "2023-05-09_12-00-00_UTC.webp"


def test_what_was_taken_from_the_telephones_interface_and_packed_is_read(dump: Path) -> None:
    post = read(dump)[0]["CrAAAAAAAA7"]
    assert post.raw_ref == "ada/2023-05-10_13-00-00_UTC.json.xz:1"
    assert (post.author_id, post.author_name) == ("9001", "ada_made_up")
    assert (post.text, post.time_source) == ("taken from the telephone's interface", "date")
    assert post.metrics == {"likes": 9, "comments": 3}
    assert [medium.path for medium in post.media] == [
        "2023-05-10_13-00-00_UTC_1.heic",
        "2023-05-10_13-00-00_UTC_2.jpg",
    ]


def test_the_bare_node_of_version_3_is_read(dump: Path) -> None:
    post = read(dump)[0]["xYz_1-AAAA6"]
    assert post.created_at == datetime(2015, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert post.media[0].url == "https://scontent.example.net/v/old_n.jpg"


def test_profiles_are_no_posts_and_are_counted(dump: Path) -> None:
    posts, gaps = read(dump)
    assert "9001" not in posts
    assert ("unread", "ada/*.json", "of the type Profile, which is no post") in {
        (gap.kind, gap.ref, gap.message) for gap in gaps
    }


def test_comments_and_pictures_of_profiles_belong_to_no_post(dump: Path) -> None:
    assert not any("comments" in name for name in files(Dump.at(str(dump))))
    paths = {medium.path for post in read(dump)[0].values() for medium in post.media}
    assert not any("profile_pic" in path for path in paths if path)


def test_the_files_of_a_post_whose_stem_ends_alike_are_not_taken(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"shortcode": "A", "__typename": "GraphSidecar"}, "_1.jpg", "_2.jpg")
    saved(tmp_path, "a_2", {"shortcode": "B", "__typename": "GraphImage"}, ".jpg")
    saved(tmp_path, "ab", {"shortcode": "C", "__typename": "GraphImage"}, ".jpg")
    posts, _ = read(tmp_path)
    assert {key: [medium.path for medium in post.media] for key, post in posts.items()} == {
        "A": ["a_1.jpg"],
        "B": ["a_2.jpg"],
        "C": ["ab.jpg"],
    }


def test_a_carousel_without_its_slides_has_the_files_that_lie_there(tmp_path: Path) -> None:
    saved(tmp_path, "x", {"code": "A", "__typename": "GraphSidecar"}, "_1.jpg", "_2.mp4", "_10.jpg")
    posts, gaps = read(tmp_path)
    assert [(medium.kind, medium.path) for medium in posts["A"].media] == [
        ("image", "x_1.jpg"),
        ("video", "x_2.mp4"),
        ("image", "x_10.jpg"),
    ]
    assert "edge_sidecar_to_children" in {gap.message for gap in gaps}


def test_hostile_stems_find_their_own_files(tmp_path: Path) -> None:
    for stem in ("a.b", "100% sure", "(x)[y]*", "new\nline", "caf\u00e9", "-rf"):
        saved(tmp_path, stem, {"shortcode": stem, "__typename": "GraphImage"}, ".jpg")
    posts, _ = read(tmp_path)
    assert {post.post_id: post.media[0].path for post in posts.values()} == {
        stem: f"{stem}.jpg"
        for stem in ("a.b", "100% sure", "(x)[y]*", "new\nline", "caf\u00e9", "-rf")
    }


def test_the_same_missing_field_of_many_files_is_one_gap(tmp_path: Path) -> None:
    for number in range(20):
        saved(
            tmp_path,
            f"n{number}",
            {"code": f"A{number}", "date": 1, "caption": None, "owner": {"id": 2}},
        )
    _, gaps = read(tmp_path)
    assert [(gap.ref, gap.message, gap.count) for gap in gaps] == [("*.json", "owner.username", 20)]


def test_a_packed_file_that_is_cut_is_a_gap_of_its_own(dump: Path, tmp_path: Path) -> None:
    shutil.copytree(dump, tmp_path / "cut")
    path = tmp_path / "cut" / "ada" / "2023-05-10_13-00-00_UTC.json.xz"
    path.write_bytes(path.read_bytes()[:-40])
    posts, gaps = read(tmp_path / "cut")
    assert "CrAAAAAAAA7" not in posts
    assert len(posts) == 6
    told = {gap.ref: gap.kind for gap in gaps}
    assert told["ada/2023-05-10_13-00-00_UTC.json.xz"].startswith("archive.")


def test_json_of_other_tools_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"tweet_id": 1, "category": "twitter"}')
    (tmp_path / "b.json").write_text("[]")
    assert recognise(Dump.at(str(tmp_path))) == 0.0


def test_bytes_that_are_no_utf_8_are_counted(tmp_path: Path) -> None:
    for stem in ("2023-05-06_09-08-07_UTC", "2023-05-07_09-08-07_UTC", "2023-05-08_09-08-07_UTC"):
        saved(tmp_path, stem, {"shortcode": f"C{stem}", "caption": "caf."})
        if "06" not in stem:
            path = tmp_path / f"{stem}.json"
            path.write_bytes(path.read_bytes().replace(b"caf.", b"caf\xe9"))
    posts, gaps = read(tmp_path)
    assert sorted(post.text or "" for post in posts.values()) == ["caf.", "caf\ufffd", "caf\ufffd"]
    bad = [(gap.ref, gap.count) for gap in gaps if gap.kind == "bad-bytes"]
    assert bad == [("*.json", 2)]
