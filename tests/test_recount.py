"""Labels after a takedown: what is left of a group is told as a fresh grouping would tell it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageEnhance

from imgbatch.__main__ import main
from imgbatch.dataset import Dataset, groups
from imgbatch.dataset.audit import records
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.verify import verify
from imgbatch.observe.status import status
from imgbatch.recount import recount
from imgbatch.report import write_report
from imgbatch.report.exemplars import write_sheets
from imgbatch.settings import Limits
from tests import corpus
from tests.groupers.written import label

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "[analyzers.hashes]\n[analyzers.classic]\n"
# Of each photograph: as it is, the same bytes again, and smaller ones.
CHINA = ("china.jpg", "china again.jpg", "china half.jpg", "china third.jpg")
FLOWER = ("flower.jpg", "flower again.jpg")
ALONE = "rocket.jpg"
COLUMNS = ("group_size", "is_best", "same_bytes", "distance", "turns")


def pictures(folder: Path) -> None:
    folder.mkdir()
    for name in ("china", "flower"):
        shutil.copy(corpus.PHOTOS[f"{name}.jpg"], folder)
        shutil.copy(corpus.PHOTOS[f"{name}.jpg"], folder / f"{name} again.jpg")
    shutil.copy(corpus.PHOTOS[ALONE], folder)
    with Image.open(folder / "china.jpg") as image:
        for name, side, brighter in (("half", 2, 1.2), ("third", 3, 0.9)):
            edge = 6 * side
            small = image.crop((edge, edge, image.width - edge, image.height - edge))
            small = small.resize((image.width // side, image.height // side))
            ImageEnhance.Brightness(small).enhance(brighter).save(
                folder / f"china {name}.jpg", quality=30
            )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures `in` and `d`: their dataset, with duplicates and clusters."""
    folder = tmp_path_factory.mktemp("recount")
    pictures(folder / "in")
    corpus.run_inline(folder / "in", folder / "d", recipe=RECIPE)
    dataset = Dataset.open(str(folder / "d"))
    label(dataset, "duplicates")
    label(dataset, "clusters", table="classic", k=2, exemplars=2)
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole / "d", tmp_path / "d")
    (tmp_path / "in").symlink_to(whole / "in")
    return tmp_path


def address(place: Path, name: str) -> str:
    return str((place / "in").resolve() / name)


