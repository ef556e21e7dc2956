"""The frozen values that flow through imgbatch: Source, Shard, Facts, Picture, Outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

Status = Literal["ok", "failed", "filtered"]
Kind = Literal["image", "video", "archive", "sidecar", "other"]
Packing = Literal["zip", "tar", "stream"]
# What the name of an analyzer's second table ends with: one row per region of a picture.
REGIONS = "_regions"


def analyzer_of(table: str) -> str:
    """Return the name of the analyzer that fills a table; it is that of its main table."""
    return table.removesuffix(REGIONS)


def source_id_of(address: str) -> str:
    """Return the identity of a source: 128 bits of BLAKE2b over its address, as 32 hex digits."""
    return blake2b(address.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome that the listing already knows: a link in an archive, a damaged archive."""

    status: Literal["failed", "filtered"]
    error_class: str
    message: str


@dataclass(frozen=True, slots=True)
class Source:
    """One input object: a file, or a member of an archive.

    Attributes:
        address: canonical URL; a member's is `ARCHIVE!/NAME`.
        version: etag or generation, else size and mtime; a zip member's is its CRC.
        size: bytes after unpacking.
        container: address of the archive that holds it, None for a plain object.
        packing: how a member lies in its container: `zip` and `tar` are read by offset, `stream`
            (a compressed tar) in one pass.
        offset: byte offset of the member's local header (zip) or data (tar), or of its data in the
            unpacked stream (stream).
        packed_size: bytes that the member takes in its container.
        method: zip compression method number.
        verdict: an outcome that the listing already knows; such a source is never fetched.
    """

    address: str
    version: str
    size: int
    container: str | None = None
    packing: Packing | None = None
    offset: int | None = None
    packed_size: int | None = None
    method: int | None = None
    verdict: Verdict | None = None

    @property
    def source_id(self) -> str:
        """Hash of the address, never a position."""
        return source_id_of(self.address)


@dataclass(frozen=True, slots=True)
class Shard:
    """A set of sources with a fixed name: the unit of work, of commit and of retry.

    Attributes:
        generation: grows whenever its sources change, leave, or are to be done again.
        stream: address of the compressed tar that all its sources lie in; None when they are read
            in any order.
        part: file name of its part in the manifest.
        sources: how many it has.
    """

    name: str
    generation: int
    stream: str | None = None
    part: str = ""
    sources: int = 0

    @property
    def label(self) -> str:
        """Name and generation, as they stand in part names: `<shard>@<g>`."""
        return f"{self.name}@{self.generation}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source's header says, before any pixel.

    Attributes:
        format: the container or file format, upper case as Pillow names it (JPEG, PNG, ...), for
            videos as FFmpeg does (mov,mp4,...).
        mode: Pillow mode of an image, pixel format of a video.
        width, height: pixels, as shown (after EXIF orientation or the video's rotation).
        animated: more than one frame in an image file.
        exif: the few EXIF values that are kept, by standard tag name (Orientation, Make, Model,
            DateTimeOriginal, OffsetTimeOriginal, ...), and `GPS` (True) when a position is there.
        duration: seconds, videos only.
        frame_rate: average frames per second, videos only.
        codec: videos only.
        pixel_aspect: how wide a pixel is to its height, as shown; other than 1 for videos only.
    """

    kind: Literal["image", "video"]
    format: str
    mode: str
    width: int
    height: int
    animated: bool = False
    exif: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    duration: float | None = None
    frame_rate: float | None = None
    codec: str | None = None
    pixel_aspect: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Decoded pixels and what is known of them: an image, or one sampled frame of a video.

    Attributes:
        pixels: (height, width, 3) uint8, RGB, upright, contiguous. Scaled as `[media]` says.
        frame: 0 for an image; 0, 1, 2, ... over the sampled frames of a video.
        time: seconds from the video's start, None for an image.
        facts: of its source. `facts.width` is the full size, `pixels.shape` the decoded one.
        whole: gives the same picture as a block's value, in full size: decoded then, and counted in
            the gate until the block ends. At most one such block at a time in a thread, and for a
            frame of a video only before the next is asked for. None unless the decoder was asked
            for it.
    """

    pixels: NDArray[np.uint8]
    frame: int
    time: float | None
    facts: Facts
    whole: Callable[[], AbstractContextManager[NDArray[np.uint8]]] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What fetching and decoding came to: one row of the table `sources`."""

    status: Status
    kind: Kind
    error_class: str | None = None
    stage: str | None = None
    message: str | None = None
    notes: tuple[str, ...] = ()
    facts: Facts | None = None
    n_pictures: int = 0
    sha256: str | None = None
