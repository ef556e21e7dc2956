from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.table import TableAlterer

from imgbatch.dataset import FORMAT, MANIFEST, Dataset, TableSpec, commit
from imgbatch.dataset.commit import Committer, remove, take_number
from imgbatch.dataset.parts import write_part
from imgbatch.dataset.plan import undone
from imgbatch.errors import DatasetError, FencedError
from imgbatch.records import Shard

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.dataset import Part, Table

SCHEMA = pa.schema([("source_id", pa.string()), ("version", pa.string()), ("x", pa.float32())])
SPEC = TableSpec("quality", SCHEMA, "a" * 32, {"analyzer": "quality"})
SOURCES_SPEC = TableSpec("sources", SCHEMA, "b" * 32)


def part(dataset: Dataset, label: str, x: float, spec: TableSpec = SPEC) -> Part:
    rows = [{"source_id": label.partition("@")[0], "version": "v", "x": x}]
    return write_part(dataset.store, spec, label, pa.Table.from_pylist(rows, schema=spec.schema))


def committer(dataset: Dataset, number: int, *, every: float = 1e9) -> Committer:
    return Committer(dataset, [SPEC], run=f"run{number}", number=number, every=every)


def send_twice(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """Have a commit done, and then refused: the second request meets what the first one wrote."""
    once = getattr(owner, name)

    def sent_twice(*words: Any, **named: Any) -> None:
        once(*words, **named)
        raise CommitFailedError("version exists already")

    monkeypatch.setattr(owner, name, sent_twice)


def values(dataset: Dataset) -> list[tuple[str, float]]:
    dataset.table(SPEC.path).refresh()
    rows = dataset.read("quality").to_pylist()
    return sorted((r["source_id"], r["x"]) for r in rows)


def test_parts_are_seen_when_they_are_committed_and_not_before(dataset: Dataset) -> None:
    own = committer(dataset, take_number(dataset, "run1"))
    own.add([part(dataset, "s1@0", 1.0)])
    assert values(dataset) == []
    own.flush()
    assert values(dataset) == [("s1", 1.0)]


def test_a_commit_comes_by_itself_when_it_is_time(dataset: Dataset) -> None:
    now = [0.0]
    number = take_number(dataset, "run1")
    own = Committer(dataset, [SPEC], run="r", number=number, every=5.0, clock=lambda: now[0])
    own.add([part(dataset, "s1@0", 1.0)])
    assert values(dataset) == []
    now[0] = 6.0
    own.add([part(dataset, "s2@0", 2.0)])
    assert values(dataset) == [("s1", 1.0), ("s2", 2.0)]


def test_a_commit_that_took_long_is_not_soon_followed_by_another(dataset: Dataset) -> None:
    # made at 0, asked at 6, from 6 to 8 the first commit, asked at 20, asked at 30
    clock = iter([0.0, 6.0, 6.0, 8.0, 20.0, 30.0, 30.0, 30.0])
    number = take_number(dataset, "run1")
    own = Committer(dataset, [SPEC], run="r", number=number, every=5.0, clock=lambda: next(clock))
    own.add([part(dataset, "s1@0", 1.0)])
    own.add([part(dataset, "s2@0", 2.0)])
    assert values(dataset) == [("s1", 1.0)]
    own.add([part(dataset, "s3@0", 3.0)])
    assert values(dataset) == [("s1", 1.0), ("s2", 2.0), ("s3", 3.0)]


def test_a_commit_comes_sooner_where_many_parts_wait(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "WAITING", 2)
    # made at 0, asked at 1, asked at 2, from 2 to 3 the first commit, asked at 4, 5, 11 and 12
    clock = iter([0.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 11.0, 12.0, 12.0, 12.0])
    number = take_number(dataset, "run1")
    own = Committer(dataset, [SPEC], run="r", number=number, every=1e9, clock=lambda: next(clock))
    committed = []
    for shard in range(6):
        own.add([part(dataset, f"s{shard}@0", float(shard))])
        committed.append(len(values(dataset)))
    assert committed == [0, 2, 2, 2, 2, 6], "not before ten times what the last one took"


def test_a_new_part_replaces_its_shards_former_one(dataset: Dataset) -> None:
    own = committer(dataset, take_number(dataset, "run1"))
    own.add([part(dataset, "s1@0", 1.0), part(dataset, "s2@0", 2.0)])
    own.flush()
    own.add([part(dataset, "s1@1", 10.0)])
    own.flush()
    assert values(dataset) == [("s1", 10.0), ("s2", 2.0)]
    changed = TableSpec("quality", SCHEMA, "c" * 32)
    own.add([part(dataset, "s2@0", 20.0, changed)])
    own.flush()
    assert values(dataset) == [("s1", 10.0), ("s2", 20.0)]


def test_committing_the_same_part_twice_doubles_nothing(dataset: Dataset) -> None:
    own = committer(dataset, take_number(dataset, "run1"))
    for _ in range(2):
        own.add([part(dataset, "s1@0", 1.0)])
        own.flush()
    assert values(dataset) == [("s1", 1.0)]


def test_a_commit_that_went_through_unseen_is_not_done_again(dataset: Dataset) -> None:
    own = committer(dataset, take_number(dataset, "run1"))
    stale = Dataset.open(dataset.url).table(SPEC.path)
    written = part(dataset, "s1@0", 1.0)
    own.add([written])
    own.flush()
    version = dataset.table(SPEC.path).version
    stale.commit([written], [], fence=1, run="run1")
    assert stale.version == version
    assert values(dataset) == [("s1", 1.0)]


def test_commits_whose_answers_were_lost_are_known_as_ones_own(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_twice(monkeypatch, DeltaTable, "create_write_transaction")
    send_twice(monkeypatch, TableAlterer, "add_columns")
    number = take_number(dataset, "run1")  # adds no part
    own = committer(dataset, number)
    own.add([part(dataset, "s1@0", 1.0)])
    own.flush()
    wider = TableSpec("quality", SCHEMA.append(pa.field("y", pa.int32())), "d" * 32)
    Committer(dataset, [wider], run="run1", number=number, every=1)
    assert dataset.read("quality")["y"].to_pylist() == [None]
    remove(dataset, {"s1"}, run="run1", number=number)  # adds none either
    assert values(dataset) == []


def test_the_same_number_taken_by_another_run_is_not_known_as_ones_own(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = Dataset.open(dataset.url).table(MANIFEST)
    take_number(dataset, "run2")
    send_twice(monkeypatch, DeltaTable, "create_write_transaction")
    with pytest.raises(FencedError, match="another run took number 1"):
        stale.commit([], [], fence=1, run="run1")


def test_a_driver_that_was_taken_over_commits_nothing_any_more(dataset: Dataset) -> None:
    slow = committer(dataset, take_number(dataset, "run1"))
    slow.add([part(dataset, "s1@0", 1.0)])
    other = Dataset.open(dataset.url)
    quick = committer(other, take_number(other, "run2"))
    quick.add([part(other, "s1@1", 2.0)])
    quick.flush()
    with pytest.raises(FencedError, match="took over"):
        slow.flush()
    assert values(dataset) == [("s1", 2.0)]


def test_a_zombie_that_passed_its_check_is_stopped_by_the_commit_itself(dataset: Dataset) -> None:
    number = take_number(dataset, "run1")
    committer(dataset, number)
    table = dataset.table(SPEC.path)
    other = Dataset.open(dataset.url)
    quick = committer(other, take_number(other, "run2"))
    quick.add([part(other, "s1@1", 2.0)])
    quick.flush()
    # The zombie's snapshot is from before; it does not look at the manifest again.
    with pytest.raises(FencedError):
        table.commit([part(dataset, "s1@0", 1.0)], [], fence=number, run="run1")
    assert values(dataset) == [("s1", 2.0)]


def test_no_older_run_commits_to_any_table_from_when_a_number_is_taken(dataset: Dataset) -> None:
    number = take_number(dataset, "run1")
    committer(dataset, number)
    table = dataset.table(SPEC.path)
    other = Dataset.open(dataset.url)
    # The newer run has nothing to do in this table, and the older one passed its check.
    take_number(other, "run2")
    with pytest.raises(FencedError):
        table.commit([part(dataset, "s1@0", 1.0)], [], fence=number, run="run1")
    assert values(dataset) == []


def test_of_many_that_create_a_table_at_once_one_does_and_all_have_it(dataset: Dataset) -> None:
    for turn in range(5):
        tables = [Dataset.open(dataset.url).table(f"tables/t{turn}") for _ in range(6)]
        barrier = threading.Barrier(6)

        def create(table: Table, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            table.create(SCHEMA, fence=0, run="create")
            return table.version

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(create, tables)) == [0] * 6


def test_of_two_drivers_that_take_a_number_at_once_one_gets_it(dataset: Dataset) -> None:
    other = Dataset.open(dataset.url)
    stale = other.table(MANIFEST)
    assert take_number(dataset, "run1") == 1
    with pytest.raises(FencedError):
        stale.commit([], [], fence=1, run="run2")


def test_a_commit_names_its_run_and_its_digests(dataset: Dataset) -> None:
    own = committer(dataset, take_number(dataset, "run1"))
    written = part(dataset, "s1@0", 1.0)
    own.add([written])
    own.flush()
    table = dataset.table(SPEC.path)
    assert table.history()[0]["run"] == "run1"
    assert table.digests() == {written.path: written.sha256}


def test_the_same_rows_give_the_same_bytes(dataset: Dataset) -> None:
    assert part(dataset, "s1@0", 1.0) == part(dataset, "s1@0", 1.0)


def test_done_is_what_the_snapshot_holds(dataset: Dataset) -> None:
    shards = [Shard("s1", 0), Shard("s2", 0), Shard("s3", 2)]
    number = take_number(dataset, "r")
    own = Committer(dataset, [SPEC, SOURCES_SPEC], run="r", number=number, every=1e9)
    own.add([part(dataset, "s1@0", 1.0), part(dataset, "s1@0", 1.0, SOURCES_SPEC)])
    own.add([part(dataset, "s2@0", 1.0), part(dataset, "s3@1", 1.0)])
    own.flush()
    works = undone(dataset, shards, [SOURCES_SPEC, SPEC])
    # where the outcomes are missing, all tables are to be written
    assert [(w.shard.label, w.tables) for w in works] == [
        ("s2@0", ("sources", "quality")),
        ("s3@2", ("sources", "quality")),
    ]
    assert {n: p.stem for n, p in works[1].former.items()} == {"quality": "s3@1-aaaaaaaa"}


def test_what_names_rows_of_others_is_committed_after_them(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("sources", "faces", "quality", "faces_regions")
    specs = [TableSpec(name, SCHEMA, "f" * 32) for name in names]
    own = Committer(dataset, specs, run="r", number=take_number(dataset, "r"), every=1e9)
    own.add([part(dataset, "s1@0", 1.0, spec) for spec in specs])
    under_way, ended = threading.Barrier(2), []
    commit = type(dataset.table("manifest")).commit

    def watched(table: Table, *words: Any, **more: Any) -> None:
        if table.name in ("tables/faces", "tables/quality"):
            under_way.wait(60)  # each of the two begins before the other has ended
        commit(table, *words, **more)
        ended.append(table.name.removeprefix("tables/"))

    monkeypatch.setattr("imgbatch.dataset.delta.Table.commit", watched)
    own.flush()
    assert ended[0] == "faces_regions"
    assert sorted(ended[1:3]) == ["faces", "quality"]
    assert ended[3:] == ["sources"]


def test_a_table_gains_the_columns_of_a_newer_analyzer(dataset: Dataset) -> None:
    own = committer(dataset, take_number(dataset, "run1"))
    own.add([part(dataset, "s1@0", 1.0)])
    own.flush()
    wider = TableSpec("quality", SCHEMA.append(pa.field("y", pa.list_(pa.int32()))), "d" * 32)
    Committer(dataset, [wider], run="r", number=take_number(dataset, "r"), every=1)
    assert dataset.read("quality").to_pylist()[0]["y"] is None
    narrower = pa.schema([*list(SCHEMA)[:2], ("x", pa.string())])
    with pytest.raises(DatasetError, match="column x is float"):
        Committer(dataset, [TableSpec("quality", narrower, "e" * 32)], run="r", number=9, every=1)


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_bytes(b"")
    with pytest.raises(DatasetError, match="not an imgbatch dataset and not empty"):
        Dataset.create(str(tmp_path))
    with pytest.raises(DatasetError, match=r"no dataset\.json"):
        Dataset.open(str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_dataset_of_another_format_is_refused(tmp_path: Path) -> None:
    Dataset.create(str(tmp_path / "d"))
    marker = tmp_path / "d" / "dataset.json"
    marker.write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(DatasetError, match=f"format {FORMAT + 1}"):
        Dataset.create(str(tmp_path / "d"))
    marker.write_text("{broken")
    with pytest.raises(DatasetError, match="not readable"):
        Dataset.open(str(tmp_path / "d"))


def test_a_file_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(DatasetError, match="is a file"):
        Dataset.create(str(tmp_path / "f"))
