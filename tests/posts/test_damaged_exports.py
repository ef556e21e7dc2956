"""An export that is damaged removes nothing, whatever its format; one that lost a post does."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from imgbatch.sources import dumps
from tests.contracts.dumps import fixture
from tests.posts.made import Tweet, bring, rows, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST, SECOND, THIRD = (f"150000000000000000{n}" for n in (1, 2, 3))
FORGET = 'removed = "forget"'
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "NUL": lambda data: bytes(len(data)),
    "20 bytes": lambda data: data[:20],
    "its end is NUL": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
}
# Their last samples lie behind what ends a tar: `tar` itself sees no damage there.
ENDS_IN_NUL = {"webdataset"}
# Its fixture says itself that the platform stopped answering.
NOT_WHOLE = {"tiktok-research"}


def posts(own: Path) -> set[tuple[str, str]]:
    return set(rows(own, "posts", "platform", "post_id"))


def files_of(own: Path) -> set[str]:
    found = {ref.rpartition(":") for (ref,) in rows(own, "posts", "raw_ref")}
    return {file if line.isdigit() else file + colon + line for file, colon, line in found}


@pytest.mark.slow
@pytest.mark.parametrize("name", dumps.formats())
def test_a_file_that_is_damaged_forgets_none_and_one_that_is_gone_does(
    name: str, tmp_path: Path
) -> None:
    folder, own = fixture(name, tmp_path / "in"), tmp_path / "own"
    said = FORGET
    if name == "table":
        said = f'dump = "table"\n{FORGET}'
        (folder / "zz.csv").write_text("id,image\n17,a.jpg\n")
    else:
        # What is whole beside it: the dump is one still.
        write_dump(folder / "zz.jsonl", [Tweet(FIRST)])
    bring(folder, own, said)
    before, told = posts(own), files_of(own)
    assert len(told) > 1
    for file in sorted(told - {"zz.jsonl", "zz.csv"})[:3]:
        path = folder / file.partition("!/")[0]
        data = path.read_bytes()
        for damage, damaged in DAMAGES.items():
            if damage == "its end is NUL" and name in ENDS_IN_NUL:
                continue
            path.write_bytes(damaged(data))
            bring(folder, own, said)
            assert before - posts(own) == set(), f"{file}: {damage}"
            path.write_bytes(data)
    bring(folder, own, said)
    assert posts(own) >= before
    path.unlink()
    bring(folder, own, said)
    assert (before <= posts(own)) == (name in NOT_WHOLE)


def two_files(folder: Path) -> Path:
    """A dump of two files and the dataset that was made of it: the second has a post of its own."""
    (folder / "in").mkdir()
    write_dump(folder / "in/a.jsonl", [Tweet(FIRST)])
    write_dump(folder / "in/b.jsonl", [Tweet(SECOND), Tweet(THIRD)], each=1)
    bring(folder / "in", folder / "own", FORGET)
    return folder / "own"


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 4000, id="NUL", marks=pytest.mark.slow),
        pytest.param(b'{"data": [{"id": "15000', id="cut", marks=pytest.mark.slow),
        pytest.param(b'{"note": "of something else"}\n', id="other", marks=pytest.mark.slow),
        pytest.param(b"[]", id="no object", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_gives_no_post_any_more_is_told_and_forgets_none(
    tmp_path: Path, said: bytes
) -> None:
    own = two_files(tmp_path)
    file = tmp_path / "in/b.jsonl"
    data = file.read_bytes()
    file.write_bytes(said)
    summary = bring(tmp_path / "in", own, FORGET)
    assert summary.posts
    assert (summary.posts["removed"], summary.posts["absent"]) == (0, 2)
    assert summary.posts["gaps"]["withheld-removals"] == 2
    file.write_bytes(data)
    bring(tmp_path / "in", own, FORGET)
    assert {own for _, own in posts(own)} == {FIRST, SECOND, THIRD}


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        {"title": "Too Many Requests", "status": 429},
        {"errors": [{"title": "Service Unavailable"}], "__twarc": {}},
        {"data": None, "__twarc": {}},
        {"data": "x", "__twarc": {}},
        {"data": [17], "__twarc": {}},
        {"data": [{"id": None, "text": "said"}], "__twarc": {}},
    ],
    ids=json.dumps,
)
def test_a_line_that_says_no_posts_id_forgets_none(tmp_path: Path, line: object) -> None:
    own = two_files(tmp_path)
    file = tmp_path / "in/b.jsonl"
    first = file.read_text().splitlines(keepends=True)[0]
    file.write_text(first + json.dumps(line) + "\n")
    summary = bring(tmp_path / "in", own, FORGET)
    assert summary.posts
    assert summary.posts["gaps"]["no-id"] == 1
    assert len(posts(own)) == 3


@pytest.mark.parametrize("line", ["", '{"meta": {"result_count": 0}, "__twarc": {}}\n'])
def test_a_post_whose_line_is_gone_is_forgotten(tmp_path: Path, line: str) -> None:
    own = two_files(tmp_path)
    file = tmp_path / "in/b.jsonl"
    file.write_text(line + file.read_text().splitlines(keepends=True)[0])
    bring(tmp_path / "in", own, FORGET)
    assert {own for _, own in posts(own)} == {FIRST, SECOND}


@pytest.mark.slow
def test_a_post_that_the_platform_refuses_is_forgotten(tmp_path: Path) -> None:
    own = two_files(tmp_path)
    file = tmp_path / "in/b.jsonl"
    refused = {"errors": [{"title": "Not Found Error", "resource_id": THIRD}], "__twarc": {}}
    file.write_text(file.read_text().splitlines(keepends=True)[0] + json.dumps(refused) + "\n")
    bring(tmp_path / "in", own, FORGET)
    assert {own for _, own in posts(own)} == {FIRST, SECOND}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_nul_bytes_in_the_place_of_rows_forget_none(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    told = [f"15000000000000{number:05}" for number in range(100)]
    line = {"jsonl": '{{"id": "{}", "image": "a.jpg"}}\n', "csv": "{},a.jpg\n"}[form]
    data = ("id,image\n" if form == "csv" else "") + "".join(map(line.format, told))
    (folder / f"posts.{form}").write_text(data)
    said = f'dump = "table"\n{FORGET}'
    bring(folder, tmp_path / "own", said)
    assert len(posts(tmp_path / "own")) == 100
    # From within a row to the same place of a later one, so that what is left looks whole.
    begins = data.index(told[40]) + 3
    ends = data.index(told[60]) + 3
    hole = data[:begins] + "\0" * (ends - begins) + data[ends:]
    (folder / f"posts.{form}").write_text(hole)
    summary = bring(folder, tmp_path / "own", said)
    assert summary.posts
    assert (summary.posts["absent"], summary.posts["gaps"]["broken-line"]) == (20, 1)
    assert len(posts(tmp_path / "own")) == 100


def test_a_table_that_is_cut_inside_its_last_field_forgets_none(tmp_path: Path) -> None:
    file, own = tmp_path / "in/posts.csv", tmp_path / "own"
    file.parent.mkdir()
    lines = [f"{own},x,this is what {own} said\n" for own in (FIRST, SECOND, THIRD)]
    file.write_text("id,platform,text\n" + "".join(lines))
    said = f'dump = "table"\n{FORGET}'
    bring(tmp_path / "in", own, said)
    file.write_text("id,platform,text\n" + lines[0] + lines[1][:-6])
    summary = bring(tmp_path / "in", own, said)
    assert summary.posts
    assert (summary.posts["removed"], summary.posts["absent"]) == (0, 1)
    assert summary.posts["gaps"]["withheld-removals"] == 1
    found = rows(own, "post_gaps", "kind", "ref", "line", "count")
    assert [gap for gap in found if gap[0] == "cut-line"] == [("cut-line", "posts.csv", 3, 1)]
    # The row that is cut is read.
    assert len(posts(own)) == 3
    assert rows(own, "posts", "text")[1] == (f"this is what {SECOND}",)
    file.write_text("id,platform,text\n" + lines[0] + lines[1])
    bring(tmp_path / "in", own, said)
    assert {own for _, own in posts(own)} == {FIRST, SECOND}


@pytest.mark.slow
def test_a_table_of_4cat_whose_ids_a_spreadsheet_rounded_forgets_none(tmp_path: Path) -> None:
    table, own = tmp_path / "in/twitter-search-1.csv", tmp_path / "own"
    table.parent.mkdir()
    header = "id,thread_id,timestamp,author,body\n"
    right = "".join(f"{n},{n},2024-03-04 05:06:07,ada,said\n" for n in (FIRST, SECOND, THIRD))
    table.write_text(header + right)
    bring(table.parent, own, FORGET)
    table.write_text(header + right.replace(FIRST, "1.5E+18").replace(SECOND, "1.5E+18"))
    summary = bring(table.parent, own, FORGET)
    assert summary.posts
    assert (summary.posts["absent"], summary.posts["gaps"]["rounded-id"]) == (2, 2)
    table.write_text(header + right)
    bring(table.parent, own, FORGET)
    assert posts(own) == {("x", one) for one in (FIRST, SECOND, THIRD)}


@pytest.mark.slow
@pytest.mark.parametrize("said", [b"", b"\0" * 400, b'{"data": [{"id'])
def test_a_later_file_of_another_name_that_is_damaged_forgets_none(
    tmp_path: Path, said: bytes
) -> None:
    own = two_files(tmp_path)
    (tmp_path / "in/b.jsonl").unlink()
    (tmp_path / "in/b-later.jsonl").write_bytes(said)
    summary = bring(tmp_path / "in", own, FORGET)
    assert summary.posts
    assert summary.posts["gaps"]["broken-file"] == 1
    assert len(posts(own)) == 3
    # What is another file, and whole, keeps none.
    (tmp_path / "in/b-later.jsonl").write_bytes(b'{"note": "of something else"}\n')
    bring(tmp_path / "in", own, FORGET)
    assert {own for _, own in posts(own)} == {FIRST}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_an_archive_that_is_cut_forgets_none(tmp_path: Path, form: str, left: float) -> None:
    folder, own = tmp_path / "in", tmp_path / "own"
    for name, own_id in (("a", FIRST), ("b", SECOND)):
        (tmp_path / name).mkdir()
        write_dump(tmp_path / name / f"{name}.jsonl", [Tweet(own_id)])
        packed = shutil.make_archive(str(tmp_path / "in" / name), form, tmp_path / name)
    bring(folder, own, FORGET)
    file = folder / packed.rpartition("/")[2]
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * left) if left < 1 else int(left)])
    bring(folder, own, FORGET)
    assert {own for _, own in posts(own)} == {FIRST, SECOND}
    file.unlink()
    bring(folder, own, FORGET)
    assert {own for _, own in posts(own)} == {FIRST}


@pytest.mark.slow
def test_a_file_whose_other_posts_were_forgotten_loses_its_last_one(
    tmp_path: Path, imgbatch: Callable[..., object]
) -> None:
    own = two_files(tmp_path)
    imgbatch("forget", own, "--post-id", SECOND, "--yes")
    write_dump(tmp_path / "in/b.jsonl", [Tweet(SECOND)])
    bring(tmp_path / "in", own, FORGET)
    assert {own for _, own in posts(own)} == {FIRST}


@pytest.mark.slow
def test_a_file_that_is_packed_anew_is_the_same(tmp_path: Path) -> None:
    own = two_files(tmp_path)
    file = tmp_path / "in/b.jsonl"
    (tmp_path / "in/b.jsonl.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    summary = bring(tmp_path / "in", own, FORGET)
    assert summary.posts
    assert (summary.posts["removed"], summary.posts["absent"]) == (0, 0)
