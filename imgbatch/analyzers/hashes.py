"""Perceptual hashes: a picture's pixels enter; dHash and pHash leave, as 16 hex digits each.

Both equal what the package imagehash computes from the same pixels, if they are at most 1.6 times
as tall as wide. Two pictures look alike when few of the 64 bits differ (Hamming distance).

Decision, 2026-11: Pillow's Lanczos resize takes nine tenths of imagehash's time. Pictures of usual
size are reduced here by matrix products instead. Pillow sums whole numbers (22-bit weights times
8-bit values); a float64 holds those sums exactly, so nothing differs by a bit, in a third of the
time. The rows are always reduced before the columns, as Pillow did up to 12: Pillow 13 turns this
around for tall pictures, which changes a bit of their hashes now and then, and a hash has to be the
same next year. Drawback: twenty lines that follow Pillow's Resample.c; the tests hold them to it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

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
COLUMNS = (
    Column(
        "dhash",
        pa.string(),
        "Difference hash (Krawetz 2013): is each pixel of a 9 x 8 reduction brighter than its"
        " left neighbor; row by row, the highest bit first",
        range="16 hex digits",
    ),
    Column(
        "phash",
        pa.string(),
        "Perceptual hash (Krawetz 2011): is each of the 8 x 8 lowest DCT frequencies of a 32 x 32"
        " reduction above their median; row by row, the highest bit first",
        range="16 hex digits",
    ),
)
NEEDS = Needs()

LANCZOS_LOBES = 3
WEIGHT_ONE = float(1 << 22)
# What is above the median by less is noise of the DCT (in stripes and ramps most terms are zero).
ROUNDING = 1e-6
# So many rows times a side of 1024 times 41 sums is what OpenBLAS still does on the calling thread
# (up to 2**18); decoding threads would otherwise wait for its helper threads.
BLOCK_ROWS = 6
LONGEST_SIDE = 1024


class Settings(BaseSettings):
    """There is nothing to set: the size of both hashes is part of their meaning."""


class Analyzer:
    """Hashes pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> Row:
        """Return the picture's row."""
        small, large = reduce(Image.fromarray(picture.pixels).convert("L"))
        return {"dhash": dhash(small), "phash": phash(large)}

    def infer(self, batch: Sequence[Row]) -> list[Row]:
        """Return the rows as they were prepared."""
        return list(batch)


def dhash(luma: NDArray[np.uint8]) -> str:
    """Return the difference hash of (8, 9) luma values."""
    return np.packbits(luma[:, 1:] > luma[:, :-1]).tobytes().hex()


def phash(luma: NDArray[np.uint8]) -> str:
    """Return the perceptual hash of (32, 32) luma values."""
    low = cv2.dct(luma.astype(np.float64))[:8, :8]
    # imagehash takes the plain sums, in which the zero frequencies weigh sqrt(2) more.
    low[0] *= np.sqrt(2)
    low[:, 0] *= np.sqrt(2)
    return np.packbits(low - np.median(low) > ROUNDING).tobytes().hex()


def reduce(luma: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image of mode L resized to 9 x 8 and to 32 x 32 with Lanczos, as (height, width).

    Rows come before columns: bit by bit the values of two Pillow resizes, one per axis.
    """
    if max(luma.size) > LONGEST_SIDE:
        return resize(luma, 9, 8), resize(luma, 32, 32)
    narrow = _weigh(np.asarray(luma), weights(luma.width, 9, 32))
    small = _weigh(narrow[:, :9].T, weights(luma.height, 8))
    large = _weigh(narrow[:, 9:].T, weights(luma.height, 32))
    return small.T, large.T


def resize(luma: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """Return an image of mode L resized by Pillow, rows before columns: (height, width)."""
    rows = luma.resize((width, luma.height), Image.Resampling.LANCZOS)
    return np.asarray(rows.resize((width, height), Image.Resampling.LANCZOS))


def _weigh(values: NDArray[np.uint8], table: NDArray[np.float64]) -> NDArray[np.uint8]:
    length, reduced = table.shape
    blocks = np.zeros((-(-len(values) // BLOCK_ROWS), BLOCK_ROWS, length))
    blocks.reshape(-1, length)[: len(values)] = values
    sums = (blocks @ table).reshape(-1, reduced)[: len(values)]
    # The cast cuts off the fraction.
    return np.clip(sums + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=128)
def weights(length: int, *reduced: int) -> NDArray[np.float64]:
    """Return Pillow's Lanczos weights of one or more sizes, side by side.

    Returns:
        (length, sum of the sizes) whole multiples of 2**-22.
    """
    return np.hstack([_lanczos(length, size) for size in reduced])


def _lanczos(length: int, reduced: int) -> NDArray[np.float64]:
    scale = length / reduced
    centers = (np.arange(reduced) + 0.5) * scale
    offsets = (np.arange(length)[:, None] + 0.5 - centers) / max(scale, 1.0)
    inside = np.abs(offsets) < LANCZOS_LOBES
    x = offsets[inside]
    table = np.zeros((length, reduced))
    table[inside] = np.sinc(x) * np.sinc(x / LANCZOS_LOBES)
    table /= table.sum(axis=0)
    return np.copysign(np.floor(np.abs(table) * WEIGHT_ONE + 0.5), table) / WEIGHT_ONE
