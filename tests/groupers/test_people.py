"""People among made faces whose truth is known: how right, how stable, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics.cluster import pair_confusion_matrix

from imgbatch import groupers
from imgbatch.errors import GroupError
from imgbatch.groupers import people
from imgbatch.models import registry
from imgbatch.models.faces import thresholds
from imgbatch.report.labelled import read_labels
from imgbatch.vectors import links
from tests.groupers import written
from tests.groupers.made import Beside, Made, pictures

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 128
THRESHOLD = 0.5


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


def unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def faces(vectors: Any, **measured: Any) -> pa.Table:
    """Return a table with one face for each vector, all of good quality but for what is given."""
    found = pictures(vectors)
    count = found.num_rows
    ids = pa.array([f"{p}-0" for p in found["picture_id"].to_pylist()])
    told = {"score": 0.9, "width": 80.0, "height": 90.0, "sharpness": 300.0}
    columns = {
        name: pa.array(measured.get(name, [value] * count), pa.float32())
        for name, value in told.items()
    }
    return pa.table({**{n: found[n] for n in found.column_names}, "region_id": ids, **columns})


def crowd(count: int, persons: int, seed: int = 0) -> tuple[Any, Any]:
    """Return embeddings as recognisers give them, and who each is of; some come once."""
    random = np.random.default_rng(seed)
    middles = unit(random.normal(size=(persons, WIDTH)))
    who = random.choice(persons, count, p=unit_sum(1 / np.arange(1, persons + 1) ** 0.7))
    noise = random.uniform(0.5, 1.0, (count, 1)) * random.normal(size=(count, WIDTH))
    return unit(middles[who] + noise / np.sqrt(WIDTH)), who


def unit_sum(values: Any) -> Any:
    return values / values.sum()


def persons(found: pa.Table, table: pa.Table) -> list[str | None]:
    """Return the persons in the order of the table's rows."""
    place = pc.index_in(table["region_id"], value_set=found["region_id"].combine_chunks())
    told: list[str | None] = found["person"].take(place).to_pylist()
    return told


def right(truth: Any, found: list[str | None]) -> tuple[float, float]:
    """Return precision and recall of all pairs of faces."""
    names = [name or f"nobody {i}" for i, name in enumerate(found)]
    pairs = pair_confusion_matrix(truth, names)
    return pairs[1, 1] / pairs[:, 1].sum(), pairs[1, 1] / pairs[1].sum()


@pytest.mark.parametrize("exact", [links.EXACT, 500], ids=["all with all", "by the index"])
def test_people_of_known_truth_are_found(
    beside: Beside, monkeypatch: pytest.MonkeyPatch, exact: int
) -> None:
    vectors, who = crowd(3000, 150)
    index = links.index
    monkeypatch.setattr(links, "index", lambda vectors: index(vectors, exact))
    table = faces(vectors)
    found = beside.group("people", Made({"faces_regions": table}), threshold=THRESHOLD)
    precision, recall = right(who, persons(found, table))
    assert precision >= 0.999
    assert recall >= 0.98


def test_every_face_of_a_person_is_near_its_middle_and_each_person_has_one(beside: Beside) -> None:
    vectors, _ = crowd(1200, 60)
    table = faces(vectors)
    found = beside.group("people", Made({"faces_regions": table}), threshold=THRESHOLD)
    place = pc.index_in(found["region_id"], value_set=table["region_id"].combine_chunks())
    vectors = vectors[place.to_numpy()]
    for name in pc.unique(found["person"].drop_null()).to_pylist():
        inside = np.flatnonzero(pc.equal(found["person"], name).fill_null(False).to_numpy())  # noqa: FBT003 - a value
        own = found.take(pa.array(inside))
        middle = inside[own["is_middle"].to_numpy()]
        assert len(middle) == 1
        distance = 1 - vectors[inside] @ vectors[middle[0]]
        assert np.allclose(own["distance"], distance, atol=1e-5)
        assert distance.max() <= THRESHOLD + 1e-5
        assert set(own["person_size"].to_pylist()) == {len(inside)}
        assert name in own["region_id"].to_pylist()
    alone = found.filter(pc.is_null(found["person"]))
    assert alone["distance"].null_count == alone["person_size"].null_count == alone.num_rows


