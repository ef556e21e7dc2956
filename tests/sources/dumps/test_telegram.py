from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imgbatch.sources.dumps import Dump, Gap, Post, read_all
from imgbatch.sources.dumps.telegram import recognise

FIXTURE = Path(__file__).parent / "telegram"


def read(folder: Path) -> tuple[dict[str, Post], list[Gap]]:
    found = [each for _, each in read_all(Dump.at(str(folder)), ["telegram"])]
    posts = {each.post_id: each for each in found if isinstance(each, Post)}
    return posts, [each for each in found if isinstance(each, Gap)]


def chat(
    folder: Path, *messages: dict[str, Any], chat_id: int | None = 5, kind: str = "private_group"
) -> Path:
    """Write an export of one chat, indented as Telegram Desktop does it."""
    made = {"name": "made up", "type": kind, "id": chat_id, "messages": list(messages)}
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps(made, indent=1))
    return folder


def message(number: int, **more: Any) -> dict[str, Any]:
    base = {"id": number, "type": "message", "date_unixtime": "1683364087", "from": "Ada"}
    return {**base, "from_id": "user11", "text": "", **more}


@pytest.fixture(scope="module")
def channel() -> dict[str, Post]:
    return read(FIXTURE)[0]


def test_a_photo_has_its_path_size_text_author_and_utc_time(channel: dict[str, Post]) -> None:
    post = channel["channel1000000001/2"]
    assert post.platform == "telegram"
    assert post.raw_ref == "channel/result.json:18"
    assert (post.author_id, post.author_name) == ("channel1000000001", "A made-up channel")
    assert post.created_at == datetime(2023, 5, 6, 9, 8, 7, tzinfo=UTC)
    assert post.time_source == "date_unixtime"
    assert post.text == "a photograph, marker"
    medium = post.media[0]
    assert (medium.kind, medium.path, medium.width, medium.height) == (
        "image",
        "photos/photo_1@06-05-2023_09-08-07.jpg",
        1280,
        960,
    )


def test_reactions_are_summed_and_counted_by_sign(channel: dict[str, Post]) -> None:
    assert channel["channel1000000001/2"].metrics == {
        "reactions": 6,
        "reactions \U0001f44d": 3,
        "reactions custom_emoji": 2,
        "reactions paid": 1,
    }
    assert channel["channel1000000001/13"].metrics == {"voters": 40}


def test_a_forward_is_counted_and_its_text_is_joined_of_its_parts(channel: dict[str, Post]) -> None:
    post = channel["channel1000000001/3"]
    assert post.text == "forwarded: https://example.org/a and bold"
    assert post.metrics == {"forwarded": 1}
    assert post.repost_of is None  # the export names the origin without an id


def test_a_forward_from_who_has_no_name_is_counted(tmp_path: Path) -> None:
    origins = [{}, {"forwarded_from": None}, {"forwarded_from": "Bo"}, {"forwarded_from": None}]
    posts, _ = read(chat(tmp_path, *(message(n, **more) for n, more in enumerate(origins))))
    told = [post.metrics for post in posts.values()]
    assert told == [{}, {"forwarded": 1}, {"forwarded": 1}, {"forwarded": 1}]


def test_a_thumbnail_without_its_file_is_a_gap(tmp_path: Path) -> None:
    more = {"thumbnail": "a_thumb.jpg", "mime_type": "video/mp4"}
    posts, gaps = read(chat(tmp_path, *(message(n, **more) for n in range(3))))
    assert [post.media for post in posts.values()] == [()] * 3
    assert [(gap.message, gap.count) for gap in gaps] == [("photo or file", 3)]


def test_a_name_that_is_no_unicode_loses_no_message(tmp_path: Path) -> None:
    posts, gaps = read(chat(tmp_path, *(message(n, **{"\ud800": 1}) for n in range(3))))
    assert (len(posts), gaps) == (3, [])


def test_an_album_is_one_post_a_picture_with_one_time(channel: dict[str, Post]) -> None:
    first, second = channel["channel1000000001/4"], channel["channel1000000001/5"]
    assert first.created_at == second.created_at
    assert [len(post.media) for post in (first, second)] == [1, 1]


def test_a_video_comes_with_its_thumbnail_after_it(channel: dict[str, Post]) -> None:
    video, thumbnail = channel["channel1000000001/6"].media
    assert (video.kind, video.path, video.key) == ("video", "video_files/clip.mp4", "clip.mp4")
    assert (video.width, video.height, video.duration) == (640, 360, 12.0)
    assert (thumbnail.kind, thumbnail.path, thumbnail.key) == (
        "image",
        "video_files/clip.mp4_thumb.jpg",
        "thumbnail",
    )


