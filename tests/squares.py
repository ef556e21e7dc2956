"""An analyzer with regions and without weights: the boxes of what is bright and connected.

A picture that is 99 wide breaks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
TOLERANCE = 0.0
NEEDS = Needs(batch=4)
BREAKS = 99


class Settings(BaseSettings):
    """What is looked for.

    Attributes:
        brighter: than this is bright.
        with_area: whether each box says how many pixels of it are bright.
        boxes: whether there are any.
        with_total: whether each picture says how many of its pixels are bright.
    """

    brighter: int = 127
    with_area: bool = False
    boxes: bool = True
    with_total: bool = False


def columns(settings: Settings) -> tuple[Column, ...]:
    found = Column("n_squares", pa.int32(), f"brighter than {settings.brighter}", range=">= 0")
    total = Column("total", pa.int32(), "bright pixels", "pixels", ">= 0")
    return (found, total) if settings.with_total else (found,)


def regions(settings: Settings) -> tuple[Column, ...]:
    found = tuple(Column(n, pa.int32(), "of the box", "pixels", ">= 0") for n in ("x", "y"))
    area = (Column("area", pa.int32(), "bright pixels", "pixels", ">= 1", "no picture"),)
    return found + area if settings.with_area else found


class Analyzer:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        if picture.facts.width == BREAKS:
            raise ValueError("99 wide")
        return picture.pixels.max(axis=2)

    def infer(self, batch: Sequence[NDArray[np.uint8]]) -> list[Row]:
        return [self._row(picture) for picture in batch]

    def _row(self, picture: NDArray[np.uint8]) -> Row:
        bright = (picture > self.settings.brighter).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(bright)
        names = ("x", "y", "area") if self.settings.with_area else ("x", "y")
        found = [
            {name: int(box[place]) for name, place in zip(names, (0, 1, 4), strict=False)}
            for box in boxes[1:]
        ]
        total = {"total": int(bright.sum())} if self.settings.with_total else {}
        return {"n_squares": len(found), **total, "regions": found if self.settings.boxes else []}
