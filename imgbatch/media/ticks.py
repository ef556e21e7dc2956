"""Enters an open video and a rate; leave the frames at its ticks, decoded by several lanes at once.

A lane is a thread with a decoder of its own. It gets whole groups (packets.py), in turn, so that
which lane decodes what never depends on timing, and returns at most as many pictures as a group has
ticks. What cannot be told to stand by itself goes through the stream's own decoder, in order.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from imgbatch.media.packets import Group, groups
from imgbatch.media.sampling import Decoding, Sample
from imgbatch.media.timeline import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from fractions import Fraction

    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from imgbatch.media.packets import Role
    from imgbatch.media.sampling import Reading
    from imgbatch.media.shots import Camera
    from imgbatch.media.timeline import Timeline

# Fixed, not the machine's cores: which lane decoded what must not differ between machines.
LANES = 4


class Task(NamedTuple):
    """A group, the stamps at ticks in it, and a clock that stands where the group begins."""

    group: Group
    targets: set[int]
    rate: Fraction
    tick: int


class Decoded(NamedTuple):
    """What a lane made of a group."""

    samples: list[Sample]
    decoding: Decoding
    found: set[int]


class Lane:
    """A thread and a decoder that decode group after group."""

    def __init__(self, decoder: VideoCodecContext, timeline: Timeline, camera: Camera) -> None:
        self._decoder = decoder
        self._timeline = timeline
        self._camera = camera
        self._thread = ThreadPoolExecutor(1, "imgbatch-video")

    def submit(self, task: Task) -> Future[Decoded]:
        """Decode a group once those before it are done."""
        return self._thread.submit(self._decode, task)

    def close(self) -> None:
        """Give up what was not begun and wait for the rest."""
        self._thread.shutdown(cancel_futures=True)

    def _decode(self, task: Task) -> Decoded:
        decoded = self._attempt(task, task.group.needed(task.targets))
        decoding = decoded.decoding
        if decoding.error or decoding.damaged or not task.targets <= decoded.found:
            # Of a damaged group all is decoded: another frame may stand at the tick.
            return self._attempt(task, task.group.packets)
        return decoded

    def _attempt(self, task: Task, packets: list[Packet[VideoStream]]) -> Decoded:
        clock = Clock(task.rate, task.tick)
        decoded = Decoded([], Decoding(), set())
        for frame in decoded.decoding.frames(self._decoder, packets):
            if frame.pts is not None:
                decoded.found.add(frame.pts)
                time = self._timeline.seconds(frame.pts)
                if clock.strikes(time):
                    decoded.samples.append(Sample(self._camera.take(frame), time))
        self._decoder.flush_buffers()
        return decoded


class Ticks:
    """The frames of a video at the ticks of a rate.

    Args:
        reading: the video; nothing of it is read yet.
        rate: ticks per second.
        role_of: tells what a packet proves.
        lanes: where groups are decoded.
        waiting: pictures that may wait for their turn, at least 1; a group that makes more is
            decoded in order.
    """

    def __init__(
        self,
        reading: Reading,
        rate: Fraction,
        *,
        role_of: Callable[[bytes], Role],
        lanes: list[Lane],
        waiting: int,
    ) -> None:
        self._reading = reading
        self._rate = rate
        self._role_of = role_of
        self._lanes = cycle(lanes)
        self._most = waiting
        self._waiting: deque[tuple[Task, Future[Decoded]]] = deque()
        # The first runs ahead over packets, the second follows over frames and decides.
        self._planned, self._clock = Clock(rate), Clock(rate)

    def samples(self) -> Iterator[Sample]:
        """Yield the first frame at or after each tick."""
        for group in groups(self._reading.packets(), self._role_of):
            yield from self._of(group)
        yield from self._made_room(0)

    def _of(self, group: Group | Iterator[Packet[VideoStream]]) -> Iterator[Sample]:
        """Hand a group to a lane, or decode it here; yield what comes out before."""
        task = self._task(group) if isinstance(group, Group) else None
        if task is None:
            yield from self._made_room(0)
            yield from self._in_order(group.packets if isinstance(group, Group) else group)
        elif task.targets:
            yield from self._made_room(self._most - len(task.targets))
            self._waiting.append((task, next(self._lanes).submit(task)))

    def _task(self, group: Group) -> Task | None:
        """Plan a group; None when it must be decoded in order."""
        stamps, timeline = group.stamps(), self._reading.timeline
        if stamps is None:
            return None
        if timeline.start is None:
            self._find_start(group)
        if timeline.start is None:
            return None
        tick = self._planned.tick
        targets = {pts for pts in stamps if self._planned.strikes(timeline.seconds(pts))}
        return Task(group, targets, self._rate, tick) if len(targets) <= self._most else None

    def _find_start(self, group: Group) -> None:
        """Decode up to the first frame that is shown: all times count from it."""
        decoder = self._reading.decoder
        first = next(Decoding().frames(decoder, group.packets), None)
        decoder.flush_buffers()
        if first is not None and first.pts is not None:
            self._reading.timeline.place(first.pts)

    def _made_room(self, pictures: int) -> Iterator[Sample]:
        """Yield what the oldest groups gave until only so many pictures are waited for."""
        while self._waiting and (
            len(self._waiting) > LANES
            or sum(len(task.targets) for task, _ in self._waiting) > pictures
        ):
            decoded = self._waiting.popleft()[1].result()
            self._reading.decoding.follow(decoded.decoding, shown=bool(decoded.found))
            yield from (one for one in decoded.samples if self._clock.strikes(one.time))

    def _in_order(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Sample]:
        for frame, time in self._reading.frames(packets):
            if self._clock.strikes(time):
                yield Sample(self._reading.camera.take(frame), time)
        self._reading.decoder.flush_buffers()


@contextmanager
def lanes_of(
    reading: Reading,
    another_decoder: Callable[[], VideoCodecContext],
    another_camera: Callable[[], Camera],
) -> Iterator[list[Lane]]:
    """Open the lanes of a video; they end with the block.

    Args:
        reading: the video.
        another_decoder: makes a decoder like the stream's own.
        another_camera: makes a camera like the reading's own.
    """
    lanes: list[Lane] = []
    try:
        while len(lanes) < LANES:
            lanes.append(Lane(another_decoder(), reading.timeline, another_camera()))
        yield lanes
    finally:
        for lane in lanes:
            lane.close()
