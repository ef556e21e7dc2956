"""Videos: what is claimed, sampled frames and times against a plain decode, and hostile bytes."""

from __future__ import annotations

import gc
import io
import math
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from imgbatch.errors import DecodeError, FetchError
from imgbatch.media import Blob, video
from imgbatch.media.packets import Group, Role, groups, reader_of
from imgbatch.media.room import HELD_FRAMES
from imgbatch.media.shots import Camera
from imgbatch.media.ticks import LANES
from imgbatch.media.timeline import Clock, Timeline
from imgbatch.settings import MediaSettings, VideoSettings
from tests.media.clips import HEIGHT, WIDTH, Encoding, clip, encode, pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from imgbatch.media import Media
    from imgbatch.records import Picture

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpora" / "videos"

H264 = "x264-params=bframes=3:b-pyramid=normal:ref=4"
VARIABLE = tuple(40 * n + 17 * (n % 3) + 2500 * (n > 30) for n in range(60))
FAST = "deadline=realtime cpu-used=8"
ENCODINGS = {
    "h264-one-group": Encoding("mp4", "libx264", f"{H264}:scenecut=0"),
    "h264-groups": Encoding("mp4", "libx264", f"g=12 {H264}"),
    "h264-slices": Encoding("mp4", "libx264", f"g=12 {H264}:slices=4"),
    "h264-open-groups": Encoding("mp4", "libx264", f"g=10 {H264}:open-gop=1:scenecut=0"),
    "h264-transport-stream": Encoding("mpegts", "libx264", f"g=12 {H264}"),
    "h264-open-transport-stream": Encoding("mpegts", "libx264", f"g=10 {H264}:open-gop=1"),
    "h264-intra-refresh": Encoding("mp4", "libx264", "g=20 intra-refresh=1"),
    "h264-late-start": Encoding("matroska", "libx264", f"g=12 {H264}", shift=5000),
    "h264-variable-rate": Encoding("matroska", "libx264", f"g=15 {H264}", stamps=VARIABLE),
    "h264-edit-list": Encoding(
        "mp4",
        "libx264",
        f"g=20 {H264}:scenecut=0",
        muxing="avoid_negative_ts=disabled use_editlist=1",
        shift=-500,
    ),
    "h264-fragments": Encoding(
        "mp4", "libx264", f"g=12 {H264}", muxing="movflags=frag_keyframe+empty_moov"
    ),
    "h264-quicktime": Encoding("mov", "libx264", f"g=12 {H264}"),
    "h264-avi": Encoding("avi", "libx264", f"g=12 {H264}"),
    "h264-ten-bit": Encoding("mp4", "libx264", f"g=12 {H264}", pix_fmt="yuv420p10le"),
    "h264-fields": Encoding("mp4", "libx264", f"g=12 flags=+ildct+ilme {H264}"),
    "hevc": Encoding("mp4", "libx265", "x265-params=log-level=none:keyint=12:open-gop=0"),
    "hevc-open-groups": Encoding("mp4", "libx265", "x265-params=log-level=none:keyint=10"),
    "mpeg4-avi": Encoding("avi", "mpeg4", "g=12 bf=2"),
    "mpeg2-transport-stream": Encoding("mpegts", "mpeg2video", "g=12 bf=2"),
    "mpeg2-program-stream": Encoding("mpeg", "mpeg2video", "g=12 bf=2"),
    "mpeg2-mxf": Encoding("mxf", "mpeg2video", "g=12"),
    "vp8-webm": Encoding("webm", "libvpx", f"g=15 auto-alt-ref=1 lag-in-frames=10 {FAST}"),
    "vp8-ogg": Encoding("ogg", "libvpx", f"g=15 {FAST}"),
    "vp9-webm": Encoding("webm", "libvpx-vp9", f"g=15 {FAST}"),
    "vp9-ivf": Encoding("ivf", "libvpx-vp9", f"g=15 {FAST}"),
    "flv": Encoding("flv", "flv", "g=12"),
    "wmv": Encoding("asf", "wmv2", "g=12"),
    "mjpeg-avi": Encoding("avi", "mjpeg", pix_fmt="yuvj420p"),
}
TINY = ENCODINGS["h264-groups"]
TURNED = Encoding("mp4", "mpeg4")  # unlike libx264, the same frames always give the same bytes
LONG = 360
UNSCALED = (
    Interpolation.AREA
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
    | Interpolation.FULL_CHR_H_INT
)


