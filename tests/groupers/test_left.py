"""What groupers tell of groups after a takedown, and what of the rows that are left alone."""

from __future__ import annotations

from collections import Counter, defaultdict
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

    from imgbatch.dataset import Table

ASKED: dict[str, dict[str, Any]] = {"people": {"threshold": 0.3, "faces": 10}, "duplicates": {}}
CLUSTERS = {"table": "classic", "k": 5, "stability": 2, "exemplars": 3}
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


class Asked(Dataset):
    """A dataset that remembers which of its tables somebody asked for."""

    asked: set[str]

    def table(self, path: str) -> Table:
        self.asked.add(path)
        return super().table(path)


def without(labels: pa.Table, sources: set[str]) -> pa.Table:
    gone = pc.is_in(labels["source_id"], value_set=pa.array(sources))
    return labels.filter(pc.invert(gone))


def recounted(made: Dataset, name: str, sources: set[str]) -> tuple[pa.Table, set[str]]:
    """Return labels without sources, told again, and which tables that took."""
    before = groups.read(made, name)
    label = groupers.load(name).COLUMNS[0].name
    own = groups.record(made.table(groups.path_of(name)))
    assert own is not None
    rest = without(before, sources)
    gone = pc.is_in(before["source_id"], value_set=pa.array(sources))
    lost = pc.unique(before.filter(gone)[label].drop_null())
    watched = Asked.open(made.url)
    assert isinstance(watched, Asked)
    watched.asked = set()
    return recount(watched, own, rest, lost), watched.asked


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


def test_clusters_are_told_again_without_their_vectors(tmp_path: Path) -> None:
    """They say nothing that the labels do not say: none of them is read, nor need be there."""
    rows = written.rows_of("classic", ["embedding"])
    made = written.dataset(tmp_path / "d", {"classic": rows})
    listed(made, rows)
    before = written.label(made, "clusters", **CLUSTERS)
    heads = before.filter(pc.equal(before["rank"], 1))["source_id"].to_pylist()
    found, asked = recounted(made, "clusters", set(heads))
    assert asked == set()
    kept = without(before, set(heads))
    for name in ("source_id", "cluster", "distance", "silhouette"):
        assert found[name].equals(kept[name]), name
    ranks = zip(found["rank"].to_pylist(), kept["rank"].to_pylist(), strict=True)
    assert {was - now for now, was in ranks if now is not None} == {1}
    nearest = pc.fill_null(pc.match_substring(found["exemplar"], "nearest"), False)  # noqa: FBT003 - a value
    assert nearest.equals(pc.fill_null(pc.less_equal(found["rank"], 3), False))  # noqa: FBT003 - the same


def test_a_takedown_goes_on_where_vectors_of_clusters_are_damaged(tmp_path: Path) -> None:
    made = written.dataset(tmp_path / "d", {"classic": written.rows_of("classic", ["embedding"])})
    before = written.label(made, "clusters", **CLUSTERS)
    for part in (tmp_path / "d/tables/classic").rglob("*.parquet"):
        part.write_bytes(b"unreadable")
    first = before.filter(pc.equal(before["rank"], 1))["source_id"][0].as_py()
    number = take_number(made, "gone")
    assert leave(made, "clusters", stones_of({first}), recount, run="gone", number=number) == 1
    made.table(groups.path_of("clusters")).refresh()
    after = groups.read(made, "clusters")
    for cluster in pc.unique(after["cluster"].drop_null()):
        ranks = after.filter(pc.equal(after["cluster"], cluster))["rank"].to_pylist()
        assert sorted(ranks) == list(range(1, len(ranks) + 1))


@pytest.mark.parametrize("name", sorted(ASKED))
def test_what_is_grouped_alone_reads_no_part_without_its_rows(name: str, tmp_path: Path) -> None:
    """Shards that hold no row of a group that lost some may be damaged: nobody looks there."""
    whole = tables(name)
    made = written.dataset(tmp_path / "d", whole, parts=40)
    listed(made, next(iter(whole.values())))
    label = groupers.load(name).COLUMNS[0].name
    before = written.label(made, name, **ASKED[name])
    # Who is in the middle of the smallest group that has others left: `left` finds no other one.
    sizes = Counter(before[label].drop_null().to_pylist())
    smallest = min((size, group) for group, size in sizes.items() if size > 2)[1]
    own = before.filter(pc.equal(before[label], smallest)).sort_by("distance")
    source = own["source_id"][0].as_py()
    wanted, _ = recounted(made, name, {source})
    mine = set(own["source_id"].to_pylist()) - {source}
    grouped = wanted.filter(pc.is_in(wanted["source_id"], value_set=pa.array(mine)))
    assert grouped["distance"].null_count < len(mine)
    damaged = 0
    for table in made.tables():
        for part in made.table(f"tables/{table}").parts().values():
            held = made.table(part.table).batches(["source_id"], None, [part.path])
            if not mine & set(pa.Table.from_batches(list(held))["source_id"].to_pylist()):
                (tmp_path / "d" / part.table / part.path).write_bytes(b"unreadable")
                damaged += 1
    assert damaged
    assert recounted(made, name, {source})[0].equals(wanted)
