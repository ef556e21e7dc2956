"""First bytes and what they begin; the dispatch to decoders rests on it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from io import BytesIO

import pytest
from PIL import WebPImagePlugin

from imgbatch.errors import DecodeError
from imgbatch.media import DECODERS, decoder, raster
from imgbatch.media.sniff import declared_size, format_of, png_after_pixels, webp_size
from tests.media.samples import encoded, every_format, noise, quadrants

FORMATS = every_format(quadrants())


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_known_by_its_first_bytes(name: str) -> None:
    expected = name.partition("-")[0].upper()
    assert format_of(FORMATS[name][:64]) == expected
    assert decoder(FORMATS[name][:64]) is raster


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypheix\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", None),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", None),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"P5\n# made by hand\n4 4\n255\n", "PPM"),
        (b"P6 is not always a picture", "PPM"),
        (b"P60 is none", None),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"BMW is a car, and no bitmap", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"%!PS-Adobe-3.0 EPSF-3.0", None),
        (b"%PDF-1.7", None),
        (b"PK\3\4", None),
        (b"", None),
        (b"\xff\xd8", None),
        (b"\x89PNG", None),
    ],
)
def test_neighbours_are_told_apart(head: bytes, name: str | None) -> None:
    assert format_of(head) == name


def test_text_and_archives_are_no_media() -> None:
    tar = BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    for head in (b'{"a": 1}', b"a,b\n1,2\n", b"<svg/>", tar.getvalue()[:512], bytes(4096)):
        assert not raster.claims(head)
        assert decoder(head) is None


def test_no_bytes_are_an_error_of_their_own() -> None:
    with pytest.raises(DecodeError) as caught:
        decoder(b"")
    assert caught.value.code == "decode.empty"


def test_an_image_does_not_import_the_video_library() -> None:
    code = (
        "import sys; from imgbatch.media import decoder;"
        "decoder(b'\\xff\\xd8\\xff\\xe0' + bytes(60)); assert 'av' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_decoders_are_asked_in_order_and_images_come_first() -> None:
    assert DECODERS == ("raster", "video")


@pytest.mark.parametrize("name", ["webp", "webp-lossless", "webp-animated"])
def test_the_canvas_of_a_webp_is_known_from_its_head(name: str) -> None:
    data = FORMATS[name]
    assert webp_size(data[:64]) == WebPImagePlugin.WebPImageFile(BytesIO(data)).size == (64, 48)


def test_a_webp_head_that_is_cut_has_no_size() -> None:
    assert webp_size(FORMATS["webp"][:16]) == (0, 0)


@pytest.mark.parametrize("name", ["webp", "avif", "heif", "tiff"])
def test_a_whole_file_declares_no_more_than_it_has(name: str) -> None:
    data = FORMATS[name]
    kind = name.upper()
    assert 0 < declared_size(kind, BytesIO(data)) <= len(data)


def test_a_cut_file_declares_more_than_it_has() -> None:
    for name in ("webp", "avif", "heif"):
        data = FORMATS[name][:-30]
        assert declared_size(name.upper(), BytesIO(data)) > len(data)
    # a compressed TIFF's directory stands at its end
    data = encoded(noise(), "TIFF", compression="tiff_lzw")[:-400]
    assert declared_size("TIFF", BytesIO(data)) > len(data)


def test_the_end_of_a_png_is_seen() -> None:
    data = FORMATS["png"]
    assert png_after_pixels(BytesIO(data)) == (b"", True)
    assert png_after_pixels(BytesIO(data[:-1])) == (b"", False)
    assert png_after_pixels(BytesIO(data + b"junk behind the end")) == (b"", True)
