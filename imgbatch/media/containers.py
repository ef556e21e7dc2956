"""Enters the head of a file; leaves the name of the FFmpeg demuxer that reads such videos, or None.

FFmpeg's own probing is not used: a file could talk it into demuxers that open other files or URLs
(playlists, image sequences). Magic numbers are those of the containers' specifications.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIXES = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpegvideo"),
    (b"FLV\x01", "flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "mxf"),
    (b".RMF", "rm"),
    (b"DKIF\x00\x00", "ivf"),
    (b"YUV4MPEG2 ", "yuv4mpegpipe"),
)

# ISO base media files (and JPEG 2000 family files) that hold pictures or sound, by major brand.
PICTURE_BRANDS = frozenset(
    b"heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1 avif avis avci avcs j2ki jpeg".split()
) | {b"jp2 ", b"jpx ", b"jpm ", b"jxl ", b"crx "}
SOUND_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "})

# A QuickTime file may begin without ftyp, a stream segment with styp.
FIRST_BOXES = frozenset({b"moov", b"moof", b"styp", b"wide", b"free", b"skip", b"pnot"})

# First packets of the video codecs that Ogg carries; all of them stand at the start of the file.
OGG_VIDEO = (b"\x80theora", b"BBCD\x00", b"\x01video\x00", b"OVP80")

# Transport streams: plain, with a 4-byte time code before each packet, with 16 bytes of parity.
TS_STRIDES = ((0, 188), (4, 192), (0, 204))
TS_PACKETS = 4


def demuxer_of(head: bytes) -> str | None:
    """Return the name of the FFmpeg demuxer for a video that begins so; None: not a video."""
    for prefix, name in PREFIXES:
        if head.startswith(prefix):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"OggS" and any(word in head for word in OGG_VIDEO):
        return "ogg"
    if _is_iso_video(head):
        return "mov"
    return "mpegts" if _ts_stride(head) else None


def _is_iso_video(head: bytes) -> bool:
    box = head[4:8]
    if box == b"ftyp":
        return head[8:12] not in PICTURE_BRANDS | SOUND_BRANDS
    # Text may hold these words at this place, but not after a zero byte.
    return box == b"mdat" or (head[:1] == b"\x00" and box in FIRST_BOXES)


def _ts_stride(head: bytes) -> int | None:
    for offset, stride in TS_STRIDES:
        last = offset + (TS_PACKETS - 1) * stride
        if len(head) > last and set(head[offset : last + 1 : stride]) == {0x47}:
            return stride
    return None


def is_cut(file: BinaryIO, size: int, demuxer: str) -> bool:
    """Tell whether a file is shorter than its own structure says.

    Known of mov, avi, matroska and mpegts; False for the rest, whose structure does not tell.
    """
    walk = {"mov": _iso_end, "avi": _riff_end, "matroska": _matroska_end, "mpegts": _ts_end}
    return demuxer in walk and walk[demuxer](file, size) > size


def _walk(size: int, step: Callable[[int], int]) -> int:
    """Return where the last of the elements that follow each other in a file ends.

    `step` returns where the element at a position ends; `size` or the position itself stops.
    """
    position = 0
    while position + 8 <= size:
        end = step(position)
        if end <= position:
            break
        position = end
    return position


def _iso_end(file: BinaryIO, size: int) -> int:
    def end_of_box(position: int) -> int:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0:  # to the end of the file
            return size
        return position + length if length >= 8 else position  # noqa: PLR2004 - a box's header

    return _walk(size, end_of_box)


def _riff_end(file: BinaryIO, size: int) -> int:
    def end_of_chunk(position: int) -> int:
        file.seek(position)
        header = file.read(8)
        length = int.from_bytes(header[4:8], "little")
        # Written live: the length was never filled in.
        live = length in (0, 0xFFFFFFFF)
        return position if header[:4] != b"RIFF" or live else position + 8 + length

    return _walk(size, end_of_chunk)


def _matroska_end(file: BinaryIO, size: int) -> int:
    """Return the end of the EBML header and of the segment; RFC 8794, sections 4 to 6."""

    def end_of_element(position: int) -> int:
        file.seek(position)
        header = file.read(12)  # both elements here have an identifier of 4 bytes
        width = 9 - header[4].bit_length()
        if width > 8:  # noqa: PLR2004 - no such length
            return position
        length = int.from_bytes(header[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        unknown = length == (1 << 7 * width) - 1
        return size if unknown else position + 4 + width + length

    return _walk(size, end_of_element)


def _ts_end(file: BinaryIO, size: int) -> int:
    file.seek(0)
    stride = _ts_stride(file.read(TS_PACKETS * TS_STRIDES[-1][1])) or 1
    return -(-size // stride) * stride
