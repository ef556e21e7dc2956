"""The picture itself as numbers: its steps are done, it is brought to one size, and flattened.

What shallow learners and pixel similarity start from. The numbers of a picture are in the order of
its rows, in mode RGB the three channels of each pixel beside each other, as `ndarray.ravel` has
them: `np.reshape(pixels, shape)` gives the picture back.

    [analyzers.pixels]                            [analyzers.pixels]
    width = 28                                    mode = "RGB"
    height = 28                                   width = 15
    mode = "L"                                    height = 15
                                                  steps = [
                                                    { name = "crop_square" },
                                                    { name = "resize", width = 224, height = 224 },
                                                  ]

Decision, 2026-11: steps begin with the picture in full size, whatever the recipe decodes, as those
of `imgbatch preprocess` do: a crop of so many pixels would else show more of a large picture than
of a small one, by what [media] says. Drawback: a picture that is decoded smaller is decoded twice,
and its steps copy it in full size: `rotate` holds five copies at once, `flip` one. The gate counts
them, so that fewer pictures are in flight; what `resize` or `pad` make larger than the full size
it does not count.
Without steps, [media] min_side must be at least what is flattened, so that nothing is enlarged that
was reduced before.

Decision, 2026-11: 16-bit numbers, though no value is above 255. Delta Lake has no unsigned bytes,
and reads those above 127 as negative. Drawback: twice the memory when a table is read; in the files
the two are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from imgbatch.analyzers import Column, Needs, whole
from imgbatch.errors import SettingsError
from imgbatch.preprocess import apply_steps, grayscale, read_steps, stretch, to_rgb
from imgbatch.preprocess.augment import Augment
from imgbatch.preprocess.faces import MaskFaces
from imgbatch.preprocess.footprint import copies
from imgbatch.preprocess.geometry import Kernel
from imgbatch.preprocess.steps import Grayscale, Resize
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.analyzers import Row
    from imgbatch.preprocess.color import Pixels
    from imgbatch.preprocess.steps import FixedStep
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
TOLERANCE = 0.0
COLUMNS = (
    Column("pixels", pa.list_(pa.int16()), "Values of the flattened picture", range="0 to 255"),
    Column(
        "shape",
        pa.list_(pa.int32()),
        "Height and width of what was flattened; in mode RGB 3 as well",
        "pixels",
    ),
)
NEEDS = Needs(min_side=28)
# Numbers of a row: 295 x 295 RGB. A shard of 1,000 then holds half a gigabyte at most.
MOST = 2**18


class Settings(BaseSettings):
    """Of which picture the pixels are.

    Attributes:
        width: of what is flattened; it is stretched where the steps leave another size.
        height: the same.
        mode: `L` for luma, `RGB` for three channels.
        kernel: what stretches it: nearest, box, bilinear, bicubic, lanczos.
        steps: what is done before, as the `[[steps]]` of a preprocess recipe, in that order; they
            begin with the full size.
    """

    width: int = Field(default=28, ge=1, le=4096)
    height: int = Field(default=28, ge=1, le=4096)
    mode: Literal["L", "RGB"] = "L"
    kernel: Kernel = "bicubic"
    # Read one by one, by name: pydantic would tell of a typo once for every step that there is.
    steps: tuple[Any, ...] = ()

    @model_validator(mode="after")
    def _bounded(self) -> Settings:
        values = self.width * self.height * (3 if self.mode == "RGB" else 1)
        if values > MOST:
            raise ValueError(
                f"{self.width} x {self.height} {self.mode} are {values:,} numbers a row; at most "
                f"{MOST:,}, since the rows of a shard are held together"
            )
        return self

    @field_validator("steps")
    @classmethod
    def _read(cls, tables: tuple[Any, ...]) -> tuple[FixedStep, ...]:
        told = [one.model_dump() if isinstance(one, BaseSettings) else one for one in tables]
        fixed = [step for step in read_steps(told) if not isinstance(step, Augment | MaskFaces)]
        if len(fixed) < len(told):
            raise SettingsError(
                "[analyzers.pixels] steps: augment draws at random and mask_faces asks a detector; "
                "a row is to follow from the picture alone",
                "Leave both out here; `imgbatch preprocess` makes such copies.",
            )
        return tuple(fixed)


def needs(settings: Settings) -> Needs:
    """Return what it needs: the full size for steps, else pictures that are not enlarged."""
    if settings.steps:
        grey = [Grayscale()] if settings.mode == "L" else []
        last = Resize(width=settings.width, height=settings.height)
        return Needs(full_size=True, copies=copies([*settings.steps, *grey, last]))
    return Needs(min_side=max(settings.width, settings.height))


class Analyzer:
    """Flattens pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> Row:
        """Return the picture's row."""
        if not self.settings.steps:
            return self._flattened(picture.pixels)
        with whole(picture) as pixels:
            return self._flattened(apply_steps(self.settings.steps, pixels))

    def _flattened(self, pixels: Pixels) -> Row:
        settings = self.settings
        pixels = grayscale(pixels) if settings.mode == "L" else to_rgb(pixels)
        if pixels.shape[:2] != (settings.height, settings.width):
            pixels = stretch(
                pixels, width=settings.width, height=settings.height, kernel=settings.kernel
            )
        return {"pixels": pixels.ravel().astype(np.int16), "shape": list(pixels.shape)}

    def infer(self, batch: Sequence[Row]) -> list[Row]:
        """Return the rows as they were prepared."""
        return list(batch)
