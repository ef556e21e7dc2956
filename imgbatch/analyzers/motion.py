"""Motion between sampled frames: a source's frames enter; one score per pair of neighbors leaves.

The score is the mean absolute difference of the luma (frame differencing, as Dietrich 2021 measures
motion in C-SPAN video). It depends on how far apart the sampled frames are, so compare videos only
if they were sampled alike. Any change counts: a moving camera, a cut, a flash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import pyarrow as pa

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "sequence"
VERSION = 1
TOLERANCE = 1e-6
FEW = "fewer than two frames, as of an image"
COLUMNS = (
    Column("n_frames", pa.int32(), "Number of sampled frames", "frames", "1 and more"),
    Column("motion_mean", pa.float64(), "Mean of the scores", "grey levels", "0-255", FEW),
    Column("motion_max", pa.float64(), "Largest of the scores", "grey levels", "0-255", FEW),
    Column(
        "times",
        pa.list_(pa.float64()),
        "When the later frame of each pair is shown",
        unit="seconds",
        missing=FEW,
    ),
    Column(
        "scores",
        pa.list_(pa.float64()),
        "Mean absolute difference of the luma between each frame and the one before",
        "grey levels",
        "0-255",
        FEW,
    ),
)
NEEDS = Needs()


class Settings(BaseSettings):
    """There is nothing to set: `[media.video]` says which frames are compared."""


class Analyzer:
    """Measures motion."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self) -> Strip:
        """Return a new strip for one source."""
        return Strip()


class Strip:
    """Holds the scores of one source, and the luma of its latest frame."""

    def __init__(self) -> None:
        self.frames = 0
        self.latest: NDArray[Any] | None = None
        self.times: list[float | None] = []
        self.scores: list[float] = []

    def see(self, picture: Picture) -> None:
        """Compare the next frame with the latest."""
        luma = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY)
        if self.latest is not None:
            self.times.append(picture.time)
            self.scores.append(difference(self.latest, luma))
        self.latest = luma
        self.frames += 1

    def row(self) -> Row:
        """Return the source's row."""
        scores = self.scores
        return {
            "n_frames": self.frames,
            "motion_mean": sum(scores) / len(scores) if scores else None,
            "motion_max": max(scores) if scores else None,
            "times": self.times if scores else None,
            "scores": scores or None,
        }


def difference(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return the mean absolute difference of two (height, width) lumas.

    A stream may change its size on the way; the former frame is then brought to the new size.
    """
    if before.shape != after.shape:
        before = cv2.resize(before, after.shape[::-1], interpolation=cv2.INTER_AREA)
    return float(cv2.norm(before, after, cv2.NORM_L1) / after.size)
