"""UltraFace (Linzaer 2019): an ONNX file of 1 MB and its shape enter; a detector leaves.

Before and after the network all is as its makers publish it: the picture is stretched to the size
that the network sees (320 x 240 for RFB-320), colors are (value - 127) / 128, boxes come decoded
and are thinned out where two overlap by more than half. It gives no landmarks.

Decision, 2026-11: one picture per call, in the thread that decodes it: the published file takes a
batch of one, and four threads with a picture each are quicker on a CPU than one with four.
Drawback: a GPU is idle between two pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from imgbatch.errors import WeightsError
from imgbatch.models.faces import Found
from imgbatch.models.sessions import onnx_session

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.models.faces import RGB

# As its makers publish them.
MIN_SCORE = 0.7
OVERLAP = 0.5
MEAN, DEVIATION = 127, 128

COORDINATES, CLASSES = 4, 2


class UltraFace:
    """Finds faces.

    Args:
        path: of the ONNX file.
        min_score: what the network is less sure of is no face.

    Raises:
        WeightsError: the file is no ONNX model, or not of UltraFace's shape.
    """

    def __init__(self, path: Path, *, min_score: float = MIN_SCORE) -> None:
        self._session = onnx_session(path, threads=1)
        self._min_score = min_score
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        by_width = {output.shape[-1]: output.name for output in outputs}
        shape = inputs[0].shape
        if set(by_width) != {CLASSES, COORDINATES} or shape[:2] != [1, 3] or len(shape) != 4:  # noqa: PLR2004 - batch, color, height, width
            raise WeightsError(
                f"{path.name} is not of UltraFace's shape: it takes {shape} and gives "
                f"{[output.shape for output in outputs]}",
                "UltraFace takes [1, 3, height, width] and gives [1, n, 2] and [1, n, 4].",
            )
        self._input = inputs[0].name
        self._outputs = [by_width[CLASSES], by_width[COORDINATES]]
        self._size = shape[3], shape[2]

    def detect(self, pixels: RGB) -> Found:
        """Return the faces of (height, width, 3) RGB, the surest first."""
        seen = cv2.resize(pixels, self._size).astype(np.float32)
        blob = ((seen - MEAN) / DEVIATION).transpose(2, 0, 1)[None]
        scores, boxes = self._session.run(self._outputs, {self._input: blob})
        high, wide = pixels.shape[:2]
        return thinned(boxes[0] * [wide, high, wide, high], scores[0, :, 1], self._min_score)


def thinned(boxes: np.ndarray, scores: np.ndarray, min_score: float) -> Found:
    """Return the boxes above a score that no surer one overlaps by more than half.

    Args:
        boxes: (n, 4): left, top, right, bottom.
        scores: (n,).
        min_score: what is not above it is left out.
    """
    sure = scores > min_score
    boxes, scores = boxes[sure], scores[sure]
    corners_and_sizes = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    kept = cv2.dnn.NMSBoxes(corners_and_sizes.tolist(), scores.tolist(), min_score, OVERLAP)
    order = np.asarray(kept, np.intp).ravel()
    return Found(boxes[order], scores[order])
