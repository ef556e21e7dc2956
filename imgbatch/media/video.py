"""The bytes of a video enter; what its header says and its sampled frames, as Pictures, leave.

FFmpeg (through PyAV) demuxes, decodes, and scales while it converts to RGB, by area. Frames flow:
next to the decoder's own frames one picture exists at a time, however long the video. FFmpeg's log
stays silent: that is PyAV's default, and nothing global is changed here.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

import av
from av.codec.context import ThreadType
from av.stream import Discard, Disposition

from imgbatch.errors import DecodeError, FetchError, SourceError
from imgbatch.media import Media
from imgbatch.media.containers import demuxer_of, is_cut
from imgbatch.media.packets import reader_of
from imgbatch.media.room import room
from imgbatch.media.sampling import Reading, rate_of, sample
from imgbatch.media.shots import Camera
from imgbatch.media.ticks import Ticks, lanes_of
from imgbatch.media.timeline import Splice, Timeline
from imgbatch.records import Facts, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    import numpy as np
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from imgbatch.media import Blob, Gate
    from imgbatch.media.sampling import Sample
    from imgbatch.media.shots import Shot
    from imgbatch.settings import MediaSettings

# The slices of one frame are decoded side by side; frames one after another, see sampling.py. The
# number is fixed, whatever the cores: with more than one, FFmpeg conceals damage in another way.
SLICE_THREADS = 4
READ_BYTES = 2**18
# AVI has no presentation stamps, and from packets of these codecs FFmpeg cannot tell the order.
REORDERED = frozenset({"h264", "hevc"})


def claims(head: bytes) -> bool:
    """Tell by the first bytes whether a file is a video. Image sequences (HEIF, AVIF) are not."""
    return demuxer_of(head) is not None


def decode(
    blob: Blob,
    settings: MediaSettings,
    gate: Gate,
    *,
    full_size: bool = False,
    copies: float = 0.0,
) -> Media:
    """Open a video; its frames are sampled as `settings.video` says.

    Times count from the first frame that the video stream shows: (stamp - first stamp) times the
    stream's time base, so a late start or an edit list does not shift them.

    The first sampled frame is decoded at once (only it tells how the video is turned). The gate is
    held from here until the pictures are exhausted or closed: for the frames that decoders hold,
    the picture handed out (also in full size, where that can be had), and for `fps` the pictures
    and packets that wait. A caller that keeps
    pictures holds more, and must not ask the gate for more meanwhile.

    Args:
        blob: bytes for which `claims` is true.
        settings: sampling, decode size, largest picture.
        gate: caps decoded bytes in flight.
        full_size: pictures can be had in full size besides.
        copies: of one in full size, that are made at once.

    Returns:
        Media whose `pictures` is a generator; closing it closes file and decoder. Notes:
        `decode.tail` (the end is missing or did not decode), `decode.damaged` (something before it
        did not; a tick may then lack its frame), `frames:capped`, `time:estimated` (frames without
        a stamp, placed by the frame rate), `time:joined` (stamps began anew, and were carried on),
        `aspect:N:D` (pixels are not square; they are left so), and those of Shot.

    Raises:
        DecodeError: decode.unrecognised, decode.truncated, decode.corrupt, decode.bomb,
            decode.unsupported, decode.no-video, decode.no-frames.
        FetchError: fetch.failed, the file itself could not be read.
    """
    notes: list[str] = []
    steps = _steps(blob, settings, gate, notes, copies if full_size else None)
    facts = cast("Facts", next(steps))
    return Media(facts, cast("Generator[Picture]", steps), notes)


def _steps(
    blob: Blob, settings: MediaSettings, gate: Gate, notes: list[str], copies: float | None
) -> Generator[Facts | Picture]:
    """Yield the facts, then the pictures: one generator, so that one `close` frees everything."""
    with _boundary(), blob.open() as file:
        demuxer = demuxer_of(blob.head)
        if demuxer is None:
            raise DecodeError("decode.unrecognised", "not a video container that imgbatch reads")
        cut = is_cut(file, blob.size, demuxer)
        with _opened(file, demuxer, settings, cut=cut) as container:
            stream = _video_stream(container)
            _prepare(stream, settings, threads=SLICE_THREADS)
            _ignore_others(container, stream)
            full_size = copies is not None
            camera = partial(Camera, settings.min_side, keeps=full_size)
            needed = room(stream.codec_context, settings, blob.size, copies)
            with gate.hold(needed.bytes):
                timeline = _timeline(stream)
                reading = Reading(
                    container,
                    stream,
                    camera=camera(),
                    timeline=timeline,
                    splice=Splice(round(1 / timeline.unit), round(timeline.gap / timeline.unit)),
                    stamped=demuxer != "avi" or stream.codec_context.name not in REORDERED,
                )
                another = partial(_another_decoder, blob, demuxer, settings)
                with _sampled(reading, settings, another, camera, needed.waiting) as samples:
                    yield from _pictures(
                        reading, samples, settings, notes, cut=cut, full_size=full_size
                    )


@contextmanager
def _boundary() -> Iterator[None]:
    """Turn whatever hostile bytes raise into a DecodeError; what no bytes can cause passes."""
    try:
        yield
    except (SourceError, NameError, ImportError):
        raise
    except av.FFmpegError as error:
        raise DecodeError("decode.corrupt", f"FFmpeg: {error.strerror}") from error
    except OSError as error:
        raise FetchError("fetch.failed", f"the video cannot be read: {error}") from error
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise DecodeError("decode.corrupt", message) from error


def _opened(file: BinaryIO, demuxer: str, settings: MediaSettings, *, cut: bool) -> InputContainer:
    file.seek(0)
    options = {"max_pixels": str(settings.max_pixels)}  # for the frames that opening decodes
    try:
        return av.open(
            file,
            "r",
            format=demuxer,
            options=options,
            buffer_size=READ_BYTES,
            metadata_errors="replace",
        )
    except av.FFmpegError as error:
        ended = cut or isinstance(error, av.EOFError)
        code = "decode.truncated" if ended else "decode.corrupt"
        raise DecodeError(code, f"the video cannot be opened: {error.strerror}") from error


def _video_stream(container: InputContainer) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise DecodeError("decode.no-video", "no video stream among the file's streams")
    default = [s for s in streams if s.disposition & Disposition.default]
    return (default or streams)[0]


def _prepare(stream: VideoStream, settings: MediaSettings, *, threads: int) -> None:
    decoder = cast("VideoCodecContext | None", stream.codec_context)
    if decoder is None:
        raise DecodeError("decode.unsupported", "FFmpeg has no decoder for the video stream")
    if decoder.width * decoder.height > settings.max_pixels:
        raise _bomb(decoder.width, decoder.height, settings)
    # Frames may grow after the header; the decoder then refuses them.
    decoder.options = {"max_pixels": str(settings.max_pixels)}
    decoder.thread_type, decoder.thread_count = ThreadType.SLICE, threads


def _ignore_others(container: InputContainer, stream: VideoStream) -> None:
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all


def _another_decoder(blob: Blob, demuxer: str, settings: MediaSettings) -> VideoCodecContext:
    # Opened anew: a decoder made by hand lacks what the container and FFmpeg's probing found out.
    with blob.open() as file, _opened(file, demuxer, settings, cut=False) as container:
        stream = _video_stream(container)
        _prepare(stream, settings, threads=1)
        return stream.codec_context


def _timeline(stream: VideoStream) -> Timeline:
    rate = stream.average_rate or stream.guessed_rate
    gap = 1 / rate if rate else Fraction(1, 25)
    return Timeline(stream.time_base or gap, gap)


@contextmanager
def _sampled(
    reading: Reading,
    settings: MediaSettings,
    another_decoder: Callable[[], VideoCodecContext],
    another_camera: Callable[[], Camera],
    waiting: int,
) -> Iterator[Iterator[Sample]]:
    role_of = reader_of(reading.decoder)
    if settings.video.sample != "fps" or role_of is None or not reading.stamped:
        yield sample(reading, settings.video)
        return
    with lanes_of(reading, another_decoder, another_camera) as lanes:
        ticks = Ticks(
            reading,
            rate_of(settings.video),
            role_of=role_of,
            lanes=lanes,
            waiting=waiting,
        )
        yield ticks.samples()


def _pictures(
    reading: Reading,
    samples: Iterator[Sample],
    settings: MediaSettings,
    notes: list[str],
    *,
    cut: bool,
    full_size: bool,
) -> Generator[Facts | Picture]:
    facts = None
    for n, (shot, time) in enumerate(samples):
        if n == settings.video.max_frames:
            notes.append("frames:capped")
            break
        if facts is None:
            facts = _facts(reading, shot)
            notes.extend([*_aspect(reading.stream), *shot.notes])
            yield facts
        notes.extend(note for note in shot.notes if note not in notes)
        whole = partial(_whole, reading.camera, shot) if full_size else None
        yield Picture(shot.pixels, n, float(time), facts, whole)
    if facts is None:
        raise _nothing(reading, settings, cut=cut)
    notes.extend(reading.notes(cut=cut))


def _whole(camera: Camera, shot: Shot) -> AbstractContextManager[NDArray[np.uint8]]:
    """Give a frame in full size; the gate holds its place with the video's."""
    return nullcontext(camera.whole(shot))


