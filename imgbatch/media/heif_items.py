"""A HEIF file enters; whether one of its HEVC images has a hole of zeros leaves.

The decoder invents what is missing and says nothing. But no NAL unit holds three zero bytes in a
row (ITU-T H.265, 7.4.2: a 3 is put between), so a run of them inside an image's data is damage.
WebP and AVIF have no such rule: a white WebP of 1024 x 1024 holds 104 zeros in a row, and nothing
says that AVIF may not.
"""

from __future__ import annotations

from os import SEEK_END
from struct import error as too_short
from struct import unpack_from
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_ZEROS = bytes(64)
_BOX, _WIDE_BOX = 8, 16
_META_BYTES = 2**24


def has_zeros(file: BinaryIO) -> bool:
    """Say whether zeros stand in the data of an HEVC image; False when the file cannot be followed.

    Args:
        file: a HEIF file, open for reading; its position is moved.
    """
    size = file.seek(0, SEEK_END)
    meta = _meta(file, size)
    try:
        images = set(_images(meta))
        places = [place for item, place in _places(meta) if item in images]
    except (too_short, IndexError):
        return False
    # Parts that overlap could make this read without end.
    if sum(length for _, length in places) > size:
        return False
    return any(_ZEROS in _read(file, at, length) for at, length in places if at < size)


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)


def _meta(file: BinaryIO, end: int) -> bytes:
    """Return what the file's `meta` box holds, less its version and flags; empty without one."""
    at = 0
    while at < end and len(head := _read(file, at, _WIDE_BOX)) >= _BOX:
        size = int.from_bytes(head[:4], "big")
        start = _BOX
        if size == 1:
            size, start = int.from_bytes(head[8:], "big"), _WIDE_BOX
        if head[4:8] == b"meta":
            return _read(file, at + start + 4, max(0, min(size, _META_BYTES) - start - 4))
        if size < start:
            break
        at += size
    return b""


def _box(data: bytes, name: bytes) -> tuple[int, bytes]:
    """Return the version of the full box of that name, and what follows its flags."""
    at = 0
    while at + _BOX <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == name:
            return data[at + _BOX], data[at + _BOX + 4 : at + size]
        at += max(size, _BOX)
    return 0, b""


def _images(meta: bytes) -> Iterator[int]:
    """Yield the numbers of the items that are HEVC images."""
    version, body = _box(meta, b"iinf")
    at = 4 if version else 2
    while at + _BOX <= len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        wide = body[at + _BOX] > 2  # noqa: PLR2004 - from version 3 on
        item, _, kind = unpack_from(">IH4s" if wide else ">HH4s", body, at + _BOX + 4)
        if kind == b"hvc1":
            yield item
        at += max(size, _BOX)


def _places(meta: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield each item's number with (offset, length), once for each part of it in the file."""
    version, body = _box(meta, b"iloc")
    sizes = [body[0] >> 4, body[0] & 15, body[1] >> 4, body[1] & 15 if version else 0]
    if not sizes[1]:
        return  # parts of no told length, without end
    wide = version > 1
    (count,) = unpack_from(">I" if wide else ">H", body, 2)
    at = 6 if wide else 4

    def number(length: int) -> int:
        nonlocal at
        at += length
        if at > len(body):
            raise IndexError(at)
        return int.from_bytes(body[at - length : at], "big")

    for _ in range(count):
        item = number(4 if wide else 2)
        in_file = not (version and number(2) & 15)
        number(2)
        base = number(sizes[2])
        for _ in range(number(2)):
            number(sizes[3])
            offset, length = number(sizes[0]), number(sizes[1])
            if in_file:
                yield item, (base + offset, length)
