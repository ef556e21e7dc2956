"""The faces found in each frame of a video in, those to be masked in each frame out.

The rule: a frame is masked wherever a face was found in it, or in any frame at most so many seconds
before or after it. A detector that misses a face in between therefore shows nothing, as long as it
sees the face again in time. Nothing is tracked: a face that moves leaves its whole way masked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.preprocess.masks import Box


@dataclass(frozen=True, slots=True)
class Seen:
    """What a detector saw in one frame.

    Attributes:
        time: seconds from the video's start.
        boxes: of the faces.
    """

    time: float
    boxes: tuple[Box, ...]


def carried(frames: Sequence[Seen], *, seconds: float) -> Iterator[list[Box]]:
    """Yield for each frame the boxes to mask, its own among them, each once.

    Args:
        frames: in the order of time.
        seconds: how far a box is carried, both ways.
    """
    near: deque[Seen] = deque()
    ahead = iter(frames)
    coming = next(ahead, None)
    for frame in frames:
        while coming is not None and coming.time <= frame.time + seconds:
            near.append(coming)
            coming = next(ahead, None)
        while near[0].time < frame.time - seconds:
            near.popleft()
        yield list(dict.fromkeys(box for one in near for box in one.boxes))