def test_a_chain_of_likenesses_falls_apart(beside: Beside) -> None:
    angles = np.radians(np.arange(0, 90, 6))
    chain = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = beside.group("people", Made({"faces_regions": faces(chain)}), threshold=0.05)
    assert pc.count_distinct(found["person"]).as_py() > 1
    assert pc.max(found["distance"]).as_py() <= 0.05


@pytest.mark.parametrize("seed", range(4))
def test_faces_all_around_are_people_whose_faces_are_all_near_their_middles(
    beside: Beside, seed: int
) -> None:
    around = unit(np.random.default_rng(seed).normal(size=(400, 3)))
    found = beside.group("people", Made({"faces_regions": faces(around)}), threshold=0.05)
    assert pc.count_distinct(found["person"]).as_py() > 1
    assert pc.max(found["distance"]).as_py() <= 0.05 + 1e-5


def test_bad_faces_link_nobody_and_are_given_to_whom_they_are_near(beside: Beside) -> None:
    first, second, between = [1.0, 0, 0], [0.7, 0.714, 0], [0.95, 0.31, 0]
    vectors = unit(np.array([first, first, second, second, between, [0, 0, 1.0], between]))
    sharp = [300, 300, 300, 300, 5, 300, 300]
    sides = [80, 80, 80, 80, 80, 80, 10]
    table = faces(vectors, sharpness=sharp, width=sides)
    told = beside.group("people", Made({"faces_regions": table}), threshold=0.12)
    found = persons(told, table)
    assert found[0] == found[1] != found[2] == found[3]
    assert found[4] == found[6] == found[0]
    assert found[5] is None
    place = pc.index_in(table["region_id"], value_set=told["region_id"].combine_chunks())
    linked = told["linked"].take(place).to_pylist()
    assert linked == [True, True, True, True, False, True, False]


def test_bad_faces_alone_make_no_person(beside: Beside) -> None:
    table = faces(unit(np.ones((5, 3))), score=[0.1] * 5)
    found = beside.group("people", Made({"faces_regions": table}), threshold=0.3)
    assert found["person"].null_count == 5


def test_people_keep_their_names_when_faces_are_added(beside: Beside) -> None:
    vectors, who = crowd(1500, 40, seed=4)
    few, all_ = faces(vectors[:900]), faces(vectors)
    before = beside.group("people", Made({"faces_regions": few}), threshold=THRESHOLD)
    after = beside.group("people", Made({"faces_regions": all_}), threshold=THRESHOLD)
    old, new = persons(before, few), persons(after, all_)[:900]
    kept = [a == b for a, b in zip(old, new, strict=True) if a is not None]
    assert sum(kept) / len(kept) > 0.99
    assert right(who, persons(after, all_))[0] > 0.99


def test_two_faces_that_are_alike_are_one_person_whatever_their_ids(beside: Beside) -> None:
    random = np.random.default_rng(2)
    pairs = np.repeat(unit(random.normal(size=(200, WIDTH))), 2, axis=0)
    table = faces(pairs)
    found = beside.group("people", Made({"faces_regions": table}), threshold=0.2)
    assert right(np.repeat(np.arange(200), 2), persons(found, table)) == (1, 1)


def test_names_do_not_depend_on_the_order_of_faces(tmp_path: Path) -> None:
    table = faces(crowd(800, 40)[0])
    turned = table.take(np.random.default_rng(0).permutation(table.num_rows))
    one, other = (
        Beside(tmp_path).group("people", Made({"faces_regions": t}, part), threshold=THRESHOLD)
        for t, part in ((table, 100), (turned, 777))
    )
    assert one["person"].equals(other["person"])


