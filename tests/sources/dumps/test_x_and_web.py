"""What the posts of twarc2, X's archive, Zeeschuimer and 4CAT hold, from their fixtures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump, Gap, Post, names
from tests.contracts.dumps import fixture

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
PICTURE = "https://pbs.twimg.com/media/Aa1.jpg"


def read(name: str, folder: Path) -> tuple[dict[str, Post], list[Gap]]:
    dump = Dump.at(str(fixture(name, folder / name)))
    found = [each for _, each in dumps.read_all(dump, [name])]
    posts = {each.post_id: each for each in found if isinstance(each, Post)}
    return posts, [each for each in found if isinstance(each, Gap)]


def urls(post: Post) -> list[str | None]:
    return [medium.url for medium in post.media]


@pytest.mark.parametrize("first", ["1367", "1368"])
def test_twarc2_pages_and_flattened_posts_say_the_same(tmp_path: Path, first: str) -> None:
    posts, _ = read("twarc2", tmp_path)
    post = posts[f"{first}000000000000001"]
    assert (post.author_id, post.author_name) == ("900000000000000001", "ada")
    assert (post.created_at, post.time_source, post.lang) == (AT, "created_at", "en")
    assert post.metrics == {"retweet_count": 1, "reply_count": 0, "like_count": 5, "quote_count": 0}
    (medium,) = post.media
    assert (medium.kind, medium.url, medium.key) == ("image", PICTURE, "3_11")
    assert (medium.width, medium.height, medium.alt_text) == (1200, 800, "a red square")


@pytest.mark.parametrize("first", ["1367", "1368"])
def test_a_repost_has_the_text_and_media_of_the_original(tmp_path: Path, first: str) -> None:
    posts, _ = read("twarc2", tmp_path)
    post = posts[f"{first}000000000000002"]
    assert post.repost_of == "1367000000000000001"
    assert post.text == "a photograph, whole"
    assert urls(post) == [PICTURE]


def test_twarc2_takes_the_best_variant_and_counts_media_that_no_page_brings(tmp_path: Path) -> None:
    posts, gaps = read("twarc2", tmp_path)
    video = posts["1367000000000000004"].media[0]
    assert (video.kind, video.duration) == ("video", 12.5)
    assert names.base(video.url or "") == "high.mp4"
    assert posts["1367000000000000004"].reply_to == "1367000000000000003"
    (unknown,) = posts["1367000000000000006"].media
    assert (unknown.kind, unknown.key, unknown.status) == ("other", "3_18", "not-included")
    told = {(gap.kind, gap.message) for gap in gaps}
    assert ("missing-field", "includes.media") in told
    assert ("unread", "the platform gave an error instead: Not Found Error") in told


def test_an_archives_media_are_the_files_that_are_there(tmp_path: Path) -> None:
    posts, gaps = read("x-archive", tmp_path)
    assert gaps == []
    assert {post.author_name for post in posts.values()} == {"ada"}
    paths = {key: [medium.path for medium in post.media] for key, post in posts.items()}
    assert paths["1050118621198921728"] == ["tweets_media/1050118621198921728-Aa1.jpg"]
    assert paths["1050118621198921731"] == ["tweets_media/1050118621198921731-small.mp4"]
    assert paths["1050118621198921733"] == ["tweets_media/1050118621198921733-Gone.jpg"]
    assert posts["1050118621198921729"].repost_of == "1040000000000000001"
    assert posts["1050118621198921732"].created_at == datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)
    assert dumps.posts_of("x-archive", "data/tweets_media/12345-a.jpg") == "12345"
    assert dumps.posts_of("x-archive", "elsewhere/12345-a.jpg") is None


def test_zeeschuimer_reads_every_shape_of_x(tmp_path: Path) -> None:
    posts, _ = read("zeeschuimer", tmp_path)
    repost = posts["1367000000000000002"]
    assert (repost.repost_of, repost.text) == (
        "1367000000000000001",
        "a photograph, whole and long",
    )
    assert urls(repost) == [PICTURE]
    assert len(posts["1367000000000000003"].media) == 4
    assert names.base(urls(posts["1367000000000000004"])[0] or "") == "large.mp4"
    assert posts["1367000000000000005"].author_name == "cleo"
    assert posts["1367000000000000006"].author_name == "ada"
    assert posts["1367000000000000007"].text == "a long post, whole, marker"
    assert posts["1367000000000000001"].metrics["view_count"] == 77


def test_zeeschuimer_reads_every_shape_of_instagram(tmp_path: Path) -> None:
    posts, gaps = read("zeeschuimer", tmp_path)
    kinds = {key: [m.kind for m in post.media] for key, post in posts.items()}
    assert kinds["CaA1"] == ["image"]
    assert kinds["CaA2"] == ["video"]
    assert kinds["CaA3"] == ["image", "video", "image"]
    assert kinds["CaA7"] == ["image", "video"]
    assert kinds["CaA9"] == ["video"]
    assert posts["CaA3"].author_id == "5001"
    assert posts["CaA7"].text == "graph shape"
    assert posts["CaA9"].created_at is None
    assert any(gap.kind == "missing-field" and gap.message.startswith("taken_at") for gap in gaps)


def test_zeeschuimer_reads_both_shapes_of_tiktok_and_names_what_it_does_not_know(
    tmp_path: Path,
) -> None:
    posts, gaps = read("zeeschuimer", tmp_path)
    clip, slides = posts["7000000000000000001"], posts["7000000000000000002"]
    assert (clip.author_id, clip.author_name, clip.metrics["playCount"]) == ("6001", "ada", 70)
    assert [medium.kind for medium in clip.media] == ["video"]
    assert (slides.author_id, slides.author_name, slides.created_at) == (
        "6002",
        "bob",
        datetime(2021, 3, 4, 5, 6, 8, tzinfo=UTC),
    )
    assert [medium.kind for medium in slides.media] == ["image", "image"]
    assert posts["7000000000000000003"].reply_to == "7000000000000000001"
    assert posts["g1"].platform == "gab"
    assert any(gap.message == "data: no shape of gab that is known" for gap in gaps)


@pytest.mark.parametrize(
    ("more", "kind"), [({}, "no-id"), ({"product_type": "story", "expiring_at": 9}, "bad-field")]
)
@pytest.mark.parametrize("name", ["zeeschuimer", "4cat"])
def test_an_item_of_instagram_without_code_is_damage_unless_it_is_of_a_story(
    tmp_path: Path, name: str, more: dict[str, object], kind: str
) -> None:
    item = {"pk": "5", "id": "5_1", "taken_at": 1_700_000_000, "media_type": 1, **more}
    told = {"source_platform": "instagram.com", "item_id": "5"}
    line = {**told, "data": item} if name == "zeeschuimer" else {**item, "__import_meta": told}
    (tmp_path / "instagram-1.ndjson").write_text(json.dumps(line) + "\n")
    found = [each for _, each in dumps.read_all(Dump.at(str(tmp_path)), [name])]
    assert [each.kind for each in found if isinstance(each, Gap)] == [kind]
    assert sum(isinstance(each, Post) for each in found) == 1


TIKTOK = {
    "id": "7300000000000000999",
    "cid": "7300000000000000999",
    "aweme_id": "7300000000000000001",
    "text": "a comment",
    "create_time": 1_614_834_367,
    "user": {"unique_id": "bob"},
    "digg_count": 3,
}
INSTAGRAM = {
    "id": "17900000000000001",
    "pk": "17900000000000001",
    "comment_id": "17900000000000001",
    "text": "a comment",
    "created_at": 1_614_834_367,
    "user": {"id": "bob", "unique_id": "bob"},
    "post_id": "3001",
    "post_shortcode": "CaA1",
    "post_url": "https://www.instagram.com/p/CaA1/",
    "parent_comment_id": None,
}
X = {
    "id": "1367000000000000009",
    "comment_id": "1367000000000000009",
    "text": "a comment",
    "legacy": {
        "id_str": "1367000000000000009",
        "full_text": "a comment",
        "created_at": "Thu Mar 04 05:06:07 +0000 2021",
        "in_reply_to_status_id_str": "1367000000000000001",
        "user_id_str": "bob",
    },
    "core": {"user_results": {"result": {"core": {"screen_name": "bob"}}}},
}


@pytest.mark.parametrize("name", ["zeeschuimer", "4cat"])
@pytest.mark.parametrize(
    ("module", "item", "more", "answers"),
    [
        ("tiktok-comments", TIKTOK, {}, "7300000000000000001"),
        ("tiktok-comments", TIKTOK, {"reply_id": "0"}, "7300000000000000001"),
        ("tiktok-comments", TIKTOK, {"reply_id": "7300000000000000998"}, "7300000000000000998"),
        ("instagram-comments", INSTAGRAM, {}, "CaA1"),
        ("instagram-comments", INSTAGRAM, {"post_shortcode": None}, "3001"),
        ("instagram-comments", INSTAGRAM, {"parent_comment_id": "1790"}, "1790"),
        ("twitter-comments", X, {}, "1367000000000000001"),
    ],
)
def test_a_comment_says_what_it_answers_and_has_no_address_but_its_own(
    tmp_path: Path,
    name: str,
    module: str,
    item: dict[str, Any],
    more: dict[str, Any],
    answers: str,
) -> None:
    item = {**item, **more}
    told = {"source_platform": module, "item_id": item["id"]}
    line = {**told, "data": item} if name == "zeeschuimer" else {**item, "__import_meta": told}
    (tmp_path / f"{module}-1.ndjson").write_text(json.dumps(line) + "\n")
    found = [each for _, each in dumps.read_all(Dump.at(str(tmp_path)), [name])]
    (post,) = found
    assert isinstance(post, Post)
    assert (post.post_id, post.reply_to) == (item["id"], answers)
    assert (post.author_id, post.author_name, post.text) == ("bob", "bob", "a comment")
    assert (post.created_at, post.media) == (AT, ())
    assert post.url == (f"https://x.com/bob/status/{item['id']}" if "legacy" in item else None)


@pytest.mark.parametrize("user", [None, "bob", {}])
def test_a_comment_without_author_or_time_is_a_gap(tmp_path: Path, user: object) -> None:
    item = {**TIKTOK, "user": user, "create_time": None, "aweme_id": None}
    line = {"source_platform": "tiktok-comments", "item_id": item["id"], "data": item}
    (tmp_path / "a.ndjson").write_text(json.dumps(line) + "\n")
    found = [each for _, each in dumps.read_all(Dump.at(str(tmp_path)), ["zeeschuimer"])]
    missing = {each.message for each in found if isinstance(each, Gap)}
    assert missing == {"user.uid", "user.unique_id", "create_time", "aweme_id"}


def test_a_comment_in_a_table_of_4cat_has_its_own_address(tmp_path: Path) -> None:
    url = "https://m.tiktok.com/v/7300000000000000001.html"
    header = "id,thread_id,author,body,timestamp,post_url,comment_url"
    row = f"1,2,ada,said,2021-03-04 05:06:07,{url},{url}?share_comment_id=1"
    (tmp_path / "tiktok-comments-search-1.csv").write_text(f"{header}\n{row}\n")
    found = [each for _, each in dumps.read_all(Dump.at(str(tmp_path)), ["4cat"])]
    posts = [(each.platform, each.url) for each in found if isinstance(each, Post)]
    assert posts == [("tiktok", f"{url}?share_comment_id=1")]


def test_4cat_gives_posts_the_files_that_zips_say_are_theirs(tmp_path: Path) -> None:
    posts, _ = read("4cat", tmp_path)
    files = {
        key: [(m.path, m.status) for m in post.media if m.path or m.status]
        for key, post in posts.items()
    }
    shared = [("//images/Aa1.jpg", "")]
    assert files["1367000000000000001"] == files["1367000000000000002"] == shared
    assert files["1367000000000000003"] == [("//images/Ab1.jpg", ""), (None, "unavailable")]
    frames = "//videos/frames/https_video_twimg_com_high/video_frame_000000"
    assert files["1367000000000000004"] == [(f"{frames}1.jpeg", ""), (f"{frames}2.jpeg", "")]
    assert files["7000000000000000001"] == [(None, "unavailable")]
    assert files["not-in-any-table"] == [("//images/z.png", ""), (None, "outside")]


def test_4cat_reads_the_columns_of_each_platform_and_splits_urls_that_hold_commas(
    tmp_path: Path,
) -> None:
    posts, gaps = read("4cat", tmp_path)
    assert posts["1367000000000000001"].platform == "x"
    assert posts["1367000000000000001"].created_at == AT
    assert len(posts["1367000000000000003"].media) == 4
    assert posts["1367000000000000005"].created_at == datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)
    assert urls(posts["CaA1"]) == ["https://scontent.cdninstagram.com/v/1_n.jpg?stp=1,2"]
    assert [medium.kind for medium in posts["CaA3"].media] == ["image", "video"]
    assert (posts["CaA1"].platform, posts["CaA1"].author_id) == ("instagram", "ada")
    assert posts["7000000000000000009"].platform == "tiktok"
    assert posts["at://did:plc:aaa/app.bsky.feed.post/3k1"].media[0].alt_text == "a red square"
    assert [gap.message for gap in gaps] == ["data: no shape of tiktok that is known"]


@pytest.mark.parametrize("filler", ["0", "None", "[]"])
def test_4cat_takes_what_fills_a_column_for_no_medium(tmp_path: Path, filler: str) -> None:
    header = "id,thread_id,author,body,timestamp,images,media_urls,video_url"
    rows = [
        f"1,1,ada,said,2021-03-04 05:06:07,{filler},https://a.example/1.jpg,{filler}",
        f"2,2,ada,said,2021-03-04 05:06:07,,,{filler}",
    ]
    (tmp_path / "x-search-1.csv").write_text("\n".join([header, *rows]) + "\n")
    found = [each for _, each in dumps.read_all(Dump.at(str(tmp_path)), ["4cat"])]
    posts = [each for each in found if isinstance(each, Post)]
    assert [[medium.url for medium in post.media] for post in posts] == [
        ["https://a.example/1.jpg"],
        [],
    ]
    told = {(gap.message, gap.count) for gap in found if isinstance(gap, Gap)}
    assert {(f"image: {filler} is no URL", 1), (f"video: {filler} is no URL", 2)} <= told


@pytest.mark.parametrize(
    ("mark", "rounded", "author"),
    [(",", "1.70000E+18", "1.2E+18"), (";", "1,70000E+18", "1,2E+18"), (",", "1.7e+18", "2E+18")],
)
def test_4cat_takes_no_id_that_a_spreadsheet_rounded(
    tmp_path: Path, mark: str, rounded: str, author: str
) -> None:
    rows = [
        ["id", "thread_id", "author_id", "author", "body", "timestamp"],
        *([rounded, rounded, author, "ada", f"said {n}", "2021-03-04 05:06:07"] for n in range(3)),
        ["1700000000000000001", "1", author, "ada", "said", "2021-03-04 05:06:07"],
    ]
    (tmp_path / "x-search-1.csv").write_text("".join(mark.join(row) + "\n" for row in rows))
    found = [each for _, each in dumps.read_all(Dump.at(str(tmp_path)), ["4cat"])]
    posts = [(p.post_id, p.author_id, p.author_name) for p in found if isinstance(p, Post)]
    assert posts == [("1700000000000000001", None, "ada")]
    told = {(gap.kind, gap.line, gap.count) for gap in found if isinstance(gap, Gap)}
    assert told == {("rounded-id", 2, 3), ("bad-field", 5, 1)}


def test_twarc2_reads_a_file_that_begins_with_an_empty_page(tmp_path: Path) -> None:
    empty = {"meta": {"result_count": 0}, "__twarc": {"version": "2"}}
    page = {"data": [{"id": "1", "text": "said"}], "__twarc": {"version": "2"}}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(empty)}\n{json.dumps(page)}\n")
    dump = Dump.at(str(tmp_path))
    assert dumps.choose(dump) == ["twarc2"]
    found = [each for _, each in dumps.read_all(dump, ["twarc2"])]
    assert [each.post_id for each in found if isinstance(each, Post)] == ["1"]
    assert "no-id" not in {each.kind for each in found if isinstance(each, Gap)}


TWARC = {"__twarc": {"version": "2"}}
USER = {"id": "501", "username": "bob", "name": "Bob", "public_metrics": {"tweet_count": 3}}
LIST = {"id": "77", "name": "birds", "owner_id": "501", "created_at": "2021-03-04T05:06:07.000Z"}
COUNT = {"start": "2021-03-04T00:00:00Z", "end": "2021-03-05T00:00:00Z", "tweet_count": 5}


@pytest.mark.parametrize(
    "page",
    [
        {"data": [USER], "meta": {"result_count": 1}},
        {"data": [USER], "includes": {"tweets": [{"id": "1", "text": "pinned"}]}},
        {"data": [COUNT], "meta": {"total_tweet_count": 5}},
        {"data": [LIST]},
        {"data": {"id": "1zqKVXPQhvZJB", "state": "live"}},
        USER,
    ],
)
def test_what_else_twarc2_writes_is_no_post(tmp_path: Path, page: dict[str, object]) -> None:
    said = {"data": [{"id": "1", "text": "said"}], **TWARC}
    other = json.dumps({**page, **TWARC}) + "\n"
    (tmp_path / "a.jsonl").write_text(other)
    (tmp_path / "b.jsonl").write_text(json.dumps(said) + "\n" + other)
    dump = Dump.at(str(tmp_path))
    assert list(dumps.load("twarc2").files(dump)) == ["b.jsonl"]
    found = [each for _, each in dumps.read_all(dump, ["twarc2"])]
    assert [each.post_id for each in found if isinstance(each, Post)] == ["1"]
    kinds = {(each.kind, each.ref) for each in found if isinstance(each, Gap)}
    assert {("unread", "a.jsonl"), ("unread", "b.jsonl")} <= kinds
    assert "no-id" not in {kind for kind, _ in kinds}


@pytest.mark.parametrize("meta", [200, "newest_id", [1], None])
def test_twarc2_bears_any_meta(tmp_path: Path, meta: object) -> None:
    (tmp_path / "api.json").write_text(json.dumps({"data": [1, 2], "meta": meta}))
    assert dumps.choose(Dump.at(str(tmp_path))) == []
