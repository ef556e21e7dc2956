"""The real photographs that come with scikit-image and scikit-learn, and seeded cuts of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import skimage
import sklearn
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

SKIMAGE = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
)
SKLEARN = ("china.jpg", "flower.jpg")
SMALLEST_CUT = 0.6


@cache
def paths() -> tuple[Path, ...]:
    """Return the files; they lie in the installed packages, nothing is fetched."""
    ours = Path(skimage.__file__).parent / "data"
    theirs = Path(sklearn.__file__).parent / "datasets" / "images"
    return (*(ours / name for name in SKIMAGE), *(theirs / name for name in SKLEARN))


@cache
def photograph(index: int) -> NDArray[np.uint8]:
    """Return one photograph as (height, width, 3) uint8 RGB; the index goes round."""
    with Image.open(paths()[index % len(paths())]) as image:
        return np.asarray(image.convert("RGB"))


def cut(
    random: np.random.Generator, index: int, *, size: tuple[int, int], grain: float
) -> NDArray[np.uint8]:
    """Return a random cut of a photograph, scaled to size, flipped, lit and grained at random.

    Enlarging smooths, and a smooth JPEG is far smaller than one from a camera: the grain (standard
    deviation in grey levels, the same in all channels, as film and sensors have it) makes up.

    Args:
        random: draws everything that is random.
        index: which photograph.
        size: (width, height) in pixels.
        grain: 0 for none.
    """
    whole = photograph(index)
    high, wide = whole.shape[:2]
    width, height = size
    scale = min(wide / width, high / height) * random.uniform(SMALLEST_CUT, 1)
    w, h = int(width * scale), int(height * scale)
    x, y = random.integers(0, wide - w + 1), random.integers(0, high - h + 1)
    part = whole[y : y + h, x : x + w]
    if random.random() < 1 / 2:
        part = part[:, ::-1]
    pixels = cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_CUBIC)
    lit = pixels * np.float32(random.uniform(0.8, 1.2))
    if grain:
        lit += (random.standard_normal((height, width), np.float32) * grain)[..., None]
    shown: NDArray[np.uint8] = np.clip(lit, 0, 255).astype(np.uint8)
    return shown
