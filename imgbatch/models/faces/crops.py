"""A face of a picture enters; the picture's part that a model sees of it leaves, and measures.

Cutting out is InsightFace's: `aligned` is its `norm_crop`, `framed` what its attribute models see.
Here they take RGB, no model, and nothing that warns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from skimage.transform import SimilarityTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imgbatch.models.faces import RGB, Numbers

# Where ArcFace (Deng et al. 2019) wants eyes, nose and corners of the mouth, in 112 x 112 pixels.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
     [70.7299, 92.2041]]
)  # fmt: skip
TEMPLATE_SIDE = 112
# The other side that ArcFace models have: the same with a margin of 8 pixels left and right.
WIDER_SIDE = 128

SHARPNESS_SIDE = 112

# The same five points of a mean head, in millimetres from the tip of the nose: right in the
# picture, down, towards the camera. The proportions are those of the mean shape that InsightFace's
# pose model is fitted to, so that both mean the same by a head that looks straight ahead.
HEAD = np.array(
    [[-31.5, -20.7, -33.6], [31.5, -20.7, -33.6], [0, 0, 0], [-25, 45.1, -26.2], [25, 45.1, -26.2]]
)


def aligned(pixels: RGB, points: Numbers, side: int) -> RGB | None:
    """Return the face turned, scaled and moved so that its points lie on ArcFace's template.

    Args:
        pixels: (height, width, 3).
        points: (5, 2), as in `Face`.
        side: of the result, in pixels: a multiple of 112 or of 128.

    Returns:
        (side, side, 3), black beyond the picture; None for points that lie in one.
    """
    wide = side % TEMPLATE_SIDE != 0
    unit = side / (WIDER_SIDE if wide else TEMPLATE_SIDE)
    template = (TEMPLATE + ([8, 0] if wide else 0)) * unit
    turn = SimilarityTransform.from_estimate(points, template)
    if not turn or not np.isfinite(turn.params).all():
        return None
    return _warped(pixels, turn.params[:2], side)


def framed(pixels: RGB, box: Numbers, side: int, margin: float) -> RGB | None:
    """Return the square around a box, its longer side times `margin`, scaled to `side`.

    Returns:
        (side, side, 3), black beyond the picture; None for a box without any extent.
    """
    left, top, right, bottom = box
    longer = max(right - left, bottom - top)
    if longer <= 0:
        return None
    scale = side / (longer * margin)
    x, y = side / 2 - (left + right) / 2 * scale, side / 2 - (top + bottom) / 2 * scale
    return _warped(pixels, np.array([[scale, 0, x], [0, scale, y]]), side)


def _warped(pixels: RGB, matrix: NDArray[np.float64], side: int) -> RGB:
    return np.asarray(cv2.warpAffine(pixels, matrix, (side, side), borderValue=0.0), np.uint8)


def sharpness(pixels: RGB, box: Numbers) -> float | None:
    """Return the variance of the Laplacian of a box's luma, scaled to 112 x 112.

    One size for all, so that faces of one corpus compare: a small face that is enlarged has no fine
    edges, and measures low (Pech-Pacheco et al. 2000).

    Returns:
        Squared grey levels; None where no pixel of the box lies in the picture.
    """
    high, wide = pixels.shape[:2]
    left, top = (max(0, math.floor(edge)) for edge in box[:2])
    right, bottom = min(wide, math.ceil(box[2])), min(high, math.ceil(box[3]))
    if left >= right or top >= bottom:
        return None
    part = cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    shrinks = min(part.shape) > SHARPNESS_SIDE
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    square = cv2.resize(part, (SHARPNESS_SIDE, SHARPNESS_SIDE), interpolation=way)
    return float(cv2.Laplacian(square, cv2.CV_64F).var())


def pose(points: Numbers) -> tuple[float, float, float] | None:
    """Estimate from five landmarks how a head is turned.

    The head of `HEAD` is turned until its points, seen from far away, lie on those of the face:
    scaled orthography, as the first step of POSIT (DeMenthon and Davis 1995).

    Args:
        points: (5, 2), as in `Face`.

    Returns:
        Yaw, pitch and roll in degrees, in the directions of `angles`; None for points that lie
        on one line.
    """
    head, face = HEAD - HEAD.mean(0), points - points.mean(0)
    axes: NDArray[np.float64] = np.linalg.lstsq(head, face, rcond=None)[0].T
    lengths = np.linalg.norm(axes, axis=1)
    if lengths.min() < np.finfo(np.float32).eps * max(1.0, float(np.abs(points).max())):
        return None
    right, down = axes / lengths[:, None]
    return angles(np.stack([right, down, np.cross(right, down)]))


def angles(turn: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return yaw, pitch and roll of a rotation, in degrees, as InsightFace measures them.

    Yaw is positive for a face that looks to the right of the picture, pitch for one that looks up,
    roll for a head that is tilted clockwise.

    Args:
        turn: (3, 3); its rows are right, down and towards the camera.
    """
    yaw = math.atan2(-turn[2, 0], math.hypot(turn[0, 0], turn[1, 0]))
    pitch = math.atan2(turn[2, 1], turn[2, 2])
    roll = math.atan2(turn[1, 0], turn[0, 0])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)
