from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage.color import rgb2gray

from imgbatch.analyzers import motion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

    Photographs = dict[str, NDArray[np.uint8]]
    Maker = Callable[..., Picture]
    Pixels = NDArray[Any]


ANALYZER = motion.Analyzer(motion.Settings())


def row_of(frames: Sequence[Pixels], picture: Maker, times: Sequence[float] | None = None) -> Row:
    strip = ANALYZER.start()
    for i, pixels in enumerate(frames):
        strip.see(picture(pixels, frame=i, time=float(i) if times is None else times[i]))
    return strip.row()


def grey(value: int, shape: tuple[int, int] = (20, 30)) -> Pixels:
    return np.full((*shape, 3), value, np.uint8)


def test_scores_are_the_mean_luma_differences_computed_by_hand(picture: Maker) -> None:
    half = grey(10)
    half[:, :15] = 50
    row = row_of([grey(10), grey(13), half, half], picture, [0.0, 0.5, 2.0, 2.25])
    assert row == {
        "n_frames": 4,
        "motion_mean": pytest.approx((3 + 20 + 0) / 3),
        "motion_max": 20.0,
        "times": [0.5, 2.0, 2.25],
        "scores": [3.0, 20.0, 0.0],
    }
    # 10 -> 13 everywhere is 3; then half goes 13 -> 50 (37) and half 13 -> 10 (3): 20.


def test_scores_equal_scikit_image_on_a_moving_photograph(
    photographs: Photographs, picture: Maker
) -> None:
    pixels = photographs["coffee"]
    frames = [np.ascontiguousarray(pixels[:, i * 7 : i * 7 + 300]) for i in range(6)]
    scores = row_of(frames, picture)["scores"]
    # scikit-image's luma has BT.709 weights; on differences of one scene they come close.
    lumas = [rgb2gray(f) * 255 for f in frames]
    expected = [np.abs(b - a).mean() for a, b in pairwise(lumas)]
    assert scores == pytest.approx(expected, rel=0.15)


def test_an_image_has_one_frame_and_no_motion_rather_than_zero(picture: Maker) -> None:
    strip = ANALYZER.start()
    strip.see(picture(grey(3)))
    row = strip.row()
    assert row.pop("n_frames") == 1
    assert set(row.values()) == {None}


def test_a_frame_of_another_size_is_compared_at_the_new_size(picture: Maker) -> None:
    assert row_of([grey(10), grey(30, (40, 10))], picture)["scores"] == [20.0]
