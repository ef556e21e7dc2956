"""The weight-free detector: scikit-image's cascade of local binary patterns, for frontal faces.

Liao et al. 2007, as scikit-image ships it, trained. It gives no score and no landmarks, misses
turned and small faces, and takes some patterns for faces: a first look at a corpus, no measurement.

The cascade looks at a reduced picture of PIXELS at most, whatever came: so its time is bounded, and
a face must be at least WINDOW / sqrt(PIXELS) of the picture's mean side.
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

PIXELS = 96 * 128
# Of the cascade itself: it was trained on faces of 24 x 24 pixels.
WINDOW = 24
# The searching window grows by so much, and moves by so much of its scale.
GROWTH = 1.2
STEP = 1.5


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
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        squares = self._cascade.detect_multi_scale(
            img=cv2.cvtColor(small, cv2.COLOR_RGB2GRAY),
            scale_factor=GROWTH,
            step_ratio=STEP,
            min_size=(32, 32),
            max_size=(min(size), min(size)),
        )
        found = [(-s["width"], s["r"], s["c"], s["height"]) for s in squares]
        boxes = [(c, r, c - w, r + h) for w, r, c, h in sorted(found)]
        back = np.array([wide / size[0], high / size[1]] * 2)
        return Found(np.array(boxes, np.float64).reshape(-1, 4) * back)
