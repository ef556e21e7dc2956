"""Still images of every format, mode and orientation, against colours that are known."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import simplejpeg
import skimage.data
import sklearn.datasets
from PIL import Image, ImageCms

from imgbatch.errors import DecodeError, FetchError
from imgbatch.media import Blob, raster
from imgbatch.media.gate import ByteGate
from imgbatch.media.pixels import scaled_rgb, strip_rows, target_size
from imgbatch.settings import MediaSettings
from tests.media.samples import (
    BLUE,
    FULL,
    GREEN,
    HIGH,
    RED,
    WHITE,
    WIDE,
    corners,
    encoded,
    every_format,
    noise,
    opened,
    quadrants,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

FORMATS = every_format(quadrants())
PHOTOS = Path(__file__).parents[2].parent / "shared" / "corpora" / "photos"
SKIMAGE = Path(skimage.data.__file__).parent
SKLEARN = Path(sklearn.datasets.__file__).parent / "images"


def close(found: list[tuple[int, ...]], expected: list[tuple[int, ...]], by: int) -> bool:
    return bool((abs(np.array(found) - np.array(expected)) <= by).all())


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_shows_its_four_quadrants(name: str) -> None:
    media, picture = opened(FORMATS[name])
    assert picture.pixels.shape == (HIGH, WIDE, 3)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable
    assert (picture.frame, picture.time) == (0, None)
    assert (media.facts.kind, media.facts.width, media.facts.height) == ("image", WIDE, HIGH)
    assert close(corners(picture.pixels), [RED, GREEN, BLUE, WHITE], by=8)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_scaled_to_the_same_size(name: str) -> None:
    # 3/8 of 48 is the first that reaches 16
    _, picture = opened(FORMATS[name], MediaSettings(min_side=16))
    assert picture.pixels.shape == (18, 24, 3)
    assert close(corners(picture.pixels), [RED, GREEN, BLUE, WHITE], by=8)


@pytest.mark.parametrize("name", FORMATS)
def test_exact_gives_the_same_size(name: str) -> None:
    _, picture = opened(FORMATS[name], MediaSettings(min_side=16, exact=True))
    assert picture.pixels.shape == (18, 24, 3)


@pytest.mark.parametrize(
    ("name", "animated", "notes"),
    [
        ("png-animated", True, ["animated"]),
        ("gif-animated", True, ["animated"]),
        ("webp-animated", True, ["animated"]),
        ("avif-animated", True, ["animated"]),
        ("tiff-pages", False, ["pages"]),
        ("gif", False, []),
        ("png", False, []),
        ("jpeg", False, []),
        ("jpeg-cmyk", False, []),
        ("avif", False, []),
    ],
)
def test_notes_tell_what_is_not_plain(name: str, animated: bool, notes: list[str]) -> None:  # noqa: FBT001 - a table column
    media, _ = opened(FORMATS[name])
    assert media.facts.animated is animated
    assert media.notes == notes


@pytest.mark.parametrize(
    ("width", "height", "min_side", "size"),
    [
        (1080, 720, 256, (405, 270)),  # 3/8: 270; 2/8 is 180
        (2048, 2048, 256, (256, 256)),
        (2049, 2049, 256, (257, 257)),  # rounded up
        (300, 300, 256, (263, 263)),  # 7/8 is 262.5
        (255, 4000, 256, (255, 4000)),
        (256, 256, 256, (256, 256)),
        (1, 1, 16, (1, 1)),
    ],
)
def test_target_size_is_the_smallest_eighth_that_keeps_the_side(
    width: int, height: int, min_side: int, size: tuple[int, int]
) -> None:
    assert target_size(width, height, min_side) == size


@pytest.mark.parametrize("size", [(427, 640), (100, 77), (1037, 771), (2049, 300), (257, 257)])
@pytest.mark.parametrize("min_side", [16, 50, 256])
def test_libjpeg_gives_the_target_size(size: tuple[int, int], min_side: int) -> None:
    _, picture = opened(encoded(Image.new("RGB", size), "JPEG"), MediaSettings(min_side=min_side))
    assert picture.pixels.shape[1::-1] == target_size(*size, min_side)


# modes


def grey_steps() -> np.ndarray[Any, Any]:
    return np.repeat(np.repeat([[0, 1], [2, 3]], 24, axis=0), 32, axis=1)


MODES: dict[str, tuple[bytes, str, list[tuple[int, int, int]], list[str]]] = {}


def mode_case(
    name: str, data: bytes, mode: str, greys: list[Any], notes: list[str] | None = None
) -> None:
    colours = [(g, g, g) if isinstance(g, int) else g for g in greys]
    MODES[name] = (data, mode, colours, notes or [])


def make_mode_cases() -> None:
    step = grey_steps()
    shown = quadrants()
    eight = Image.fromarray((step * 80).astype(np.uint8))
    mode_case("1", encoded(Image.fromarray(step > 1), "PNG"), "1", [0, 0, 255, 255])
    mode_case("L", encoded(eight, "PNG"), "L", [0, 80, 160, 240])
    word = Image.fromarray((step * 0x5000).astype(np.uint16))
    for kind in ("PNG", "TIFF", "JPEG2000"):
        mode_case(f"I;16 {kind}", encoded(word, kind), "I;16", [0, 80, 160, 240], ["depth:16"])
    mode_case("pgm", encoded(word, "PPM"), "I", [0, 80, 160, 240], ["depth:16"])
    big = (step * 0x5000).astype(">u2")
    mode_case("I;16B", tiff(big.tobytes(), 16, 1), "I;16B", [0, 80, 160, 240], ["depth:16"])
    for top, name in ((80, "byte"), (20560, "word")):
        image = Image.fromarray((step * top).astype(np.int32))
        mode_case(f"I {name}", encoded(image, "TIFF"), "I", [0, 80, 160, 240], [f"depth:32:{name}"])
    own = Image.fromarray((step * 100000 - 150000).astype(np.int32))
    mode_case("I own", encoded(own, "TIFF"), "I", [0, 85, 170, 255], ["depth:32:own"])
    unit = (step / 3).astype(np.float32)
    mode_case(
        "F", encoded(Image.fromarray(unit), "TIFF"), "F", [0, 85, 170, 255], ["depth:32:unit"]
    )
    unit[:24, :32] = np.nan
    unit[0, 0] = np.inf
    mode_case(
        "F nan", encoded(Image.fromarray(unit), "TIFF"), "F", [0, 85, 170, 255], ["depth:32:unit"]
    )
    rgb = [RED, GREEN, BLUE, WHITE]
    mode_case("P", encoded(shown.quantize(4), "PNG"), "P", rgb)
    mode_case("CMYK TIFF", encoded(shown.convert("CMYK"), "TIFF"), "CMYK", rgb)
    mode_case("YCbCr TIFF", encoded(shown.convert("YCbCr"), "TIFF"), "YCbCr", rgb)
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(shown, to_lab)
    assert lab is not None
    mode_case("LAB", encoded(lab, "TIFF"), "LAB", rgb)
    clear = shown.convert("RGBA")
    clear.putalpha(Image.fromarray((np.array([255, 128, 0, 255]).astype(np.uint8))[step]))
    # half green over white: 255 * 127 / 255 = 127 of red and blue; clear blue is white
    over = [RED, (127, 255, 127), WHITE, WHITE]
    for kind in ("PNG", "TIFF"):
        mode_case(f"RGBA {kind}", encoded(clear, kind), "RGBA", over, ["alpha:white"])
    mode_case(
        "RGBA WEBP",
        encoded(clear, "WEBP", lossless=True, exact=True),
        "RGBA",
        over,
        ["alpha:white"],
    )
    mode_case(
        "LA",
        encoded(Image.merge("LA", [eight, clear.getchannel("A")]), "PNG"),
        "LA",
        [0, 167, 255, 240],
        ["alpha:white"],
    )
    seen = shown.quantize(4)
    index = seen.getpixel((0, HIGH - 1))
    mode_case(
        "P clear",
        encoded(seen, "PNG", transparency=index),
        "P",
        [RED, GREEN, WHITE, WHITE],
        ["alpha:white"],
    )
    mode_case(
        "RGB key",
        encoded(shown, "PNG", transparency=BLUE),
        "RGB",
        [RED, GREEN, WHITE, WHITE],
        ["alpha:white"],
    )
    mode_case("RGBA opaque", encoded(shown.convert("RGBA"), "PNG"), "RGBA", rgb)
    mode_case("16-bit RGB", png16(step), "RGB", [0, 80, 160, 240], ["depth:16"])


def tiff(pixels: bytes, bits: int, samples: int) -> bytes:
    """A big-endian TIFF of one uncompressed strip, 64 x 48."""
    tags = [(256, 3, WIDE), (257, 3, HIGH), (258, 3, bits), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 200), (277, 3, samples), (278, 3, HIGH), (279, 4, len(pixels))]
    body = b"".join(
        struct.pack(">HHI", tag, kind, 1) + struct.pack(">H2x" if kind == 3 else ">I", value)
        for tag, kind, value in tags
    )
    head = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + body + bytes(4)
    return head.ljust(200, b"\0") + pixels


def png(width: int, height: int, depth: int, colour: int, packed: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def png16(step: np.ndarray[Any, Any]) -> bytes:
    rows = np.repeat((step * 0x5000).astype(">u2")[..., None], 3, axis=2)
    return png(WIDE, HIGH, 16, 2, zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))


make_mode_cases()

# 8 bits of L*a*b* do not hold sRGB's corners
TOLERANCE = {"LAB": 24, "YCbCr TIFF": 2}


@pytest.mark.parametrize("name", MODES)
def test_each_mode_becomes_the_colours_that_it_means(name: str) -> None:
    data, mode, colours, notes = MODES[name]
    media, picture = opened(data)
    assert media.facts.mode == mode
    assert close(corners(picture.pixels), colours, by=TOLERANCE.get(name, 0))
    assert media.notes == notes


@pytest.mark.parametrize(
    ("alpha", "colour"), [("white", WHITE), ("black", (0, 0, 0)), ("drop", BLUE)]
)
def test_the_alpha_rule_decides_what_shows_through(alpha: Any, colour: tuple[int, ...]) -> None:
    clear = quadrants().convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(grey_steps() == 2, 0, 255).astype(np.uint8)))
    media, picture = opened(encoded(clear, "PNG"), MediaSettings(min_side=HIGH, alpha=alpha))
    assert corners(picture.pixels) == [RED, GREEN, colour, WHITE]
    assert media.notes == [f"alpha:{alpha}"]


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpegs_look_as_pillow_shows_them(adobe: bool) -> None:  # noqa: FBT001 - a parameter of the test
    data = encoded(noise().convert("CMYK"), "JPEG", quality=95)
    if not adobe:
        at = data.index(b"\xff\xee")
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    _, picture = opened(data, MediaSettings(min_side=80))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(picture.pixels.astype(int) - expected).max() <= 1


def test_a_jpeg_that_simplejpeg_refuses_is_decoded_by_pillow() -> None:
    # One grey level and optimal codes: every block is the same two bits, so the sampling factors
    # can be rewritten to 3x1, 1x1, 1x1, which libjpeg reads and TurboJPEG has no name for.
    data = bytearray(
        encoded(Image.new("RGB", (24, 8), (128, 128, 128)), "JPEG", subsampling=0, optimize=True)
    )
    data[data.index(b"\xff\xc0") + 11] = 0x31
    media, picture = opened(bytes(data), MediaSettings(min_side=16))
    assert media.notes == ["decoder:pillow"]
    assert picture.pixels.shape == (8, 24, 3)
    assert (picture.pixels == 128).all()


# orientation

STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "TIFF lzw"])
def test_every_orientation_is_shown_upright(kind: str, orientation: int) -> None:
    image = quadrants()
    if orientation in STORED:
        image = image.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"compression": "tiff_lzw"} if kind == "TIFF lzw" else {}
    data = encoded(image, kind.removesuffix(" lzw"), exif=exif, **options)
    media, picture = opened(data)
    assert (media.facts.width, media.facts.height) == (WIDE, HIGH)
    assert picture.pixels.shape == (HIGH, WIDE, 3)
    assert close(corners(picture.pixels), [RED, GREEN, BLUE, WHITE], by=16)


def test_orientation_in_a_png_is_found_behind_the_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(quadrants().transpose(STORED[6]), "PNG", exif=exif)
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    media, picture = opened(moved)
    assert media.facts.exif["Orientation"] == 6
    assert corners(picture.pixels) == [RED, GREEN, BLUE, WHITE]


def test_heif_that_carries_its_own_rotation_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = quadrants().transpose(STORED[6])
    media, picture = opened(encoded(image, "HEIF", exif=exif.tobytes(), quality=95, chroma=444))
    assert (media.facts.width, media.facts.height) == (WIDE, HIGH)
    assert close(corners(picture.pixels), [RED, GREEN, BLUE, WHITE], by=8)


def test_corrupt_exif_is_a_note_and_never_fails_a_picture() -> None:
    media, picture = opened(encoded(quadrants(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert media.notes == ["exif.corrupt"]
    assert picture.pixels.shape == (HIGH, WIDE, 3)


# scaled against exact


def photographs() -> list[Path]:
    return [
        SKLEARN / "china.jpg",
        SKLEARN / "flower.jpg",
        SKIMAGE / "rocket.jpg",
        SKIMAGE / "retina.jpg",
    ]


@pytest.mark.parametrize("path", photographs(), ids=lambda path: path.stem)
@pytest.mark.parametrize("min_side", [64, 128, 256])
def test_scaled_pixels_stay_near_exact_ones(path: Path, min_side: int) -> None:
    data = path.read_bytes()
    _, scaled = opened(data, MediaSettings(min_side=min_side))
    _, exact = opened(data, MediaSettings(min_side=min_side, exact=True))
    assert scaled.pixels.shape == exact.pixels.shape
    difference = np.abs(scaled.pixels.astype(int) - exact.pixels.astype(int))
    # found at most 3.1 and 21 (china.jpg at 5/8: what is left is the DCT's sharper low-pass)
    assert difference.mean() <= 4
    assert np.percentile(difference, 99) <= 25


def test_exact_is_the_full_decode_scaled_by_area() -> None:
    data = (SKLEARN / "china.jpg").read_bytes()  # 640 x 427
    _, picture = opened(data, MediaSettings(min_side=100, exact=True))
    whole = simplejpeg.decode_jpeg(data, "RGB")
    assert picture.pixels.shape == (107, 160, 3)
    # 2/8: each pixel is the mean of 4 x 4; the last row has 3 to average, and repeats the last
    means = whole[:424].reshape(106, 4, 160, 4, 3).mean(axis=(1, 3))
    assert np.abs(picture.pixels[:106] - means).max() <= 0.5
    last = whole[[424, 425, 426, 426]].reshape(1, 4, 160, 4, 3).mean(axis=(1, 3))
    assert np.abs(picture.pixels[106:] - last).max() <= 0.5


@pytest.mark.parametrize("eighths", range(1, 9))
def test_strips_give_what_the_whole_gives(eighths: int) -> None:
    image = noise(wide=1501, high=1301)
    assert strip_rows(image.width) < image.height
    size = (-(-1501 * eighths // 8), -(-1301 * eighths // 8))
    found = scaled_rgb(image, size, eighths=eighths, alpha="white", notes=[])
    whole = np.pad(np.asarray(image), ((0, 3), (0, 3), (0, 0)), mode="edge")
    scale = (1504 * eighths // 8, 1304 * eighths // 8)
    expected = cv2.resize(whole, scale, interpolation=cv2.INTER_AREA)[: size[1], : size[0]]
    assert np.array_equal(found, expected)


# damage and bombs


def code_of(data: bytes, settings: MediaSettings = FULL) -> str:
    with pytest.raises(DecodeError) as caught:
        opened(data, settings)
    return caught.value.code


def test_no_bytes_are_empty() -> None:
    assert code_of(b"") == "decode.empty"
    with pytest.raises(DecodeError) as caught:
        raster.decode(Blob.of(b""), FULL, ByteGate(1))
    assert caught.value.code == "decode.empty"


def test_a_header_that_claims_ten_thousand_million_pixels_is_a_bomb() -> None:
    assert code_of(png(100_000, 100_000, 8, 2, zlib.compress(b"\0" * 1000))) == "decode.bomb"


def test_a_side_above_a_million_is_a_bomb() -> None:
    assert code_of(png(2_000_000, 10, 1, 0, zlib.compress(b"\0" * 1000))) == "decode.bomb"


def test_a_picture_above_the_recipes_limit_is_a_bomb_in_every_format() -> None:
    small = MediaSettings(min_side=16, max_pixels=WIDE * HIGH - 1)
    assert {name: code_of(data, small) for name, data in FORMATS.items()} == dict.fromkeys(
        FORMATS, "decode.bomb"
    )


def test_more_compressed_pixels_than_the_header_says_are_not_unpacked() -> None:
    # 64 MB of zeros behind a header of 10 x 10: the picture is 10 x 10
    _, picture = opened(png(10, 10, 8, 0, zlib.compress(bytes(2**26))))
    assert picture.pixels.shape == (10, 10, 3)


def test_a_progressive_jpeg_of_endless_scans_is_a_bomb() -> None:
    data = FORMATS["jpeg-progressive"]
    last = data.rindex(b"\xff\xda")
    assert code_of(data[:last] + data[last:-2] * 1001 + data[-2:]) == "decode.bomb"


def test_zero_sized_pictures_are_refused() -> None:
    assert code_of(png(0, 10, 8, 0, zlib.compress(b""))) == "decode.corrupt"
    jpeg = FORMATS["jpeg"]
    at = jpeg.index(b"\xff\xc0") + 5
    assert code_of(jpeg[:at] + bytes(2) + jpeg[at + 2 :]) == "decode.corrupt"


@pytest.mark.parametrize(
    "head",
    [b"8BPS\0\1" + bytes(100), b"\xff\x0a" + bytes(100), b"II*\0\x10\0\0\0CR\2\0" + bytes(99)],
)
def test_known_formats_that_are_not_read_are_unsupported(head: bytes) -> None:
    assert code_of(head) == "decode.unsupported"


def test_a_tiff_whose_first_page_is_a_preview_is_unsupported() -> None:
    assert code_of(encoded(quadrants(), "TIFF", tiffinfo={254: 1})) == "decode.unsupported"


def test_bytes_behind_the_last_pixel_are_a_note() -> None:
    data = FORMATS["jpeg"]
    media, picture = opened(data[:-2] + b"\x12" * 40 + data[-2:])
    assert media.notes == ["decode.extraneous"]
    assert np.array_equal(picture.pixels, opened(data)[1].pixels)


def test_a_large_blob_is_read_from_its_file(tmp_path: Path) -> None:
    for name, data in FORMATS.items():
        path = tmp_path / name
        path.write_bytes(data)

        def reopen(path: Path = path) -> BinaryIO:
            return path.open("rb")

        blob = Blob(data[:4096], len(data), None, reopen)
        media = raster.decode(blob, FULL, ByteGate(1))
        (picture,) = media.pictures
        assert np.array_equal(picture.pixels, opened(data)[1].pixels), name
        assert media.notes == opened(data)[0].notes


def test_pictures_that_are_never_asked_for_leave_no_open_file(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(FORMATS["png"])
    files: list[BinaryIO] = []

    def reopen() -> BinaryIO:
        files.append(path.open("rb"))
        return files[-1]

    raster.decode(Blob(FORMATS["png"][:4096], 99, None, reopen), FULL, ByteGate(1))
    assert files
    assert all(file.closed for file in files)


def test_a_failing_disk_is_not_the_files_fault() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002 - the file's signature
            raise OSError(5, "Input/output error")

    blob = Blob(FORMATS["png"][:4096], 99, None, lambda: Failing(b""))
    with pytest.raises(FetchError) as caught:
        raster.decode(blob, FULL, ByteGate(1))
    assert caught.value.code == "fetch.failed"


class WatchedGate:
    """Counts what is held; a real gate that never waits."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.held = 0

    def hold(self, decoded_bytes: int) -> WatchedGate:
        self.asked.append(decoded_bytes)
        return self

    def __enter__(self) -> None:
        self.held += 1

    def __exit__(self, *_: object) -> None:
        self.held -= 1


