"""Real photographs, a video, archives and broken files through a preprocess recipe, and back."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import uuid
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import skimage
import sklearn
from PIL import Image

from imgbatch import preprocess as pre
from imgbatch.copies import CopySummary, read_copy_recipe, write_copies
from imgbatch.copies.copier import encode
from imgbatch.copies.recipe import OutputSettings
from imgbatch.errors import DatasetError, SettingsError, SourceError, StorageError
from imgbatch.settings import Limits
from imgbatch.storage import open_store

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
LIMITS = Limits(threads=2)

SMALL = """
[[steps]]
name = "crop_square"
[[steps]]
name = "resize"
width = 64
height = 64
[output]
format = "png"
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a folder with three photographs, a cut one, a text and a file that only claims."""
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    shutil.copy(PHOTOGRAPHS / "astronaut.png", folder / "astronaut.png")
    shutil.copy(
        PHOTOGRAPHS / "camera.png",
        folder / "more" / "a grey \N{LATIN SMALL LETTER E WITH ACUTE}.png",
    )
    shutil.copy(SKLEARN / "china.jpg", folder / "china.jpg")
    (folder / "cut.jpg").write_bytes((SKLEARN / "flower.jpg").read_bytes()[:50_000])
    (folder / "notes.txt").write_text("not a picture")
    (folder / "random.jpg").write_bytes(bytes(range(256)) * 8)
    return folder


def export(folder: Path, out: Path | str, recipe: str = SMALL, **limits: int) -> CopySummary:
    return write_copies(
        str(folder), str(out), recipe, limits=LIMITS.model_copy(update=dict(limits))
    )


def table(out: Path | str) -> list[dict[str, Any]]:
    data = open_store(str(out)).get("copies.parquet")
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return rows


def named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (row,) = [row for row in rows if row["address"].endswith(name)]
    return row


def test_every_source_has_a_row_and_every_picture_a_copy(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told: list[int] = []
    summary = write_copies(
        str(corpus), str(out), SMALL, limits=LIMITS, tell=lambda s: told.append(s.sources)
    )
    assert summary == CopySummary(sources=6, ok=3, failed=2, filtered=1, copies=3)
    assert told == [1, 2, 3, 4, 5, 6]
    rows = table(out)
    assert [row["address"] for row in rows] == sorted(row["address"] for row in rows)
    assert named(rows, "cut.jpg")["error_class"] == "decode.truncated"
    assert named(rows, "random.jpg")["error_class"] == "decode.unrecognised"
    assert named(rows, "notes.txt")["status"] == "filtered"
    written = {str(path.relative_to(out)) for path in out.rglob("*.png")}
    assert written == {row["file"] for row in rows if row["status"] == "ok"}
    assert len(written) == 3


def test_empty_files_come_to_what_their_names_say_as_in_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("notes.txt", "photo.jpg"):
        (folder / name).touch()
    export(folder, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert named(rows, "notes.txt")["status"] == "filtered"
    assert named(rows, "photo.jpg")["error_class"] == "decode.empty"


def test_a_copy_is_what_the_steps_make_of_the_full_size_pixels(
    corpus: Path, tmp_path: Path
) -> None:
    export(corpus, tmp_path / "out")
    row = named(table(tmp_path / "out"), "astronaut.png")
    full = np.asarray(Image.open(corpus / "astronaut.png").convert("RGB"))
    expected = pre.stretch(pre.crop_square(full), width=64, height=64)
    copy = np.asarray(Image.open(tmp_path / "out" / row["file"]))
    np.testing.assert_array_equal(copy, expected)
    assert (row["width"], row["height"], row["frame"], row["time"]) == (64, 64, 0, None)
    assert [step["name"] for step in json.loads(row["steps"])] == ["crop_square", "resize"]


def test_without_steps_every_pixel_of_the_full_size_is_kept(corpus: Path, tmp_path: Path) -> None:
    export(corpus, tmp_path / "out", '[output]\nformat = "png"')
    row = named(table(tmp_path / "out"), "china.jpg")
    assert (row["width"], row["height"]) == (640, 427)
    original = np.asarray(Image.open(corpus / "china.jpg").convert("RGB")).astype(int)
    copy = np.asarray(Image.open(tmp_path / "out" / row["file"]))
    # Two JPEG decoders may round differently.
    assert np.abs(copy - original).mean() < 1


def test_names_are_readable_safe_and_carry_the_source_id(corpus: Path, tmp_path: Path) -> None:
    export(corpus, tmp_path / "out")
    (row,) = [row for row in table(tmp_path / "out") if "a grey" in row["address"]]
    start = row["source_id"][:2]
    assert row["file"] == f"copies/{start}/a_grey-{row['source_id']}.png"
    assert row["file"].isascii()


def test_doing_it_again_gives_the_same_bytes_whatever_the_number_of_threads(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = """
    [[steps]]
    name = "augment"
    seed = 5
    degrees = 20
    crop = 0.7
    brightness = 0.3
    [[steps]]
    name = "resize"
    width = 32
    height = 32
    mode = "fit"
    """
    export(corpus, tmp_path / "out", recipe, threads=1)
    first = contents(tmp_path / "out")
    export(corpus, tmp_path / "out", recipe, threads=4)
    assert contents(tmp_path / "out") == first
    export(corpus, tmp_path / "elsewhere", recipe, threads=3)
    assert contents(tmp_path / "elsewhere") == first


def test_a_source_that_is_gone_takes_its_copy_along_and_nothing_else(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(corpus, out)
    before = {row["file"] for row in table(out)}
    gone = named(table(out), "china.jpg")["file"]
    (out / "copies" / "mine.png").write_text("put there by hand")
    (corpus / "china.jpg").unlink()
    assert export(corpus, out).sources == 5
    assert {row["file"] for row in table(out)} == before - {gone}
    assert not (out / gone).exists()
    assert (out / "copies" / "mine.png").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_steps_column_repeats_an_augmented_copy_without_chance(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = """
    [[steps]]
    name = "augment"
    degrees = 30
    crop = 0.5
    [output]
    format = "png"
    """
    export(corpus, tmp_path / "out", recipe)
    row = named(table(tmp_path / "out"), "astronaut.png")
    steps = pre.fixed_steps(pre.read_steps(json.loads(row["steps"])), source_id="", frame=0)
    full = np.asarray(Image.open(corpus / "astronaut.png").convert("RGB"))
    copy = np.asarray(Image.open(tmp_path / "out" / row["file"]))
    np.testing.assert_array_equal(copy, pre.apply_steps(steps, full))
    assert not np.array_equal(copy, full)  # by chance as tall and wide, in some of 300 places


def test_copies_can_go_to_a_bucket(corpus: Path) -> None:
    out = f"memory://copies-{uuid.uuid4().hex}/set"
    assert export(corpus, out).copies == 3
    row = named(table(out), "astronaut.png")
    copy = Image.open(io.BytesIO(open_store(out).get(row["file"])))
    assert (copy.format, copy.size, copy.mode) == ("PNG", (64, 64), "RGB")


def test_members_of_archives_are_copied_too(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        packed.write(corpus / "astronaut.png", "x/astronaut.png")
        packed.write(corpus / "cut.jpg", "cut.jpg")
    with tarfile.open(folder / "b.tar.gz", "w:gz") as tar:
        for name in ("china.jpg", "random.jpg", "astronaut.png"):
            tar.add(corpus / name, name)
    export(folder, tmp_path / "out")
    rows = {row["address"].rpartition("archives/")[2]: row for row in table(tmp_path / "out")}
    assert {name: row["status"] for name, row in rows.items() if "!" in name} == {
        "a.zip!/cut.jpg": "failed",
        "a.zip!/x/astronaut.png": "ok",
        "b.tar.gz!/astronaut.png": "ok",
        "b.tar.gz!/china.jpg": "ok",
        "b.tar.gz!/random.jpg": "failed",
    }
    copies = [
        (tmp_path / "out" / rows[name]["file"]).read_bytes()
        for name in ("a.zip!/x/astronaut.png", "b.tar.gz!/astronaut.png")
    ]
    assert copies[0] == copies[1]


def test_frames_of_a_video_are_numbered_copies_with_their_time(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "clip.mp4")
    recipe = SMALL + '[media.video]\nsample = "every_n"\nevery_n = 10\n'
    summary = export(folder, tmp_path / "out", recipe)
    assert summary == CopySummary(sources=1, ok=1, copies=3)
    rows = table(tmp_path / "out")
    assert [row["frame"] for row in rows] == [0, 1, 2]
    assert [row["time"] for row in rows] == pytest.approx([0.0, 1.0, 2.0])
    assert [row["file"][-12:] for row in rows] == [f"-f00000{n}.png" for n in range(3)]
    for n, row in enumerate(rows):
        copy = np.asarray(Image.open(tmp_path / "out" / row["file"]))
        assert abs(float(copy.mean()) - 60 * (n + 1)) < 5


def write_video(path: Path) -> None:
    """Write 30 frames at 10 a second: ten of value 60, ten of 120, ten of 180."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for n in range(30):
            pixels = np.full((64, 96, 3), 60 * (n // 10 + 1), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def test_a_step_that_does_not_work_at_a_pictures_size_fails_that_picture_only(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = '[[steps]]\nname = "crop_center"\nwidth = 500\nheight = 500'
    assert export(corpus, tmp_path / "out", recipe).ok == 2
    row = named(table(tmp_path / "out"), "china.jpg")
    assert (row["status"], row["error_class"], row["frame"]) == ("failed", "preprocess.size", 0)
    assert row["message"] == "640x427 is smaller than the crop 500x500"
    assert row["file"] is None


def test_names_that_are_no_utf8_are_copied_and_their_failures_told(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(PHOTOGRAPHS / "astronaut.png", folder / os.fsdecode(b"caf\xe9.png"))
    (folder / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(b"not a JPEG")
    summary = export(folder, tmp_path / "out")
    assert summary == CopySummary(sources=2, ok=1, failed=1, copies=1)
    (row,) = [row for row in table(tmp_path / "out") if row["status"] == "ok"]
    assert row["file"].endswith(f"/caf_E9-{row['source_id']}.png")


def test_grey_copies_have_one_channel_and_no_copy_has_exif(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.open(PHOTOGRAPHS / "astronaut.png").save(folder / "a.jpg", exif=exif)
    export(folder, tmp_path / "out", '[[steps]]\nname = "grayscale"')
    (row,) = table(tmp_path / "out")
    with Image.open(tmp_path / "out" / row["file"]) as copy:
        assert (copy.format, copy.mode, copy.size) == ("JPEG", "L", (512, 512))
        assert not copy.getexif()


@pytest.mark.parametrize(("rule", "shown"), [("white", 255), ("black", 0), ("drop", 77)])
def test_the_alpha_rule_of_the_recipe_holds(tmp_path: Path, rule: str, shown: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGBA", (8, 8), (77, 77, 77, 0)).save(folder / "clear.png")
    export(folder, tmp_path / "out", f'[media]\nalpha = "{rule}"\n[output]\nformat = "png"')
    (row,) = table(tmp_path / "out")
    copy = np.asarray(Image.open(tmp_path / "out" / row["file"]))
    assert np.unique(copy).tolist() == [shown]
    assert row["notes"] == [f"alpha:{rule}"]


def test_the_table_says_what_the_copies_were_made_from(corpus: Path, tmp_path: Path) -> None:
    export(corpus, tmp_path / "out")
    metadata = pq.read_schema(tmp_path / "out" / "copies.parquet").metadata
    assert metadata[b"recipe"].decode() == SMALL
    assert metadata[b"input"].decode().endswith("/in")


def test_copies_of_two_recipes_never_share_a_folder(corpus: Path, tmp_path: Path) -> None:
    export(corpus, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(DatasetError, match="another input or by another recipe"):
        export(corpus, tmp_path / "out", SMALL + "quality = 5\n")
    assert contents(tmp_path / "out") == before


def test_a_folder_with_other_things_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(DatasetError, match="not empty"):
        export(corpus, out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_copies_inside_their_input_are_refused(corpus: Path) -> None:
    with pytest.raises(SettingsError, match="lies inside INPUT"):
        export(corpus, corpus / "out")
    assert not (corpus / "out").exists()


def test_a_store_that_refuses_ends_the_export_without_a_table(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(corpus, out)
    shutil.rmtree(out / "copies")
    (out / "copies").write_text("in the way")
    (out / "copies.parquet").unlink()
    with pytest.raises(StorageError):
        export(corpus, out)
    assert not (out / "copies.parquet").exists()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("steps", "not valid TOML"),
        ('[[step]]\nname = "flip"', "unknown key 'step'; did you mean 'steps'"),
        ('[[steps]]\nname = "filp"', "no step 'filp'; did you mean 'flip'"),
        ('[output]\nformat = "gif"', "output.format = 'gif'"),
        ("[output]\nquailty = 3", "did you mean 'quality'"),
        ("[media]\nmin_side = 99", "unknown key 'media.min_side'"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_is_written(
    corpus: Path, tmp_path: Path, recipe: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        export(corpus, tmp_path / "out", recipe)
    assert not (tmp_path / "out").exists()


def test_defaults_are_jpeg_and_no_steps() -> None:
    recipe = read_copy_recipe("")
    assert (recipe.output, recipe.steps) == (OutputSettings(format="jpeg", quality=90), ())


def test_jpeg_refuses_a_side_that_it_cannot_hold_and_png_takes_it() -> None:
    strip = np.zeros((2, 65_501), np.uint8)
    with pytest.raises(SourceError, match="JPEG sides end at 65500"):
        encode(strip, OutputSettings())
    copy = Image.open(io.BytesIO(encode(strip, OutputSettings(format="png"))))
    assert copy.size == (65_501, 2)
