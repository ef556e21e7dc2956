"""A decoded frame enters; upright RGB pixels of the wanted size, and notes on the frame, leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from imgbatch.media.pixels import target_size, upright

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.buffer import Buffer
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

# AVColorSpace (ITU-T H.273, MatrixCoefficients) to what swscale calls the same matrix.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
HIGH_DYNAMIC_RANGE = {16: "hdr:pq", 18: "hdr:hlg"}
# Decision, 2026-11: swscale's three planes, which PyAV lays together as RGB. Its packed rgb24 takes
# two and a half times as long with full chroma, and gives half the colours wrong where the video is
# big-endian RGB565. Drawback: one level apart from rgb24 in one pixel of 500, by rounding.
PLANES = "gbrp"
# Full chroma besides: without, swscale's exact path gives white as 253 and grey as 2 levels less.
SCALING = (
    Interpolation.AREA
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
    | Interpolation.FULL_CHR_H_INT
)

# (transposed, then mirrored left to right, then top to bottom) as EXIF's Orientation.
ORIENTATIONS = {
    (False, False, False): 1,
    (False, True, False): 2,
    (False, True, True): 3,
    (False, False, True): 4,
    (True, False, False): 5,
    (True, True, False): 6,
    (True, True, True): 7,
    (True, False, True): 8,
}


class Shot(NamedTuple):
    """What is kept of a frame.

    Attributes:
        pixels: (height, width, 3) uint8, RGB, upright, contiguous, scaled.
        width, height: before scaling, as shown.
        mode: FFmpeg's name of the decoder's pixel format.
        frame: it itself, where the camera keeps it.
        orientation: how its pixels were turned, as EXIF's Orientation.
        notes: `rotation:ignored` (not a right angle), `alpha:drop`, `hdr:pq` and `hdr:hlg` (levels
            are as stored, without tone mapping).
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    mode: str
    notes: tuple[str, ...]
    frame: VideoFrame | None
    orientation: int


class Camera:
    """Takes shots of frames, one at a time, at the smallest n/8 of their size that keeps a side.

    Args:
        min_side: of `[media]`.
        keeps: frames stay with their shots, which can be had in full size then.
    """

    def __init__(self, min_side: int, *, keeps: bool = False) -> None:
        self._min_side = min_side
        self._keeps = keeps
        self._reformatter = VideoReformatter()
        # Each remembers what it prepared for one size.
        self._full_reformatter = VideoReformatter()
        self._orientations: dict[int, int | None] = {}

    def take(self, frame: VideoFrame) -> Shot:
        """Convert, scale and turn a frame.

        Raises:
            av.FFmpegError: swscale does not know the pixel format.
        """
        size = target_size(frame.width, frame.height, self._min_side)
        rgb = _rgb(self._reformatter, frame, size)
        pixels = cast("NDArray[np.uint8]", rgb.to_ndarray())
        orientation = self._orientation(rgb)
        crossed = orientation is not None and orientation >= 5  # noqa: PLR2004 - 5 to 8 exchange sides
        return Shot(
            pixels=upright(pixels, orientation or 1),
            width=frame.height if crossed else frame.width,
            height=frame.width if crossed else frame.height,
            mode=frame.format.name,
            notes=_notes(frame, orientation),
            frame=frame if self._keeps else None,
            orientation=orientation or 1,
        )

    def whole(self, shot: Shot) -> NDArray[np.uint8]:
        """Return the pixels of a shot in full size, turned alike: of any camera that keeps frames.

        Raises:
            av.FFmpegError: as `take`.
        """
        frame = shot.frame
        assert frame is not None, "a camera that does not keep frames has no shot in full size"
        size = frame.width, frame.height
        if target_size(*size, self._min_side) == size:
            return shot.pixels
        rgb = _rgb(self._full_reformatter, frame, size)
        return upright(cast("NDArray[np.uint8]", rgb.to_ndarray()), shot.orientation)

    def _orientation(self, rgb: VideoFrame) -> int | None:
        # PyAV ties a frame and its side data into a cycle, so that only the garbage collector frees
        # them: look once per angle, and at the small frame, which has the same side data.
        if rgb.rotation not in self._orientations:
            self._orientations[rgb.rotation] = _orientation(rgb)
        return self._orientations[rgb.rotation]


def _rgb(reformatter: VideoReformatter, frame: VideoFrame, size: tuple[int, int]) -> VideoFrame:
    """Return a frame as RGB of that width and height."""
    return reformatter.reformat(
        frame,
        *size,
        PLANES,
        src_colorspace=_matrix(frame),
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.JPEG,
        interpolation=SCALING,
        threads=1,
    )


def _notes(frame: VideoFrame, orientation: int | None) -> tuple[str, ...]:
    notes = ["rotation:ignored"] if orientation is None else []
    if any(component.is_alpha for component in frame.format.components):
        notes.append("alpha:drop")
    if frame.color_trc in HIGH_DYNAMIC_RANGE:
        notes.append(HIGH_DYNAMIC_RANGE[frame.color_trc])
    return tuple(notes)


def _matrix(frame: VideoFrame) -> Colorspace:
    """Return the colour matrix; unmarked video is BT.709 from HD size on, as players do (mpv)."""
    high_definition = frame.width >= 1280 or frame.height > 576  # noqa: PLR2004 - where HD begins
    guess = Colorspace.ITU709 if high_definition else Colorspace.ITU601
    return MATRICES.get(frame.colorspace, guess)


def _orientation(frame: VideoFrame) -> int | None:
    """Return how the display matrix turns a frame, as EXIF's Orientation; None: no right angle.

    Source: ISO/IEC 14496-12, 8.3.2: x' = a x + c y, y' = b x + d y.
    """
    side_data = cast("Mapping[Type, Buffer]", frame.side_data)  # PyAV's stub is of another shape
    if Type.DISPLAYMATRIX not in side_data:
        return 1
    matrix = np.frombuffer(bytes(side_data[Type.DISPLAYMATRIX]), np.int32)
    a, b, c, d = (int(matrix[n]) for n in (0, 1, 3, 4))
    if max(abs(b), abs(c)) * 100 < min(abs(a), abs(d)):
        return ORIENTATIONS[False, a < 0, d < 0]
    if max(abs(a), abs(d)) * 100 < min(abs(b), abs(c)):
        return ORIENTATIONS[True, c < 0, b < 0]
    return None
