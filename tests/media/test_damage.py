"""Cut and flipped files: a picture, or a DecodeError, and never a picture that is not theirs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from imgbatch.errors import DecodeError
from imgbatch.media import Blob, decoder
from imgbatch.media.gate import ByteGate
from imgbatch.media.jpeg import EOI
from imgbatch.settings import MediaSettings
from tests.media.samples import encoded, every_format, noise, opened

WHOLE = every_format(noise())
SETTINGS = MediaSettings(min_side=16)

# Pillow warns of damaged TIFF directories and animation headers, and goes on. As an error the
# warning would hide what happens to users.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin"),
    pytest.mark.filterwarnings("ignore::UserWarning:PIL.PngImagePlugin"),
]


def lengths(size: int) -> list[int]:
    """Sixty lengths over the whole file, and each of the last twenty."""
    return sorted({*range(40, size, max(1, size // 60)), *range(size - 20, size)})


@pytest.mark.parametrize(
    "settings", [SETTINGS, MediaSettings(min_side=16, exact=True)], ids=["scaled", "exact"]
)
@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_file_fails_or_shows_the_whole_picture_with_a_note(
    name: str, settings: MediaSettings
) -> None:
    data = WHOLE[name]
    whole = opened(data, settings)[1].pixels
    codes = set()
    for length in lengths(len(data)):
        try:
            media, picture = opened(data[:length], settings)
        except DecodeError as error:
            codes.add(error.code)
            continue
        assert np.array_equal(picture.pixels, whole), f"{length} of {len(data)} bytes"
        # of several frames or pages the first may be whole, and `animated` or `pages` says it
        assert media.notes, f"{length} of {len(data)} bytes"
    assert "decode.truncated" in codes
    assert codes <= {"decode.truncated", "decode.corrupt"}


@pytest.mark.parametrize("name", ["jpeg", "jpeg-420"])
def test_a_jpeg_that_lacks_only_its_end_marker_is_whole(name: str) -> None:
    media, picture = opened(WHOLE[name][:-2], SETTINGS)
    assert media.notes == ["decode.tail"]
    assert np.array_equal(picture.pixels, opened(WHOLE[name], SETTINGS)[1].pixels)


def test_a_progressive_jpeg_without_end_marker_may_lack_scans() -> None:
    with pytest.raises(DecodeError) as caught:
        opened(WHOLE["jpeg-progressive"][:-2], SETTINGS)
    assert caught.value.code == "decode.truncated"


def outcome(data: bytes) -> str:
    """The error class of a file, or its notes."""
    try:
        return " ".join(opened(data, SETTINGS)[0].notes)
    except DecodeError as error:
        return error.code


@pytest.mark.parametrize("name", ["jpeg", "jpeg-420", "jpeg-restarts"])
@pytest.mark.parametrize("zeros", [64, 500, 50_000])
@pytest.mark.parametrize("end", [EOI, b""])
def test_zeros_in_place_of_the_rest_are_missing_data(name: str, zeros: int, end: bytes) -> None:
    data = WHOLE[name]
    assert outcome(data[: len(data) // 2] + bytes(zeros) + end) == "decode.truncated"


@pytest.mark.parametrize("name", ["jpeg", "jpeg-420", "jpeg-restarts"])
def test_zeros_in_the_middle_are_missing_data(name: str) -> None:
    data = WHOLE[name]
    start = data.index(b"\xff\xda") + 14
    outcomes = [
        outcome(data[:at] + bytes(128) + data[at + 128 :])
        for at in range(start, len(data) - 130, 97)
    ]
    # A hole over the last restart marker may lie behind all that was decoded.
    assert set(outcomes) <= {"decode.truncated", "decode.hole"}
    assert outcomes.count("decode.hole") <= 1


@pytest.mark.parametrize("options", [{"optimize": True}, {"progressive": True}])
def test_zeros_that_could_be_a_flat_area_are_noted(options: dict[str, bool]) -> None:
    # An optimal table of a coarse picture gives the end of a block the first code, which is zeros:
    # what they invent is flat, as the whole lower half of an intact picture may be.
    data = encoded(noise(wide=320, high=256), "JPEG", quality=30, **options)
    assert outcome(data[: len(data) * 3 // 4] + bytes(50_000) + EOI) == "decode.hole"


@pytest.mark.parametrize("restarts", [{}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("coding", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("quality", [1, 30, 75, 100])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_flat_pictures_full_of_zeros_are_whole(
    restarts: dict[str, int], coding: dict[str, bool], quality: int, mode: str
) -> None:
    x, y = np.meshgrid(np.arange(512), np.arange(512))
    dots = 128 - 60 * ((x % 8 == 0) & (y % 8 == 0))
    for levels in (np.full((512, 512), 255), np.full((512, 512), 77), dots, x % 2 * 255, x // 2):
        image = Image.fromarray(levels.astype(np.uint8)).convert(mode)
        data = encoded(image, "JPEG", quality=quality, **coding, **restarts)
        assert outcome(data) == ""


@pytest.mark.parametrize("intervals", range(1, 8))
def test_intervals_between_restart_markers_are_missed(intervals: int) -> None:
    data = WHOLE["jpeg-restarts"]
    # The markers count to 8: so many more or fewer cannot be told from none.
    markers = [
        at for at in range(len(data) - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] < 0xD8
    ]
    assert len(markers) == 9
    assert outcome(data[: markers[0]] + data[markers[intervals] :]) == "decode.truncated"


def test_bytes_that_are_left_over_before_a_restart_marker_are_a_hole() -> None:
    data = WHOLE["jpeg-restarts"]
    at = data.index(b"\xff\xd3")
    for spare in (20, 2000):
        assert outcome(data[:at] + b"\x12" * spare + data[at:]) == "decode.truncated"
    for spare in (4, 8):
        padded = data[:at] + bytes(spare) + data[at:]
        assert outcome(padded) == "decode.hole"
        pixels = [opened(one, SETTINGS)[1].pixels for one in (padded, data)]
        assert np.array_equal(*pixels)
    gone = [
        outcome(data[:start] + data[start + 300 :])
        for start in range(data.index(b"\xff\xda") + 14, len(data) - 400, 61)
    ]
    # Now and then the codes fall into step again, with as many blocks as before.
    assert gone.count("decode.truncated") >= 0.9 * len(gone)


def test_data_that_are_left_over_at_the_end_are_no_padding() -> None:
    data = WHOLE["jpeg"]
    assert outcome(data[:-2] + data[-100:-2] + EOI) == "decode.hole"
    assert outcome(data[:-2] + bytes(1000) + EOI) == "decode.extraneous"


def odd_headers(data: bytes) -> dict[str, bytes]:
    """One JPEG under headers that libjpeg warns of, and reads nonetheless."""
    revision, tables = data.index(b"JFIF") + 5, data.index(b"\xff\xdb")
    assert tables == 20  # only JFIF's segment is before them, and libjpeg believes it first
    scan = data.index(b"\xff\xda")
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x09"
    profile = b"\xff\xe2\0\x14ICC_PROFILE\0\x09\x01abcd"
    return {
        "JFIF of revision 7": data[:revision] + b"\7" + data[revision + 1 :],
        "bytes between segments": data[:tables] + b"\xff\0" + data[tables:],
        "Adobe's colours by a number of their own": data[:2] + adobe + data[tables:],
        "a scan of no coefficients": data[: scan + 12] + b"\0" + data[scan + 13 :],
        "a colour profile's ninth piece of one": data[:tables] + profile + data[tables:],
    }


@pytest.mark.parametrize("name", odd_headers(WHOLE["jpeg"]))
def test_an_odd_header_neither_fails_a_picture_nor_hides_its_holes(name: str) -> None:
    data = odd_headers(WHOLE["jpeg-restarts"])[name]
    media, picture = opened(data, SETTINGS)
    assert media.notes == ["header.odd"]
    assert np.array_equal(picture.pixels, opened(WHOLE["jpeg-restarts"], SETTINGS)[1].pixels)
    middle = len(data) // 2
    assert outcome(data[:middle] + data[middle + 300 :]) == "decode.truncated"
    assert outcome(data[:middle]) == "decode.truncated"


def test_a_scan_that_comes_twice_changes_no_pixel() -> None:
    data = WHOLE["jpeg-progressive"]
    first, second = (found.start() for found in list(re.finditer(rb"\xff\xda", data))[:2])
    tables = data.rfind(b"\xff\xc4", first, second)
    twice = data[: tables if tables > 0 else second] + data[first:]
    media, picture = opened(twice, SETTINGS)
    assert media.notes == ["decode.hole"]
    assert np.array_equal(picture.pixels, opened(data, SETTINGS)[1].pixels)


@pytest.mark.parametrize("name", WHOLE)
def test_flipped_bits_never_raise_anything_but_a_decode_error(name: str) -> None:
    random = np.random.default_rng(sum(name.encode()))
    gate = ByteGate(2**28)
    for _ in range(25):
        data = bytearray(WHOLE[name])
        for at in random.integers(0, len(data), random.integers(1, 6)):
            data[at] ^= 1 << int(random.integers(8))
        blob = Blob.of(bytes(data))
        module = decoder(blob.head)
        if module is None:
            continue
        try:
            media = module.decode(blob, MediaSettings(min_side=16, max_pixels=10**6), gate)
            (picture,) = media.pictures
        except DecodeError:
            continue
        assert picture.pixels.size
