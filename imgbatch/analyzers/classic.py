"""An embedding without weights: pixels enter; one vector of length 1 leaves, shape and color in it.

The picture is stretched to 64 x 64. The vector is

    324 numbers  histograms of oriented gradients (Dalal and Triggs 2005, scikit-image's): 9
                 directions, 4 x 4 cells of 16 pixels, 3 x 3 blocks of 2 x 2 cells, L2-Hys, all
                 divided by the 3 that is about their length;
     48 numbers  color layout (after MPEG-7's Color Layout Descriptor): the 4 x 4 lowest DCT
                 frequencies of an 8 x 8 reduction, for Y, Cr and Cb in turn;

and then brought to length 1. The cosine of two vectors compares two pictures; near copies come out
close to 1. It knows nothing of what a picture shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
from skimage.feature import hog

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
TOLERANCE = 1e-5
DIMENSION = 372
COLUMNS = (
    Column(
        "embedding",
        pa.list_(pa.float32()),
        f"{DIMENSION} numbers: 324 of gradients, 48 of color layout; length 1",
        range="-1 to 1",
        missing="the picture is mid-grey all over, so that there is nothing to point at",
    ),
)
NEEDS = Needs()

SIDE = 64
LAYOUT_SIDE = 8
LOWEST = 4
MIDDLE = 128


class Settings(BaseSettings):
    """There is nothing to set: vectors compare only if they are made alike."""


class Analyzer:
    """Embeds pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> Row:
        """Return the picture's row."""
        small = cv2.resize(picture.pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        vector = np.concatenate([gradients(small), color_layout(small)])
        length = np.linalg.norm(vector)
        if length == 0:
            return {"embedding": None}
        return {"embedding": (vector / length).astype(np.float32)}

    def infer(self, batch: Sequence[Row]) -> list[Row]:
        """Return the rows as they were prepared."""
        return list(batch)


def gradients(small: NDArray[Any]) -> NDArray[np.float64]:
    """Return the histograms of oriented gradients of (64, 64, 3) uint8 RGB: 324 numbers."""
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    blocks: NDArray[np.float64] = hog(
        luma, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2), block_norm="L2-Hys"
    )
    # Each of the 9 blocks has length 1 at most.
    return blocks / 3


def color_layout(small: NDArray[Any]) -> NDArray[np.float64]:
    """Return the lowest frequencies of (64, 64, 3) uint8 RGB: 48 numbers, about -1 to 1."""
    tiny = cv2.resize(small, (LAYOUT_SIDE, LAYOUT_SIDE), interpolation=cv2.INTER_AREA)
    planes = cv2.cvtColor(tiny, cv2.COLOR_RGB2YCrCb).astype(np.float64) - MIDDLE
    lowest = [cv2.dct(planes[:, :, i].copy())[:LOWEST, :LOWEST].ravel() for i in range(3)]
    return np.concatenate(lowest) / (MIDDLE * LAYOUT_SIDE)
