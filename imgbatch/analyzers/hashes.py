"""Perceptual hashes: a picture's pixels enter; dHash and pHash leave, as 16 hex digits each.

Both are what the package imagehash computes from the same pixels: equal for photographs, and one
bit off now and then where a value lies on a rounding edge. Two pictures look alike when few of the
64 bits differ (Hamming distance).

Decision, 2026-11: Pillow's Lanczos resize takes nine tenths of imagehash's time, most of it to
compute weights that depend on the size alone. Here they are kept, and a picture is reduced by two
matrix products, in a third of the time. The rows are always reduced before the columns, as Pillow
did up to 12: Pillow 13 turns this around for tall pictures, and a hash has to be the same next
year. Drawback: ten lines of Lanczos that stand in Pillow too; the tests hold them to it.
"""

from __future__ import annotations

from functools import lru_cache
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
# Many short calls that let go of the interpreter lock are slow from several threads at once; in a
# batch one thread makes them while the others decode (measured on 4 threads: 1.1 times as fast).
NEEDS = Needs(batch=32)

LANCZOS_LOBES = 3
# What is above the median by less is noise of the DCT (in stripes and ramps most terms are zero).
ROUNDING = 1e-6


class Settings(BaseSettings):
    """There is nothing to set: the size of both hashes is part of their meaning."""


class Analyzer:
    """Hashes pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        """Return the picture's pixels."""
        return picture.pixels

    def infer(self, batch: Sequence[NDArray[np.uint8]]) -> list[Row]:
        """Return the rows of pictures."""
        return [hashes(pixels) for pixels in batch]


def hashes(pixels: NDArray[np.uint8]) -> Row:
    """Return the row of one picture, (height, width, 3) RGB."""
    small, large = reduce(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8))
    return {"dhash": dhash(small), "phash": phash(large)}


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


def reduce(luma: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return (height, width) luma resized to (8, 9) and to (32, 32) with Lanczos.

    Rows come before columns, and each pass rounds to whole levels, as in two Pillow resizes.
    """
    height, width = luma.shape
    # One product gives both widths: to go through the picture is what takes the time.
    narrow = _levels(luma.astype(np.float32) @ weights(width, 9, 32)).astype(np.float32)
    small = weights(height, 8).T @ narrow[:, :9]
    large = weights(height, 32).T @ narrow[:, 9:]
    return _levels(small), _levels(large)


def _levels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    # The cast cuts off the fraction.
    levels: NDArray[np.uint8] = np.clip(values + np.float32(0.5), 0, 255).astype(np.uint8)
    return levels


@lru_cache(maxsize=128)
def weights(length: int, *reduced: int) -> NDArray[np.float32]:
    """Return the Lanczos weights from `length` to one or more sizes, side by side.

    Returns:
        (length, sum of the sizes); each column sums to 1.
    """
    return np.hstack([_lanczos(length, size) for size in reduced]).astype(np.float32)


def _lanczos(length: int, reduced: int) -> NDArray[np.float64]:
    scale = length / reduced
    centers = (np.arange(reduced) + 0.5) * scale
    x = (np.arange(length)[:, None] + 0.5 - centers) / max(scale, 1.0)
    table: NDArray[np.float64] = np.where(
        np.abs(x) < LANCZOS_LOBES, np.sinc(x) * np.sinc(x / LANCZOS_LOBES), 0.0
    )
    table /= table.sum(axis=0)
    return table
