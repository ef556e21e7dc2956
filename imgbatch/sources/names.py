"""Enters: a name. Leaves: what its extension says. Only a hint: media are known by their bytes."""

from __future__ import annotations

import re
from typing import Literal

ArchiveForm = Literal["zip", "tar"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMAGES = _words(
    "jpg jpeg jpe jif jfif png apng webp gif bmp dib tif tiff heic heif hif avif jxl jp2 j2k jpx "
    "ico psd svg tga pcx pbm pgm ppm pnm qoi exr hdr dds dng cr2 cr3 nef arw orf rw2 raf"
)
VIDEOS = _words(
    "mp4 m4v mov qt avi mkv webm mpg mpeg mpe m2v ts mts m2ts 3gp 3g2 flv f4v wmv asf ogv vob mxf "
    "rm rmvb divx gifv"
)
SIDECARS = _words(
    "json jsonl ndjson geojson js csv tsv txt text xml xmp aae md rst srt vtt ass yaml yml toml "
    "ini html htm mhtml log parquet feather arrow cls caption tags xls xlsx ods license readme"
)
# Of what `imgbatch fetch` wrote: its only file that has no ending.
OWN_KEY = "/fetched/forgotten/key"
SQUEEZED = _words("gz bz2 xz zst")
APPLE_DOUBLE = b"\0\x05\x16\x07"

# Only says "look inside": how a tar is compressed is read from its first bytes, because
# downloaders unpack some `.tar.gz` on the way and leave the name as it was.
TAR_NAMES = re.compile(r"\.(tar|tgz|tzst|tbz2?|txz|tar\.(gz|zst|bz2|xz))$", re.IGNORECASE)
REPEAT = re.compile(r"#\d+$")


def archive_form(name: str) -> ArchiveForm | None:
    """Return how an archive of this name is laid out, None when it is no archive."""
    # The regular expression alone would cost as much as the rest of listing a file.
    if name[-4:].lower() == ".zip":
        return "zip"
    if "t" in name[-7:].lower() and TAR_NAMES.search(name):
        return "tar"
    return None


def is_sidecar(name: str) -> bool:
    """Tell whether a name is one of a file that comes beside media, such as `post.json.xz`."""
    if name.endswith(OWN_KEY):
        return True
    *stems, last = _extensions(name)
    return last in SIDECARS or (last in SQUEEZED and bool(stems) and stems[-1] in SIDECARS)


def is_apple_double(name: str, head: bytes) -> bool:
    """Tell whether a file is what macOS puts beside `photo.jpg` as `._photo.jpg`.

    In zips that were made there, and on disks of other systems, each picture has one: its tags and
    its icon, and no picture (RFC 1740).
    """
    return head.startswith(APPLE_DOUBLE) and name.rpartition("/")[2].startswith("._")


def claims_media(name: str) -> bool:
    """Tell whether a name promises an image or a video: unreadable bytes are then a failure."""
    last = _extensions(name)[-1]
    return last in IMAGES or last in VIDEOS


def claims_video(name: str) -> bool:
    """Tell whether a name promises a video."""
    return _extensions(name)[-1] in VIDEOS


def _extensions(name: str) -> list[str]:
    # A repeated member's address ends in #2, #3, ...: see members.py.
    plain = REPEAT.sub("", name) if "#" in name else name
    base = plain.rpartition("/")[2].lower()
    return base.split(".")[1:] or [base]