def test_faces_without_an_embedding_are_nobody(beside: Beside) -> None:
    vectors: list[Any] = [[1.0, 0.0], None, [1.0, 0.1], [0.0, 0.0]]
    table = faces(vectors)
    found = beside.group("people", Made({"faces_regions": table}), threshold=0.1)
    first, second, third, fourth = persons(found, table)
    assert first == third is not None
    assert second is fourth is None


def test_a_table_without_embeddings_is_refused(beside: Beside) -> None:
    with pytest.raises(GroupError, match="no row of faces_regions has an embedding"):
        beside.group("people", Made({"faces_regions": faces([None, None])}), threshold=0.5)
    assert beside.files == {}


class Told(Made):
    """Faces of a known detector."""

    def __init__(self, tables: dict[str, pa.Table], detector: str, own: str = "") -> None:
        super().__init__(tables)
        weights = {"weights": {"url": "mine.zip", "sha256": own}} if own else {}
        self._settings = {"detector": detector, **weights}

    def made_of(self, name: str) -> dict[str, Any]:  # noqa: ARG002 - there is one table
        return {"analyzer": "faces", "settings": self._settings}


def test_the_threshold_is_that_of_the_model_that_made_the_faces(beside: Beside) -> None:
    angle = np.arccos(1 - 0.54)
    pair = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    found = beside.group("people", Told({"faces_regions": faces(pair)}, "buffalo_l"))
    assert found["person"].null_count == 0
    with pytest.raises(GroupError, match="no threshold is published for the embeddings of mine"):
        beside.group("people", Told({"faces_regions": faces(pair)}, "mine"))


def test_the_threshold_of_a_pack_is_not_that_of_weights_of_the_users_own(beside: Beside) -> None:
    tables = {"faces_regions": faces(np.eye(2))}
    with pytest.raises(GroupError, match="buffalo_l with weights of your own"):
        beside.group("people", Told(tables, "buffalo_l", own="0" * 64))
    # The registry's own file, had from another place.
    same = Told(tables, "buffalo_l", own=registry.find("buffalo_l").sha256)
    assert beside.group("people", same)["person"].null_count == 2
    assert thresholds.published("buffalo_l", {"weights": {"sha256": "0" * 64}}) is None


def test_what_tells_people_apart_is_marked_as_biometric() -> None:
    marks = {column.name: column.mark for column in people.COLUMNS}
    assert marks["person"] == marks["distance"] == "biometric"
    assert "people" in groupers.available()


def test_the_report_looks_up_no_source_of_groups_of_faces_that_another_grouper_made(
    tmp_path: Path,
) -> None:
    tables = {"faces_regions": written.rows_of("faces_regions", ["embedding"])}
    made = written.dataset(tmp_path / "d", tables)
    written.label(made, "clusters", table="faces_regions", k=5, stability=0)
    # The table `sources`, which pictures are looked up in, is not even there.
    [found] = read_labels(made, thumbnails=True)
    assert (found.groups, found.strips) == (5, ())


def test_a_face_that_comes_thousands_of_times_has_no_more_links_than_others() -> None:
    """Each is near to all others: their pairs, held at once, would be the square of them."""
    vectors = unit(np.repeat(np.random.default_rng(0).standard_normal((2, WIDTH)), 500, axis=0))
    rows = np.arange(1000)
    pairs = links._pairs(vectors, rows, rows, 0.9, links.MOST)
    assert np.bincount(pairs[0].astype(int)).tolist() == [links.MOST] * 1000
    graph = links.near(vectors, links.index(vectors), rows, rows, distance=0.1)
    assert graph[[499]].indices.tolist() == list(range(links.MOST))
    assert graph[[0]].indices.tolist() == list(range(1, links.MOST + 1))


def test_copies_of_few_faces_are_cut_into_cells_without_a_word() -> None:
    few = unit(np.random.default_rng(0).standard_normal((50, WIDTH)))
    many = few[np.arange(links.EXACT + 1000) % 50]
    assert links.index(many).cells > 50
