"""The first part of a still image's file enters; what it says of itself leaves, before any pixel.

Decision, 2026-11: Pillow's plugins are called one by one, after our own look at the first bytes,
and never through `Image.open`. So no plugin runs that a corpus should not reach, no state of
Pillow's is changed, and the limit on pixels is the recipe's. Drawback: inside WebP, GIF and TIFF
Pillow's own limit (179 million pixels, `decode.bomb`) still holds where the recipe's is larger.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Jpeg2KImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from imgbatch.errors import DecodeError
from imgbatch.media.exif import Exif, read_exif
from imgbatch.media.jpeg import QuietJpeg, Scans, check_scans, scans_of
from imgbatch.media.jpeg_header import read_jpeg_header
from imgbatch.media.sniff import png_after_pixels, webp_size
from imgbatch.records import Facts

if TYPE_CHECKING:
    from typing import BinaryIO

    from imgbatch.media import Blob, Gate
    from imgbatch.settings import MediaSettings

MAX_SIDE = 1_000_000
WEBP_CANVAS_BYTES = 8
_MOVING = {"GIF", "WEBP", "PNG", "AVIF"}
_SUBFILE_TYPE, _OFFSETS, _COUNTS = 254, 273, 279
_END_BYTES = 512

_OPENERS: dict[str, Any] = {
    "JPEG": QuietJpeg,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a file before its pixels are decoded.

    Attributes:
        stored: (width, height) as Pillow decodes them, before `orientation`.
        orientation: 1 to 8, how the decoded pixels are still to be turned.
        scans: of a JPEG.
    """

    facts: Facts
    stored: tuple[int, int]
    orientation: int
    notes: list[str]
    scans: Scans | None


def read_header(blob: Blob, name: str, settings: MediaSettings, gate: Gate) -> Header:
    """Read the header of a still image.

    Args:
        blob: the file.
        name: its format, one of `sniff.format_of`.
        settings: `max_pixels` is looked at before anything of the picture's size is allocated.
        gate: holds a WebP's canvas, which Pillow allocates as it opens the file.

    Raises:
        DecodeError: decode.bomb; whatever else Pillow raises passes as it is.
    """
    ordinary = _ordinary_jpeg(blob, settings) if name == "JPEG" else None
    if ordinary is not None:
        return ordinary
    canvas = webp_size(blob.head) if name == "WEBP" else (0, 0)
    _check_size(canvas, settings)
    with gate.hold(canvas[0] * canvas[1] * WEBP_CANVAS_BYTES), blob.open() as file:
        image = open_plugin(name, file)
        _check_size(image.size, settings)
        notes: list[str] = []
        scans = _scans(image, blob, file) if name == "JPEG" else None
        exif = _exif(name, image, file, notes)
        animated = _count(name, image, notes)
        if name == "TIFF":
            _check_page(image)
        _look_at_end(name, image, blob, file, notes)
        _look_at_depth(image, notes)
        # Pillow turns TIFF by itself, and libheif HEIF.
        orientation = 1 if name in {"TIFF", "HEIF"} else exif.orientation
        stored = image.size
        wide, high = reversed(stored) if orientation >= 5 else stored  # noqa: PLR2004 - see pixels.upright
        facts = Facts("image", name, image.mode, wide, high, animated=animated, exif=exif.values)
    return Header(facts, stored, orientation, notes, scans)


def _ordinary_jpeg(blob: Blob, settings: MediaSettings) -> Header | None:
    """Read the header of a JPEG without Pillow, if it is an ordinary one in memory."""
    found = read_jpeg_header(blob.data) if blob.data is not None else None
    if found is None:
        return None
    stored = (found.width, found.height)
    _check_size(stored, settings)
    if found.progressive:
        check_scans(blob.read())
    notes = ["pages"] if found.multiple else []
    exif = read_exif(io.BytesIO(found.exif)) if found.exif else Exif()
    if exif.corrupt:
        notes.insert(0, "exif.corrupt")
    wide, high = reversed(stored) if exif.orientation >= 5 else stored  # noqa: PLR2004 - see pixels.upright
    facts = Facts("image", "JPEG", found.mode, wide, high, exif=exif.values)
    scans = Scans(single=found.interleaved and not found.progressive, samples=found.samples)
    return Header(facts, stored, exif.orientation, notes, scans)


