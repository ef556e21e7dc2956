"""Copies without faces, from the terminal: what is masked, what never goes along, what fails.

The detector is a real ONNX file that takes red for a face; the last tests use UltraFace itself.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imgbatch import preprocess as pre
from imgbatch.copies import CopySummary, read_copy_recipe, write_copies
from imgbatch.copies.faces import boxes_of
from imgbatch.errors import DatasetError, PreprocessError, SettingsError, WeightsError
from imgbatch.models.faces.detectors import detector
from imgbatch.models.weights import Own
from imgbatch.settings import Limits
from tests.analyzers.truth import labels
from tests.red import write_red_detector

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("onnxruntime", reason="the models extra is not installed")

# A face is striped, and its stripes are what nobody may see.
RED, DARK, GROUND = (230, 20, 20), (150, 20, 20), (40, 120, 60)
LIMITS = Limits(threads=2)

Recipe = "Callable[..., str]"


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("weights") / "red.onnx"
    return path, write_red_detector(path)


@pytest.fixture
def recipe(red: tuple[Path, str]) -> Callable[..., str]:
    """Return a recipe that masks what is red."""

    def text(mode: str = "solid", *, output: str = "", more: str = "") -> str:
        path, digest = red
        return f"""
        [[steps]]
        name = "mask_faces"
        mode = "{mode}"
        background = "blue"
        {more}
        [faces]
        detector = "ultraface"
        min_score = 0.1
        weights = {{ url = "{path}", sha256 = "{digest}" }}
        [output]
        {output or 'format = "png"'}
        """

    return text


def picture(*, wide: int = 320, high: int = 240, at: int = 100) -> np.ndarray:
    pixels = np.full((high, wide, 3), GROUND, np.uint8)
    pixels[high // 2 : high // 2 + 40, at : at + 40 : 2] = RED
    pixels[high // 2 : high // 2 + 40, at + 1 : at + 40 : 2] = DARK
    return pixels


def reddish(pixels: np.ndarray) -> int:
    return int((pixels[:, :, 0].astype(int) - pixels[:, :, 1] > 60).sum())


def table(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "copies.parquet").to_pylist()


def copies(out: Path) -> dict[str, np.ndarray]:
    return {
        Path(row["address"]).name: np.asarray(Image.open(out / row["file"]).convert("RGB"))
        for row in table(out)
        if row["file"]
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("mode", ["solid", "mosaic", "blur"])
def test_pictures_show_no_red_any_more_and_the_rest_is_as_it_was(
    folder: Path, tmp_path: Path, recipe: Callable[..., str], mode: str
) -> None:
    Image.fromarray(picture()).save(folder / "a.png")
    Image.fromarray(picture(wide=900, high=500, at=700)).save(folder / "wide.png")
    Image.new("RGB", (80, 60), GROUND).save(folder / "none.png")
    found = write_copies(str(folder), str(tmp_path / "out"), recipe(mode), limits=LIMITS)
    assert found == CopySummary(sources=3, ok=3, copies=3, without_face=1)
    shown = copies(tmp_path / "out")
    for pixels, x, y in ((shown["a.png"], 100, 120), (shown["wide.png"], 700, 250)):
        face = pixels[y + 12 : y + 28, x + 12 : x + 28].astype(int)
        assert np.abs(np.diff(face[:, :, 0], axis=1)).max() < 10
    if mode == "solid":
        assert [reddish(pixels) for pixels in shown.values()] == [0, 0, 0]
        assert ((shown["a.png"] == (0, 0, 255)) | (shown["a.png"] == GROUND)).all()
    assert (shown["a.png"][:100] == GROUND).all()
    assert (shown["wide.png"][:, :600] == GROUND).all()


def test_the_table_says_how_many_faces_and_where_they_were(
    folder: Path, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    Image.fromarray(picture()).save(folder / "a.png")
    write_copies(str(folder), str(tmp_path / "out"), recipe(), limits=LIMITS)
    (row,) = table(tmp_path / "out")
    (step,) = json.loads(row["steps"])
    assert (step["name"], len(step["boxes"])) == ("mask", row["n_faces"])
    again = pre.apply_steps(pre.read_steps([step]), picture())
    np.testing.assert_array_equal(again, copies(tmp_path / "out")["a.png"])


def test_a_turned_photograph_is_masked_where_the_face_is_when_upright(
    folder: Path, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(picture()).transpose(Image.Transpose.ROTATE_90)
    stored.save(folder / "a.jpg", exif=exif, quality=95)
    write_copies(str(folder), str(tmp_path / "out"), recipe(), limits=LIMITS)
    shown = copies(tmp_path / "out")["a.jpg"]
    assert shown.shape == (240, 320, 3)
    assert reddish(shown) == 0
    assert (shown[140, 120] == (0, 0, 255)).all()


def test_no_exif_no_position_and_no_thumbnail_go_along(
    folder: Path, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    thumbnail = io.BytesIO()
    Image.fromarray(picture()).resize((160, 120)).save(thumbnail, "JPEG", quality=95)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    # An EXIF block with the thumbnail behind it, as cameras write it.
    block = exif.tobytes() + thumbnail.getvalue()
    Image.fromarray(picture()).save(folder / "a.jpg", exif=block, comment=b"who it shows")
    before = (folder / "a.jpg").read_bytes()
    assert thumbnail.getvalue() in before
    out = tmp_path / "out"
    write_copies(str(folder), str(out), recipe(output='format = "jpeg"'), limits=LIMITS)
    (row,) = table(out)
    data = (out / row["file"]).read_bytes()
    with Image.open(io.BytesIO(data)) as copy:
        assert not copy.getexif()
        assert set(copy.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}
    assert data.count(b"\xff\xd8\xff") == 1
    assert b"camera" not in data
    assert b"who it" not in data


def test_what_cannot_be_decoded_is_a_row_and_never_a_file(
    folder: Path, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    whole = io.BytesIO()
    Image.fromarray(picture(wide=1200, high=900)).save(whole, "JPEG", quality=99)
    (folder / "cut.jpg").write_bytes(whole.getvalue()[:-3000])
    (folder / "cut.mp4").write_bytes(clip(tmp_path / "whole.mp4").read_bytes()[:3000])
    (folder / "lies.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    out = tmp_path / "out"
    text = recipe(output='format = "png"\nvideos = "mp4"')
    found = write_copies(str(folder), str(out), text, limits=LIMITS)
    assert found == CopySummary(sources=3, failed=3)
    assert all(row["error_class"].startswith("decode.") for row in table(out))
    assert not list(out.rglob("*.*g")) + list(out.rglob("*.mp4"))


def clip(path: Path, *, sound: bool = False, seconds: int = 2) -> Path:
    """Write a red square that moves; MPEG-4, with tags, and with a tone if asked for."""
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["title"] = "who it shows"
        container.metadata["location"] = "+47.37+008.54/"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 10**6
        tone = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for n in range(10 * seconds):
            frame = av.VideoFrame.from_ndarray(picture(at=20 + 8 * (n % 30)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            wave = np.sin(np.arange(8000 * seconds) / 3).astype(np.float32)[None]
            audio = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            audio.sample_rate = 8000
            container.mux([*tone.encode(audio), *tone.encode()])
    return path


def test_a_video_loses_its_faces_its_sound_and_its_tags_and_keeps_its_times(
    folder: Path, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    clip(folder / "a.mp4", sound=True)
    with av.open(str(folder / "a.mp4")) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}
        assert container.metadata["title"] == "who it shows"
    out = tmp_path / "out"
    found = write_copies(str(folder), str(out), recipe(output='videos = "mp4"'), limits=LIMITS)
    assert found == CopySummary(sources=1, ok=1, copies=1)
    (row,) = table(out)
    assert (row["n_frames"], row["n_masked"], row["width"], row["height"]) == (20, 20, 320, 240)
    assert row["n_faces"] >= 20
    assert row["file"].endswith(f"/a-{row['source_id']}.mp4")
    with av.open(str(out / row["file"])) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert b"who it shows" not in (out / row["file"]).read_bytes()
        assert b"+47.37" not in (out / row["file"]).read_bytes()
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([n / 10 for n in range(20)])
    assert max(reddish(frame.to_ndarray(format="rgb24")) for frame in frames) == 0


PROGRAM = """
import pathlib, re, sys
from imgbatch.copies import write_copies
from imgbatch.settings import Limits
folder, out, recipe = sys.argv[1:]
found = write_copies(folder, out, recipe, limits=Limits(threads=2))
assert found.ok == 1, found
told = pathlib.Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", told)[1]) * 1024)
"""


@pytest.mark.slow
def test_a_long_video_takes_no_more_memory_than_a_short_one(
    tmp_path: Path, recipe: Callable[..., str]
) -> None:
    """A minute is 600 frames of 225 KiB, 132 MiB in all; ten seconds are 22 MiB."""
    peaks = []
    for seconds in (10, 60):
        folder = tmp_path / f"in{seconds}"
        folder.mkdir()
        clip(folder / "a.mp4", seconds=seconds)
        words = [str(folder), str(tmp_path / f"out{seconds}"), recipe(output='videos = "mp4"')]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 20 * 2**20


FULL = """
import resource, sys
from imgbatch.copies import write_copies
from imgbatch.errors import StorageError
from imgbatch.settings import Limits
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    write_copies(*sys.argv[1:], limits=Limits(threads=1))
except StorageError as error:
    print(error)
