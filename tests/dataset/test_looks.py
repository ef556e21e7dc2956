"""How often a process looks at what others committed to a table, and what it sees then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from imgbatch.dataset import MANIFEST, Dataset, delta, posts
from imgbatch.dataset.commit import check_ours, take_number
from imgbatch.dataset.delta import Table
from imgbatch.dataset.part import Part
from imgbatch.errors import DamageError, DatasetError, FencedError
from tests.posts.made import Tweet, bring, photo, write_dump

PATH = "tables/quality"
SCHEMA = pa.schema([("source_id", pa.string())])


def part(number: int, generation: int = 0) -> Part:
    return Part(PATH, f"s{number}@{generation}-00000000-aaaaaaaa.parquet", 9 + number, 1, "a" * 64)


def seen(table: Table) -> tuple[int, int, dict[str, Part], list[str]]:
    return table.version, table.fence, table.committed(), table.schema().names


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables whose logs are read from their beginning, one by one."""
    found: list[str] = []

    class Counted(DeltaTable):
        def __init__(self, place: str, **named: Any) -> None:
            found.append(place.rpartition("/")[2])
            super().__init__(place, **named)

    monkeypatch.setattr(delta, "DeltaTable", Counted)
    return found


@pytest.fixture
def table(dataset: Dataset) -> Table:
    """A table with one commit."""
    made = dataset.table(PATH)
    made.create(SCHEMA, fence=1, run="run1")
    made.commit([part(1), part(2)], [], fence=1, run="run1")
    return made


def test_a_run_that_finds_nothing_to_do_opens_each_table_at_most_twice(
    tmp_path: Path, opened: list[str]
) -> None:
    photo(tmp_path / "in/media/FfAAbbCCdd.jpg")
    write_dump(tmp_path / "in/tweets.jsonl", [Tweet("1500000000000000001", "one")])
    bring(tmp_path / "in", tmp_path / "own")
    opened.clear()
    bring(tmp_path / "in", tmp_path / "own")
    assert opened
    assert {name for name in opened if opened.count(name) > 2} == set()


def test_a_table_that_was_not_looked_at_yet_is_opened_once(
    dataset: Dataset, opened: list[str]
) -> None:
    assert posts.here(dataset) == []
    assert sorted(opened) == sorted(posts.TABLES)


def test_what_posts_were_made_of_is_read_from_few_commits(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = dataset.table(posts.POSTS)
    table.create(posts.SCHEMAS[posts.POSTS], fence=1, run="run1")
    for run in range(20):
        table.commit([], [], fence=1, run=str(run), said={posts.SAID: f'{{"run": {run}}}'})
    read, history = [], Table.history

    def counted(self: Table, *asked: int | None) -> list[dict[str, Any]]:
        found = history(self, *asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(Table, "history", counted)
    assert posts.record(Dataset.open(dataset.url)) == {"run": 19}
    assert sum(read) <= delta.NEWEST
    for run in range(2 * delta.NEWEST):
        table.commit([], [], fence=1, run=f"later{run}")
    assert posts.record(Dataset.open(dataset.url)) == {"run": 19}


def test_a_word_that_no_commit_said_is_none(table: Table) -> None:
    assert table.said("nothing") is None


def test_what_others_committed_is_seen_without_reading_the_log_again(
    dataset: Dataset, table: Table, opened: list[str]
) -> None:
    other = Dataset.open(dataset.url).table(PATH)
    opened.clear()
    other.commit([part(2, 1), part(3)], [part(2)], fence=2, run="run2")
    other.add_columns(pa.schema([*SCHEMA, pa.field("x", pa.float32())]))
    table.refresh()
    assert opened == []
    assert seen(table) == seen(dataset.newest(PATH))
    assert set(table.committed()) == {part(1).path, part(2, 1).path, part(3).path}


def test_what_others_committed_is_seen_across_a_checkpoint(dataset: Dataset, table: Table) -> None:
    other = Dataset.open(dataset.url).table(PATH)
    for number in range(120):
        other.commit([part(number % 7, number)], [], fence=2, run="run2")
    assert any("checkpoint" in name for name in dataset.store.files(f"{PATH}/_delta_log"))
    table.refresh()
    assert seen(table) == seen(dataset.newest(PATH))


def test_a_log_that_was_cut_or_damaged_is_seen_to_be(dataset: Dataset, table: Table) -> None:
    log = f"{PATH}/_delta_log"
    table.commit([part(3)], [], fence=1, run="run1")
    kept = dataset.store.get(f"{log}/{2:020}.json")
    dataset.store.delete(f"{log}/{2:020}.json")
    table.refresh()
    assert set(table.committed()) == {part(1).path, part(2).path}
    dataset.store.put(f"{log}/{2:020}.json", kept)
    table.refresh()
    assert set(table.committed()) == {part(1).path, part(2).path, part(3).path}
    dataset.store.put(f"{log}/{3:020}.json", b"{cut")
    with pytest.raises(DamageError, match=rf"{3:020}\.json is damaged"):
        table.refresh()


def test_nothing_is_committed_to_a_log_that_is_gone(dataset: Dataset, tmp_path: Path) -> None:
    number = take_number(dataset, "run1")
    table = dataset.table(PATH)
    table.create(SCHEMA, fence=number, run="run1")
    for name in (PATH, MANIFEST):
        (Path(dataset.url.removeprefix("file://")) / name / "_delta_log").rename(
            tmp_path / name.replace("/", "-")
        )
    table.refresh()
    with pytest.raises((DamageError, DatasetError, FencedError)):
        check_ours(dataset, number)
    with pytest.raises((DamageError, DatasetError, FencedError)):
        table.commit([part(1)], [], fence=number, run="run1")
    assert not dataset.store.files(f"{PATH}/_delta_log")


def test_a_log_that_was_begun_anew_is_closed_to_an_older_run_and_read_by_a_newer_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    number = take_number(dataset, "run1")
    table = dataset.table(PATH)
    table.create(SCHEMA, fence=number, run="run1")
    table.commit([part(1), part(2)], [], fence=number, run="run1")
    (Path(dataset.url.removeprefix("file://")) / PATH / "_delta_log").rename(tmp_path / "log")
    other = Dataset.open(dataset.url)
    newer = take_number(other, "run2")
    other.table(PATH).create(SCHEMA, fence=newer, run="run2")
    for at in range(3, 7):
        other.table(PATH).commit([part(at)], [], fence=newer, run="run2")
    with pytest.raises(FencedError):
        check_ours(dataset, number)
    with pytest.raises(FencedError):
        table.commit([part(1, 1)], [part(1)], fence=number, run="run1")
    take_number(dataset, "run3")
    assert set(table.committed()) == {part(at).path for at in range(3, 7)}
