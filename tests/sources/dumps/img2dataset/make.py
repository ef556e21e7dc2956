"""Writes what img2dataset does: a shard as a tar, one as a folder, their Parquet, 100 rows a group.

Columns `post_id`, `created_at` and `username` are a user's own (`--save_additional_columns`).
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("post_id", "created_at", "username", "caption", "url")),
        *((name, pa.string()) for name in ("key", "status", "error_message")),
        *((name, pa.int32()) for name in ("width", "height", "original_width", "original_height")),
        ("exif", pa.string()),
        ("sha256", pa.string()),
    ]
)


def make(folder: Path) -> None:
    rows = [row("000000000"), row("000000001", caption="another", post_id="102"), row("000000002")]
    failed = {"width": None, "height": None, "original_width": None, "original_height": None}
    rows += [
        row("000000003", post_id="103", status="failed_to_download", **failed)
        | {"error_message": "HTTP Error 404: Not Found", "sha256": None},
        row("000000004", post_id="104", status="failed_to_resize", **failed)
        | {"error_message": "Image decoding error", "sha256": None},
    ]
    write(folder / "00000.parquet", rows)
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for each in rows:
            if each["status"] == "success":
                for name, data in files(each):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    # Shard numbers need not follow each other; this one is of `output_format=files` and WebP.
    last = row("000010000", post_id="105", created_at="1969-07-20T20:17:40Z")
    write(folder / "00001.parquet", [last])
    (folder / "00001").mkdir()
    for name, data in files(last, "webp"):
        (folder / "00001" / name).write_bytes(data)


def row(key: str, **more: object) -> dict[str, object]:
    return {
        "post_id": "101",
        "created_at": "2023-12-24T18:00:00Z",
        "username": "ada_example",
        "caption": "a marker",
        "url": f"https://example.org/{key}.jpg",
        "key": key,
        "status": "success",
        "error_message": None,
        "width": 256,
        "height": 256,
        "original_width": 1024,
        "original_height": 768,
        "exif": "{}",
        "sha256": "0" * 64,
    } | more


def write(path: Path, rows: list[dict[str, object]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=100)


def files(each: dict[str, object], form: str = "jpg") -> list[tuple[str, bytes]]:
    out = io.BytesIO()
    Image.new("RGB", (256, 256), "navy").save(out, "JPEG" if form == "jpg" else form.upper())
    return [
        (f"{each['key']}.{form}", out.getvalue()),
        (f"{each['key']}.txt", str(each["caption"]).encode()),
        (f"{each['key']}.json", json.dumps(each, indent=4).encode()),
    ]
