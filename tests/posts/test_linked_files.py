"""Files that a zip of 4CAT says are of a post, which another collector's export has."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.dataset import Dataset, posts
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.verify import verify
from imgbatch.platforms import unmarked
from imgbatch.posts.privacy import pseudonym, read_key
from imgbatch.sources import dumps
from imgbatch.sources.dumps import csv_4cat
from imgbatch.storage import open_store
from tests.corpus import PHOTOS
from tests.posts.made import bring, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

CODE, OTHER = "Caaaaaaaa11", "Cbbbbbbbb22"
PICTURE, ANOTHER = "111_222_333_n.jpg", "444_555_666_n.jpg"
URL = f"https://scontent.cdninstagram.com/v/{PICTURE}?stp=1"
POLICIES = ("keep", "mark", "forget")


def url(code: str) -> str:
    return URL.replace(PICTURE, ANOTHER) if code == OTHER else URL


def export(folder: Path, *codes: str) -> None:
    """Write what Zeeschuimer exports of posts of one picture each."""
    folder.mkdir(exist_ok=True)
    lines = []
    for code in codes:
        item = {
            "code": code,
            "taken_at": 1_700_000_000,
            "media_type": 1,
            "caption": {"text": f"said {code}"},
            "user": {"id": "5001", "username": "ada"},
            "image_versions2": {"candidates": [{"url": url(code)}]},
        }
        line = {"source_platform": "instagram.com", "item_id": code, "data": item}
        lines.append(json.dumps(line) + "\n")
    name = "zeeschuimer-export-instagram.com-2023-11-14T221320.ndjson"
    (folder / name).write_text("".join(lines))


def pack(folder: Path, *codes: str, name: str = "images-0a1b2c.zip") -> None:
    """Write the zip that 4CAT makes of one picture of these posts."""
    folder.mkdir(exist_ok=True)
    picture = ANOTHER if codes[0] == OTHER else PICTURE
    told = {url(codes[0]): {"filename": picture, "success": True, "post_ids": list(codes)}}
    with zipfile.ZipFile(folder / name, "w") as packed:
        packed.writestr(picture, PHOTOS["rocket.jpg"].read_bytes())
        packed.writestr(".metadata.json", json.dumps(told))


def read(folder: Path, said: str = "") -> dict[str, Any]:
    summary = bring(folder / "in", folder / "own", said).posts
    assert summary is not None
    assert verify(Dataset.open(str(folder / "own"))).problems == []
    return summary


def told(folder: Path) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Return platform, id and state of the posts, and platform and status of their media."""
    own = folder / "own"
    return (
        rows(own, "posts", "platform", "post_id", "state"),
        rows(own, "post_media", "platform", "status"),
    )


ONE = ([("instagram", CODE, "present")], [("instagram", "matched")])


