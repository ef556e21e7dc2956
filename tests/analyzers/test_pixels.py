"""pixels: the flattened picture is the one that a plain script of Pillow and numpy gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from imgbatch import analyzers
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import SettingsError
from imgbatch.media.gate import ByteGate
from imgbatch.preprocess import cosine_similarity
from imgbatch.settings import read_recipe
from imgbatch.tables import table_specs
from tests.corpus import PHOTOS, run_inline
from tests.media.clips import Encoding, encode

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from imgbatch.settings import Recipe

EXACT = "[media]\nexact = true\nmin_side = 4096\n"
CHAIN = EXACT + (
    '[analyzers.pixels]\nmode = "RGB"\nwidth = 15\nheight = 15\n'
    'steps = [{ name = "crop_square" }, { name = "resize", width = 224, height = 224 }]\n'
)


def read(text: str) -> Recipe:
    return read_recipe(text, settings_of=analyzers.settings_of)


def flattened(corpus: Path, recipe: str) -> dict[str, NDArray[np.int64]]:
    """Run; return the reshaped pixels by file name."""
    dataset = Dataset.open(str(run_inline(corpus, corpus.parent / "d", recipe=recipe).dataset))
    assert verify(dataset).problems == []
    names = {
        row["source_id"]: row["address"].rpartition("/")[2]
        for row in dataset.read("manifest").to_pylist()
    }
    rows = dataset.read("pixels").to_pylist()
    return {names[r["source_id"]]: np.reshape(r["pixels"], r["shape"]) for r in rows}


def test_digits_come_out_as_they_are_stored(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    drawn = np.random.default_rng(3).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    for number, digit in enumerate(drawn):
        Image.fromarray(digit).save(tmp_path / f"in/{number}.png")
    found = flattened(tmp_path / "in", "[analyzers.pixels]\n")
    for number, digit in enumerate(drawn):
        assert np.array_equal(found[f"{number}.png"], digit)


def test_a_chain_of_steps_gives_what_pillow_gives(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/coffee.png").write_bytes(PHOTOS["coffee.png"].read_bytes())
    (tmp_path / "in/astronaut.png").write_bytes(PHOTOS["astronaut.png"].read_bytes())
    found = flattened(tmp_path / "in", CHAIN)
    with Image.open(PHOTOS["coffee.png"]) as image:
        width, height = image.size
        left = (width - height) // 2
        square = image.convert("RGB").crop((left, 0, left + height, height))
        plain = np.array(square.resize((224, 224)).resize((15, 15)))
    assert np.array_equal(found["coffee.png"], plain)
    with Image.open(PHOTOS["astronaut.png"]) as image:
        other = np.array(image.convert("RGB").resize((224, 224)).resize((15, 15)))
    assert np.array_equal(found["astronaut.png"], other)
    ours = cosine_similarity(*(found[name].astype(np.uint8) for name in sorted(found)))
    assert ours == pytest.approx(_cosine(other, plain))


def _cosine(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    a, b = (side.ravel().astype(np.float64) for side in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


CENTER = (
    '[analyzers.pixels]\nwidth = 96\nheight = 64\nmode = "RGB"\n'
    'steps = [{ name = "crop_center", width = 96, height = 64 }]\n'
)


def grained(width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture in which every scale has something to show."""
    grain = np.random.default_rng(5).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.repeat(np.repeat(grain, 4, axis=0), 4, axis=1)


