"""Measures of quality: pixels enter; brightness, contrast, sharpness, entropy and flags leave.

Luma is 0.299 R + 0.587 G + 0.114 B (BT.601), rounded to 0-255. All measures but sharpness come from
its histogram, over all decoded pixels.

Sharpness is the variance of the Laplacian (Pech-Pacheco et al. 2000). It depends on how many pixels
show an edge, so pictures are compared at one size: the luma is first reduced to a shorter side of
256, then smoothed with a 3 x 3 Gaussian. The same picture decoded at up to twice that side measures
at most about a half more. A smaller picture is never enlarged: it compares with its own size only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
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
    Column("brightness", pa.float64(), "Mean of the luma", "grey levels", "0-255"),
    Column(
        "contrast",
        pa.float64(),
        "Standard deviation of the luma (RMS contrast)",
        "grey levels",
        "0-127.5",
    ),
    Column(
        "contrast_range",
        pa.int16(),
        "Distance between the 5th and the 95th percentile of the luma",
        "grey levels",
        "0-255",
    ),
    Column(
        "sharpness",
        pa.float64(),
        "Variance of the Laplacian of the smoothed luma, at a shorter side of at most 256 pixels",
        "squared grey levels",
        "0 and more",
    ),
    Column("entropy", pa.float64(), "Shannon entropy of the luma histogram", "bits", "0-8"),
    Column("dark_share", pa.float64(), "Share of pixels with a luma of 0 to 3", range="0-1"),
    Column("bright_share", pa.float64(), "Share of pixels with a luma of 252 to 255", range="0-1"),
    Column(
        "is_grey",
        pa.bool_(),
        "In no pixel does red, green or blue differ from the luma by more than `grey_levels`",
    ),
    Column("is_blank", pa.bool_(), "The contrast is at most `blank_levels`"),
)
# As in `hashes`: many short calls are quicker from one thread at a time.
NEEDS = Needs(batch=32)

SHARPNESS_SIDE = 256
CLIPPED_LEVELS = 4
LEVELS = np.arange(256.0)


class Settings(BaseSettings):
    """What counts as grey and as blank.

    Attributes:
        grey_levels: how far a grey picture's channels may be from its luma (JPEG leaves a little).
        blank_levels: the contrast up to which a picture is blank.
    """

    grey_levels: int = Field(default=8, ge=0, le=255)
    blank_levels: float = Field(default=2.0, ge=0, le=127.5)


class Analyzer:
    """Measures pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, picture: Picture) -> NDArray[Any]:
        """Return the picture's pixels."""
        return picture.pixels

    def infer(self, batch: Sequence[NDArray[Any]]) -> list[Row]:
        """Return the rows of pictures."""
        return [self._row(pixels) for pixels in batch]

    def _row(self, pixels: NDArray[Any]) -> Row:
        luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        row = tones(cv2.calcHist([luma], [0], None, [256], [0, 256]))
        row["sharpness"] = sharpness(luma)
        row["is_grey"] = color_levels(pixels, luma) <= self.settings.grey_levels
        row["is_blank"] = row["contrast"] <= self.settings.blank_levels
        return row


def tones(histogram: NDArray[Any]) -> Row:
    """Return what the histogram of the luma, (256, 1) counts, says."""
    shares = histogram.ravel() / np.float64(histogram.sum(dtype=np.float64))
    brightness = shares @ LEVELS
    low, high = np.searchsorted(np.cumsum(shares), (0.05, 0.95))
    there = shares[shares > 0]
    return {
        "brightness": float(brightness),
        "contrast": float(np.sqrt(shares @ (LEVELS - brightness) ** 2)),
        "contrast_range": int(high - low),
        # Adding zero turns the -0.0 of a constant picture into 0.0.
        "entropy": float(-(there @ np.log2(there)) + 0.0),
        "dark_share": float(shares[:CLIPPED_LEVELS].sum()),
        "bright_share": float(shares[-CLIPPED_LEVELS:].sum()),
    }


def sharpness(luma: NDArray[Any]) -> float:
    """Return the variance of the Laplacian (4 neighbors, mirrored edges) of smoothed uint8 luma."""
    smooth = cv2.GaussianBlur(shrink(luma), (3, 3), 0)
    edges = cv2.Laplacian(smooth, cv2.CV_16S)
    # Mean square less squared mean: whole numbers are summed exactly, six times as fast as
    # meanStdDev does it.
    mean = cv2.sumElems(edges)[0] / edges.size
    return max(cv2.norm(edges, cv2.NORM_L2SQR) / edges.size - mean**2, 0.0)


def shrink(luma: NDArray[Any]) -> NDArray[Any]:
    """Return luma reduced to a shorter side of 256, or as it is when it is not larger."""
    height, width = luma.shape
    scale = SHARPNESS_SIDE / min(height, width)
    if scale >= 1:
        return luma
    # Linear skips pixels below a half; the exact kind of it is the same on every CPU.
    kind = cv2.INTER_LINEAR_EXACT if scale > 0.5 else cv2.INTER_AREA  # noqa: PLR2004 - the half
    return cv2.resize(luma, (round(width * scale), round(height * scale)), interpolation=kind)


def color_levels(pixels: NDArray[Any], luma: NDArray[Any]) -> float:
    """Return how far any channel of (height, width, 3) RGB is from its luma at most."""
    return float(cv2.norm(pixels, cv2.cvtColor(luma, cv2.COLOR_GRAY2RGB), cv2.NORM_INF))