def test_a_post_of_another_collector_has_the_files_of_4cats_zip(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    export(tmp_path / "in", CODE)
    pack(tmp_path / "in", CODE)
    read(tmp_path)
    assert told(tmp_path) == ONE
    own = tmp_path / "own"
    assert rows(own, "posts", "text") == [(f"said {CODE}",)]
    assert rows(own, "post_media", "joined_by") == [("metadata",)]
    words = ("--post-id", CODE, "--platform", "instagram", "--yes")
    assert imgbatch("forget", own, *words).returncode == 0
    assert rows(own, "post_media") == []
    proof = verify_forgotten(Dataset.open(str(own)), of_posts=[("instagram", CODE)])
    assert proof.problems == []
    read(tmp_path)
    assert told(tmp_path) == ([], [])


def test_files_of_a_post_that_the_export_lacks_have_none_and_are_counted(tmp_path: Path) -> None:
    export(tmp_path / "in", CODE)
    pack(tmp_path / "in", OTHER)
    assert read(tmp_path)["gaps"]["not-exported"] == 1
    assert told(tmp_path)[0] == ONE[0]
    gaps = rows(tmp_path / "own", "post_gaps", "kind", "ref")
    assert ("unmatched-source", address(tmp_path, "images-0a1b2c.zip!/" + ANOTHER)) in gaps
    assert ("not-exported", "images-0a1b2c.zip!/.metadata.json") in gaps


def test_the_posts_of_a_zip_that_came_first_are_no_posts_where_the_export_lacks_them(
    tmp_path: Path,
) -> None:
    """And nothing of theirs is forgotten: no export had them."""
    said = 'removed = "forget"'
    pack(tmp_path / "in", CODE, OTHER)
    read(tmp_path, said)
    assert told(tmp_path)[0] == [("unknown", CODE, "present"), ("unknown", OTHER, "present")]
    export(tmp_path / "in", CODE)
    counts = read(tmp_path, said)
    assert told(tmp_path) == ONE
    assert (counts["removed"], counts["absent"], "suspects" in counts) == (0, 0, False)


@pytest.mark.parametrize("policy", POLICIES)
def test_so_they_are_where_the_zip_got_another_name_meanwhile(tmp_path: Path, policy: str) -> None:
    said = f'removed = "{policy}"'
    pack(tmp_path / "in", OTHER)
    read(tmp_path, said)
    (tmp_path / "in/images-0a1b2c.zip").rename(tmp_path / "in/images-3d4e5f.zip")
    export(tmp_path / "in", CODE)
    assert read(tmp_path, said)["removed"] == 0
    assert told(tmp_path)[0] == ONE[0]
    export(tmp_path / "in", CODE, OTHER)
    read(tmp_path, said)
    assert told(tmp_path)[0] == [*ONE[0], ("instagram", OTHER, "present")]
    assert has_picture(tmp_path, "images-3d4e5f.zip", ANOTHER)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hidden", [False, True])
def test_what_another_zip_says_is_of_a_forgotten_post_leaves_with_its_next_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    *,
    hidden: bool,
) -> None:
    said = by(tmp_path, monkeypatch, "forget", hidden=hidden)
    export(tmp_path / "in", CODE, OTHER)
    read(tmp_path, said)
    theirs = by(tmp_path, monkeypatch, policy, hidden=hidden)
    pack(tmp_path / "zips", CODE)
    bring(tmp_path / "zips", tmp_path / "own", theirs, add_input=True)
    export(tmp_path / "in", OTHER)
    bring(tmp_path / "in", tmp_path / "own", said, add_input=True)
    assert {platform for platform, _, _ in told(tmp_path)[0]} == {"instagram", "unknown"}
    bring(tmp_path / "zips", tmp_path / "own", theirs, add_input=True)
    assert [platform for platform, _, _ in told(tmp_path)[0]] == ["instagram"]
    assert not has_picture(tmp_path, ".zip")
    # And it comes to rest.
    for name, its in (("in", said), ("zips", theirs), ("in", said), ("zips", theirs)):
        last = bring(tmp_path / name, tmp_path / "own", its, add_input=True)
        assert last.forgot is None
    assert last.posts is None


