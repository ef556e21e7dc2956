from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imgbatch.sources.dumps import Dump, Gap, Post, posts_of, read_all
from imgbatch.sources.dumps._gallery_dl_post import shortcode
from imgbatch.sources.dumps.gallery_dl import recognise
from imgbatch.sources.dumps.names import resolve

FIXTURE = Path(__file__).parent / "gallery_dl"


def read(folder: Path) -> tuple[dict[str, Post], list[Gap]]:
    found = [each for _, each in read_all(Dump.at(str(folder)), ["gallery-dl"])]
    posts = {each.post_id: each for each in found if isinstance(each, Post)}
    return posts, [each for each in found if isinstance(each, Gap)]


def saved(path: Path, item: dict[str, Any], *media: str) -> None:
    """Write a metadata file, and media beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"subcategory": "user", **item}, indent=4))
    for name in media:
        (path.parent / name).write_bytes(b"made up")


@pytest.fixture(scope="module")
def dump() -> dict[str, Post]:
    return read(FIXTURE)[0]


def test_a_photo_of_x_has_every_field(dump: dict[str, Post]) -> None:
    post = dump["1654773000000000001"]
    assert post.platform == "x"
    assert post.raw_ref == "twitter/ada_made_up/1654773000000000001_1.jpg.json:1"
    assert (post.author_id, post.author_name) == ("9001", "ada_made_up")
    assert post.created_at == datetime(2023, 5, 6, 9, 8, 7, tzinfo=UTC)
    assert post.time_source == "date"
    assert (post.text, post.lang) == ("a photograph, marker", "en")
    assert post.url == "https://x.com/ada_made_up/status/1654773000000000001"
    assert (post.reply_to, post.repost_of) == (None, None)
    assert post.metrics == {"favorite_count": 5, "view_count": 100}
    (medium,) = post.media
    assert (medium.path, medium.width, medium.height) == ("1654773000000000001_1.jpg", 1200, 800)
    assert medium.alt_text == "A hill in the sun."


def test_the_metadata_files_of_a_posts_media_are_one_post_in_order(dump: dict[str, Post]) -> None:
    media = dump["1654773000000000002"].media
    assert [(medium.index, medium.kind, medium.path) for medium in media] == [
        (0, "image", "1654773000000000002_1.jpg"),
        (1, "video", "1654773000000000002_2.mp4"),
        (2, "image", "1654773000000000002_3.png"),  # named, and no file is there
    ]
    assert (media[1].width, media[1].height, media[1].duration) == (1280, 720, 12.5)


def test_ten_and_more_pictures_stay_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(1, 13):
        name = f"1654773000000000001_{number}.jpg"
        item = {"tweet_id": 1654773000000000001, "num": number, "category": "twitter"}
        saved(tmp_path / f"{name}.json", item, name)
    media = read(tmp_path)[0]["1654773000000000001"].media
    assert [medium.path for medium in media] == [
        f"1654773000000000001_{number}.jpg" for number in range(1, 13)
    ]


def test_a_repost_is_of_who_reposts_and_names_the_original(dump: dict[str, Post]) -> None:
    post = dump["1654773000000000003"]
    assert post.repost_of == "1654000000000000009"
    assert (post.author_id, post.author_name) == ("9001", "ada_made_up")


@pytest.mark.parametrize(("retweet_id", "reposted"), [(0, None), (5, None), (4, "4"), ("4", "4")])
def test_a_repost_of_an_unknown_account_has_no_author_and_an_original_is_no_repost(
    tmp_path: Path, retweet_id: object, reposted: str | None
) -> None:
    user = {"id": 9, "name": "ada"}
    item = {"tweet_id": 5, "category": "twitter", "author": user, "user": user, "num": 1}
    saved(tmp_path / "5_1.jpg.json", {**item, "retweet_id": retweet_id, "reply_id": 3})
    posts, gaps = read(tmp_path)
    assert posts["5"].repost_of == reposted
    assert posts["5"].reply_to == "3"
    assert posts["5"].author_id == (None if reposted else "9")
    assert ("author's id" in {gap.message for gap in gaps}) == bool(reposted)


def test_instagram_has_shortcode_caption_owner_and_the_media_addresses(tmp_path: Path) -> None:
    item = {
        "category": "instagram",
        "post_id": "3097000000000000001",
        "post_shortcode": "Cr6wt4tOAAB",
        "description": "a carousel",
        "owner_id": "9003",
        "username": "ada",
        "post_date": "2023-05-06 09:08:07",
        "date": "2023-05-06 09:09:09",
        "post_url": "https://www.instagram.com/p/Cr6wt4tOAAB/",
        "likes": 7,
        "sidecar_media_id": "3097000000000000001",
        "width": 1080,
        "height": 1350,
    }
    first, second = "3097000000000000001_30970002.jpg", "3097000000000000001_30970003.mp4"
    image = {"num": 2, "media_id": "30970002", "display_url": "https://a/1.jpg", "video_url": None}
    video = {"num": 1, "media_id": "30970003", "display_url": "https://a/2.jpg"}
    saved(tmp_path / f"{first}.json", {**item, **image}, first)
    saved(tmp_path / f"{second}.json", {**item, **video, "video_url": "https://a/2.mp4"}, second)
    post = read(tmp_path)[0]["Cr6wt4tOAAB"]
    assert (post.platform, post.text, post.author_id) == ("instagram", "a carousel", "9003")
    assert post.created_at == datetime(2023, 5, 6, 9, 8, 7, tzinfo=UTC)
    assert post.url == "https://www.instagram.com/p/Cr6wt4tOAAB/"
    assert post.metrics == {"likes": 7}
    assert [(medium.path, medium.url, medium.key) for medium in post.media] == [
        (second, "https://a/2.mp4", "30970003"),
        (first, "https://a/1.jpg", "30970002"),
    ]


def test_reddit_has_title_and_text_and_a_crosspost_its_original(tmp_path: Path) -> None:
    item = {
        "category": "reddit",
        "id": "13abcde",
        "title": "Two hills",
        "selftext": "with words",
        "author": "ada",
        "author_fullname": "t2_9005",
        "created_utc": 1683364087.0,
        "permalink": "/r/madeup/comments/13abcde/x/",
        "crosspost_parent": "t3_13zzzzz",
        "score": 12,
        "num_comments": 3,
        "url": "https://i.redd.it/13abcde.jpg",
        "num": 0,
    }
    saved(tmp_path / "13abcde Two hills.jpg.json", item, "13abcde Two hills.jpg")
    post = read(tmp_path)[0]["t3_13abcde"]
    assert post.text == "Two hills\n\nwith words"
    assert (post.author_id, post.author_name) == ("t2_9005", "ada")
    assert (post.time_source, post.repost_of) == ("created_utc", "t3_13zzzzz")
    assert post.url == "https://www.reddit.com/r/madeup/comments/13abcde/x/"
    assert post.metrics == {"score": 12, "num_comments": 3}
    assert post.media[0].url == "https://i.redd.it/13abcde.jpg"


def test_a_comment_of_reddit_is_no_submission(tmp_path: Path) -> None:
    item = {"category": "reddit", "id": "jabcdef", "body": "said", "link_id": "t3_13abcde"}
    saved(tmp_path / "jabcdef said.jpg.json", item)
    assert list(read(tmp_path)[0]) == ["t1_jabcdef"]


def test_tiktok_has_its_nested_author_and_counts(tmp_path: Path) -> None:
    item = {
        "category": "tiktok",
        "id": "7230000000000000001",
        "desc": "a dance",
        "createTime": "1683364087",
        "author": {"id": "9006", "uniqueId": "ada"},
        "user": "ada",
        "stats": {"diggCount": 4, "playCount": 90},
        "file_id": "v1",
        "duration": 9,
    }
    saved(tmp_path / "7230000000000000001 a dance.mp4.json", item)
    post = read(tmp_path)[0]["7230000000000000001"]
    assert (post.author_id, post.author_name, post.text) == ("9006", "ada", "a dance")
    assert post.created_at == datetime(2023, 5, 6, 9, 8, 7, tzinfo=UTC)
    assert post.metrics == {"diggCount": 4, "playCount": 90}
    assert (post.media[0].kind, post.media[0].key, post.media[0].duration) == ("video", "v1", 9.0)


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        ([{"category": "directlink", "filename": "logo"}], "unread"),
        ([{"category": "twitter", "content": "a"}], "no-id"),
        ([{"category": "mastodon"}, {"category": "mastodon", "id": "110"}], "no-id"),
    ],
)
def test_records_of_a_site_without_ids_are_no_damage(
    tmp_path: Path, items: list[dict[str, Any]], kind: str
) -> None:
    for number, item in enumerate(items):
        saved(tmp_path / f"{number}.png.json", item)
    assert [gap.kind for gap in read(tmp_path)[1] if gap.kind in ("no-id", "unread")] == [kind]


def test_a_site_that_is_not_named_here_is_read_by_the_words_that_most_use(tmp_path: Path) -> None:
    item = {"category": "mastodon", "id": "110", "content": "a toot", "date": "2023-05-06 09:08:07"}
    account = {"account": {"id": "7", "username": "ada"}, "reblogs_count": 2, "num": 1}
    saved(tmp_path / "110_1.png.json", {**item, **account}, "110_1.png")
    post = read(tmp_path)[0]["110"]
    assert (post.platform, post.text, post.author_id) == ("mastodon", "a toot", "7")
    assert post.metrics == {"reblogs_count": 2}


def test_lines_of_a_data_jsonl_find_their_files_by_gallery_dls_own_names(
    dump: dict[str, Post],
) -> None:
    post = dump["1654773000000000011"]
    assert post.raw_ref == "lines/data.jsonl:1"
    assert [medium.path for medium in post.media] == [
        "1654773000000000011_1.jpg",
        "1654773000000000011_2.jpg",
    ]
    assert dump["1654773000000000012"].media[0].kind == "video"


def test_a_cut_last_line_is_a_gap_with_its_number(tmp_path: Path) -> None:
    data = (FIXTURE / "lines" / "data.jsonl").read_text()
    (tmp_path / "data.jsonl").write_text(data[:-100])
    posts, gaps = read(tmp_path)
    assert list(posts) == ["1654773000000000011"]
    assert [(gap.kind, gap.line) for gap in gaps] == [("cut-line", 3)]


def test_an_info_json_alone_has_the_files_that_begin_with_its_id(tmp_path: Path) -> None:
    item = {"category": "twitter", "tweet_id": 1654773000000000021, "count": 2}
    media = ("1654773000000000021_1.jpg", "1654773000000000021_2.mp4", "1654773000000000099_1.jpg")
    saved(tmp_path / "info.json", item, *media)
    assert [medium.path for medium in read(tmp_path)[0]["1654773000000000021"].media] == [
        *media[:2]
    ]


def test_an_info_json_among_the_metadata_of_files_is_not_a_second_post(tmp_path: Path) -> None:
    item = {"category": "twitter", "tweet_id": 5, "num": 1}
    saved(tmp_path / "5_1.jpg.json", item, "5_1.jpg")
    saved(tmp_path / "info.json", {"category": "twitter", "tweet_id": 5})
    found = [each for _, each in read_all(Dump.at(str(tmp_path)), ["gallery-dl"])]
    assert [type(each).__name__ for each in found if isinstance(each, Post)] == ["Post"]


def test_metadata_in_a_folder_of_their_own_or_without_the_ending_find_their_file(
    tmp_path: Path,
) -> None:
    item = {"category": "twitter", "tweet_id": 31, "num": 1}
    saved(tmp_path / "a" / "metadata" / "31_1.webp.json", item)
    (tmp_path / "a" / "31_1.webp").write_bytes(b"made up")
    saved(tmp_path / "b" / "41_1.json", {**item, "tweet_id": 41, "extension": "gif"}, "41_1.gif")
    saved(tmp_path / "c" / "51_1.json", {**item, "tweet_id": 51}, "51_1.avif")
    posts, _ = read(tmp_path)
    paths = {
        key: resolve(str(post.media[0].path), post.raw_ref.rpartition(":")[0])
        for key, post in posts.items()
    }
    assert paths == {"31": "a/31_1.webp", "41": "b/41_1.gif", "51": "c/51_1.avif"}


def test_a_date_that_is_none_is_a_gap(tmp_path: Path) -> None:
    item = {"category": "twitter", "tweet_id": 5, "num": 1, "date": "[Invalid DateTime]"}
    saved(tmp_path / "5_1.jpg.json", item)
    posts, gaps = read(tmp_path)
    assert posts["5"].created_at is None
    assert {(gap.kind, gap.message) for gap in gaps} >= {
        ("bad-field", "date"),
        ("missing-field", "date"),
    }


@pytest.mark.parametrize(
    ("name", "post_id"),
    [
        ("twitter/ada/1654773000000000001_2.jpg", "1654773000000000001"),
        ("instagram/ada/3097000000000000001_3097000000000000002.jpg", "Cr6wt4tOAAB"),
        ("reddit/madeup/13abcde 01 Two hills.jpg", "t3_13abcde"),
        ("reddit/madeup/13abcde Two hills.jpg", "t3_13abcde"),
        ("reddit/madeup/13abcde_2.jpg", "t3_13abcde"),
        ("tiktok/ada/holiday.mp4", None),
        ("photo_1.jpg", None),
    ],
)
def test_the_id_in_a_files_own_name(name: str, post_id: str | None) -> None:
    if "instagram" in name:
        post_id = shortcode(3097000000000000001)
    assert posts_of("gallery-dl", name) == post_id


@pytest.mark.parametrize(
    ("number", "code"), [(1, "B"), (63, "_"), (64, "BA"), (2**64, None), (0, None)]
)
def test_a_media_number_in_instagrams_base_64(number: int, code: str | None) -> None:
    assert shortcode(number) == code


def test_json_without_category_and_subcategory_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"category": "holiday", "id": 1}')
    assert recognise(Dump.at(str(tmp_path))) == 0.0


def test_bytes_that_are_no_utf_8_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a" / "1_1.jpg.json"
    saved(path, {"category": "twitter", "tweet_id": 1654773000000000021, "content": "caf."})
    path.write_bytes(path.read_bytes().replace(b"caf.", b"caf\xe9"))
    posts, gaps = read(tmp_path)
    assert [post.text for post in posts.values()] == ["caf\ufffd"]
    bad = [(gap.ref, gap.count) for gap in gaps if gap.kind == "bad-bytes"]
    assert bad == [("a/*.json", 1)]
