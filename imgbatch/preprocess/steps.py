"""The fixed steps of a preprocess recipe: one `[[steps]]` table in, one pure function called.

A step's `name` is its function's, except `resize`, whose `mode` names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from PIL import ImageColor
from pydantic import AfterValidator, Field, model_validator

from imgbatch.preprocess import color, geometry, masks
from imgbatch.preprocess.geometry import (
    Direction,
    Kernel,
    RotateKernel,
)
from imgbatch.preprocess.masks import Box, MaskMode
from imgbatch.settings import Settings

if TYPE_CHECKING:
    from imgbatch.preprocess.color import Color, Pixels


def _rgb(background: str) -> Color:
    red, green, blue = ImageColor.getrgb(background)[:3]
    return red, green, blue


def _opaque(background: str) -> str:
    if len(ImageColor.getrgb(background)) != len("rgb"):
        raise ValueError("a background is opaque: three values, such as black or #ff8000")
    return background


Side = Annotated[int, Field(ge=1, le=65_500)]
Share = Annotated[float, Field(ge=0, le=1)]
Background = Annotated[str, AfterValidator(_opaque)]


class CropSquare(Settings):
    """The largest centered square."""

    name: Literal["crop_square"] = "crop_square"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.crop_square."""
        return geometry.crop_square(pixels)


class CropCenter(Settings):
    """The center, of exactly that size; a smaller picture fails."""

    name: Literal["crop_center"] = "crop_center"
    width: Side
    height: Side

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.crop_center."""
        return geometry.crop_center(pixels, width=self.width, height=self.height)


class CropBox(Settings):
    """A box in shares of height and width: y1, x1, y2, x2."""

    name: Literal["crop_box"] = "crop_box"
    y1: Share
    x1: Share
    y2: Share
    x2: Share

    @model_validator(mode="after")
    def _has_area(self) -> CropBox:
        if self.y1 >= self.y2 or self.x1 >= self.x2:
            raise ValueError("a box has y1 < y2 and x1 < x2")
        return self

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.crop_box."""
        return geometry.crop_box(pixels, y1=self.y1, x1=self.x1, y2=self.y2, x2=self.x2)


class Resize(Settings):
    """To width x height: `stretch` exactly, `fit` inside, `cover` with the other side beyond."""

    name: Literal["resize"] = "resize"
    width: Side
    height: Side
    mode: Literal["stretch", "fit", "cover"] = "stretch"
    kernel: Kernel = "bicubic"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.stretch, fit or cover."""
        functions = {"stretch": geometry.stretch, "fit": geometry.fit, "cover": geometry.cover}
        return functions[self.mode](
            pixels, width=self.width, height=self.height, kernel=self.kernel
        )


class Scale(Settings):
    """Both sides by a factor, rounded down."""

    name: Literal["scale"] = "scale"
    factor: float = Field(gt=0, le=16)
    kernel: Kernel = "bicubic"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.scale."""
        return geometry.scale(pixels, factor=self.factor, kernel=self.kernel)


class Pad(Settings):
    """To exactly that size, on a ground; a larger picture fails."""

    name: Literal["pad"] = "pad"
    width: Side
    height: Side
    background: Background = "black"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.pad."""
        return geometry.pad(
            pixels, width=self.width, height=self.height, background=_rgb(self.background)
        )


class PadSquare(Settings):
    """To a square, on a ground."""

    name: Literal["pad_square"] = "pad_square"
    background: Background = "black"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.pad_square."""
        return geometry.pad_square(pixels, background=_rgb(self.background))


class Rotate(Settings):
    """By degrees, counter-clockwise when positive (as Pillow; R's magick has the other sign)."""

    name: Literal["rotate"] = "rotate"
    degrees: float = Field(ge=-360, le=360)
    expand: bool = False
    background: Background = "black"
    kernel: RotateKernel = "bicubic"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.rotate."""
        return geometry.rotate(
            pixels,
            degrees=self.degrees,
            expand=self.expand,
            background=_rgb(self.background),
            kernel=self.kernel,
        )


class Flip(Settings):
    """The mirror image."""

    name: Literal["flip"] = "flip"
    direction: Direction = "left-right"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call geometry.flip."""
        return geometry.flip(pixels, direction=self.direction)


class Grayscale(Settings):
    """Luma; written as a file with one channel."""

    name: Literal["grayscale"] = "grayscale"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call color.grayscale."""
        return color.grayscale(pixels)


class Brighten(Settings):
    """Every value by a factor."""

    name: Literal["brighten"] = "brighten"
    factor: float = Field(ge=0, le=16)

    def apply(self, pixels: Pixels) -> Pixels:
        """Call color.brighten."""
        return color.brighten(pixels, factor=self.factor)


class Mask(Settings):
    """Boxes that were found or are given: x, y, width, height in pixels.

    Attributes:
        boxes: what to mask.
        mode: `solid` leaves nothing, `mosaic` and `blur` the means of a few cells.
        grow: each side moves out by this share of the box's width or height.
        cells: the largest grown box is so many cells across, for `mosaic` and `blur`.
        background: the color of `solid`.
    """

    name: Literal["mask"] = "mask"
    boxes: tuple[Box, ...]
    mode: MaskMode = "solid"
    grow: float = Field(default=0.2, ge=0, le=2)
    cells: int = Field(default=6, ge=1, le=16)
    background: Background = "black"

    def apply(self, pixels: Pixels) -> Pixels:
        """Call masks.mask."""
        return masks.mask(
            pixels,
            self.boxes,
            mode=self.mode,
            grow=self.grow,
            cells=self.cells,
            color=_rgb(self.background),
        )


FixedStep = (
    CropSquare
    | CropCenter
    | CropBox
    | Resize
    | Scale
    | Pad
    | PadSquare
    | Rotate
    | Flip
    | Grayscale
    | Brighten
    | Mask
)
