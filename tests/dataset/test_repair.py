"""A dataset that was damaged by hand: verify names each object, and --repair does it again."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.verify import verify
from imgbatch.errors import DamageError, SettingsError
from imgbatch.settings import Limits
from imgbatch.summary_lines import run_lines
from tests.corpus import many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.summary import Summary

RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
LIMITS = Limits(shard_sources=10, commit_seconds=0.001)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repair")
    many(folder / "in", 40)
    run_inline(folder / "in", folder / "own", recipe=RECIPE, limits=LIMITS)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole / "own", tmp_path / "own")


def a_part(dataset: Path, table: str) -> Path:
    return dataset / table / min(Dataset.open(str(dataset)).table(table).parts())


def repaired(whole: Path, copy: Path) -> Summary:
    summary = run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS, repair=True)
    assert verify(Dataset.open(str(copy))).problems == []
    assert_equal(copy, whole / "own")
    return summary


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-100])


def remove(part: Path) -> None:
    part.unlink()


def edit(part: Path) -> None:
    """Take a row out, as another program would write the file."""
    pq.write_table(pq.read_table(part).slice(1), part)


@pytest.mark.parametrize("damage", [truncate, remove, edit])
@pytest.mark.parametrize("table", ["manifest", "tables/sources", "tables/quality"])
def test_a_damaged_part_is_named_and_done_again_with_its_shard_only(
    whole: Path, copy: Path, table: str, damage: Callable[[Path], None]
) -> None:
    part = a_part(copy, table)
    damage(part)
    assert any(part.name in problem for problem in verify(Dataset.open(str(copy))).problems)
    summary = repaired(whole, copy)
    assert (summary.repaired, summary.sources) == (1, 0 if table == MANIFEST else 10)


def test_two_tables_damaged_in_two_shards(whole: Path, copy: Path) -> None:
    truncate(a_part(copy, "tables/image"))
    parts = sorted(Dataset.open(str(copy)).table("tables/quality").parts())
    remove(copy / "tables/quality" / parts[-1])
    summary = repaired(whole, copy)
    assert (summary.repaired, summary.shards, summary.sources) == (2, 2, 20)


@pytest.mark.parametrize("damage", [truncate, remove, edit])
def test_a_damaged_part_of_a_table_of_a_former_recipe_is_named_and_leaves_it(
    whole: Path, copy: Path, damage: Callable[[Path], None]
) -> None:
    def run(*, repair: bool) -> Summary:
        other = "[analyzers.image]\n[analyzers.color]\n"
        return run_inline(whole / "in", copy, recipe=other, limits=LIMITS, repair=repair)

    run(repair=False)
    part = a_part(copy, "tables/quality")
    damage(part)
    (copy / "tables/quality/notes.xlsx").write_bytes(b"mine")
    found = verify(Dataset.open(str(copy)))
    assert found.problems
    assert all(f"table tables/quality: part {part.name}" in said for said in found.problems)
    assert any("table quality is of a former recipe" in note for note in found.notes)
    assert found.foreign == ["tables/quality/notes.xlsx"]
    summary = run(repair=True)
    assert (summary.repaired, summary.dropped, summary.sources) == (0, 1, 0)
    others = "tables that this recipe does not fill were taken out, and not done again"
    assert f"1 damaged parts of {others}" in run_lines(summary)
    found = verify(Dataset.open(str(copy)))
    assert (found.problems, found.notes, found.foreign) == ([], [], [])
    assert found.rows["quality"] == 30
    # The recipe that fills the table does the shard again.
    assert repaired(whole, copy).sources == 10


@pytest.mark.parametrize("damage", [truncate, remove])
def test_a_shard_whose_listing_and_rows_are_both_damaged_is_mended_at_once(
    whole: Path, copy: Path, damage: Callable[[Path], None]
) -> None:
    listing, rows = a_part(copy, "manifest"), a_part(copy, "tables/quality")
    assert listing.name.partition("@")[0] == rows.name.partition("@")[0]
    damage(listing)
    damage(rows)
    named = " ".join(verify(Dataset.open(str(copy))).problems)
    assert listing.name in named
    assert rows.name in named
    summary = repaired(whole, copy)
    assert (summary.repaired, summary.shards, summary.sources) == (2, 1, 10)


def test_a_foreign_file_is_named_and_put_aside(whole: Path, copy: Path) -> None:
    foreign = copy / "tables" / "quality" / "notes.xlsx"
    foreign.write_bytes(b"mine")
    assert verify(Dataset.open(str(copy))).foreign == ["tables/quality/notes.xlsx"]
    summary = repaired(whole, copy)
    assert summary.sources == 0
    assert "1 files were put aside, below set-aside/" in run_lines(summary)
    assert not foreign.exists()
    assert (copy / "set-aside/tables/quality/notes.xlsx").read_bytes() == b"mine"


def test_a_second_foreign_file_of_a_name_does_not_take_the_place_of_the_first(
    whole: Path, copy: Path
) -> None:
    foreign = copy / "tables" / "quality" / "notes.xlsx"
    for content in (b"mine", b"yours", b"mine"):
        foreign.write_bytes(content)
        repaired(whole, copy)
        assert not foreign.exists()
    aside = copy / "set-aside" / "tables" / "quality"
    assert sorted(path.read_bytes() for path in aside.iterdir()) == [b"mine", b"yours"]
    assert {path.suffix for path in aside.iterdir()} == {".xlsx"}


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: data.replace(b"tab", b"")])
def test_an_unreadable_record_of_a_run_is_named_and_put_aside(
    whole: Path, copy: Path, damage: Callable[[bytes], bytes]
) -> None:
    (record,) = (copy / "runs").glob("*.json")
    record.write_bytes(damage(record.read_bytes()))
    part = a_part(copy, "tables/quality")
    truncate(part)
    of_record, of_part = verify(Dataset.open(str(copy))).problems
    assert of_record.startswith(f"runs/{record.name} is not readable: ")
    assert part.name in of_part
    repaired(whole, copy)
    assert (copy / "set-aside/runs" / record.name).exists()


def test_what_was_put_aside_and_names_a_source_goes_when_it_is_forgotten(
    whole: Path, copy: Path
) -> None:
    dataset = Dataset.open(str(copy))
    gone = (whole / "in/00003.jpg").as_uri()
    rows = dataset.read("image").to_pylist()
    named = given(gone)
    theirs = next(
        path
        for path in (copy / "tables/image").glob("*.parquet")
        if named.source_id in pq.read_table(path)["source_id"].to_pylist()
    )
    for name in ("copy of it.parquet", "notes.txt", "cut.parquet"):
        shutil.copy(theirs, copy / "tables/image" / name)
    (copy / "tables/image/notes.txt").write_text("nothing of it")
    truncate(copy / "tables/image/cut.parquet")
    (record,) = (copy / "runs").glob("*.json")
    (copy / "runs/half.json").write_text(f'{{"run": "half", "poison": ["{named.source_id}"')
    assert repaired(whole, copy).sources == 0
    aside = copy / "set-aside"
    assert len([path for path in aside.rglob("*") if path.is_file()]) == 4
    audit = forget(dataset, look_up(dataset, [named]))
    assert [path.name for path in aside.rglob("*") if path.is_file()] == ["notes.txt"]
    assert audit.rows["image"] == 1
    assert dataset.read("image").num_rows == len(rows) - 1
    assert record.exists()
    assert verify_forgotten(dataset, [named]).problems == []


def test_a_run_without_repair_on_a_damaged_manifest_says_what_to_do(
    whole: Path, copy: Path
) -> None:
    truncate(a_part(copy, "manifest"))
    with pytest.raises(DamageError, match="manifest") as caught:
        run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS)
    assert "--repair" in caught.value.remedy


def test_repair_of_a_whole_dataset_does_nothing(whole: Path, copy: Path) -> None:
    summary = repaired(whole, copy)
    assert (summary.repaired, summary.sources, summary.shards) == (0, 0, 0)


def test_repair_with_a_sample_is_refused(whole: Path, copy: Path) -> None:
    with pytest.raises(SettingsError, match="whole input"):
        run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS, limit=3, repair=True)


def test_another_input_is_refused_unless_said(whole: Path, copy: Path, tmp_path: Path) -> None:
    other = many(tmp_path / "other", 5)
    with pytest.raises(SettingsError, match=r"holds sources of .*, not of") as caught:
        run_inline(other, copy, recipe=RECIPE, limits=LIMITS)
    assert "--add-input" in caught.value.remedy
    summary = run_inline(other, copy, recipe=RECIPE, limits=LIMITS, add_input=True)
    assert (summary.new, summary.removed, summary.sources) == (5, 0, 5)
    # from now on both are the dataset's
    assert run_inline(other, copy, recipe=RECIPE, limits=LIMITS).sources == 0
    assert run_inline(whole / "in", copy, recipe=RECIPE, limits=LIMITS).sources == 0
