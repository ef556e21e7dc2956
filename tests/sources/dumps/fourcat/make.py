"""The files that the zips hold, unpacked: that they are there is all that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILES = (
    "images/Aa1.jpg",
    "images/Ab1.jpg",
    "images/z.png",
    "videos/frames/https_video_twimg_com_high/video_frame_0000001.jpeg",
    "videos/frames/https_video_twimg_com_high/video_frame_0000002.jpeg",
)


def make(folder: Path) -> None:
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"a picture")
