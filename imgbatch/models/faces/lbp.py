"""The weight-free detector: scikit-image's cascade of local binary patterns, for frontal faces.

Liao et al. 2007, as scikit-image ships it, trained. It gives no score and no landmarks, and misses
turned and small faces: a first look at a corpus, no measurement.

Decision, 2026-11: the cascade looks at a reduced picture of PIXELS, whatever came. Measured on 53
photographs with 62 faces that were boxed by hand, at an intersection over union of 0.5:

    reduced to    precision    recall    milliseconds of a thread
    64 x 85       0.98         0.74        2
    96 x 128      0.96         0.84        7
    128 x 170     1.00         0.84       14
    256 x 341     0.82         0.89       68

So a larger picture costs more than it finds, and at last finds false alarms. Drawback: a face must
be about a third of the picture's mean side.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from imgbatch.models.faces import Found

if TYPE_CHECKING:
    from imgbatch.models.faces import RGB

PIXELS = 64 * 85
# Of the cascade itself: it was trained on faces of 24 x 24 pixels.
WINDOW = 24
# The searching window grows by so much, and moves by so many of its own pixels.
GROWTH = 1.2
STEP = 1.25


class Lbp:
    """Finds frontal faces."""

    def __init__(self) -> None:
        path = lbp_frontal_face_cascade_filename()  # type: ignore[no-untyped-call] # scikit-image's
        self._cascade = Cascade(path)

    def detect(self, pixels: RGB) -> Found:
        """Return the faces of (height, width, 3) RGB, the largest first."""
        high, wide = pixels.shape[:2]
        scale = min(1.0, math.sqrt(PIXELS / (high * wide)))
        size = max(1, round(wide * scale)), max(1, round(high * scale))
        if min(size) < WINDOW:
            return Found(np.empty((0, 4)))
        luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        squares = self._cascade.detect_multi_scale(
            img=cv2.resize(luma, size, interpolation=cv2.INTER_AREA),
            scale_factor=GROWTH,
            step_ratio=STEP,
            min_size=(WINDOW, WINDOW),
            max_size=(min(size), min(size)),
        )
        found = [(-s["width"], s["r"], s["c"], s["height"]) for s in squares]
        boxes = [(c, r, c - w, r + h) for w, r, c, h in sorted(found)]
        back = np.array([wide / size[0], high / size[1]] * 2)
        return Found(np.array(boxes, np.float64).reshape(-1, 4) * back)
