"""The first bytes of a file enter; the name of the picture format that they begin leaves.

Names are Pillow's. Formats whose files do not say what they are (TGA), that run a program (EPS),
draw (WMF, PDF), hold several drawings of one icon (ICO, ICNS), or are decoded in Python at the
speed of Python (QOI) are left out on purpose: a corpus has them by accident.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)

# Pictures that we know and cannot read: an honest failure, where `not-media` would be a lie.
_UNREADABLE = (
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"8BPS\0", "Photoshop"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
)

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_ANY_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
_BOX_HEAD, _CHUNK_HEAD = 8, 12
_MAX_BOXES = 1000
_MAX_CHUNKS = 200_000
_MAX_EXIF = 2**20
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}


def format_of(head: bytes) -> str | None:
    """Return Pillow's name of the format that these first bytes begin, None for any other.

    Args:
        head: the first bytes of the file; 64 are enough for every format.
    """
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_format(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456f" and head[2:3] in b" \t\r\n#":
        return "PPM" if len(head) > len("P6 ") else None
    return None


def unreadable_format_of(head: bytes) -> str | None:
    """Return the name of a picture format that imgbatch knows but does not read."""
    if head[:4] == b"II*\0" and head[8:10] == b"CR":
        return "camera raw"
    for magic, name in _UNREADABLE:
        if head.startswith(magic):
            return name
    return None


def _iso_format(head: bytes) -> str | None:
    """Tell AVIF and HEIF from the videos that share their container (ISO/IEC 14496-12, 4.3)."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    major = head[8:12]
    brands = {head[at : at + 4] for at in range(16, end, 4)}
    if major in _AVIF_BRANDS:
        return "AVIF"
    if major in _HEIF_BRANDS:
        return "HEIF"
    if major in _ANY_BRANDS:
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF"
    return None


def declared_size(format_name: str, file: BinaryIO) -> int:
    """Return how many bytes a file of this format says that it has at least; 0 where it does not.

    Tells a file that was cut short from one that is damaged, where a decoder's message does not.
    """
    file.seek(0)
    head = file.read(12)
    if format_name == "WEBP":
        return int.from_bytes(head[4:8], "little")
    if format_name == "TIFF" and head[2:3] != b"+" and head[3:4] != b"+":
        return int.from_bytes(head[4:8], "little" if head[:2] == b"II" else "big") + 6
    if format_name in {"AVIF", "HEIF"}:
        return _boxes_end(file)
    return 0


def _boxes_end(file: BinaryIO) -> int:
    """Return where the last top-level box ends that can be reached."""
    at = 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        size = int.from_bytes(file.read(4), "big")
        if size < _BOX_HEAD:
            break
        at += size
    return at


def webp_size(head: bytes) -> tuple[int, int]:
    """Return (width, height) of a WebP file's canvas, (0, 0) when its header does not say it.

    Pillow's plugin allocates the canvas as it opens the file, so it must be known before. Follows
    RFC 9649, sections 2.5 to 2.7.
    """
    kind = head[12:16]
    if kind == b"VP8X":
        wide, high = (int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
        return wide + 1, high + 1
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        wide, high = (int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
        return wide & 0x3FFF, high & 0x3FFF
    if kind == b"VP8L" and head[20:21] == b"\x2f":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0


def png_after_pixels(file: BinaryIO) -> tuple[bytes, bool]:
    """Return a PNG's EXIF block that follows its pixels (b"" if none), and whether IEND is there.

    Pillow sees such a block only after it has decoded the pixels, which is too late to know how
    they are to be turned.
    """
    at, exif = 8, b""
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(12)
        if len(head) < _CHUNK_HEAD or head[4:8] == b"IEND":
            return exif, head[4:8] == b"IEND" and len(head) == _CHUNK_HEAD
        size = int.from_bytes(head[:4], "big")
        if head[4:8] == b"eXIf":
            file.seek(at + 8)
            exif = file.read(min(size, _MAX_EXIF))
        at += size + _CHUNK_HEAD
    return exif, True
