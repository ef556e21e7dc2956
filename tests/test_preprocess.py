"""Every function by hand-computed arrays, by properties over sizes, by the field's numbers."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from imgbatch import preprocess as pre
from imgbatch.errors import SettingsError, SourceError
from imgbatch.preprocess.augment import Augment, generator_of
from imgbatch.preprocess.recipe import STEPS
from imgbatch.preprocess.steps import CropBox, Flip, Grayscale, Resize, Rotate

if TYPE_CHECKING:
    from imgbatch.preprocess.color import Pixels

# A busy machine is no failure, and a test leaves nothing behind.
STEADY = settings(deadline=None, database=None)
SIDES = st.integers(1, 60)
FRAMES = st.integers(0, 10_000)
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


def numbered(height: int, width: int) -> Pixels:
    """Return a grey picture whose values count from 1, row by row."""
    return (np.arange(1, height * width + 1) % 256).astype(np.uint8).reshape(height, width)


def noise(height: int, width: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(height * 1000 + width).integers(
        0, 256, (height, width, channels), np.uint8
    )


def photograph(name: str) -> Pixels:
    folder = Path(skimage.__file__).parent / "data"
    return np.asarray(Image.open(folder / name).convert("RGB"))


def lifeboat_sized() -> Pixels:
    """Return a real photograph at the size of the teaching material's: 805 wide, 453 high."""
    china = sklearn.datasets.load_sample_image("china.jpg")
    return pre.stretch(np.ascontiguousarray(china), width=805, height=453)


# The teaching material's numbers (methods A02 to A08)


def test_grey_array_has_height_first() -> None:
    assert pre.grayscale(lifeboat_sized()).shape == (453, 805)


def test_rgb_array_has_height_width_channels() -> None:
    assert lifeboat_sized().shape == (453, 805, 3)


def test_grey_224_flattens_to_50176_integers_and_rgb_to_150528() -> None:
    small = pre.stretch(lifeboat_sized(), width=224, height=224)
    assert pre.grayscale(small).size == 50_176
    assert small.size == 150_528


def test_division_by_255_gives_0_to_1() -> None:
    unit = pre.normalise_unit(np.array([[0, 51, 255]], np.uint8))
    assert unit.dtype == np.float32
    assert unit.tolist() == [[0.0, np.float32(0.2), 1.0]]


def test_a_quarter_of_805_by_453_is_201_by_113() -> None:
    assert pre.scale(lifeboat_sized(), factor=0.25).shape == (113, 201, 3)


def test_scale_floors_the_decimal_that_was_written_not_its_binary_neighbour() -> None:
    assert int(100 * 0.29) == 28
    assert pre.scale(numbered(100, 100), factor=0.29).shape == (29, 29)


def test_stretch_gives_224_by_224_and_pillows_default_pixels() -> None:
    picture = lifeboat_sized()
    ours = pre.stretch(picture, width=224, height=224)
    np.testing.assert_array_equal(ours, np.asarray(Image.fromarray(picture).resize((224, 224))))


def test_square_crop_is_exact_where_cropping_by_half_pixels_is_off_by_one() -> None:
    picture = np.zeros((453, 806, 3), np.uint8)
    half = (806 - 453) / 2
    assert Image.fromarray(picture).crop((half, 0, 806 - half, 453)).size == (454, 453)
    assert pre.crop_square(picture).shape == (453, 453, 3)


def test_square_crop_of_the_teaching_sizes_is_what_half_pixels_give() -> None:
    for width, height in ((805, 453), (1540, 978)):
        picture = noise(height, width)
        half = (width - height) / 2
        theirs = Image.fromarray(picture).crop((half, 0, width - half, height))
        np.testing.assert_array_equal(pre.crop_square(picture), np.asarray(theirs))


