"""The pictures of the archive: that they are there is all that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILES = (
    "1050118621198921728-Aa1.jpg",
    "1050118621198921729-Bb1.jpg",
    "1050118621198921730-Ab1.jpg",
    "1050118621198921730-Ab2.jpg",
    "1050118621198921730-Ab3.png",
    "1050118621198921730-Ab4.jpg",
    "1050118621198921731-small.mp4",
)


def make(folder: Path) -> None:
    media = folder / "data" / "tweets_media"
    media.mkdir(exist_ok=True)
    for name in FILES:
        (media / name).write_bytes(b"a picture")
