"""The folder of an InsightFace pack enters; its models leave, loaded by InsightFace's own classes.

A pack is a set of ONNX files; what each is for follows from its shape, by InsightFace's own rule.
InsightFace's FaceAnalysis would load all of them and show them one picture at a time: here only
those that are asked for are loaded, and those that see cut-out faces see many at once (`parts`).

Every pack of InsightFace is for non-commercial research only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from imgbatch.errors import WeightsError
from imgbatch.models.devices import need
from imgbatch.models.faces import Found
from imgbatch.models.sessions import onnx_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imgbatch.models.faces import RGB

MIN_SCORE = 0.5
# Sides of the squares that the detector looks at, one after the other, as InsightFace 2 does it.
SIDES = (128, 640)

DETECTION, RECOGNITION, ATTRIBUTES = "detection", "recognition", "genderage"
POSE = "landmark_3d_68"


class Pack:
    """The models of a pack: a detector, and those that see cut-out faces.

    Args:
        folder: with its ONNX files.
        min_score: what the detector is less sure of is no face.
        sides: of the squares that the detector looks at, in pixels.

    Raises:
        MissingExtraError: InsightFace is not installed.
        WeightsError: there is no detector in it, or a file that is no ONNX model.
    """

    def __init__(
        self, folder: Path, *, min_score: float = MIN_SCORE, sides: Sequence[int] = SIDES
    ) -> None:
        self._folder = folder
        self._files = {_task(path): path for path in sorted(folder.glob("*.onnx"), reverse=True)}
        self._files.pop("", None)
        self._detector = self.model(DETECTION)
        self._least_side = min(sides)
        self._detector.prepare(0, det_thresh=min_score, input_size=[(side, side) for side in sides])

    def detect(self, pixels: RGB) -> Found:
        """Return the faces of (height, width, 3) RGB, the surest first."""
        if max(pixels.shape[:2]) > min(pixels.shape[:2]) * self._least_side:
            # Nothing is left of its shorter side in the square, where InsightFace would fail.
            return Found(np.empty((0, 4)))
        found, points = self._detector.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        return Found(found[:, :4], found[:, 4], points)

    def model(self, task: str) -> Any:
        """Load one of its models, as InsightFace's object.

        Args:
            task: as InsightFace calls it, such as `recognition`.

        Raises:
            WeightsError: there is none in this pack.
        """
        if task not in self._files:
            raise WeightsError(
                f"the pack {self._folder.name} has no model for {task}; it has "
                f"{', '.join(sorted(self._files)) or 'none'}",
                "Leave out what asks for it in [analyzers.faces], or take another pack.",
            )
        path = self._files[task]
        # A detector is called by each decoding thread for itself.
        session = onnx_session(path, threads=1 if task == DETECTION else None)
        return _class(task)(model_file=str(path), session=session)


def _class(task: str) -> Any:
    zoo = need("insightface.model_zoo.model_zoo")
    named = {DETECTION: zoo.SCRFD, RECOGNITION: zoo.ArcFaceONNX}
    return named.get(task) or (zoo.Landmark if task.startswith("landmark") else zoo.Attribute)


def _task(path: Path) -> str:
    """Return what a file of a pack is for, "" for none of ours: InsightFace's own rule, by shape.

    Raises:
        WeightsError: it is no ONNX model.
    """
    inputs, outputs = _shapes(path)
    shape = inputs[0]
    if len(outputs) >= 5:  # noqa: PLR2004 - scores and boxes, for each of several sizes
        return DETECTION
    if shape[2:] == (192, 192):
        return POSE if outputs[0][1:] == (3309,) else "landmark_2d_106"
    if shape[2:] == (96, 96):
        return ATTRIBUTES if outputs[0][1:] == (3,) else ""
    square = len(inputs) == 1 and shape[2] == shape[3]
    return RECOGNITION if square and shape[2] >= 112 and shape[2] % 16 == 0 else ""  # noqa: PLR2004 - the rule


def _shapes(path: Path) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the shapes of a model's inputs and outputs; 0 where a length is open."""
    onnx = need("onnx")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:
        raise WeightsError(f"{path.name} is no ONNX model: {error}") from error
    weights = {weight.name for weight in graph.initializer}
    inputs = [_shape(value) for value in graph.input if value.name not in weights]
    return inputs, [_shape(value) for value in graph.output]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(length.dim_value for length in value.type.tensor_type.shape.dim)
