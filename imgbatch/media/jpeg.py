"""The bytes of a JPEG enter; its RGB pixels leave, scaled inside the DCT or exactly by area.

libjpeg-turbo decodes (through simplejpeg, which tells libjpeg's first warning); what simplejpeg
refuses (unusual subsampling) Pillow decodes, which tells none. libjpeg fills what is missing with
grey and only warns, so every warning is looked at here: it is damage, unless it is one of those
that whole pictures give.

Decision, 2026-11: bytes left over before a restart marker, or between scans, are damage, but for a
few before a restart marker, where some webcams pad: these are the note `decode.hole`. Drawback:
behind them libjpeg tells no other hole. Bytes left over at the end are a note, as whole pictures
have them too: `decode.extraneous` where all are of one value, which fills up, and `decode.hole`
otherwise. Zeros in place of the data, the commonest hole, fail a picture where they
cannot be one (see `jpeg_scan`); where they could be a flat area they are `decode.hole`, if bytes
are left over. What leaves no trace stays unseen: a hole after which the codes fall into step again,
with as many blocks as before.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import simplejpeg
from PIL import JpegImagePlugin

from imgbatch.errors import DecodeError
from imgbatch.media.jpeg_scan import (
    EOI,
    is_padding,
    plainly_headed,
    zeros_are_no_picture,
    zeros_in_scan,
)
from imgbatch.media.pixels import scaled, scaled_rgb

if TYPE_CHECKING:
    from imgbatch.media.pixels import RGB

MAX_SCANS = 1000
SOS = b"\xff\xda"

# What libjpeg and TurboJPEG say, in their own words.
_CUT = "Premature end of JPEG file"
_HOLES = (
    "premature end of data segment",
    "bad Huffman code",
    "bad arithmetic code",
    "instead of RST",
    "extraneous bytes before marker",
)
_AFTER_PIXELS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_BEFORE_RESTART = re.compile(r"(\d+) extraneous bytes before marker 0xd[0-7]")
FEW = 8
# Whole pictures of odd writers have these too. Bytes are left over between a header's segments.
_ODD_HEADER = (
    "extraneous bytes before marker",
    "unknown JFIF revision number",
    "Unknown Adobe color transform code",
    "Invalid SOS parameters for sequential JPEG",
    "bad ICC marker",
)
# A scan that comes twice changes nothing, and one that is missing looks the same.
_REPEATED = "Inconsistent progression sequence"


class QuietJpeg(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG plugin, less its look for a resolution in the EXIF block.

    It is of no use here, costs time with every photograph, and warns of damaged blocks.
    """

    def _read_dpi_from_exif(self) -> None:
        """Read nothing."""


@dataclass(frozen=True, slots=True)
class Scans:
    """How a JPEG's coefficients lie in the file.

    Attributes:
        single: one sequential scan holds all components, so that nothing but the scan's own end
            decides whether the picture is complete.
        samples: samples per pixel over all components, 1.5 for 4:2:0.
    """

    single: bool
    samples: float


def scans_of(image: QuietJpeg, head: bytes) -> Scans:
    """Read how the scans lie from an opened, not yet loaded JPEG.

    Args:
        image: as Pillow opened it; its file stands behind the first scan's header.
        head: that scan header's last bytes, 4 + 2 per component.
    """
    components = len(image.layer)
    widest = max((h * v for _, h, v, _ in image.layer), default=1) or 1
    samples = sum(h * v for _, h, v, _ in image.layer) / widest
    single = "progressive" not in image.info and head[:1] == bytes([components])
    return Scans(single, samples)


def check_scans(data: bytes) -> None:
    """Refuse a progressive JPEG of so many scans that it only serves to burn time.

    Raises:
        DecodeError: decode.bomb.
    """
    count = data.count(SOS)
    if count > MAX_SCANS:
        raise DecodeError("decode.bomb", f"{count} scans; a JPEG needs 10, {MAX_SCANS} are allowed")


def decode_jpeg(
    data: bytes,
    full: tuple[int, int],
    size: tuple[int, int],
    *,
    eighths: int,
    scans: Scans,
    exact: bool,
    notes: list[str],
) -> RGB:
    """Decode a JPEG to `size`.

    Args:
        data: the whole file.
        full: (width, height) by the header.
        size: (width, height) wanted.
        eighths: n of the scale n/8 from `full` to `size`.
        scans: how the coefficients lie.
        exact: decode in full, then scale by area.
        notes: gets `decode.tail`, `decode.extraneous`, `decode.hole`, `header.odd` or
            `decoder:pillow`.

    Returns:
        (size[1], size[0], 3) uint8, as stored (not turned).

    Raises:
        DecodeError: decode.truncated, data are missing; decode.corrupt.
    """
    if exact:
        pixels = _decode(data, full, 8, scans=scans, notes=notes)
        return pixels if eighths == 8 else scaled(pixels, size, eighths=eighths)  # noqa: PLR2004 - 8/8
    return _decode(data, size, eighths, scans=scans, notes=notes)