def test_rotation_by_minus_45_is_pillows_minus_45_with_the_pinned_kernel() -> None:
    small = pre.stretch(lifeboat_sized(), width=224, height=224)
    theirs = Image.fromarray(small).rotate(-45, Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(pre.rotate(small, degrees=-45), np.asarray(theirs))


def test_a_picture_that_went_through_the_crop_224_15_chain_has_similarity_1_with_itself() -> None:
    vectors = [pixel_vector(photograph(name)) for name in ("astronaut.png", "coffee.png")]
    assert vectors[0].size == 675
    assert pre.cosine_similarity(vectors[0], vectors[0]) == 1.0
    assert pre.cosine_similarity(vectors[1], vectors[1]) == 1.0
    a, b = (v.astype(float) for v in vectors)
    expected = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    assert pre.cosine_similarity(*vectors) == pytest.approx(expected, rel=1e-12)
    assert pre.cosine_similarity(*vectors) < 0.95


def pixel_vector(pixels: Pixels) -> Pixels:
    """Return the chain of the teaching material: center square, 224, 15, flat."""
    square = pre.stretch(pre.crop_square(pixels), width=224, height=224)
    return pre.stretch(square, width=15, height=15).ravel()


# Values


def test_grey_weights_are_those_of_bt_601() -> None:
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)
    # 0.299 * 255 = 76.2, 0.587 * 255 = 149.7, 0.114 * 255 = 29.1, 2.99 + 11.74 + 3.42 = 18.15
    assert pre.grayscale(colors).tolist() == [[76, 150, 29, 18]]


def test_grey_of_grey_is_itself_and_rgb_of_grey_repeats_it() -> None:
    grey = numbered(3, 4)
    assert pre.grayscale(grey) is grey
    rgb = pre.to_rgb(grey)
    assert rgb.shape == (3, 4, 3)
    assert pre.to_rgb(rgb) is rgb
    np.testing.assert_array_equal(pre.grayscale(rgb), grey)


def test_alpha_shows_a_white_or_a_black_ground_or_is_dropped() -> None:
    pixels = np.array([[[100, 200, 0, 255], [100, 200, 0, 0], [100, 200, 0, 51]]], np.uint8)
    # A fifth of the color over four fifths of 255: 20 + 204, 40 + 204, 0 + 204.
    white = pre.flatten_alpha(pixels, rule="white")
    assert white.tolist() == [[[100, 200, 0], [255, 255, 255], [224, 244, 204]]]
    black = pre.flatten_alpha(pixels, rule="black")
    assert black.tolist() == [[[100, 200, 0], [0, 0, 0], [20, 40, 0]]]
    dropped = pre.flatten_alpha(pixels, rule="drop")
    np.testing.assert_array_equal(dropped, np.asarray(Image.fromarray(pixels).convert("RGB")))


def test_alpha_stays_within_one_of_pillows_compositing() -> None:
    pixels = noise(64, 64, 4)
    ground = Image.new("RGBA", (64, 64), "white")
    theirs = np.asarray(Image.alpha_composite(ground, Image.fromarray(pixels)).convert("RGB"))
    ours = pre.flatten_alpha(pixels, rule="white")
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_brighten_rounds_half_up_and_stops_at_255() -> None:
    grey = np.array([[0, 1, 3, 200]], np.uint8)
    assert pre.brighten(grey, factor=1.5).tolist() == [[0, 2, 5, 255]]
    assert pre.brighten(grey, factor=0).tolist() == [[0, 0, 0, 0]]
    np.testing.assert_array_equal(pre.brighten(grey, factor=1), grey)


def test_brighten_stays_within_one_of_pillows_enhancer() -> None:
    picture = photograph("astronaut.png")
    theirs = np.asarray(ImageEnhance.Brightness(Image.fromarray(picture)).enhance(1.3))
    assert np.abs(pre.brighten(picture, factor=1.3).astype(int) - theirs).max() <= 1


def test_standard_normalisation_by_imagenet() -> None:
    pixel = np.array([[[255, 0, 51]]], np.uint8)
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    result = pre.normalise_standard(pixel)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0, 0], expected, rtol=1e-6)


def test_caffe_normalisation_is_bgr_less_the_mean_without_scaling() -> None:
    result = pre.normalise_caffe(np.array([[[10, 20, 30]]], np.uint8))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0, 0], [30 - 103.939, 20 - 116.779, 10 - 123.68], rtol=1e-6)


