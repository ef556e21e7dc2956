"""The pixel similarity of the teaching material, against the plain script that it stands for."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgbatch.preprocess import flat, flat_similarity
from tests.corpus import PHOTOS

# What the book's two pictures are, where somebody has them: A08 of the methods.
BOOK = ("259_3_32_15.jpg", "298_5_52_15.png")


def by_hand(path: Path) -> np.ndarray:
    """The script: Pillow and numpy, and nothing of ours."""
    with Image.open(path) as photo:
        image = photo.convert("RGB")
    left = (image.width - min(image.size)) // 2
    top = (image.height - min(image.size)) // 2
    square = image.crop((left, top, left + min(image.size), top + min(image.size)))
    return np.asarray(square.resize((224, 224)).resize((15, 15))).flatten().astype(float)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as photo:
        return np.asarray(photo.convert("RGB"))


@pytest.mark.parametrize("name", sorted(PHOTOS))
def test_the_vector_is_what_the_plain_script_makes(name: str) -> None:
    assert np.array_equal(flat(pixels(PHOTOS[name])), by_hand(PHOTOS[name]))


def test_the_similarity_is_the_cosine_of_the_plain_script() -> None:
    a, b = PHOTOS["china.jpg"], PHOTOS["coffee.png"]
    u, v = by_hand(a), by_hand(b)
    wanted = u @ v / math.sqrt((u @ u) * (v @ v))
    assert flat_similarity(pixels(a), pixels(b)) == pytest.approx(wanted, abs=1e-15)
    assert flat_similarity(pixels(b), pixels(a)) == flat_similarity(pixels(a), pixels(b))
    assert flat_similarity(pixels(a), pixels(a)) == 1.0


def test_the_kernel_is_part_of_the_number() -> None:
    a, b = pixels(PHOTOS["china.jpg"]), pixels(PHOTOS["coffee.png"])
    found = {k: flat_similarity(a, b, kernel=k) for k in ("bilinear", "bicubic", "lanczos")}
    assert len(set(found.values())) == 3
    assert found["bicubic"] == flat_similarity(a, b)


def test_a_grey_picture_has_a_third_of_the_numbers() -> None:
    grey = pixels(PHOTOS["china.jpg"])[:, :, 0]
    assert flat(grey).shape == (225,)
    assert flat(grey, sides=(28,)).shape == (784,)


def test_a_black_picture_is_similar_to_nothing() -> None:
    black = np.zeros((40, 60, 3), np.uint8)
    assert math.isnan(flat_similarity(black, pixels(PHOTOS["china.jpg"])))


def test_the_books_own_pair_gives_the_books_number() -> None:
    folder = Path(os.environ.get("TEST_BOOK_PICTURES", "nowhere"))
    paths = [folder / name for name in BOOK]
    if not all(path.exists() for path in paths):
        pytest.skip(
            "the book's two pictures are not ours to keep: TEST_BOOK_PICTURES names a folder"
        )
    first, second = (pixels(path) for path in paths)
    assert flat_similarity(first, second) == pytest.approx(0.86455477, abs=5e-9)