class Gate:
    """Remembers what was asked for, and what is held now."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.held = 0

    @contextmanager
    def hold(self, decoded_bytes: int) -> Iterator[None]:
        self.asked.append(decoded_bytes)
        self.held += decoded_bytes
        try:
            yield
        finally:
            self.held -= decoded_bytes


class Shown(NamedTuple):
    time: Fraction
    is_key: bool
    pixels: NDArray[Any]


def opened(
    data: bytes, *, min_side: int = HEIGHT, max_pixels: int = 10**8, **video_settings: Any
) -> Media:
    settings = MediaSettings(
        min_side=min_side, max_pixels=max_pixels, video=VideoSettings(**video_settings)
    )
    return video.decode(Blob.of(data), settings, Gate())


def sampled(data: bytes, **settings: Any) -> list[Picture]:
    return list(opened(data, **settings).pictures)


@lru_cache(maxsize=2)
def plain_decode(data: bytes) -> list[Shown]:
    """Every frame, by one thread and nothing left out."""
    shown = []
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "NONE", 1
        start = None
        # AVI has no presentation stamps; these clips have 25 frames a second.
        ordered = container.format.name == "avi" and stream.codec_context.name == "h264"
        for n, frame in enumerate(container.decode(stream)):
            assert frame.pts is not None
            start = frame.pts if start is None else start
            at = Fraction(n, 25) if ordered else (frame.pts - start) * stream.time_base
            rgb = frame.reformat(
                format="rgb24", src_colorspace="ITU601", interpolation=UNSCALED, dst_color_range=2
            )
            shown.append(Shown(at, frame.key_frame, rgb.to_ndarray()))
    return shown


def at_ticks(shown: list[Shown], rate: Fraction) -> list[Shown]:
    """The first frame at or after each tick, written as the rule is told."""
    picked = []
    for k in range(math.floor(shown[-1].time * rate) + 1):
        first = next(one for one in shown if one.time >= k / rate)
        if not picked or first is not picked[-1]:
            picked.append(first)
    return picked


def assert_same(pictures: list[Picture], expected: list[Shown]) -> None:
    assert [p.time for p in pictures] == [float(one.time) for one in expected]
    assert [p.frame for p in pictures] == list(range(len(expected)))
    for picture, one in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(picture.pixels, one.pixels)


@pytest.fixture(params=ENCODINGS)
def data(request: pytest.FixtureRequest) -> bytes:
    return clip(ENCODINGS[request.param])


# --- sampling equals a plain decode ---------------------------------------------------------


def test_key_frames_are_those_of_a_plain_decode(data: bytes) -> None:
    expected = [one for one in plain_decode(data) if one.is_key]
    assert len(expected) >= 1
    assert_same(sampled(data, sample="keyframes"), expected)


@pytest.mark.parametrize("n", [1, 7])
def test_every_nth_frame_is_that_of_a_plain_decode(data: bytes, n: int) -> None:
    assert_same(sampled(data, sample="every_n", every_n=n), plain_decode(data)[::n])


@pytest.mark.parametrize("rate", ["0.4", "1.0", "3.7", "12.5", "100.0"])
def test_frames_at_ticks_are_those_of_a_plain_decode(data: bytes, rate: str) -> None:
    expected = at_ticks(plain_decode(data), Fraction(rate))
    assert_same(sampled(data, sample="fps", fps=float(rate)), expected)


def test_scenes_begin_at_the_first_frame_and_at_each_cut(data: bytes) -> None:
    found = sampled(data, sample="scene", scene_threshold=0.3)
    shown = plain_decode(data)
    assert_same(found, [shown[n] for n in (0, len(shown) - 40, len(shown) - 20)])


def test_the_edit_list_begins_between_key_frames() -> None:
    shown = plain_decode(clip(ENCODINGS["h264-edit-list"]))
    assert not shown[0].is_key
    assert len(shown) < 60


def test_the_variable_rate_is_kept_exactly() -> None:
    times = [
        p.time for p in sampled(clip(ENCODINGS["h264-variable-rate"]), sample="every_n", every_n=1)
    ]
    assert times == [stamp / 1000 for stamp in VARIABLE]


@pytest.mark.parametrize(("name", "most"), [("h264-groups", 30), ("hevc", 40), ("mjpeg-avi", 12)])
def test_ticks_need_fewer_packets_than_there_are(name: str, most: int) -> None:
    cut, unit = grouped(clip(ENCODINGS[name]))
    assert sum(len(group.members) for group in cut) == 60
    start, clock, needed = cut[0].stamps()[0], Clock(Fraction(4)), 0
    for group in cut:
        targets = {pts for pts in group.stamps() if clock.strikes((pts - start) * unit)}
        needed += len(group.needed(targets))
    assert needed <= most


def grouped(data: bytes) -> tuple[list[Group], Fraction]:
    """A clip's groups, all of which stand by themselves, and its time base."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        role_of = reader_of(stream.codec_context)
        packets = (packet for packet in container.demux(stream) if packet.size)
        cut = list(groups(packets, role_of))
        assert all(isinstance(group, Group) for group in cut)
        return cut, stream.time_base


