"""Tiny real videos for tests: a photograph that pans, with hard cuts, in many encodings."""

from __future__ import annotations

import io
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import av
from skimage import data

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

WIDTH, HEIGHT = 96, 64


class Encoding(NamedTuple):
    """How a clip is encoded.

    `options` and `muxing` are `key=value` between blanks; `stamps` presentation times in 1/1000 s
    (25 a second if empty), `shift` what the container adds to them.
    """

    format: str
    codec: str
    options: str = ""
    frames: int = 60
    stamps: tuple[int, ...] = ()
    muxing: str = ""
    pix_fmt: str = "yuv420p"
    shift: int = 0


@lru_cache
def pictures(frames: int, cut_every: int = 20) -> list[NDArray[np.uint8]]:
    """Frames of a pan over three photographs, another one every `cut_every` frames."""
    photos = [data.astronaut(), data.coffee()[:, :, ::-1], data.chelsea()]
    views = []
    for n in range(frames):
        photo = photos[n // cut_every % 3]
        top, left = 2 * (n % 50), 3 * (n % 50)
        views.append(photo[top : top + 2 * HEIGHT : 2, left : left + 2 * WIDTH : 2].copy())
    return views


@lru_cache
def clip(encoding: Encoding) -> bytes:
    """Encode a clip and return the file's bytes."""
    return encode(pictures(encoding.frames), encoding)


def encode(
    frames: list[NDArray[np.uint8]],
    encoding: Encoding,
    *,
    rotation: int = 0,
    flip: Mapping[str, bool] | None = None,
    aspect: Fraction | None = None,
) -> bytes:
    """Encode RGB frames and return the file's bytes."""
    target = io.BytesIO()
    with av.open(target, "w", format=encoding.format, options=options_of(encoding.muxing)) as out:
        stream = out.add_stream(encoding.codec, rate=25, options=options_of(encoding.options))
        stream.height, stream.width = frames[0].shape[:2] if frames else (HEIGHT, WIDTH)
        stream.pix_fmt = encoding.pix_fmt
        stream.codec_context.thread_count = 1
        if encoding.stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation or flip:
            stream.set_display_rotation(rotation, **(flip or {}))
        out.start_encoding()
        for n, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame = frame.reformat(format=encoding.pix_fmt, dst_colorspace="ITU601")
            if encoding.stamps:
                frame.pts, frame.time_base = encoding.stamps[n], Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(shifted(stream.encode(frame), encoding.shift))
        out.mux(shifted(stream.encode(None), encoding.shift))
    return target.getvalue()


def options_of(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in text.split())


def shifted(packets: list[av.Packet], milliseconds: int) -> list[av.Packet]:
    for packet in packets:
        steps = round(Fraction(milliseconds, 1000) / packet.time_base)
        packet.pts += steps
        packet.dts += steps
    return packets
