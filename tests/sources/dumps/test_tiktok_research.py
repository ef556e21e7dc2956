"""Every field of an answer of TikTok's Research API, as it reaches the tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.sources.dumps import Dump, Gap, Media, Plain, Post, tiktok_research
from tests.contracts.dumps import fixture

if TYPE_CHECKING:
    from pathlib import Path

VIDEO = {"id": 7306000000000000001, "video_description": "x", "region_code": "DE", "username": "a"}


def read(where: Path) -> list[Post | Gap]:
    return list(tiktok_research.read(Dump.at(str(where)), Plain()))


def test_a_video_with_all_that_is_told_of_it(tmp_path: Path) -> None:
    found = read(fixture("tiktok-research", tmp_path / "dump"))
    assert found[0] == Post(
        post_id="7306000000000000001",
        platform="tiktok",
        raw_ref="page-000.json:1",
        author_name="ada.example",
        created_at=datetime(2023, 12, 1, tzinfo=UTC),
        time_source="create_time",
        text="a marker passes",
        url="https://www.tiktok.com/@ada.example/video/7306000000000000001",
        metrics={
            "like_count": 5,
            "comment_count": 1,
            "share_count": 0,
            "view_count": 90,
            "favorites_count": 2,
        },
        media=(Media(0, "video", key="7306000000000000001", duration=31.0),),
    )


def test_all_videos_of_all_shapes_come_once(tmp_path: Path) -> None:
    found = read(fixture("tiktok-research", tmp_path / "dump"))
    posts = [post for post in found if isinstance(post, Post)]
    assert [int(post.post_id) % 100 for post in posts] == list(range(1, 9))
    assert posts[1].created_at == datetime(1969, 12, 31, tzinfo=UTC)
    assert posts[5].media[0].duration is None


def test_an_answer_that_is_an_error_is_told(tmp_path: Path) -> None:
    found = read(fixture("tiktok-research", tmp_path / "dump"))
    told = [(gap.line, gap.message) for gap in found if isinstance(gap, Gap)]
    assert (3, "TikTok gave an error instead: daily_quota_limit_exceeded") in told
    # The second line is an answer of no videos, which is no gap.
    assert not [line for line, _ in told if line == 2]


@pytest.mark.parametrize("videos", [{}, {"videos": None}])
@pytest.mark.parametrize(
    ("code", "more", "told"), [("ok", False, 0), ("ok", True, 1), ("no", False, 2)]
)
def test_a_last_answer_without_videos_is_none_that_lacks_them(
    tmp_path: Path, videos: dict[str, None], code: str, *, more: bool, told: int
) -> None:
    first = {"data": {"videos": [VIDEO], "has_more": True}, "error": {"code": "ok"}}
    last = {"data": {**videos, "has_more": more, "search_id": "1"}, "error": {"code": code}}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(last)}\n")
    gaps = [gap for gap in read(tmp_path) if isinstance(gap, Gap) and gap.kind == "no-id"]
    assert len(gaps) == told


def test_a_page_of_no_videos_says_so_itself(tmp_path: Path) -> None:
    last = {"data": {"videos": None, "has_more": False}, "error": {"code": "ok"}}
    (tmp_path / "a.json").write_text(json.dumps(last, indent=2))
    assert [gap.kind for gap in read(tmp_path) if isinstance(gap, Gap)] == ["no-posts"]


ANSWERS = [
    (False, {"error": {"code": "ok"}}, "no-posts"),
    (False, {}, "no-posts"),
    (None, {"error": {"code": "ok"}}, "no-posts"),
    (True, {"error": {"code": "ok"}}, "no-id"),
    (True, {}, "no-id"),
    (False, {"error": {"code": "rate_limit_exceeded"}}, "no-id"),
    (None, {"error": {"code": "internal_error"}}, "no-id"),
]
SHAPES = {
    "lines": ("a.jsonl", "{first}\n{last}\n"),
    "lines of json": ("a.json", "{first}\n{last}\n"),
    "list": ("a.json", "[\n{first},\n{last}\n]"),
    "one": ("a.json", "\n{last}"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("more", "error", "kind"), ANSWERS)
def test_an_empty_page_says_that_there_are_none_only_where_it_is_the_last(
    tmp_path: Path, shape: str, more: object, error: dict[str, Any], kind: str
) -> None:
    name, text = SHAPES[shape]
    first = {"data": {"videos": [], "has_more": True, "search_id": "1"}, "error": {"code": "ok"}}
    told = {"videos": [], "search_id": "1"} | ({} if more is None else {"has_more": more})
    last = {"data": told, **error}
    indent = 2 if shape == "one" else None
    said = text.format(first=json.dumps(first), last=json.dumps(last, indent=indent))
    (tmp_path / name).write_text(said)
    kinds = {gap.kind for gap in read(tmp_path) if isinstance(gap, Gap)}
    assert kinds == {kind}


@pytest.mark.parametrize(("more", "kind"), [(False, "no-posts"), (True, "no-id")])
def test_an_empty_list_of_videos_without_its_envelope_may_have_more_too(
    tmp_path: Path, kind: str, *, more: bool
) -> None:
    page = {"videos": [], "has_more": more, "cursor": 100}
    (tmp_path / "a.json").write_text(json.dumps(page, indent=2))
    assert [gap.kind for gap in read(tmp_path) if isinstance(gap, Gap)] == [kind]


@pytest.mark.parametrize(
    "document",
    [
        [VIDEO],
        {"videos": [VIDEO], "has_more": False},
        {"data": {"videos": [VIDEO], "has_more": False}},
        {"error": {"code": "ok"}, "data": {"videos": [VIDEO], "search_id": "1"}},
        [{"data": {"videos": [VIDEO], "has_more": False}, "error": {"code": "ok"}}],
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_shapes_in_which_answers_are_kept(
    tmp_path: Path, document: Any, indent: int | None
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document, indent=indent))
    assert [post.post_id for post in read(tmp_path) if isinstance(post, Post)] == [
        "7306000000000000001"
    ]


@pytest.mark.parametrize(
    ("name", "post"),
    [
        ("A title [7306000000000000001].mp4", "7306000000000000001"),
        ("7306000000000000001.mp4", "7306000000000000001"),
        ("@ada_7306000000000000001_1.jpeg", "7306000000000000001"),
        ("20231201.mp4", None),
    ],
)
def test_ids_in_the_names_of_downloaded_files(name: str, post: str | None) -> None:
    assert tiktok_research.posts_of(name) == post
