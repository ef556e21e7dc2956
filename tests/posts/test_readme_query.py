"""The question of posts/README.md to a dataset, asked as it stands there."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

import duckdb
from PIL import Image

from imgbatch.dataset import Dataset
from tests.corpus import PHOTOS, run_inline
from tests.posts.made import Tweet, photo, write_dump

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = '[analyzers.faces]\ndetector = "lbp"\n'
FACE = (140, 20, 310, 190)
FIRST, NEXT = "2024-03-04T05:06:07.000Z", "2024-03-11T23:59:59.000Z"


def test_share_of_posts_with_faces_by_week_and_group_of_authors(tmp_path: Path, root: Path) -> None:
    dump = tmp_path / "in"
    photo(dump / "FfNoFace222.png", "coffee.png")
    # Without weights only a face that fills the picture is found.
    with Image.open(PHOTOS["astronaut.png"]) as astronaut:
        astronaut.crop(FACE).save(dump / "FfWithFace1.png")
    tweets = [
        Tweet("1500000000000000001", "", ["FfWithFace1.png", "FfNoFace222.png"], "7", FIRST),
        Tweet("1500000000000000002", "", ["FfNoFace222.png"], "7", FIRST),
        Tweet("1500000000000000003", "words alone", [], "7", FIRST),
        Tweet("1500000000000000004", "", ["FfWithFace1.png"], "8", FIRST),
        Tweet("1500000000000000005", "", ["FfWithFace1.png"], "7", NEXT),
        Tweet("1500000000000000006", "", ["FfGone33333.png"], "9", NEXT),
    ]
    write_dump(dump / "tweets.jsonl", tweets)
    run_inline(dump, tmp_path / "own", recipe=RECIPE)
    authors = tmp_path / "authors.csv"
    authors.write_text("author_id,author_group\n7,press\n8,party\n9,party\n")
    readme = (root / "imgbatch/posts/README.md").read_text("utf-8")
    found = re.search(r"```sql\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    # delta_scan needs an extension that DuckDB downloads; the Arrow tables hold the same rows.
    query = re.sub(r"delta_scan\('DATASET/(?:tables/)?(\w+)'\)", r"\1", found[1])
    assert "delta_scan" not in query
    dataset = Dataset.open(str(tmp_path / "own"))
    with duckdb.connect() as connection:
        for name in ("posts", "post_media", "tables/faces"):
            rows = dataset.table(name).dataset().to_table()
            connection.register(name.rpartition("/")[2], rows)
        rows = connection.execute(query.replace("authors.csv", str(authors))).fetchall()
    assert rows == [
        (date(2024, 3, 4), "party", 1, 1, 1.0),
        (date(2024, 3, 4), "press", 3, 2, 0.5),
        (date(2024, 3, 11), "party", 1, 0, None),
        (date(2024, 3, 11), "press", 1, 1, 1.0),
    ]
