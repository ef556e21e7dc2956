"""Enters an open video; leave its sampled frames, in display order, each with its time.

The rules are those of VideoSettings, applied to what a plain decode of the whole stream gives. Work
is saved only where the rule cannot notice: `keyframes` decodes key packets alone; `fps` decodes
groups that stand by themselves side by side, and of each only what its sampled frames need.

Decision, 2026-11: no frame threads. They race in FFmpeg's concealment of damaged H.264, so the same
bytes would give other pixels (measured: 16 of 50 damaged clips; none with slice threads or one
thread). Drawback: `every_n` and `scene` decode most videos, whose frames are one slice, on one
core; the other cores have the worker's other videos.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import av
from av.filter import Graph

from imgbatch.media.timeline import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from imgbatch.media.shots import Camera, Shot
    from imgbatch.media.timeline import Splice, Timeline
    from imgbatch.settings import VideoSettings


class Sample(NamedTuple):
    """One sampled frame, and its time in seconds."""

    shot: Shot
    time: Fraction


@dataclass(slots=True)
class Decoding:
    """What a decoder made of its packets.

    Attributes:
        error: what FFmpeg said when it first refused a packet; empty: it never did.
        damaged: frames came after an error, or with one inside.
        broken: no frame came since the latest error.
    """

    error: str = ""
    damaged: bool = False
    broken: bool = False

    def frames(
        self, decoder: VideoCodecContext, packets: Iterable[Packet[VideoStream]]
    ) -> Iterator[VideoFrame]:
        """Decode packets to the last frame; one that FFmpeg refuses is passed over."""
        for packet in chain(packets, [None]):  # None empties the decoder
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError as error:
                # Its text alone: the error's traceback would keep the decoder until the garbage
                # collector comes.
                self.error = self.error or str(error.strerror)
                self.broken = True
                continue
            for frame in frames:
                self.damaged = self.damaged or self.broken or frame.is_corrupt
                self.broken = False
                yield frame

    def follow(self, later: Decoding, *, shown: bool) -> None:
        """Add what came of later packets; `shown`: frames came of them."""
        self.error = self.error or later.error
        self.damaged = self.damaged or later.damaged or (self.broken and shown)
        self.broken = later.broken or (self.broken and not shown)


@dataclass(slots=True)
class Reading:
    """A video being read.

    Attributes:
        stamped: its frames come with presentation stamps. AVI has none; for codecs whose order
            FFmpeg cannot tell from a packet, frames are placed by the frame rate.
        estimated: a frame had no stamp and was placed so.
        splice: where its stamps begin anew.
        ended: why the container could not be read to its end; empty: it could.
    """

    container: InputContainer
    stream: VideoStream
    camera: Camera
    timeline: Timeline
    stamped: bool
    splice: Splice
    estimated: bool = False
    ended: str = ""
    decoding: Decoding = field(default_factory=Decoding)

    @property
    def decoder(self) -> VideoCodecContext:
        """The stream's own decoder."""
        return self.stream.codec_context

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the stream's packets as far as the container can be read."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:
                    yield self._carried_on(packet)
        except av.FFmpegError as error:
            self.ended = str(error.strerror)
        except IndexError:
            # All was read: at the end PyAV also looks, out of bounds, for streams that appeared
            # while reading, as sound may in a transport stream.
            return

    def _carried_on(self, packet: Packet[VideoStream]) -> Packet[VideoStream]:
        if packet.dts is not None:
            self.splice.over(packet.dts)
        if shift := self.splice.shift:
            packet.dts = None if packet.dts is None else packet.dts + shift
            packet.pts = None if packet.pts is None else packet.pts + shift
        return packet

    def frames(
        self, packets: Iterable[Packet[VideoStream]]
    ) -> Iterator[tuple[VideoFrame, Fraction]]:
        """Decode packets in order, by the stream's own decoder."""
        for frame in self.decoding.frames(self.decoder, packets):
            pts = frame.pts if self.stamped else None
            self.estimated = self.estimated or pts is None
            yield frame, self.timeline.place(pts)

    def notes(self, *, cut: bool) -> Iterator[str]:
        """Yield what there is to say of the decoding; `cut`: the file is known to lack its end."""
        if self.decoding.damaged:
            yield "decode.damaged"
        if self.decoding.broken or self.ended or cut:
            yield "decode.tail"
        if self.estimated:
            yield "time:estimated"
        if self.splice.shift:
            yield "time:joined"


def sample(reading: Reading, settings: VideoSettings) -> Iterator[Sample]:
    """Yield the frames that `keyframes`, `every_n`, `scene` ask for, or `fps` the plain way."""
    if settings.sample == "keyframes":
        chosen = _keyframes(reading)
    elif settings.sample == "every_n":
        every = enumerate(reading.frames(reading.packets()))
        chosen = (one for n, one in every if n % settings.every_n == 0)
    elif settings.sample == "fps":
        clock = Clock(rate_of(settings))
        chosen = (one for one in reading.frames(reading.packets()) if clock.strikes(one[1]))
    else:
        chosen = _scenes(reading, settings.scene_threshold)
    return (Sample(reading.camera.take(frame), time) for frame, time in chosen)


def rate_of(settings: VideoSettings) -> Fraction:
    """Return `fps` as it is written: 0.1 is a tenth, not the float next to it."""
    return Fraction(repr(settings.fps))


def _keyframes(reading: Reading) -> Iterator[tuple[VideoFrame, Fraction]]:
    packets = _key_packets(reading) if reading.stamped else reading.packets()
    return (one for one in reading.frames(packets) if one[0].key_frame)


def _key_packets(reading: Reading) -> Iterator[Packet[VideoStream]]:
    # Not through `stream.discard`: FFmpeg then derives wrong stamps from the packets that are left.
    packets = reading.packets()
    for packet in packets:
        yield packet
        # After an edit or a cut the first frame shown may be no key frame: then it is decoded too,
        # for its time.
        if reading.timeline.start is not None or (packet.is_keyframe and not packet.is_discard):
            break
    yield from (packet for packet in packets if packet.is_keyframe)


def _scenes(reading: Reading, threshold: float) -> Iterator[tuple[VideoFrame, Fraction]]:
    """Yield what FFmpeg's `select` keeps; a change of size or pixel format begins a scene."""
    graph, shape = None, None
    for frame, time in reading.frames(reading.packets()):
        if graph is None or shape != (frame.width, frame.height, frame.format.name):
            shape = (frame.width, frame.height, frame.format.name)
            graph = _scene_graph(reading.stream, frame, threshold)
        graph.vpush(frame)
        if _comes_out(graph):
            yield frame, time


def _scene_graph(stream: VideoStream, frame: VideoFrame, threshold: float) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
    )
    select = graph.add("select", f"eq(n,0)+gt(scene,{threshold})")
    graph.link_nodes(source, select, graph.add("buffersink")).configure()
    return graph


def _comes_out(graph: Graph) -> bool:
    try:
        graph.vpull()
    except av.BlockingIOError:  # how a graph says that it wants the next frame
        return False
    return True
