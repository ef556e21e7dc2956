"""Pixels and boxes in, pixels out whose boxes show nothing, or next to nothing, of what was there.

`solid` keeps nothing. `mosaic` keeps the means of a few cells, `blur` the same means without their
edges: of a face that fills its box, `cells` x `cells` colors are left at most, whatever the
resolution.

Decision, 2026-11: a blur is a mosaic that is smoothed, because a Gaussian alone can be undone where
its width is known. Drawback: neither hides a face from a program that knows who may be in the
picture and was trained on pictures masked in the same way (McPherson, Shokri and Shmatikov 2016,
"Defeating image obfuscation with deep learning"); and in a video the means change from frame to
frame as a face moves, which tells more than one of them. Only `solid` hides it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageFilter

from imgbatch.preprocess.color import BLACK, Color, is_grey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.preprocess.color import Pixels

MaskMode = Literal["solid", "mosaic", "blur"]
# No cell is smaller, however small the face: in pixels.
SMALLEST_CELL = 4.0
# x, y, width, height in pixels; (x, y) the upper left corner.
Box = tuple[float, float, float, float]


def mask(
    pixels: Pixels,
    boxes: Sequence[Box],
    *,
    mode: MaskMode = "solid",
    grow: float = 0.2,
    cells: int = 6,
    color: Color = BLACK,
) -> Pixels:
    """Return a copy with every box masked.

    Args:
        pixels: the picture.
        boxes: may overlap, and reach beyond the borders.
        mode: what is left of a box.
        grow: each side of a box moves out by this share of its width or height: 0.2 makes it 1.4
            times as wide and high. Boxes of faces end at the hairline and leave the ears out.
        cells: the largest grown box is so many cells across, for `mosaic` and `blur`.
        color: of `solid`; its luma where the picture is grey.
    """
    spans = [span for box in boxes if (span := _grown(box, grow, pixels)) is not None]
    masked = pixels.copy()
    if not spans:
        return masked
    ground = _solid(color, pixels) if mode == "solid" else _cells(pixels, spans, mode, cells)
    for rows, columns in spans:
        masked[rows, columns] = ground[rows, columns]
    return masked


def _grown(box: Box, grow: float, pixels: Pixels) -> tuple[slice, slice] | None:
    """Return rows and columns of a grown box, rounded outwards; None: it lies beyond the border."""
    x, y, width, height = box
    rows = _span(y - grow * height, y + (1 + grow) * height, pixels.shape[0])
    columns = _span(x - grow * width, x + (1 + grow) * width, pixels.shape[1])
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _span(low: float, high: float, length: int) -> slice:
    return slice(max(math.floor(low), 0), min(math.ceil(high), length))


def _solid(color: Color, pixels: Pixels) -> Pixels:
    shown = Image.new("RGB", (1, 1), color)
    one = np.asarray(shown.convert("L") if is_grey(pixels) else shown)
    return np.broadcast_to(one[0, 0], pixels.shape)


def _cells(
    pixels: Pixels, spans: Sequence[tuple[slice, slice]], mode: MaskMode, cells: int
) -> Pixels:
    """Return the whole picture in cells as large as the largest box asks for.

    One grid for all boxes: where boxes overlap, no box shows what another hides.
    """
    height, width = pixels.shape[:2]
    largest = max(max(r.stop - r.start, c.stop - c.start) for r, c in spans)
    side = max(largest / cells, SMALLEST_CELL)
    size = (max(1, int(width / side)), max(1, int(height / side)))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
    image = image.resize((width, height), Image.Resampling.NEAREST)
    if mode == "blur":
        image = image.filter(ImageFilter.GaussianBlur(side / 2))
    return np.asarray(image)
