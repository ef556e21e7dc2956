"""pixels: the flattened picture is the one that a plain script of Pillow and numpy gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from imgbatch import analyzers
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import SettingsError
from imgbatch.preprocess import cosine_similarity
from imgbatch.settings import read_recipe
from tests.corpus import PHOTOS, run_inline

if TYPE_CHECKING:
    from pathlib import Path

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
