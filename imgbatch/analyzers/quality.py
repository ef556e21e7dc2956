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
from numpy.typing import NDArray
from pydantic import Field

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

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
# As in `hashes`.
NEEDS = Needs(batch=32)

SHARPNESS_SIDE = 256
CLIPPED_LEVELS = 4
LEVELS = np.arange(256.0)

# The histogram of a picture's luma, its sharpness, and whether it is grey.
Measured = tuple[NDArray[np.float32], float, bool]


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

    def prepare(self, picture: Picture) -> Measured:
        """Return what is measured on the pixels themselves."""
        luma = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY)
        grey = is_grey(picture.pixels, luma, self.settings.grey_levels)
        return histogram(luma), sharpness(luma), grey

    def infer(self, batch: Sequence[Measured]) -> list[Row]:
        """Return the rows of pictures."""
        if not batch:
            return []
        rows = tones(np.stack([counts for counts, _, _ in batch]))
        for row, (_, sharp, grey) in zip(rows, batch, strict=True):
            row["sharpness"] = sharp
            row["is_grey"] = grey
            row["is_blank"] = row["contrast"] <= self.settings.blank_levels
        return rows


def histogram(luma: NDArray[Any]) -> NDArray[np.float32]:
    """Return how many pixels have each of the 256 levels."""
    return np.asarray(cv2.calcHist([luma], [0], None, [256], [0, 256]), np.float32).ravel()


def tones(histograms: NDArray[np.float32]) -> list[Row]:
    """Return what the histograms of the luma, (n, 256) counts, say."""
    shares = histograms / histograms.sum(axis=1, dtype=np.float64, keepdims=True)
    brightness = (shares * LEVELS).sum(axis=1)
    variance = (shares * (LEVELS - brightness[:, None]) ** 2).sum(axis=1)
    so_far = np.cumsum(shares, axis=1)
    low, high = (so_far < 0.05).sum(axis=1), (so_far < 0.95).sum(axis=1)  # noqa: PLR2004 - percentiles
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    columns = {
        "brightness": brightness,
        "contrast": np.sqrt(variance),
        "contrast_range": high - low,
        # Subtracting from zero turns the -0.0 of a constant picture into 0.0.
        "entropy": 0.0 - (shares * logs).sum(axis=1),
        "dark_share": shares[:, :CLIPPED_LEVELS].sum(axis=1),
        "bright_share": shares[:, -CLIPPED_LEVELS:].sum(axis=1),
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


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


def is_grey(pixels: NDArray[Any], luma: NDArray[Any], allowed: int) -> bool:
    """Say whether no channel of (height, width, 3) RGB is farther from its luma than `allowed`."""
    # Most pictures show their colour in a sixteenth of their rows; the others cost a full look.
    return all(color_levels(pixels[::step], luma[::step]) <= allowed for step in (16, 1))


def color_levels(pixels: NDArray[Any], luma: NDArray[Any]) -> float:
    """Return how far any channel of (height, width, 3) RGB is from its luma at most."""
    return float(cv2.norm(pixels, cv2.cvtColor(luma, cv2.COLOR_GRAY2RGB), cv2.NORM_INF))
