"""Measures of color: pixels enter; dominant colors, colorfulness, hue count and saturation leave.

Colorfulness follows Hasler and Suesstrunk (2003), the hue count Ke, Tang and Jing (2006). Dominant
colors are the means of a k-means clustering (at most 20 rounds, OpenCV's) that starts from Pillow's
octree palette, so nothing in it is random; over a reduction to at most 64 x 64 pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "picture"
VERSION = 1
TOLERANCE = 1e-6
COLUMNS = (
    Column(
        "dominant",
        pa.list_(pa.string()),
        "Dominant colors, the largest share first, as #rrggbb",
        range="1 to `colors` colors",
    ),
    Column(
        "dominant_shares",
        pa.list_(pa.float64()),
        "Share of the pixels that each dominant color stands for; they add up to 1",
        range="0-1",
    ),
    Column(
        "colorfulness",
        pa.float64(),
        "Colorfulness M3 (Hasler and Suesstrunk 2003): 0 is grey, 33 moderate, 59 quite, 109"
        " extremely colorful",
        range="0 and more",
    ),
    Column(
        "hue_count",
        pa.int8(),
        "Hues of 20 that hold more than 5% as many pixels as the most frequent one, among pixels of"
        " saturation above 0.2 and value 0.15 to 0.95 (Ke, Tang and Jing 2006)",
        "hues",
        "0-20",
    ),
    Column("saturation", pa.float64(), "Mean HSV saturation", range="0-1"),
    Column("value", pa.float64(), "Mean HSV value", range="0-1"),
)
NEEDS = Needs()

PALETTE_SIDE = 64
OCTREE = Image.Quantize.FASTOCTREE
STOP = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 20, 0.5)
HUE_BINS = 20
HUE_SHARE = 0.05
# The limits of the paper, on OpenCV's scale of 0-255; bounds are inclusive.
HUE_LOW = (0, int(0.2 * 255) + 1, int(np.ceil(0.15 * 255)))
HUE_HIGH = (179, 255, int(0.95 * 255))


class Settings(BaseSettings):
    """How many dominant colors to look for.

    Attributes:
        colors: at most so many; a picture with fewer colors has fewer.
    """

    colors: int = Field(default=5, ge=1, le=64)


class Analyzer:
    """Measures the colors of pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> Row:
        """Return the picture's row."""
        hsv = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2HSV)
        _, saturation, value, _ = cv2.mean(hsv)
        return {
            **dominant(picture.pixels, self.settings.colors),
            "colorfulness": colorfulness(picture.pixels),
            "hue_count": hue_count(hsv),
            "saturation": saturation / 255,
            "value": value / 255,
        }

    def infer(self, batch: Sequence[Row]) -> list[Row]:
        """Return the rows as they were prepared."""
        return list(batch)


def dominant(pixels: NDArray[Any], colors: int) -> Row:
    """Return at most so many dominant colors of (height, width, 3) RGB and their shares."""
    height, width = pixels.shape[:2]
    size = (min(width, PALETTE_SIDE), min(height, PALETTE_SIDE))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    points = small.reshape(-1, 3)
    labels = cluster(points, np.asarray(Image.fromarray(small).quantize(colors, OCTREE)))
    counts = np.bincount(labels)
    sums = np.stack([np.bincount(labels, weights=points[:, i]) for i in range(3)], axis=1)
    means = np.rint(sums / counts[:, None]).astype(np.uint8)
    shares: dict[str, float] = {}
    for mean, count in zip(means, counts.tolist(), strict=True):
        name = f"#{mean.tobytes().hex()}"
        shares[name] = shares.get(name, 0.0) + count / len(points)
    names = sorted(shares, key=lambda name: (-shares[name], name))
    return {"dominant": names, "dominant_shares": [shares[name] for name in names]}


def cluster(points: NDArray[Any], first: NDArray[Any]) -> NDArray[np.int64]:
    """Return the k-means labels of (n, 3) points, from first labels on, without empty clusters."""
    found, labels = np.unique(first, return_inverse=True)
    if len(found) == 1:
        return labels.ravel()
    start = labels.astype(np.int32).reshape(-1, 1)
    _, moved, _ = cv2.kmeans(
        points.astype(np.float32), len(found), start, STOP, 1, cv2.KMEANS_USE_INITIAL_LABELS
    )
    return np.unique(moved, return_inverse=True)[1].ravel()


def colorfulness(pixels: NDArray[Any]) -> float:
    """Return M3 of Hasler and Suesstrunk (2003) of (height, width, 3) RGB."""
    red, green, blue = cv2.split(pixels)
    red_green = cv2.subtract(red, green, dtype=cv2.CV_16S)
    # Twice the paper's yellow-blue, which keeps it whole.
    yellow_blue = cv2.add(red, green, dtype=cv2.CV_16S)
    yellow_blue = cv2.scaleAdd(blue.astype(np.int16), -2.0, yellow_blue)
    mean_rg, spread_rg = cv2.meanStdDev(red_green)
    mean_yb, spread_yb = cv2.meanStdDev(yellow_blue)
    spread = np.hypot(spread_rg[0, 0], spread_yb[0, 0] / 2)
    mean = np.hypot(mean_rg[0, 0], mean_yb[0, 0] / 2)
    return float(spread + 0.3 * mean)


def hue_count(hsv: NDArray[Any]) -> int:
    """Return the hue count of Ke, Tang and Jing (2006) of (height, width, 3) uint8 HSV."""
    colored = cv2.inRange(hsv, HUE_LOW, HUE_HIGH)
    counts = cv2.calcHist([hsv], [0], colored, [HUE_BINS], [0, 180])
    return int(np.count_nonzero(counts > HUE_SHARE * counts.max()))
