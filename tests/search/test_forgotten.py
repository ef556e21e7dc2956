"""What was forgotten is on no page of the dataset, whatever came first: page or takedown."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.dataset import Dataset
from imgbatch.dataset import pages as pages_of
from imgbatch.dataset.forget import begin, forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.posts_forgotten import KnownPosts
from imgbatch.dataset.verify import verify
from imgbatch.errors import BusyError, SearchError, SettingsError, StorageError
from imgbatch.report import exemplars, write_report
from imgbatch.search import hits, like, page
from imgbatch.settings import Limits
from tests import corpus
from tests.groupers.written import label
from tests.search.conftest import RECIPE

LIMITS = Limits()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures `in`, their dataset `d` with clusters, and `link.jpg` to one."""
    folder = tmp_path_factory.mktemp("forgotten")
    corpus.many(folder / "in", 8)
    corpus.run_inline(folder / "in", folder / "d", recipe=RECIPE)
    dataset = Dataset.open(str(folder / "d"))
    label(dataset, "clusters", table="classic", k=2, method="kmeans")
    (folder / "link.jpg").symlink_to(folder / "in" / "00001.jpg")
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """A dataset of one's own, over the same pictures."""
    return Path(shutil.copytree(whole / "d", tmp_path / "d"))


def take_out(place: Path, photo: Path) -> None:
    dataset = Dataset.open(str(place))
    forget(dataset, look_up(dataset, [given(str(photo))]))


def pages(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "report").rglob("*") if path.is_file())


def proof(place: Path, photo: Path) -> list[str]:
    return verify_forgotten(Dataset.open(str(place)), [given(str(photo))]).problems


