"""Cut and flipped files: a picture, or a DecodeError, and never a picture that is not theirs."""

from __future__ import annotations

import numpy as np
import pytest

from imgbatch.errors import DecodeError
from imgbatch.media import Blob, decoder
from imgbatch.media.gate import ByteGate
from imgbatch.media.jpeg import EOI
from imgbatch.settings import MediaSettings
from tests.media.samples import every_format, noise, opened

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


def test_a_hole_of_zeros_never_passes_without_a_word() -> None:
    data = WHOLE["jpeg"]
    half = data[: len(data) // 2]
    with pytest.raises(DecodeError) as caught:
        opened(half + bytes(500) + EOI, SETTINGS)
    assert caught.value.code == "decode.truncated"
    # zeros are valid codes: these invent the whole rest of the picture, and some are left over
    media, _ = opened(half + bytes(50_000) + EOI, SETTINGS)
    assert media.notes == ["decode.extraneous"]
    with pytest.raises(DecodeError) as caught:
        opened(half + bytes(50_000), SETTINGS)
    assert caught.value.code == "decode.truncated"


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
