"""Upright RGB pixels with their times enter; an MP4 file with one H.264 stream leaves.

Nothing else goes along but how wide a pixel is: no sound, no subtitles, no data streams, no tags
(title, date, place, device), no rotation: frames are upright. The same frames give the same file.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Self

import av
import numpy as np
from av.codec.context import ThreadType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from imgbatch.errors import PreprocessError

if TYPE_CHECKING:
    from types import TracebackType

    from av.video.stream import VideoStream
    from numpy.typing import NDArray

# MPEG's own clock: a time is kept to 6 microseconds.
TICKS = 90_000
SQUARE = Fraction(1)
# One thread, and nothing that depends on the processor: the same frames give the same bytes. With
# x264's macroblock tree they do not: encodings of a small clip differed (23 of 60; none of 150
# without), though the frames handed over were the same.
ENCODER = {"preset": "veryfast", "x264-params": "mbtree=0:cpu-independent=1"}
BT709, LIMITED = 1, 1
SCALING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class VideoFile:
    """An MP4 in the making; as a context manager, it is whole once the block ends without error.

    The size is that of the first frame. H.264 in 4:2:0 has even sides only: an odd side gets its
    last row or column twice.

    Args:
        path: of the file on this machine; FFmpeg opens it twice, to move its index to the front.
        crf: constant rate factor of x264: 0 is without loss, 18 hard to tell from the original.
    """

    def __init__(self, path: str, *, crf: int) -> None:
        options = {"fflags": "+bitexact", "movflags": "+faststart"}
        self._container = av.open(path, "w", format="mp4", options=options)
        self._crf = crf
        self._reformatter = VideoReformatter()
        self._stream: VideoStream | None = None
        self._shape: tuple[int, ...] = ()
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def add(
        self, pixels: NDArray[np.uint8], time: float, *, pixel_aspect: Fraction = SQUARE
    ) -> None:
        """Add the next frame, to be shown from a time on.

        Args:
            pixels: (height, width, 3) RGB.
            time: seconds since the first frame.
            pixel_aspect: how wide a pixel is to its height; that of the first frame holds for all.

        Raises:
            PreprocessError: preprocess.size, its size is not that of the first.
        """
        if self._stream is None:
            self._shape = pixels.shape
            self._stream = self._begin(pixels, pixel_aspect)
        if pixels.shape != self._shape:
            raise PreprocessError(
                "preprocess.size", f"a frame of {pixels.shape} after one of {self._shape}"
            )
        # Two frames may not share a tick, which a file with wrong stamps would have them do.
        self._last = max(round(time * TICKS), self._last + 1)
        self._container.mux(self._stream.encode(self._frame(pixels)))

    def _begin(self, pixels: NDArray[np.uint8], pixel_aspect: Fraction) -> VideoStream:
        stream = self._container.add_stream("libx264", options=ENCODER)
        height, width = pixels.shape[:2]
        context = stream.codec_context
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, TICKS)
        if pixel_aspect != SQUARE:
            context.sample_aspect_ratio = pixel_aspect
        context.options = {**ENCODER, "crf": str(self._crf)}
        context.thread_type, context.thread_count = ThreadType.SLICE, 1
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        return stream

    def _frame(self, pixels: NDArray[np.uint8]) -> av.VideoFrame:
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(pixels, "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=SCALING,
            threads=1,
        )
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        return frame
