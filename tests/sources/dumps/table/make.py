"""Adds the pictures that the tables name, and a table as Parquet with bytes in a column."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("one", "two", "six", "seven", "eight", "nine")


def make(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for name in (*NAMES, "three, four"):
        Image.new("RGB", (16, 12), "navy").save(folder / "pictures" / f"{name}.png")
    rows = [
        {"id": 3001, "created_at": datetime(2023, 12, 24, 18, tzinfo=UTC), "author": "ada_example"}
        | {"Image Path": ["pictures/nine.png"], "thumbnail": b"\xff\xd8"},
        {"id": 3002, "created_at": None, "author": None, "Image Path": None, "thumbnail": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "third.parquet")
