"""Clusters of made vectors and of digits: as scikit-learn by hand, whatever lies in which part."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score

from imgbatch.errors import GroupError, SettingsError
from imgbatch.groupers import clusters
from imgbatch.records import source_id_of
from imgbatch.settings import check
from imgbatch.vectors import centers, exemplars
from imgbatch.vectors.draw import below, draws, share
from tests.groupers.made import Beside, Made, pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


@pytest.fixture(scope="session")
def digits() -> tuple[Any, Any]:
    """scikit-learn's digits and their classes, in the order of their ids."""
    found = load_digits()
    order = np.argsort([source_id_of(name(i)) for i in range(len(found.data))])
    return found.data[order].astype(np.float32), found.target[order]


def name(index: int) -> str:
    return f"file:///made/{index}.png"


def in_id_order(vectors: Any) -> pa.Table:
    """Return a table whose rows lie in the order of their ids, as the labels will."""
    names = sorted((name(i) for i in range(len(vectors))), key=source_id_of)
    return pictures(vectors, names)


def labels_of(table: pa.Table) -> Any:
    return table["cluster"].fill_null(-1).to_numpy()


def scores(beside: Beside) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(beside.files["scores.json"])
    return found


def test_kmeans_of_digits_agrees_with_classes_as_scikit_learn_by_hand(
    beside: Beside, digits: tuple[Any, Any]
) -> None:
    vectors, classes = digits
    found = labels_of(beside.group("clusters", Made({"embed": in_id_order(vectors)}), k=10, pca=20))
    reduced = PCA(20, random_state=0).fit_transform(vectors)
    by_hand = KMeans(10, n_init=1, random_state=0).fit_predict(reduced)
    assert adjusted_rand_score(classes, found) == adjusted_rand_score(classes, by_hand)
    assert adjusted_rand_score(found, by_hand) == 1
    assert adjusted_rand_score(classes, found) > 0.5


def test_hdbscan_of_digits_agrees_with_scikit_learn_by_hand(
    beside: Beside, digits: tuple[Any, Any]
) -> None:
    vectors, _ = digits
    table = Made({"embed": in_id_order(vectors)})
    found = labels_of(beside.group("clusters", table, method="hdbscan", pca=0, smallest=15))
    by_hand = HDBSCAN(min_cluster_size=15, copy=True).fit_predict(vectors)
    assert adjusted_rand_score(found, by_hand) == 1
    assert ((found < 0) == (by_hand < 0)).all()
    assert found.max() > 3


def test_every_k_is_scored_and_the_best_one_is_taken(beside: Beside) -> None:
    vectors, _ = make_blobs(600, 8, centers=4, random_state=3, cluster_std=0.5)
    found = labels_of(beside.group("clusters", Made({"embed": in_id_order(vectors)}), k="2-7"))
    told = scores(beside)
    assert [score["k"] for score in told["scores"]] == [2, 3, 4, 5, 6, 7]
    assert told["k"] == 4
    assert told["stability"] == 1
    best = next(score["silhouette"] for score in told["scores"] if score["k"] == 4)
    assert best == pytest.approx(silhouette_score(vectors, found), abs=1e-4)
    assert sum("silhouette" in line for line in beside.said) == 6


def test_labels_do_not_depend_on_the_order_of_rows_or_on_parts(
    tmp_path: Path, digits: tuple[Any, Any]
) -> None:
    table = pictures(digits[0])
    turned = table.take(np.random.default_rng(1).permutation(table.num_rows))
    first = Beside(tmp_path).group("clusters", Made({"embed": table}, part=100), k=10, sample=900)
    other = Beside(tmp_path).group("clusters", Made({"embed": turned}, part=1500), k=10, sample=900)
    exact = ["source_id", "version", "picture_id", "cluster", "exemplar"]
    assert first.select(exact).equals(other.select(exact))
    assert np.allclose(first["distance"], other["distance"], rtol=1e-4)