@pytest.mark.parametrize("spelled", ["path", "relative", "link", "address", "other address", "id"])
def test_a_forgotten_photo_is_not_asked_with_however_it_is_named(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    photo = whole / "in" / "00001.jpg"
    take_out(place, photo)
    monkeypatch.chdir(whole)
    asked = {
        "path": str(photo),
        "relative": "in/00001.jpg",
        "link": "link.jpg",
        "address": f"file://{photo}",
        "other address": f"file://{whole}/in/../in/%30%30001.jpg",
        "id": given(str(photo)).source_id,
    }
    with pytest.raises(SearchError, match="was forgotten in"):
        like(Dataset.open(str(place)), asked[spelled], LIMITS)
    assert pages(place) == []


def test_the_page_of_a_photo_from_elsewhere_leaves_when_that_is_forgotten(
    whole: Path, place: Path, tmp_path: Path
) -> None:
    photo = shutil.copy(whole / "in" / "00001.jpg", tmp_path / "elsewhere.jpg")
    (tmp_path / "link.jpg").symlink_to(photo)
    for asked in (photo, tmp_path / "link.jpg", whole / "in" / "00002.jpg"):
        found = like(Dataset.open(str(place)), str(asked), LIMITS)
        page.put(found, page.render(found, LIMITS))
    assert len(pages(place)) == 3
    take_out(place, photo)
    assert len(pages(place)) == 1
    assert proof(place, photo) == []


def test_the_proof_finds_the_page_of_a_photo_from_elsewhere_by_its_tombstone_alone(
    whole: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = Path(shutil.copy(whole / "in" / "00001.jpg", tmp_path / "elsewhere.jpg"))
    monkeypatch.chdir(tmp_path)
    found = like(Dataset.open(str(place)), "elsewhere.jpg", LIMITS)
    made = page.render(found, LIMITS)
    take_out(place, photo)
    (place / "report").mkdir(exist_ok=True)
    (place / "report" / "kept.html").write_bytes(made)  # by a writer who was killed there
    [problem] = verify_forgotten(Dataset.open(str(place))).problems
    assert problem.startswith("report/kept.html names a forgotten source")


def test_a_page_that_a_takedown_overtook_is_not_put(whole: Path, place: Path) -> None:
    found = like(Dataset.open(str(place)), str(whole / "in" / "00001.jpg"), LIMITS, k=7)
    made = page.render(found, LIMITS)
    gone = whole / "in" / "00003.jpg"
    assert given(str(gone)).source_id in made.decode()
    take_out(place, gone)
    with pytest.raises(BusyError, match="a takedown went by meanwhile"):
        page.put(found, made)
    assert pages(place) == []
    assert proof(place, gone) == []


def put_search(dataset: Dataset, whole: Path) -> None:
    found = like(dataset, str(whole / "in" / "00001.jpg"), LIMITS, k=7)
    page.put(found, page.render(found, LIMITS))


KINDS = {
    "search": put_search,
    "report": lambda dataset, _: write_report(dataset),
    "sheets": lambda dataset, _: exemplars.write_sheets(dataset, "clusters", LIMITS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_a_takedown_overtakes_while_it_is_put_leaves_again(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    dataset = Dataset.open(str(place))
    gone = whole / "in" / "00003.jpg"
    store, put, done = dataset.store, dataset.store.put, []

    def slow(name: str, data: bytes) -> None:
        if name.startswith("report/") and not done:
            done.append(name)
            take_out(place, gone)  # after the last look before, and to its end
        put(name, data)

    monkeypatch.setattr(type(store), "put", lambda _, name, data: slow(name, data))
    with pytest.raises(BusyError, match="a takedown went by meanwhile"):
        KINDS[kind](dataset, whole)
    assert done
    assert pages(place) == []
    assert proof(place, gone) == []


def overtaken(place: Path, gone: Path, patched: pytest.MonkeyPatch, *fails: str) -> BusyError:
    """Write a report that a takedown overtakes, on a store that fails since; return its end.

    Args:
        place: the dataset.
        gone: what the takedown takes out.
        patched: puts the failures in place.
        fails: "delete NAME", "former" or "look".
    """
    dataset = Dataset.open(str(place))
    own = type(dataset.store)
    put, delete, former, look = own.put, own.delete, own.former, pages_of.look
    since: list[str] = []

    def late(store: Any, name: str, data: bytes) -> None:
        if name.startswith("report/") and not since:
            take_out(place, gone)
            since.append(name)
        put(store, name, data)

    def failing(what: str, name: str) -> None:
        if since and what in fails:
            raise StorageError(f"{name}: 503 slow down")

    patched.setattr(own, "put", late)
    patched.setattr(own, "delete", lambda s, n: (failing(f"delete {n}", n), delete(s, n)))
    patched.setattr(own, "former", lambda s, p="": (failing("former", p), former(s, p))[1])
    patched.setattr(pages_of, "look", lambda d: (failing("look", "forgotten/"), look(d))[1])
    with pytest.raises(BusyError) as ended:
        write_report(dataset)
    patched.undo()
    return ended.value


@pytest.mark.parametrize("blind", [(), ("look",)])
def test_a_page_that_cannot_be_taken_out_again_is_named_and_all_others_are(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch, blind: tuple[str, ...]
) -> None:
    gone = whole / "in" / "00003.jpg"
    error = overtaken(place, gone, monkeypatch, "delete report/codebook.csv", *blind)
    assert "report/codebook.csv could not be deleted" in str(error)
    assert ("nobody can say whether a takedown went by" in str(error)) is bool(blind)
    assert "Nothing of it was left" not in error.remedy
    assert "`imgbatch forget DATASET --former` deletes the report" in error.remedy
    assert pages(place) == ["codebook.csv"]
    # As the remedy says.
    told = CliRunner().invoke(app, ["forget", str(place), "--former", "--yes"])
    assert told.exit_code == 0, told.output
    assert pages(place) == []


@pytest.mark.parametrize("blind", [(), ("look",)])
def test_versions_of_a_page_that_may_stay_are_told_and_what_deletes_them(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch, blind: tuple[str, ...]
) -> None:
    error = overtaken(place, whole / "in" / "00003.jpg", monkeypatch, "former", *blind)
    assert "former versions of the page may stay below report/" in str(error)
    assert "Nothing of it was left" not in error.remedy
    assert "--former" in error.remedy
    assert pages(place) == []


def test_a_page_that_is_taken_out_again_leaves_nothing_and_says_so(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = overtaken(place, whole / "in" / "00003.jpg", monkeypatch)
    assert error.remedy.startswith("Nothing of it was left there.")
    assert pages(place) == []


def test_no_page_is_put_while_a_takedown_is_not_finished(whole: Path, place: Path) -> None:
    dataset = Dataset.open(str(place))
    gone = given(str(whole / "in" / "00003.jpg")).source_id
    begin(dataset, KnownPosts(sources=frozenset([gone])), reason="test")
    found = like(dataset, str(whole / "in" / "00001.jpg"), LIMITS)
    with pytest.raises(BusyError, match="is not finished"):
        page.put(found, page.render(found, LIMITS))
    with pytest.raises(BusyError, match="is not finished"):
        write_report(dataset)
    assert pages(place) == []


def test_a_takedown_of_others_while_a_search_reads_is_no_damage(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    nearest = like.__globals__["nearest"]

    def late(batches: object, *given_: object, **more: object) -> object:
        if not done:
            done.append(1)
            take_out(place, whole / "in" / "00003.jpg")
        return nearest(batches, *given_, **more)

    monkeypatch.setitem(like.__globals__, "nearest", late)
    asked = str(whole / "in" / "00001.jpg")
    with pytest.raises(BusyError, match="changed while it was read"):
        like(Dataset.open(str(place)), asked, LIMITS)
    assert verify(Dataset.open(str(place))).problems == []
    assert like(Dataset.open(str(place)), asked, LIMITS).compared == 7


def test_hits_are_not_written_into_the_dataset(place: Path) -> None:
    with pytest.raises(SettingsError, match="lies in DATASET"):
        hits.check_out(Dataset.open(str(place)), str(place / "report" / "x.html"))
