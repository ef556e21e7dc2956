"""Real photographs, panned and zoomed, in; a 720p H.264 video of one minute, and of twenty, out.

The encoder's defaults decide on key frames: one at each cut and at most 250 frames apart. The long
video holds the short one's packets twenty times over, so it costs no encoding.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.photographs import photograph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scripts.benchmarks.setting import Setting

SEED = 20_261_121
SIZE = (1280, 720)
RATE = 30
MINUTE = 60 * RATE
SHOT = 6 * RATE
TIMES = 20
GRAINS = 8


def minute(setting: Setting) -> Path:
    """Return the video of one minute, made when it is not there yet."""
    return _made(setting, "minute")


def twenty_minutes(setting: Setting) -> Path:
    """Return the video of twenty minutes, made when it is not there yet."""
    minute(setting)
    return _made(setting, "twenty")


def _made(setting: Setting, name: str) -> Path:
    # Each lies in a folder of its own, which can be an INPUT.
    path = setting.corpora / name / f"{name}.mp4"
    if not path.exists():
        run_child(module("clips", name, path), log=setting.log("clips"))
    return path


def _frames() -> Iterator[NDArray[np.uint8]]:
    """Yield the frames: every six seconds another photograph, slowly panned and zoomed."""
    random = np.random.default_rng(SEED)
    grains = [random.normal(0, 2, (SIZE[1], SIZE[0], 1)).astype(np.float32) for _ in range(GRAINS)]
    for index in range(MINUTE):
        shot, at = divmod(index, SHOT)
        picture = photograph(shot)
        high, wide = picture.shape[:2]
        # The part that is shown shrinks from 90 to 60 % of what fits, and wanders to and fro.
        part = min(wide / SIZE[0], high / SIZE[1]) * (0.9 - 0.3 * at / SHOT)
        w, h = SIZE[0] * part, SIZE[1] * part
        x = (wide - w) * (0.5 + 0.5 * np.sin(2 * np.pi * at / SHOT))
        y = (high - h) * (0.5 - 0.5 * np.cos(2 * np.pi * at / SHOT))
        view = np.array([[part, 0, x], [0, part, y]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(picture, view, SIZE, flags=how, borderMode=cv2.BORDER_REFLECT)
        yield np.clip(seen + grains[index % GRAINS], 0, 255).astype(np.uint8)


def _encode(path: Path) -> None:
    with av.open(path, "w") as video:
        stream = video.add_stream("libx264", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for index, pixels in enumerate(_frames()):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))


def _repeat(short: Path, path: Path) -> None:
    """Write the packets of a video twenty times over, each round later by its length."""
    with av.open(path, "w") as video:
        stream = None
        for round_ in range(TIMES):
            with av.open(short) as source:
                origin = source.streams.video[0]
                stream = stream or video.add_stream_from_template(origin)
                assert origin.time_base is not None, "MP4 streams have a time base"
                later = round_ * round(Fraction(MINUTE, RATE) / origin.time_base)
                for packet in source.demux(origin):
                    if packet.dts is None or packet.pts is None:
                        continue  # the empty packet that ends a stream
                    packet.dts += later
                    packet.pts += later
                    packet.stream = stream
                    video.mux(packet)


def main(name: str, path: Path) -> None:
    """Make one video; an interrupted run leaves no half of it under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent.parent / f"unfinished-{path.name}"
    if name == "minute":
        _encode(part)
    else:
        _repeat(path.parent.parent / "minute" / "minute.mp4", part)
    part.rename(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
