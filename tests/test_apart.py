"""What must not lie in one another does not do so by way of a link either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch import fetching
from imgbatch.copies import write_copies
from imgbatch.dataset import Dataset
from imgbatch.dataset.export import export
from imgbatch.doctor import examine
from imgbatch.errors import LabelsError, SettingsError
from imgbatch.fetching.asked import FetchSettings
from imgbatch.fitting import FitWish, fit
from imgbatch.search import hits
from imgbatch.settings import Limits
from imgbatch.storage.addresses import followed, lies_in
from tests import corpus

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "[media]\n[analyzers.classic]\n"
STEPS = "[[steps]]\nname = 'crop_square'\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures `in`, their dataset `d`, and links to both and into both."""
    folder = tmp_path_factory.mktemp("apart")
    corpus.many(folder / "in", 4)
    corpus.run_inline(folder / "in", folder / "d", recipe=RECIPE)
    (folder / "in" / "below").mkdir()
    (folder / "links").mkdir()
    (folder / "links" / "d").symlink_to(folder / "d")
    (folder / "links" / "report").symlink_to(folder / "d" / "report")
    (folder / "links" / "in").symlink_to(folder / "in")
    (folder / "links" / "below").symlink_to(folder / "in" / "below")
    (folder / "labels.csv").write_text("filepath,label\n00000.jpg,a\n00001.jpg,b\n")
    return folder


def files(place: Path) -> list[str]:
    found = [path for path in place.rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(place)) for path in found)


@pytest.fixture(autouse=True)
def untouched(place: Path) -> object:
    before = files(place)
    yield
    assert files(place) == before


@pytest.mark.parametrize("out", ["d/x.csv", "links/d/x.csv", "links/report/x.csv"])
def test_hits_of_a_search(place: Path, out: str) -> None:
    dataset = Dataset.open(str(place / "d"))
    with pytest.raises(SettingsError, match="lies in DATASET"):
        hits.check_out(dataset, str(place / out))
    with pytest.raises(SettingsError, match="lies in DATASET"):
        hits.check_out(Dataset.open(str(place / "links" / "d")), str(place / out))


def test_hits_beside_the_dataset(place: Path) -> None:
    dataset = Dataset.open(str(place / "links" / "d"))
    for out in ("x.csv", "links/x.csv", "d.csv"):
        assert hits.check_out(dataset, str(place / out)) == ".csv"


@pytest.mark.parametrize("out", ["d", "links/d", "links/d/out", "links/report"])
def test_an_export(place: Path, out: str) -> None:
    for dataset in ("d", "links/d"):
        with pytest.raises(SettingsError, match="into DATASET"):
            export(Dataset.open(str(place / dataset)), str(place / out), form="csv")


@pytest.mark.parametrize("out", ["d/m.skops", "links/d/m.skops", "links/report/m.skops"])
def test_a_fitted_model(place: Path, out: str) -> None:
    wish = FitWish(str(place / "d"), str(place / "labels.csv"), on="classic", model="bayes")
    with pytest.raises(LabelsError, match="lies in DATASET"):
        fit(wish, str(place / out), Limits())


@pytest.mark.parametrize(
    ("given", "out"), [("in", "links/below/o"), ("links/in", "in/o"), ("in", "links/in")]
)
def test_copies(place: Path, given: str, out: str) -> None:
    with pytest.raises(SettingsError, match="lies inside INPUT"):
        write_copies(str(place / given), str(place / out), STEPS, limits=Limits())


@pytest.mark.parametrize(
    ("given", "out"), [("in", "links/below/o"), ("links/in", "in/o"), ("links/below", "in")]
)
def test_a_fetch(place: Path, given: str, out: str) -> None:
    wish = fetching.Wish(str(place / given), str(place / out), FetchSettings())
    with pytest.raises(SettingsError, match="lie in one another"):
        fetching.fetch(wish)


@pytest.mark.parametrize(("given", "out"), [("in", "links/below/d"), ("links/in", "in/d")])
def test_a_run_and_its_doctor(place: Path, given: str, out: str) -> None:
    with pytest.raises(SettingsError, match="lies inside INPUT"):
        corpus.run_inline(place / given, place / out, recipe=RECIPE)
    told = [line.finding.text for line in examine(str(place / given), str(place / out))]
    assert any("lies inside INPUT" in text for text in told)


def test_places(tmp_path: Path) -> None:
    (tmp_path / "100%").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "100%")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert followed(f"file://{tmp_path}/link/x") == f"file://{tmp_path}/100%25/x"
    assert lies_in(f"file://{tmp_path}/link/x", f"file://{tmp_path}/100%25")
    assert lies_in(f"file://{tmp_path}", "file://")
    assert not lies_in(f"file://{tmp_path}/round/x", f"file://{tmp_path}/100%25")
    assert lies_in("s3://b/d/x", "s3://b/d")
    assert lies_in("s3://b/d", "s3://b/d")
    assert not lies_in("s3://b/dd", "s3://b/d")
    assert not lies_in("s3://b", "s3://b/d")
