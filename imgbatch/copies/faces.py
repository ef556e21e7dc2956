"""A recipe's `[faces]` in, the boxes of the faces in pictures out: found now, or known already."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from imgbatch.errors import PreprocessError, RunError, SourceError
from imgbatch.models.weights import Own
from imgbatch.preprocess.faces import MaskFaces
from imgbatch.preprocess.masks import Box
from imgbatch.records import Picture, Source
from imgbatch.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.models.faces import Detector
    from imgbatch.preprocess.recipe import Step

# Of a pixel: what single precision, in which a dataset keeps boxes, takes for a whole number.
SLACK = 0.01

Look = Callable[[Source, Picture], list[Box]]


class FaceSettings(Settings):
    """Who finds the faces that `mask_faces` masks: `[faces]`.

    Attributes:
        detector: `ultraface`, `lbp` (needs no weights, misses most that does not look straight
            ahead), or a pack of InsightFace (for non-commercial research only).
        weights: weights of your own in place of the registry's.
        min_score: what the detector is less sure of is no face; a lower one misses fewer faces and
            masks more that is none. 0: as its makers publish it.
        dataset: URL of a dataset with a table `faces`, to take its boxes instead of looking anew.
            Of images only: of a video it knows no more than sampled frames.
    """

    detector: str = "ultraface"
    weights: Own | None = None
    min_score: float = Field(default=0, ge=0, lt=1)
    dataset: str = ""

    @model_validator(mode="after")
    def _one_of_two(self) -> FaceSettings:
        if self.dataset and self.model_fields_set != {"dataset"}:
            raise ValueError("faces come from a dataset or from a detector: name one of the two")
        return self


def mask_of(steps: Sequence[Step]) -> MaskFaces | None:
    """Return the step that masks faces, None where the recipe has none."""
    return next((step for step in steps if isinstance(step, MaskFaces)), None)


def look_of(settings: FaceSettings) -> Look:
    """Load the detector, or the faces of a dataset; nothing was read or written before.

    Raises:
        SettingsError: there is no such detector.
        MissingExtraError: what runs it is not installed.
        WeightsError: its weights cannot be had or do not fit.
        DatasetError: there is no such dataset, or it keeps no boxes of faces.
    """
    if settings.dataset:
        from imgbatch.copies.known import known_faces  # noqa: PLC0415 - few copies need a dataset

        return known_faces(settings.dataset)
    from imgbatch.models.faces.detectors import detector  # noqa: PLC0415 - packs need an extra

    found = detector(settings.detector, settings.weights, min_score=settings.min_score)
    return partial(_looked, found)


def boxes_of(look: Look, source: Source, picture: Picture) -> list[Box]:
    """Return the faces of one picture: x, y, width, height in its pixels.

    Raises:
        PreprocessError: preprocess.mask, the detector failed or the dataset does not know the
            picture: what nobody looked at is not copied.
    """
    try:
        return look(source, picture)
    except (RunError, SourceError):
        raise
    except Exception as error:
        raise PreprocessError(
            "preprocess.mask", f"the face detector failed: {type(error).__name__}: {error}"
        ) from error


def whole(left: float, top: float, right: float, bottom: float) -> Box:
    """Return a box in whole pixels, rounded outwards."""
    x, y = math.floor(left + SLACK), math.floor(top + SLACK)
    return x, y, math.ceil(right - SLACK) - x, math.ceil(bottom - SLACK) - y


def _looked(detector: Detector, source: Source, picture: Picture) -> list[Box]:  # noqa: ARG001 - the shape of a Look
    return [whole(*edges) for edges in detector.detect(picture.pixels).boxes.tolist()]