def test_similarity_by_hand_and_where_there_is_none() -> None:
    a, b = np.array([[3, 4]], np.uint8), np.array([[4, 3]], np.uint8)
    assert pre.cosine_similarity(a, b) == 24 / 25
    assert math.isnan(pre.cosine_similarity(a, np.zeros_like(a)))
    with pytest.raises(ValueError, match="differ"):
        pre.cosine_similarity(a, b.T)


# Places


def test_square_crop_cuts_the_spare_pixel_at_the_right_and_at_the_bottom() -> None:
    assert pre.crop_square(numbered(1, 4)).tolist() == [[2]]
    assert pre.crop_square(numbered(2, 5)).tolist() == [[2, 3], [7, 8]]
    assert pre.crop_square(numbered(4, 1)).tolist() == [[2]]


@STEADY
@given(SIDES, SIDES)
def test_square_crops_are_square_for_every_size(height: int, width: int) -> None:
    side = min(height, width)
    assert pre.crop_square(numbered(height, width)).shape == (side, side)


@STEADY
@given(SIDES, SIDES, st.data())
def test_center_crop_leaves_margins_that_differ_by_one_at_most(
    height: int, width: int, data: st.DataObject
) -> None:
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    places = np.arange(height * width, dtype=np.uint32).reshape(height, width)
    cropped = pre.crop_center(places, width=columns, height=rows)  # type: ignore[arg-type] # wide enough to number every place
    top, left = divmod(int(cropped[0, 0]), width)
    assert cropped.shape == (rows, columns)
    assert (height - rows - top) - top in (0, 1)
    assert (width - columns - left) - left in (0, 1)


def test_center_crop_of_a_smaller_picture_fails_with_both_sizes() -> None:
    with pytest.raises(SourceError, match="5x4 is smaller than the crop 6x2") as caught:
        pre.crop_center(numbered(4, 5), width=6, height=2)
    assert (caught.value.code, caught.value.stage) == ("preprocess.size", "preprocess")


def test_box_is_y1_x1_y2_x2() -> None:
    picture = numbered(10, 20)
    box = pre.crop_box(picture, y1=0.1, x1=0.35, y2=0.8, x2=0.95)
    np.testing.assert_array_equal(box, picture[1:8, 7:19])
    np.testing.assert_array_equal(
        pre.crop_box(picture, y1=0, x1=0, y2=0.3, x2=0.3), picture[:3, :6]
    )


