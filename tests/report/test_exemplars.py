"""Contact sheets of clusters of real photographs: whole, escaped, and gone when they are to be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from imgbatch.dataset import Dataset, groups
from imgbatch.errors import DatasetError
from imgbatch.grouping import Wish, group
from imgbatch.report.exemplars import write_sheets
from imgbatch.settings import Limits
from tests.corpus import make, many, run_inline
from tests.test_cli import imgbatch

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "[media]\n[analyzers.classic]\n[analyzers.hashes]\n"


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Photographs in two clusters, and copies among them."""
    folder = tmp_path_factory.mktemp("clustered")
    run_inline(make(folder / "in"), folder / "out", recipe=RECIPE)
    settings = {"table": "classic", "k": 2, "exemplars": 3}
    group(Wish(str(folder / "out"), "clusters", settings), Limits(), say=str)
    group(Wish(str(folder / "out"), "duplicates"), Limits(), say=str)
    return Dataset.open(str(folder / "out"))


def pages(dataset: Dataset) -> dict[str, str]:
    write_sheets(dataset, "clusters", Limits())
    names = ["index.html", "cluster-0.html", "cluster-1.html"]
    return {name: dataset.store.get(f"report/sheets/clusters/{name}").decode() for name in names}


def test_each_cluster_has_a_page_with_a_picture_of_each_exemplar(clustered: Dataset) -> None:
    found = pages(clustered)
    labels = groups.read(clustered, "clusters")
    for cluster in (0, 1):
        rows = [row for row in labels.to_pylist() if row["cluster"] == cluster]
        shown = re.findall(r'data-source="(\w+)"', found[f"cluster-{cluster}.html"])
        kinds = [kind for row in rows for kind in (row["exemplar"] or "").split()]
        assert len(shown) == len(kinds) > 0
        assert set(shown) == {row["source_id"] for row in rows if row["exemplar"]}
        assert found[f"cluster-{cluster}.html"].count("data:image/jpeg;base64,") == len(shown)
        assert f'href="cluster-{cluster}.html"' in found["index.html"]
    assert "2, taken" in found["index.html"]


def test_pages_run_nothing_load_nothing_and_show_names_as_text(clustered: Dataset) -> None:
    for page in pages(clustered).values():
        assert "default-src &#39;none&#39;" in page
        assert "<script" not in page
        assert "<b>bold" not in page
    assert any("&lt;b&gt;bold" in page for page in pages(clustered).values())


def test_labels_that_are_not_there_or_have_no_exemplars_are_refused(clustered: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"no labels others .* clusters, duplicates"):
        write_sheets(clustered, "others", Limits())
    with pytest.raises(DatasetError, match="duplicates have no exemplars"):
        write_sheets(clustered, "duplicates", Limits())


def test_labels_of_what_a_source_was_before_are_shown_without_its_picture_and_said_to_be_old(
    tmp_path: Path,
) -> None:
    given = many(tmp_path / "in", 8)
    changed, gone, *_ = sorted(given.iterdir())
    run_inline(given, tmp_path / "out", recipe=RECIPE)
    settings = {"table": "classic", "k": 2, "exemplars": 8}
    group(Wish(str(tmp_path / "out"), "clusters", settings), Limits(), say=str)
    dataset = Dataset.open(str(tmp_path / "out"))
    fresh = "".join(pages(dataset).values())
    assert "older" not in fresh
    assert "no picture" not in fresh
    assert write_sheets(dataset, "clusters", Limits()).old == ""

    Image.new("RGB", (600, 400), (0, 255, 0)).save(changed)
    gone.unlink()
    run_inline(given, tmp_path / "out", recipe=RECIPE)
    found = pages(dataset)
    for name, page in found.items():
        for card in re.findall(r"<li data-source.*?</li>", page, re.DOTALL):
            pictured = "data:image/jpeg" in card
            assert pictured == ("no picture" not in card)
            assert not (pictured and changed.name in card)
            if changed.name in card:
                assert "no picture: changed since it was grouped" in card
        assert "older than classic" in page, name
        assert "2 of 8 rows are of sources that are not there, or of other versions" in page
        assert "group again" in page
    assert changed.name in "".join(found.values())

    said = imgbatch("sheet", tmp_path / "out")
    assert said.returncode == 0
    assert said.stdout.strip().endswith("report/sheets/clusters/index.html")
    old = "older than classic, 2 of 8 rows are of sources that are not there, "
    assert said.stderr == f"note: groups clusters: {old}or of other versions: group again\n"
