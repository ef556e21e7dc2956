"""Enter the compressed packets of a stream; leave groups that can be decoded by themselves.

Nothing is guessed: what a packet does not prove of itself is decoded, in order, with all others.
Proof exists for H.264, HEVC and codecs without prediction between frames.
Sources: ITU-T H.264 (7.4.1: nal_ref_idc, nal_unit_type), H.265 (7.4.2.2), ISO/IEC 14496-15 (avcC
and hvcC: how many bytes a length takes).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

# A group that takes more is not held.
GROUP_PACKETS = 1000
GROUP_BYTES = 8 * 2**20

H264_SLICES = range(1, 6)
H264_IDR = 5
H264_PARAMETER_SETS = frozenset({7, 8, 13, 15})
HEVC_SLICES = range(32)
HEVC_IDR = frozenset({19, 20})
HEVC_PARAMETER_SETS = frozenset({32, 33, 34})
START_CODE = b"\x00\x00\x01"


class Role(NamedTuple):
    """What a packet proves of itself.

    Attributes:
        clean: decoding may begin here without a trace of what came before, and all that came
            before is shown before.
        unreferenced: no other picture is predicted from this one.
        parameters: it carries parameter sets, which later pictures may need.
    """

    clean: bool = False
    unreferenced: bool = False
    parameters: bool = False


class Member(NamedTuple):
    """A packet of a group, and its role there."""

    packet: Packet[VideoStream]
    role: Role


@dataclass(slots=True)
class Group:
    """Packets from a clean start to the next one, in decoding order.

    Its frames are shown after those of all former groups and before those of all later ones. They
    can be decoded by themselves.
    """

    members: list[Member] = field(default_factory=list)
    size: int = 0

    @property
    def packets(self) -> list[Packet[VideoStream]]:
        """All of them."""
        return [member.packet for member in self.members]

    def add(self, member: Member) -> None:
        """Take the next packet."""
        self.members.append(member)
        self.size += member.packet.size

    def stamps(self) -> list[int] | None:
        """Return the stamps of the frames to be shown, sorted; None if they cannot be relied on."""
        shown = [packet for packet in self.packets if not packet.is_discard]
        stamps = {packet.pts for packet in shown if packet.pts is not None}
        unsure = any(packet.is_corrupt for packet in shown) or len(stamps) < len(shown)
        return None if unsure else sorted(stamps)

    def needed(self, targets: set[int]) -> list[Packet[VideoStream]]:
        """Return the packets without which the frames with these stamps cannot be decoded."""
        wanted = [m.packet.pts in targets or m.role.parameters for m in self.members]
        end = max((n + 1 for n, is_wanted in enumerate(wanted) if is_wanted), default=0)
        return [
            member.packet
            for member, is_wanted in zip(self.members[:end], wanted[:end], strict=True)
            if is_wanted or not member.role.unreferenced
        ]


def groups(
    packets: Iterator[Packet[VideoStream]], role_of: Callable[[bytes], Role]
) -> Iterator[Group | Iterator[Packet[VideoStream]]]:
    """Cut a stream before each clean start.

    Yields:
        A group; or, where packets up to the next clean start are too many to hold or do not begin
        with one, an iterator over them, to be exhausted before the next is asked for.
    """
    coming = _Coming(_judged(packets, role_of))
    while coming.next is not None:
        begins_clean = coming.next.role.clean
        group = Group()
        group.add(coming.take())
        rest = coming.rest()
        if begins_clean:
            for member in rest:
                group.add(member)
                if group.size > GROUP_BYTES or len(group.members) > GROUP_PACKETS:
                    break
            else:
                yield group
                continue
        yield chain(group.packets, (member.packet for member in rest))


def _judged(
    packets: Iterator[Packet[VideoStream]], role_of: Callable[[bytes], Role]
) -> Iterator[Member]:
    carried = False
    for packet in packets:
        role = role_of(bytes(packet))
        carried = carried or role.parameters
        # Once parameter sets came with packets, a start without its own may need an earlier one.
        yield Member(packet, role._replace(clean=role.clean and role.parameters == carried))


class _Coming:
    """Members, of which the next can be looked at."""

    def __init__(self, members: Iterator[Member]) -> None:
        self._members = members
        self.next = next(members, None)

    def take(self) -> Member:
        """Return the next."""
        member, self.next = self.next, next(self._members, None)
        assert member is not None, "asked for only while there is one"
        return member

    def rest(self) -> Iterator[Member]:
        """Yield those before the next clean start."""
        while self.next is not None and not self.next.role.clean:
            yield self.take()


def reader_of(decoder: VideoCodecContext) -> Callable[[bytes], Role] | None:
    """Return what reads the role of a decoder's packets; None: nothing is known of its codec."""
    if decoder.codec.intra_only:
        return lambda _: Role(clean=True, unreferenced=True)
    name, extra = decoder.name, decoder.extradata or b""
    if name == "h264":
        width = (extra[4] & 3) + 1 if len(extra) > 4 and extra[0] == 1 else 0  # noqa: PLR2004 - where avcC says it
        return lambda data: _h264_role(data, width)
    if name == "hevc":
        width = (extra[21] & 3) + 1 if len(extra) > 21 and extra[0] == 1 else 0  # noqa: PLR2004 - where hvcC says it
        return lambda data: _hevc_role(data, width)
    return None


def _h264_role(data: bytes, width: int) -> Role:
    headers = list(_unit_headers(data, width))
    kinds = {header & 31 for header in headers}
    slices = [header for header in headers if header & 31 in H264_SLICES]
    if not slices:
        return Role()
    return Role(
        clean={header & 31 for header in slices} == {H264_IDR},
        unreferenced=all(header >> 5 & 3 == 0 for header in slices),
        parameters=bool(kinds & H264_PARAMETER_SETS),
    )


def _hevc_role(data: bytes, width: int) -> Role:
    kinds = {header >> 1 & 63 for header in _unit_headers(data, width)}
    slices = {kind for kind in kinds if kind in HEVC_SLICES}
    # A sub-layer non-reference picture may still be used by higher sub-layers: all are kept.
    return Role(
        clean=bool(slices) and slices <= HEVC_IDR,
        parameters=bool(kinds & HEVC_PARAMETER_SETS),
    )


def _unit_headers(data: bytes, width: int) -> Iterator[int]:
    """Yield the first byte of each NAL unit; `width` 0: start codes, else bytes of a length."""
    if width == 0:
        position = data.find(START_CODE)
        while 0 <= position < len(data) - 3:
            yield data[position + 3]
            position = data.find(START_CODE, position + 3)
        return
    position = 0
    while position + width < len(data):
        yield data[position + width]
        position += width + int.from_bytes(data[position : position + width], "big")
