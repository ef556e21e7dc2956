"""Lines that a file begins with and that are none of its format's: it is known all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump, Gap, Post, lines

if TYPE_CHECKING:
    from pathlib import Path

ZEESCHUIMER = {"item_id": "1", "source_platform": "x.com", "data": {"rest_id": "1", "legacy": {}}}
REDDIT = {
    "id": "1aaaa00",
    "author": "ada",
    "created_utc": 1709528767,
    "title": "said",
    "subreddit": "hills",
    "score": 1,
    "num_comments": 1,
}
FOURCAT = {"id": "1", "__import_meta": {"source_platform": "x.com", "item_id": "1"}}
TWARC = {"data": [{"id": "1", "text": "said"}], "__twarc": {"version": "2"}}
LINES = {
    "zeeschuimer": ("a.ndjson", ZEESCHUIMER),
    "reddit": ("RS_2024-01.jsonl", REDDIT),
    "4cat": ("x-search-1.ndjson", FOURCAT),
    "twarc2": ("a.jsonl", TWARC),
}


def line(item: Any) -> str:
    return json.dumps(item) + "\n"


def long(length: int) -> str:
    return line({"foo": "x" * length})


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(
    ("before", "kinds"),
    [
        ('{"foo": 1}\n', set()),
        ('{"errors": [{"value": "9"}]}\n' * 3, set()),
        ('{"a":\n' * 6, {("broken-line", at) for at in range(1, 7)}),
        ("null\n" * 6, {("broken-line", at) for at in range(1, 7)}),
        (long(1000) * 10, set()),
    ],
)
def test_a_file_is_known_by_any_of_its_first_objects(
    tmp_path: Path, name: str, before: str, kinds: set[tuple[str, int]]
) -> None:
    file, item = LINES[name]
    (tmp_path / file).write_text(before + line(item))
    dump = Dump.at(str(tmp_path))
    assert dumps.choose(dump) == [name]
    found = [each for _, each in dumps.read_all(dump, [name])]
    assert len([each for each in found if isinstance(each, Post)]) == 1
    assert kinds <= {(each.kind, each.line) for each in found if isinstance(each, Gap)}


@pytest.mark.parametrize("name", LINES)
def test_a_file_of_other_lines_is_none(tmp_path: Path, name: str) -> None:
    file, item = LINES[name]
    (tmp_path / file).write_text('{"foo": 1}\n' * lines.TRIED + line(item))
    assert dumps.choose(Dump.at(str(tmp_path))) == []


def test_no_more_is_read_of_long_lines_than_it_takes_to_know_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(long(lines.HEAD) + long(1) + long(lines.HEAD))
    dump = Dump.at(str(tmp_path))
    assert 1 <= len(lines.first(dump, "a.jsonl")) <= 2
    assert lines.first(dump, "a.jsonl")[0] == json.loads(long(lines.HEAD))
