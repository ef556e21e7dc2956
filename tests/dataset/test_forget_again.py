"""A takedown list that comes again: what is left is found by looking, and nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.audit import records
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given, look_up
from imgbatch.report import write_report
from imgbatch.storage.local import PARTIAL
from tests import corpus

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.dataset.audit import Audit

RECIPE = "[analyzers.image]\n"
SHEET, PAGE = "report/sheets/clusters/cluster-0.html", "report/search/like-0.html"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A dataset with a report, a contact sheet and the page of a search."""
    corpus.many(tmp_path / "in", 4)
    corpus.run_inline(tmp_path / "in", tmp_path / "own", recipe=RECIPE)
    with_pages(tmp_path)
    return tmp_path


def with_pages(place: Path) -> None:
    dataset = Dataset.open(str(place / "own"))
    write_report(dataset)
    for name in (SHEET, PAGE):
        dataset.store.put(name, b"<p>pictures that stay</p>")


def take_down(place: Path, *names: str) -> Audit:
    dataset = Dataset.open(str(place / "own"))
    return forget(dataset, look_up(dataset, [given(f"{place}/in/{name}") for name in names]))


def proof(place: Path, *names: str) -> list[str]:
    named = [given(f"{place}/in/{name}") for name in names]
    return verify_forgotten(Dataset.open(str(place / "own")), named).problems


def kept(place: Path) -> dict[str, bytes]:
    """Return all objects but the records of takedowns themselves."""
    store = Dataset.open(str(place / "own")).store
    names = [one.name for one in store.list() if not one.name.startswith("forgotten/")]
    return {name: store.get(name) for name in names}


def test_files_of_the_report_that_go_are_counted(place: Path) -> None:
    pages = len(list((place / "own/report").rglob("*.*")))
    assert pages > 3
    audit = take_down(place, "00001.jpg")
    assert not list((place / "own/report").rglob("*.html"))
    assert (audit.files >= pages, audit.report) == (True, "pictures")


@pytest.mark.parametrize("named", [["00001.jpg"], ["00001.jpg", "never.jpg"], []])
def test_where_nothing_is_left_nothing_changes(place: Path, named: list[str]) -> None:
    take_down(place, *named)
    with_pages(place)
    before = kept(place)
    audit = take_down(place, *named)
    assert kept(place) == before
    assert (audit.files, audit.versions, audit.lines, sum(audit.rows.values())) == (0, 0, 0, 0)
    assert audit.report == "none"  # it was not deleted, so nobody writes it again
    assert proof(place, *named) == []
    assert {one["status"] for one in records(Dataset.open(str(place / "own")).store)} == {
        "finished"
    }


def test_only_the_page_that_shows_it_goes_where_nothing_else_does(place: Path) -> None:
    asked = f"<p>like {given(f'{place}/asked.jpg').address}</p>"
    Dataset.open(str(place / "own")).store.put(PAGE, asked.encode())
    before = kept(place)
    dataset = Dataset.open(str(place / "own"))
    audit = forget(dataset, look_up(dataset, [given(f"{place}/asked.jpg")]))
    assert (audit.files, audit.report) == (1, "none")
    assert before.keys() - kept(place).keys() == {PAGE}


def test_rows_that_a_former_table_has_alone_go_with_the_first(place: Path) -> None:
    corpus.run_inline(place / "in", place / "own", recipe="[analyzers.quality]\n")
    (place / "in/00001.jpg").unlink()
    (place / "in/00002.jpg").write_bytes((place / "in/00003.jpg").read_bytes())
    corpus.run_inline(place / "in", place / "own", recipe="[analyzers.quality]\n")
    take_down(place, "00000.jpg")  # what stood behind former states is no more
    assert any("tables/image" in line for line in proof(place, "00001.jpg"))
    assert take_down(place, "00001.jpg").rows["image"] == 1
    assert proof(place, "00001.jpg") == []


def test_what_the_store_keeps_half_written_goes_with_the_first(place: Path) -> None:
    address = given(f"{place}/in/never.jpg").address
    assert address
    half = place / f"own/logs/{PARTIAL}0"
    half.parent.mkdir(exist_ok=True)
    half.write_text(address)
    assert take_down(place, "never.jpg").versions == 1
    assert proof(place, "never.jpg") == []