@pytest.mark.parametrize("name", FORMATS)
def test_the_gate_is_held_while_decoding_and_free_when_the_picture_is_out(name: str) -> None:
    gate = WatchedGate()
    pictures: Iterator[Any] = raster.decode(Blob.of(FORMATS[name]), FULL, gate).pictures
    assert gate.held == 0
    next(pictures)
    assert gate.held == 0
    assert gate.asked[-1] >= WIDE * HIGH * 3


@pytest.mark.parametrize("name", FORMATS)
def test_a_reduced_picture_can_be_had_in_full_size_within_the_gate(name: str) -> None:
    gate, small = WatchedGate(), MediaSettings(min_side=16)
    (exact,) = raster.decode(Blob.of(FORMATS[name]), FULL, WatchedGate()).pictures
    media = raster.decode(Blob.of(FORMATS[name]), small, gate, full_size=True)
    (picture,) = media.pictures
    notes = list(media.notes)
    assert picture.pixels.shape[0] < HIGH
    assert picture.whole is not None
    for _ in range(2):
        with picture.whole() as pixels:
            assert gate.held == 1
            assert gate.asked[-1] >= pixels.nbytes
            assert np.array_equal(pixels, exact.pixels)
        assert gate.held == 0
    assert media.notes == notes
    (unasked,) = raster.decode(Blob.of(FORMATS[name]), small, gate).pictures
    assert unasked.whole is None


