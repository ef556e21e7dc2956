"""Whole videos, masked: what is carried from frame to frame, what is kept, what never goes along.

The detector of these tests finds a red square, exactly: it is fooled where a test wants it to be.
"""

from __future__ import annotations

import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgbatch.copies import write_copies
from imgbatch.copies.carry import Seen, carried
from imgbatch.copies.video import copy_video
from imgbatch.errors import DecodeError, PreprocessError
from imgbatch.media import Blob, video
from imgbatch.media.encode import VideoFile
from imgbatch.media.gate import ByteGate
from imgbatch.preprocess.masks import mask
from imgbatch.settings import Limits, MediaSettings, VideoSettings
from tests.media.clips import Encoding, encode, pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.media import Media
    from imgbatch.preprocess.masks import Box
    from imgbatch.records import Picture

EVERY = MediaSettings(
    min_side=2**31, exact=True, video=VideoSettings(sample="every_n", every_n=1, max_frames=10**6)
)
RED, GROUND = (230, 20, 20), (40, 120, 60)
SIDE = 24


def opened(path: Path) -> Media:
    return video.decode(Blob.of(path.read_bytes()), EVERY, ByteGate(2**28))


def frames(path: Path) -> list[Picture]:
    return list(opened(path).pictures)


def red_square(picture: Picture) -> list[Box]:
    """Find the red square, however its border came out of the encoder."""
    pixels = picture.pixels
    red = (pixels[:, :, 0] > 150) & (pixels[:, :, 1] < 90)
    if red.sum() < SIDE:
        return []
    rows, columns = np.nonzero(red)
    x, y = int(columns.min()), int(rows.min())
    return [(x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y)]


def drawn(n: int, *, wide: int = 160, high: int = 120) -> np.ndarray:
    pixels = np.full((high, wide, 3), GROUND, np.uint8)
    x = 10 + 3 * n
    pixels[40 : 40 + SIDE, x : x + SIDE] = RED
    return pixels


def clip(path: Path, times: Sequence[float], **size: int) -> Path:
    """Write a square that moves 3 pixels to the right from frame to frame."""
    with VideoFile(str(path), crf=10) as file:
        for n, time in enumerate(times):
            file.add(drawn(n, **size), time)
    return path


def solid(picture: Picture, boxes: Sequence[Box] | None) -> np.ndarray:
    return mask(picture.pixels, boxes or [], grow=0.2)


def red_left(path: Path) -> list[int]:
    return [
        int(((p.pixels[:, :, 0].astype(int) - p.pixels[:, :, 1]) > 60).sum()) for p in frames(path)
    ]


