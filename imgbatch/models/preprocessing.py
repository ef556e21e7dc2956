"""Decoded pixels enter; the square of pixels that a network was trained to see leaves.

The shorter side is resized by Pillow, with its antialiasing, and the centre is cropped: what
torchvision and open_clip publish for their weights, to the last bit of it (`ImageClassification`
and `image_transform`). Mean and standard deviation are the network's own first step, on its device:
bytes are a quarter of what floats take to carry there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from imgbatch.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imgbatch.models.registry import Model

Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]

WAYS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# A picture of 1 x 20,000 pixels would be 232 x 4,640,000 before the crop.
LONGEST = 8


class Preprocess(Settings):
    """What pixels go through before a network sees them.

    Attributes:
        input: side of the square that is cropped from the centre, in pixels.
        resize: the shorter side is made this long before.
        interpolation: by which.
        mean, std: of the channels in RGB, for values of 0 to 1.
    """

    input: int = Field(ge=1)
    resize: int = Field(ge=1)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)

    @model_validator(mode="after")
    def _crop_fits(self) -> Preprocess:
        if self.resize < self.input:
            raise ValueError(f"resize = {self.resize} is less than input = {self.input}")
        if min(self.std) <= 0:
            raise ValueError("std is more than 0 in each channel")
        return self

    @classmethod
    def of(cls, model: Model) -> Preprocess:
        """Take it out of the registry."""
        raw: dict[str, Any] = model.model_dump(include=set(cls.model_fields))
        return cls.model_validate(raw)


def square(pixels: NDArray[np.uint8], how: Preprocess) -> NDArray[np.uint8]:
    """Return (input, input, 3) pixels of (height, width, 3) ones.

    A picture more than 8 times as long as wide is resized only where it is cropped: the same
    pixels but for a rounding, and no more memory than others take.
    """
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels)
    wide, high = _resized(width, height, how.resize)
    left, top = round((wide - how.input) / 2), round((high - how.input) / 2)
    way = WAYS[how.interpolation]
    if max(wide, high) > LONGEST * how.resize:
        right, below = left + how.input, top + how.input
        across, down = width / wide, height / high
        box = (left * across, top * down, right * across, below * down)
        return np.asarray(image.resize((how.input, how.input), way, box=box))
    if (wide, high) != (width, height):
        image = image.resize((wide, high), way)
    return np.asarray(image.crop((left, top, left + how.input, top + how.input)))


def _resized(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Return (width, height) with the shorter side so long, the other rounded down."""
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter
