"""What groupers tell of groups after a takedown, and what of the rows that are left alone."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from imgbatch import groupers
from imgbatch.dataset import MANIFEST, Dataset, groups, manifest
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.labels_leaving import leave
from imgbatch.dataset.parts import put_table
from imgbatch.dataset.tombstones import Tombstones
from imgbatch.recount import recount
from tests.groupers import written

if TYPE_CHECKING:
    from pathlib import Path

ASKED: dict[str, dict[str, Any]] = {"people": {"threshold": 0.3, "faces": 10}, "duplicates": {}}
TOLD = {
    "people": ("person_size", "is_middle", "linked", "distance"),
    "duplicates": ("group_size", "is_best", "same_bytes", "distance", "turns"),
}


def tables(name: str) -> dict[str, pa.Table]:
    module = groupers.load(name)
    reads = module.READS(module.Settings(**ASKED[name]))
    found = {table: written.rows_of(table, list(columns)) for table, columns in reads.items()}
    if name == "duplicates":
        # As in life: the same bytes have the same hashes.
        same = pc.index_in(found["sources"]["sha256"], pc.unique(found["sources"]["sha256"]))
        for column in ("dhash", "dhash_vertical", "phash"):
            values = found["hashes"][column].take(same)
            at = found["hashes"].column_names.index(column)
            found["hashes"] = found["hashes"].set_column(at, column, values)
    return found


def listed(made: Dataset, rows: pa.Table) -> None:
    """Write a manifest whose shards have the sources that the parts of a table have."""
    number = take_number(made, "listed")
    parts = []
    for part in made.table(f"tables/{next(iter(made.tables()))}").parts().values():
        held = made.table(part.table).batches(["source_id", "version"], None, [part.path])
        own = pa.Table.from_batches(list(held))
        columns = {
            column.name: own[column.name].cast(column.type)
            if column.name in own.column_names
            else pa.nulls(own.num_rows, column.type)
            for column in manifest.SCHEMA
        }
        found = pa.table(columns, schema=manifest.SCHEMA)
        parts.append(put_table(made.store, MANIFEST, part.label, found, {}))
    assert sum(part.rows for part in parts) == rows.num_rows
    made.table(MANIFEST).commit(parts, [], fence=number, run="listed")


def stones_of(sources: set[str]) -> Tombstones:
    none = Tombstones(key=b"key")
    return Tombstones(key=b"key", hashes=frozenset(map(none.hash, sources)))


def together(labels: pa.Table, label: str) -> set[frozenset[str]]:
    key = labels.column_names[labels.column_names.index(label) - 1]
    found: dict[str, set[str]] = defaultdict(set)
    for row in labels.select([key, label]).to_pylist():
        found[row[label] or row[key]].add(row[key])
    return {frozenset(own) for own in found.values()}


def gone_of(labels: pa.Table, name: str, seed: int) -> set[str]:
    """Return sources to forget: a draw, and whoever is in the middle, or best, of some groups."""
    random = np.random.default_rng(seed)
    drawn = random.choice(labels["source_id"].to_pylist(), 6, replace=False).tolist()
    mark = "is_middle" if name == "people" else "is_best"
    label = groupers.load(name).COLUMNS[0].name
    heads = labels.filter(pc.and_(labels[mark], pc.is_valid(labels[label])))["source_id"]
    return {*drawn, *random.choice(heads.to_pylist(), 2, replace=False).tolist()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", sorted(ASKED))
def test_grouped_alone_groups_are_those_of_a_fresh_grouping(
    name: str, seed: int, tmp_path: Path
) -> None:
    whole = tables(name)
    made = written.dataset(tmp_path / "d", whole)
    listed(made, next(iter(whole.values())))
    label = groupers.load(name).COLUMNS[0].name
    before = written.label(made, name, **ASKED[name])
    sources = gone_of(before, name, seed)
    number = take_number(made, "gone")
    assert leave(made, name, stones_of(sources), recount, run="gone", number=number) > 0
    made.table(groups.path_of(name)).refresh()
    after = groups.read(made, name)
    kept = {
        table: rows.filter(pc.invert(pc.is_in(rows["source_id"], value_set=pa.array(sources))))
        for table, rows in whole.items()
    }
    fresh = written.label(written.dataset(tmp_path / "f", kept), name, **ASKED[name])
    assert after["source_id"].equals(fresh["source_id"])
    assert together(after, label) == together(fresh, label)
    for column in TOLD[name]:
        if after[column].type == pa.float32():
            ours, theirs = (one[column].to_numpy() for one in (after, fresh))
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
        else:
            assert after[column].to_pylist() == fresh[column].to_pylist(), column


@pytest.mark.parametrize("name", sorted(ASKED))
def test_without_inputs_sizes_are_counted_and_no_group_has_two_heads(
    name: str, tmp_path: Path
) -> None:
    """Its shards are in no manifest: what is left can be counted, and nothing be looked up."""
    made = written.dataset(tmp_path / "d", tables(name))
    module = groupers.load(name)
    label, size = (column.name for column in module.COLUMNS[:2])
    before = written.label(made, name, **ASKED[name])
    sources = gone_of(before, name, 0)
    number = take_number(made, "gone")
    leave(made, name, stones_of(sources), recount, run="gone", number=number)
    made.table(groups.path_of(name)).refresh()
    after = groups.read(made, name)
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in after.to_pylist():
        if row[label] is not None:
            grouped[row[label]].append(row)
        else:
            assert row["distance"] is None
            assert row[size] in (None, 1)
    assert grouped
    for rows in grouped.values():
        assert {row[size] for row in rows} == {len(rows)}
        assert len(rows) > 1
        if name == "duplicates":
            assert sum(row["is_best"] for row in rows) == 1
        elif rows[0]["distance"] is None:
            assert not any(row["is_middle"] for row in rows)
        else:
            assert sum(row["is_middle"] for row in rows) == 1
        if name == "people":
            assert sum(row["linked"] for row in rows) >= 10