@STEADY
@given(SIDES, SIDES, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_boxes_that_touch_share_no_pixel_and_lose_none(
    height: int, width: int, y: float, x: float
) -> None:
    picture = numbered(height + 100, width + 100)
    halves = [(0.0, y), (y, 1.0)], [(0.0, x), (x, 1.0)]
    rows = [
        np.hstack([pre.crop_box(picture, y1=y1, x1=x1, y2=y2, x2=x2) for x1, x2 in halves[1]])
        for y1, y2 in halves[0]
    ]
    np.testing.assert_array_equal(np.vstack(rows), picture)


def test_a_box_holds_at_least_one_pixel() -> None:
    for low in (0.0, 0.5, 0.9999):
        box = pre.crop_box(numbered(2, 2), y1=low, x1=low, y2=low + 1e-5, x2=low + 1e-5)
        assert box.shape == (1, 1)


@STEADY
@given(SIDES, SIDES, SIDES, SIDES)
def test_fit_never_exceeds_its_box_and_fills_one_side(
    height: int, width: int, box_height: int, box_width: int
) -> None:
    rows, columns = pre.fit(numbered(height, width), width=box_width, height=box_height).shape
    assert rows <= box_height
    assert columns <= box_width
    assert rows == box_height or columns == box_width
    ratio = min(Fraction(box_height, height), Fraction(box_width, width))
    assert rows == max(1, math.floor(height * ratio + Fraction(1, 2)))
    assert columns == max(1, math.floor(width * ratio + Fraction(1, 2)))


@STEADY
@given(SIDES, SIDES, SIDES, SIDES)
def test_cover_leaves_no_bare_place_and_matches_one_side(
    height: int, width: int, box_height: int, box_width: int
) -> None:
    rows, columns = pre.cover(numbered(height, width), width=box_width, height=box_height).shape
    assert rows >= box_height
    assert columns >= box_width
    assert rows == box_height or columns == box_width


def test_fit_and_cover_of_805_by_453() -> None:
    picture = lifeboat_sized()
    # 453 * 224 / 805 = 126.05; 805 * 256 / 453 = 454.9
    assert pre.fit(picture, width=224, height=224).shape == (126, 224, 3)
    assert pre.cover(picture, width=256, height=256).shape == (256, 455, 3)


def test_resizing_keeps_flat_color_and_takes_the_mean_of_a_box() -> None:
    flat = np.full((9, 7, 3), (200, 10, 90), np.uint8)
    assert np.unique(pre.stretch(flat, width=5, height=4).reshape(-1, 3), axis=0).tolist() == [
        [200, 10, 90]
    ]
    pairs = np.array([[10, 20, 30, 50]], np.uint8)
    assert pre.stretch(pairs, width=2, height=1, kernel="box").tolist() == [[15, 40]]


def test_growing_beyond_the_limit_fails_before_memory_is_taken() -> None:
    strip = np.zeros((1, 60_000), np.uint8)
    with pytest.raises(SourceError, match="15360000x256"):
        pre.cover(strip, width=256, height=256)
    with pytest.raises(SourceError, match="too large"):
        pre.rotate(strip, degrees=45, expand=True)


def test_pad_puts_the_picture_in_the_center_and_the_spare_row_after_it() -> None:
    padded = pre.pad(np.array([[7, 8]], np.uint8), width=5, height=4, background=(255, 255, 255))
    assert padded.tolist() == [
        [255, 255, 255, 255, 255],
        [255, 7, 8, 255, 255],
        [255, 255, 255, 255, 255],
        [255, 255, 255, 255, 255],
    ]


def test_pad_shows_its_background_in_color_and_by_luma_in_grey() -> None:
    orange = (255, 128, 0)
    color = pre.pad(np.zeros((1, 1, 3), np.uint8), width=2, height=1, background=orange)
    assert color.tolist() == [[[0, 0, 0], [255, 128, 0]]]
    grey = pre.pad(np.zeros((1, 1), np.uint8), width=2, height=1, background=orange)
    assert grey.tolist() == [[0, 151]]


@STEADY
@given(SIDES, SIDES, st.integers(0, 9), st.integers(0, 9))
def test_pad_is_exact_and_a_center_crop_undoes_it(
    height: int, width: int, more_rows: int, more_columns: int
) -> None:
    picture = numbered(height, width)
    padded = pre.pad(picture, width=width + more_columns, height=height + more_rows)
    assert padded.shape == (height + more_rows, width + more_columns)
    np.testing.assert_array_equal(pre.crop_center(padded, width=width, height=height), picture)


def test_pad_of_a_larger_picture_fails_and_pad_square_takes_the_longer_side() -> None:
    with pytest.raises(SourceError, match="3x2 cannot be padded to 2x2"):
        pre.pad(numbered(2, 3), width=2, height=2)
    assert pre.pad_square(numbered(2, 3)).tolist() == [[1, 2, 3], [4, 5, 6], [0, 0, 0]]


@STEADY
@given(SIDES, SIDES, st.integers(-4, 4))
def test_rotation_by_quarters_moves_pixels_counter_clockwise(
    height: int, width: int, quarters: int
) -> None:
    picture = numbered(height, width)
    turned = pre.rotate(picture, degrees=90 * quarters, expand=True)
    np.testing.assert_array_equal(turned, np.rot90(picture, quarters))


def test_positive_degrees_turn_the_right_side_up() -> None:
    picture = np.zeros((41, 41), np.uint8)
    picture[20, 35:] = 255
    turned = pre.rotate(picture, degrees=45)
    assert turned[8:10, 31:33].max() > 128
    assert turned[31:33, 31:33].max() == 0


def test_rotation_keeps_the_size_or_expands_and_shows_the_background() -> None:
    red = (255, 0, 0)
    picture = np.zeros((20, 40, 3), np.uint8)
    assert pre.rotate(picture, degrees=30, background=red).shape == picture.shape
    expanded = pre.rotate(picture, degrees=45, expand=True, background=red)
    # (40 + 20) / sqrt(2) = 42.4
    assert expanded.shape[0] in (42, 43, 44)
    assert expanded[0, 0].tolist() == [255, 0, 0]
    assert expanded[21, 21].tolist() == [0, 0, 0]


def test_flips_by_hand() -> None:
    picture = np.array([[1, 2], [3, 4]], np.uint8)
    assert pre.flip(picture).tolist() == [[2, 1], [4, 3]]
    assert pre.flip(picture, direction="top-bottom").tolist() == [[3, 4], [1, 2]]


@STEADY
@given(SIDES, SIDES, st.sampled_from(["left-right", "top-bottom"]))
def test_flipping_twice_changes_nothing(height: int, width: int, direction: str) -> None:
    picture = noise(height, width)
    step = Flip.model_validate({"direction": direction})
    np.testing.assert_array_equal(step.apply(step.apply(picture)), picture)


# Steps


EVERY_STEP: list[dict[str, object]] = [
    {"name": "mask_faces", "mode": "mosaic"},
    {"name": "grayscale"},
    {"name": "mask", "boxes": [[1, 2, 3, 4]], "background": "white"},
    {"name": "scale", "factor": 2},
    {"name": "pad_square", "background": "#ff8000"},
    {"name": "rotate", "degrees": -45, "expand": True, "background": "white"},
    {"name": "flip", "direction": "top-bottom"},
    {"name": "crop_box", "y1": 0.1, "x1": 0.1, "y2": 0.9, "x2": 1},
    {"name": "resize", "width": 50, "height": 50, "mode": "cover"},
    {"name": "crop_center", "width": 40, "height": 30},
    {"name": "brighten", "factor": 1.1},
    {"name": "augment", "seed": 1, "flip": 1},
    {"name": "crop_square"},
    {"name": "pad", "width": 34, "height": 33},
]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_step_works_on_grey_and_color_and_gives_contiguous_bytes(channels: int) -> None:
    assert {step["name"] for step in EVERY_STEP} == set(STEPS)
    pixels = noise(30, 41, channels)
    pixels = pixels[:, :, 0].copy() if channels == 1 else pixels
    steps = pre.read_steps([s for s in EVERY_STEP if channels == 1 or s["name"] != "grayscale"])
    for step in pre.fixed_steps(steps, source_id="00", frame=0, faces=[(5, 5, 10, 10)]):
        pixels = step.apply(pixels)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.ndim == (2 if channels == 1 else 3)
    assert pixels.shape[:2] == (33, 34)


def test_steps_are_read_and_applied_in_the_order_of_the_file() -> None:
    small = {"name": "scale", "factor": 0.5}
    square = {"name": "crop_square"}
    picture = numbered(5, 7)
    first, second = (
        pre.apply_steps(
            pre.fixed_steps(pre.read_steps(tables), source_id="0", frame=0), picture
        ).tolist()
        for tables in ([small, square], [square, small])
    )
    assert first == pre.crop_square(pre.scale(picture, factor=0.5)).tolist()
    assert second == pre.scale(pre.crop_square(picture), factor=0.5).tolist()
    assert first != second


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"name": "rezise"}, "step 2: no step 'rezise'; did you mean 'resize'?"),
        ({"width": 3}, "step 2 has no name"),
        ("resize", "step 2 has no name"),
        ({"name": "scale", "facto": 2}, "unknown key 'facto'; did you mean 'factor'?"),
        ({"name": "resize", "width": 0, "height": 3}, "width = 0"),
        ({"name": "resize", "width": 3, "height": 3, "mode": "squash"}, "'stretch', 'fit'"),
        ({"name": "crop_box", "y1": 0.5, "x1": 0, "y2": 0.5, "x2": 1}, "a box has y1 < y2"),
        ({"name": "pad_square", "background": "blak"}, "unknown color specifier: 'blak'"),
        ({"name": "pad_square", "background": "#11223344"}, "a background is opaque"),
        ({"name": "scale", "factor": math.nan}, "factor = nan"),
    ],
)
def test_a_wrong_step_is_refused_and_says_what_is_near(table: object, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)) as caught:
        pre.read_steps([{"name": "crop_square"}, table])
    assert "step" in caught.value.remedy


