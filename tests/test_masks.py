"""Masks by hand-computed arrays and by what a search for the hidden finds in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgbatch import preprocess as pre
from imgbatch.errors import SettingsError
from imgbatch.preprocess.masks import MaskMode, mask

STEADY = settings(deadline=None, database=None)
MODES: list[MaskMode] = ["solid", "mosaic", "blur"]
# The face of scikit-image's astronaut, as face_labels.toml has it.
FACE = (180, 76, 92, 109)


def astronaut() -> np.ndarray:
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    return np.asarray(Image.open(path).convert("RGB"))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_a_solid_mask_is_one_color_inside_and_changes_nothing_outside() -> None:
    picture = noise(20, 30)
    masked = mask(picture, [(10, 5, 4, 6)], grow=0, color=(255, 128, 0))
    assert (masked[5:11, 10:14] == (255, 128, 0)).all()
    outside = np.ones((20, 30), bool)
    outside[5:11, 10:14] = False
    np.testing.assert_array_equal(masked[outside], picture[outside])


def test_growing_moves_each_side_out_by_a_share_of_the_box_rounded_outwards() -> None:
    masked = mask(noise(40, 40) | 1, [(10, 10, 10, 5)], grow=0.25)
    rows, columns = np.nonzero((masked == 0).all(axis=2))
    # 10 - 2.5, 20 + 2.5 across; 10 - 1.25, 15 + 1.25 down
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (7, 23, 8, 17)


@pytest.mark.parametrize("mode", MODES)
def test_a_grey_picture_stays_grey(mode: MaskMode) -> None:
    grey = pre.grayscale(astronaut())
    masked = mask(grey, [FACE], mode=mode, color=(255, 128, 0))
    assert (masked.shape, masked.dtype) == (grey.shape, np.uint8)
    if mode == "solid":
        assert np.unique(masked[76:185, 180:272]).tolist() == [151]


@pytest.mark.parametrize("mode", MODES)
def test_no_boxes_change_nothing_and_the_original_never_changes(mode: MaskMode) -> None:
    picture = astronaut()
    before = picture.copy()
    np.testing.assert_array_equal(mask(picture, [], mode=mode), before)
    assert not np.array_equal(mask(picture, [FACE], mode=mode), before)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("mode", MODES)
def test_boxes_that_reach_beyond_the_border_are_cut_there(mode: MaskMode) -> None:
    picture = noise(20, 20)
    masked = mask(picture, [(-5, -5, 10, 10), (18, 18, 9, 9), (50, 50, 5, 5)], mode=mode, grow=0)
    assert (masked[6:17, 6:17] == picture[6:17, 6:17]).all()
    assert (masked[:5, :5] != picture[:5, :5]).any()
    assert (masked[18:, 18:] != picture[18:, 18:]).any()


def test_a_mosaic_keeps_a_color_per_cell_and_nothing_else() -> None:
    masked = mask(noise(120, 120), [(30, 30, 60, 60)], mode="mosaic", grow=0, cells=6)
    inside = masked[30:90, 30:90]
    assert len(np.unique(inside.reshape(-1, 3), axis=0)) == 36
    assert (inside.reshape(6, 10, 6, 10, 3) == inside[::10, ::10][:, None, :, None]).all()


@pytest.mark.parametrize("mode", ["mosaic", "blur"])
@pytest.mark.parametrize("side", [60, 240, 960])
def test_what_is_left_of_a_face_does_not_grow_with_its_resolution(
    mode: MaskMode, side: int
) -> None:
    face = astronaut()[76:185, 180:272]
    picture = pre.stretch(face, width=side, height=side)
    masked = mask(picture, [(0, 0, side, side)], mode=mode, grow=0)
    # Shrunk to its cells and enlarged again, a masked face is still itself: no finer detail is in
    # it. The face itself loses a lot.
    assert lost(masked) < 6
    assert lost(picture) > 15


def lost(pixels: np.ndarray) -> float:
    """Return the mean difference between a picture and what its 12 x 12 reduction keeps."""
    image = Image.fromarray(pixels)
    small = image.resize((12, 12), Image.Resampling.BOX).resize(image.size)
    return float(np.abs(np.asarray(small).astype(int) - pixels).mean())


def test_two_pictures_that_differ_only_in_a_box_are_the_same_once_it_is_solid() -> None:
    one, other = astronaut().copy(), astronaut().copy()
    other[76:185, 180:272] = noise(109, 92)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(mask(one, [FACE]), mask(other, [FACE]))


def test_where_boxes_overlap_no_box_shows_what_another_hides() -> None:
    picture = noise(200, 200)
    both = mask(picture, [(20, 20, 120, 120), (100, 100, 30, 30)], mode="mosaic", grow=0)
    alone = mask(picture, [(20, 20, 120, 120)], mode="mosaic", grow=0)
    np.testing.assert_array_equal(both[20:140, 20:140], alone[20:140, 20:140])


@STEADY
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.tuples(*[st.floats(-50, 50)] * 2, *[st.floats(0, 90)] * 2), max_size=4),
    st.sampled_from(MODES),
)
def test_any_boxes_on_any_size_give_a_picture_of_that_size(
    height: int, width: int, boxes: list[tuple[float, float, float, float]], mode: MaskMode
) -> None:
    picture = noise(height, width)
    assert mask(picture, boxes, mode=mode).shape == picture.shape


def test_mask_faces_becomes_a_mask_of_what_was_found_that_can_be_done_again() -> None:
    (step,) = pre.read_steps([{"name": "mask_faces", "mode": "blur", "grow": 0.1, "carry": 2}])
    (fixed,) = pre.fixed_steps([step], source_id="0", frame=0, faces=[FACE])
    said = fixed.model_dump()
    assert (said["name"], said["boxes"], said["grow"]) == ("mask", (FACE,), 0.1)
    (again,) = pre.fixed_steps(pre.read_steps([said]), source_id="0", frame=0)
    picture = astronaut()
    expected = mask(picture, [FACE], mode="blur", grow=0.1)
    np.testing.assert_array_equal(again.apply(picture), expected)


def test_a_picture_that_nobody_looked_at_never_passes_mask_faces() -> None:
    with pytest.raises(AssertionError, match="looked for"):
        pre.fixed_steps(pre.read_steps([{"name": "mask_faces"}]), source_id="0", frame=0)


def test_mask_faces_after_another_step_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"step 2 \(mask_faces\) is not the first") as caught:
        pre.read_steps([{"name": "scale", "factor": 0.1}, {"name": "mask_faces"}])
    assert "Put mask_faces first" in caught.value.remedy