def forgotten(place: Path, *names: str) -> None:
    """Forget as a user does, by the command line."""
    words = [word for name in names for word in ("--source", address(place, name))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["imgbatch", "forget", str(place / "d"), *words, "--yes"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code


def rows(place: Path, name: str = "duplicates") -> dict[str, dict[str, Any]]:
    found = groups.read(Dataset.open(str(place / "d")), name).to_pylist()
    return {row["source_id"]: row for row in found}


def fresh(place: Path, name: str = "duplicates") -> dict[str, dict[str, Any]]:
    """Return what a grouping of its own makes of the rows that are left."""
    own = place / "fresh"
    shutil.copytree(place / "d", own)
    shutil.rmtree(own / "groups")
    found = label(Dataset.open(str(own)), name).to_pylist()
    shutil.rmtree(own)
    return {row["source_id"]: row for row in found}


def told(found: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {key: tuple(row[name] for name in COLUMNS) for key, row in found.items()}


def divided(found: dict[str, dict[str, Any]]) -> set[frozenset[str]]:
    """Return which sources are together, whatever their groups are called."""
    together: dict[str, set[str]] = defaultdict(set)
    for key, row in found.items():
        together[row["group_id"] or key].add(key)
    return {frozenset(own) for own in together.values()}


@pytest.mark.parametrize(
    "gone",
    [
        *[(name,) for name in (*CHINA, *FLOWER, ALONE)],
        ("china.jpg", "china again.jpg"),
        CHINA[:3],
        CHINA,
        (*CHINA[:2], FLOWER[0]),
    ],
    ids=", ".join,
)
def test_duplicates_are_as_a_fresh_grouping_has_them(place: Path, gone: tuple[str, ...]) -> None:
    forgotten(place, *gone)
    found, anew = rows(place), fresh(place)
    assert told(found) == told(anew)
    assert divided(found) == divided(anew)
    ids = {row["picture_id"] for row in found.values()}
    assert {row["group_id"] for row in found.values()} <= {None, *ids}
    made = groups.record(Dataset.open(str(place / "d")).table("groups/duplicates"))
    assert made is not None
    assert made["left"] == len(gone)
    assert made["rows"] == len(found) == 7 - len(gone)


def test_one_takedown_after_another_counts_all_that_left(place: Path) -> None:
    forgotten(place, "china.jpg")
    forgotten(place, "china again.jpg")
    forgotten(place, "china half.jpg")
    assert told(rows(place)) == told(fresh(place))
    dataset = Dataset.open(str(place / "d"))
    assert status(dataset)["groups"]["duplicates"]["left"] == 3
    label(dataset, "duplicates")
    assert status(dataset)["groups"]["duplicates"]["left"] == 0


def test_clusters_have_ranks_and_exemplars_of_the_rows_that_are_left(place: Path) -> None:
    before = rows(place, "clusters")
    first = next(row for row in before.values() if row["rank"] == 1)
    name = next(
        name for name in (*CHINA, *FLOWER, ALONE) if key_of(place, name) == first["source_id"]
    )
    write_sheets(Dataset.open(str(place / "d")), "clusters", Limits())
    write_report(Dataset.open(str(place / "d")))
    assert list((place / "d/report/sheets").rglob("*.html"))
    forgotten(place, name)
    after = rows(place, "clusters")
    assert len(after) == 6
    for cluster in {row["cluster"] for row in after.values()}:
        own = [row for row in after.values() if row["cluster"] == cluster]
        own.sort(key=lambda row: before[row["source_id"]]["rank"])
        assert [row["rank"] for row in own] == list(range(1, len(own) + 1))
        kinds = [(row["exemplar"] or "").split() for row in own]
        assert ["nearest" in kind for kind in kinds] == [at < 2 for at in range(len(own))]
        for kind in ("random", "border"):
            assert sum(kind in told for told in kinds) == min(2, len(own))
    dataset = Dataset.open(str(place / "d"))
    # Pages of it are gone, and the page that was there comes back and says what it was made of.
    assert not list((place / "d/report").glob("sheets/**/*.html"))
    page = (place / "d/report/index.html").read_text()
    assert "The groups clusters were made of 1 row too that were forgotten since." in page
    (note,) = [n for n in verify(dataset).notes if n.startswith("groups clusters: stale")]
    assert "made of 1 rows too that were forgotten" in note
    write_sheets(dataset, "clusters", Limits())
    sheet = (place / "d/report/sheets/clusters/index.html").read_text()
    assert "made of 1 row too that were forgotten since: group again" in sheet


def key_of(place: Path, name: str) -> str:
    rows = Dataset.open(str(place / "d")).read("manifest", columns=["source_id", "address"])
    (found,) = [row["source_id"] for row in rows.to_pylist() if row["address"].endswith(f"/{name}")]
    return str(found)


def test_what_has_no_inputs_any_more_is_counted_and_keeps_its_best(place: Path) -> None:
    """Without hashes nobody can tell who is in the middle: what is known is told, no more."""
    gone, third = key_of(place, "china.jpg"), key_of(place, "china third.jpg")
    shutil.rmtree(place / "d/tables/hashes")
    dataset = Dataset.open(str(place / "d"))
    forget(dataset, look_up(dataset, [given(gone)]), recount=recount)
    forgotten(place, "flower.jpg")
    found = rows(place)
    group = [row for row in found.values() if row["group_id"] == found[third]["group_id"]]
    assert [row["group_size"] for row in group] == [3, 3, 3]
    (best,) = [row["source_id"] for row in group if row["is_best"]]
    assert best == key_of(place, "china again.jpg")
    assert not any(row["same_bytes"] for row in group)
    single = found[key_of(place, "flower again.jpg")]
    assert (single["group_id"], *(single[n] for n in COLUMNS)) == (None, 1, True, False, None, None)


def test_a_row_of_a_picture_that_a_run_took_out_is_never_the_best(tmp_path: Path) -> None:
    """Its labels stay until it is grouped again, but it has no outcome that speaks for it."""
    pictures(tmp_path / "in")
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=RECIPE)
    label(Dataset.open(str(tmp_path / "d")), "duplicates")
    half, again = key_of(tmp_path, "china half.jpg"), key_of(tmp_path, "china again.jpg")
    (tmp_path / "in" / "china half.jpg").unlink()
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=RECIPE)
    (note,) = verify(Dataset.open(str(tmp_path / "d"))).notes
    assert (
        "stale, sources and hashes changed since, 1 of 7 rows are of sources that are not" in note
    )
    forgotten(tmp_path, "china.jpg")
    forgotten(tmp_path, "china again.jpg")
    found = rows(tmp_path)
    assert {found[half]["group_size"], len(found)} == {2, 5}
    assert again not in found
    assert found[key_of(tmp_path, "china third.jpg")]["is_best"]
    assert not found[half]["is_best"]
    label(Dataset.open(str(tmp_path / "d")), "duplicates")
    assert told(rows(tmp_path)) == told(fresh(tmp_path))


# As in `tests/dataset/test_forget_killed.py`: it dies just before each of its writes.
KILLER = """
import json, os, shutil, signal, sys
from imgbatch.dataset import Dataset, delta
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import given, look_up
from imgbatch.recount import recount
from imgbatch.storage import local

whole, out, *names = sys.argv[1:]
calls, die_at = 0, 0

def watched(function):
    def call(*args, **named):
        global calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **named)
    return call

os.replace, os.link = watched(os.replace), watched(os.link)
local.LocalStore.delete = watched(local.LocalStore.delete)
delta.Table.commit = watched(delta.Table.commit)
while True:
    die_at += 1
    folder = f"{out}/{die_at}"
    shutil.copytree(whole, folder)
    child = os.fork()
    if not child:
        dataset = Dataset.open(folder)
        forget(dataset, look_up(dataset, [given(name) for name in names]), recount=recount)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
print(json.dumps(die_at - 1))
"""


@pytest.mark.slow
def test_killed_before_each_write_the_next_one_ends_right(whole: Path, tmp_path: Path) -> None:
    names = [str(whole / "in" / name) for name in ("china.jpg", "flower.jpg")]
    words = [sys.executable, "-c", KILLER, str(whole / "d"), str(tmp_path), *names]
    deaths = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    assert deaths > 15
    wanted = groups.read(Dataset.open(str(tmp_path / str(deaths + 1))), "duplicates")
    assert wanted.num_rows == 5
    for death in range(1, deaths + 1):
        folder = str(tmp_path / str(death))
        dataset = Dataset.open(folder)
        forget(dataset, look_up(dataset, [given(name) for name in names]), recount=recount)
        dataset = Dataset.open(folder)
        assert groups.read(dataset, "duplicates").equals(wanted)
        for name in ("duplicates", "clusters"):
            made = groups.record(dataset.table(groups.path_of(name)))
            assert made is not None
            assert made["left"] == 2
        assert verify(dataset).problems == []
        assert {record["status"] for record in records(dataset.store)} == {"finished"}