# Augmentation


ALL_ON = Augment(seed=7, flip=0.5, degrees=20, crop=0.8, brightness=0.3)


@STEADY
@given(IDS, FRAMES)
def test_draws_stay_within_what_was_asked(source_id: str, frame: int) -> None:
    drawn = {s.name: s for s in ALL_ON.draw(source_id=source_id, frame=frame, position=0)}
    drawn.pop("flip", None)
    turn, box, light = drawn["rotate"], drawn["crop_box"], drawn["brighten"]
    assert isinstance(turn, Rotate)
    assert -20 <= turn.degrees <= 20
    assert isinstance(box, CropBox)
    assert box.y2 - box.y1 + 1e-9 >= 0.8
    assert box.y2 - box.y1 == pytest.approx(box.x2 - box.x1)
    assert 0.7 <= light.factor <= 1.3  # type: ignore[union-attr] # it is the brighten step


def test_draws_do_not_depend_on_order_or_on_what_was_drawn_before() -> None:
    ids = [f"{n:032x}" for n in range(50)]
    forward = {i: ALL_ON.draw(source_id=i, frame=0, position=0) for i in ids}
    backward = {i: ALL_ON.draw(source_id=i, frame=0, position=0) for i in reversed(ids)}
    assert forward == backward
    assert len({str(draw) for draw in forward.values()}) == 50