def test_rows_outside_the_sample_belong_with_the_nearest_center(
    beside: Beside, digits: tuple[Any, Any]
) -> None:
    vectors, _ = digits
    found = beside.group("clusters", Made({"embed": in_id_order(vectors)}), k=10, pca=0, sample=500)
    learnt = centers.load(beside.files["model.npz"]).learnt
    distances = np.linalg.norm(vectors[:, None] - learnt.centroids, axis=2)
    assert 400 < scores(beside)["sample"] < 600
    assert (labels_of(found) == distances.argmin(axis=1)).all()
    assert np.allclose(found["distance"], distances.min(axis=1), atol=1e-3)
    next_one = np.sort(distances, axis=1)[:, 1]
    silhouettes = (next_one - distances.min(axis=1)) / next_one
    assert np.allclose(found["silhouette"], silhouettes, atol=1e-4)


@pytest.mark.parametrize("method", ["kmeans", "minibatch", "hdbscan"])
def test_appended_rows_are_labelled_and_no_label_moves(
    beside: Beside, digits: tuple[Any, Any], method: str
) -> None:
    vectors, _ = digits
    few, all_ = pictures(vectors[:1200]), pictures(vectors)
    asked = {"k": 10, "method": method, "pca": 15}
    before = beside.group("clusters", Made({"embed": few}), **asked)
    model = beside.files["model.npz"]
    after = beside.group("clusters", Made({"embed": all_}), **asked)
    assert beside.files["model.npz"] == model
    old = pc.is_in(after["source_id"], value_set=before["source_id"].combine_chunks())
    assert after.num_rows == 1797
    for column in ("cluster", "distance", "silhouette"):
        assert after.filter(old)[column].equals(before[column])
    new = labels_of(after.filter(pc.invert(old)))
    assert len(np.unique(new)) > 5
    anew = beside.group("clusters", Made({"embed": all_}), anew=True, **asked)
    assert beside.files["model.npz"] != model
    assert anew.num_rows == 1797


def test_far_away_is_noise_to_hdbscan_also_for_rows_that_come_later(beside: Beside) -> None:
    near, _ = make_blobs(300, 4, centers=2, random_state=0)
    asked = {"method": "hdbscan", "smallest": 10}
    beside.group("clusters", Made({"embed": pictures(near)}), **asked)
    lone = np.vstack([near, np.full((1, 4), 100.0)])
    found = beside.group("clusters", Made({"embed": pictures(lone)}), **asked)
    row = found.filter(pc.equal(found["source_id"], source_id_of(name(300)))).to_pylist()[0]
    assert row["cluster"] is row["distance"] is row["silhouette"] is row["rank"] is None


def test_exemplars_are_the_nearest_a_draw_and_the_border(
    beside: Beside, digits: tuple[Any, Any]
) -> None:
    found = beside.group("clusters", Made({"embed": in_id_order(digits[0])}), k=10, exemplars=5)
    for cluster in range(10):
        rows = found.filter(pc.equal(found["cluster"], cluster)).to_pylist()
        kind = {k: [r for r in rows if k in (r["exemplar"] or "").split()] for k in exemplars.KINDS}
        assert [len(kind[k]) for k in exemplars.KINDS] == [5, 5, 5]
        assert sorted(r["rank"] for r in rows) == list(range(1, len(rows) + 1))
        assert {r["rank"] for r in kind["nearest"]} == {1, 2, 3, 4, 5}
        border = max(r["silhouette"] for r in kind["border"])
        assert border == sorted(r["silhouette"] for r in rows)[4]
        by_rank = sorted(rows, key=lambda row: row["rank"])
        assert [r["distance"] for r in by_rank] == sorted(r["distance"] for r in rows)


def test_rows_without_a_vector_are_in_no_cluster(beside: Beside) -> None:
    vectors: list[Any] = [[0.0, 1.0], None, [0.1, 1.0], [5.0, 1.0], [5.1, 1.0], None]
    found = beside.group("clusters", Made({"embed": pictures(vectors)}), k=2)
    rows = {row["source_id"]: row for row in found.to_pylist()}
    without = [rows[source_id_of(name(i))] for i in (1, 5)]
    assert all(row["cluster"] is None and row["exemplar"] is None for row in without)
    first, second, third, fourth = (rows[source_id_of(name(i))]["cluster"] for i in (0, 2, 3, 4))
    assert first == second != third == fourth


