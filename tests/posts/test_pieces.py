"""Posts that a format tells of in several places: their media add up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.posts.made import bring, photo, rows

if TYPE_CHECKING:
    from pathlib import Path

TWEET = "1600000000000000001"


def test_an_album_whose_files_do_not_follow_each_other_is_whole(tmp_path: Path) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    for at in (1, 2):
        for post in (TWEET, "1600000000000000002"):
            item = {
                "category": "twitter",
                "subcategory": "timeline",
                "tweet_id": int(post),
                "num": at,
                "content": "said",
                "date": "2023-05-06 09:08:07",
            }
            name = f"{at:>02}_{post}.jpg"
            photo(folder / name, tail=name.encode())
            (folder / f"{name}.json").write_text(json.dumps(item))
    bring(folder, own)
    told = rows(own, "post_media", "post_id", "local_path", "status")
    assert told == [
        (post, f"0{at}_{post}.jpg", "matched")
        for post in (TWEET, "1600000000000000002")
        for at in (1, 2)
    ]
    kinds = rows(own, "post_gaps", "kind")
    assert ("unmatched-source",) not in kinds
    assert ("duplicate-post",) not in kinds


def test_a_file_that_was_told_of_twice_is_one_whatever_its_address(tmp_path: Path) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    item = {"category": "instagram", "subcategory": "user", "post_shortcode": "Ca1", "num": 1}
    item |= {"media_id": "17", "extension": "jpg", "description": "said"}
    lines = [item | {"display_url": f"https://cdn.example.net/{at}.jpg"} for at in (1, 2)]
    other = item | {"post_shortcode": "Ca2", "media_id": "18"}
    photo(folder / "17.jpg")
    told = [lines[0], other, lines[1]]
    (folder / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    bring(folder, own)
    assert rows(own, "post_media", "post_id", "status") == [("Ca1", "matched"), ("Ca2", "missing")]
