"""Holes of zeros in HEIF files: seen wherever they lie in an image, and in no whole file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pillow_heif import from_pillow

from imgbatch.errors import DecodeError
from imgbatch.media.heif_items import has_zeros
from imgbatch.settings import MediaSettings
from tests.media.samples import encoded, noise, opened

WHOLE = encoded(noise(wide=320, high=256), "HEIF", quality=80)
SETTINGS = MediaSettings(min_side=256)


def test_a_hole_is_a_note_wherever_it_lies() -> None:
    start = WHOLE.index(b"mdat") + 600
    said = set()
    for at in range(start, len(WHOLE) - 300, 500):
        damaged = WHOLE[:at] + bytes(256) + WHOLE[at + 256 :]
        assert has_zeros(io.BytesIO(damaged)), at
        try:
            said.add(tuple(opened(damaged, SETTINGS)[0].notes))
        except DecodeError:
            continue
    assert said == {("decode.hole",)}


@pytest.mark.parametrize("quality", [1, 50, 95, -1])
def test_no_whole_file_has_one(quality: int) -> None:
    white = Image.new("RGB", (2048, 1024), "white")
    for image in (white, white.convert("L"), noise(), white.resize((64, 64))):
        data = encoded(image, "HEIF", quality=quality)
        assert not has_zeros(io.BytesIO(data))
        assert opened(data, SETTINGS)[0].notes == []


def test_zeros_that_are_no_image_are_none() -> None:
    exif = Image.Exif()
    exif[0x927C] = bytes(4000)  # a maker's notes
    data = encoded(noise(), "HEIF", quality=80, exif=exif.tobytes(), xmp=bytes(1000))
    assert bytes(900) in data
    assert not has_zeros(io.BytesIO(data))
    assert not has_zeros(io.BytesIO(data + bytes(1000)))


def test_of_several_images_each_is_looked_at() -> None:
    out, images = io.BytesIO(), from_pillow(noise())
    images.add_from_pillow(noise(wide=200))
    images.save(out, quality=80)
    data = out.getvalue()
    assert opened(data)[0].notes == ["pages"]
    for at in (data.index(b"mdat") + 700, len(data) - 600):
        assert has_zeros(io.BytesIO(data[:at] + bytes(128) + data[at + 128 :]))


def test_damaged_boxes_are_followed_to_an_end() -> None:
    random = np.random.default_rng(3)
    start = WHOLE.index(b"mdat")
    for _ in range(3000):
        data = bytearray(WHOLE[: start + 2000])
        for at in random.integers(0, start, random.integers(1, 6)):
            data[at] = random.choice([0, 1, 255, random.integers(256)])
        assert has_zeros(io.BytesIO(bytes(data))) in {True, False}
    for length in range(start):
        assert not has_zeros(io.BytesIO(WHOLE[:length]))
