"""How often a process looks at what others committed to a table, and what it sees then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from imgbatch.dataset import Dataset, delta, posts
from imgbatch.dataset.delta import Table
from imgbatch.dataset.part import Part
from tests.posts.made import Tweet, bring, photo, write_dump

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_run_that_finds_nothing_to_do_opens_a_table_three_times_at_most(
    tmp_path: Path, opened: list[str]
) -> None:
    photo(tmp_path / "in/media/FfAAbbCCdd.jpg")
    write_dump(tmp_path / "in/tweets.jsonl", [Tweet("1500000000000000001", "one")])
    bring(tmp_path / "in", tmp_path / "own")
    opened.clear()
    bring(tmp_path / "in", tmp_path / "own")
    assert opened
    assert {name for name in opened if opened.count(name) > 3} == set()


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
