"""One JPEG in, its facts, quality and hashes out, as a user of Ray Data or Daft would write it.

Runs in the peers' environment, without imgbatch. The same work as the recipe in `recipe.toml`:
pixels come shrunk to a shorter side of 256, and each value is made by the library that people take.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import cv2
import imagehash
import numpy as np
from PIL import ExifTags, Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SIDE = 256


def shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (height, width, 3) pixels with a shorter side of 256; larger ones are shrunk."""
    height, width = pixels.shape[:2]
    scale = MIN_SIDE / min(height, width)
    if scale >= 1:
        return pixels
    size = (round(width * scale), round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def decode(data: bytes) -> NDArray[np.uint8]:
    """Return RGB pixels, decoded by Pillow at a reduced scale where the format can."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (MIN_SIDE, MIN_SIDE))
        return np.asarray(image.convert("RGB"))


def facts(data: bytes) -> dict[str, Any]:
    """Return what the file says of itself, and its SHA-256."""
    with Image.open(io.BytesIO(data)) as image:
        taken = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
        return {
            "format": image.format,
            "width": image.width,
            "height": image.height,
            "mode": image.mode,
            "taken": taken,
            "sha256": hashlib.sha256(data).hexdigest(),
        }


def quality(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return brightness, contrast, sharpness, entropy and two hashes of shrunk RGB pixels."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    counts = np.bincount(grey.ravel(), minlength=256)
    share = counts[counts > 0] / grey.size
    image = Image.fromarray(pixels)
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        "entropy": float(-(share * np.log2(share)).sum()),
        "dhash": str(imagehash.dhash(image)),
        "phash": str(imagehash.phash(image)),
    }
