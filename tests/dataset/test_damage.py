"""Damage beyond single parts: logs, labels, the marker, and commits of other programs."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.dataset import Dataset
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.export import export
from imgbatch.dataset.forget import forget
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.repair import ASIDE
from imgbatch.dataset.tombstones import FOLDER, add, read
from imgbatch.dataset.verify import verify
from imgbatch.errors import DamageError, DatasetError
from imgbatch.grouping import Wish, group
from imgbatch.observe.explain import explain
from imgbatch.observe.status import status
from imgbatch.planned import plan
from imgbatch.report import write_report
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary import Request
from imgbatch.summary_lines import run_lines
from tests.corpus import Silent, many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECIPE = "[analyzers.image]\n[analyzers.hashes]\n"
LIMITS = Limits(shard_sources=10, commit_seconds=0.001)
TABLES = ("manifest", "tables/sources", "tables/hashes")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    many(folder / "in", 20)
    run_inline(folder / "in", folder / "own", recipe=RECIPE, limits=LIMITS)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole / "own", tmp_path / "own")


def append(table: Path) -> None:
    write_deltalake(
        str(table), pa.table(DeltaTable(str(table)).to_pyarrow_table())[:1], mode="append"
    )


def delete(table: Path) -> None:
    delta = DeltaTable(str(table))
    gone = delta.to_pyarrow_table()["source_id"][0].as_py()
    delta.delete(f"source_id = '{gone}'")


FOREIGN = pytest.mark.parametrize("foreign", [append, delete])


@FOREIGN
@pytest.mark.parametrize("table", TABLES)
def test_a_commit_of_another_program_is_refused_by_all_and_taken_out_by_a_repair(
    whole: Path, copy: Path, tmp_path: Path, table: str, foreign: Callable[[Path], None]
) -> None:
    foreign(copy / table)
    said = r"part-.*: another program committed it"
    gone = given((whole / "in/00003.jpg").as_uri())
    wish = Request(str(whole / "in"), str(copy), RECIPE, "inline")
    for refused in (
        lambda: run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS),
        lambda: plan(wish, LIMITS, Silent()),
        lambda: export(Dataset.open(str(copy)), str(tmp_path / "out"), form="csv"),
        lambda: forget(Dataset.open(str(copy)), look_up(Dataset.open(str(copy)), [gone])),
    ):
        with pytest.raises(DamageError, match=said) as caught:
            refused()
        assert "--repair" in caught.value.remedy
    assert not (tmp_path / "out").exists()
    assert not (copy / FOLDER).exists()
    found = verify(Dataset.open(str(copy)))
    assert len([one for one in found.problems if "another program committed it" in one]) == 1
    assert found.by_hand == []
    summary = run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS, repair=True)
    assert (summary.repaired, summary.aside) == (1, 1)
    assert verify(Dataset.open(str(copy))).problems == []
    shutil.rmtree(copy / ASIDE)
    assert_equal(copy, whole / "own")


@FOREIGN
def test_status_is_told_beside_a_commit_of_another_program_and_rows_are_not(
    whole: Path, copy: Path, foreign: Callable[[Path], None]
) -> None:
    label(copy)
    for table in ("tables/hashes", "groups/duplicates"):
        foreign(copy / table)
    dataset = Dataset.open(str(copy))
    told = status(dataset)
    assert told["outcomes"] == {"ok": {"ok": 20}}
    assert set(told["groups"]) == {"duplicates"}
    address = (whole / "in/00003.jpg").as_uri()
    for reads_rows in (lambda: explain(dataset, address), lambda: write_report(dataset)):
        with pytest.raises(DamageError, match="another program committed it") as caught:
            reads_rows()
        assert "--repair" in caught.value.remedy


def label(dataset: Path, name: str = "") -> None:
    wish = Wish(str(dataset), "duplicates", label=name, anew=True)
    group(wish, LIMITS, say=str)


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-100])


def remove(part: Path) -> None:
    part.unlink()


def by_another(part: Path) -> None:
    delete(part.parent)


@pytest.mark.parametrize("damage", [truncate, remove, by_another])
@pytest.mark.parametrize(("name", "words"), [("", "duplicates"), ("two", "duplicates --name two")])
def test_damaged_labels_are_mended_by_grouping_and_a_repair_says_so(
    whole: Path, copy: Path, damage: Callable[[Path], None], name: str, words: str
) -> None:
    label(copy, name)
    folder = copy / f"groups/duplicates{'-' if name else ''}{name}"
    damage(next(folder.glob("labels*.parquet")))
    told = CliRunner().invoke(app, ["verify", str(copy)])
    assert isinstance(told.exception, DamageError)
    remedy = f"group again: `imgbatch group DATASET {words} --anew`"
    (problem,) = (line for line in told.stdout.splitlines() if line.startswith("problem: "))
    assert problem.endswith(remedy)
    assert told.exception.remedy.startswith("Each problem says what mends it")
    summary = run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS, repair=True)
    lines = run_lines(summary)
    assert [line.replace("still damaged", "problem") for line in lines[-1:]] == [problem]
    assert not any(line.startswith("nothing to do") for line in lines)
    assert summary.record()["by_hand"] == [problem.removeprefix("problem: ")]
    (copy.parent / "r.toml").write_text(RECIPE)
    words = ["run", whole / "in", copy, "--engine=inline", "--repair", "--recipe"]
    left = CliRunner().invoke(app, [*map(str, words), str(copy.parent / "r.toml")])
    assert isinstance(left.exception, DamageError)
    assert problem.replace("problem", "still damaged") in left.stdout
    if damage is by_another:
        DeltaTable(str(folder)).to_pyarrow_table()  # what its snapshot names was not put aside
    label(copy, name)
    assert verify(Dataset.open(str(copy))).problems == []


def test_damaged_labels_beside_a_damaged_part_have_both_remedies(copy: Path) -> None:
    label(copy)
    truncate(next((copy / "groups/duplicates").glob("labels*.parquet")))
    truncate(next((copy / "tables/hashes").glob("*.parquet")))
    told = CliRunner().invoke(app, ["verify", str(copy)])
    assert isinstance(told.exception, DamageError)
    assert "--repair" in told.exception.remedy
    assert "Where a problem names another command" in told.exception.remedy


def cut(log: Path) -> str:
    newest = max(log.glob("*.json"))
    newest.write_bytes(newest.read_bytes()[:30])
    return f"{newest.name} is damaged"


def lose_the_first(log: Path) -> str:
    (log / f"{0:020}.json").unlink()
    return f"{0:020}.json is missing"


def lose_one_between(log: Path) -> str:
    (log / f"{1:020}.json").unlink()
    return f"{1:020}.json is missing"


@pytest.mark.parametrize("damage", [cut, lose_the_first, lose_one_between])
@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_log_is_named_in_a_line_with_the_rest_checked_and_moved_aside_it_is_made_anew(
    whole: Path, copy: Path, tmp_path: Path, table: str, damage: Callable[[Path], str]
) -> None:
    log = copy / table / "_delta_log"
    said = f"table {table} cannot be opened: {table}/_delta_log/{damage(log)}"
    other = next((copy / "tables/image").glob("*.parquet"))
    truncate(other)
    found = verify(Dataset.open(str(copy)))
    (problem,) = (one for one in found.problems if one.startswith(said))
    assert found.by_hand == [problem]
    assert f"move DATASET/{table}/_delta_log out of the dataset, whole" in problem
    assert "\n" not in problem
    assert any(other.name in one for one in found.problems)
    with pytest.raises(DamageError) as caught:
        run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS)
    assert str(caught.value) == said
    assert f"{caught.value}: {caught.value.remedy}" == problem
    shutil.copy(whole / "own/tables/image" / other.name, other)
    log.rename(tmp_path / "log")
    summary = run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS)
    assert summary.sources == 0
    assert verify(Dataset.open(str(copy))).problems == []
    assert_equal(copy, whole / "own")


def test_a_manifest_whose_log_begins_anew_takes_a_number_after_those_of_all_tables(
    copy: Path,
) -> None:
    before = [take_number(Dataset.open(str(copy)), "x") for _ in range(3)][-1]
    (copy / "manifest/_delta_log").rename(copy / "log")
    dataset = Dataset.open(str(copy))
    schema = pa.schema([("source_id", pa.string())])
    dataset.table("manifest").create(schema, fence=0, run="create")
    assert take_number(dataset, "y") == before + 1


def test_a_damaged_log_of_labels_is_named_and_they_are_made_anew_without_it(
    copy: Path, tmp_path: Path
) -> None:
    label(copy)
    said = cut(copy / "groups/duplicates/_delta_log")
    (problem,) = verify(Dataset.open(str(copy))).problems
    assert said in problem
    assert "move DATASET/groups/duplicates out of the dataset and group duplicates again" in problem
    (copy / "groups/duplicates").rename(tmp_path / "former")
    label(copy)
    assert verify(Dataset.open(str(copy))).problems == []


@pytest.mark.parametrize(
    ("marker", "said"),
    [(None, "is missing"), (b'{"form', "is not readable"), (b"{}", "says no format")],
)
def test_a_dataset_without_its_marker_is_told_from_what_is_none(
    whole: Path, copy: Path, marker: bytes | None, said: str
) -> None:
    (copy / "dataset.json").unlink()
    if marker is not None:
        (copy / "dataset.json").write_bytes(marker)

    def run() -> object:
        return run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS)

    for refused in (lambda: Dataset.open(str(copy)), run):
        with pytest.raises(DamageError, match=rf"dataset\.json {said}") as caught:
            refused()
        assert "a manifest, and tables: hashes, image, sources" in str(caught.value)
    wanted = caught.value.remedy.partition("{")[2].partition("}")[0]
    assert json.loads("{" + wanted + "}") == {"format": 2}
    (copy / "dataset.json").write_text("{" + wanted + "}")
    assert verify(Dataset.open(str(copy))).problems == []


def test_a_marker_alone_that_is_damaged_is_no_damage_of_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DatasetError) as caught:
        Dataset.open(str(tmp_path))
    assert not isinstance(caught.value, DamageError)


def test_tombstones_with_any_bits_flipped_are_damage_and_no_error_of_a_library(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path))
    add(store, "a-run", ["one", "two"], ["x"])
    (file,) = tmp_path.glob(f"{FOLDER}/*.parquet")
    whole, told = file.read_bytes(), set[str]()
    for place in range(0, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            read(store)
        except DamageError as error:
            told.add(type(error.__cause__).__name__)
            assert str(file) in str(error)  # noqa: PT017 - not each of them shows
    assert told >= {"OSError", "ArrowInvalid"}