def test_draws_differ_by_seed_frame_and_place_in_the_recipe() -> None:
    base = {"source_id": "ab", "frame": 0, "position": 0}
    draws = [
        ALL_ON.draw(**base),  # type: ignore[arg-type] # a mixed dict of keywords
        ALL_ON.model_copy(update={"seed": 8}).draw(**base),  # type: ignore[arg-type] # as above
        ALL_ON.draw(**(base | {"frame": 1})),  # type: ignore[arg-type] # as above
        ALL_ON.draw(**(base | {"position": 1})),  # type: ignore[arg-type] # as above
    ]
    assert len({str(draw) for draw in draws}) == 4


def test_the_stream_of_numbers_is_pinned_for_years() -> None:
    first = generator_of(0, source_id="00", frame=0, position=0).random(2).tolist()
    assert first == [0.11947018739678672, 0.6005806408039244]


def test_half_of_many_pictures_are_flipped_and_switching_one_change_off_leaves_the_others() -> None:
    ids = [f"{n:032x}" for n in range(2000)]
    only_flip = Augment(seed=7)
    flipped = [i for i in ids if only_flip.draw(source_id=i, frame=0, position=0)]
    # Four standard deviations of a fair coin thrown 2000 times are 89.
    assert abs(len(flipped) - 1000) < 90
    both = {i for i in ids if ALL_ON.draw(source_id=i, frame=0, position=0)[0] == Flip()}
    assert both == set(flipped)


def test_what_was_drawn_is_a_recipe_that_gives_the_same_pixels_again() -> None:
    picture = photograph("astronaut.png")
    steps = pre.read_steps([ALL_ON.model_dump(), {"name": "grayscale"}])
    fixed = pre.fixed_steps(steps, source_id="ab", frame=3)
    again = pre.read_steps([step.model_dump() for step in fixed])
    assert list(again) == fixed
    np.testing.assert_array_equal(
        pre.apply_steps(fixed, picture),
        pre.apply_steps(pre.fixed_steps(again, source_id="other", frame=0), picture),
    )


def test_nothing_is_drawn_for_fixed_steps() -> None:
    steps = (Grayscale(), Resize(width=3, height=2))
    assert pre.fixed_steps(steps, source_id="0", frame=0) == list(steps)
