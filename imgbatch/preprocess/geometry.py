"""Pixels in, pixels out: what happens to places and sizes. The center is kept unless told.

Every function takes (height, width) grey or (height, width, 3) RGB, uint8, and returns the same
kind, contiguous. Sizes are always given as `width` and `height` by name, never as a pair.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from imgbatch.errors import PreprocessError
from imgbatch.preprocess.color import BLACK, grayscale, is_grey

if TYPE_CHECKING:
    from imgbatch.preprocess.color import Color, Pixels

Kernel = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
RotateKernel = Literal["nearest", "bilinear", "bicubic"]
Direction = Literal["left-right", "top-bottom"]

# Decision, 2026-11: one kernel is pinned, Pillow's bicubic, which widens with the reduction and so
# does not alias. It is Pillow's own default, hence that of the teaching material we reproduce.
# Drawback: cv2's area kernel is faster for large reductions.
KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# A 1 x 20,000 picture that is to cover 256 x 256 would become 1.3 gigapixels.
MAX_PIXELS = 250_000_000


def crop_square(pixels: Pixels) -> Pixels:
    """Return the largest centered square; a spare pixel is cut at the right or the bottom.

    Always an exact square. Cropping by half pixels, as `Image.crop` with a half of the difference
    on both sides does, gives 454 x 453 from 806 x 453.
    """
    side = min(pixels.shape[:2])
    return crop_center(pixels, width=side, height=side)


def crop_center(pixels: Pixels, *, width: int, height: int) -> Pixels:
    """Return the centered part of exactly that size.

    Raises:
        PreprocessError: preprocess.size, the picture is smaller.
    """
    have_height, have_width = pixels.shape[:2]
    if width > have_width or height > have_height:
        raise PreprocessError(
            "preprocess.size",
            f"{have_width}x{have_height} is smaller than the crop {width}x{height}",
        )
    top, left = (have_height - height) // 2, (have_width - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def crop_box(pixels: Pixels, *, y1: float, x1: float, y2: float, x2: float) -> Pixels:
    """Return a box given as shares of height and width, in TensorFlow's order: y1, x1, y2, x2.

    Edges go to the nearest pixel border (half up), so boxes that touch share no pixel and lose
    none; a box always holds at least one pixel. `tf.image.crop_and_resize` instead samples between
    pixel centers: the same region, not the same values.

    Args:
        pixels: the picture.
        y1: top edge, 0 <= y1 < y2.
        x1: left edge, 0 <= x1 < x2.
        y2: bottom edge, y2 <= 1.
        x2: right edge, x2 <= 1.
    """
    height, width = pixels.shape[:2]
    rows, columns = _span(y1, y2, height), _span(x1, x2, width)
    return np.ascontiguousarray(pixels[rows, columns])


def _span(low: float, high: float, length: int) -> slice:
    start = min(int(low * length + 0.5), length - 1)
    return slice(start, max(int(high * length + 0.5), start + 1))


def stretch(pixels: Pixels, *, width: int, height: int, kernel: Kernel = "bicubic") -> Pixels:
    """Return exactly that size, whatever it does to the shape of things.

    Raises:
        PreprocessError: preprocess.size, more than MAX_PIXELS would come out.
    """
    if width * height > MAX_PIXELS:
        raise PreprocessError("preprocess.size", f"the result would be {width}x{height}")
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.array(Image.fromarray(pixels).resize((width, height), KERNELS[kernel]))


def fit(pixels: Pixels, *, width: int, height: int, kernel: Kernel = "bicubic") -> Pixels:
    """Return the largest picture of the same shape inside width x height; small ones grow.

    One side is exact, the other rounded half up, never above its limit and never 0.
    """
    have_height, have_width = pixels.shape[:2]
    if have_width * height >= have_height * width:
        height = _scaled(have_height, width, have_width)
    else:
        width = _scaled(have_width, height, have_height)
    return stretch(pixels, width=width, height=height, kernel=kernel)


def cover(pixels: Pixels, *, width: int, height: int, kernel: Kernel = "bicubic") -> Pixels:
    """Return the smallest picture of the same shape that holds width x height.

    With equal numbers: the shorter side gets that length, as before a center crop for ImageNet.
    """
    have_height, have_width = pixels.shape[:2]
    if have_width * height >= have_height * width:
        width = _scaled(have_width, height, have_height)
    else:
        height = _scaled(have_height, width, have_width)
    return stretch(pixels, width=width, height=height, kernel=kernel)


def _scaled(length: int, numerator: int, denominator: int) -> int:
    return max(1, (2 * length * numerator + denominator) // (2 * denominator))


def scale(pixels: Pixels, *, factor: float, kernel: Kernel = "bicubic") -> Pixels:
    """Return both sides times `factor`, rounded down (805 x 453 by 0.25 is 201 x 113), at least 1.

    The factor counts as the decimal that was written: 100 pixels by 0.29 are 29, where floating
    point says 28.999999999999996.
    """
    exact = Fraction(repr(factor))
    height, width = (max(1, int(side * exact)) for side in pixels.shape[:2])
    return stretch(pixels, width=width, height=height, kernel=kernel)


def pad(pixels: Pixels, *, width: int, height: int, background: Color = BLACK) -> Pixels:
    """Return exactly that size, the picture in the center; a spare row or column comes after it.

    Raises:
        PreprocessError: preprocess.size, the picture is larger, or the result above MAX_PIXELS.
    """
    have_height, have_width = pixels.shape[:2]
    if width < have_width or height < have_height or width * height > MAX_PIXELS:
        raise PreprocessError(
            "preprocess.size", f"{have_width}x{have_height} cannot be padded to {width}x{height}"
        )
    padded = np.empty((height, width, *pixels.shape[2:]), np.uint8)
    padded[...] = _value(background, pixels)
    top, left = (height - have_height) // 2, (width - have_width) // 2
    padded[top : top + have_height, left : left + have_width] = pixels
    return padded


def pad_square(pixels: Pixels, *, background: Color = BLACK) -> Pixels:
    """Return the smallest square that holds the picture, centered."""
    side = max(pixels.shape[:2])
    return pad(pixels, width=side, height=side, background=background)


def rotate(
    pixels: Pixels,
    *,
    degrees: float,
    expand: bool = False,
    background: Color = BLACK,
    kernel: RotateKernel = "bicubic",
) -> Pixels:
    """Return the picture turned about its center, counter-clockwise for positive degrees.

    The sign is that of Pillow and of mathematics. R's magick counts clockwise: its 45 is -45 here
    and in Pillow. Multiples of 90 move pixels without resampling wherever the size allows it.

    Args:
        pixels: the picture.
        degrees: any number.
        expand: make the result large enough for the corners; else the size stays, corners are cut.
        background: what the bare corners show.
        kernel: how values between pixels are found.

    Raises:
        PreprocessError: preprocess.size, more than MAX_PIXELS would come out.
    """
    height, width = pixels.shape[:2]
    sine, cosine = (abs(f(math.radians(degrees))) for f in (math.sin, math.cos))
    if expand and (width * cosine + height * sine) * (width * sine + height * cosine) > MAX_PIXELS:
        raise PreprocessError(
            "preprocess.size", f"{width}x{height} turned by {degrees} is too large"
        )
    image = Image.fromarray(pixels)
    color = _value(background, pixels)
    turned = image.rotate(degrees, KERNELS[kernel], expand=expand, fillcolor=color)
    return np.array(turned)


def flip(pixels: Pixels, *, direction: Direction = "left-right") -> Pixels:
    """Return the mirror image: sides change places, or top and bottom do.

    `left-right` is Pillow's `mirror` and magick's `flop`; `top-bottom` is `flip` in both.
    """
    return np.ascontiguousarray(pixels[:, ::-1] if direction == "left-right" else pixels[::-1])


def _value(color: Color, pixels: Pixels) -> Color | int:
    """Return a color as this picture shows it: its luma where the picture is grey."""
    if is_grey(pixels):
        return int(grayscale(np.array([[color]], np.uint8))[0, 0])
    return color
