from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from scenedetect.common import FrameTimecode, Timecode  # type: ignore[import-untyped] # it ships no types
from scenedetect.detectors import ContentDetector  # type: ignore[import-untyped] # it ships no types
from scenedetect.stats_manager import StatsManager  # type: ignore[import-untyped] # it ships no types

from imgbatch.analyzers import shots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

    Photographs = dict[str, NDArray[np.uint8]]
    Maker = Callable[..., Picture]
    Pixels = NDArray[Any]


RATE = 10


def row_of(frames: Sequence[Pixels], picture: Maker, **settings: float) -> Row:
    strip = shots.Analyzer(shots.Settings(**settings)).start()
    for i, pixels in enumerate(frames):
        strip.see(picture(pixels, frame=i, time=i / RATE))
    return strip.row()


def pyscenedetect(
    frames: Sequence[Pixels], *, threshold: float = 27.0, min_shot: float = 0.6
) -> tuple[list[int], list[float]]:
    """Return ContentDetector's cuts and scores over the same frames, fed one by one."""
    detector = ContentDetector(threshold=threshold, min_scene_len=min_shot)
    detector.stats_manager = StatsManager()
    cuts, scores = [], []
    for i, pixels in enumerate(frames):
        code = FrameTimecode(Timecode(pts=i, time_base=Fraction(1, RATE)), fps=float(RATE))
        found = detector.process_frame(code, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        cuts += [cut.frame_num for cut in found]
        if i:
            scores.append(detector.stats_manager.get_metrics(code, ["content_val"])[0])
    return cuts, scores


def film(photographs: Photographs, plan: list[tuple[str, int]]) -> list[Pixels]:
    """Return a film: for each (photograph, frames) a slow pan over it."""
    frames = []
    for name, length in plan:
        pixels = cv2.resize(photographs[name], (400, 300), interpolation=cv2.INTER_AREA)
        frames += [np.ascontiguousarray(pixels[30:270, i : i + 320]) for i in range(length)]
    return frames


PLANS = {
    "one shot": [("coffee", 12)],
    "three shots": [("coffee", 12), ("astronaut", 9), ("china", 15)],
    "a flash": [("coffee", 12), ("camera", 1), ("coffee", 12)],
    "a burst of cuts": [
        ("coffee", 10),
        ("astronaut", 3),
        ("china", 2),
        ("camera", 2),
        ("flower", 20),
    ],
    "a burst at the start": [("coffee", 2), ("astronaut", 2), ("china", 9), ("rocket", 9)],
    "a burst at the end": [("coffee", 10), ("astronaut", 10), ("china", 2), ("flower", 2)],
    "nothing but cuts": [("coffee", 1), ("astronaut", 1), ("china", 1), ("flower", 1)] * 8,
}


@pytest.mark.parametrize("min_shot", [0.0, 0.25, 0.6, 1.5])
@pytest.mark.parametrize("plan", PLANS)
def test_cuts_and_scores_equal_pyscenedetect(
    plan: str, min_shot: float, photographs: Photographs, picture: Maker
) -> None:
    frames = film(photographs, PLANS[plan])
    row = row_of(frames, picture, min_shot=min_shot)
    cuts, scores = pyscenedetect(frames, min_shot=min_shot)
    assert row["first_frames"] == [0, *cuts]
    assert row["scores"] == pytest.approx(scores, abs=1e-9)


def test_merging_equals_pyscenedetect_over_random_cuts() -> None:
    rng = np.random.default_rng(0)
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    seen = set()
    for density in (0.05, 0.15, 0.3, 0.6):
        for min_shot in (0.2, 0.5, 1.0):
            flips = rng.random(300) < density
            frames = [white if odd else black for odd in np.cumsum(flips) % 2]
            expected, _ = pyscenedetect(frames, min_shot=min_shot)
            scores = [85.0 if flip else 0.0 for flip in flips[1:]]
            times = [i / RATE for i in range(300)]
            assert shots.cuts(scores, times, shots.Settings(min_shot=min_shot)) == expected
            seen.add(len(expected))
    assert len(seen) > 5


def test_shots_cover_the_source_without_gaps(photographs: Photographs, picture: Maker) -> None:
    row = row_of(film(photographs, PLANS["three shots"]), picture)
    assert row["n_frames"] == 36
    assert row["n_shots"] == 3
    assert row["first_frames"] == [0, 12, 21]
    assert row["starts"] == [0.0, 1.2, 2.1]
    assert row["ends"] == [1.2, 2.1, 3.5]


def test_the_score_of_two_flat_frames_is_as_computed_by_hand(picture: Maker) -> None:
    # HSV of pure red is (0, 255, 255), of black (0, 0, 0): (0 + 255 + 255) / 3
    red, black = np.full((4, 4, 3), (255, 0, 0), np.uint8), np.zeros((4, 4, 3), np.uint8)
    assert row_of([red, black], picture)["scores"] == [170.0]


def test_the_threshold_itself_is_a_cut(picture: Maker) -> None:
    dark, light = np.full((4, 4, 3), 100, np.uint8), np.full((4, 4, 3), 181, np.uint8)
    assert row_of([dark] * 8 + [light] * 8, picture)["n_shots"] == 2  # 81 / 3 = 27
    assert row_of([dark] * 8 + [light] * 8, picture, threshold=27.01)["n_shots"] == 1


def test_an_image_has_one_frame_and_no_shots_rather_than_zero(picture: Maker) -> None:
    strip = shots.Analyzer(shots.Settings()).start()
    strip.see(picture(np.zeros((4, 4, 3), np.uint8)))
    row = strip.row()
    assert row.pop("n_frames") == 1
    assert set(row.values()) == {None}


def test_a_frame_of_another_size_is_compared_at_the_new_size(picture: Maker) -> None:
    frames = [np.full(shape, 100, np.uint8) for shape in ((20, 30, 3), (40, 10, 3))]
    assert row_of(frames, picture)["scores"] == [0.0]
