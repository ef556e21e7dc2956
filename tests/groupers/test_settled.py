"""Clusters that are there stay as they are: rows are added to them, and nothing moves unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pytest

from imgbatch.dataset import groups
from imgbatch.errors import GroupError
from imgbatch.grouping import Wish, group
from imgbatch.settings import Limits
from tests.groupers.written import dataset, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from imgbatch.dataset import Dataset

# Of 60 and 150 rows; every fiftieth failed.
FEW, ALL = 58, 147
PLAIN = {"table": "embed", "k": 5}


@pytest.fixture
def settled(tmp_path: Path) -> Dataset:
    """A dataset of some vectors in five clusters, to which others have come."""
    table = rows_of("embed", ["embedding"], 150)
    made = dataset(tmp_path / "d", {"embed": table.slice(0, 60)})
    asked(made, PLAIN)
    return dataset(tmp_path / "d", {"embed": table}, seed=1)


def asked(made: Dataset, settings: dict[str, Any], **more: Any) -> list[str]:
    """Group; return what was said."""
    said: list[str] = []
    group(Wish(made.url, "clusters", settings, **more), Limits(), say=said.append)
    return said


def labels(made: Dataset, name: str = "clusters") -> pa.Table:
    made.table(groups.path_of(name)).refresh()
    return groups.read(made, name)


def moved(before: pa.Table, after: pa.Table) -> int:
    place = pc.index_in(before["picture_id"], value_set=after["picture_id"].combine_chunks())
    now = after["cluster"].take(place)
    return int(np.sum(now.to_numpy() != before["cluster"].to_numpy()))


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"exemplars": 3},
        {"score_sample": 100},
        {"k": "5-5", "pca": 200, "sample": 50_000, "smallest": 3},
    ],
)
def test_rows_are_added_and_no_label_moves_where_only_other_settings_change(
    settled: Dataset, other: dict[str, Any]
) -> None:
    before = labels(settled)
    asked(settled, {**PLAIN, **other})
    after = labels(settled)
    assert (before.num_rows, after.num_rows) == (FEW, ALL)
    assert moved(before, after) == 0
    kept = sum("nearest" in (text or "") for text in after["exemplar"].to_pylist())
    assert kept == 5 * 3 or "exemplars" not in other


def test_stability_that_is_asked_for_again_stays_and_it_is_said(settled: Dataset) -> None:
    before = labels(settled)
    said = asked(settled, {**PLAIN, "stability": 9})
    assert moved(before, labels(settled)) == 0
    assert any("over 5 seeds" in line for line in said)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"k": 4}, "k = 5, now 4"),
        ({"seed": 1}, "seed = 0, now 1"),
        ({"pca": 3}, "pca = 200, now 3"),
        ({"method": "hdbscan"}, "method = kmeans, now hdbscan"),
    ],
)
def test_a_fit_that_would_move_labels_is_refused_unless_it_is_asked_for(
    settled: Dataset, other: dict[str, Any], named: str
) -> None:
    before = labels(settled)
    settings = {**PLAIN, **other}
    with pytest.raises(GroupError, match=named) as refused:
        asked(settled, settings)
    assert "--anew" in refused.value.remedy
    assert labels(settled).equals(before)
    asked(settled, settings, label="other")
    assert labels(settled).equals(before)
    assert labels(settled, "clusters-other").num_rows == ALL
    asked(settled, settings, anew=True)
    assert labels(settled).num_rows == ALL


def test_vectors_that_were_made_otherwise_are_not_labelled_by_the_old_centers(
    settled: Dataset, tmp_path: Path
) -> None:
    before = labels(settled)
    table = rows_of("embed", ["embedding"], 150)
    dataset(tmp_path / "d", {"embed": table}, seed=2, fingerprint="4567cdef")
    with pytest.raises(GroupError, match="rows of embed that were made otherwise"):
        asked(settled, PLAIN)
    assert labels(settled).equals(before)
    asked(settled, PLAIN, anew=True)
    assert labels(settled).num_rows == ALL


def test_names_of_duplicates_are_given_anew_by_other_settings(tmp_path: Path) -> None:
    tables = (
        ("hashes", ["frame", "dhash", "dhash_vertical", "phash"]),
        (
            "sources",
            ["sha256", "width", "height", "size"],
        ),
    )
    made = dataset(tmp_path / "d", {name: rows_of(name, columns) for name, columns in tables})
    for distance in (32, 4):
        group(Wish(made.url, "duplicates", {"distance": distance}), Limits(), say=str)
    record = groups.record(made.table("groups/duplicates"))
    assert record is not None
    assert record["settings"]["distance"] == 4