def test_a_picture_that_only_the_zip_says_is_of_a_post_leaves_with_the_next_run(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    export(tmp_path / "in", CODE)
    pack(tmp_path / "in", OTHER)
    read(tmp_path)
    (tmp_path / "deleted.txt").write_text(OTHER)
    words = ("--deleted-posts", tmp_path / "deleted.txt", "--platform", "instagram", "--yes")
    assert imgbatch("forget", tmp_path / "own", *words).returncode == 0
    assert has_picture(tmp_path, ".zip", ANOTHER)
    read(tmp_path)
    assert not has_picture(tmp_path, ".zip", ANOTHER)


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_post_that_the_export_lost_does_not_come_back_by_the_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, *, hidden: bool
) -> None:
    said = by(tmp_path, monkeypatch, policy, hidden=hidden)
    export(tmp_path / "in", CODE, OTHER)
    pack(tmp_path / "in", CODE)
    read(tmp_path, said)
    for again in range(2):
        export(tmp_path / "in", OTHER, *("Cccccccccc33" for _ in range(again)))
        read(tmp_path, said)
        found = {state: platform for platform, _, state in told(tmp_path)[0]}
        there = {"keep": "present", "mark": "removed"}.get(policy)
        assert {platform for platform, _, _ in told(tmp_path)[0]} == {"instagram"}
        assert len(told(tmp_path)[0]) == 1 + again + (policy != "forget")
        assert there is None or there in found
        assert has_picture(tmp_path, "images-0a1b2c.zip") is (policy != "forget")
    dataset = Dataset.open(str(tmp_path / "own"))
    gone = [("instagram", plain(CODE, hidden=hidden))] if policy == "forget" else []
    assert verify_forgotten(dataset, of_posts=gone).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_forgotten_post_does_not_come_back_by_a_zip_of_another_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    imgbatch: Callable[..., Done],
    *,
    hidden: bool,
    alone: bool,
) -> None:
    said = by(tmp_path, monkeypatch, "keep", hidden=hidden)
    export(tmp_path / "in", CODE, OTHER)
    pack(tmp_path / "in", CODE)
    read(tmp_path, said)
    words = ("--post-id", CODE, "--platform", "instagram", "--yes")
    assert imgbatch("forget", tmp_path / "own", *words).returncode == 0
    assert not has_picture(tmp_path, ".zip")
    # Where the next one comes alone, in another INPUT, it says no more than the id.
    again = tmp_path / ("in" if not alone else "zips")
    pack(again, CODE, name="images-3d4e5f.zip")
    summary = bring(again, tmp_path / "own", said, add_input=True)
    assert summary.forgot is not None
    assert not has_picture(tmp_path, ".zip")
    assert [platform for platform, _, _ in told(tmp_path)[0]] == ["instagram"]
    dataset = Dataset.open(str(tmp_path / "own"))
    assert verify(dataset).problems == []
    gone = [("instagram", plain(CODE, hidden=hidden))]
    assert verify_forgotten(dataset, of_posts=gone).problems == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "listed", "platform", "hidden"),
    [
        (CODE, CODE, "instagram", False),
        (CODE, CODE, "instagram", True),
        ("1abcde", "t3_1abcde", "reddit", False),
        ("1abcde", "1abcde", "Reddit", False),
    ],
)
def test_a_takedown_on_a_platform_means_what_a_zip_alone_says_is_of_the_id(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    imgbatch: Callable[..., Done],
    code: str,
    listed: str,
    platform: str,
    hidden: bool,  # noqa: FBT001 - one of the values of a case
) -> None:
    said = by(tmp_path, monkeypatch, "keep", hidden=hidden)
    pack(tmp_path / "in", code)
    read(tmp_path, said)
    # A row of a table is another post, whatever its number.
    foreign = ("--post-id", listed, "--platform", "table", "--missing-ok", "--yes")
    assert imgbatch("forget", tmp_path / "own", *foreign).returncode == 0
    assert len(told(tmp_path)[0]) == 1
    # With pseudonyms a row does not show that it is of the same id.
    words = ("--post-id", listed, *(() if hidden else ("--platform", platform)), "--yes")
    done = imgbatch("forget", tmp_path / "own", *words)
    assert done.returncode == 0, done.stderr
    assert told(tmp_path) == ([], [])
    assert not has_picture(tmp_path, ".zip")
    proof = imgbatch("verify", tmp_path / "own", "--forgotten", *words[:-1])
    assert proof.returncode == 0, proof.stdout
    pack(tmp_path / "in", code, name="images-3d4e5f.zip")
    read(tmp_path, said)
    assert told(tmp_path) == ([], [])
    assert not has_picture(tmp_path, ".zip")


def by(folder: Path, monkeypatch: pytest.MonkeyPatch, policy: str, *, hidden: bool = False) -> str:
    """Return lines of `[posts]`; with pseudonyms there is a key."""
    (folder / "key").write_text("0123456789abcdef" * 4)
    monkeypatch.setenv("IMGBATCH_PSEUDONYM_KEY_FILE", str(folder / "key"))
    return f'removed = "{policy}"\npseudonyms = {str(hidden).lower()}'


def plain(own: str, *, hidden: bool) -> str:
    """Return the id of a post as the dataset has it."""
    return pseudonym(read_key(), "post", "instagram", own) if hidden else own


def address(folder: Path, name: str) -> str:
    return f"{open_store(str(folder / 'in')).root}/{name}"


def has_picture(folder: Path, within: str, picture: str = PICTURE) -> bool:
    """Tell whether the dataset has a picture of a zip whose name ends so."""
    found = Dataset.open(str(folder / "own")).read("sources", columns=["address"])
    return any(one.endswith(f"{within}!/{picture}") for one in found["address"].to_pylist())


def test_a_row_of_a_table_is_not_the_post_that_a_zip_names(tmp_path: Path) -> None:
    pack(tmp_path, "1")
    (tmp_path / "rows.csv").write_text("id,image\n1,https://elsewhere.example/a.jpg\n")
    asked = dumps.Plain(media_column="image")
    found = list(dumps.read_all(dumps.Dump.at(str(tmp_path)), ["table", "4cat"], asked))
    read = [(unmarked(p.platform), p) for _, p in found if isinstance(p, dumps.Post)]
    paths = {(where, medium.path) for where, post in read for medium in post.media}
    assert paths == {("table", None), ("unknown", "//images-0a1b2c.zip!/111_222_333_n.jpg")}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hidden", [False, True])