def test_a_picture_that_is_decoded_in_full_is_not_decoded_again() -> None:
    gate = WatchedGate()
    (picture,) = raster.decode(Blob.of(FORMATS["jpeg"]), FULL, gate, full_size=True).pictures
    asked = len(gate.asked)
    assert picture.whole is not None
    with picture.whole() as pixels:
        assert pixels is picture.pixels
    assert len(gate.asked) == asked


@pytest.mark.parametrize("min_side", [16, 4096])
@pytest.mark.parametrize("name", FORMATS)
def test_copies_of_the_full_size_are_asked_for_with_it(name: str, min_side: int) -> None:
    gate, settings = WatchedGate(), MediaSettings(min_side=min_side)
    blob = Blob.of(FORMATS[name])
    (picture,) = raster.decode(blob, settings, gate, full_size=True, copies=50.5).pictures
    before = len(gate.asked)
    assert picture.whole is not None
    with picture.whole() as pixels:
        assert gate.held == 1
        # At once: who holds bytes must not ask for more.
        (asked,) = gate.asked[before:]
        assert asked >= 50.5 * pixels.nbytes
        assert asked <= 51.5 * pixels.nbytes + blob.size
    assert gate.held == 0


@pytest.mark.parametrize("fails", ["the first time", "always"])
def test_memory_for_the_full_size_is_tried_for_alone_too(
    monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    gate, decode_jpeg = WatchedGate(), raster.decode_jpeg
    small = MediaSettings(min_side=16)
    (picture,) = raster.decode(Blob.of(FORMATS["jpeg"]), small, gate, full_size=True).pictures
    assert picture.whole is not None

    def short_of_memory(*args: Any, **options: Any) -> Any:
        if fails == "always" or gate.asked[-1] != raster.ALONE:
            raise MemoryError
        return decode_jpeg(*args, **options)

    monkeypatch.setattr(raster, "decode_jpeg", short_of_memory)
    if fails == "always":
        with pytest.raises(DecodeError, match="not enough memory, decoded alone"), picture.whole():
            pass
    else:
        with picture.whole() as pixels:
            assert pixels.shape == (HIGH, WIDE, 3)
            assert gate.held == 1
    assert gate.held == 0


def test_memory_that_others_took_is_tried_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = WatchedGate()
    decode_jpeg = raster.decode_jpeg

    def short_of_memory(*args: Any, **options: Any) -> Any:
        if gate.asked[-1] != raster.ALONE:
            raise MemoryError
        return decode_jpeg(*args, **options)

    monkeypatch.setattr(raster, "decode_jpeg", short_of_memory)
    (picture,) = raster.decode(Blob.of(FORMATS["jpeg"]), FULL, gate).pictures
    assert close(corners(picture.pixels), [RED, GREEN, BLUE, WHITE], by=8)


# real photographs


@pytest.mark.parametrize(
    "path", sorted(SKIMAGE.glob("*.[jpg][pni][gf]")), ids=lambda path: path.name
)
def test_scikit_images_pictures_are_what_pillow_reads(path: Path) -> None:
    _, picture = opened(path.read_bytes(), MediaSettings(min_side=10_000))
    with Image.open(path) as image:
        if image.has_transparency_data or image.mode.startswith("I"):
            pytest.skip("alpha and depth follow rules of our own, tested above")
        assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs the photographs of ../shared/corpora/photos")
def test_all_shared_photographs_decode() -> None:
    paths = sorted(PHOTOS.glob("*.jpg"))
    formats = {path.name: opened(path.read_bytes())[0].facts.format for path in paths}
    assert len(formats) == 53
    # an extension that lies: img47.jpg is a WebP
    assert {name for name, kind in formats.items() if kind != "JPEG"} == {"img47.jpg"}


@pytest.mark.parametrize("compression", [None, "tiff_deflate"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_whose_white_is_zero_is_no_negative(compression: str | None, depth: type) -> None:
    most = np.iinfo(depth).max
    levels = np.linspace(0, most, 64).astype(depth).reshape(8, 8)
    # Pillow turns what it writes so with 8 bits, and not with 16.
    stored = levels if depth == np.uint8 else most - levels
    image = Image.fromarray(stored)
    _, picture = opened(encoded(image, "TIFF", tiffinfo={262: 0}, compression=compression))
    assert picture.pixels[..., 0].tolist() == (levels >> (8 if depth == np.uint16 else 0)).tolist()