"""


def test_a_full_disk_ends_the_command_and_is_no_fault_of_the_video(
    folder: Path, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    clip(folder / "a.mp4")
    words = [str(folder), str(tmp_path / "out"), recipe(output='videos = "mp4"')]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("the temporary folder")
    assert not (tmp_path / "out" / "copies.parquet").exists()


def test_images_and_videos_of_one_folder_in_one_command(
    folder: Path, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    Image.fromarray(picture()).save(folder / "a.png")
    clip(folder / "b.mp4")
    (tmp_path / "mask.toml").write_text(recipe(output='videos = "mp4"'))
    words = ["preprocess", str(folder), str(tmp_path / "out"), "--recipe"]
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", *words, str(tmp_path / "mask.toml")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 sources = 2 ok + 0 failed + 0 filtered: 2 copies\n"


def test_a_detector_that_breaks_fails_the_picture_and_says_what_broke() -> None:
    def broken(*_: object) -> list[Any]:
        raise RuntimeError("out of device memory")

    with pytest.raises(PreprocessError, match="RuntimeError: out of device memory") as caught:
        boxes_of(broken, None, None)
    assert caught.value.code == "preprocess.mask"


RUN = """
[analyzers.faces]
detector = "ultraface"
min_score = 0.1
output = "{output}"
weights = {{ url = "{path}", sha256 = "{digest}" }}
"""
KNOWN = """
[[steps]]
name = "mask_faces"
[faces]
dataset = "{dataset}"
[output]
format = "png"
"""


def analyzed(folder: Path, dataset: Path, red: tuple[Path, str], output: str = "boxes") -> None:
    recipe = dataset.parent / "faces.toml"
    recipe.write_text(RUN.format(path=red[0], digest=red[1], output=output))
    words = ["run", str(folder), str(dataset), "--recipe", str(recipe), "--engine", "inline"]
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_faces_that_a_dataset_knows_are_masked_without_looking_anew(
    folder: Path, tmp_path: Path, recipe: Callable[..., str], red: tuple[Path, str]
) -> None:
    Image.fromarray(picture()).save(folder / "a.png")
    Image.fromarray(picture(wide=1300, high=900, at=700)).save(folder / "b.png")
    Image.new("RGB", (80, 60), GROUND).save(folder / "none.png")
    analyzed(folder, tmp_path / "dataset", red)
    known = KNOWN.format(dataset=tmp_path / "dataset")
    found = write_copies(str(folder), str(tmp_path / "known"), known, limits=LIMITS)
    assert found == CopySummary(sources=3, ok=3, copies=3, without_face=1)
    for name, pixels in copies(tmp_path / "known").items():
        assert reddish(pixels) == 0, name
    write_copies(str(folder), str(tmp_path / "looked"), recipe(), limits=LIMITS)
    # A picture that is decoded in full size by both has the same boxes.
    masked = [
        (copies(tmp_path / out)["a.png"] == GROUND).all(axis=2) for out in ("known", "looked")
    ]
    np.testing.assert_array_equal(*masked)


def test_what_the_dataset_does_not_know_is_a_row_and_never_a_file(
    folder: Path, tmp_path: Path, red: tuple[Path, str]
) -> None:
    Image.fromarray(picture()).save(folder / "a.png")
    Image.fromarray(picture()).save(folder / "changed.png")
    analyzed(folder, tmp_path / "dataset", red)
    Image.fromarray(picture(at=10)).save(folder / "changed.png")
    Image.fromarray(picture()).save(folder / "new.png")
    clip(folder / "film.mp4")
    known = KNOWN.format(dataset=tmp_path / "dataset")
    found = write_copies(str(folder), str(tmp_path / "out"), known, limits=LIMITS)
    assert found == CopySummary(sources=4, ok=1, failed=3, copies=1)
    rows = [row for row in table(tmp_path / "out") if row["status"] == "failed"]
    assert {row["error_class"] for row in rows} == {"preprocess.mask"}
    assert all("does not know the faces" in row["message"] for row in rows)
    assert [path.name[:2] for path in (tmp_path / "out" / "copies").rglob("*.png")] == ["a-"]


def test_a_dataset_that_keeps_no_boxes_is_refused(
    folder: Path, tmp_path: Path, red: tuple[Path, str]
) -> None:
    Image.fromarray(picture()).save(folder / "a.png")
    analyzed(folder, tmp_path / "dataset", red, output="count")
    known = KNOWN.format(dataset=tmp_path / "dataset")
    with pytest.raises(DatasetError, match="keeps no boxes of faces"):
        write_copies(str(folder), str(tmp_path / "out"), known, limits=LIMITS)
    assert not (tmp_path / "out").exists()


def test_a_copy_in_which_no_face_was_found_is_told(
    folder: Path, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    Image.new("RGB", (80, 60), GROUND).save(folder / "none.png")
    (tmp_path / "mask.toml").write_text(recipe())
    words = ["preprocess", str(folder), str(tmp_path / "out"), "--recipe"]
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", *words, str(tmp_path / "mask.toml")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 of them show no face that the detector found (n_faces = 0)" in done.stdout


def test_weights_that_are_not_as_said_end_the_command_before_anything_is_written(
    folder: Path, tmp_path: Path, recipe: Callable[..., str], red: tuple[Path, str]
) -> None:
    Image.fromarray(picture()).save(folder / "a.png")
    with pytest.raises(WeightsError):
        write_copies(
            str(folder), str(tmp_path / "out"), recipe().replace(red[1], "0" * 64), limits=LIMITS
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[faces]\ndetector = 'lbp'", "no step that masks them"),
        ("[[steps]]\nname='mask_faces'\n[faces]\nmin_scor=1", "did you mean 'min_score'"),
        ("[[steps]]\nname='mask_faces'\nmode='pixel'", "'solid', 'mosaic' or 'blur'"),
        ("[[steps]]\nname='mask_faces'\n[faces]\ndataset='x'\nmin_score=0.5", "one of the two"),
        ("[[steps]]\nname='flip'\n[[steps]]\nname='mask_faces'", "not the first"),
        ("[[steps]]\nname='augment'\n[output]\nvideos='mp4'", "draws anew for every frame"),
    ],
)
def test_a_recipe_that_would_not_do_what_it_says_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read_copy_recipe(text)


def test_an_unknown_detector_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path
) -> None:
    text = "[[steps]]\nname = 'mask_faces'\n[faces]\ndetector = 'ultrafaces'"
    with pytest.raises(SettingsError, match="did you mean 'ultraface'"):
        write_copies(str(folder), str(tmp_path / "out"), text, limits=LIMITS)
    assert not (tmp_path / "out").exists()


DIGEST = "34cd7e60aeff28744c657de7a3dc64e872d506741de66987f3426f2b79f88017"


@pytest.fixture
def ultraface(shared: Path) -> Path:
    path = shared / "models" / "ultraface-rfb-320.onnx"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the shared folder")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["solid", pytest.param("blur", marks=pytest.mark.slow)])
def test_ultraface_finds_a_man_in_every_frame_of_a_video_and_in_none_of_its_copy(
    shared: Path, ultraface: Path, folder: Path, tmp_path: Path, mode: str
) -> None:
    video = shared / "corpora" / "videos" / "carphone_pristine.mp4"
    if not video.is_file():
        pytest.skip(f"no {video.name} in the shared folder")
    (folder / "a.mp4").write_bytes(video.read_bytes())
    out = tmp_path / "out"
    text = f"""
    [[steps]]
    name = "mask_faces"
    mode = "{mode}"
    [faces]
    weights = {{ url = "{ultraface}", sha256 = "{DIGEST}" }}
    [output]
    videos = "mp4"
    """
    write_copies(str(folder), str(out), text, limits=LIMITS)
    (row,) = table(out)
    assert (row["n_frames"], row["n_faces"], row["n_masked"]) == (120, 120, 120)
    finder = detector("ultraface", Own(url=str(ultraface), sha256=DIGEST))
    with av.open(str(out / row["file"])) as container:
        found = [
            len(finder.detect(frame.to_ndarray(format="rgb24")))
            for frame in container.decode(video=0)
        ]
    assert found == [0] * 120


def test_ultraface_masks_every_face_that_looks_at_the_camera(
    shared: Path, ultraface: Path, tmp_path: Path
) -> None:
    photos = shared / "corpora" / "photos"
    if not photos.is_dir():
        pytest.skip("no photographs in the shared folder")
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["img10.jpg", "img11.jpg", "img14.jpg", "img44.jpg", "selfie-many-people.jpg"]
    for name in names:
        (folder / name).write_bytes((photos / name).read_bytes())
    text = f"""
    [[steps]]
    name = "mask_faces"
    background = "#ff00ff"
    [faces]
    weights = {{ url = "{ultraface}", sha256 = "{DIGEST}" }}
    [output]
    format = "png"
    """
    write_copies(str(folder), str(tmp_path / "out"), text, limits=LIMITS)
    shown = copies(tmp_path / "out")
    assert sorted(shown) == sorted(names)
    for name in names:
        masked = (shown[name] == (255, 0, 255)).all(axis=2)
        for label in labels("photos")[name]:
            if label.kind == "frontal":
                x, y, width, height = (int(n) for n in label.box)
                assert masked[y : y + height, x : x + width].mean() > 0.98, name
        assert masked.mean() < 0.75, name