def look_of(path: Path) -> tuple[tuple[int, int], Fraction | None]:
    """Return the size of a video's frames, and how wide one of their pixels is to its height."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return (stream.width, stream.height), stream.sample_aspect_ratio


# As stored, turned for show, the steps, and what the copy is to be.
LOOKS = [
    (Fraction(4, 3), 0, [], (96, 64), Fraction(4, 3)),
    (Fraction(4, 3), 90, [], (64, 96), Fraction(3, 4)),
    (Fraction(4, 3), 180, [], (96, 64), Fraction(4, 3)),
    (Fraction(4, 3), 0, [{"name": "rotate", "degrees": 90, "expand": True}], (64, 96), (3, 4)),
    (Fraction(4, 3), 90, [{"name": "rotate", "degrees": -90, "expand": True}], (96, 64), (4, 3)),
    (Fraction(16, 11), 0, [{"name": "crop_center", "width": 31, "height": 21}], (32, 22), (16, 11)),
    (None, 0, [], (96, 64), 1),
]


@pytest.mark.parametrize(("aspect", "rotation", "steps", "size", "shown"), LOOKS)
def test_pixels_that_are_not_square_stay_as_wide_as_they_are(
    tmp_path: Path, aspect: Any, rotation: int, steps: Any, size: Any, shown: Any
) -> None:
    (tmp_path / "in").mkdir()
    made = Encoding("mp4", "libx264", frames=5)
    data = encode(pictures(5), made, rotation=rotation, aspect=aspect)
    (tmp_path / "in/a.mp4").write_bytes(data)
    tables = "".join(f"[[steps]]\n{_toml(step)}" for step in steps)
    text = f'{tables}[output]\nvideos = "mp4"\n'
    write_copies(str(tmp_path / "in"), str(tmp_path / "out"), text, limits=Limits(threads=1))
    (copy,) = (tmp_path / "out").rglob("*.mp4")
    expected = Fraction(*shown) if isinstance(shown, tuple) else Fraction(shown)
    found_size, found = look_of(copy)
    assert (found_size, found or Fraction(1)) == (size, expected)


def _toml(step: dict[str, object]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in step.items())


TIMES = [n / 10 for n in range(30)]


def test_every_frame_is_masked_and_keeps_its_time(tmp_path: Path) -> None:
    uneven = [0, 0.1, 0.25, 0.3, 0.7, 1.9, 2, 2.04]
    source = clip(tmp_path / "in.mp4", uneven)
    copied = copy_video(
        partial(opened, source),
        str(tmp_path / "out.mp4"),
        change=solid,
        masking=(red_square, 0),
        crf=20,
    )
    assert (copied.width, copied.height, copied.frames, copied.faces, copied.masked) == (
        160,
        120,
        8,
        8,
        8,
    )
    assert [p.time for p in frames(tmp_path / "out.mp4")] == pytest.approx(uneven, abs=1e-5)
    assert min(red_left(source)) > 400
    assert max(red_left(tmp_path / "out.mp4")) == 0


def test_a_face_that_is_missed_for_a_moment_stays_masked(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", TIMES)
    calls: list[int] = []

    def blinking(picture: Picture) -> list[Box]:
        calls.append(1)
        return [] if len(calls) % 5 in (2, 3) else red_square(picture)

    out = str(tmp_path / "out.mp4")
    copied = copy_video(partial(opened, source), out, change=solid, masking=(blinking, 0.2), crf=20)
    assert (copied.frames, copied.faces, copied.masked) == (30, 18, 30)
    assert max(red_left(Path(out))) == 0

    calls.clear()
    copy_video(partial(opened, source), out, change=solid, masking=(blinking, 0), crf=20)
    assert sum(left > 300 for left in red_left(Path(out))) == 12


BOXES = st.lists(st.tuples(*[st.integers(0, 3)] * 4), max_size=2)


@settings(deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, 5), BOXES), max_size=30), st.integers(0, 12))
def test_carrying_is_the_union_over_all_frames_that_are_near(
    steps: list[tuple[int, list[tuple[int, int, int, int]]]], seconds: int
) -> None:
    time, seen = 0, []
    for wait, boxes in steps:
        time += wait
        seen.append(Seen(time, tuple(boxes)))
    for frame, boxes in zip(seen, carried(seen, seconds=seconds), strict=True):
        near = [one for one in seen if abs(one.time - frame.time) <= seconds]
        assert set(boxes) == {box for one in near for box in one.boxes}
        assert len(boxes) == len(set(boxes))
        assert set(frame.boxes) <= set(boxes)


def test_without_masking_nobody_looks_and_every_frame_is_kept(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", TIMES[:5])
    copied = copy_video(
        partial(opened, source),
        str(tmp_path / "out.mp4"),
        change=lambda picture, boxes: picture.pixels,  # noqa: ARG005 - the shape of a change
        masking=None,
        crf=10,
    )
    assert (copied.frames, copied.faces, copied.masked) == (5, None, None)
    for before, after in zip(frames(source), frames(tmp_path / "out.mp4"), strict=True):
        assert np.abs(before.pixels.astype(int) - after.pixels).mean() < 4


def test_the_same_video_gives_the_same_file(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", TIMES[:10])
    for name in ("one.mp4", "two.mp4"):
        copy_video(
            partial(opened, source),
            str(tmp_path / name),
            change=solid,
            masking=(red_square, 0.5),
            crf=20,
        )
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_an_odd_side_is_made_even_and_loses_nothing(tmp_path: Path) -> None:
    clip(tmp_path / "odd.mp4", TIMES[:3], wide=161, high=121)
    for n, picture in enumerate(frames(tmp_path / "odd.mp4")):
        assert picture.pixels.shape == (122, 162, 3)
        expected = drawn(n, wide=162, high=122)
        assert np.abs(picture.pixels.astype(int) - expected).mean() < 4


def test_a_detector_that_fails_on_one_frame_fails_the_video(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", TIMES)
    calls: list[int] = []

    def failing(picture: Picture) -> list[Box]:
        calls.append(1)
        if len(calls) == 20:
            raise PreprocessError("preprocess.mask", "out of device memory")
        return red_square(picture)

    with pytest.raises(PreprocessError, match="out of device memory"):
        copy_video(
            partial(opened, source),
            str(tmp_path / "out.mp4"),
            change=solid,
            masking=(failing, 0.5),
            crf=20,
        )
    assert not (tmp_path / "out.mp4").exists()


def test_a_video_that_is_another_at_second_sight_fails(tmp_path: Path) -> None:
    shown = iter([clip(tmp_path / "a.mp4", TIMES[:9]), clip(tmp_path / "b.mp4", TIMES[:10])])
    with pytest.raises(DecodeError, match="decoded twice"):
        copy_video(
            lambda: opened(next(shown)),
            str(tmp_path / "out.mp4"),
            change=solid,
            masking=(red_square, 0.5),
            crf=20,
        )


def test_frames_of_changing_size_are_refused(tmp_path: Path) -> None:
    with VideoFile(str(tmp_path / "x.mp4"), crf=20) as file:
        file.add(drawn(0), 0)
        with pytest.raises(PreprocessError, match="after one of"):
            file.add(drawn(1, wide=162), 1)


def test_a_copy_has_one_stream_and_no_tags(tmp_path: Path) -> None:
    clip(tmp_path / "x.mp4", TIMES[:3])
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert set(container.metadata) == {"major_brand", "minor_version", "compatible_brands"}
        assert container.streams.video[0].codec_context.name == "h264"
