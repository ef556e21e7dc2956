"""Shots: a source's sampled frames enter; where each shot begins and ends leaves.

Scores and cuts are those of PySceneDetect's ContentDetector with its default weights: the mean
change of hue, saturation and value (OpenCV's 8-bit HSV), a cut where it reaches the threshold, and
its merging of cuts that follow each other too closely. Only sampled frames are compared, so a cut
is as exact as the sampling, and sparse sampling finds cuts where the camera merely moved on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import pyarrow as pa
from pydantic import Field

from imgbatch.analyzers import Column, Needs
from imgbatch.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

GRAIN = "sequence"
VERSION = 1
TOLERANCE = 1e-6
# Times are floats: 0.3 - 0.1 is a little less than 0.2.
SAME_TIME = 1e-6
FEW = "fewer than two frames, as of an image"
COLUMNS = (
    Column("n_frames", pa.int32(), "Number of sampled frames", "frames", "1 and more"),
    Column("n_shots", pa.int32(), "Number of shots", "shots", "1 and more", FEW),
    Column(
        "first_frames",
        pa.list_(pa.int32()),
        "Each shot's first frame, counted from 0 over the sampled frames",
        missing=FEW,
    ),
    Column(
        "starts",
        pa.list_(pa.float64()),
        "When each shot's first frame is shown",
        unit="seconds",
        missing=FEW,
    ),
    Column(
        "ends",
        pa.list_(pa.float64()),
        "When the next shot starts; of the last shot, when the last sampled frame is shown",
        unit="seconds",
        missing=FEW,
    ),
    Column(
        "scores",
        pa.list_(pa.float64()),
        "Mean change of hue, saturation and value between each frame and the one before, of all"
        " sampled frames but the first",
        range="0-231",
        missing=FEW,
    ),
)
NEEDS = Needs()


class Settings(BaseSettings):
    """When a change is a cut.

    Attributes:
        threshold: the score at which a cut is made.
        min_shot: seconds; cuts that are closer together are merged into the last of them.
    """

    threshold: float = Field(default=27.0, gt=0, le=255)
    min_shot: float = Field(default=0.6, ge=0)


class Analyzer:
    """Finds shots."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self) -> Strip:
        """Return a new strip for one source."""
        return Strip(self.settings)


class Strip:
    """Holds the scores of one source, and its latest frame as HSV."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.latest: NDArray[Any] | None = None
        self.times: list[float] = []
        self.scores: list[float] = []

    def see(self, picture: Picture) -> None:
        """Compare the next frame with the latest."""
        hsv = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2HSV)
        if self.latest is not None:
            self.scores.append(change(self.latest, hsv))
        self.latest = hsv
        # An image has no time; it has one frame, of which no time is reported.
        self.times.append(picture.time or 0.0)

    def row(self) -> Row:
        """Return the source's row."""
        times, scores = self.times, self.scores
        if not scores:
            return {**dict.fromkeys(c.name for c in COLUMNS), "n_frames": len(times)}
        firsts = [0, *cuts(scores, times, self.settings)]
        return {
            "n_frames": len(times),
            "n_shots": len(firsts),
            "first_frames": firsts,
            "starts": [times[i] for i in firsts],
            "ends": [times[i] for i in (*firsts[1:], -1)],
            "scores": scores,
        }


def change(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return the mean absolute difference of two (height, width, 3) HSV frames.

    A stream may change its size on the way; the former frame is then brought to the new size.
    """
    if before.shape != after.shape:
        size = (after.shape[1], after.shape[0])
        before = cv2.resize(before, size, interpolation=cv2.INTER_NEAREST)
    return float(cv2.norm(before, after, cv2.NORM_L1) / after.size)


def cuts(scores: Sequence[float], times: Sequence[float], settings: Settings) -> list[int]:
    """Return the frames at which a new shot starts.

    Of cuts closer together than the shortest shot, the first is made if the shot before it is long
    enough; the others become one cut at the last of them, once it is that far from the first of
    them and calm for as long. Cuts before the first long enough shot are dropped, as is a merged
    one that the video's end comes before.

    Args:
        scores: of frames 1, 2, 3, ...
        times: of frames 0, 1, 2, ..., in seconds.
        settings: threshold and shortest shot.
    """
    shortest = settings.min_shot - SAME_TIME
    found: list[int] = []
    latest = 0  # the latest frame that reached the threshold
    merged_from: int | None = None
    for frame, score in enumerate(scores, start=1):
        above = score >= settings.threshold
        if settings.min_shot == 0:
            found += [frame] * above
            continue
        apart = times[frame] - times[latest] >= shortest
        if above:
            latest = frame
        if merged_from is not None:
            long_enough = times[latest] - times[merged_from] >= shortest
            if apart and not above and long_enough:
                found.append(latest)
                merged_from = None
        elif above and apart:
            found.append(frame)
        elif above and found:
            merged_from = frame
    return found
