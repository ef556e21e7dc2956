"""Tiny pictures of every format, made here: four quadrants of known colours."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pillow_heif import from_pillow

from imgbatch.media import Blob, decoder
from imgbatch.media.gate import ByteGate
from imgbatch.settings import MediaSettings

if TYPE_CHECKING:
    from imgbatch.media import Media
    from imgbatch.records import Picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
WIDE, HIGH = 64, 48
FULL = MediaSettings(min_side=HIGH)


def quadrants() -> Image.Image:
    """64 x 48: red and green above, blue and white below."""
    pixels = np.empty((HIGH, WIDE, 3), np.uint8)
    pixels[:24, :32], pixels[:24, 32:] = RED, GREEN
    pixels[24:, :32], pixels[24:, 32:] = BLUE, WHITE
    return Image.fromarray(pixels)


def noise(*, wide: int = 96, high: int = 80) -> Image.Image:
    """A smooth ground with noise on it: every byte of a file of it matters."""
    random = np.random.default_rng(7)
    ground = np.linspace(0, 200, wide)[None, :, None] * np.ones((high, 1, 3))
    return Image.fromarray((ground + random.integers(0, 55, (high, wide, 3))).astype(np.uint8))


def encoded(image: Image.Image, format_name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    if format_name == "HEIF":
        from_pillow(image).save(out, **options)
    else:
        image.save(out, format_name, **options)
    return out.getvalue()


def every_format(image: Image.Image) -> dict[str, bytes]:
    """One RGB picture in each format and coding that differs inside."""
    palette = image.quantize(256)
    other = image.transpose(Image.Transpose.ROTATE_180)
    return {
        "jpeg": encoded(image, "JPEG", quality=95, subsampling=0),
        "jpeg-420": encoded(image, "JPEG", quality=95, subsampling=2),
        "jpeg-progressive": encoded(image, "JPEG", quality=95, subsampling=0, progressive=True),
        "jpeg-restarts": encoded(image, "JPEG", quality=95, subsampling=0, restart_marker_rows=1),
        "jpeg-cmyk": encoded(image.convert("CMYK"), "JPEG", quality=95),
        "png": encoded(image, "PNG"),
        "png-palette": encoded(palette, "PNG"),
        "png-animated": encoded(image, "PNG", save_all=True, append_images=[other]),
        "gif": encoded(palette, "GIF"),
        "gif-animated": encoded(palette, "GIF", save_all=True, append_images=[other.quantize(256)]),
        "webp": encoded(image, "WEBP", quality=95),
        "webp-lossless": encoded(image, "WEBP", lossless=True),
        "webp-animated": encoded(image, "WEBP", save_all=True, append_images=[other]),
        "tiff": encoded(image, "TIFF"),
        "tiff-lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": encoded(image, "TIFF", compression="jpeg", quality=95),
        "tiff-big": encoded(image, "TIFF", big_tiff=True),
        "tiff-pages": encoded(image, "TIFF", save_all=True, append_images=[other]),
        "bmp": encoded(image, "BMP"),
        "ppm": encoded(image, "PPM"),
        "jpeg2000": encoded(image, "JPEG2000"),
        "jpeg2000-stream": encoded(image, "JPEG2000", no_jp2=True),
        "avif": encoded(image, "AVIF", quality=95, subsampling="4:4:4"),
        "avif-animated": encoded(
            image, "AVIF", quality=95, subsampling="4:4:4", save_all=True, append_images=[other]
        ),
        "heif": encoded(image, "HEIF", quality=95, chroma=444),
    }


def opened(data: bytes, settings: MediaSettings = FULL) -> tuple[Media, Picture]:
    """Decode through the dispatcher; a still image has exactly one picture."""
    blob = Blob.of(data)
    module = decoder(blob.head)
    assert module is not None, "no decoder claims these bytes"
    media = module.decode(blob, settings, ByteGate(2**28))
    (picture,) = media.pictures
    return media, picture


def corners(pixels: np.ndarray[Any, Any]) -> list[tuple[int, ...]]:
    """Colours of the middles of the four quadrants, row by row."""
    high, wide = pixels.shape[:2]
    return [
        tuple(int(v) for v in pixels[y, x])
        for y in (high // 4, high * 3 // 4)
        for x in (wide // 4, wide * 3 // 4)
    ]
