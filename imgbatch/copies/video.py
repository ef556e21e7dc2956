"""A video's bytes in, one MP4 with every frame masked and changed out.

The video is decoded twice: first the detector looks at every frame, then every frame is masked by
what was seen in it and around it. So one frame is held at a time, and the boxes of all.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from imgbatch.copies.carry import Seen, carried
from imgbatch.errors import DecodeError
from imgbatch.media.encode import VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgbatch.media import Media
    from imgbatch.preprocess.color import Pixels
    from imgbatch.preprocess.masks import Box
    from imgbatch.records import Picture

    Look = Callable[[Picture], list[Box]]
    Change = Callable[[Picture, Sequence[Box] | None], Pixels]


@dataclass(slots=True)
class VideoCopy:
    """What the copy of a video came to.

    Attributes:
        width, height: of its frames, before an odd side is made even.
        frames: how many it has.
        faces: boxes found, over all frames; None where nobody looked.
        masked: frames with a mask; None where nobody looked.
    """

    width: int = 0
    height: int = 0
    frames: int = 0
    faces: int | None = None
    masked: int | None = None


def copy_video(
    open_media: Callable[[], Media],
    path: str,
    *,
    change: Change,
    masking: tuple[Look, float] | None,
    crf: int,
    turned: bool = False,
) -> VideoCopy:
    """Write the copy of a video.

    Args:
        open_media: opens the video with every frame as a picture. It is called twice when faces
            are masked, and gives the same frames: decoding depends on nothing else.
        path: of the file to write.
        change: makes the copy's (height, width, 3) RGB pixels of a frame and its faces.
        masking: who finds faces, and for how many seconds one is carried; None: they stay.
        crf: of the encoder.
        turned: what is changed lies on its side then, and so do pixels that are not square.

    Raises:
        DecodeError: the video cannot be decoded, or was another at second sight.
        PreprocessError: a step fails on a frame, or the detector does.
    """
    seen = None if masking is None else look(open_media(), masking[0])
    copied = VideoCopy()
    with VideoFile(path, crf=crf) as file:
        for picture, boxes in _frames(open_media(), seen, masking):
            pixels = change(picture, boxes)
            aspect = picture.facts.pixel_aspect
            shown = 1 / aspect if turned else aspect
            file.add(pixels, picture.time or 0, pixel_aspect=shown)
            copied.frames += 1
            copied.height, copied.width = pixels.shape[:2]
            copied.masked = None if boxes is None else (copied.masked or 0) + bool(boxes)
    copied.faces = None if seen is None else sum(len(one.boxes) for one in seen)
    return copied


def look(media: Media, finder: Look) -> list[Seen]:
    """Return what a detector sees in every frame."""
    with contextlib.closing(media.pictures) as pictures:
        return [Seen(picture.time or 0, tuple(finder(picture))) for picture in pictures]


def _frames(
    media: Media, seen: Sequence[Seen] | None, masking: tuple[Look, float] | None
) -> Iterator[tuple[Picture, Sequence[Box] | None]]:
    """Yield every frame with what is to be masked in it."""
    with contextlib.closing(media.pictures) as pictures:
        if seen is None or masking is None:
            yield from ((picture, None) for picture in pictures)
            return
        masks = carried(seen, seconds=masking[1])
        for picture, one, boxes in zip_longest(pictures, seen, masks):
            # Never a frame that nobody looked at.
            if picture is None or one is None or one.time != (picture.time or 0):
                raise DecodeError("decode.corrupt", "decoded twice, its frames differ")
            yield picture, boxes
