"""The faces found in a picture in, the fixed step that masks them out.

Who finds them is no business of this room: `imgbatch.copies` asks a detector, and what it found
becomes a `mask` step, which can be written down and done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from imgbatch.preprocess.masks import MaskMode
from imgbatch.preprocess.steps import Background, Mask
from imgbatch.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.preprocess.masks import Box


class MaskFaces(Settings):
    """Every face that the detector of the recipe's `[faces]` finds; the first step of a recipe.

    Attributes:
        mode: `solid` leaves nothing, `mosaic` and `blur` the means of a few cells.
        grow: each side moves out by this share of the box's width or height.
        cells: the largest grown box is so many cells across, for `mosaic` and `blur`.
        background: the color of `solid`.
        carry: in copies of whole videos, seconds that a face stays masked before and after each
            frame in which it was found.
    """

    name: Literal["mask_faces"] = "mask_faces"
    mode: MaskMode = "solid"
    grow: float = Field(default=0.2, ge=0, le=2)
    cells: int = Field(default=6, ge=1, le=16)
    background: Background = "black"
    carry: float = Field(default=0.5, ge=0, le=60)

    def fix(self, boxes: Sequence[Box]) -> Mask:
        """Return the step for one picture with these faces."""
        return Mask(
            boxes=tuple(boxes),
            mode=self.mode,
            grow=self.grow,
            cells=self.cells,
            background=self.background,
        )
