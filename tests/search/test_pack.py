"""Faces by an InsightFace pack whose models are made: detected, cut out, recognised, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from imgbatch.dataset import Dataset
from imgbatch.search import face
from imgbatch.settings import Limits
from tests import corpus

pytest.importorskip("insightface")
pytest.importorskip("onnx")

from tests import facemodels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SQUARE = (60, 50, 40, 40)


def photo(left: tuple[int, int, int], right: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A red square, whose cut-out shows two colors beside it: who it is."""
    pixels = facemodels.red_squares((160, 140), [])
    pixels[:, :80], pixels[:, 80:] = left, right
    x, y, w, h = SQUARE
    pixels[y : y + h, x : x + w] = (255, 0, 0)
    return pixels


PEOPLE = {
    "ann": ((20, 90, 60), (20, 20, 110)),
    "bob": ((10, 60, 60), (10, 120, 20)),
    "eve": ((90, 90, 90), (0, 0, 0)),
}


@pytest.mark.slow
def test_a_face_from_outside_finds_its_own_in_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, colors in PEOPLE.items():
        Image.fromarray(photo(*colors)).save(tmp_path / "in" / f"{name}.png")
    both = np.concatenate([photo(*PEOPLE["eve"]), photo(*PEOPLE["ann"])], axis=1)
    Image.fromarray(both).save(tmp_path / "in" / "both.png")
    pack = facemodels.pack(tmp_path)
    own = facemodels.own(pack)
    recipe = (
        '[media]\nexact = true\n[analyzers.faces]\ndetector = "pack"\n'
        "recognition = true\nsides = [320]\n"
        f'weights = {{ url = "{own.url}", sha256 = "{own.sha256}" }}\n'
    )
    limits = Limits(threads=2, model_cache=str(tmp_path / "cache"))
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=recipe, limits=limits)
    dataset = Dataset.open(str(tmp_path / "d"))
    assert dataset.read("faces_regions").num_rows == 5
    darker = (photo(*PEOPLE["bob"]).astype(int) * 95 // 100).astype(np.uint8)
    darker[darker[..., 0] > 200] = (255, 0, 0)
    Image.fromarray(darker).save(tmp_path / "bob again.png")
    [first, *_] = face(dataset, str(tmp_path / "bob again.png"), limits).hits.to_pylist()
    assert first["address"].endswith("/bob.png")
    found = face(dataset, str(tmp_path / "in" / "both.png"), limits, threshold=0.01)
    assert found.space.model == f"pack (sha256 {own.sha256[:12]})"
    best = [hit for hit in found.hits.to_pylist() if hit["rank"] == 1]
    assert [hit["address"].rpartition("/")[2] for hit in best] == ["eve.png", "ann.png"]
    assert all(hit["match"] for hit in best)
    again = face(dataset, str(tmp_path / "in" / "both.png"), limits)
    assert again.threshold is None
