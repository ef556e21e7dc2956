"""The nearest vectors by the cosine, against all of them computed at once in double precision."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from imgbatch.errors import SearchError
from imgbatch.search import cosine
from imgbatch.search.cosine import Nearest, nearest

LENGTH = 24


def batch_of(vectors: np.ndarray, first: int = 0) -> pa.RecordBatch:
    keys = [f"{first + n:05}" for n in range(len(vectors))]
    lists = pa.array(list(vectors), pa.list_(pa.from_numpy_dtype(vectors.dtype)))
    return pa.RecordBatch.from_pydict({"picture_id": keys, "vector": lists})


def batches_of(vectors: np.ndarray, size: int) -> list[pa.RecordBatch]:
    return [batch_of(vectors[at : at + size], at) for at in range(0, len(vectors), size)]


def search(
    batches: list[pa.RecordBatch], queries: np.ndarray, k: int, leave: str | None = None
) -> Nearest:
    own = [{leave} if leave else set()] * len(queries)
    return nearest(batches, list(queries), column="vector", key="picture_id", k=k, leave=own)


def expected(vectors: np.ndarray, query: np.ndarray) -> tuple[list[str], np.ndarray]:
    wide = vectors.astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    similarity = wide @ query / np.linalg.norm(query) / norms
    order = np.argsort(-similarity, kind="stable")
    return [f"{n:05}" for n in order], similarity[order]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    # Crowded around one direction, as embeddings are: the last digits decide.
    random = np.random.default_rng(5)
    made = 1 + 0.05 * random.standard_normal((5000, LENGTH))
    made *= random.uniform(0.5, 3, (5000, 1))
    return made.astype(np.float32)


@pytest.mark.parametrize("size", [7, 333, 5000])
@pytest.mark.parametrize("k", [1, 10, 6000])
def test_however_the_rows_lie_the_result_is_that_of_all_at_once(
    vectors: np.ndarray, size: int, k: int
) -> None:
    queries = np.random.default_rng(6).standard_normal((3, LENGTH))
    found = search(batches_of(vectors, size), queries, k)
    assert (found.compared, found.pointless) == (5000, 0)
    for query, best in zip(queries, found.best, strict=True):
        names, similarity = expected(vectors, query)
        assert best.rows["picture_id"].to_pylist() == names[:k]
        assert np.allclose(best.similarity, similarity[:k], rtol=0, atol=1e-12)


def test_blocks_smaller_than_a_batch_change_nothing(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = vectors[:1].astype(np.float64)
    whole = search([batch_of(vectors)], query, 50)
    monkeypatch.setattr(cosine, "BLOCK", 100 * LENGTH)
    cut = search([batch_of(vectors)], query, 50)
    assert cut.best[0].rows == whole.best[0].rows
    assert np.array_equal(cut.best[0].similarity, whole.best[0].similarity)


def test_equal_vectors_come_in_the_order_of_their_names_and_the_asking_one_is_left_out() -> None:
    same = np.ones((40, LENGTH), np.float32)
    batches = batches_of(same, 9)[::-1]
    found = search(batches, same[:1].astype(np.float64), 5, leave="00002")
    assert found.best[0].rows["picture_id"].to_pylist() == [f"{n:05}" for n in (0, 1, 3, 4, 5)]
    assert found.best[0].similarity.tolist() == pytest.approx([1.0] * 5, abs=1e-12)


def test_whole_numbers_are_compared_exactly() -> None:
    levels = np.random.default_rng(7).integers(0, 256, (200, 675)).astype(np.uint8)
    found = search([batch_of(levels)], levels[3:4].astype(np.float64), 1)
    assert found.best[0].rows["picture_id"].to_pylist() == ["00003"]
    assert found.best[0].similarity[0] == pytest.approx(1.0, abs=1e-15)


def test_a_vector_without_direction_is_counted_and_never_found() -> None:
    some = np.eye(4, dtype=np.float32)
    some[2] = 0
    found = search([batch_of(some)], np.array([[1.0, 0, 0, 0]]), 10)
    assert (found.compared, found.pointless) == (3, 1)
    assert "00002" not in found.best[0].rows["picture_id"].to_pylist()


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(SearchError, match="vectors of 4 numbers do not compare with one of 5"):
        search([batch_of(np.eye(4, dtype=np.float32))], np.ones((1, 5)), 1)
