"""The quick reader of JPEG headers: what it says is what Pillow says, or it says nothing."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from imgbatch.errors import DecodeError
from imgbatch.media import HEAD_BYTES, Blob
from imgbatch.media.boundary import decoder_errors
from imgbatch.media.gate import ByteGate
from imgbatch.media.header import Header, read_header
from imgbatch.media.jpeg_header import read_jpeg_header
from imgbatch.settings import MediaSettings
from tests.media.samples import encoded, noise

SETTINGS = MediaSettings(min_side=16)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0132] = "Maker", 6, "2026:11:20 10:11:12"
    return exif


IMAGE = noise()
ORDINARY = {
    "420": encoded(IMAGE, "JPEG", quality=90, subsampling=2, comment=b"words"),
    "444": encoded(IMAGE, "JPEG", quality=90, subsampling=0, dpi=(300, 300)),
    "progressive": encoded(IMAGE, "JPEG", progressive=True),
    "grey": encoded(IMAGE.convert("L"), "JPEG"),
    "cmyk": encoded(IMAGE.convert("CMYK"), "JPEG"),
    "exif": encoded(IMAGE, "JPEG", exif=_exif(), icc_profile=bytes(200)),
    "restarts": encoded(IMAGE, "JPEG", restart_marker_rows=1),
    "multi-picture": encoded(IMAGE, "MPO", save_all=True, append_images=[IMAGE], exif=_exif()),
}


def by_pillow(data: bytes) -> Header | str:
    """The answer for a file that is not held in memory, which Pillow reads; or the error class."""
    return _answer(Blob(data[:HEAD_BYTES], len(data), opener=lambda: io.BytesIO(data)))


def _answer(blob: Blob) -> Header | str:
    try:
        with decoder_errors("JPEG header"):
            return read_header(blob, "JPEG", SETTINGS, ByteGate(2**30))
    except DecodeError as error:
        return error.code


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_file_is_read_as_pillow_reads_it(name: str) -> None:
    data = ORDINARY[name]
    assert read_jpeg_header(data) is not None
    assert _answer(Blob.of(data)) == by_pillow(data)


@pytest.mark.parametrize("name", ORDINARY)
def test_a_damaged_file_is_read_as_pillow_reads_it(name: str) -> None:
    """One to three bytes of the header replaced, 600 times; and the file cut, at every length."""
    data = ORDINARY[name]
    end = data.index(b"\xff\xda") + 14
    dice = random.Random(name)
    answered = 0
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(dice.randint(1, 3)):
            damaged[dice.randrange(2, end)] = dice.choice([0, 1, 0xFF, 0xD9, dice.randrange(256)])
        answered += read_jpeg_header(bytes(damaged)) is not None
        assert _answer(Blob.of(bytes(damaged))) == by_pillow(bytes(damaged))
    assert 0 < answered < 600
    for length in range(3, end):
        assert _answer(Blob.of(data[:length])) == by_pillow(data[:length])


def test_what_photoshop_wrote_is_left_to_pillow() -> None:
    data = ORDINARY["420"]
    block = b"Photoshop 3.0\0" + bytes(20)
    segment = b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block
    assert read_jpeg_header(data[:2] + segment + data[2:]) is None
