from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage.color import rgb2hsv

from imgbatch.analyzers import color

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imgbatch.records import Picture

    Photographs = dict[str, NDArray[np.uint8]]
    Maker = Callable[..., Picture]
    Pixels = NDArray[Any]


ANALYZER = color.Analyzer(color.Settings())


def flat(*rgb: int) -> Pixels:
    return np.full((40, 40, 3), rgb, np.uint8)


def test_colorfulness_equals_the_papers_formula_on_photographs(photographs: Photographs) -> None:
    for name, pixels in photographs.items():
        red, green, blue = np.moveaxis(pixels.astype(np.float64), 2, 0)
        rg, yb = red - green, (red + green) / 2 - blue
        expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        assert color.colorfulness(pixels) == pytest.approx(expected, abs=1e-6), name


def test_colorfulness_of_one_flat_color_is_as_computed_by_hand() -> None:
    # rg = 100, yb = 150 - 80 = 70; no spread: 0.3 * sqrt(100^2 + 70^2)
    assert color.colorfulness(flat(200, 100, 80)) == pytest.approx(0.3 * 14900**0.5)


def test_saturation_and_value_equal_scikit_image(photographs: Photographs, picture: Maker) -> None:
    for name, pixels in photographs.items():
        row = ANALYZER.prepare(picture(pixels))
        _, saturation, value = rgb2hsv(pixels).reshape(-1, 3).mean(axis=0)
        assert row["saturation"] == pytest.approx(saturation, abs=2e-3), name
        assert row["value"] == pytest.approx(value, abs=1e-9), name


def test_hue_count_follows_the_paper_on_photographs(
    photographs: Photographs, picture: Maker
) -> None:
    for name, pixels in photographs.items():
        hue, saturation, value = np.moveaxis(rgb2hsv(pixels), 2, 0)
        kept = hue[(saturation > 0.2) & (value >= 0.15) & (value <= 0.95)]
        counts = np.histogram(kept, bins=20, range=(0, 1))[0]
        # OpenCV's 8-bit HSV is rounded: a bin near the limit may fall to the other side of it.
        fewest, most = (np.count_nonzero(counts > x * counts.max()) for x in (0.08, 0.03))
        assert fewest <= ANALYZER.prepare(picture(pixels))["hue_count"] <= most, name


def test_hue_count_of_painted_stripes_is_their_number(picture: Maker) -> None:
    stripes = np.zeros((10, 40, 3), np.uint8)
    for i, rgb in enumerate([(200, 20, 20), (20, 200, 20), (20, 20, 200), (128, 128, 128)]):
        stripes[:, i * 10 : i * 10 + 10] = rgb
    assert ANALYZER.prepare(picture(stripes))["hue_count"] == 3


def test_a_grey_picture_has_no_hue_no_color_and_no_saturation(
    photographs: Photographs, picture: Maker
) -> None:
    row = ANALYZER.prepare(picture(photographs["camera"]))
    assert (row["hue_count"], row["colorfulness"], row["saturation"]) == (0, 0.0, 0.0)


def test_dominant_colors_of_painted_areas_are_exact(picture: Maker) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = (255, 0, 0)
    pixels[32:48] = (0, 0, 255)
    pixels[48:] = (250, 250, 10)
    row = ANALYZER.prepare(picture(pixels))
    assert row["dominant"] == ["#ff0000", "#0000ff", "#fafa0a"]
    assert row["dominant_shares"] == [0.5, 0.25, 0.25]


def test_one_flat_color_is_the_only_dominant_one(picture: Maker) -> None:
    row = ANALYZER.prepare(picture(flat(1, 2, 3)))
    assert (row["dominant"], row["dominant_shares"]) == (["#010203"], [1.0])


def test_dominant_colors_are_as_many_as_set_and_their_shares_add_up(
    photographs: Photographs, picture: Maker
) -> None:
    for colors in (1, 3, 16):
        analyzer = color.Analyzer(color.Settings(colors=colors))
        for name, pixels in photographs.items():
            row = analyzer.prepare(picture(pixels))
            shares = row["dominant_shares"]
            assert len(row["dominant"]) == len(set(row["dominant"])) == len(shares), name
            assert 1 <= len(shares) <= colors, name
            assert sum(shares) == pytest.approx(1), name
            assert shares == sorted(shares, reverse=True), name


def test_five_dominant_colors_explain_most_of_a_photograph(photographs: Photographs) -> None:
    for name, pixels in photographs.items():
        row = color.dominant(pixels, 5)
        palette = np.array([list(bytes.fromhex(c[1:])) for c in row["dominant"]], float)
        flat_pixels = pixels[::4, ::4].reshape(-1, 1, 3).astype(float)
        nearest = ((flat_pixels - palette) ** 2).sum(axis=2).min(axis=1).mean()
        total = flat_pixels.reshape(-1, 3).var(axis=0).sum()
        assert nearest < 0.3 * total, name