def open_plugin(name: str, file: BinaryIO) -> Any:
    """Open by Pillow's plugin of that name: the header is read, no pixel."""
    if name == "HEIF":
        from pillow_heif import HeifImageFile  # noqa: PLC0415 - a heavy import, a rare format

        return HeifImageFile(file, "")  # type: ignore[no-untyped-call] # it ships no types
    return _OPENERS[name](file, "")


def _check_size(size: tuple[int, int], settings: MediaSettings) -> None:
    width, height = size
    if width * height > settings.max_pixels or max(width, height) > MAX_SIDE:
        raise DecodeError(
            "decode.bomb",
            f"{width} x {height} pixels; at most {settings.max_pixels} and {MAX_SIDE} a side",
        )


def _scans(image: QuietJpeg, blob: Blob, file: BinaryIO) -> Scans:
    if "progressive" in image.info:
        check_scans(blob.read())
    length = 4 + 2 * len(image.layer)
    file.seek(max(0, file.tell() - length))
    return scans_of(image, file.read(length))


def _exif(name: str, image: Any, file: BinaryIO, notes: list[str]) -> Exif:
    if name == "TIFF":
        found = read_exif(file)
    else:
        block = image.info.get("exif") or b""
        if name == "PNG" and not block:
            block = _text_exif(image) or png_after_pixels(file)[0]
        block = block.removeprefix(b"Exif\0\0")
        found = read_exif(io.BytesIO(block)) if block else Exif()
    if found.corrupt:
        notes.append("exif.corrupt")
    return found


def _text_exif(image: PngImagePlugin.PngImageFile) -> bytes:
    """Return the EXIF block that older ImageMagick writes into a PNG as text, in hexadecimal."""
    text = image.info.get("Raw profile type exif", "")
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:]))
    except ValueError:
        return b"not hexadecimal"


def _count(name: str, image: Any, notes: list[str]) -> bool:
    """Note further frames or pages; say whether the image moves."""
    if name == "JPEG":
        more = "mp" in image.info
    elif name == "GIF":
        more = _gif_moves(image)
    else:
        more = bool(getattr(image, "is_animated", False))
    animated = more and name in _MOVING
    if more:
        notes.append("animated" if animated else "pages")
    return animated


def _gif_moves(image: GifImagePlugin.GifImageFile) -> bool:
    """Say whether there is a second frame; a damaged one is one, and no fault of the first."""
    try:
        return bool(image.is_animated)
    except Exception:  # noqa: BLE001 - as in boundary.py; only the first frame is decoded
        return True


def _look_at_end(name: str, image: Any, blob: Blob, file: BinaryIO, notes: list[str]) -> None:
    """Note a file whose end is missing; whether its pixels are complete, decoding tells."""
    if name == "PNG":
        cut = not png_after_pixels(file)[1]
    elif name == "GIF":
        file.seek(max(0, blob.size - _END_BYTES))
        cut = not file.read().rstrip(b"\0").endswith(b"\0;")
    elif name == "TIFF":
        strips = zip(image.tag_v2.get(_OFFSETS, ()), image.tag_v2.get(_COUNTS, ()), strict=False)
        cut = any(at + length > blob.size for at, length in strips)
    else:
        cut = False
    if cut:
        notes.append("decode.tail")


def _check_page(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse a TIFF whose first page is a small copy of the picture: camera raw files have that."""
    if int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & 1:
        raise DecodeError("decode.unsupported", "camera raw: the first page is only a preview")


def _look_at_depth(image: Any, notes: list[str]) -> None:
    """Note colour channels of more than 8 bits, of which Pillow keeps the high 8."""
    if image.info.get("bit_depth", 8) > 8:  # noqa: PLR2004 - libheif tells the depth
        notes.append(f"depth:{image.info['bit_depth']}")
    arguments = image.tile[0].args if image.tile else ""
    raw_mode = arguments if isinstance(arguments, str) else str(arguments[0])
    if ";16" in raw_mode and not image.mode.startswith("I"):
        notes.append("depth:16")
