"""Several copies of one post: the newest says what it says, and no file of any copy is lost."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from tests.posts.made import bring, photo, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.posts.made import Done

NOT_INCLUDED = "(File not included. Change data exporting settings to download.)"
JANUARY, FEBRUARY = "ChatExport_2024-01-01", "ChatExport_2024-02-01"
PICTURE = "photos/photo_2@01-01-2024_10-00-00.jpg"


def export(folder: Path, text: str, photo_: str) -> None:
    """Write a channel of two messages, the second with a photograph."""
    day = {"type": "message", "date": "2024-01-01T10:00:00", "date_unixtime": "1704103200"}
    of = {"from": "Channel", "from_id": "channel1234567890"}
    second = {"id": 2, **day, **of, "text": text, "photo": photo_, "width": 640, "height": 480}
    messages = [{"id": 1, **day, **of, "text": "first"}, second]
    told = {"name": "Channel", "type": "public_channel", "id": 1234567890, "messages": messages}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(told))


def media(own: Path) -> list[tuple[int, str, bool]]:
    """Return place, status and whether a source is named, of every medium."""
    found = rows(own, "post_media", "media_idx", "status", "source_id")
    return [(place, status, source is not None) for place, status, source in found]


def sources(own: Path) -> set[str]:
    found = Dataset.open(str(own)).read("sources", columns=["address"])["address"].to_pylist()
    return {address.partition("/in/")[2] for address in found}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two exports of one channel, of which the first has the photograph."""
    photo(tmp_path / "in" / JANUARY / PICTURE)
    export(tmp_path / "in" / JANUARY, "second", PICTURE)
    export(tmp_path / "in" / FEBRUARY, "edited", NOT_INCLUDED)
    bring(tmp_path / "in", tmp_path / "own")
    return tmp_path


def test_a_copy_without_a_file_does_not_displace_one_that_has_it(two: Path) -> None:
    own = two / "own"
    assert dict(rows(own, "posts", "post_id", "text"))["channel1234567890/2"] == "edited"
    assert media(own) == [(0, "matched", True)]
    assert not [kind for (kind,) in rows(own, "post_gaps", "kind") if kind == "unmatched-source"]
    assert verify(Dataset.open(str(own))).problems == []


