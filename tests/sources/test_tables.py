"""A table as INPUT: which files become sources."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import DumpError, InputError
from imgbatch.sources.dumps import Plain
from imgbatch.sources.tables import is_table, open_table
from imgbatch.storage import open_store
from tests.contracts.dumps import fixture

if TYPE_CHECKING:
    from pathlib import Path

ASKED = Plain(media_column="Image Path", id_column="id")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fixture("table", tmp_path / "dump")


def names(table: Path, asked: Plain = ASKED) -> list[str]:
    root = open_store(str(table.parent)).root
    return [found.address.removeprefix(root + "/") for found in open_table(str(table), asked)]


def write(path: Path, *values: str, column: str = "Image Path") -> Path:
    path.write_text("\n".join([f"id\t{column}", *(f"{i}\t{v}" for i, v in enumerate(values))]))
    return path


def test_only_the_table_and_what_it_names_are_sources(folder: Path) -> None:
    (folder / "unrelated.png").write_bytes(b"not named")
    assert names(folder / "posts.csv") == [
        "posts.csv",
        "pictures/one.png",
        "pictures/six.png",
        "pictures/three, four.png",
        "pictures/two.png",
    ]
    assert names(folder / "more.jsonl") == [
        "more.jsonl",
        "pictures/eight.png",
        "pictures/seven.png",
    ]
    assert names(folder / "third.parquet") == ["third.parquet", "pictures/nine.png"]


def test_a_path_that_climbs_out_of_the_folder_is_no_source(folder: Path) -> None:
    (folder.parent / "outside.png").write_bytes(b"out of the dump")
    outside = ["../outside.png", "pictures/../../outside.png", "..\\outside.png", "/../outside.png"]
    table = write(folder / "t.tsv", *outside, str(folder.parent / "outside.png"))
    assert names(table) == ["t.tsv"]


def test_absolute_paths_below_the_folder_are_taken(folder: Path) -> None:
    own = str(folder / "pictures" / "one.png")
    assert names(write(folder / "t.tsv", own)) == ["t.tsv", "pictures/one.png"]
    assert names(write(folder / "t.tsv", f"file://{own}")) == ["t.tsv", "pictures/one.png"]
    assert names(write(folder / "t.tsv", "/pictures/one.png")) == ["t.tsv", "pictures/one.png"]


def test_a_url_stands_for_the_file_of_its_last_part_beside_the_table(folder: Path) -> None:
    (folder / "five.png").write_bytes(b"downloaded")
    assert "five.png" in names(folder / "posts.csv")


def test_hostile_names_in_a_table_are_names(folder: Path) -> None:
    hostile = "a'); DROP TABLE names; --.png"
    (folder / hostile).write_bytes(b"x")
    (folder / "50%21!.png").write_bytes(b"x")
    found = names(
        write(folder / "t.tsv", hostile, "50%21!.png", "\x1b[31m.png", "x" * 5000, ".", "pictures")
    )
    assert found == ["t.tsv", "50%2521!.png", hostile]


def test_named_members_of_an_archive_are_sources_and_no_others(folder: Path) -> None:
    with zipfile.ZipFile(folder / "media.zip", "w") as made:
        made.writestr("in/a.png", b"a")
        made.writestr("in/b.png", b"b")
    assert names(write(folder / "t.tsv", "media.zip")) == [
        "t.tsv",
        "media.zip!/in/a.png",
        "media.zip!/in/b.png",
        "media.zip",
    ]


def test_a_table_named_by_itself_comes_once(folder: Path) -> None:
    assert names(write(folder / "t.tsv", "t.tsv")) == ["t.tsv"]


def test_a_column_that_is_not_there_names_the_nearest(folder: Path) -> None:
    with pytest.raises(DumpError, match=r"no table has a column 'Image Pth'.*'Image Path'") as told:
        names(folder / "posts.csv", Plain(media_column="Image Pth"))
    assert told.value.exit_code == 32


def test_without_a_column_usual_names_are_looked_for(folder: Path) -> None:
    table = write(folder / "t.tsv", "pictures/one.png", column="Image-URL")
    assert names(table, Plain()) == ["t.tsv", "pictures/one.png"]
    with pytest.raises(DumpError, match="no column is called as media usually are"):
        names(write(folder / "t.tsv", "pictures/one.png", column="whatever"), Plain())


def test_a_table_that_is_not_there_is_an_input_error(folder: Path) -> None:
    with pytest.raises(InputError):
        names(folder / "gone.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.TSV", "a.jsonl.gz", "b/a.parquet", "a.ndjson"])
def test_tables_are_known_by_their_names(name: str) -> None:
    assert is_table(f"s3://bucket/{name}")
    assert not is_table("s3://bucket/folder")
    assert not is_table("s3://bucket/a.zip")
