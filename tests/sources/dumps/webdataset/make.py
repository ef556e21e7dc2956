"""Writes shards as webdataset's TarWriter does: members of a sample follow each other."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

JSON = {
    "url": "https://example.org/a.jpg",
    "created_at": "1969-12-31T00:00:00Z",
    "author": "ada_example",
    "author_id": 17,
    "lang": "de",
    "like_count": 3,
    "original_width": 640,
    "original_height": 480,
}


def make(folder: Path) -> None:
    with tarfile.open(folder / "train-000000.tar", "w") as tar:
        add(tar, "__about__", b"passed over")
        sample(tar, "000000", jpg=jpeg(), json=JSON, txt="a marker")
        sample(tar, "000001", jpg=jpeg(), cls=7)
        sample(tar, "a/000002", **{"left.jpg": jpeg(), "right.jpg": jpeg()}, json={"text": "both"})
        sample(tar, "000003", mp4=b"no video", json={"id": 900719925474099312, "text": "moves"})
        add(tar, "no-suffix", b"passed over")
    with tarfile.open(folder / "train-000001.tar.gz", "w:gz") as tar:
        # The same key as in the other shard, and a sample whose picture was lost.
        sample(tar, "000000", png=jpeg("PNG"), txt="another", json={"url": "https://example.org/b"})
        sample(tar, "000001", txt="nothing to see", json={"post_id": "p-1", "date": "20231224"})


def jpeg(form: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 24), "navy").save(out, form)
    return out.getvalue()


def sample(tar: tarfile.TarFile, key: str, **told: object) -> None:
    for suffix, value in told.items():
        data = value if isinstance(value, bytes) else _text(suffix, value)
        add(tar, f"{key}.{suffix}", data)


def _text(suffix: str, value: object) -> bytes:
    return (json.dumps(value) if suffix == "json" else str(value)).encode()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
