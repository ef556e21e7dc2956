"""Damage done on purpose to a real dataset: verify finds it and names the shard."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from imgbatch.cli import app
from imgbatch.dataset import Dataset
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.parts import put_table, read_part
from imgbatch.dataset.shards import read_rows
from imgbatch.dataset.verify import verify
from imgbatch.records import source_id_of
from imgbatch.report import write_report
from imgbatch.settings import Limits
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    corpus.many(folder / "corpus", 20)
    corpus.run_inline(folder / "corpus", folder / "dataset", limits=Limits(shard_sources=10))
    return folder / "dataset"


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "dataset")


def a_part(dataset: Path, table: str) -> Path:
    return min((dataset / table).glob("*.parquet"))


def problems(dataset: Path) -> list[str]:
    return verify(Dataset.open(str(dataset))).problems


def test_a_whole_dataset_has_no_problems(whole: Path) -> None:
    found = verify(Dataset.open(str(whole)))
    assert (found.problems, found.orphans, found.foreign) == ([], [], [])
    assert (found.sources, found.ok, found.shards) == (20, 20, 2)


@pytest.mark.parametrize("table", ["manifest", "tables/sources", "tables/quality"])
def test_every_single_flipped_byte_is_found(copy: Path, table: str) -> None:
    part = a_part(copy, table)
    data = part.read_bytes()
    for place in range(4, len(data), len(data) // 12):
        part.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        found = problems(copy)
        assert found, f"byte {place} of {len(data)}"
        assert part.name.partition("@")[0] in found[0]


@pytest.mark.parametrize("table", ["manifest", "tables/sources", "tables/quality"])
def test_a_missing_part_is_found(copy: Path, table: str) -> None:
    part = a_part(copy, table)
    part.unlink()
    assert any(part.name in p and "missing" in p for p in problems(copy))


def test_a_truncated_part_is_found(copy: Path) -> None:
    part = a_part(copy, "tables/hashes")
    part.write_bytes(part.read_bytes()[:-100])
    assert any(part.name in p for p in problems(copy))


def test_a_part_rewritten_with_a_row_less_is_found(copy: Path) -> None:
    part = a_part(copy, "tables/quality")
    pq.write_table(pq.read_table(part).slice(1), part)
    found = problems(copy)
    assert any("not the one that was committed" in p for p in found)
    assert any("has not one row per picture" in p for p in found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda rows: rows.append_column("extra", rows["frame"]), "extra is not in the table"),
        (
            lambda rows: rows.set_column(
                rows.column_names.index("sharpness"),
                "sharpness",
                rows["sharpness"].cast(pa.string()),
            ),
            "sharpness is string, and double in the table",
        ),
    ],
)
def test_a_committed_part_with_other_columns_than_its_table_is_found(
    copy: Path, changed: Callable[[pa.Table], pa.Table], said: str
) -> None:
    dataset = Dataset.open(str(copy))
    table = dataset.table("tables/quality")
    part = min(table.parts().values(), key=lambda p: p.path)
    rows = changed(read_part(dataset.store, part)[0])
    other = put_table(dataset.store, part.table, part.stem, rows, {})
    table.commit([other], [part], fence=take_number(dataset, "x"), run="x")
    found = problems(copy)
    assert any(f"shard {part.label}" in p and said in p for p in found), found


def other_versions(rows: pa.Table) -> pa.Table:
    at = rows.column_names.index("version")
    return rows.set_column(at, "version", pa.array(["other"] * rows.num_rows))


def a_row_of_another(rows: pa.Table) -> pa.Table:
    """Put the first row in the place of the last: as many rows, one source less."""
    return pa.concat_tables([rows.slice(0, rows.num_rows - 1), rows.slice(0, 1)])


def once_more(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, rows.slice(0, 1)])


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("sources", lambda rows: rows.slice(1), "10 sources are listed and their outcomes are"),
        ("sources", once_more, "10 sources are listed and their outcomes are"),
        ("sources", a_row_of_another, "outcomes are of other sources than are listed"),
        ("sources", other_versions, "outcomes are of other sources than are listed"),
        ("quality", other_versions, "table quality has rows of other versions"),
    ],
)
def test_a_part_that_was_committed_with_other_rows_than_it_should_have_is_found(
    copy: Path, name: str, changed: Callable[[pa.Table], pa.Table], said: str
) -> None:
    dataset = Dataset.open(str(copy))
    table = dataset.table(f"tables/{name}")
    part = min(table.parts().values(), key=lambda p: p.path)
    rows = changed(read_part(dataset.store, part)[0])
    other = put_table(dataset.store, part.table, part.stem, rows, {})
    table.commit([other], [part], fence=take_number(dataset, "x"), run="x")
    found = problems(copy)
    assert any(problem.startswith(f"shard {part.label}: {said}") for problem in found), found


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (f"{'0' * 16}@0", "table quality: part {part} is of no shard"),
        ("{shard}@1", "table quality: shard {shard} has two parts"),
    ],
)
def test_a_part_that_was_committed_beside_those_of_the_shards_is_found(
    copy: Path, label: str, said: str
) -> None:
    dataset = Dataset.open(str(copy))
    table = dataset.table("tables/quality")
    part = min(table.parts().values(), key=lambda p: p.path)
    stem = f"{label.format(shard=part.shard)}-{part.fingerprint}"
    rows = read_part(dataset.store, part)[0]
    other = put_table(dataset.store, part.table, stem, rows, {})
    table.commit([other], [], fence=take_number(dataset, "x"), run="x")
    assert said.format(shard=part.shard, part=other.path) in problems(copy)


def test_a_shard_that_is_not_in_a_table_is_unfinished(copy: Path) -> None:
    dataset = Dataset.open(str(copy))
    table = dataset.table("tables/motion")
    part = min(table.parts().values(), key=lambda p: p.path)
    number = take_number(dataset, "x")
    table.commit([], [part], fence=number, run="x")
    assert problems(copy) == [f"shard {part.label}: unfinished in table motion"]


def test_a_table_at_a_former_generation_is_unfinished(tmp_path: Path) -> None:
    given, own = corpus.many(tmp_path / "in", 4), tmp_path / "d"
    recipe = "[analyzers.image]\n[analyzers.quality]\n"
    corpus.run_inline(given, own, recipe=recipe)
    table = Dataset.open(str(own)).table("tables/quality")
    (former,) = (replace(p, sha256=table.digests()[p.path]) for p in table.parts().values())
    os.utime(given / "00000.jpg", (1, 1))
    corpus.run_inline(given, own, recipe=recipe)
    dataset = Dataset.open(str(own))
    (new,) = dataset.table("tables/quality").parts().values()
    assert (new.shard, new.generation) == (former.shard, former.generation + 1)
    # As a reader finds it between two commits: all tables but one hold the new generation.
    number = take_number(dataset, "x")
    dataset.table("tables/quality").commit([former], [new], fence=number, run="x")
    found = verify(Dataset.open(str(own)))
    assert found.problems == [f"shard {new.label}: unfinished in table quality"]
    assert (found.unfinished, found.damaged) == (1, [])


def test_a_table_that_a_killed_run_did_not_come_to_is_unfinished(copy: Path) -> None:
    shutil.rmtree(copy / "tables/motion")
    shards = [part.label for part in Dataset.open(str(copy)).table("manifest").parts().values()]
    told = [f"shard {shard}: unfinished in table motion" for shard in shards]
    assert sorted(problems(copy)) == sorted(told)


def lay_a_leftover(dataset: Path) -> str:
    """Lay beside a table's parts what a run leaves that is killed before its commit."""
    name = f"tables/quality/{'0' * 16}@0-{'1' * 8}-{'2' * 8}.parquet"
    shutil.copy(a_part(dataset, "tables/quality"), dataset / name)
    return name


