from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from skimage.feature import hog

from imgbatch.analyzers import classic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imgbatch.records import Picture

    Photographs = dict[str, NDArray[np.uint8]]
    Maker = Callable[..., Picture]
    Pixels = NDArray[Any]


ANALYZER = classic.Analyzer(classic.Settings())


def vector_of(pixels: Pixels, picture: Maker) -> Pixels:
    return np.asarray(ANALYZER.prepare(picture(pixels))["embedding"])


def test_the_vector_has_the_documented_dimension_and_length_one(
    photographs: Photographs, picture: Maker
) -> None:
    for name, pixels in photographs.items():
        vector = vector_of(pixels, picture)
        assert vector.dtype == np.float32
        assert vector.shape == (classic.DIMENSION,), name
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6), name


def test_its_first_part_is_scikit_images_hog(photographs: Photographs, picture: Maker) -> None:
    for name, pixels in photographs.items():
        small = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)
        luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        reference = hog(luma, pixels_per_cell=(16, 16), cells_per_block=(2, 2))
        part = vector_of(pixels, picture)[:324]
        cosine = part @ reference / np.linalg.norm(part) / np.linalg.norm(reference)
        assert cosine == pytest.approx(1, abs=1e-6), name


def test_the_layout_of_a_flat_color_is_its_first_frequencies() -> None:
    layout = classic.color_layout(np.full((64, 64, 3), 255, np.uint8))
    # White: Y = 255, Cr = Cb = 128; a DCT of 8 x 8 equal values is 8 times their value.
    expected = np.zeros(48)
    expected[0] = (255 - 128) / 128
    assert layout == pytest.approx(expected, abs=1e-12)


def test_the_layout_tells_left_from_right() -> None:
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, :32] = 255
    left = classic.color_layout(halves)
    right = classic.color_layout(halves[:, ::-1].copy())
    assert left[1] > 0.5
    assert right[1] == pytest.approx(-left[1], abs=0.02)


def test_a_mid_grey_picture_points_nowhere_and_is_null(picture: Maker) -> None:
    assert ANALYZER.prepare(picture(np.full((30, 30, 3), 128, np.uint8))) == {"embedding": None}


def test_a_changed_copy_is_nearer_than_any_other_photograph(
    photographs: Photographs, picture: Maker
) -> None:
    names = list(photographs)
    originals = np.array([vector_of(photographs[n], picture) for n in names])
    for i, name in enumerate(names):
        pixels = photographs[name]
        half = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        done, coded = cv2.imencode(".jpg", half, [cv2.IMWRITE_JPEG_QUALITY, 30])
        assert done
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None
        copy = cv2.convertScaleAbs(decoded, alpha=0.9, beta=10)
        cosines = originals @ vector_of(copy, picture)
        assert cosines.argmax() == i, name
        assert cosines[i] > 0.95, name