def test_ticks_of_a_codec_without_proof_decode_in_order() -> None:
    gate = Gate()
    settings = MediaSettings(min_side=16, video=VideoSettings(sample="fps"))
    video.decode(Blob.of(clip(ENCODINGS["vp8-webm"])), settings, gate)
    assert gate.asked == [WIDTH * HEIGHT * 3 // 2 * HELD_FRAMES + 24 * 16 * 3]


@pytest.mark.parametrize(
    "limit",
    ["packets.GROUP_PACKETS", "packets.GROUP_BYTES", "room.WAITING_BYTES"],
)
@pytest.mark.parametrize("name", ["h264-groups", "h264-transport-stream", "hevc"])
def test_groups_that_are_too_large_are_decoded_in_order(
    monkeypatch: pytest.MonkeyPatch, limit: str, name: str
) -> None:
    monkeypatch.setattr(f"imgbatch.media.{limit}", 5)
    data = clip(ENCODINGS[name])
    assert_same(sampled(data, sample="fps", fps=3.7), at_ticks(plain_decode(data), Fraction("3.7")))


def test_a_start_without_parameter_sets_is_not_clean_once_others_brought_them() -> None:
    roles = iter(
        [
            Role(clean=True, parameters=True),
            Role(),
            Role(clean=True),
            Role(clean=True, parameters=True),
        ]
    )
    packets = [av.Packet(b"x") for _ in range(4)]
    cut = list(groups(iter(packets), lambda _: next(roles)))
    assert [len(group.members) for group in cut if isinstance(group, Group)] == [3, 1]


def test_frames_without_stamps_follow_at_the_average_rate() -> None:
    timeline = Timeline(Fraction(1, 1000), Fraction(1, 25))
    assert [timeline.place(pts) for pts in (None, None, 1080, None)] == [
        0,
        Fraction(1, 25),
        Fraction(2, 25),
        Fraction(3, 25),
    ]
    assert timeline.start == 1000


def test_the_cap_is_noted_only_when_more_would_have_come() -> None:
    media = opened(clip(TINY), sample="every_n", every_n=10, max_frames=6)
    assert len(list(media.pictures)) == 6
    assert media.notes == []
    media = opened(clip(TINY), sample="every_n", every_n=10, max_frames=5)
    assert len(list(media.pictures)) == 5
    assert media.notes == ["frames:capped"]


# --- pixels ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("min_side", "size"),
    [(16, (24, 16)), (17, (36, 24)), (33, (60, 40)), (64, (96, 64)), (200, (96, 64))],
)
def test_the_decode_size_is_the_smallest_eighth_that_keeps_the_side(
    min_side: int, size: tuple[int, int]
) -> None:
    picture = next(opened(clip(TINY), min_side=min_side).pictures)
    assert picture.pixels.shape == (size[1], size[0], 3)
    assert (picture.facts.width, picture.facts.height) == (WIDTH, HEIGHT)


