"""A loaded Pillow image of any mode enters; upright RGB pixels of the wanted size leave.

Large images are converted strip by strip, so that next to the image itself only a strip and the
scaled result exist. Scaling is by area (OpenCV's INTER_AREA), to n/8 of full size.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from PIL import ImageCms

from imgbatch.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL import Image

    RGB = NDArray[np.uint8]

STRIP_PIXELS = 2**18
_BYTE, _WORD = 255, 65535
_PHOTOMETRIC = 262
_GROUNDS = {"white": 255, "black": 0}
_CONVERTIBLE = {"1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX"}


def target_size(width: int, height: int, min_side: int) -> tuple[int, int]:
    """Return the size to decode to: n/8 of full size, n by `eighths_of`, each side rounded up."""
    n = eighths_of(width, height, min_side)
    return -(-width * n // 8), -(-height * n // 8)


def eighths_of(width: int, height: int, min_side: int) -> int:
    """Return the smallest n of 1 to 8 at which no side of n/8, rounded up, is below `min_side`.

    8 when there is none: a small picture stays as it is. These are libjpeg's own steps.
    """
    for n in range(1, 8):
        if min(-(-width * n // 8), -(-height * n // 8)) >= min_side:
            return n
    return 8


def upright(pixels: RGB, orientation: int) -> RGB:
    """Return the pixels turned as EXIF's Orientation says (Exif 2.32, 4.6.4 A), contiguous."""
    if orientation >= 5:  # noqa: PLR2004 - 5 to 8 are stored with rows and columns exchanged
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def scaled_rgb(
    image: Image.Image, size: tuple[int, int], *, eighths: int, alpha: str, notes: list[str]
) -> RGB:
    """Convert a loaded image of any mode to RGB, scaled by area.

    Args:
        image: any mode that Pillow decodes to.
        size: (width, height) of the result.
        eighths: n of the scale n/8.
        alpha: what shows through transparency: `white`, `black`, or `drop` the channel.
        notes: gets `alpha:RULE` when a pixel was not opaque, and `depth:...` where more than
            eight bits were reduced (see `_words` and `_stretch`).

    Returns:
        (size[1], size[0], 3) uint8.

    Raises:
        DecodeError: decode.unsupported, a mode that has no rule.
    """
    convert = _converter(image, alpha, notes)
    result = np.empty((size[1], size[0], 3), np.uint8)
    for top, strip in strips(image):
        _put(result, convert(strip), top=top, eighths=eighths)
    return result


def scaled(pixels: RGB, size: tuple[int, int], *, eighths: int) -> RGB:
    """Return (height, width, 3) pixels scaled by area to n/8, `size` = (width, height)."""
    result = np.empty((size[1], size[0], 3), np.uint8)
    rows = strip_rows(pixels.shape[1])
    for top in range(0, pixels.shape[0], rows):
        _put(result, pixels[top : top + rows], top=top, eighths=eighths)
    return result


def strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield (top row, strip) from top to bottom, each of `strip_rows` rows."""
    rows = strip_rows(image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def strip_rows(width: int) -> int:
    """Return how many rows are converted at once: a multiple of 8, about STRIP_PIXELS."""
    return max(1, STRIP_PIXELS // width // 8) * 8


def _put(result: RGB, strip: RGB, *, top: int, eighths: int) -> None:
    """Scale a strip by area to n/8 and lay it into the result.

    The scale is n/8 exactly, not the ratio of the rounded sizes: an edge that is no multiple of 8
    is continued first, and what exceeds the result is cut. libjpeg does the same with its blocks
    of 8 x 8. So scaled and exact JPEGs, and the same picture as JPEG and as PNG, lie pixel upon
    pixel; and strips of 8k rows give what the whole would.
    """
    high, wide = -(-strip.shape[0] // 8), -(-strip.shape[1] // 8)
    right, below = wide * 8 - strip.shape[1], high * 8 - strip.shape[0]
    if eighths < 8:  # noqa: PLR2004 - 8/8 is full size
        if right or below:
            padded = cv2.copyMakeBorder(strip, 0, below, 0, right, cv2.BORDER_REPLICATE)
            strip = cast("RGB", padded)
        small = (wide * eighths, high * eighths)
        strip = cast("RGB", cv2.resize(strip, small, interpolation=cv2.INTER_AREA))
    place = result[top // 8 * eighths :][: strip.shape[0]]
    place[...] = strip[: place.shape[0], : place.shape[1]]


def _converter(image: Image.Image, alpha: str, notes: list[str]) -> Callable[[Image.Image], RGB]:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        _note(notes, "depth:16")
        inverted = _white_is_zero(image)
        return lambda strip: _words(strip, inverted=inverted)
    if mode in {"I", "F"}:
        low, high, name = _value_range(image)
        _note(notes, f"depth:32:{name}")
        return lambda strip: _stretch(strip, low, high)
    if image.has_transparency_data:
        return lambda strip: _composite(strip, alpha, notes)
    if mode == "RGB":
        return np.asarray
    if mode == "LAB":
        return lambda strip: np.asarray(ImageCms.applyTransform(strip, _lab_transform()))
    if mode in _CONVERTIBLE:
        return lambda strip: np.asarray(strip.convert("RGB"))
    raise DecodeError("decode.unsupported", f"no rule for pixels of mode {mode}")


def _note(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)


def _composite(strip: Image.Image, alpha: str, notes: list[str]) -> RGB:
    """Lay a strip with transparency over the ground; rounds to the nearest level."""
    if strip.mode == "La":
        strip = strip.convert("LA")
    rgba = np.asarray(strip.convert("RGBA"))
    colour, opacity = rgba[..., :3], rgba[..., 3:]
    if int(opacity.min()) == _BYTE:
        return np.ascontiguousarray(colour)
    _note(notes, f"alpha:{alpha}")
    if alpha == "drop":
        return np.ascontiguousarray(colour)
    weight = opacity.astype(np.uint16)
    mixed = colour * weight + (_BYTE - weight) * np.uint16(_GROUNDS[alpha])
    return ((mixed + _BYTE // 2) // _BYTE).astype(np.uint8)


def _words(strip: Image.Image, *, inverted: bool) -> RGB:
    """Reduce 16-bit levels to 8: the high byte, whatever the values, so that pictures compare."""
    levels = (np.asarray(strip).astype(np.int64) >> 8).clip(0, _BYTE)
    return _grey(_BYTE - levels if inverted else levels)


def _white_is_zero(image: Image.Image) -> bool:
    """Tell whether 0 is white, as scans and X-rays in TIFF have it; Pillow turns 8 bits only."""
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_PHOTOMETRIC, 1) == 0)


def _stretch(strip: Image.Image, low: float, high: float) -> RGB:
    """Map low..high to 0..255, rounding; values that are no number become 0."""
    values = np.asarray(strip).astype(np.float64)
    with np.errstate(invalid="ignore"):
        levels = (values - low) * (_BYTE / (high - low))
    return _grey(np.nan_to_num(levels, nan=0.0).clip(0, _BYTE).round())


def _grey(levels: NDArray[Any]) -> RGB:
    return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)


def _value_range(image: Image.Image) -> tuple[float, float, str]:
    """Decide what black and white are in 32-bit values, which no file says.

    The smallest of 0..1 (floats only), 0..255 and 0..65535 that holds every finite value; else
    the values' own range. The name of the choice goes into the notes.
    """
    low, high = np.inf, -np.inf
    for _, strip in strips(image):
        values = np.asarray(strip).astype(np.float64)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        return 0.0, 1.0, "empty"
    for top, name in ((1, "unit"), (_BYTE, "byte"), (_WORD, "word")):
        if low >= 0 and high <= top and not (name == "unit" and image.mode == "I"):
            return 0.0, float(top), name
    return low, high if high > low else low + 1, "own"


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
