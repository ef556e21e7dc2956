"""Numbers and foreign text as they are shown, and a codebook that no spreadsheet runs."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgbatch.report.codebook import HEADER, Entry, to_csv, to_markdown
from imgbatch.report.page import near
from imgbatch.report.provenance import to_toml
from imgbatch.report.words import data_size, duration, number, share, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1234567, "1,234,567"), (1234.5, "1,234"), (12345.6, "12,346"), (0.5, "0.5"),
        (0.123456, "0.123"), (3.14159, "3.14"), (99.96, "100"), (-0.25, "-0.25"), (1e-7, "1e-07"),
        (0.0001, "0.0001"), (2.0, "2"), (float("inf"), "inf"), (None, "-"),
    ],
)  # fmt: skip
def test_numbers_have_separators_and_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 10, "0%"), (10, 10, "100%"), (1, 3, "33.3%"), (1, 10**6, "< 0.1%"),
     (10**6 - 1, 10**6, "> 99.9%"), (0, 0, "-"), (1, 2, "50%")],
)  # fmt: skip
def test_a_share_is_0_or_100_only_when_it_is(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


def test_sizes_and_durations_read_as_people_say_them() -> None:
    assert [data_size(n) for n in (0, 999, 1000, 123_456, 2_500_000_000)] == [
        "0 bytes", "999 bytes", "1 kB", "123 kB", "2.5 GB",
    ]  # fmt: skip
    assert [duration(s) for s in (0, 0.0042, 2.5, 61, 7325)] == [
        "0 s", "5 ms", "2.5 s", "1 min 1 s", "2 h 2 min",
    ]  # fmt: skip


def test_what_could_fool_a_reader_is_spelled_out() -> None:
    assert shown("a\x1b[31m\tb") == "a\\x1b[31m\\x09b"
    assert shown("exe.\u202egpj") == "exe.\\u202egpj"
    assert shown("half \ud800") == "half \\ud800"
    assert shown("nul\x00") == "nul\\x00"


def test_a_long_name_keeps_its_ends() -> None:
    text = shown("a" * 10_000 + ".jpg", 20)
    assert len(text) == 20
    assert text.startswith("aaa")
    assert text.endswith(".jpg")


@given(st.text(max_size=400))
def test_shown_text_is_printable_encodable_and_short(text: str) -> None:
    assert shown(text, 50).isprintable()
    assert len(shown(text, 50).encode("utf-8")) <= 200


def test_an_address_is_shown_below_its_input() -> None:
    assert near("file:///in/a/b.jpg", ("file:///in",)) == "a/b.jpg"
    assert near("file:///input/b.jpg", ("file:///in",)) == "file:///input/b.jpg"


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"])
def test_no_cell_of_the_codebook_acts_as_a_formula(cell: str) -> None:
    entry = Entry("t", cell, "double", "", "-180 to 180", "never", 'say "a", b')
    text = to_csv([entry]).decode()
    header, row = csv.reader(io.StringIO(text, newline=""))
    assert tuple(header) == HEADER
    assert row == ["t", f"'{cell}", "double", "", "-180 to 180", "never", 'say "a", b', ""]


def test_markdown_shows_cells_as_they_are() -> None:
    entry = Entry("t", "a|b", "list<double>", "", "", "never", "one\ntwo [x](javascript:1)")
    text = to_markdown([entry], title="<script>").decode()
    assert text.startswith("# Codebook of \\<script\\>\n")
    assert "| a\\|b | list\\<double\\> |" in text
    assert "one\\\\x0atwo \\[x\\](javascript:1)" in text


def test_a_recorded_recipe_reads_as_the_toml_it_was() -> None:
    recorded = {
        "media": {"min_side": 256, "exact": False, "video": {"sample": "fps", "fps": 1.0}},
        "analyzers": {"image": {}, "quality": {"grey_levels": 3}},
    }
    assert to_toml(recorded).splitlines() == [
        "[media]", "min_side = 256", "exact = false", "[media.video]", 'sample = "fps"',
        "fps = 1.0", "", "[analyzers.image]", "", "[analyzers.quality]", "grey_levels = 3",
    ]  # fmt: skip