@pytest.mark.parametrize(
    ("post_id", "status"),
    [("7", "not-included"), ("8", "too-large"), ("9", "unavailable")],
)
def test_a_sentence_in_the_place_of_a_file_is_a_status_and_no_path(
    channel: dict[str, Post], post_id: str, status: str
) -> None:
    (medium,) = channel[f"channel1000000001/{post_id}"].media
    assert (medium.path, medium.status) == (None, status)


def test_what_a_file_is_comes_from_its_media_type_mime_type_or_name(
    channel: dict[str, Post], tmp_path: Path
) -> None:
    kinds = {
        number: channel[f"channel1000000001/{number}"].media[0].kind for number in (10, 11, 12, 9)
    }
    assert kinds == {10: "image", 11: "image", 12: "audio", 9: "other"}
    posts, _ = read(
        chat(
            tmp_path,
            message(1, file="files/a.bin", media_type="animation"),
            message(2, file="video_files/b.mkv"),
            message(3, file="files/c.JPG"),
            message(4, file="files/d.dat", file_name="d.webp"),
            message(5, file="files/e.dat", mime_type="video/webm"),
        )
    )
    assert [post.media[0].kind for post in posts.values()] == [
        "video",
        "video",
        "image",
        "image",
        "video",
    ]


def test_a_reply_may_point_into_another_chat(channel: dict[str, Post]) -> None:
    assert channel["channel1000000001/10"].reply_to == "channel1000000001/2"
    assert channel["channel1000000001/11"].reply_to == "channel1000000002/77"


def test_all_chats_of_an_account_are_read_the_left_ones_too(channel: dict[str, Post]) -> None:
    assert channel["user11/1"].text == "a note to self"
    assert channel["user12/1"].text == "the same number in another chat"
    assert channel["user12/2"].author_name is None
    assert channel["channel1000000009/5"].media[0].path == "chats/chat_003/photos/photo_9.jpg"


def account(folder: Path, *chats: tuple[str, int, list[dict[str, Any]]]) -> Path:
    """Write an export of an account with chats of (type, id, messages)."""
    listed = [{"type": kind, "id": number, "messages": said} for kind, number, said in chats]
    made = json.loads((FIXTURE / "account" / "result.json").read_text())
    made["chats"]["list"] = listed
    del made["left_chats"]
    (folder / "result.json").write_text(json.dumps(made, indent=1))
    return folder


def test_a_user_a_group_and_a_channel_of_one_number_are_three_chats(tmp_path: Path) -> None:
    elsewhere = message(2, reply_to_message_id=1, reply_to_peer_id="chat777")
    chats = [
        ("personal_chat", 777, [message(1, text="of Bob"), message(2, reply_to_message_id=1)]),
        ("private_group", 777, [message(1, text="of the group")]),
        ("private_supergroup", 777, [message(1, text="of the supergroup"), elsewhere]),
        ("public_channel", 778, [message(1)]),
    ]
    posts, _ = read(account(tmp_path, *chats))
    assert {name: post.text for name, post in posts.items() if post.text} == {
        "user777/1": "of Bob",
        "chat777/1": "of the group",
        "channel777/1": "of the supergroup",
    }
    assert posts["user777/2"].reply_to == "user777/1"
    assert posts["channel777/2"].reply_to == "chat777/1"
    assert "channel778/1" in posts
    # Chats come by their last message: a later export has them in another order.
    assert read(account(tmp_path, *reversed(chats)))[0].keys() == posts.keys()


def test_chats_of_one_number_are_told_apart_wherever_they_were_exported(tmp_path: Path) -> None:
    # Further into the file than is looked at where one chat was exported.
    long = [message(number, text="x" * 1000) for number in range(2000)]
    (tmp_path / "all").mkdir()
    account(tmp_path / "all", ("personal_chat", 5, long), ("bot_chat", 6, [message(1)]))
    chat(tmp_path / "one", message(1), chat_id=6)
    chat(tmp_path / "two", message(1), chat_id=5, kind="bot_chat")
    posts, _ = read(tmp_path)
    assert set(posts) == {"user6/1", "chat6/1", *(f"user5/{number}" for number in range(2000))}


