"""What every grouper promises, whichever it is: a new file in the folder is found by itself."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from imgbatch import groupers
from imgbatch.dataset import Dataset
from imgbatch.errors import GroupError
from imgbatch.groupers import KEYS
from imgbatch.settings import Settings
from imgbatch.tables import KEY_COLUMNS, schema
from tests.groupers import written

if TYPE_CHECKING:
    from imgbatch.groupers import Module

NAMES = groupers.available()
# What a grouper is to be asked so that it has something to do with made rows.
ASKED: dict[str, dict[str, Any]] = {
    "clusters": {"table": "classic", "k": 5, "stability": 2, "sample": 2000},
    "people": {"threshold": 0.3},
}
# Their rows cannot be made without weights or a fitted model; their own tests hold them to this.
NEED_WEIGHTS = ("learned", "zero_shot")
MADE = [name for name in NAMES if name not in NEED_WEIGHTS]


def asked(name: str) -> Any:
    return groupers.load(name).Settings(**ASKED.get(name, {}))


def tables(name: str, count: int = written.SIZE) -> dict[str, pa.Table]:
    reads = groupers.load(name).READS(asked(name))
    return {table: written.rows_of(table, list(columns), count) for table, columns in reads.items()}


def keys_of(name: str) -> list[str]:
    """The keys of the finest table that a grouper reads: what it labels."""
    found = max((t.column_names for t in tables(name).values()), key=lambda c: len({*c} & {*KEYS}))
    return [key for key in KEYS if key in found]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_it_exports_what_a_grouper_exports(name: str) -> None:
    module: Module = groupers.load(name)
    assert isinstance(module.VERSION, int)
    assert issubclass(module.Settings, Settings)
    assert all(isinstance(column.type, pa.DataType) and column.meaning for column in module.COLUMNS)
    names = [column.name for column in module.COLUMNS]
    assert len(set(names)) == len(names)
    assert not {*names} & {*KEYS}
    assert groupers.describe(name)["summary"]
    assert {*getattr(module, "LEFT_READS", ())} <= {*module.READS(asked(name))}


@pytest.mark.parametrize("name", NAMES)
def test_it_imports_no_other_grouper(name: str) -> None:
    tree = ast.parse(inspect.getsource(groupers.load(name)))  # type: ignore[arg-type] # it is one
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not imported & {f"imgbatch.groupers.{other}" for other in NAMES}


@pytest.mark.parametrize("name", MADE)
def test_one_row_for_each_ok_row_with_exactly_its_columns(name: str, tmp_path: Path) -> None:
    made = written.dataset(tmp_path, tables(name))
    labels = written.label(made, name, **ASKED.get(name, {}))
    module = groupers.load(name)
    keys = [column for column in KEY_COLUMNS if column.name in keys_of(name)]
    assert labels.schema.equals(schema((*keys, *module.COLUMNS)), check_metadata=False)
    key = keys[-1].name
    finest = next(t for t in tables(name).values() if key in t.column_names)
    ok = finest.filter(pc.field("status") == "ok")
    assert sorted(labels[key].to_pylist()) == sorted(ok[key].to_pylist())
    told = zip(labels["source_id"].to_pylist(), labels["version"].to_pylist(), strict=True)
    assert set(told) == set(
        zip(ok["source_id"].to_pylist(), ok["version"].to_pylist(), strict=True)
    )
    label = labels[module.COLUMNS[0].name]
    assert 1 < pc.count_distinct(label).as_py() < labels.num_rows


@pytest.mark.parametrize("name", MADE)
def test_neither_the_order_of_rows_nor_their_parts_nor_a_second_time_matter(
    name: str, tmp_path: Path
) -> None:
    settings = ASKED.get(name, {})
    first = written.label(written.dataset(tmp_path / "a", tables(name)), name, **settings)
    other = written.dataset(tmp_path / "b", tables(name), parts=7, seed=3)
    assert written.label(other, name, **settings).equals(first)
    assert written.label(other, name, **settings).equals(first)


@pytest.mark.parametrize("name", MADE)
def test_rows_that_were_labelled_keep_their_label_when_others_come(
    name: str, tmp_path: Path
) -> None:
    settings, module = ASKED.get(name, {}), groupers.load(name)
    key, label = keys_of(name)[-1], module.COLUMNS[0].name
    # Copies come and others stay away: the made rows are alike however many they are.
    whole = tables(name)
    few = {
        table: rows.filter(pc.less(pc.utf8_slice_codeunits(rows["source_id"], 0, 1), "a"))
        for table, rows in whole.items()
    }
    before = written.label(written.dataset(tmp_path, few, parts=2), name, **settings)
    after = written.label(written.dataset(tmp_path, whole, parts=5), name, **settings)
    assert after.num_rows > before.num_rows
    old = before.filter(pc.is_valid(before[label]))
    place = pc.index_in(old[key], value_set=after[key])
    assert after[label].take(place).to_pylist() == old[label].to_pylist()


@pytest.mark.parametrize("name", MADE)
def test_a_table_that_is_empty_mixed_or_not_there_is_an_error_and_nothing_is_written(
    name: str, tmp_path: Path
) -> None:
    whole = tables(name)
    empty = {table: rows.slice(0, 0) for table, rows in whole.items()}
    failed = {
        table: rows.set_column(
            rows.column_names.index("status"), "status", pa.array(["failed"] * rows.num_rows)
        )
        for table, rows in whole.items()
    }
    cases = {"nothing to group": empty, "no row that is ok": failed, "no table": {}}
    for at, (said, some) in enumerate(cases.items()):
        made = written.dataset(tmp_path / str(at), some)
        refused(made, name, said)
    mixed = written.dataset(tmp_path / "mixed", whole)
    own = next(table for table in whole if table != "sources")
    table = mixed.table(f"tables/{own}")
    parts = list(table.parts().values())
    other = written.put_table(
        mixed.store, table.name, f"{99:016x}@0-ffffffff", whole[own].slice(0, 9), {}
    )
    table.commit([other], parts[:1], fence=table.fence, run="test")
    refused(mixed, name, "2 ways")


def refused(made: Dataset, name: str, said: str) -> None:
    folder = Path(made.url.removeprefix("file://"))
    before = files(folder)
    with pytest.raises(GroupError, match=said):
        written.label(Dataset.open(made.url), name, **ASKED.get(name, {}))
    assert files(folder) == before
