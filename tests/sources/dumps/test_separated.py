"""Tables as CSV and TSV: a last line without an end may be where the file was cut."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from imgbatch.sources.dumps import Dump, Gap, separated

if TYPE_CHECKING:
    from pathlib import Path

Told = tuple[list[list[str]], list[Gap]]


def read(folder: Path, data: bytes, name: str = "a.csv") -> Told:
    """Return the rows of a table and its gaps."""
    (folder / name).write_bytes(data)
    found = list(separated.rows(Dump.at(str(folder)), name))
    rows = [one[1] for one in found if not isinstance(one, Gap)]
    return rows, [one for one in found if isinstance(one, Gap)]


@pytest.mark.parametrize(
    ("text", "last", "line"),
    [
        ("id,body\n1,one\n2,tw", ["2", "tw"], 3),
        ("id,body\n1,one\n2,", ["2", ""], 3),
        ('id,body\n1,one\n2,"two"', ["2", "two"], 3),
        ('id,body\n1,one\n2,"two\n\nlines"', ["2", "two\n\nlines"], 5),
        ("id,body\r\n1,one\r\n2,tw", ["2", "tw"], 3),
        ("id,body\r1,one\r2,tw", ["2", "tw"], 3),
        # Half of an end is none, where others are whole.
        ("id,body\r\n1,one\r\n2,two\r", ["2", "two"], 3),
        ("id,body\n1\n2,tw", ["2", "tw"], 3),
        ("id\n1", ["1"], 2),
        ("id,bo", None, 1),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 1000])
def test_a_last_line_without_an_end_is_read_and_may_be_cut(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    last: list[str] | None,
    line: int,
    block: int,
) -> None:
    monkeypatch.setattr(separated, "BLOCK", block)
    rows, gaps = read(tmp_path, text.encode())
    assert (rows[-1] if rows else None) == last
    (gap,) = (gap for gap in gaps if gap.kind == "cut-line")
    assert (gap.line, gap.count) == (line, 1)
    assert "end that line" in gap.message


@pytest.mark.parametrize(
    "data",
    [
        b"id,body\n1,one\n",
        b"id,body\r\n1,one\r\n",
        b"id,body\r1,one\r",
        b'id,body\n1,"one\n"\n',
        b"id,body\n1,one\n\n\n",
        b"id,body\n1,one\n\0\0",
        b"id,body\n",
        b"\xef\xbb\xbf",
        b"",
    ],
)
def test_a_last_line_that_ends_is_not_cut(tmp_path: Path, data: bytes) -> None:
    _, gaps = read(tmp_path, data)
    assert [gap.kind for gap in gaps if gap.kind != "bad-bytes"] == []


@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
def test_a_packed_table_is_cut_where_what_it_holds_is(tmp_path: Path, coding: str) -> None:
    for text, kinds in (("id,body\n1,one\n2,tw", ["cut-line"]), ("id,body\n1,one\n", [])):
        data = gzip.compress(text.encode(coding), mtime=0)
        assert [gap.kind for gap in read(tmp_path, data, "a.csv.gz")[1]] == kinds


def test_a_last_line_that_is_no_row_is_one_gap(tmp_path: Path) -> None:
    for text in ("id,body\n1,one\n2", 'id,body\n1,one\n2,"tw'):
        assert [gap.kind for gap in read(tmp_path, text.encode())[1]] == ["cut-line"]