def test_service_messages_are_counted_and_a_changed_photo_is_a_post(
    channel: dict[str, Post],
) -> None:
    _, gaps = read(FIXTURE)
    assert "channel1000000001/1" not in channel
    assert channel["channel1000000001/14"].author_id == "user11"
    told = {gap.message: gap.count for gap in gaps if gap.kind == "unread"}
    assert told == {
        "service messages (joins, pins, calls) are no posts": 1,
        "messages of a kind that Telegram does not export": 1,
        "profile_pictures of the account are no messages": 1,
        "stories of the account are no messages": 1,
    }


def test_the_oldest_exports_have_only_a_time_without_zone_and_the_source_says_so(
    tmp_path: Path,
) -> None:
    old = message(1, date="2019-03-04T05:06:07")
    del old["date_unixtime"]
    posts, gaps = read(chat(tmp_path, old))
    assert posts["chat5/1"].created_at == datetime(2019, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert posts["chat5/1"].time_source == "date: no zone, taken as UTC"
    assert [(gap.kind, gap.message) for gap in gaps] == [("missing-field", "date_unixtime")]


def test_control_bytes_that_telegram_escapes_as_no_json_lose_no_message(tmp_path: Path) -> None:
    folder = chat(tmp_path, message(1, text="a-here-b"), message(2, text="next"))
    path = folder / "result.json"
    path.write_bytes(path.read_bytes().replace(b"-here-", rb"\x1F\x0B"))
    posts, gaps = read(folder)
    assert [post.text for post in posts.values()] == ["a\x1f\x0bb", "next"]
    assert not gaps


def test_a_broken_message_is_a_gap_with_its_line_and_the_others_are_read(tmp_path: Path) -> None:
    folder = chat(tmp_path, message(1), message(2, text="here"), message(3))
    path = folder / "result.json"
    text = path.read_text().replace('"here"', '"here')
    path.write_text(text)
    posts, gaps = read(folder)
    assert list(posts) == ["chat5/1", "chat5/3"]
    line = text.splitlines().index('   "id": 2,')
    assert [(gap.kind, gap.line) for gap in gaps] == [("broken-line", line)]


def test_messages_are_the_same_posts_whether_they_come_many_at_once_or_each_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    export = json.loads((FIXTURE / "channel" / "result.json").read_text("utf-8"))
    once = export["messages"]
    export["messages"] = [{**item, "id": n} for n in range(9) for item in once] + [None, 5, {}]
    (tmp_path / "result.json").write_text(json.dumps(export, indent=1), "utf-8")
    many = [found for _, found in read_all(Dump.at(str(tmp_path)), ["telegram"])]
    monkeypatch.setattr("imgbatch.sources.dumps.window.Window.alike", lambda *_: ())
    alone = [found for _, found in read_all(Dump.at(str(tmp_path)), ["telegram"])]
    assert sum(isinstance(found, Post) for found in many) > 9 * 5
    assert [found.kind for found in many if isinstance(found, Gap)].count("no-id") == 3
    assert alone == many


def test_a_chat_whose_messages_are_gone_is_a_gap_though_others_were_read(tmp_path: Path) -> None:
    account = json.loads((FIXTURE / "account" / "result.json").read_text())
    del account["chats"]["list"][0]["messages"]
    (tmp_path / "result.json").write_text(json.dumps(account))
    posts, gaps = read(tmp_path)
    assert list(posts) == ["user12/1", "user12/2", "channel1000000009/5"]
    assert ("no-id", "messages") in {(gap.kind, gap.message) for gap in gaps}


def test_an_export_under_another_name_is_found_where_there_is_no_result_json(
    tmp_path: Path,
) -> None:
    chat(tmp_path, message(1))
    (tmp_path / "result.json").rename(tmp_path / "channel of mine.json")
    assert recognise(Dump.at(str(tmp_path))) > 0.5
    assert list(read(tmp_path)[0]) == ["chat5/1"]


def test_a_result_json_of_another_tool_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"messages": [{"id": 1}], "type": "scores", "id": 3}')
    assert recognise(Dump.at(str(tmp_path))) == 0.0


@pytest.mark.parametrize(
    ("messages", "kinds"),
    [
        ([], ["no-posts"]),
        ([{"id": 1, "type": "service", "action": "create_group"}], ["unread"]),
    ],
)
def test_a_chat_of_no_messages_says_so_itself(
    tmp_path: Path, messages: list[dict[str, Any]], kinds: list[str]
) -> None:
    posts, gaps = read(chat(tmp_path, *messages))
    assert (posts, [gap.kind for gap in gaps]) == ({}, kinds)