@pytest.mark.parametrize("ending", ["png", "jpg", "turned.jpg"])
def test_steps_begin_with_the_full_size_whatever_the_recipe_decodes(
    tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"in/a.{ending}"
    file.parent.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 8 if ending.startswith("turned") else 1
    Image.fromarray(grained(1600, 1200)).save(file, quality=95, exif=exif)
    with Image.open(file) as image:
        shown = ImageOps.exif_transpose(image).convert("RGB")
    left, top = (shown.width - 96) // 2, (shown.height - 64) // 2
    cut = np.array(shown.crop((left, top, left + 96, top + 64))).astype(int)
    for media in ("", "[media]\nmin_side = 500\n", "[media]\nexact = true\n"):
        recipe = f"{media}{CENTER}[analyzers.quality]\n"
        (found,) = flattened(file.parent, recipe).values()
        # Pillow's libjpeg may round its chroma otherwise.
        assert np.abs(found - cut).max() <= (0 if ending == "png" else 3), media


@pytest.mark.parametrize("sampling", ["sample = 'every_n'\nevery_n = 1", "sample = 'fps'"])
@pytest.mark.parametrize("rotation", [0, 90])
def test_steps_begin_with_the_full_frames_of_a_video(
    tmp_path: Path, sampling: str, rotation: int
) -> None:
    grey = np.repeat(grained(1280, 960)[..., :1], 3, axis=2)
    drawn = [np.roll(grey, 16 * n, axis=1) for n in range(3)]
    stamps = (0, 1000, 2000)
    exact = Encoding("mp4", "libx264", "qp=0 g=2", stamps=stamps, pix_fmt="yuv444p")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.mp4").write_bytes(encode(drawn, exact, rotation=rotation))
    run_inline(tmp_path / "in", tmp_path / "d", recipe=f"{CENTER}[media.video]\n{sampling}\n")
    rows = Dataset.open(str(tmp_path / "d")).read("pixels").sort_by("frame").to_pylist()
    assert len(rows) == len(drawn)
    for row, frame in zip(rows, drawn, strict=True):
        shown = np.rot90(frame, rotation // 90)
        top, left = (shown.shape[0] - 64) // 2, (shown.shape[1] - 96) // 2
        cut = shown[top : top + 64, left : left + 96].astype(int)
        # Through YUV and back.
        assert np.abs(np.reshape(row["pixels"], row["shape"]) - cut).max() <= 4


def test_a_recipe_that_decodes_smaller_than_what_is_flattened_is_refused() -> None:
    table_specs(read("[analyzers.pixels]\nwidth = 256\nheight = 20\n"))
    with pytest.raises(SettingsError, match="pixels needs pictures of at least 300 pixels"):
        table_specs(read("[analyzers.pixels]\nwidth = 20\nheight = 300\n"))
    # Where there are steps, these begin with the full size.
    table_specs(read(f"{CENTER}[media]\nmin_side = 16\n"))


def test_rows_of_reduced_pictures_and_of_full_ones_have_other_fingerprints() -> None:
    def made_of(text: str) -> dict[str, object]:
        (spec,) = (spec for spec in table_specs(read(text)) if spec.name == "pixels")
        found: dict[str, object] = json.loads(spec.metadata["made_of"])
        return found

    assert made_of(CENTER)["full_size"] is True
    assert "full_size" not in made_of("[analyzers.pixels]\n")


def test_values_above_127_survive_the_table_and_other_readers(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (4, 2), 255).save(tmp_path / "in/white.png")
    recipe = '[analyzers.pixels]\nmode = "RGB"\nwidth = 4\nheight = 2\n'
    assert flattened(tmp_path / "in", recipe)["white.png"].tolist() == [[[255] * 3] * 4] * 2
    schema = Dataset.open(str(tmp_path / "d")).table("tables/pixels").schema()
    assert schema.field("pixels").type.value_type == pa.int16()


def test_a_step_that_does_not_fit_a_picture_is_that_pictures_failure(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for side in (100, 40):
        Image.new("L", (side, side), 9).save(tmp_path / f"in/{side}.png")
    step = '{ name = "crop_center", width = 60, height = 60 }'
    recipe = f"[analyzers.image]\n[analyzers.pixels]\nsteps = [{step}]\n"
    dataset = Dataset.open(run_inline(tmp_path / "in", tmp_path / "d", recipe=recipe).dataset)
    assert sorted(dataset.read("pixels")["status"].to_pylist()) == ["failed", "ok"]
    assert dataset.read("image")["status"].to_pylist() == ["ok", "ok"]


def test_settings_survive_the_record_of_a_run_and_name_a_typo() -> None:
    settings = read(CHAIN).analyzers["pixels"]
    kind = type(settings)
    assert kind.model_validate(settings.model_dump(mode="json")) == settings
    assert settings.model_dump(mode="json")["steps"][1]["kernel"] == "bicubic"
    with pytest.raises(SettingsError, match="no step 'crop_squar'; did you mean 'crop_square'"):
        read('[analyzers.pixels]\nsteps = [{ name = "crop_squar" }]\n')
    with pytest.raises(SettingsError, match="augment draws at random"):
        read('[analyzers.pixels]\nsteps = [{ name = "augment" }]\n')
    with pytest.raises(SettingsError, match="steps = 'crop_square'"):
        read('[analyzers.pixels]\nsteps = "crop_square"\n')
    with pytest.raises(SettingsError, match="1024 x 1024 L are 1,048,576 numbers a row; at most"):
        read("[analyzers.pixels]\nwidth = 1024\nheight = 1024\n")


@pytest.mark.parametrize("media", ["", "[media]\nmin_side = 4096\n"], ids=["reduced", "full"])
@pytest.mark.parametrize(
    ("steps", "copies"),
    [
        ('{ name = "rotate", degrees = 30 }', 5),
        ('{ name = "flip" }, { name = "rotate", degrees = 30 }', 6),
        ('{ name = "crop_center", width = 9, height = 9 }, { name = "rotate", degrees = 30 }', 1),
        ('{ name = "resize", width = 9, height = 9 }, { name = "rotate", degrees = 30 }', 1.4),
    ],
)
def test_copies_that_steps_make_in_full_size_are_in_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: str, copies: float, media: str
) -> None:
    asked: list[int] = []
    own = ByteGate.hold

    def hold(gate: ByteGate, decoded_bytes: int) -> AbstractContextManager[None]:
        asked.append(decoded_bytes)
        return own(gate, decoded_bytes)

    monkeypatch.setattr(ByteGate, "hold", hold)
    file = tmp_path / "in/a.jpg"
    file.parent.mkdir()
    Image.fromarray(grained(1600, 1200)).save(file)
    run_inline(
        file.parent, tmp_path / "d", recipe=f"{media}[analyzers.pixels]\nsteps = [{steps}]\n"
    )
    full = 1600 * 1200 * 3
    beside = 0 if media else full + file.stat().st_size
    assert copies * full <= asked[-1] - beside <= (copies + 0.7) * full


# In a process of its own: the peak of resident memory only ever grows.
WATCH = """
import sys
from pathlib import Path
from imgbatch import analyzers
from imgbatch.analyzers import pixels
from imgbatch.media import Blob, raster
from imgbatch.media.gate import ByteGate
from imgbatch.settings import MediaSettings, read_recipe

class Asked(ByteGate):
    most = 0
    def hold(self, decoded_bytes):
        Asked.most = max(Asked.most, decoded_bytes)
        return super().hold(decoded_bytes)

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(l.split()[1]) * 1024 for l in lines if l.startswith(name))

def show(path):
    needs, blob = pixels.needs(settings), Blob.of(Path(path).read_bytes())
    given = {"full_size": needs.full_size, "copies": needs.copies}
    for picture in raster.decode(blob, MediaSettings(), Asked(1), **given).pictures:
        pixels.Analyzer(settings).prepare(picture)

settings = read_recipe(sys.argv[1], settings_of=analyzers.settings_of).analyzers["pixels"]
show(sys.argv[2])  # loads what is loaded once
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
show(sys.argv[3])
print(status("VmHWM") - before, Asked.most)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "steps",
    [
        '{ name = "crop_square" }, { name = "resize", width = 224, height = 224 }',
        '{ name = "crop_box", y1 = 0.1, x1 = 0.1, y2 = 0.9, x2 = 0.9 }, { name = "flip" }',
        '{ name = "scale", factor = 0.5 }',
        '{ name = "scale", factor = 1.5 }',
        '{ name = "pad_square" }, { name = "brighten", factor = 1.5 }',
        '{ name = "rotate", degrees = 30 }',
        '{ name = "rotate", degrees = 45, expand = true }',
        '{ name = "flip" }, { name = "rotate", degrees = 90 }, { name = "rotate", degrees = 5 }',
        '{ name = "grayscale" }, { name = "rotate", degrees = 30 }',
        '{ name = "mask", boxes = [[100, 100, 900, 900]] }',
        '{ name = "mask", boxes = [[100, 100, 900, 900]], mode = "mosaic" }',
        '{ name = "mask", boxes = [[100, 100, 900, 900]], mode = "blur" }',
    ],
)
def test_steps_take_no_more_memory_than_the_gate_was_asked_for(
    tmp_path: Path, steps: str, mode: str
) -> None:
    small, large = tmp_path / "small.jpg", tmp_path / "large.jpg"
    Image.fromarray(grained(1200, 1100)).save(small)
    Image.fromarray(grained(4000, 3000)).save(large)
    recipe = f'[analyzers.pixels]\nmode = "{mode}"\nsteps = [{steps}]\n'
    command = [sys.executable, "-c", WATCH, recipe, str(small), str(large)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    grown, asked = (int(word) for word in out.split())
    assert grown <= asked + 2**23
    assert grown >= asked / 2
