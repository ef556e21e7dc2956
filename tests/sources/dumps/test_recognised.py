"""What a dump is taken for, whatever else lies in it and sorts before: foreign or damaged files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.sources import dumps
from imgbatch.sources.dumps import Dump
from imgbatch.sources.dumps.few import FIRST, OTHERS, few
from tests.contracts.dumps import ASKED_FOR, fixture

if TYPE_CHECKING:
    from pathlib import Path

FOUND = [name for name in dumps.formats() if name not in ASKED_FOR]
MORE = FIRST + 5
# A gzip that ends in its header: whatever reads it is told that it is cut.
CUT = b"\x1f\x8b\x08"


def put(folder: Path, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


@pytest.mark.parametrize("name", FOUND)
def test_foreign_files_that_sort_before_hide_no_format(tmp_path: Path, name: str) -> None:
    folder = fixture(name, tmp_path / "dump")
    for at in range(MORE):
        for ending in ("json", "info.json", "jsonl", "ndjson", "csv", "js"):
            put(folder, f"!foreign/{at}.{ending}", b'{"setting": 1}\n')
    assert dumps.choose(Dump.at(str(folder))) == [name]


@pytest.mark.parametrize("name", FOUND)
def test_files_that_cannot_be_looked_at_hide_no_format(tmp_path: Path, name: str) -> None:
    folder = fixture(name, tmp_path / "dump")
    for at in range(MORE):
        for ending in ("json", "info.json", "jsonl", "jsonl.gz", "csv", "parquet", "tar"):
            put(folder, f"!damaged/{at}.{ending}", CUT if at % 2 else b"")
        put(folder, f"!damaged/tweets-part{at}.js", CUT)
        put(folder, f"!damaged/{at}.zip", b"PK\x03\x04 cut")
    (folder / "!damaged/folder.json").mkdir()
    (folder / "!damaged/link.json").symlink_to(folder / "nowhere.json")
    assert dumps.choose(Dump.at(str(folder))) == [name]


def test_an_export_of_telegram_that_was_renamed_is_found_and_read_behind_others(
    tmp_path: Path,
) -> None:
    export = next(fixture("telegram", tmp_path / "made").rglob("result.json")).read_bytes()
    for at in range(MORE):
        put(tmp_path, f"dump/{at:03}.json", b"{}")
    put(tmp_path, "dump/channel.json", export)
    dump = Dump.at(str(tmp_path / "dump"))
    assert dumps.choose(dump) == ["telegram"]
    assert list(dumps.load("telegram").files(dump)) == ["channel.json"]


def test_however_many_files_there_are_few_are_looked_at(tmp_path: Path) -> None:
    for at in range(2 * (FIRST + OTHERS)):
        put(tmp_path, f"{chr(ord('a') + at // 10) * 5}{chr(ord('a') + at % 10)}.json", b"{}")
        put(tmp_path, f"alike{at}.jsonl", b"{}")
    dump = Dump.at(str(tmp_path))
    assert len(set(few(dump, "json"))) == FIRST + OTHERS
    assert len(set(few(dump, "jsonl"))) == FIRST
    assert len(set(few(dump, "json", "jsonl"))) == 2 * FIRST + OTHERS
