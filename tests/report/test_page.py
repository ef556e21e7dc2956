"""The page of a real run: what it says equals the tables, and no name of the corpus is markup."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from imgbatch.tables import REGION_KEYS, columns_of
from tests.report.conftest import (
    HOSTILE,
    HOSTILE_MAKE,
    HOSTILE_MODEL,
    SKIMAGE,
    Page,
    read_page,
    run_over,
)

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.dataset import Dataset

# URLs may stand in text; only these attributes make a browser fetch or run something.
LOADING = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "formaction"}


def test_the_equation_is_that_of_the_table_sources(dataset: Dataset, page: Page) -> None:
    states = Counter(dataset.read("sources")["status"].to_pylist())
    assert states["ok"] > 10
    assert states["failed"] == 2
    total = sum(states.values())
    assert (
        f"{total} sources = {states['ok']} ok + {states['failed']} failed + "
        f"{states['filtered']} filtered it adds up"
    ) in page.text


def test_every_error_class_is_there_with_an_example_and_its_message(
    dataset: Dataset, page: Page
) -> None:
    rows = dataset.read("sources", where=pc.field("status") == "failed").to_pylist()
    assert {row["error_class"] for row in rows} == {"decode.truncated", "decode.empty"}
    for row in rows:
        assert row["error_class"] in page.text
        assert " ".join(row["message"].split()) in page.text
    assert "cut.jpg" in page.text


def test_each_ok_source_is_on_the_contact_sheet_while_they_are_few(
    dataset: Dataset, page: Page
) -> None:
    ok = dataset.read("sources", where=pc.field("status") == "ok").num_rows
    sheet = page.html.partition("Contact sheet")[2].partition('<div class="strips">')[0]
    assert sheet.count('<img src="data:image/jpeg;base64,') == ok


def test_pictures_inside_a_compressed_tar_are_shown(page: Page) -> None:
    assert any("more.tar.gz!/in/flower.jpg" in alt for alt in page.attributes("img", "alt"))


def test_strips_show_the_ends_of_a_scale_with_its_values(dataset: Dataset, page: Page) -> None:
    strip = page.html.partition("Brightest <small>")[2].partition("</ul>")[0]
    values = [float(v) for v in re.findall(r'class="value">([\d.]+)<', strip)]
    brightest = pc.max(dataset.read("quality")["brightness"]).as_py()
    assert values == sorted(values, reverse=True)
    assert abs(values[0] - brightest) < 0.5


def test_every_numeric_column_of_every_analyzer_has_a_figure(dataset: Dataset, page: Page) -> None:
    keys = {column.name for column in REGION_KEYS}
    for table in set(dataset.tables()) - {"sources"}:
        section = page.html.partition(f"<h3>{table} <small>")[2].partition("<h3>")[0]
        named = re.findall(r"<figcaption><b>([^<]*)</b>", section)
        rows = dataset.read(table, where=pc.field("status") == "ok")
        numeric = [field.name for field in rows.schema if is_numeric(field.type)]
        assert len(numeric) > 3
        for column in set(numeric) - keys:
            if rows[column].null_count < rows.num_rows:
                assert column in named
            else:
                assert f"<code>{column}</code> (no values)" in section


def is_numeric(kind: pa.DataType) -> bool:
    return any((pa.types.is_integer(kind), pa.types.is_floating(kind), pa.types.is_boolean(kind)))


def test_bars_of_a_histogram_count_all_values(dataset: Dataset, page: Page) -> None:
    figure = page.html.partition("<b>entropy</b>")[2].partition("</figure>")[0]
    counts = [int(n) for n in re.findall(r"<title>[^<]*: (\d+)</title>", figure)]
    assert sum(counts) == dataset.read("quality").num_rows


def test_the_bars_of_the_formats_are_the_counts_of_the_table_sources(
    dataset: Dataset, page: Page
) -> None:
    ok = dataset.read("sources", where=pc.field("status") == "ok")
    formats = Counter(ok["format"].to_pylist())
    assert len(formats) > 1
    figure = page.html.partition("<b>Formats</b>")[2].partition("</figure>")[0]
    bars = re.findall(r'"name">(\w+)</span>.*?width:([\d.]+)%.*?"count">(\d+)<', figure)
    longest = max(formats.values())
    ranked = sorted(formats.items(), key=lambda item: (-item[1], item[0]))
    assert bars == [(name, f"{100 * n / longest:.2f}", str(n)) for name, n in ranked]


@pytest.mark.parametrize("figure", ["Width and height", "Picture size", "File size"])
def test_figures_of_sizes_count_every_ok_source(dataset: Dataset, page: Page, figure: str) -> None:
    ok = dataset.read("sources", where=pc.field("status") == "ok").num_rows
    drawn = page.html.partition(f"<b>{figure}</b>")[2].partition("</figure>")[0]
    assert sum(int(n) for n in re.findall(r"<title>[^<]*: (\d+)</title>", drawn)) == ok


def test_the_time_line_counts_days_of_the_exif_dates(page: Page) -> None:
    figure = page.html.partition('id="timeline"')[2].partition("</figure>")[0]
    bars = re.findall(r"<title>(\d{4}-\d\d-\d\d): (\d+)</title>", figure)
    assert bars == [("2019-01-15", "2"), ("2019-03-15", "1")]


def test_copies_are_counted_by_their_bytes(page: Page) -> None:
    # All hostile and unprintable names hold the same photograph, and two of the dated ones.
    copies = page.html.partition('id="copies"')[2]
    text = Page(copies).text
    assert "2 sets of sources have the same bytes" in text
    assert f"would drop {len(HOSTILE) + 2 - 1 + 1} sources" in text


def test_no_position_is_told(page: Page) -> None:
    assert "has_gps" in page.text
    # Long enough that no count, size or time of this run reads the same.
    for digits in ("57.734", "43.84", "12.951"):
        assert digits not in page.text


def test_hostile_names_are_text_and_never_markup(page: Page) -> None:
    shown = page.text + " ".join(page.attributes("img", "alt"))
    for name in HOSTILE:
        assert name in shown
    tags = Counter(tag for tag, _ in page.tags)
    assert tags["script"] == 0
    assert tags["i"] == 0
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on")}


@pytest.mark.parametrize(
    ("column", "text"), [("camera_make", HOSTILE_MAKE), ("camera_model", HOSTILE_MODEL)]
)
def test_hostile_tags_of_a_camera_are_text_and_never_markup(
    page: Page, column: str, text: str
) -> None:
    figure = page.html.partition(f"<figcaption><b>{column}</b>")[2].partition("</figure>")[0]
    assert text not in page.html
    assert f'"name">{html.escape(text).replace("&#x27;", "&#39;")}</span>' in figure


def test_nothing_is_loaded_and_the_policy_forbids_it(page: Page) -> None:
    loading = [v or "" for _, a in page.tags for n, v in a.items() if n in LOADING]
    assert loading
    assert all(v.startswith(("data:image/jpeg;base64,", "#")) for v in loading)
    assert "@import" not in page.html
    assert "url(" not in page.html
    policies = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; style-src 'unsafe-inline'; img-src")


def test_unprintable_characters_do_not_reach_the_page(page: Page) -> None:
    assert not [c for c in page.html if not c.isprintable() and c != "\n"]


def test_links_within_the_page_lead_somewhere(page: Page) -> None:
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    links = page.attributes("a", "href")
    assert len(links) > 5
    assert {link.removeprefix("#") for link in links} <= ids


def test_every_picture_and_figure_has_a_text_alternative(page: Page) -> None:
    assert all(page.attributes("img", "alt"))
    assert len(page.attributes("img", "alt")) == sum(tag == "img" for tag, _ in page.tags)
    figures = [attrs for _, attrs in page.tags if attrs.get("role") == "img"]
    assert figures
    assert all(attrs.get("aria-label") for attrs in figures)


def test_without_thumbnails_the_page_holds_no_picture_and_says_so(dataset: Dataset) -> None:
    page = read_page(dataset, thumbnails=False)
    assert "img" not in {tag for tag, _ in page.tags}
    assert "no pictures of the corpus: they were left out" in page.text


def test_the_same_dataset_gives_the_same_page_but_for_its_date(
    dataset: Dataset, page: Page
) -> None:
    written = r"Written \d{4}-\d\d-\d\d \d\d:\d\d UTC"
    again = read_page(dataset).html
    assert re.sub(written, "", again) == re.sub(written, "", page.html)


def test_a_source_that_went_away_is_a_tile_that_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "gone.png").write_bytes((SKIMAGE / "coffee.png").read_bytes())
    dataset = run_over(folder, tmp_path / "out", "[analyzers.image]")
    (folder / "gone.png").unlink()
    page = read_page(dataset)
    assert "img" not in {tag for tag, _ in page.tags}
    assert "gone.png fetch.missing" in page.text


def test_the_codebook_says_all_that_is_known_of_every_column(dataset: Dataset, page: Page) -> None:
    text = dataset.store.get("report/codebook.csv").decode("utf-8")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    known = [
        (t, c.name, str(c.type), c.unit, c.range, c.missing, c.meaning, c.mark)
        for t in dataset.tables()
        for c in columns_of(t)
    ]
    assert ("quality", "brightness") in [column[:2] for column in known]
    # What a spreadsheet would run begins with a quotation mark.
    assert [tuple(c.removeprefix("'") for c in row) for row in rows[1:]] == known
    section = page.html.partition('id="codebook"')[2]
    told = [
        [Page(cell).text for cell in (name, *cells.split("</td>")[:-1])]
        for name, cells in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', section)
    ]
    # The page goes by tables, and marks are for the files beside it.
    by_table = sorted(known, key=lambda column: column[0])
    assert told == [[" ".join(cell.split()) for cell in row] for _, *row, _ in by_table]


def test_provenance_names_fingerprints_versions_and_the_recipe(
    dataset: Dataset, page: Page
) -> None:
    (record,) = dataset.runs()
    for fingerprint in record["tables"].values():
        assert fingerprint in page.text
    for name, version in record["versions"].items():
        assert f"{name} {version}" in page.text
    assert "[analyzers.quality]" in page.text
    assert record["run"] in page.text


def test_the_bottleneck_is_the_stage_with_most_seconds(dataset: Dataset, page: Page) -> None:
    (record,) = dataset.runs()
    named = re.search(r"The bottleneck is (\S+) :", page.text)
    assert named is not None
    # Of two that tie to a millisecond, as the record rounds, the page may name either.
    assert record["stages"][named[1]] == max(record["stages"].values())