def _decode(
    data: bytes,
    size: tuple[int, int],
    eighths: int,
    *,
    scans: Scans,
    notes: list[str],
) -> RGB:
    try:
        pixels = _turbo(data, size)
    except ValueError as error:
        warning = str(error)
    else:
        _refuse_zeros(data, scans)
        return pixels
    if warning == _CUT:
        pixels = _without_end(data, size, scans)
        notes.append("decode.tail")
        return pixels
    if note := _left_over(data, scans, warning):
        pixels = _turbo(data, size, strict=False)
        notes.append(note)
        return pixels
    odd = any(odd in warning for odd in _ODD_HEADER)
    if odd and (plain := plainly_headed(data)) not in {b"", data}:
        pixels = _decode(plain, size, eighths, scans=scans, notes=notes)
        notes.append("header.odd")
        return pixels
    if any(hole in warning for hole in _HOLES):
        raise DecodeError("decode.truncated", f"JPEG data are missing: {warning}")
    if odd:
        return _turbo(data, size, strict=False)
    # That is all that libjpeg warns of: the rest are errors and refusals, where Pillow has a say.
    notes.append("decoder:pillow")
    return _pillow(data, size, eighths, notes=notes)


def _refuse_zeros(data: bytes, scans: Scans, spare: int = 0) -> None:
    if scans.single and zeros_in_scan(data, spare=spare) and zeros_are_no_picture(data):
        raise DecodeError("decode.truncated", "JPEG data are missing: zeros are in their place")


def _left_over(data: bytes, scans: Scans, warning: str) -> str | None:
    """Return the note for what whole pictures have too; None: the warning is of no such.

    Some writers fill up behind the last pixel, with one value. Others are data that found no place.
    """
    between = _BEFORE_RESTART.search(warning)
    if _REPEATED in warning or (between and int(between[1]) <= FEW):
        _refuse_zeros(data, scans)
        return "decode.hole"
    after = _AFTER_PIXELS.search(warning)
    if not after:
        return None
    spare = int(after[1])
    _refuse_zeros(data, scans, spare)
    whole = is_padding(data, spare) and not zeros_in_scan(data, spare=spare)
    return "decode.extraneous" if whole else "decode.hole"


def _turbo(data: bytes, size: tuple[int, int], *, strict: bool = True) -> RGB:
    wide, high = size
    # A buffer of our own: a header that libjpeg reads otherwise than Pillow cannot make it larger.
    buffer = np.empty((high, wide, 3), np.uint8)
    pixels = simplejpeg.decode_jpeg(
        data, "RGB", min_height=high, min_width=wide, buffer=buffer, strict=strict
    )
    if pixels.shape != buffer.shape:
        raise DecodeError("decode.corrupt", f"header says {buffer.shape}, data {pixels.shape}")
    return cast("RGB", pixels)


def _without_end(data: bytes, size: tuple[int, int], scans: Scans) -> RGB:
    """Decode a file without end marker, if its pixels are all there.

    With an end marker put behind it, libjpeg warns when it had to invent as much as one
    coefficient. That proves nothing when later scans may be missing.
    """
    cut = f"the file ends after {len(data)} bytes, before its end marker"
    if not scans.single:
        raise DecodeError("decode.truncated", cut)
    _refuse_zeros(data, scans)
    try:
        return _turbo(data.removesuffix(EOI[:1]) + EOI, size)
    except ValueError as error:
        raise DecodeError("decode.truncated", f"{cut}: {error}") from error


def _pillow(data: bytes, size: tuple[int, int], eighths: int, *, notes: list[str]) -> RGB:
    """Decode with Pillow, at 1/1, 1/2, 1/4 or 1/8 inside the DCT, and scale the rest by area."""
    with QuietJpeg(io.BytesIO(data), "") as image:
        step = 8 // eighths
        step = 1 << (step.bit_length() - 1)
        if step > 1:
            image.draft(None, (image.width // step, image.height // step))
        image.load()
        return scaled_rgb(image, size, eighths=eighths * step, alpha="drop", notes=notes)
