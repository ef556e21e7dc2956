"""Half a surrogate pair, as JSON can say it: SQLite takes no such text, and nothing is lost."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.fetching.posts import written
from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump, Plain, Post
from imgbatch.sources.tables import open_table
from imgbatch.storage import open_store
from tests.corpus import PHOTOS
from tests.fetching import given
from tests.posts.made import bring, rows

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "id,thread_id,timestamp,author,body,image_urls\n"
URL = "https://x.example/a1.jpg"


def pack(folder: Path, told: dict[str, dict[str, Any]]) -> None:
    """Write a zip of 4CAT whose one picture is of posts as told."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "images.zip", "w") as packed:
        packed.writestr("a1.jpg", PHOTOS["rocket.jpg"].read_bytes())
        packed.writestr(".metadata.json", json.dumps(told))


def entry(*post_ids: str, **more: Any) -> dict[str, Any]:
    return {"filename": "a1.jpg", "success": True, "post_ids": [*post_ids], **more}


def posts(folder: Path, name: str) -> list[Post]:
    found = (one for _, one in dumps.read_all(Dump.at(str(folder)), [name], Plain()))
    return [one for one in found if isinstance(one, Post)]


@pytest.mark.parametrize(
    "told",
    [
        {URL: entry("17", "\ud800")},
        {f"{URL}?\ud800": entry("17")},
        {URL: entry("17", hash="\ud800", hash_type="sha256")},
        {"https://x.example/b": entry("17", filename="//b\ud800.jpg"), URL: entry("17")},
    ],
)
def test_what_a_zip_says_is_brought(tmp_path: Path, told: dict[str, dict[str, Any]]) -> None:
    pack(tmp_path / "in", told)
    (tmp_path / "in/twitter-x.csv").write_text(f"{HEAD}17,17,2024-03-04 05:06:07,ada,hi,{URL}\n")
    summary = bring(tmp_path / "in", tmp_path / "own").posts
    assert summary is not None
    assert rows(tmp_path / "own", "posts", "post_id") == [("17",)]
    found = rows(tmp_path / "own", "post_media", "status", "local_path")
    assert ("matched", "//images.zip!/a1.jpg") in found


def test_ids_that_differ_in_these_alone_are_two(tmp_path: Path) -> None:
    pack(tmp_path / "in", {URL: entry("17\ud800"), f"{URL}?2": entry("17\ud801")})
    found = posts(tmp_path / "in", "4cat")
    assert [post.post_id for post in found] == ["17\ufffd", "17\ufffd"]
    assert [[medium.url for medium in post.media] for post in found] == [[URL], [f"{URL}?2"]]


def test_a_post_of_such_an_id_has_its_file(tmp_path: Path) -> None:
    pack(tmp_path / "in", {URL: entry("17\ud800")})
    meta = {"source_platform": "x.com", "item_id": "1"}
    items = [{"__import_meta": meta, "id": f"17{half}"} for half in ("\ud800", "\ud801")]
    (tmp_path / "in/a.ndjson").write_text("".join(json.dumps(item) + "\n" for item in items))
    found = posts(tmp_path / "in", "4cat")
    assert [len(post.media) for post in found] == [1, 0]


def test_an_ending_that_no_file_has_is_none(tmp_path: Path) -> None:
    item = {"category": "twitter", "subcategory": "x", "tweet_id": 17, "extension": "\ud800"}
    (tmp_path / "a.json").write_text(json.dumps(item))
    assert [post.post_id for post in posts(tmp_path, "gallery-dl")] == ["17"]


def test_a_table_may_name_what_no_file_is_called(tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_text(json.dumps({"id": "1", "image": "//a\ud800.jpg"}) + "\n")
    found = list(open_table(str(tmp_path / "posts.jsonl"), Plain()))
    assert [source.address.rpartition("/")[2] for source in found] == ["posts.jsonl"]


def test_a_fetch_tells_of_it(tmp_path: Path) -> None:
    given.dump(tmp_path / "in", [[]])
    error = {"errors": [{"title": "half \ud800"}], "__twarc": {}}
    with (tmp_path / "in/tweets.jsonl").open("a") as file:
        file.write(json.dumps(error) + "\n")
    assert given.fetch(tmp_path / "in", tmp_path / "out").posts == 1
    told = [one.get("gap", {}) for one in written(open_store(str(tmp_path / "out")))]
    message = "the platform gave an error instead: half \ufffd"
    assert message in [gap.get("message") for gap in told]
