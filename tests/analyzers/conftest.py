"""Pictures for the analyzers' tests: photographs that come with installed libraries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage
import sklearn
from PIL import Image

from imgbatch.records import Facts, Picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
# `from the wheel`: skimage.data's functions would download what is not there.
PHOTOGRAPHS = [
    SKIMAGE / "astronaut.png",
    SKIMAGE / "camera.png",
    SKIMAGE / "chelsea.png",
    SKIMAGE / "coffee.png",
    SKIMAGE / "hubble_deep_field.jpg",
    SKIMAGE / "motorcycle_left.png",
    SKIMAGE / "rocket.jpg",
    SKLEARN / "china.jpg",
    SKLEARN / "flower.jpg",
]


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


@pytest.fixture(scope="session")
def photographs() -> dict[str, NDArray[np.uint8]]:
    """Return (height, width, 3) RGB pixels by name."""
    return {path.stem: read(path) for path in PHOTOGRAPHS}


@pytest.fixture(scope="session")
def picture() -> Callable[..., Picture]:
    """Return what makes a picture of pixels; `exif`, `frame` and `time` on request."""

    def make(
        pixels: NDArray[np.uint8],
        *,
        frame: int = 0,
        time: float | None = None,
        exif: dict[str, str | int | float | bool] | None = None,
    ) -> Picture:
        height, width = pixels.shape[:2]
        facts = Facts("image", "JPEG", "RGB", width, height, exif=exif or {})
        return Picture(pixels, frame, time, facts)

    return make