def test_scaling_is_by_area() -> None:
    full = next(opened(clip(TINY)).pictures).pixels
    small = next(opened(clip(TINY), min_side=32).pictures).pixels
    expected = cv2.resize(full, (48, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 1.0


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_comes_out_upright(degrees: int) -> None:
    views = pictures(5)
    level = next(opened(encode(views, TURNED)).pictures)
    turned = next(opened(encode(views, TURNED, rotation=degrees)).pictures)
    # The matrix turns counterclockwise, as numpy does.
    np.testing.assert_array_equal(turned.pixels, np.rot90(level.pixels, degrees // 90))
    assert (turned.facts.height, turned.facts.width) == turned.pixels.shape[:2]
    assert turned.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("flip", "expected"),
    [({"hflip": True}, lambda p: p[:, ::-1]), ({"vflip": True}, lambda p: p[::-1])],
)
def test_a_mirrored_video_comes_out_as_shown(flip: dict[str, bool], expected: Any) -> None:
    views = pictures(5)
    level = next(opened(encode(views, TURNED)).pictures)
    mirrored = next(opened(encode(views, TURNED, flip=flip)).pictures)
    np.testing.assert_array_equal(mirrored.pixels, expected(level.pixels))


def test_a_slant_that_is_no_right_angle_is_ignored_and_noted() -> None:
    views = pictures(5)
    media = opened(encode(views, TURNED, rotation=30))
    level = next(opened(encode(views, TURNED)).pictures)
    np.testing.assert_array_equal(next(media.pictures).pixels, level.pixels)
    assert media.notes == ["rotation:ignored"]


class Matrix(NamedTuple):
    """Weights of red and blue in luma: ITU-R BT.601-7 (2.5.1), BT.709-6 (3.2)."""

    red: float
    blue: float

    def levels(self, colour: tuple[int, int, int], *, full_range: bool) -> tuple[int, int, int]:
        """Luma, blue and red difference of an R'G'B' colour, as 8-bit levels."""
        red, green, blue = colour
        luma = self.red * red + (1 - self.red - self.blue) * green + self.blue * blue
        differences = (blue - luma) / (2 - 2 * self.blue), (red - luma) / (2 - 2 * self.red)
        if full_range:
            return round(luma), *(round(128 + d) for d in differences)  # type: ignore[return-value]
        return round(16 + luma * 219 / 255), *(round(128 + d * 224 / 255) for d in differences)  # type: ignore[return-value]


BT601, BT709 = Matrix(0.299, 0.114), Matrix(0.2126, 0.0722)
MARKED_709, UNMARKED, MARKED_601 = 1, 2, 6


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(
    ("size", "mark", "matrix"),
    [
        ((96, 64), MARKED_601, BT601),
        ((96, 64), MARKED_709, BT709),
        ((96, 64), UNMARKED, BT601),
        ((1280, 720), UNMARKED, BT709),
        ((1280, 720), MARKED_601, BT601),
    ],
)
def test_colours_follow_the_matrix_and_the_range(
    size: tuple[int, int], mark: int, matrix: Matrix, *, full_range: bool
) -> None:
    colour = (200, 80, 40)
    levels = matrix.levels(colour, full_range=full_range)
    data = flat(size, levels, space=mark, full_range=full_range)
    pixels = next(opened(data).pictures).pixels
    assert np.abs(pixels.reshape(-1, 3).astype(int) - colour).max() <= 3  # another matrix: 12


def flat(size: tuple[int, int], levels: tuple[int, ...], *, space: int, full_range: bool) -> bytes:
    """A lossless video of one colour, given as luma and chroma."""
    width, height = size
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.colorspace = space
        stream.codec_context.color_range = 2 if full_range else 1
        planes = np.full((height * 3 // 2, width), levels[0], np.uint8)
        planes[height : height * 5 // 4] = levels[1]
        planes[height * 5 // 4 :] = levels[2]
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        frame.colorspace, frame.color_range = space, 2 if full_range else 1
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target.getvalue()


# --- facts and notes ------------------------------------------------------------------------


def test_facts_say_what_the_header_says() -> None:
    facts = opened(clip(TINY)).facts
    assert (facts.kind, facts.format, facts.mode, facts.codec) == (
        "video",
        "mov",
        "yuv420p",
        "h264",
    )
    assert (facts.width, facts.height) == (WIDTH, HEIGHT)
    assert facts.duration == pytest.approx(2.4)
    assert facts.frame_rate == pytest.approx(25)


def test_pixels_that_are_not_square_are_noted() -> None:
    media = opened(encode(pictures(5), TINY, aspect=Fraction(16, 15)))
    assert media.notes == ["aspect:16:15"]
    assert next(media.pictures).pixels.shape == (HEIGHT, WIDTH, 3)


def test_transparency_is_dropped_and_noted() -> None:
    encoding = Encoding("matroska", "ffv1", pix_fmt="yuva420p")
    assert opened(encode(pictures(3), encoding)).notes == ["alpha:drop"]


# --- claims ---------------------------------------------------------------------------------


def test_every_encoding_is_claimed(data: bytes) -> None:
    assert video.claims(data[:4096])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"G",
        b"GIF89a" + bytes(4000),
        b"\xff\xd8\xff\xe0" + bytes(4000),
        b"RIFF\x10\x00\x00\x00WEBPVP8 ",
        b"RIFF\x10\x00\x00\x00WAVEfmt ",
        *(b"\x00\x00\x00\x1cftyp" + brand + bytes(16) for brand in (b"heic", b"avif", b"mif1")),
        b"\x00\x00\x00\x1cftypM4A " + bytes(16),
        b"OggS\x00\x02" + bytes(22) + b"\x01\x1e\x01vorbis" + bytes(100),
        b"The free world" + b" and so on" * 100,
        b"ID3\x03" + bytes(1000),
    ],
)
def test_what_is_no_video_is_not_claimed(head: bytes) -> None:
    assert not video.claims(head)


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"qt  ", b"3gp5", b"M4V ", b"avc1", b"iso6"])
def test_video_brands_are_claimed(brand: bytes) -> None:
    assert video.claims(b"\x00\x00\x00\x1cftyp" + brand + bytes(16))


def test_quicktime_without_a_brand_is_claimed_and_read() -> None:
    data = clip(ENCODINGS["h264-quicktime"])
    bare = free_box(data)
    assert video.claims(bare[:4096])
    assert len(sampled(bare)) == len(sampled(data))


def free_box(data: bytes) -> bytes:
    """The same file with its first box, ftyp, made a `wide` one of the same length."""
    assert data[4:8] == b"ftyp"
    return data[:4] + b"wide" + data[8:]


# --- hostile bytes --------------------------------------------------------------------------


def outcome(data: bytes, **settings: Any) -> str:
    """The error class, or how many pictures came and with which notes."""
    try:
        media = opened(data, **settings)
        count = len(list(media.pictures))
    except DecodeError as error:
        return error.code
    assert count > 0
    return f"{count} {media.notes}"


@pytest.mark.parametrize(
    "name", ["h264-transport-stream", "h264-avi", "vp9-webm", "h264-fragments"]
)
@pytest.mark.parametrize("sample", ["keyframes", "fps", "every_n"])
def test_a_broken_tail_is_ok_and_noted(name: str, sample: str) -> None:
    data = clip(ENCODINGS[name])
    media = opened(data[: len(data) * 2 // 3 + 1], sample=sample, every_n=1, fps=5)
    assert 0 < len(list(media.pictures)) < 60
    assert "decode.tail" in media.notes


def test_a_movie_whose_index_lies_behind_the_cut_is_truncated() -> None:
    data = clip(TINY)
    assert outcome(data[: len(data) // 2]) == "decode.truncated"


@pytest.mark.parametrize(
    "name", ["h264-groups", "h264-transport-stream", "h264-avi", "vp9-webm", "flv", "wmv"]
)
def test_any_length_has_an_outcome(name: str) -> None:
    data = clip(ENCODINGS[name])
    # ASF ends with an index that nothing here needs, and does not say how long it is.
    end = len(data) * 4 // 5 if name == "wmv" else len(data)
    whole = outcome(data, sample="fps", fps=5)
    for length in [*range(0, 400, 23), *range(400, end, len(data) // 20)]:
        result = outcome(data[:length], sample="fps", fps=5)
        assert result != whole, f"cut to {length} of {len(data)} bytes without a word"


@pytest.mark.parametrize("name", ["h264-groups", "h264-transport-stream", "vp9-webm", "mpeg4-avi"])
def test_any_flipped_bits_have_an_outcome(name: str) -> None:
    rng = random.Random(name)
    original = clip(ENCODINGS[name])
    for _ in range(60):
        data = bytearray(original)
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        sample = rng.choice(["keyframes", "fps", "every_n", "scene"])
        assert outcome(bytes(data), sample=sample, fps=5)


@pytest.mark.parametrize("sample", ["every_n", "fps"])
def test_damage_in_the_middle_is_noted_and_the_rest_still_comes(sample: str) -> None:
    data = bytearray(clip(TINY))
    middle = data.index(b"mdat") + len(data) // 2
    data[middle : middle + 1500] = random.Random(0).randbytes(1500)
    media = opened(bytes(data), sample=sample, every_n=1, fps=25.0)
    times = [p.time for p in media.pictures]
    assert media.notes == ["decode.damaged"]
    assert times[-1] > 2


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x1cftypisom\x00\x00\x02\x00isomiso2avc1mp41",
        b"\x1a\x45\xdf\xa3" + bytes(500),
        b"RIFF\xff\xff\x00\x00AVI LIST" + bytes(500),
        b"FLV\x01\x01\x00\x00\x00\x09" + bytes(50),
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(200),
        (b"\x47" + bytes(187)) * 8,
        b"DKIF\x00\x00\x20\x00VP90" + bytes(40),
    ],
    ids=["mp4", "matroska", "avi", "flv", "asf", "ts", "ivf"],
)
def test_a_header_without_a_video_fails(data: bytes) -> None:
    assert outcome(data).startswith("decode.")


def test_a_video_without_a_frame_says_so() -> None:
    assert outcome(encode([], ENCODINGS["vp9-ivf"])) == "decode.no-frames"


def test_sound_with_a_cover_is_no_video() -> None:
    assert outcome(sound(cover=False)) == "decode.no-video"
    assert outcome(sound(cover=True)) == "decode.no-video"


def sound(*, cover: bool) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=44100)
        art = out.add_stream("mjpeg", rate=25) if cover else None
        if art is not None:
            art.width, art.height, art.pix_fmt = 64, 64, "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
            black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            out.mux(art.encode(black.reformat(format="yuvj420p")))
            out.mux(art.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target.getvalue()


def test_a_frame_above_the_limit_is_a_bomb_before_it_is_decoded() -> None:
    gate = Gate()
    settings = MediaSettings(max_pixels=WIDTH * HEIGHT - 1)
    with pytest.raises(DecodeError, match="96 x 64") as raised:
        video.decode(Blob.of(clip(TINY)), settings, gate)
    assert raised.value.code == "decode.bomb"
    assert gate.asked == []


def joined() -> bytes:
    """A transport stream that grows from 96 x 64 to 384 x 256 in its middle."""
    encoding = ENCODINGS["h264-transport-stream"]
    large = [cv2.resize(view, (384, 256)) for view in pictures(20)]
    return encode(pictures(20), encoding) + encode(large, encoding._replace(shift=1000))


@pytest.mark.parametrize("sample", ["every_n", "fps", "keyframes", "scene"])
def test_each_frame_has_its_own_size(sample: str) -> None:
    frames = sampled(joined(), min_side=256, sample=sample, every_n=1, fps=50.0)
    assert {p.pixels.shape for p in frames} == {(64, 96, 3), (256, 384, 3)}


def test_a_frame_that_outgrows_the_limit_later_is_a_bomb() -> None:
    assert outcome(joined(), max_pixels=WIDTH * HEIGHT) == "decode.bomb"


def test_a_file_that_cannot_be_read_is_not_called_corrupt() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 2000:
                raise OSError("the disk is gone")
            return super().read(size)

    data = clip(TINY)
    blob = Blob(data[:4096], len(data), None, lambda: Failing(data))
    with pytest.raises(FetchError, match="the disk is gone"):
        list(video.decode(blob, MediaSettings(), Gate()).pictures)


# --- what is held and freed -----------------------------------------------------------------


class Tracked(io.BytesIO):
    """A file that remembers its siblings."""

    opened: list[Tracked] = []  # noqa: RUF012 - shared on purpose

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.opened.append(self)


def threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def soon(holds: Callable[[], bool]) -> bool:
    """Whether something holds within two seconds: the kernel counts a joined thread for a while."""
    end = time.monotonic() + 2
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("sample", ["fps", "every_n", "scene", "keyframes"])
@pytest.mark.parametrize("pictures_taken", [0, 1, 2])
def test_closing_early_frees_file_decoder_and_gate(pictures_taken: int, sample: str) -> None:
    data = clip(ENCODINGS["h264-transport-stream"])
    before, gate = threads(), Gate()
    blob = Blob(data[:4096], len(data), None, lambda: Tracked(data))
    settings = MediaSettings(min_side=HEIGHT, video=VideoSettings(sample=sample, fps=5))
    media = video.decode(blob, settings, gate)
    for _ in range(pictures_taken):
        next(media.pictures)
    assert gate.held > 0
    media.pictures.close()
    assert gate.held == 0
    assert all(file.closed for file in Tracked.opened)
    del media
    assert soon(lambda: threads() <= before)


def test_the_gate_is_held_for_the_decoders_frames() -> None:
    gate = Gate()
    media = video.decode(Blob.of(clip(TINY)), MediaSettings(min_side=16), gate)
    frame, picture = WIDTH * HEIGHT * 3 // 2, 24 * 16 * 3
    assert gate.asked == [frame * HELD_FRAMES + picture]
    list(media.pictures)
    assert gate.held == 0


@pytest.mark.parametrize("sample", ["fps", "every_n", "scene", "keyframes"])
def test_frames_can_be_had_in_full_size_and_the_gate_is_held_for_them(sample: str) -> None:
    data, gate = clip(ENCODINGS["h264-transport-stream"]), Gate()
    settings = MediaSettings(min_side=16, video=VideoSettings(sample=sample, fps=5))  # type: ignore[arg-type]
    whole = opened(data, sample=sample, fps=5).pictures
    media = video.decode(Blob.of(data), settings, gate, full_size=True)
    reduced = video.decode(Blob.of(data), settings, Gate(), full_size=False).pictures
    count = 0
    for picture, small, full in zip(media.pictures, reduced, whole, strict=True):
        assert picture.whole is not None
        assert small.whole is None
        with picture.whole() as pixels:
            assert np.array_equal(pixels, full.pixels)
        assert np.array_equal(picture.pixels, small.pixels)
        assert picture.pixels.shape[0] < HEIGHT
        count += 1
    assert count > 1
    # A frame that is kept, and its planes and rows of RGB.
    assert gate.asked[0] >= WIDTH * HEIGHT * (HELD_FRAMES * 3 // 2 + 3 // 2 + 9)
    assert gate.held == 0


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)])
@pytest.mark.parametrize(("luma", "grey"), [(16, 0), (126, 128), (235, 255)])
def test_grey_of_a_frame_is_as_bright_as_it_says(
    luma: int, grey: int, size: tuple[int, int]
) -> None:
    frame = av.VideoFrame(*size, "yuv420p")
    for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    pixels = Camera(256).take(frame).pixels
    assert set(np.unique(pixels)) == {grey}


@pytest.mark.parametrize(
    "layout", ["yuv444p", "yuvj420p", "yuv422p10le", "yuva420p", "nv12", "gray", "bgr0", "rgb565be"]
)
@pytest.mark.parametrize("min_side", [64, 256])
def test_colours_of_a_frame_are_the_same_in_every_layout(layout: str, min_side: int) -> None:
    colours = [(224, 32, 64), (32, 192, 96), (64, 96, 224), (128, 128, 128)]
    grey = [(0.299 * red + 0.587 * green + 0.114 * blue,) * 3 for red, green, blue in colours]
    blocks = np.array(colours, np.uint8).reshape(2, 2, 3).repeat(128, 0).repeat(128, 1)
    frame = av.VideoFrame.from_ndarray(blocks, "rgb24").reformat(format=layout)
    pixels = Camera(min_side).take(frame).pixels
    assert pixels.shape == (min_side, min_side, 3)
    assert pixels.flags.c_contiguous
    quarter = min_side // 4
    middles = pixels[quarter :: 2 * quarter, quarter :: 2 * quarter].reshape(4, 3)
    # RGB565 keeps five bits of red and blue, in steps of eight levels.
    np.testing.assert_allclose(middles, grey if layout == "gray" else colours, atol=8)


@pytest.mark.parametrize("sample", ["every_n", "fps", "keyframes", "scene"])
def test_no_frame_waits_for_the_garbage_collector(sample: str) -> None:
    gc.collect()
    before = frames_alive()
    gc.disable()
    try:
        media = opened(clip(ENCODINGS["mjpeg-avi"]), sample=sample, every_n=1, fps=25.0)
        assert sum(1 for _ in media.pictures) >= 3
        left = frames_alive() - before
    finally:
        gc.enable()
    assert left <= 1 + LANES  # the frame from which each decoder's angle was read


def frames_alive() -> int:
    return alive(av.VideoFrame)


def alive(kind: type) -> int:
    # By type: `isinstance` asks each object for its class, and some of torch's warn when asked.
    return sum(issubclass(type(one), kind) for one in gc.get_objects())


@pytest.mark.parametrize("sample", ["every_n", "fps", "keyframes", "scene"])
@pytest.mark.parametrize("name", ["h264-groups", "mjpeg-avi"])
def test_what_a_video_holds_does_not_grow_with_its_length(name: str, sample: str) -> None:
    data = clip(ENCODINGS[name]._replace(frames=LONG))
    gc.collect()
    frames_before, packets_before = frames_alive(), alive(av.Packet)
    most_frames = most_packets = taken = 0
    media = opened(data, sample=sample, every_n=1, fps=25.0, scene_threshold=0.01)
    for _ in media.pictures:
        taken += 1
        if taken % 10 == 1:
            most_frames = max(most_frames, frames_alive() - frames_before)
            most_packets = max(most_packets, alive(av.Packet) - packets_before)
    assert taken >= 30
    # Seen: 18 frames, and of packets those of a group of twelve for each lane and one more.
    assert most_frames <= 40 < LONG // 8
    assert most_packets <= 12 * (LANES + 2) < LONG // 4


def test_a_failure_leaves_nothing_behind() -> None:
    before, gate = threads(), Gate()
    data = bytearray(clip(ENCODINGS["h264-transport-stream"]))
    data[600:] = b"\x47" * (len(data) - 600)
    with pytest.raises(DecodeError):
        list(video.decode(Blob.of(bytes(data)), MediaSettings(), gate).pictures)
    assert gate.held == 0
    assert soon(lambda: threads() <= before)


def test_a_damaged_video_says_nothing_on_the_terminal(tmp_path: Path) -> None:
    data = bytearray(clip(TINY))
    data[3000:3400] = random.Random(1).randbytes(400)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    program = (
        "import sys; from contextlib import nullcontext; from types import SimpleNamespace\n"
        "from imgbatch.media import Blob, video; from imgbatch.settings import MediaSettings\n"
        "gate = SimpleNamespace(hold=lambda n: nullcontext())\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "media = video.decode(Blob.of(data), MediaSettings(video={'sample': 'every_n'}), gate)\n"
        "print(len(list(media.pictures)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) > 0
    assert ran.stderr == ""


@pytest.mark.parametrize("sample", ["every_n", "fps", "keyframes"])
@pytest.mark.parametrize("name", ["h264-one-group", "h264-slices", "vp9-webm"])
def test_the_same_damaged_bytes_give_the_same_pictures(name: str, sample: str) -> None:
    rng = random.Random(name)
    for _ in range(5):
        data = bytearray(clip(ENCODINGS[name]))
        for _ in range(20):
            data[rng.randrange(500, len(data) - 3000)] ^= 1 << rng.randrange(8)
        results = [everything(bytes(data), sample=sample, every_n=1, fps=9.0) for _ in range(4)]
        assert all(again == results[0] for again in results)


def everything(data: bytes, **settings: Any) -> Any:
    try:
        media = opened(data, **settings)
        return [(p.time, p.pixels.tobytes()) for p in media.pictures], media.notes
    except DecodeError as error:
        return error.code, str(error)


@pytest.mark.parametrize("form", ["mpegts", "flv"])
@pytest.mark.parametrize(
    "settings",
    [
        {"sample": "fps", "fps": 1.0},
        {"sample": "every_n", "every_n": 25},
        {"sample": "keyframes"},
    ],
)
def test_of_two_recordings_that_were_joined_the_second_is_sampled_too(
    form: str, settings: dict[str, Any]
) -> None:
    own = clip(Encoding(form, "libx264", "g=25 bf=2", frames=100))
    once = opened(own, **settings)
    alone = [(picture.time, picture.pixels.tobytes()) for picture in once.pictures]
    assert "time:joined" not in once.notes
    # An FLV's header comes once, at its front.
    media = opened(own + (own if form == "mpegts" else own[13:]), **settings)
    both = [(picture.time, picture.pixels.tobytes()) for picture in media.pictures]
    assert len(both) == 2 * len(alone)
    assert [pixels for _, pixels in both] == 2 * [pixels for _, pixels in alone]
    times = [time for time, _ in both if time is not None]
    assert times == sorted(set(times))
    assert both[len(alone)][0] == pytest.approx(4.0, abs=0.05)
    assert "time:joined" in media.notes
