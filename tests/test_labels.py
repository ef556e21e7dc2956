"""A CSV of labels is read as RFC 4180 has it, or refused by the line that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import LabelsError
from imgbatch.fitting.labels import Labels, read_labels

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "filepath,label\n"
MANY = "".join(f"{number}.png,{number % 2}\n" for number in range(5))


def read(folder: Path, text: str) -> Labels:
    path = folder / "l.csv"
    path.write_bytes(text.encode())
    return read_labels(str(path))


def told(labels: Labels) -> dict[str, str]:
    return {one.name: one.label for one in labels.named.values()}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # The other lines were a part of one field, and the fit went on without them.
        (HEADER + '0.png,"0\n' + MANY, 2),
        (HEADER + '0.png,0\n1.png,"1\n2.png,0\n3.png,1', 3),
        (HEADER + '"0.png,0\n' + MANY, 2),
        (HEADER + MANY + '9.png,"0', 7),
        ('"filepath,label\n' + MANY, 1),
        # Of two stray quotes each is at an end of a field: what lies between looks like one.
        (HEADER + '0.png,"0\n1.png,1\n2.png,0"\n3.png,1\n', 2),
        (HEADER + '0.png,0\n"1.png,1\n2.png",0\n3.png,1\n', 3),
        # A quote in a field that has none around it was a part of the label.
        (HEADER + '0.png,0\n1.png,1"\n', 3),
        (HEADER + '0.png,0\n1.png, "1"\n', 3),
        (HEADER + '0.png,0\n1.png,"1" \n', 3),
        (HEADER + '0.png,0\n1.png,"1"2\n', 3),
        # Too many, and too few: a comma in a name, a file that was cut.
        (HEADER + "0.png,0\na,b.png,1\n", 3),
        (HEADER + "0.png,0,\n1.png,1\n", 2),
        (HEADER + "0.png,0\n1.png,1\n2.pn", 4),
        (HEADER + "\n\r\n0.png,0\n\n1.png\n", 6),
        # Lines that a field holds count too.
        ('filepath,note,label\n0.png,"a\nb\r\nc",0\n1.png,1\n', 5),
    ],
)
def test_a_line_that_is_no_line_of_the_table_is_refused_by_its_number(
    tmp_path: Path, text: str, line: int
) -> None:
    with pytest.raises(LabelsError, match=rf"l\.csv, line {line}: ") as caught:
        read(tmp_path, text)
    assert caught.value.exit_code == 26
    assert caught.value.remedy != LabelsError.remedy


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('filepath,label\n"a, b.png","x, y"\n', {"a, b.png": "x, y"}),
        ('filepath,label\n"say ""a"".png","""b"""\n', {'say "a".png': '"b"'}),
        ('\ufefffilepath,label\r\na.png,x\r\n"b.png","y"\r\n', {"a.png": "x", "b.png": "y"}),
        ('"filepath","label"\na.png,x\n\n\n   \n', {"a.png": "x"}),
        ("filepath,label\ra.png,x\rb.png,y", {"a.png": "x", "b.png": "y"}),
        ('filepath,label\na.png,"two\nwords"\n', {"a.png": "two\nwords"}),
        (
            'filepath,text,label\na.png,"He said:\r\none, two, ""three""",x\nb.png,,y\n',
            {"a.png": "x", "b.png": "y"},
        ),
        ("id,filepath,,label,\n7,a.png,,x,\n,,,,\n", {"a.png": "x"}),
    ],
)
def test_what_the_rfc_allows_is_read(tmp_path: Path, text: str, named: dict[str, str]) -> None:
    assert told(read(tmp_path, text)) == named


@pytest.mark.parametrize("header", ["filepath,label,label", "filepath,filepath,label"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(LabelsError, match="twice"):
        read(tmp_path, f"{header}\na.png,x,y\n")


def test_another_separator_is_told_what_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="has filepath;label") as caught:
        read(tmp_path, "filepath;label\na.png;x\n")
    assert "comma" in caught.value.remedy


def test_the_line_of_a_second_label_is_that_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"line 6: a\.png is 'y', and 'x' before"):
        read(tmp_path, 'filepath,label,note\n\na.png,x,"1\n2"\n\na.png,y,\n')


def test_a_field_as_long_as_a_book_is_read(tmp_path: Path) -> None:
    text = "word, " * 100_000
    assert told(read(tmp_path, f'filepath,text,label\na.png,"{text}",x\n')) == {"a.png": "x"}