def _nothing(reading: Reading, settings: MediaSettings, *, cut: bool) -> DecodeError:
    """Say why no frame came."""
    decoder = reading.decoder
    error = reading.decoding.error or reading.ended
    reason = f": {error}" if error else ""
    if decoder.coded_width * decoder.coded_height > settings.max_pixels:
        return _bomb(decoder.coded_width, decoder.coded_height, settings)
    if cut:
        return DecodeError("decode.truncated", f"the file ends before its first frame{reason}")
    if error:
        return DecodeError("decode.corrupt", f"no frame could be decoded{reason}")
    return DecodeError("decode.no-frames", "the video stream holds no frame")


def _bomb(width: int, height: int, settings: MediaSettings) -> DecodeError:
    message = f"{width} x {height} is more than {settings.max_pixels} pixels"
    return DecodeError("decode.bomb", message)


def _facts(reading: Reading, shot: Shot) -> Facts:
    stream = reading.stream
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return Facts(
        kind="video",
        format=reading.container.format.name,
        mode=shot.mode,
        width=shot.width,
        height=shot.height,
        duration=_duration(reading.container, stream),
        frame_rate=float(stream.average_rate) if stream.average_rate else None,
        codec=reading.decoder.codec.canonical_name,
        pixel_aspect=1 / aspect if shot.orientation >= 5 else aspect,  # noqa: PLR2004 - 5 to 8 exchange sides
    )


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the video stream's duration, else the container's, in seconds."""
    if stream.duration and stream.duration > 0 and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        return container.duration / av.time_base
    return None


def _aspect(stream: VideoStream) -> list[str]:
    aspect = stream.sample_aspect_ratio
    return [f"aspect:{aspect.numerator}:{aspect.denominator}"] if aspect and aspect != 1 else []
