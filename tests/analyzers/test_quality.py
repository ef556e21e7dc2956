from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image
from scipy import ndimage
from skimage.measure import shannon_entropy

from imgbatch.analyzers import quality

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

    Photographs = dict[str, NDArray[np.uint8]]
    Maker = Callable[..., Picture]
    Pixels = NDArray[Any]


ANALYZER = quality.Analyzer(quality.Settings())


def row_of(picture: Picture, analyzer: quality.Analyzer = ANALYZER) -> Row:
    (row,) = analyzer.infer([analyzer.prepare(picture)])
    return row


def luma_of(pixels: Pixels) -> Pixels:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def grey(values: Any) -> Pixels:
    return np.repeat(np.asarray(values, np.uint8)[:, :, None], 3, axis=2)


def test_tones_equal_numpy_and_scikit_image_on_photographs(
    photographs: Photographs, picture: Maker
) -> None:
    for name, pixels in photographs.items():
        luma = luma_of(pixels)
        row = row_of(picture(pixels))
        assert row["brightness"] == pytest.approx(luma.mean(), abs=1e-9), name
        assert row["contrast"] == pytest.approx(luma.std(), abs=1e-9), name
        entropy = shannon_entropy(luma)  # type: ignore[no-untyped-call] # scikit-image has no types
        assert row["entropy"] == pytest.approx(entropy, abs=1e-9), name
        low, high = np.percentile(luma, (5, 95), method="inverted_cdf")
        assert row["contrast_range"] == high - low, name
        assert row["dark_share"] == pytest.approx((luma <= 3).mean(), abs=1e-9), name
        assert row["bright_share"] == pytest.approx((luma >= 252).mean(), abs=1e-9), name


def test_luma_is_that_of_bt601(picture: Maker) -> None:
    pixels = np.full((5, 5, 3), (200, 100, 50), np.uint8)
    # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    assert row_of(picture(pixels))["brightness"] == 124.0


def test_four_equal_quarters_have_two_bits_of_entropy(picture: Maker) -> None:
    values = np.repeat([[0, 50, 100, 255]], 8, axis=0)
    row = row_of(picture(grey(values)))
    assert row["entropy"] == 2.0
    assert row["brightness"] == 101.25
    assert (row["dark_share"], row["bright_share"]) == (0.25, 0.25)


def test_sharpness_equals_scipy_on_photographs(photographs: Photographs) -> None:
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    for name, pixels in photographs.items():
        small = cv2.resize(luma_of(pixels), (300, 256), interpolation=cv2.INTER_AREA)
        smooth = np.floor(ndimage.correlate(small.astype(float), kernel, mode="mirror") + 0.5)
        expected = ndimage.correlate(smooth, laplacian, mode="mirror").var()
        assert quality.sharpness(small) == pytest.approx(expected, rel=1e-9), name


def test_sharpness_of_one_dot_is_as_computed_by_hand() -> None:
    luma = np.zeros((9, 9), np.uint8)
    luma[4, 4] = 16
    # Smoothed: 4 in the middle, 2 at four sides, 1 at four corners. Laplacian: -8 in the middle,
    # -2 at the sides, 0 at the corners, then 2 at four and 1 at eight outer pixels. Mean 0.
    assert quality.sharpness(luma) == pytest.approx((64 + 4 * 4 + 4 * 4 + 8 * 1) / 81)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "china"])
def test_sharpness_compares_pictures_of_different_decode_size(
    name: str, photographs: Photographs
) -> None:
    luma = luma_of(photographs[name])
    file = io.BytesIO()
    Image.fromarray(luma).resize((693, 520), Image.Resampling.LANCZOS).save(file, "JPEG")
    found = [
        quality.sharpness(
            simplejpeg.decode_jpeg(
                file.getvalue(), "GRAY", min_height=520 * n // 8, min_width=693 * n // 8
            )[:, :, 0]
        )
        for n in (4, 5, 6, 7, 8)
    ]
    assert max(found) < 1.75 * min(found)


def test_blur_lowers_sharpness(photographs: Photographs) -> None:
    for name, pixels in photographs.items():
        luma = luma_of(pixels)
        blurred = cv2.GaussianBlur(luma, (0, 0), 3)
        assert quality.sharpness(blurred) < 0.5 * quality.sharpness(luma), name


def test_a_small_picture_is_not_enlarged() -> None:
    luma = np.arange(100, dtype=np.uint8).reshape(10, 10)
    assert quality.shrink(luma) is luma
    assert quality.shrink(np.zeros((512, 1000), np.uint8)).shape == (256, 500)
    assert quality.shrink(np.zeros((300, 400), np.uint8)).shape == (256, 341)


def test_color_photographs_are_not_grey_and_a_grey_one_is(
    photographs: Photographs, picture: Maker
) -> None:
    found = {n for n, p in photographs.items() if row_of(picture(p))["is_grey"]}
    assert found == {"camera"}


def test_grey_allows_for_the_color_noise_that_is_set(picture: Maker) -> None:
    pixels = np.full((20, 20, 3), 100, np.uint8)
    pixels[3, 4] = (100, 100, 112)  # a luma of 101.4: blue is 11 above it
    assert not row_of(picture(pixels))["is_grey"]
    loose = quality.Analyzer(quality.Settings(grey_levels=11))
    assert row_of(picture(pixels), loose)["is_grey"]


def test_a_blank_page_with_noise_is_blank_and_a_photograph_is_not(
    photographs: Photographs, picture: Maker
) -> None:
    rng = np.random.default_rng(0)
    noisy = rng.integers(247, 254, (50, 50, 3), dtype=np.uint8)
    assert row_of(picture(noisy))["is_blank"]
    assert not any(row_of(picture(p))["is_blank"] for p in photographs.values())


def test_a_constant_picture_has_plain_zeros(picture: Maker) -> None:
    row = row_of(picture(np.full((9, 9, 3), 77, np.uint8)))
    assert row["brightness"] == 77.0
    zeros = [row[n] for n in ("contrast", "contrast_range", "sharpness", "entropy")]
    assert [str(z) for z in zeros] == ["0.0", "0", "0.0", "0.0"]
    assert row["is_grey"]
    assert row["is_blank"]
