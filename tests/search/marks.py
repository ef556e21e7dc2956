"""An analyzer whose faces are bright squares on black, told apart by their colors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
TOLERANCE = 0.0
COLUMNS = ()
NEEDS = Needs()
REGIONS = (
    *(Column(f"{n}_share", pa.float32(), "of the box") for n in ("x", "y", "width", "height")),
    Column("embedding", pa.list_(pa.float32()), "its color", missing="it is white"),
)


class Settings(BaseSettings):
    """The name of whoever sees the squares."""

    model: str = "eyes"


class Analyzer:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> Row:
        height, width = picture.pixels.shape[:2]
        bright = (picture.pixels.max(axis=2) > 90).astype(np.uint8)
        count, marks, boxes, _ = cv2.connectedComponentsWithStats(bright)
        found = []
        for number in range(1, count):
            color = np.median(picture.pixels[marks == number], axis=0)
            x, y, w, h, _ = boxes[number]
            vector = None if np.ptp(color) < 30 else (color / np.linalg.norm(color)).tolist()
            box = {"x_share": x / width, "y_share": y / height,
                   "width_share": w / width, "height_share": h / height}  # fmt: skip
            found.append({**box, "embedding": vector})
        return {"regions": found}

    def infer(self, batch: Sequence[Row]) -> list[Row]:
        return list(batch)
