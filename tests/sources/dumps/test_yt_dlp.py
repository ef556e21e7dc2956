from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imgbatch.sources.dumps import Dump, Gap, Post, posts_of, read_all
from imgbatch.sources.dumps.yt_dlp import recognise

FIXTURE = Path(__file__).parent / "yt_dlp"


def read(folder: Path) -> tuple[dict[str, Post], list[Gap]]:
    found = [each for _, each in read_all(Dump.at(str(folder)), ["yt-dlp"])]
    posts = {each.post_id: each for each in found if isinstance(each, Post)}
    return posts, [each for each in found if isinstance(each, Gap)]


def saved(folder: Path, stem: str, info: dict[str, Any], *beside: str) -> None:
    made = {"extractor_key": "Youtube", "channel_id": "UC1", "timestamp": 1, **info}
    (folder / f"{stem}.info.json").write_text(json.dumps(made))
    for ending in beside:
        (folder / f"{stem}{ending}").write_bytes(b"made up")


@pytest.fixture(scope="module")
def dump() -> dict[str, Post]:
    return read(FIXTURE)[0]


def test_a_video_has_every_field_and_the_file_that_it_was_merged_to(dump: dict[str, Post]) -> None:
    post = dump["dQmadeup_01"]
    assert post.platform == "youtube"
    assert post.raw_ref == "A film, made up [dQmadeup_01].info.json:1"
    assert (post.author_id, post.author_name) == ("UCmadeup", "Ada films")
    assert post.created_at == datetime(2023, 5, 6, 9, 8, 7, tzinfo=UTC)
    assert post.time_source == "timestamp"
    assert post.text == "A film, made up\n\nwhat the film shows, marker"
    assert post.lang == "en"
    assert post.url == "https://www.youtube.com/watch?v=dQmadeup_01"
    assert post.metrics == {"view_count": 1000, "like_count": 40, "comment_count": 2}
    video, thumbnail = post.media
    assert (video.kind, video.path) == ("video", "A film, made up [dQmadeup_01].mkv")
    assert (video.width, video.height, video.duration) == (1920, 1080, 212.0)
    assert (thumbnail.kind, thumbnail.path, thumbnail.key) == (
        "image",
        "A film, made up [dQmadeup_01].webp",
        "thumbnail",
    )


def test_a_day_without_time_is_its_beginning_and_the_source_says_so(dump: dict[str, Post]) -> None:
    post = dump["7230000000000000001"]
    assert post.created_at == datetime(1969, 12, 31, tzinfo=UTC)
    assert post.time_source == "upload_date: the day only, in UTC"


def test_a_title_that_is_the_beginning_of_the_description_is_not_said_twice(
    dump: dict[str, Post],
) -> None:
    assert dump["7230000000000000001"].text == "a dance #made_up"


def test_a_video_that_was_not_downloaded_is_there_without_a_path(dump: dict[str, Post]) -> None:
    (medium,) = dump["dQmadeup_02"].media
    assert (medium.kind, medium.path, medium.key) == ("video", None, "dQmadeup_02")


def test_a_playlist_is_no_post_and_is_counted(dump: dict[str, Post]) -> None:
    _, gaps = read(FIXTURE)
    assert "PLmadeup" not in dump
    told = {gap.message: gap.count for gap in gaps if gap.kind == "unread"}
    assert told == {"playlists without entries are no posts": 1}


def test_the_entries_of_an_uncleaned_playlist_are_posts_where_nothing_lies_beside_it(
    dump: dict[str, Post], tmp_path: Path
) -> None:
    assert "PLmadeup2" not in dump
    assert dump["dQmadeup_03"].media[0].url == "https://v.example.net/3"
    entries = [{"id": "a"}, {"id": "b"}]
    saved(tmp_path, "list", {"id": "l", "_type": "playlist", "entries": entries})
    saved(tmp_path, "a", {"id": "a"}, ".mp4")
    posts, gaps = read(tmp_path)
    assert list(posts) == ["a"]
    assert [(gap.message, gap.count) for gap in gaps if gap.kind == "unread"] == [
        ("entries of playlists, whose videos have files", 2)
    ]


def test_a_sound_is_a_sound_and_its_cover_a_thumbnail(tmp_path: Path) -> None:
    saved(tmp_path, "s [1]", {"id": "1", "ext": "opus", "vcodec": "none"}, ".opus", ".jpg")
    saved(tmp_path, "t [2]", {"id": "2", "ext": "m4a", "vcodec": "none"})
    posts, _ = read(tmp_path)
    assert [(medium.kind, medium.path) for medium in posts["1"].media] == [
        ("audio", "s [1].opus"),
        ("image", "s [1].jpg"),
    ]
    assert posts["2"].media[0].kind == "audio"


def test_parts_that_were_not_merged_come_after_the_whole(tmp_path: Path) -> None:
    saved(tmp_path, "v [1]", {"id": "1", "ext": "mp4"}, ".f140.m4a", ".mp4", ".f137.mp4")
    saved(tmp_path, "w [2]", {"id": "2", "ext": "mp4"}, ".f137.mp4", ".f140-1.m4a")
    posts, _ = read(tmp_path)
    assert [medium.path for medium in posts["1"].media] == [
        "v [1].mp4",
        "v [1].f137.mp4",
        "v [1].f140.m4a",
    ]
    assert [medium.path for medium in posts["2"].media] == ["w [2].f137.mp4", "w [2].f140-1.m4a"]