def test_a_file_that_no_commit_names_is_an_orphan_and_no_problem(copy: Path) -> None:
    left = lay_a_leftover(copy)
    found = verify(Dataset.open(str(copy)))
    assert (found.problems, found.orphans, found.foreign) == ([], [left], [])
    foreign = "tables/quality/stray@0-00000000.parquet"
    (copy / left).rename(copy / foreign)
    found = verify(Dataset.open(str(copy)))
    assert (found.problems, found.orphans, found.foreign) == ([], [], [foreign])


def said(*words: str | Path) -> str:
    return CliRunner().invoke(app, ["verify", *map(str, words)], catch_exceptions=False).stdout


def test_the_command_names_files_of_others_and_only_counts_what_a_killed_run_left(
    copy: Path,
) -> None:
    left = lay_a_leftover(copy)
    killed = "1 files that no commit names (harmless): an interrupted run"
    assert killed in said(copy).splitlines()
    assert "no part of its table" not in said(copy)
    others = [f"tables/quality/{at} notes.xlsx" for at in range(7)]
    for name in others:
        (copy / name).write_bytes(b"mine")
    shown = ", ".join(others[:5])
    remedy = "`imgbatch run INPUT DATASET --repair` puts what is not ours aside, below set-aside/"
    lines = said(copy).splitlines()
    assert f"no part of its table: {shown} and 2 more: {remedy}" in lines
    assert killed in lines
    told = json.loads(said(copy, "--json"))
    assert (told["orphans"], told["foreign"]) == ([left], others)


