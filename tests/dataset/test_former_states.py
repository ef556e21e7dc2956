"""Earlier states of a dataset are forgotten: what former recipes kept is in no file any more."""

from __future__ import annotations

import io
import json
import shutil
import uuid
from typing import TYPE_CHECKING

import boto3
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.cli.forget_lines import former_lines
from imgbatch.dataset import Dataset, forget, groups, labels, scrub, tombstones
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.given import Known, given, look_up
from imgbatch.dataset.posts_forgotten import KnownPosts
from imgbatch.dataset.repair import ASIDE
from imgbatch.dataset.verify import verify
from imgbatch.errors import FencedError, SettingsError
from imgbatch.grouping import Wish, group
from imgbatch.report import write_report
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary_lines import run_lines
from tests.corpus import run_inline
from tests.groupers.written import label

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from imgbatch.summary import Summary

TABLE = "tests.squares_regions"
FOLDER = f"tables/{TABLE}"
PLAIN = '[analyzers.classic]\n[analyzers."tests.squares"]\n'
MORE = PLAIN + "with_area = true\n"
LIMITS = Limits(shard_sources=2, threads=1)
NOBODY = Known(frozenset(), frozenset(), unknown=(), twins=())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with pictures `in` and their dataset `d`, by a recipe that keeps the areas."""
    (tmp_path / "in").mkdir()
    for number in range(1, 6):
        pixels = np.zeros((40, 100, 3), np.uint8)
        for at in range(number):
            pixels[10:16, 4 + 12 * at : 10 + 12 * at] = 255
        (tmp_path / "in" / f"{number}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    run(tmp_path, MORE)
    assert len(with_areas(tmp_path)) == 3
    return tmp_path


def run(place: Path, recipe: str) -> Summary:
    return run_inline(place / "in", place / "d", recipe=recipe, limits=LIMITS)


def opened(place: Path) -> Dataset:
    return Dataset.open(str(place / "d"))


def forgets(place: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["forget", str(place / "d"), "--former", "--yes", *options])


def with_areas(place: Path) -> list[Path]:
    """Return the files of the dataset, committed or not, that hold an area."""
    files = [path for path in (place / "d").rglob("*.parquet") if "_delta_log" not in path.parts]
    return [path for path in files if "area" in pq.read_schema(path).names]


def clustered(place: Path) -> set[Path]:
    """Make clusters; return the files beside them."""
    label(opened(place), "clusters", table="classic", k=2)
    found = on_disk(place)
    assert {path.name for path in found} >= {"model.npz", "scores.json"}
    return found


def on_disk(place: Path) -> set[Path]:
    """Return the files beside clusters."""
    return {path for path in (place / "d/groups/clusters/_files").rglob("*") if path.is_file()}


def put_aside(place: Path) -> None:
    """Put a part aside, as a repair does with what is not ours."""
    aside = place / "d" / ASIDE / FOLDER
    aside.mkdir(parents=True)
    shutil.copy(with_areas(place)[0], aside / "odd.parquet")


def said(summary: Summary) -> list[str]:
    return [line for line in run_lines(summary) if "forget DATASET --former" in line]


def test_a_run_that_keeps_less_says_where_the_rest_stays_and_deletes_nothing(place: Path) -> None:
    summary = run(place, PLAIN)
    assert (summary.lessened, len(said(summary)), len(with_areas(place))) == ([TABLE], 1, 3)
    again = run(place, PLAIN)
    assert (again.lessened, said(again)) == ([], [])
    # As it was before: the parts lie there still.
    back = run(place, MORE)
    assert (back.lessened, back.adopted) == ([], 6)


def test_a_run_says_it_of_what_is_kept_of_pictures_too_and_once(place: Path) -> None:
    run(place, PLAIN + "with_total = true\n")
    less = run(place, PLAIN)
    assert (less.lessened, len(said(less))) == (["tests.squares"], 1)
    # The column is one of the table for ever; the rows that are replaced now have none of it.
    other = run(place, PLAIN + "brighter = 100\n")
    assert (other.shards > 0, other.lessened, said(other)) == (True, [], [])


def test_what_the_recipe_keeps_no_more_is_in_no_file_once_it_is_forgotten(
    place: Path,
) -> None:
    run(place, PLAIN)
    put_aside(place)
    write_report(opened(place))
    told = forgets(place)
    assert told.exit_code == 0, told.output
    assert told.output.startswith("all earlier states forgotten\n")
    assert with_areas(place) == []
    assert list(scrub.strays(opened(place))) == []
    # It is of the state that stays, and written again.
    assert (place / "d/report/index.html").is_file()
    assert verify(opened(place)).problems == []
    (audit,) = (json.loads(one.read_bytes()) for one in (place / "d/forgotten").glob("*.json"))
    assert (audit["former"], audit["named"], audit["status"]) == (True, 0, "finished")
    assert audit["files"] >= 7
    assert run(place, PLAIN).shards == 0


@pytest.mark.slow
def test_labels_leave_whose_rows_are_no_more_and_others_stay(place: Path) -> None:
    more = "[analyzers.classic]\n[analyzers.hashes]\n"
    run(place, more)
    label(opened(place), "clusters", table="classic", k=2)
    run(place, f"[media]\nmin_side = 128\n{more}")
    label(opened(place), "duplicates")
    assert labels.outdated(opened(place)) == ["clusters"]
    assert forgets(place).exit_code == 0
    assert groups.read(opened(place), "duplicates").num_rows == 5
    assert groups.read(opened(place), "clusters").num_rows == 0
    assert verify(opened(place)).problems == []


def test_files_beside_labels_that_stay_do_so_too_and_are_not_counted(place: Path) -> None:
    beside = clustered(place)
    assert labels.outdated(opened(place)) == []
    run(place, f"{PLAIN}[analyzers.hashes]\n")  # parts of the areas stand behind it now
    put_aside(place)
    said = former_lines(opened(place), NOBODY, KnownPosts())
    told = forgets(place, "--json")
    assert told.exit_code == 0, told.output
    count = json.loads(told.stdout)["files"]
    assert count >= 4
    (line,) = said
    assert line.startswith(f"{count} files: of former recipes")
    assert "of labels that stay" not in line
    assert on_disk(place) == beside
    found = verify(opened(place))
    assert (found.problems, [note for note in found.notes if "beside" in note]) == ([], [])
    told_of_it: list[str] = []
    wish = Wish(str(place / "d"), "clusters", {"table": "classic", "k": 2})
    group(wish, Limits(), say=told_of_it.append)
    assert "labelling by the centers that are there; --anew fits again" in told_of_it


def test_files_beside_labels_go_with_labels_that_are_outdated_and_are_counted(place: Path) -> None:
    clustered(place)
    run(place, f"[media]\nmin_side = 128\n{MORE}")
    said = former_lines(opened(place), NOBODY, KnownPosts())
    count = json.loads(forgets(place, "--json").stdout)["files"]
    assert said[0].startswith(f"{count} files: ")
    assert said[1:] == ["labels of rows that are no more: clusters"]
    assert on_disk(place) == set()


def test_files_beside_labels_go_where_a_source_is_forgotten_with_earlier_states(
    place: Path,
) -> None:
    beside = clustered(place)
    photo = f"file://{place}/in/1.png"
    known = look_up(opened(place), [given(photo)])
    said = former_lines(opened(place), known, KnownPosts())
    assert said[0].startswith(f"{len(beside)} files: ")
    assert "of labels that stay" in said[0]
    assert forgets(place, "--source", photo).exit_code == 0
    assert on_disk(place) == set()


def test_files_beside_labels_go_where_a_forgotten_source_is_completed_by_earlier_states(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clustered(place)
    known = look_up(opened(place), [given(f"file://{place}/in/1.png")])

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scrub, "vacuum", killed)
        with pytest.raises(KeyboardInterrupt):
            forget.forget(opened(place), known)
    assert on_disk(place)
    assert forgets(place).exit_code == 0
    assert on_disk(place) == set()


def test_files_beside_labels_that_lose_a_row_go_though_no_source_is_named(place: Path) -> None:
    clustered(place)
    # As versions did for which a source that had left INPUT was nowhere: its label stayed.
    (place / "in/1.png").unlink()
    run(place, MORE)
    photo = given(f"file://{place}/in/1.png")
    tombstones.add(opened(place).store, "former", {photo.source_id})
    assert groups.read(opened(place), "clusters").num_rows == 5
    assert forgets(place).exit_code == 0
    assert groups.read(opened(place), "clusters").num_rows == 4
    assert on_disk(place) == set()


def test_one_that_was_killed_is_completed_by_the_next_whatever_that_names(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(place, PLAIN)
    put_aside(place)

    def killed(_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scrub, "all_aside", killed)
        with pytest.raises(KeyboardInterrupt):
            forget.forget(opened(place), NOBODY, former=True)
    assert len(with_areas(place)) == 4
    forget.forget(opened(place), NOBODY)
    assert with_areas(place) == []


def test_another_run_that_took_over_is_left_its_parts(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(place, PLAIN)
    report = scrub.report

    def overtaken(store: object) -> int:
        count = report(store)  # type: ignore[arg-type] # what it was given
        take_number(opened(place), "another")
        return count

    monkeypatch.setattr(scrub, "report", overtaken)
    with pytest.raises(FencedError):
        forget.forget(opened(place), NOBODY, former=True)
    monkeypatch.undo()
    assert verify(opened(place)).problems == []


def test_without_a_yes_nothing_goes(place: Path) -> None:
    run(place, PLAIN)
    told = CliRunner().invoke(app, ["forget", str(place / "d"), "--former"])
    assert isinstance(told.exception, SettingsError)
    assert "all earlier states" in str(told.exception)
    assert len(with_areas(place)) == 3


@pytest.mark.slow
def test_a_versioned_bucket_keeps_nothing_of_it_either(place: Path, bucket: str) -> None:
    assert bucket
    name = f"versioned-{uuid.uuid4().hex}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    own = f"s3://{name}/d"
    for recipe in (MORE, PLAIN):
        run_inline(place / "in", own, recipe=recipe, limits=LIMITS)  # type: ignore[arg-type] # a URL
    assert CliRunner().invoke(app, ["forget", own, "--former", "--yes"]).exit_code == 0
    store = open_store(own)
    former = [one for one in store.former() if not one.marker and one.name.endswith(".parquet")]
    kept = [store.recall(one) for one in former if "_delta_log" not in one.name]
    assert not [one for one in kept if "area" in pq.read_schema(io.BytesIO(one)).names]
