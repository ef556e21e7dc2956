"""Faces of a photo against those of a dataset; squares of one color stand for one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from imgbatch.dataset import Dataset
from imgbatch.errors import SearchError
from imgbatch.models.faces import thresholds
from imgbatch.records import source_id_of
from imgbatch.search import face, page
from imgbatch.settings import Limits
from tests import corpus
from tests.report.conftest import Page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RECIPE = '[media]\n[analyzers."tests.search.marks"]\n'
TABLE = "tests.search.marks_regions"
LIMITS = Limits(threads=2)
RED, DARK_RED, GREEN, BLUE, WHITE = (
    (250, 20, 20), (200, 60, 30), (20, 240, 20), (20, 30, 250), (250, 250, 250)
)  # fmt: skip


def draw(path: Path, colors: Sequence[tuple[int, int, int]]) -> None:
    pixels = np.zeros((120, 400, 3), np.uint8)
    for place, color in enumerate(colors):
        pixels[30:90, 20 + 90 * place : 80 + 90 * place] = color
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faces")
    (made / "in").mkdir()
    draw(made / "in" / "pair.png", [RED, GREEN])
    draw(made / "in" / "red.png", [DARK_RED])
    draw(made / "in" / "blue.png", [BLUE, WHITE])
    draw(made / "in" / "nobody.png", [])
    draw(made / "asked.png", [DARK_RED, WHITE, BLUE])
    corpus.run_inline(made / "in", made / "d", recipe=RECIPE)
    return made


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return Dataset.open(str(folder / "d"))


def cosine(a: Sequence[int], b: Sequence[int]) -> float:
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_each_face_of_a_photo_has_its_own_ranks_distances_and_matches(
    folder: Path, dataset: Dataset
) -> None:
    found = face(dataset, str(folder / "asked.png"), LIMITS, threshold=0.2)
    asked = folder / "asked.png"
    # The white square has no vector: nobody can be looked for by it.
    assert [q.label for q in found.queries] == [f"face 0 of {asked}", f"face 2 of {asked}"]
    first, second = ([h for h in found.hits.to_pylist() if h["query"] == n] for n in (0, 1))
    assert [h["rank"] for h in first] == [1, 2, 3, 4]
    assert [(h["address"].rpartition("/")[2], h["region"]) for h in first[:2]] == [
        ("red.png", 0),
        ("pair.png", 0),
    ]
    assert first[1]["distance"] == pytest.approx(1 - cosine(RED, DARK_RED), abs=1e-6)
    assert [h["match"] for h in first] == [True, True, False, False]
    assert second[0]["address"].endswith("/blue.png")
    assert second[0]["match"]
    record = found.record()
    assert (record["metric"], record["threshold"], record["model"]) == ("cosine", 0.2, "eyes")


def test_a_source_of_the_dataset_asks_with_its_faces_and_each_is_left_out(
    folder: Path, dataset: Dataset
) -> None:
    pair = folder / "in" / "pair.png"
    found = face(dataset, str(pair), LIMITS, k=10)
    assert [q.label for q in found.queries] == [f"face 0 of {pair}", f"face 1 of {pair}"]
    own = source_id_of(f"file://{pair}")
    for number in (0, 1):
        ids = [h["region_id"] for h in found.hits.to_pylist() if h["query"] == number]
        assert f"{own}-0-{number}" not in ids
        assert f"{own}-0-{1 - number}" in ids


def test_no_match_is_told_where_no_threshold_of_the_model_is_known(
    folder: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = face(dataset, str(folder / "asked.png"), LIMITS)
    assert found.threshold is None
    assert "match" not in found.hits.column_names
    monkeypatch.setitem(thresholds.COSINE, "eyes", 0.05)
    known = face(dataset, str(folder / "asked.png"), LIMITS)
    assert known.threshold == 0.05
    assert known.hits["match"].to_pylist() == [
        distance <= 0.05 for distance in known.hits["distance"].to_pylist()
    ]


def test_the_page_frames_each_face(folder: Path, dataset: Dataset) -> None:
    found = face(dataset, str(folder / "asked.png"), LIMITS, threshold=0.2)
    shown = Page(page.render(found, LIMITS).decode())
    frames = [s for s in shown.attributes("span", "style") if s.startswith("left:")]
    assert len(frames) == 2 + found.hits.num_rows
    # Face 0 of what was asked with lies at 20 to 80 of 400, and 30 to 90 of 120.
    assert frames[0] == "left:5.0%;top:25.0%;width:15.0%;height:50.0%"
    assert "no proof of who somebody is" in shown.text


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("in/nobody.png", "no face of it that has a vector: it is ok"),
        ("blank.png", "no face was found"),
        ("white.png", "has no vector"),
    ],
)
def test_a_photo_without_faces_is_refused(
    folder: Path, dataset: Dataset, name: str, match: str
) -> None:
    draw(folder / "blank.png", [])
    draw(folder / "white.png", [WHITE])
    with pytest.raises(SearchError, match=match):
        face(dataset, str(folder / name), LIMITS)


def test_tables_without_faces_are_refused(made: Path, dataset: Dataset) -> None:
    photo = str(corpus.PHOTOS["astronaut.png"])
    with pytest.raises(SearchError, match="has vectors of faces") as caught:
        face(Dataset.open(str(made / "d")), photo, LIMITS)
    assert "recognition = true" in caught.value.remedy
    with pytest.raises(SearchError, match=r"no vectors of faces; .*marks_regions"):
        face(dataset, photo, LIMITS, on="sources")
