from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import imagehash
import numpy as np
import pytest
from PIL import Image

from imgbatch.analyzers import hashes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imgbatch.analyzers import Row
    from imgbatch.records import Picture

    Photographs = dict[str, NDArray[np.uint8]]
    Maker = Callable[..., Picture]


ANALYZER = hashes.Analyzer(hashes.Settings())
LANCZOS = Image.Resampling.LANCZOS
SHARED = Path(__file__).parents[2].parent / "shared" / "corpora" / "photos"


def expected(image: Image.Image) -> Row:
    return {
        "dhash": str(imagehash.dhash(image)),
        "dhash_vertical": str(imagehash.dhash_vertical(image)),
        "phash": str(imagehash.phash(image)),
    }


def rows_first(image: Image.Image) -> Row:
    """Return imagehash's hashes with the rows reduced before the columns, whatever Pillow does."""
    luma = image.convert("L")
    return {
        "dhash": str(imagehash.dhash(luma.resize((9, luma.height), LANCZOS))),
        "dhash_vertical": str(imagehash.dhash_vertical(luma.resize((8, luma.height), LANCZOS))),
        "phash": str(imagehash.phash(luma.resize((32, luma.height), LANCZOS))),
    }


def bits_apart(one: Row, other: Row) -> int:
    """How many bits of all hashes differ, together."""
    return sum(imagehash.hex_to_hash(one[k]) - imagehash.hex_to_hash(other[k]) for k in one)


def row_of(image: Image.Image, picture: Maker) -> Row:
    (row,) = ANALYZER.infer([ANALYZER.prepare(picture(np.array(image)))])
    return row


@pytest.mark.parametrize("size", [None, (405, 304), (304, 405), (64, 64), (28, 28), (1500, 1100)])
def test_hashes_of_photographs_are_those_of_imagehash_or_one_bit_off(
    size: tuple[int, int] | None, photographs: Photographs, picture: Maker
) -> None:
    for name, pixels in photographs.items():
        image = Image.fromarray(pixels)
        image = image if size is None else image.resize(size)
        assert bits_apart(row_of(image, picture), expected(image)) <= 1, name


def test_hashes_of_the_shared_photographs_are_those_of_imagehash_or_one_bit_off(
    picture: Maker,
) -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared corpus is not beside this checkout")
    paths = sorted(SHARED.glob("*.jpg"))
    apart = []
    for path in paths:
        with Image.open(path) as image:
            image.draft("RGB", (405, 304))
            upright = image.convert("RGB")
        reference = rows_first if upright.height > 1.6 * upright.width else expected
        apart.append(bits_apart(row_of(upright, picture), reference(upright)))
    assert max(apart) <= 1
    assert np.mean(np.array(apart) == 0) > 0.9


def test_hashes_of_noise_in_any_shape_are_within_three_bits_of_imagehash(picture: Maker) -> None:
    apart = []
    rng = np.random.default_rng(0)
    shapes = [*rng.integers(1, 90, (300, 2)), (1, 1), (1, 500), (500, 1), (1024, 3), (2000, 30)]
    for height, width in shapes:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        apart.append(bits_apart(row_of(image, picture), rows_first(image)))
    assert max(apart) <= 3
    assert np.mean(np.array(apart) == 0) > 0.9


@pytest.mark.parametrize("value", [0, 1, 77, 128, 255])
def test_hashes_of_a_constant_picture_equal_imagehash(value: int, picture: Maker) -> None:
    image = Image.new("RGB", (300, 200), (value, value, value))
    assert row_of(image, picture) == expected(image)


def test_a_ramp_gives_the_hashes_computed_by_hand(picture: Maker) -> None:
    ramp = np.repeat(np.linspace(0, 255, 300).astype(np.uint8)[None, :], 200, axis=0)
    row = row_of(Image.fromarray(ramp).convert("RGB"), picture)
    assert row["dhash"] == "f" * 16  # every pixel is brighter than its left neighbor
    mirrored = row_of(Image.fromarray(ramp[:, ::-1].copy()).convert("RGB"), picture)
    assert mirrored["dhash"] == "0" * 16
    assert row["dhash_vertical"] == "0" * 16
    # Only the first row of frequencies is not zero; of it only the mean is above zero.
    assert row["phash"] == "8000000000000000"


def test_near_copies_differ_in_few_bits_and_other_photographs_in_many(
    photographs: Photographs, picture: Maker
) -> None:
    near, far = [], []
    for name, pixels in photographs.items():
        image = Image.fromarray(pixels)
        copy = image.resize((image.width * 3 // 4, image.height * 3 // 4), LANCZOS)
        own = imagehash.hex_to_hash(row_of(image, picture)["phash"])
        near.append(own - imagehash.hex_to_hash(row_of(copy, picture)["phash"]))
        far += [
            own - imagehash.hex_to_hash(row_of(Image.fromarray(p), picture)["phash"])
            for other, p in photographs.items()
            if other != name
        ]
    assert max(near) <= 4
    assert min(far) >= 12