def test_a_post_that_a_former_version_had_twice_is_one_and_none_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, *, hidden: bool
) -> None:
    said = by(tmp_path, monkeypatch, policy, hidden=hidden)
    export(tmp_path / "in", CODE)
    pack(tmp_path / "in", CODE)
    with monkeypatch.context() as former:
        former.setattr(posts, "VERSION", posts.VERSION - 1)
        former.setattr(dumps.Linked, "give", lambda *_: None)
        former.setattr(dumps, "exported", lambda found, *_: found)
        read(tmp_path, said)
    assert [platform for platform, *_ in told(tmp_path)[0]] == ["instagram", "unknown"]
    counts = read(tmp_path, said)
    assert [platform for platform, *_ in told(tmp_path)[0]] == ["instagram"]
    assert told(tmp_path)[1] == ONE[1]
    assert (counts["new"], counts["removed"], counts["absent"]) == (0, 0, 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_posts_of_a_zip_that_came_first_are_not_removed_when_the_export_comes(
    tmp_path: Path, policy: str
) -> None:
    said = f'removed = "{policy}"'
    pack(tmp_path / "in", CODE)
    read(tmp_path, said)
    assert told(tmp_path)[0] == [("unknown", CODE, "present")]
    export(tmp_path / "in", CODE)
    assert read(tmp_path, said)["removed"] == 0
    assert told(tmp_path) == ONE


def test_a_row_of_a_table_is_not_the_post_that_a_zip_named_before(tmp_path: Path) -> None:
    own = tmp_path / "own"
    said = 'dump = "{0}"\nmedia_column = "image"'
    (tmp_path / "in").mkdir()
    (tmp_path / "in/rows.csv").write_text("id,image\n1,https://elsewhere.example/a.jpg\n")
    pack(tmp_path / "in", "1")
    bring(tmp_path / "in", own, 'dump = "4cat"')
    (tmp_path / "in/images-0a1b2c.zip").unlink()
    bring(tmp_path / "in", own, said.format("table"))
    found = {unmarked(platform) for (platform,) in rows(own, "posts", "platform")}
    assert found == {"table", "unknown"}


def reddit(folder: Path) -> None:
    """Write what 4CAT made of a submission of Reddit and a comment, and the zip of its picture."""
    folder.mkdir(exist_ok=True)
    (folder / "reddit-search-0a1b2c.csv").write_text(
        "id,thread_id,timestamp,body,author,image_url\n"
        f"abc12,abc12,2021-03-04 05:06:07,said,ada,{URL}\n"
        "def34,abc12,2021-03-04 05:06:08,too,bob,\n"
    )
    pack(folder, "abc12")


WHOLE = [("reddit", "t1_def34", "present"), ("reddit", "t3_abc12", "present")]


def test_a_post_of_reddit_has_one_id_in_4cat_and_elsewhere(tmp_path: Path) -> None:
    reddit(tmp_path / "in")
    item = {
        "id": "abc12",
        "author": "ada",
        "subreddit": "sky",
        "title": "said",
        "created_utc": 1_614_834_367,
        "url": URL,
    }
    (tmp_path / "in" / "RS_2021-03.jsonl").write_text(json.dumps(item) + "\n")
    read(tmp_path)
    assert told(tmp_path)[0] == WHOLE
    assert told(tmp_path)[1] == [("reddit", "matched")]


@pytest.mark.parametrize("policy", POLICIES)
def test_posts_of_reddit_that_4cat_gave_bare_ids_before_are_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    said = f'removed = "{policy}"'
    reddit(tmp_path / "in")
    with monkeypatch.context() as former:
        former.setattr(posts, "VERSION", posts.VERSION - 1)
        former.setattr(csv_4cat, "whole", lambda post_id, **_: post_id)
        read(tmp_path, said)
    assert [post_id for _, post_id, _ in told(tmp_path)[0]] == ["abc12", "def34"]
    counts = read(tmp_path, said)
    assert told(tmp_path)[0] == WHOLE
    assert told(tmp_path)[1] == [("reddit", "matched")]
    assert (counts["new"], counts["removed"], counts["absent"]) == (0, 0, 0)
