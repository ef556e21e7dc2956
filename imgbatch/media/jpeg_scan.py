"""The bytes of a JPEG enter; what they say of its first scan, and of holes in it, without decoding.

Read as libjpeg reads: over junk between segments. Only asked where something is already odd.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
# So many zeros are 512 bits of the same code: more than any block of a picture has by chance.
ZEROS = bytes(64)
_BEGUN = 16

_MARKER = re.compile(rb"\xff([^\x00\xff])")
_ALONE = {0x01, *range(0xD0, 0xD8)}
_SOF0, _SOF1, _DHT, _SOS, _APP0, _APP14, _COM = 0xC0, 0xC1, 0xC4, 0xDA, 0xE0, 0xEE, 0xFE
_NOT_FRAMES = {_DHT, 0xC8, 0xCC}
_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_ADOBE, _TRANSFORM = b"Adobe\0\x64\0\0\0\0", 11
_ALL_COEFFICIENTS = b"\0\x3f\0"


def zeros_in_scan(data: bytes, *, spare: int = 0) -> bool:
    """Say whether a run of ZEROS lies, or begins, in the coded data of the first scan.

    Args:
        data: the whole file.
        spare: how many bytes before the first end marker are not the scan's own.
    """
    if ZEROS not in data:
        return False
    start, end = _first_scan(data)
    # libjpeg reads some bytes ahead, and does not count them as spare.
    last = end - spare + len(ZEROS) - _BEGUN if spare > len(ZEROS) else end - spare
    return data.find(ZEROS, start, max(start, last)) >= 0


def is_padding(data: bytes, spare: int) -> bool:
    """Say whether the `spare` bytes before the first end marker are all the same."""
    _, end = _first_scan(data)
    return data.count(data[end - 1 : end], end - spare, end) == spare


def zeros_are_no_picture(data: bytes) -> bool:
    """Say whether no encoder writes ZEROS into a single sequential scan of this file.

    The code of zero bits alone is the first of its Huffman table. Where it ends a block, zeros are
    a flat area, and intact files have thousands. Where it is one coefficient, as in the standard's
    table for brightness, zeros are a hundred coefficients in a row of one and the same value.
    """
    first: dict[int, int] = {}
    for marker, body, _ in _segments(data):
        if marker == _DHT:
            first.update(_first_symbols(body))
        elif marker == _SOS:
            tables = body[2 : 1 + 2 * body[0] : 2] if body else b""
            return any(0 < first.get(0x10 | pair & 15, 0) < 16 for pair in tables)  # noqa: PLR2004 - no zeros before it
    return False


def plainly_headed(data: bytes) -> bytes:
    """Return the same picture under a header in which libjpeg finds nothing to warn of.

    libjpeg tells its first warning alone: an oddity of the header would hide a hole in the scan.

    Returns:
        What the pixels depend on, up to the first scan's header, and the rest as it is; empty when
        there is no scan.
    """
    parts = [SOI]
    transform = frame = components = -1
    for marker, body, end in _segments(data):
        kept = body
        if marker == _APP0 and body.startswith(_JFIF[:5]) and len(body) >= len(_JFIF):
            kept = _JFIF
        elif marker == _APP14 and body.startswith(_ADOBE[:5]) and len(body) > _TRANSFORM:
            transform = body[_TRANSFORM]
            continue
        elif _APP0 <= marker <= _COM:
            continue
        elif _SOF0 <= marker < 0xD0 and marker not in _NOT_FRAMES and len(body) > 5:  # noqa: PLR2004 - the components' number
            frame, components = marker, body[5]
        elif marker == _SOS:
            if transform >= 0:
                # As libjpeg takes an unknown code: YCbCr, or YCCK.
                code = transform and (2 if components == 4 else 1)  # noqa: PLR2004 - CMYK
                parts.append(_segment(_APP14, _ADOBE + bytes([code])))
            if frame in {_SOF0, _SOF1}:
                kept = body[:-3] + _ALL_COEFFICIENTS
            return b"".join([*parts, _segment(marker, kept), data[end:]])
        parts.append(_segment(marker, kept))
    return b""


def _first_scan(data: bytes) -> tuple[int, int]:
    """Return where the first scan's coded data begin, and where the first end marker stands."""
    start = next((end for marker, _, end in _segments(data) if marker == _SOS), len(data))
    end = data.find(EOI, start)
    return start, len(data) if end < 0 else end


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield each segment's marker, body and end, up to the first scan's header."""
    at, marker = len(SOI), 0
    while marker != _SOS and (found := _MARKER.search(data, at)):
        marker, at = found[1][0], found.end()
        if marker in _ALONE:
            continue
        start, at = at + 2, at + int.from_bytes(data[at : at + 2], "big")
        if at < start or at > len(data):
            return
        yield marker, data[start:at], at


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (2 + len(body)).to_bytes(2, "big") + body


def _first_symbols(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield each Huffman table's class and number, and the symbol of its first code."""
    at = 0
    while at + 17 < len(body):
        yield body[at], body[at + 17]
        at += 17 + sum(body[at + 1 : at + 17])