def test_a_takedown_reaches_the_files_of_every_copy(
    two: Path, imgbatch: Callable[..., Done]
) -> None:
    own = two / "own"
    words = ("--post-id", "channel1234567890/2", "--platform", "telegram")
    done = imgbatch("forget", own, *words, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert (done.said["posts"], done.said["sources"]) == (1, 1)
    for export_ in (JANUARY, FEBRUARY):
        assert f"{export_}/result.json" in done.stdout
    assert f"{JANUARY}/{PICTURE}" not in sources(own)
    assert verify(Dataset.open(str(own))).problems == []
    assert rows(own, "post_copies", "post_id") == [("channel1234567890/1",)]


def with_another_picture(two: Path) -> Path:
    """Return the dataset, brought again with a picture of February's own for the post."""
    own = two / "own"
    photo(two / "in" / FEBRUARY / PICTURE, "china.jpg")
    export(two / "in" / FEBRUARY, "edited", PICTURE)
    bring(two / "in", own)
    return own


def test_the_files_that_two_copies_have_both_go_with_the_post(
    two: Path, imgbatch: Callable[..., Done]
) -> None:
    own = with_another_picture(two)
    assert media(own) == [(0, "matched", True), (1, "other-copy", True)]
    assert verify(Dataset.open(str(own))).problems == []
    done = imgbatch("forget", own, "--post-id", "channel1234567890/2", "--yes", "--json")
    assert (done.said["posts"], done.said["sources"]) == (1, 2)
    assert not [name for name in sources(own) if name.endswith(".jpg")]
    assert verify(Dataset.open(str(own))).problems == []


def test_a_forgotten_file_of_another_copy_leaves_its_row(
    two: Path, imgbatch: Callable[..., Done]
) -> None:
    own = with_another_picture(two)
    found = rows(own, "post_media", "status", "source_id")
    other = dict(found)["other-copy"]
    done = imgbatch("forget", own, "--source", other, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert media(own) == [(0, "matched", True)]
    assert verify(Dataset.open(str(own))).problems == []
    photo(two / "in/another.jpg", "flower.jpg")
    bring(two / "in", own)
    assert media(own) == [(0, "matched", True)]


def test_a_second_reading_changes_nothing(two: Path) -> None:
    own = two / "own"
    before = media(own), rows(own, "post_media"), rows(own, "post_gaps")
    photo(two / "in/another.jpg", "flower.jpg")
    summary = bring(two / "in", own).posts
    assert summary is not None
    assert (summary["new"], summary["changed"], summary["removed"]) == (0, 0, 0)
    assert (media(own), rows(own, "post_media")) == before[:2]
    assert bring(two / "in", own).posts is None


def fetched(out: Path, *media: dict[str, object]) -> None:
    """Write what a fetch wrote of one post that several weekly files have."""
    (out / "fetched").mkdir(parents=True, exist_ok=True)
    (out / "fetched/about.json").write_text("{}")
    post = {"post_id": "C1", "platform": "instagram", "author_id": "7", "created_at": None}
    told = [{**post, "text": f"week {n}", "media": [one]} for n, one in enumerate(media, 1)]
    (out / "posts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))


def test_a_link_that_is_dead_by_now_does_not_take_the_file_of_an_earlier_week(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own, path = tmp_path / "own", "media/aa/0123-4567.jpg"
    photo(tmp_path / "in" / path)
    week1 = {"kind": "image", "key": "11", "url": "https://a.example/1.jpg?s=1", "path": path}
    week2 = {"kind": "image", "key": "11", "url": "https://a.example/1.jpg?s=2"}
    fetched(tmp_path / "in", week1)
    bring(tmp_path / "in", own)
    fetched(tmp_path / "in", week1, {**week2, "status": "link.denied"})
    summary = bring(tmp_path / "in", own).posts
    assert summary is not None
    assert (summary["posts"], summary["changed"], summary["sources"]) == (1, 1, 0)
    assert media(own) == [(0, "matched", True)]
    assert rows(own, "posts", "text") == [("week 2",)]
    assert bring(tmp_path / "in", own).posts is None
    done = imgbatch("forget", own, "--post-id", "C1", "--yes", "--json")
    assert (done.said["posts"], done.said["sources"]) == (1, 1)


def test_a_post_keeps_the_files_that_another_input_has(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own = tmp_path / "own"
    photo(tmp_path / "in/a" / JANUARY / PICTURE)
    export(tmp_path / "in/a" / JANUARY, "second", PICTURE)
    export(tmp_path / "in/b" / FEBRUARY, "edited", NOT_INCLUDED)
    bring(tmp_path / "in/a", own)
    bring(tmp_path / "in/b", own, add_input=True)
    assert media(own) == [(0, "matched", True)]
    # Read again, in either order; then b has the message no more.
    for name in ("a", "b"):
        photo(tmp_path / "in" / name / "another.jpg", "flower.jpg", tail=name.encode())
        summary = bring(tmp_path / "in" / name, own).posts
        assert summary is not None
        assert media(own) == [(0, "matched", True)]
        assert verify(Dataset.open(str(own))).problems == []
    shutil.rmtree(tmp_path / "in/b" / FEBRUARY)
    bring(tmp_path / "in/b", own)
    assert media(own) == [(0, "matched", True)]
    done = imgbatch("forget", own, "--post-id", "channel1234567890/2", "--yes", "--json")
    assert (done.said["posts"], done.said["sources"]) == (1, 1)
    assert f"{JANUARY}/result.json" in done.stdout


def test_what_a_copy_had_besides_stays_while_its_post_is_not_read_again(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for month, name in ((JANUARY, "rocket.jpg"), (FEBRUARY, "china.jpg")):
        photo(tmp_path / "in" / month / PICTURE, name)
        export(tmp_path / "in" / month, month, PICTURE)
    bring(tmp_path / "in", own)
    both = [(0, "matched", True), (1, "other-copy", True)]
    assert media(own) == both
    for month in (JANUARY, FEBRUARY):
        (tmp_path / "in" / month / "result.json").unlink()
    summary = bring(tmp_path / "in", own).posts
    assert summary is not None
    assert summary["absent"] == 2
    assert media(own) == both
    assert verify(Dataset.open(str(own))).problems == []


def shown(file: Path, **said: object) -> None:
    """Write what a researcher's browser was shown: one reel."""
    line = {"source_platform": "instagram.com", "item_id": "C1", "timestamp_collected": 1}
    data = {"code": "C1", "id": "11_7", "media_type": 2, **said}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**line, "data": data}) + "\n")


@pytest.mark.parametrize("whole_is", ["20240101", "20240108"])
def test_a_part_of_a_post_never_stands_for_a_whole_copy(tmp_path: Path, whole_is: str) -> None:
    own, name = tmp_path / "own", "zeeschuimer-export-instagram.com-{0}.ndjson"
    cover = {"image_versions2": {"candidates": [{"url": "https://a.example/cover.jpg"}]}}
    shown(tmp_path / "in" / name.format("20240104"), _zs_partial=True, **cover)
    bring(tmp_path / "in", own)
    # What is there of a post is better than nothing.
    assert rows(own, "posts", "text") == [(None,)]
    shown(
        tmp_path / "in" / name.format(whole_is),
        **cover,
        caption={"text": "whole"},
        taken_at=1704103200,
        user={"pk": "7", "username": "ada", "full_name": "Ada"},
        video_versions=[{"url": "https://a.example/reel.mp4"}],
    )
    bring(tmp_path / "in", own)
    ((text, created, author),) = rows(own, "posts", "text", "created_at", "author_name")
    assert (text, created is not None, author) == ("whole", True, "ada")
    assert rows(own, "post_media", "source_url") == [("https://a.example/reel.mp4",)]
    assert bring(tmp_path / "in", own).posts is None


def test_a_part_of_a_post_in_another_input_never_stands_for_a_whole_copy(
    tmp_path: Path, imgbatch: Callable[..., Done]
) -> None:
    own, name = tmp_path / "own", "zeeschuimer-export-instagram.com-20240104.ndjson"
    one, other = tmp_path / "in/a", tmp_path / "in/b"
    shown(
        one / name,
        caption={"text": "whole"},
        taken_at=1704103200,
        user={"pk": "7", "username": "ada", "full_name": "Ada"},
        video_versions=[{"url": "https://a.example/reel.mp4"}],
    )
    bring(one, own)
    cover = {"image_versions2": {"candidates": [{"url": "https://a.example/cover.jpg"}]}}
    shown(other / name, _zs_partial=True, **cover)
    photo(other / "cover.jpg")
    counts = bring(other, own, add_input=True).posts
    assert counts is not None
    assert (counts["new"], counts["changed"], counts["removed"], counts["posts"]) == (0, 0, 0, 1)
    whole = ([("whole", f"file://{one}")], [("matched", True)])

    def now() -> tuple[object, object]:
        found = rows(own, "post_media", "status", "source_id")
        return (
            rows(own, "posts", "text", "input"),
            sorted((status, source is not None) for status, source in found),
        )

    assert now() == whole
    gaps = rows(own, "post_gaps", "kind", "ref", "input")
    there = {(kind, ref) for kind, ref, input_ in gaps if input_ == f"file://{other}"}
    assert there >= {("same-id-in-other-input", "instagram C1"), ("duplicate-posts", name)}
    copy = [("C1", f"{name}:1", f"file://{other}")]
    assert rows(own, "post_copies", "post_id", "raw_ref", "input") == copy
    # Each is read again, whatever came first.
    for folder in (other, one, other):
        photo(folder / "another.jpg", "flower.jpg", tail=str(len(list(own.rglob("*")))).encode())
        again = bring(folder, own).posts
        assert again is not None
        assert (again["new"], again["changed"], again["removed"]) == (0, 0, 0)
        assert now() == whole
        assert without_files(rows(own, "post_gaps", "kind", "ref", "input")) == without_files(gaps)
        assert rows(own, "post_copies", "post_id", "raw_ref", "input") == copy
        assert verify(Dataset.open(str(own))).problems == []
    done = imgbatch("forget", own, "--post-id", "C1", "--yes", "--json")
    assert (done.said["posts"], done.said["sources"]) == (1, 1)
    for folder in (one, other):
        assert f"{folder}/{name}" in done.stdout


def without_files(gaps: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [gap for gap in gaps if gap[0] != "unmatched-source"]
