"""The EXIF reader against blocks that Pillow wrote, and against damage."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from imgbatch.media.exif import MAX_TEXT, Exif, read_exif

KEPT = {
    "Make": "Canon",
    "Model": "EOS 5D",
    "Orientation": 6,
    "Software": "darkroom",
    "DateTime": "2019:01:15 09:27:27",
    "ExposureTime": 0.00625,
    "FNumber": 11.0,
    "PhotographicSensitivity": 100,
    "DateTimeOriginal": "2018:09:18 12:36:32",
    "OffsetTimeOriginal": "+02:00",
    "Flash": 16,
    "FocalLength": 95.0,
    "LensModel": "EF70-200mm",
    "GPS": True,
}


def block(**changes: object) -> bytes:
    """An EXIF block with all kept values, written by Pillow."""
    values = KEPT | changes
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = values["Make"], values["Model"]
    exif[0x0112], exif[0x0131] = values["Orientation"], values["Software"]
    exif[0x0132] = values["DateTime"]
    exif[0x8769] = {
        0x829A: values["ExposureTime"],
        0x829D: values["FNumber"],
        0x8827: values["PhotographicSensitivity"],
        0x9003: values["DateTimeOriginal"],
        0x9011: values["OffsetTimeOriginal"],
        0x9209: values["Flash"],
        0x920A: values["FocalLength"],
        0xA434: values["LensModel"],
    }
    if values["GPS"]:
        exif[0x8825] = {1: "N", 2: (48.0, 51.0, 24.0), 3: "E", 4: (2.0, 21.0, 8.0)}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def read(data: bytes) -> Exif:
    return read_exif(io.BytesIO(data))


def directory(entries: list[bytes], order: str = "<", after: bytes = b"") -> bytes:
    """A block of one directory: entries of 12 bytes, then whatever they point to."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IH", 8, len(entries)) + b"".join(entries) + bytes(4) + after


def test_all_kept_values_are_read() -> None:
    found = read(block())
    assert found.values == KEPT
    assert found.orientation == 6
    assert not found.corrupt


def test_numbers_are_read_as_fractions_too() -> None:
    found = read(block(ExposureTime=IFDRational(1, 160), FNumber=IFDRational(11, 1)))
    assert (found.values["ExposureTime"], found.values["FNumber"]) == (0.00625, 11.0)


def test_the_position_itself_is_never_kept() -> None:
    assert read(block()).values["GPS"] is True
    assert "GPS" not in read(block(GPS=False)).values


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_are_read(order: str) -> None:
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, 8, 0)
    assert read(directory([entry], order)).orientation == 8


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_upright(orientation: int) -> None:
    found = read(directory([struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)]))
    assert (found.orientation, found.values, found.corrupt) == (1, {}, False)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  Canon \t", "Canon"),
        ("a\x1b[31mb\rc", "a[31mbc"),
        ("x" * 5000, "x" * MAX_TEXT),
        ("<script>", "<script>"),
        ("   ", None),
    ],
)
def test_text_is_short_and_printable(text: str, kept: str | None) -> None:
    assert read(block(Make=text)).values.get("Make") == kept


def test_text_that_is_no_unicode_is_kept_readable() -> None:
    data = block(Make="Konig").replace(b"Konig", b"K\xf6nig")
    assert read(data).values["Make"] == "K\ufffdnig"


@pytest.mark.parametrize(
    "date", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", "2019:01:15"]
)
def test_a_date_that_is_none_is_left_out(date: str) -> None:
    assert "DateTimeOriginal" not in read(block(DateTimeOriginal=date)).values


def test_a_fraction_over_zero_is_left_out() -> None:
    data = directory([struct.pack("<HHII", 0x8769, 4, 1, 26)])
    below = struct.pack("<HHHII", 1, 0x829D, 5, 1, 44) + bytes(4) + struct.pack("<II", 5, 0)
    found = read(data + below)
    assert (found.values, found.corrupt) == ({}, False)


def test_a_value_outside_the_block_spoils_only_itself() -> None:
    outside = struct.pack("<HHII", 0x010F, 2, 50, 9_000_000)
    found = read(directory([outside, struct.pack("<HHIHH", 0x0112, 3, 1, 3, 0)]))
    assert (found.values, found.corrupt) == ({"Orientation": 3}, True)


def test_a_directory_cut_short_keeps_what_is_there() -> None:
    whole = directory([struct.pack("<HHIHH", 0x0112, 3, 1, 3, 0)])
    found = read(whole[:8] + struct.pack("<H", 500) + whole[10:])
    assert (found.orientation, found.corrupt) == (3, True)


def test_a_directory_that_points_to_itself_ends() -> None:
    found = read(directory([struct.pack("<HHII", 0x8769, 4, 1, 8)]))
    assert (found.values, found.corrupt) == ({}, False)


@pytest.mark.parametrize(
    "data", [b"", b"II*", b"nonsense", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0"]
)
def test_what_is_no_block_is_corrupt(data: bytes) -> None:
    assert read(data) == Exif(corrupt=True)


def test_a_big_tiff_gives_no_values() -> None:
    assert read(b"II+\0\x08\0\0\0\x10" + bytes(20)) == Exif()


def test_cut_and_flipped_blocks_never_raise() -> None:
    data = block()
    random = np.random.default_rng(5)
    for length in range(len(data)):
        read(data[:length])
    for _ in range(1000):
        flipped = bytearray(data)
        for at in random.integers(0, len(data), 4):
            flipped[at] = int(random.integers(256))
        for name, value in read(bytes(flipped)).values.items():
            assert name in KEPT
            assert not isinstance(value, str) or (value.isprintable() and len(value) <= MAX_TEXT)