def test_files_of_a_longer_stem_subtitles_and_texts_are_not_taken(tmp_path: Path) -> None:
    saved(tmp_path, "v", {"id": "1", "ext": "mp4"}, ".mp4", ".en.vtt", ".description", ".live.json")
    saved(tmp_path, "v2", {"id": "2", "ext": "mp4"}, ".mp4")
    posts, _ = read(tmp_path)
    assert [medium.path for medium in posts["1"].media] == ["v.mp4"]


@pytest.mark.parametrize("stem", ["100% [1]", "a.b.c [1]", "\u202egnp [1]", "\ufe4f\u0301 [1]"])
def test_hostile_titles_find_their_file(tmp_path: Path, stem: str) -> None:
    saved(tmp_path, stem, {"id": "1"}, ".mp4")
    posts, _ = read(tmp_path)
    assert posts["1"].media[0].path == f"{stem}.mp4"


def test_a_cut_file_gives_what_stood_before_and_a_gap(tmp_path: Path) -> None:
    saved(tmp_path, "v [1]", {"id": "1", "comments": [{"text": "x" * 100}] * 50}, ".mp4")
    path = tmp_path / "v [1].info.json"
    path.write_text(path.read_text()[:2000])
    posts, gaps = read(tmp_path)
    assert posts["1"].media[0].path == "v [1].mp4"
    assert [gap.kind for gap in gaps] == ["cut-line", "missing-field"]


@pytest.mark.parametrize(
    ("key", "platform"),
    [("Twitter", "x"), ("YoutubeTab", "youtube"), ("vimeo:album", "vimeo"), ("TikTok", "tiktok")],
)
def test_the_platform_is_that_of_the_extractor(tmp_path: Path, key: str, platform: str) -> None:
    saved(tmp_path, "v [1]", {"id": "1", "extractor_key": key})
    assert read(tmp_path)[0]["1"].platform == platform


X = "https://twitter.com/ada/status/1600000000000000001"
REDDIT = "https://www.reddit.com/r/made/comments/6rrwyj/up/"
CARD = {"display_id": "1600000000000000001"}


@pytest.mark.parametrize(
    ("key", "info", "post"),
    [
        ("Twitter", CARD | {"webpage_url": X}, "x 1600000000000000001"),
        ("Twitter", {"webpage_url": f"{X}/video/2"}, "x 1600000000000000001"),
        ("Twitter", {}, "x m1"),
        ("TwitterBroadcast", {"display_id": "1"}, "twitterbroadcast m1"),
        ("Reddit", {"display_id": "6rrwyj"}, "reddit t3_6rrwyj"),
        ("Reddit", {"webpage_url": REDDIT}, "reddit t3_6rrwyj"),
        ("Reddit", {"webpage_url": "https://v.redd.it/m1"}, "reddit m1"),
        ("Instagram", {"webpage_url": "https://instagram.com/ada/p/Ca-A_1/"}, "instagram Ca-A_1"),
        ("Instagram", {"webpage_url": "https://instagram.com/reel/Ca1?x"}, "instagram Ca1"),
        ("Instagram", {"webpage_url": "https://instagram.com/stories/ada/17"}, "instagram m1"),
        ("TelegramEmbed", {"channel_id": "ada"}, "telegram ada/m1"),
        ("TikTok", {"display_id": "other"}, "tiktok m1"),
    ],
)
def test_the_post_is_not_its_medium(
    tmp_path: Path, key: str, info: dict[str, Any], post: str
) -> None:
    saved(tmp_path, "v [m1]", {"id": "m1", "extractor_key": key, **info}, ".mp4")
    (found,) = read(tmp_path)[0].values()
    assert f"{found.platform} {found.post_id}" == post
    assert (found.media[0].key, found.media[0].path) == ("m1", "v [m1].mp4")


def test_a_subreddit_is_no_author(tmp_path: Path) -> None:
    info = {"id": "m1", "extractor_key": "Reddit", "display_id": "6rrwyj", "channel_id": "made"}
    saved(tmp_path, "a", {**info, "uploader": "ada"})
    saved(tmp_path, "b", {**info, "display_id": "6rrwyk", "uploader": "[deleted]"})
    posts, _ = read(tmp_path)
    assert [(p.author_id, p.author_name) for p in posts.values()] == [(None, "ada"), (None, None)]


def test_a_title_that_is_made_of_name_and_number_says_nothing(tmp_path: Path) -> None:
    info = {"id": "m1", "extractor_key": "Twitter", "title": "Ada - said #2", "description": "said"}
    saved(tmp_path, "a", info)
    assert read(tmp_path)[0]["m1"].text == "said"


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("films/A film [x] [dQmadeup_01].mp4", "dQmadeup_01"),
        ("A film [7230000000000000001].f137.mp4", "7230000000000000001"),
        ("An old one-dQmadeup_01.mp4", "dQmadeup_01"),
        ("holiday.mp4", None),
    ],
)
def test_the_id_in_a_files_own_name(name: str, video: str | None) -> None:
    assert posts_of("yt-dlp", name) == video


def test_other_files_of_that_name_are_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.info.json").write_text('{"name": "a package", "version": 1}')
    assert recognise(Dump.at(str(tmp_path))) == 0.0
