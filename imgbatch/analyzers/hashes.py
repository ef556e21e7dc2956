"""Perceptual hashes: a picture's pixels enter; dHash both ways and pHash leave, 16 hex digits each.

All are what the package imagehash computes from the same pixels: equal for photographs, and one
bit off now and then where a value lies on a rounding edge. Two pictures look alike when few of the
64 bits differ (Hamming distance). With both dHashes the hashes of the picture turned by quarters
are known too, which is how `imgbatch group DATASET duplicates` finds turned copies.

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
VERSION = 2
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
        "dhash_vertical",
        pa.string(),
        "The same downwards: is each pixel of an 8 x 9 reduction brighter than its upper neighbor",
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
# What is small is done for a whole batch at once: threads wait for the interpreter lock.
NEEDS = Needs(batch=32)

# Where the values of each reduction lie in a row; see `narrow`.
WIDE, HIGH, LARGE = slice(0, 9), slice(9, 17), slice(17, 49)
LANCZOS_LOBES = 3
# What is above the median by less is noise of the DCT (in stripes and ramps most terms are zero).
ROUNDING = 1e-6
# The 8 lowest rows of the DCT-II of 32 values, as plain sums: imagehash does not scale them.
DCT = np.cos(np.pi / 64 * np.arange(8)[:, None] * (2 * np.arange(32) + 1))


class Settings(BaseSettings):
    """There is nothing to set: the size of both hashes is part of their meaning."""


class Analyzer:
    """Hashes pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> NDArray[np.float32]:
        """Return the picture's luma with its rows reduced; see `narrow`."""
        return narrow(np.asarray(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY), np.uint8))

    def infer(self, batch: Sequence[NDArray[np.float32]]) -> list[Row]:
        """Return the rows of pictures."""
        if not batch:
            return []
        heights = [len(rows) for rows in batch]
        whole = np.split(levels(np.concatenate(batch)), np.cumsum(heights)[:-1])
        across, down, low = (
            levels(np.stack([shares(len(rows), height).T @ rows[:, part] for rows in whole]))
            for height, part in ((8, WIDE), (9, HIGH), (32, LARGE))
        )
        hashes = zip(dhashes(across), dhashes_vertical(down), phashes(low), strict=True)
        return [dict(zip(("dhash", "dhash_vertical", "phash"), row, strict=True)) for row in hashes]


def narrow(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the rows of (height, width) luma reduced with Lanczos to 9, to 8 and to 32 values.

    One product gives all: to go through the picture is what takes the time.

    Returns:
        (height, 9 + 8 + 32), not yet rounded to levels.
    """
    return luma.astype(np.float32) @ shares(luma.shape[1], 9, 8, 32)


def levels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values as whole levels of 0 to 255, in place, as Pillow rounds after each pass."""
    values += np.float32(0.5)
    np.floor(values, out=values)
    return np.clip(values, 0, 255, out=values)


def dhashes(luma: NDArray[np.float32]) -> list[str]:
    """Return the difference hashes of (n, 8, 9) luma values."""
    return _hex(luma[:, :, 1:] > luma[:, :, :-1])


def dhashes_vertical(luma: NDArray[np.float32]) -> list[str]:
    """Return the downward difference hashes of (n, 9, 8) luma values."""
    return _hex(luma[:, 1:] > luma[:, :-1])


def phashes(luma: NDArray[np.float32]) -> list[str]:
    """Return the perceptual hashes of (n, 32, 32) luma values."""
    low = (DCT @ luma @ DCT.T).reshape(-1, 64)
    middle = np.sort(low, axis=1)[:, 31:33].sum(axis=1, keepdims=True) / 2
    return _hex(low - middle > ROUNDING)


def _hex(bits: NDArray[np.bool_]) -> list[str]:
    return [packed.tobytes().hex() for packed in np.packbits(bits.reshape(-1, 64), axis=1)]


@lru_cache(maxsize=128)
def shares(length: int, *reduced: int) -> NDArray[np.float32]:
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