@pytest.mark.parametrize(
    ("vectors", "asked", "told"),
    [
        ([[0.0], [1.0], [2.0]], {"k": 4}, r"K is 4, and .* 3 vectors"),
        ([[0.0], None, [2.0]], {"k": "2-3"}, r"K is 2-3, and .* 2 vectors"),
        ([[0.0], [1.0]], {"k": "1-999999999999"}, r"K is 1-9+, and .* 2 vectors"),
        ([None, None], {"k": 2}, r"embed.embedding holds no vector"),
        ([[0.0], [1.0, 2.0]], {"k": 2}, r"different lengths .*\[1, 2\]"),
        ([[0.0], [float("nan")]], {"k": 2}, r"not finite"),
        ([[0.0], [1.0]], {"method": "hdbscan"}, r"smallest is 20, and .* 2 vectors"),
        ([[0.5, 1.0]] * 30 + [[1.0, 1.0]], {"k": 10}, r"K is 10, and .* 31 .*, of which 2 differ"),
        ([[0.5]] * 40, {"k": "5-20"}, r"K is 5-20, and .* 40 vectors .*, of which 1 differ"),
        ([[0.5]] * 40, {"k": 2, "method": "minibatch"}, r"of which 1 differ"),
        ([[0.0], [-0.0], [1.0]], {"k": 3}, r"of which 2 differ"),
        # Different numbers, whose distances are not in single precision.
        ([[1, 1e-30], [1, 2e-30], [2, 0]], {"k": 3}, r"K is 3, .* fall into 2 that can be told"),
    ],
)
def test_what_cannot_be_grouped_is_refused_and_nothing_is_written(
    beside: Beside, vectors: Any, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(GroupError, match=told):
        beside.group("clusters", Made({"embed": pictures(vectors)}), **asked)
    assert beside.files == {}


@pytest.mark.parametrize("vectors", [[[0.5, 1.0]], [None, [0.5, 1.0]]])
def test_one_vector_is_too_few_for_hdbscan_whatever_is_set(beside: Beside, vectors: Any) -> None:
    table = Made({"embed": pictures(vectors)})
    for smallest in (2, 20):
        with pytest.raises(GroupError, match=r"one vector") as caught:
            beside.group("clusters", table, method="hdbscan", smallest=smallest)
        assert "smallest" not in caught.value.remedy
        assert "imgbatch run INPUT DATASET" in caught.value.remedy
    assert beside.files == {}


@pytest.mark.parametrize(
    ("count", "asked"),
    [
        (2, {"method": "hdbscan"}),
        (19, {"method": "hdbscan"}),
        (1, {"k": 4}),
        (3, {"k": "4-5"}),
        (1, {"k": 2, "method": "minibatch"}),
    ],
)
def test_what_is_told_to_do_about_too_few_vectors_works(
    beside: Beside, count: int, asked: dict[str, Any]
) -> None:
    table = Made({"embed": pictures([[float(i), 1.0] for i in range(count)])})
    with pytest.raises(GroupError) as caught:
        beside.group("clusters", table, **asked)
    # All were drawn: there is no larger sample.
    assert "sample" not in caught.value.remedy
    [(name, value)] = re.findall(r"--set (\w+)=(\d+)", caught.value.remedy)
    least = (name, value) in {("k", "1"), ("smallest", "2")}
    assert ("or less" in caught.value.remedy) != least
    assert beside.group("clusters", table, **{**asked, name: int(value)}).num_rows == count


@pytest.mark.parametrize("asked", [{"method": "hdbscan"}, {"k": 50}])
def test_a_sample_that_takes_too_few_is_told_as_the_cause(
    beside: Beside, asked: dict[str, Any]
) -> None:
    table = Made({"embed": pictures([[float(i), 1.0] for i in range(200)])})
    # About two rows of two hundred are drawn: none by one seed in seven, one by two of seven.
    told = set()
    for seed in range(60):
        with pytest.raises(GroupError) as caught:
            beside.group("clusters", table, **asked, sample=2, seed=seed)
        assert "larger sample" in caught.value.remedy
        assert "to group" not in str(caught.value)
        assert "INPUT" not in caught.value.remedy
        told.add(re.sub(r"\d+", "n", f"{caught.value}"))
    assert any("none of them" in text for text in told)


def test_a_draw_for_the_silhouettes_that_takes_no_row_leaves_them_out(beside: Beside) -> None:
    table = pictures([[float(i)] for i in range(60)])
    numbers = [draws(table["picture_id"], seed + clusters.SCORING) for seed in range(100)]
    # Two of sixty rows on average, and none by one seed in seven.
    missed = next(s for s, drawn in enumerate(numbers) if not below(drawn, share(60, 2)).any())
    beside.group("clusters", Made({"embed": table}), k="2-3", score_sample=2, seed=missed)
    scores = json.loads(beside.files["scores.json"])
    assert [score["silhouette"] for score in scores["scores"]] == [None, None]
    assert scores["k"] == 2


def test_a_column_that_holds_no_vectors_is_refused(beside: Beside) -> None:
    table = pictures([[0.0], [1.0]]).append_column("sharpness", pa.array([1.0, 2.0]))
    with pytest.raises(GroupError, match="the column holds double, no vectors"):
        beside.group("clusters", Made({"embed": table}), k=2, column="sharpness")


@pytest.mark.parametrize(
    ("k", "counts"), [(7, [7]), ("5-8", [5, 6, 7, 8]), ("10-30/10", [10, 20, 30])]
)
def test_k_is_a_number_or_a_range(k: Any, counts: list[int]) -> None:
    assert list(check(clusters.Settings, {"k": k}, where="--set").counts) == counts


@pytest.mark.parametrize("k", [0, "8-5", "a few", "5-20/0", "-3"])
def test_another_k_is_refused(k: Any) -> None:
    with pytest.raises(SettingsError, match="5-20"):
        check(clusters.Settings, {"k": k}, where="--set")


def test_a_draw_is_fair_and_knows_keys_only() -> None:
    keys = pa.array(
        [f"{source_id_of(name(i))}-{frame}" for i in range(2000) for frame in range(10)]
    )
    numbers = draws(keys, 7)
    bound = share(len(keys), 4000)
    drawn = below(numbers, bound)
    assert 3800 < drawn.sum() < 4200
    per_frame = drawn.reshape(2000, 10).sum(axis=0)
    assert per_frame.min() > 320
    assert per_frame.max() < 480
    turned = np.random.default_rng(0).permutation(len(keys))
    assert (draws(keys.take(pa.array(turned)), 7) == numbers[turned]).all()
    assert (below(draws(keys, 8), bound) & drawn).sum() < 1000
    assert below(numbers, share(10, 10)).all()


class Endless(Made):
    """Parts that are made when they are asked for: no more than one of them is in memory."""

    def __init__(self, parts: int, rows: int, width: int) -> None:
        super().__init__({})
        self._shape = (parts, rows, width)

    def count(self, name: str) -> int:  # noqa: ARG002 - there is one table
        return self._shape[0] * self._shape[1]

    def over(self, name: str, function: Callable[[pa.RecordBatch], pa.Table]) -> pa.Table:  # noqa: ARG002 - the same
        return pa.concat_tables(function(part) for part in self._parts())

    def _parts(self) -> Iterator[pa.RecordBatch]:
        parts, rows, width = self._shape
        plain = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
        for part in range(parts):
            vectors = plain + np.float32(part % 5 * 10)
            names = [f"{part}/{i}" for i in range(rows)]
            yield pictures(vectors, names).combine_chunks().to_batches()[0]


def test_memory_is_that_of_the_sample_and_a_part_not_of_the_table(beside: Beside) -> None:
    tables, whole = Endless(40, 250, 2048), 40 * 250 * 2048 * 4
    tracemalloc.start()
    try:
        before = pa.total_allocated_bytes()
        found = beside.group("clusters", tables, k=5, pca=0, sample=500)
        peak, held = tracemalloc.get_traced_memory()[1], pa.total_allocated_bytes() - before
    finally:
        tracemalloc.stop()
    assert found.num_rows == 10_000
    assert len(np.unique(labels_of(found))) == 5
    # The labels themselves are 2 MB, the text of their keys most of it.
    assert held < 3_000_000
    assert peak < whole / 2
