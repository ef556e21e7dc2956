"""A recipe's `[faces]` in, the boxes of the faces in pictures out."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from imgbatch.errors import PreprocessError, RunError
from imgbatch.models.weights import Own
from imgbatch.preprocess.color import Pixels
from imgbatch.preprocess.faces import MaskFaces
from imgbatch.preprocess.masks import Box
from imgbatch.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.models.faces import Detector
    from imgbatch.preprocess.recipe import Step

Look = Callable[[Pixels], list[Box]]


class FaceSettings(Settings):
    """Who finds the faces that `mask_faces` masks: `[faces]`.

    Attributes:
        detector: `ultraface`, `lbp` (needs no weights, misses most that does not look straight
            ahead), or a pack of InsightFace (for non-commercial research only).
        weights: weights of your own in place of the registry's.
        min_score: what the detector is less sure of is no face; a lower one misses fewer faces and
            masks more that is none. 0: as its makers publish it.
    """

    detector: str = "ultraface"
    weights: Own | None = None
    min_score: float = Field(default=0, ge=0, lt=1)


def mask_of(steps: Sequence[Step]) -> MaskFaces | None:
    """Return the step that masks faces, None where the recipe has none."""
    return next((step for step in steps if isinstance(step, MaskFaces)), None)


def look_of(settings: FaceSettings) -> Look:
    """Load the detector; nothing was read or written before.

    Raises:
        SettingsError: there is no such detector.
        MissingExtraError: what runs it is not installed.
        WeightsError: its weights cannot be had or do not fit.
    """
    from imgbatch.models.faces.detectors import detector  # noqa: PLC0415 - packs need an extra

    found = detector(settings.detector, settings.weights, min_score=settings.min_score)
    return partial(_boxes, found)


def boxes_of(look: Look, pixels: Pixels) -> list[Box]:
    """Return the faces of one picture: x, y, width, height in its pixels.

    Raises:
        PreprocessError: preprocess.mask, the detector failed: what it did not see is not copied.
    """
    try:
        return look(pixels)
    except RunError:
        raise
    except Exception as error:
        raise PreprocessError(
            "preprocess.mask", f"the face detector failed: {type(error).__name__}: {error}"
        ) from error


def _boxes(detector: Detector, pixels: Pixels) -> list[Box]:
    """Return whole pixels, rounded outwards."""
    found = []
    for left, top, right, bottom in detector.detect(pixels).boxes.tolist():
        x, y = math.floor(left), math.floor(top)
        found.append((x, y, math.ceil(right) - x, math.ceil(bottom) - y))
    return found
