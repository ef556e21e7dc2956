"""A photo that is a source of the dataset, and is not any more what the run saw."""

from __future__ import annotations

import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from imgbatch.dataset import Dataset
from imgbatch.errors import SearchError
from imgbatch.records import source_id_of
from imgbatch.search import Found, face, like, page
from imgbatch.settings import Limits
from tests import corpus
from tests.corpus import PHOTOS
from tests.report.conftest import Page
from tests.search.conftest import RECIPE
from tests.search.test_command import imgbatch
from tests.search.test_face import BLUE, GREEN, RED, draw
from tests.search.test_face import RECIPE as FACES

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(threads=2)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with photographs `in`, one of them in an archive too, and their dataset `d`."""
    (tmp_path / "in").mkdir()
    for name in ("astronaut.png", "coffee.png", "china.jpg", "flower.jpg"):
        shutil.copy(PHOTOS[name], tmp_path / "in")
    pack(tmp_path, "rocket.jpg")
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=RECIPE)
    return tmp_path


def pack(place: Path, name: str) -> None:
    with zipfile.ZipFile(place / "in" / "a.zip", "w") as packed:
        packed.write(PHOTOS[name], "one.jpg")


def opened(place: Path) -> Dataset:
    return Dataset.open(str(place / "d"))


def names(found: Found) -> list[str]:
    return [address.rpartition("/in/")[2] for address in found.hits["address"].to_pylist()]


def similarities(found: Found) -> dict[str, float]:
    return dict(zip(names(found), found.hits["similarity"].to_pylist(), strict=True))


def replaced(place: Path) -> Path:
    """Put another photo under the name of a source."""
    photo = place / "in" / "coffee.png"
    shutil.copy(place / "in" / "astronaut.png", photo)
    return photo


@pytest.mark.parametrize("spelled", ["path", "relative", "address"])
def test_a_source_that_changed_asks_as_it_is_now_and_that_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    photo = replaced(place)
    monkeypatch.chdir(place)
    asked = {"path": str(photo), "relative": "in/coffee.png", "address": f"file://{photo}"}[spelled]
    found = like(opened(place), asked, LIMITS)
    # The picture that lies there now, though not its own row, which is of another picture.
    assert similarities(found)["astronaut.png"] == pytest.approx(1, abs=1e-7)
    assert "coffee.png" not in names(found)
    assert found.hits.num_rows == 4
    [told] = found.noticed
    assert told.startswith(f"{asked} has changed since the run")
    assert found.record()["noticed"] == [told]


def test_its_id_asks_for_it_as_the_run_saw_it(place: Path) -> None:
    before = like(opened(place), str(place / "in" / "coffee.png"), LIMITS)
    photo = replaced(place)
    named = source_id_of(f"file://{photo}")
    for name in (named, f"{named}-0"):
        found = like(opened(place), name, LIMITS)
        assert found.hits == before.hits
        assert not found.noticed


def test_after_the_next_run_it_is_a_source_like_others(place: Path) -> None:
    photo = replaced(place)
    corpus.run_inline(place / "in", place / "d", recipe=RECIPE)
    found = like(opened(place), str(photo), LIMITS)
    assert similarities(found)["astronaut.png"] == pytest.approx(1, abs=1e-7)
    assert found.queries[0].picture is None
    assert not found.noticed


def test_a_file_that_was_only_touched_has_its_stored_vector(place: Path) -> None:
    photo = place / "in" / "coffee.png"
    before = like(opened(place), str(photo), LIMITS)
    os.utime(photo, ns=(1, 1))
    after = like(opened(place), str(photo), LIMITS)
    assert after.hits == before.hits
    assert after.queries[0].picture is None
    assert not after.noticed


def test_where_the_new_picture_cannot_be_analysed_the_old_one_asks_and_that_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = like(opened(place), str(place / "in" / "coffee.png"), LIMITS)
    photo = replaced(place)
    monkeypatch.setattr("imgbatch.analyzers.classic.VERSION", 2)
    found = like(opened(place), str(photo), LIMITS)
    assert found.hits == before.hits
    [told] = found.noticed
    assert "has changed since the run" in told
    assert "as the run saw it" in told
    assert "made by another imgbatch" in told


def test_what_opens_no_more_is_refused_as_any_photo_is(place: Path) -> None:
    photo = place / "in" / "coffee.png"
    photo.write_text("<html>")
    with pytest.raises(SearchError, match="is no picture and no video") as caught:
        like(opened(place), str(photo), LIMITS)
    assert "source_id" in caught.value.remedy


def test_a_file_that_is_gone_asks_as_the_run_saw_it_and_that_is_told(place: Path) -> None:
    photo = place / "in" / "coffee.png"
    before = like(opened(place), str(photo), LIMITS)
    photo.unlink()
    found = like(opened(place), str(photo), LIMITS)
    assert found.hits == before.hits
    [told] = found.noticed
    assert "is not there any more" in told
    assert "as the run saw it" in told


def test_a_source_that_failed_and_was_mended_asks_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(PHOTOS["china.jpg"], tmp_path / "in")
    mended = tmp_path / "in" / "flower.jpg"
    mended.write_bytes(PHOTOS["flower.jpg"].read_bytes()[:9000])
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=RECIPE)
    with pytest.raises(SearchError, match=r"it is failed \(decode.truncated\)"):
        like(opened(tmp_path), str(mended), LIMITS)
    shutil.copy(PHOTOS["flower.jpg"], mended)
    found = like(opened(tmp_path), str(mended), LIMITS)
    assert names(found) == ["china.jpg"]
    assert len(found.noticed) == 1


def test_a_member_of_an_archive_that_changed_asks_as_the_run_saw_it_and_that_is_told(
    place: Path,
) -> None:
    asked = f"{place / 'in' / 'a.zip'}!/one.jpg"
    before = like(opened(place), asked, LIMITS)
    assert not before.noticed
    pack(place, "astronaut.png")
    found = like(opened(place), asked, LIMITS)
    assert found.hits == before.hits
    [told] = found.noticed
    assert "archive" in told
    assert "as the run saw it" in told


def test_faces_of_a_photo_that_changed_are_those_that_are_on_it_now(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    draw(tmp_path / "in" / "pair.png", [RED, GREEN])
    draw(tmp_path / "in" / "blue.png", [BLUE])
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=FACES)
    draw(tmp_path / "in" / "pair.png", [BLUE])
    found = face(opened(tmp_path), str(tmp_path / "in" / "pair.png"), LIMITS)
    # None of the faces that were on it: they cannot be seen there any more.
    assert names(found) == ["blue.png"]
    assert found.hits["similarity"].to_pylist() == pytest.approx([1.0])
    assert len(found.noticed) == 1


def test_the_terminal_and_the_page_say_it(place: Path) -> None:
    photo = replaced(place)
    done = imgbatch("search", place / "d", "--like", photo, "--html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith(f"noticed: {photo} has changed")
    found = like(opened(place), str(photo), LIMITS)
    shown = Page(page.render(found, LIMITS).decode())
    assert "has changed since the run" in shown.text
    # The picture that was asked with, and the four that were found.
    assert len(shown.attributes("img", "src")) == 5
    assert source_id_of(f"file://{photo}") in shown.html
    assert np.linalg.norm(found.queries[0].vector) > 0
