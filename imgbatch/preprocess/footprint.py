"""Fixed steps enter; how many copies of their picture exist at once while they are done leaves.

Measured as growth of peak resident memory with RGB of 12 megapixels: Pillow holds RGB in 4 bytes a
pixel, once as it comes in and once as it goes out, and numpy's copy of that is made from a third.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.preprocess.steps import (
    CropBox,
    CropCenter,
    Grayscale,
    Mask,
    PadSquare,
    Resize,
    Rotate,
    Scale,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.preprocess.steps import FixedStep

# What Pillow takes of what comes in, and of what comes out.
IN, OUT = 1.5, 3.6
# Of pictures of 16:9: what a square around one is, and the box around one that is turned by 45.
SQUARE, TURNED = 1.8, 2.2


def copies(steps: Iterable[FixedStep]) -> float:
    """Return the most copies of a picture that its steps hold at once, besides the picture itself.

    What `resize` and `crop_center` leave counts as nothing, and what `pad` leaves as one copy:
    their sizes are told in pixels, and that of the picture is not known here.
    """
    most, size, held = 0.0, 1.0, 0.0
    for step in steps:
        work, left = _work(step)
        most = max(most, held + work * size)
        size *= left
        held = size
    return most


def _work(step: FixedStep) -> tuple[float, float]:
    """Return how many copies of what it is given a step makes, and how many it leaves."""
    match step:
        case Resize():
            found = IN, 0.0
        case CropCenter():
            found = 1.0, 0.0
        case CropBox():
            area = (step.y2 - step.y1) * (step.x2 - step.x1)
            found = area, area
        case Scale():
            area = step.factor**2
            found = IN + OUT * area, area
        case PadSquare():
            found = SQUARE, SQUARE
        case Rotate():
            area = TURNED if step.expand else 1.0
            found = IN + OUT * area, area
        case Grayscale():
            found = 1.7, 1 / 3
        case Mask(mode="mosaic" | "blur"):
            found = IN + OUT, 1.0
        case _:
            found = 1.0, 1.0
    return found