def test_folders_of_others_are_noted_and_are_no_problem(copy: Path) -> None:
    write_report(Dataset.open(str(copy)))
    assert verify(Dataset.open(str(copy))).notes == []
    for name in ("junk/deep", "tables/mine"):
        (copy / name).mkdir(parents=True)
        (copy / name / "a.txt").write_text("words")
    found = verify(Dataset.open(str(copy)))
    assert (found.problems, found.orphans, found.foreign) == ([], [], [])
    assert found.notes == ["no part of the dataset: junk/, tables/mine/"]


def test_a_table_of_a_former_recipe_is_no_stranger(whole: Path, copy: Path) -> None:
    corpus.run_inline(whole.parent / "corpus", copy, recipe="[analyzers.image]\n")
    assert (copy / "tables" / "quality").is_dir()
    assert verify(Dataset.open(str(copy))).notes == []


def test_a_source_in_two_shards_is_found(copy: Path) -> None:
    dataset = Dataset.open(str(copy))
    table = dataset.table("manifest")
    one, other = sorted(table.parts().values(), key=lambda p: p.path)
    rows = pa.concat_tables([read_rows(dataset, p) for p in (one.path, other.path)]).slice(0, 11)
    double = put_table(dataset.store, "manifest", one.stem, rows.slice(0, 11), {})
    table.commit([double], [one], fence=take_number(dataset, "x"), run="x")
    assert any("1 sources lie in more than one shard" in p for p in problems(copy))


def test_a_picture_that_stands_twice_is_found(copy: Path) -> None:
    part = a_part(copy, "tables/quality")
    rows = pq.read_table(part)
    pq.write_table(pa.concat_tables([rows.slice(0, 1), rows.slice(0, 9)]), part)
    assert any("has a picture twice" in p for p in problems(copy))


def test_a_report_that_shows_a_source_that_left_is_old_and_no_damage(
    whole: Path, copy: Path
) -> None:
    write_report(Dataset.open(str(copy)))
    assert problems(copy) == []
    page = (copy / "report" / "index.html").read_text("utf-8")
    left = sorted((whole.parent / "corpus").iterdir())[3]
    gone = source_id_of(f"file://{whole.parent / 'corpus' / left.name}")
    assert f'data-source="{gone}"' in page
    (whole.parent / "corpus" / left.name).rename(copy.parent / "away")
    try:
        corpus.run_inline(whole.parent / "corpus", copy)
    finally:
        (copy.parent / "away").rename(whole.parent / "corpus" / left.name)
    found = verify(Dataset.open(str(copy)))
    assert found.problems == []
    (told,) = found.notes
    assert told.startswith("report/index.html shows 1 sources that are no longer")
