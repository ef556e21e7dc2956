"""A video in, how many times faster than real time each loop reads it out.

Run as a process of its own: `video_loops FILE ROUNDS`. A round runs each loop once, in turn.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
from av.codec.context import ThreadType
from av.stream import Discard
from av.video.reformatter import VideoReformatter

from imgbatch.media import Blob, video
from imgbatch.settings import MediaSettings, VideoSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from av.video.stream import VideoStream

AT_LEAST_SECONDS = 0.3
MIN_SIDE = MediaSettings().min_side


class OpenGate:
    """Lets everything through: the bare loops have no cap on decoded bytes either."""

    def hold(self, decoded_bytes: int) -> AbstractContextManager[None]:  # noqa: ARG002 - a Gate
        """Never wait."""
        return nullcontext()


def plain(path: Path) -> int:
    """Decode key frames alone as PyAV's documentation shows, to RGB as small as imgbatch's."""
    count = 0
    with av.open(path) as opened:
        stream = opened.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        width, height = _small(stream)
        for frame in opened.decode(stream):
            frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
            count += 1
    return count


def tuned(path: Path) -> int:
    """Do the same as fast as PyAV can: other packets dropped unparsed, all threads, one scaler."""
    count = 0
    with av.open(path) as opened:
        stream = opened.streams.video[0]
        stream.discard = Discard.nonkey
        stream.codec_context.skip_frame = "NONKEY"
        stream.thread_type = ThreadType.AUTO
        width, height = _small(stream)
        scaler = VideoReformatter()
        for frame in opened.decode(stream):
            scaler.reformat(frame, width=width, height=height, format="rgb24").to_ndarray()
            count += 1
    return count


def _small(stream: VideoStream) -> tuple[int, int]:
    scale = MIN_SIDE / min(stream.width, stream.height)
    return round(stream.width * scale), round(stream.height * scale)


def opencv(path: Path) -> int:
    """Read every frame and keep one a second, as most scripts do."""
    opened = cv2.VideoCapture(str(path))
    step = round(opened.get(cv2.CAP_PROP_FPS))
    index = kept = 0
    while True:
        there, _ = opened.read()
        if not there:
            break
        kept += index % step == 0
        index += 1
    opened.release()
    return kept


def imgbatch(path: Path, sampling: VideoSettings) -> int:
    """Decode with imgbatch, in this thread."""
    media = video.decode(Blob.of(path.read_bytes()), MediaSettings(video=sampling), OpenGate())
    return sum(1 for _ in media.pictures)


LOOPS: dict[str, Callable[[Path], int]] = {
    "plain": plain,
    "tuned": tuned,
    "keyframes": lambda path: imgbatch(path, VideoSettings(sample="keyframes")),
    "opencv": opencv,
    "fps": lambda path: imgbatch(path, VideoSettings(sample="fps", fps=1)),
}


def main(path: Path, rounds: int) -> None:
    """Time every loop; prints its rates and how many pictures it came to."""
    with av.open(path) as opened:
        assert opened.duration is not None, "MP4 files know their duration"
        duration = opened.duration / av.time_base
    rates: dict[str, list[float]] = {name: [] for name in LOOPS}
    counts: dict[str, int] = {}
    for _ in range(rounds):
        for name, loop in LOOPS.items():
            counts[name], seconds = _timed(loop, path)
            rates[name].append(duration / seconds)
    assert counts["plain"] == counts["tuned"] == counts["keyframes"], f"other key frames: {counts}"
    assert counts["opencv"] == counts["fps"], f"other frames: {counts}"
    print(json.dumps({"times_real_time": rates, "pictures": counts}))


def _timed(loop: Callable[[Path], int], path: Path) -> tuple[int, float]:
    """Return a loop's pictures and its mean seconds; the quick ones run several times over."""
    start = time.perf_counter()
    times = 0
    while (spent := time.perf_counter() - start) < AT_LEAST_SECONDS:
        count = loop(path)
        times += 1
    return count, spent / times


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
