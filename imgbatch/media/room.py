"""An opened video's decoder enters; how many bytes it and its pictures take at once leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imgbatch.media.packets import GROUP_BYTES, reader_of
from imgbatch.media.pixels import target_size
from imgbatch.media.ticks import LANES

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

    from imgbatch.settings import MediaSettings

# Frames that a decoder holds for prediction and reordering. H.264 and HEVC allow 16, but only in
# small pictures; at full size their levels allow 4 to 6.
HELD_FRAMES = 8
# Of a pixel in full size, while FFmpeg's planes become rows of RGB, and these are turned.
FULL_BYTES = 9
# Pictures that wait for their turn, where several lanes decode.
WAITING_BYTES = 32 * 2**20
# The same with their frames, of which one is several times its reduced picture: at 1080p those of
# three groups of ten seconds, one a second, and at 4K those of one.
KEPT_BYTES = 128 * 2**20


class Room(NamedTuple):
    """What the gate is to hold.

    Attributes:
        bytes: of decoders' frames, pictures and waiting packets.
        waiting: pictures that may wait for their turn, where several lanes decode.
    """

    bytes: int
    waiting: int


def room(
    decoder: VideoCodecContext, settings: MediaSettings, size: int, copies: float | None
) -> Room:
    """Return how much memory a video takes while its pictures are decoded.

    Args:
        decoder: of its stream.
        settings: what its pictures are.
        size: of the file, in bytes.
        copies: frames are kept, and one of them is had in full size too, of which so many copies
            are made; None: all are reduced.
    """
    area = decoder.width * decoder.height
    frame = area * (decoder.format.padded_bits_per_pixel if decoder.format else 24) // 8
    wide, high = target_size(decoder.width, decoder.height, settings.min_side)
    small = wide * high * 3
    picture = small + (0 if copies is None else frame)
    # Its copies are made once it is there.
    whole = 0 if copies is None else area * max(FULL_BYTES, round(3 * (1 + copies)))
    held = frame * HELD_FRAMES
    if settings.video.sample != "fps" or reader_of(decoder) is None:
        return Room(held + picture + whole, 1)
    # As many as without their frames, as long as these leave room.
    waiting = WAITING_BYTES // small
    if copies is not None:
        waiting = min(waiting, KEPT_BYTES // picture)
    waiting = max(1, waiting)
    packets = min(size, (LANES + 2) * GROUP_BYTES)
    return Room(held * (LANES + 1) + waiting * picture + packets + whole, waiting)
