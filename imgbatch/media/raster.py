"""The bytes of a still image enter; its facts and exactly one upright RGB Picture leave.

JPEGs go to `jpeg`; all other formats are decoded by Pillow in full and scaled by area, to the same
size. Of several frames or pages the first is taken. No colour management: an embedded profile is
not applied.

Notes: `animated`, `pages` (there are more than the first), `decoder:pillow` (a JPEG that simplejpeg
refuses; holes in it stay unseen), `decode.tail` (pixels complete, the file's end missing),
`decode.extraneous` (a JPEG is filled up behind its last pixel), `decode.hole` (data of a JPEG were
not used up, or those of a HEIF are zeros: part of the picture may be wrong), `header.odd` (a JPEG's
header is not by the standard, and was read as libjpeg reads it), `exif.corrupt`, `alpha:RULE`,
`depth:...`. Holes in WebP and AVIF show only where their decoders refuse them.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from imgbatch.errors import DecodeError
from imgbatch.media import Media
from imgbatch.media.boundary import decoder_errors
from imgbatch.media.header import open_plugin, read_header
from imgbatch.media.heif_items import has_zeros
from imgbatch.media.jpeg import decode_jpeg
from imgbatch.media.pixels import eighths_of, scaled_rgb, strip_rows, target_size, upright
from imgbatch.media.sniff import declared_size, format_of, unreadable_format_of
from imgbatch.records import Picture

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from imgbatch.media import Blob, Gate
    from imgbatch.media.header import Header
    from imgbatch.media.pixels import RGB
    from imgbatch.settings import MediaSettings

# More than any cap: the gate lets it through when nothing else is in flight.
ALONE = 2**62

# Pillow's storage of one pixel; 4 bytes for every mode that is not named.
_MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# Bytes per pixel that a codec needs next to that: its own canvas and the copy that it hands over.
# Measured as growth of peak resident memory with pictures of 15 megapixels.
_CODEC_BYTES = {"WEBP": 12, "AVIF": 6, "HEIF": 6, "JPEG2000": 16}
# Bytes per pixel of a strip while it is converted, at most (32-bit values, transparency).
_STRIP_BYTES = 48


def claims(head: bytes) -> bool:
    """Say whether these first bytes begin a still image, readable or not."""
    return format_of(head) is not None or unreadable_format_of(head) is not None


def decode(
    blob: Blob,
    settings: MediaSettings,
    gate: Gate,
    *,
    full_size: bool = False,
    copies: float = 0.0,
) -> Media:
    """Read the header of a still image; its one picture is decoded when it is asked for.

    Raises:
        DecodeError: decode.empty, decode.unsupported, decode.unrecognised, decode.bomb,
            decode.truncated or decode.corrupt. `Media.pictures` raises the last four too.
        FetchError: fetch.failed, the file that holds the bytes could not be read.
    """
    name = _format(blob)
    try:
        with decoder_errors(f"{name} header"):
            header = read_header(blob, name, settings, gate)
    except MemoryError as error:
        # What a header allocates follows from its own numbers alone.
        raise DecodeError("decode.bomb", f"{name} header asks for too much memory") from error
    except DecodeError as error:
        raise _named_truncation(error, blob, name) from error
    pictures = _pictures(blob, header, settings, gate, copies if full_size else None)
    return Media(header.facts, pictures, header.notes)


def _format(blob: Blob) -> str:
    if not blob.size:
        raise DecodeError("decode.empty", "the file has no bytes")
    unreadable = unreadable_format_of(blob.head)
    if unreadable is not None:
        raise DecodeError("decode.unsupported", f"{unreadable} files are not read")
    name = format_of(blob.head)
    if name is None:
        raise DecodeError("decode.unrecognised", "not a still image of a known format")
    return name


def _named_truncation(error: DecodeError, blob: Blob, name: str) -> DecodeError:
    if error.code != "decode.corrupt":
        return error
    with blob.open() as file:
        declared = declared_size(name, file)
    if declared <= blob.size:
        return error
    return DecodeError("decode.truncated", f"{blob.size} bytes of {declared} or more: {error}")


def _pictures(
    blob: Blob, header: Header, settings: MediaSettings, gate: Gate, copies: float | None
) -> Generator[Picture, None, None]:
    with _decoded(blob, header, settings, gate, header.notes) as decoded:
        pixels = decoded
    whole = None
    if copies is not None:
        whole = partial(_whole, pixels, blob, header, settings, gate, copies)
    yield Picture(pixels, 0, None, header.facts, whole)


@contextmanager
def _whole(
    pixels: RGB,
    blob: Blob,
    header: Header,
    settings: MediaSettings,
    gate: Gate,
    copies: float,
) -> Iterator[RGB]:
    """Give a picture in full size: `pixels` where they are, else decoded anew."""
    area = header.stored[0] * header.stored[1]
    if target_size(*header.stored, settings.min_side) == header.stored:
        with gate.hold(round(3 * area * copies)) if copies else nullcontext():
            yield pixels
        return
    settings = settings.model_copy(update={"min_side": max(header.stored)})
    # What there is to note was noted when it was decoded first.
    used = blob.size + round(3 * area * (1 + copies))
    with _decoded(blob, header, settings, gate, [], used=used) as decoded:
        yield decoded


@contextmanager
def _decoded(
    blob: Blob,
    header: Header,
    settings: MediaSettings,
    gate: Gate,
    notes: list[str],
    *,
    used: int = 0,
) -> Iterator[RGB]:
    """Give upright pixels; the gate holds their place, at least `used`, until the block ends."""
    peak = max(_peak_bytes(blob, header, settings), used)
    with ExitStack() as held:
        held.enter_context(gate.hold(peak))
        try:
            pixels = _pixels(blob, header, settings, notes)
        except MemoryError:
            pixels = None
        if pixels is None:
            # Neighbours may have taken the memory: what a file comes to must not depend on them.
            held.close()
            held.enter_context(gate.hold(ALONE))
            try:
                pixels = _pixels(blob, header, settings, notes)
            except MemoryError as error:
                raise DecodeError("decode.bomb", "not enough memory, decoded alone") from error
        yield upright(pixels, header.orientation)


def _pixels(blob: Blob, header: Header, settings: MediaSettings, notes: list[str]) -> RGB:
    name = header.facts.format
    size = target_size(*header.stored, settings.min_side)
    eighths = eighths_of(*header.stored, settings.min_side)
    with decoder_errors(f"{name} pixels"):
        if header.scans is not None:
            return decode_jpeg(
                blob.read(),
                header.stored,
                size,
                eighths=eighths,
                scans=header.scans,
                exact=settings.exact,
                notes=notes,
            )
        with blob.open() as file:
            image = open_plugin(name, file)
            if image.size != header.stored:
                raise DecodeError("decode.corrupt", f"opened twice: {image.size}, {header.stored}")
            image.load()
            pixels = scaled_rgb(image, size, eighths=eighths, alpha=settings.alpha, notes=notes)
            if name == "HEIF" and has_zeros(file):
                notes.append("decode.hole")
            return pixels


def _peak_bytes(blob: Blob, header: Header, settings: MediaSettings) -> int:
    """Estimate how many bytes exist at once while the picture is decoded."""
    facts, (wide, high) = header.facts, header.stored
    size = target_size(wide, high, settings.min_side)
    full, result = wide * high, 3 * size[0] * size[1]
    if header.orientation != 1:
        result *= 2  # as stored, and turned
    held = 0 if blob.data is not None else blob.size
    if header.scans is not None:
        coefficients = 0 if header.scans.single else int(2 * full * header.scans.samples)
        return held + coefficients + result + (3 * full if settings.exact else 0)
    image = full * (_MODE_BYTES.get(facts.mode, 4) + _CODEC_BYTES.get(facts.format, 0))
    if facts.format == "TIFF" and facts.exif.get("Orientation", 1) != 1:
        image += full * _MODE_BYTES.get(facts.mode, 4)  # Pillow turns it in full size
    return held + image + _STRIP_BYTES * wide * min(high, strip_rows(wide)) + result
