"""What a video in full size holds besides: groups still go to lanes, and the gate counts it."""

from __future__ import annotations

import gc
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import av
import cv2
import pytest

from imgbatch.media import Blob, ticks, video
from imgbatch.media.gate import ByteGate
from imgbatch.media.room import FULL_BYTES, HELD_FRAMES, KEPT_BYTES
from imgbatch.settings import MediaSettings, VideoSettings
from tests.media.clips import Encoding, encode, pictures

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

WIDTH, HEIGHT = 1920, 1080
FRAME, SMALL = WIDTH * HEIGHT * 3 // 2, 480 * 270 * 3
# A frame a second, of which each group has ten.
STAMPS = tuple(1000 * n for n in range(30))
SLOW = Encoding("matroska", "libx264", "g=10 preset=ultrafast x264-params=scenecut=0", 30, STAMPS)


@lru_cache
def slow() -> bytes:
    return encode([cv2.resize(view, (WIDTH, HEIGHT)) for view in pictures(len(STAMPS))], SLOW)


class Asked(ByteGate):
    """A gate that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(2**40)
        self.asked: list[int] = []

    def hold(self, decoded_bytes: int) -> AbstractContextManager[None]:
        self.asked.append(decoded_bytes)
        return super().hold(decoded_bytes)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the groups by the way that they went; they go it all the same."""
    counted: Counter[str] = Counter()

    def counting(kind: type, method: str, way: str) -> None:
        own = getattr(kind, method)

        def count(*given: object) -> object:
            counted[way] += 1
            return own(*given)

        monkeypatch.setattr(kind, method, count)

    counting(ticks.Lane, "submit", "lane")
    counting(ticks.Ticks, "_in_order", "in order")
    return counted


def at_one_fps(*, full_size: bool, copies: float = 0.0) -> tuple[int, int]:
    """Sample every second of a clip; return what the gate was asked for, and the most kept."""
    gate, kept, count = Asked(), 0, 0
    settings = MediaSettings(min_side=256, video=VideoSettings(sample="fps", fps=1))
    gc.collect()
    before = frames_alive()
    blob = Blob.of(slow())
    for picture in video.decode(blob, settings, gate, full_size=full_size, copies=copies).pictures:
        if picture.whole is not None:
            with picture.whole() as pixels:
                assert pixels.shape == (HEIGHT, WIDTH, 3)
        kept, count = max(kept, frames_alive() - before), count + 1
    assert count == len(STAMPS)
    (asked,) = gate.asked
    return asked, kept


def frames_alive() -> int:
    # By type: `isinstance` asks each object for its class, and some of torch's warn when asked.
    return sum(issubclass(type(one), av.VideoFrame) for one in gc.get_objects())


@pytest.mark.parametrize("full_size", [False, True])
def test_groups_of_ten_seconds_go_to_lanes_at_one_fps(
    ways: Counter[str], *, full_size: bool
) -> None:
    at_one_fps(full_size=full_size)
    assert ways == {"lane": 3}


def test_frames_that_wait_are_counted_in_the_gate() -> None:
    without, _ = at_one_fps(full_size=False)
    asked, kept = at_one_fps(full_size=True)
    assert kept >= 10
    decoders = HELD_FRAMES * FRAME * (ticks.LANES + 1)
    assert asked >= decoders + len(STAMPS) * (FRAME + SMALL) + WIDTH * HEIGHT * FULL_BYTES
    assert asked <= without + KEPT_BYTES + WIDTH * HEIGHT * FULL_BYTES
    # What a picture, that was asked for, and each decoder hold besides is counted as theirs.
    assert kept <= KEPT_BYTES // (FRAME + SMALL) + 2 * (ticks.LANES + 1)


def test_copies_of_a_frame_in_full_size_are_counted_before_it_is_decoded() -> None:
    asked, _ = at_one_fps(full_size=True)
    more, _ = at_one_fps(full_size=True, copies=5)
    # Three times its pixels, and five copies; FFmpeg's planes are gone by then.
    assert more - asked == WIDTH * HEIGHT * (3 * (1 + 5) - FULL_BYTES)
