"""Region tables, with an analyzer of the tests' own: what is promised of tables holds for them."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from imgbatch import crew
from imgbatch.dataset import Dataset, tombstones
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.export import export
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.parts import put_table, read_part
from imgbatch.dataset.verify import verify
from imgbatch.observe.compare import compare
from imgbatch.observe.explain import explain
from imgbatch.planned import Plan, plan
from imgbatch.records import source_id_of
from imgbatch.report import write_report
from imgbatch.report.codebook import codebook
from imgbatch.retry import Again, retry
from imgbatch.settings import Limits
from imgbatch.summary import Request, Summary
from tests.corpus import Silent, run_inline
from tests.equal import assert_equal
from tests.media.clips import Encoding, encode
from tests.squares import BREAKS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAME, REGIONS = "tests.squares", "tests.squares_regions"
RECIPE = f'[analyzers.quality]\n[analyzers."{NAME}"]\n'
EVERY_FRAME = f'[media.video]\nsample = "every_n"\nevery_n = 1\n[analyzers."{NAME}"]\n'
LIMITS = Limits(shard_sources=4, threads=1)


def drawn(squares: int, *, width: int = 100, value: int = 255, top: int = 10) -> NDArray[np.uint8]:
    """Return a black picture with so many squares in a row."""
    pixels = np.zeros((40, width, 3), np.uint8)
    for i in range(squares):
        pixels[top : top + 6, 4 + 12 * i : 10 + 12 * i] = value
    return pixels


def draw(file: Path, squares: int, **other: int) -> None:
    """Write such a picture."""
    file.write_bytes(cv2.imencode(".png", drawn(squares, **other))[1].tobytes())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Pictures with 0, 1, ..., 7 squares; those with 5 twice; one that breaks, one that is none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(8):
        draw(folder / f"{number}.png", number)
    shutil.copy(folder / "5.png", folder / "5 again.png")
    draw(folder / "broken.png", 3, width=BREAKS)
    (folder / "none.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").touch()
    return folder


def run(corpus: Path, recipe: str = RECIPE) -> Summary:
    """Run, check that the dataset is whole, and return what the run did."""
    summary = run_inline(corpus, corpus.parent / "own", recipe=recipe, limits=LIMITS)
    assert verify(opened(corpus)).problems == []
    return summary


def run_again(corpus: Path, recipe: str = RECIPE) -> Summary:
    """Run over what was there before; the dataset must then equal a fresh one."""
    summary = run(corpus, recipe)
    fresh = corpus.parent / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    run_inline(corpus, fresh, recipe=recipe, limits=LIMITS)
    assert_equal(corpus.parent / "own", fresh)
    return summary


def opened(corpus: Path) -> Dataset:
    return Dataset.open(str(corpus.parent / "own"))


def rows(corpus: Path, name: str) -> list[dict[str, Any]]:
    keys = [("source_id", "ascending")]
    return list(opened(corpus).read(name).sort_by(keys).to_pylist())


def by_name(corpus: Path) -> dict[str, str]:
    """Return the ids of all sources, by file name."""
    listed = opened(corpus).read("manifest", columns=["address", "source_id"]).to_pylist()
    return {row["address"].rpartition("/")[2]: row["source_id"] for row in listed}


def counts(corpus: Path) -> dict[str, int]:
    """Return how many region rows each source has, by file name; those that have any."""
    own = Counter(row["source_id"] for row in rows(corpus, REGIONS))
    return {name: own[i] for name, i in by_name(corpus).items() if own[i]}


def test_each_region_is_a_row_with_the_keys_of_its_picture(corpus: Path) -> None:
    run(corpus)
    drawn = {f"{n}.png": n for n in range(1, 8)}
    # the same bytes twice have rows twice, each with ids of its own; what broke has none
    assert counts(corpus) == drawn | {"5 again.png": 5}
    by_id = {name: i for i, name in by_name(corpus).items()}
    main_rows = {row["picture_id"]: row for row in rows(corpus, NAME)}
    for row in rows(corpus, REGIONS):
        assert row["picture_id"] == f"{row['source_id']}-0"
        assert row["region_id"] == f"{row['picture_id']}-{row['region']}"
        assert (row["x"], row["y"]) == (4 + 12 * row["region"], 10), by_id
        own = main_rows[row["picture_id"]]
        assert {key: own[key] for key in ("version", "frame", "time")} == {
            key: row[key] for key in ("version", "frame", "time")
        }
    assert all(r["n_regions"] == r["n_squares"] for r in main_rows.values() if r["status"] == "ok")
    broken = main_rows[by_name(corpus)["broken.png"] + "-0"]
    assert (broken["status"], broken["n_regions"]) == ("failed", None)


def test_regions_of_a_video_are_in_the_order_of_frames_and_of_their_numbers(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    squares = [3, 0, 12, *[1] * 9, 11]
    frames = [drawn(count, width=160) for count in squares]
    (tmp_path / "in/film.mkv").write_bytes(encode(frames, Encoding("matroska", "ffv1")))
    run(tmp_path / "in", EVERY_FRAME)
    dataset = opened(tmp_path / "in")
    assert dataset.read(NAME)["n_regions"].to_pylist() == squares
    numbered = [(frame, i) for frame, count in enumerate(squares) for i in range(count)]
    keys = dataset.read(REGIONS).select(["frame", "region"]).to_pylist()
    assert [(row["frame"], row["region"]) for row in keys] == numbered
    export(dataset, str(tmp_path / "out"), form="csv")
    lines = (tmp_path / f"out/{REGIONS}.csv").read_text().splitlines()[1:]
    ids = [line.split(",")[5].strip('"') for line in lines]
    assert [tuple(map(int, one.split("-")[1:])) for one in ids] == numbered


def test_both_tables_have_one_fingerprint_and_a_second_run_does_nothing(corpus: Path) -> None:
    run(corpus)
    tables = opened(corpus).runs()[-1]["tables"]
    assert tables[NAME] == tables[REGIONS] != tables["quality"]
    files = set((corpus.parent / "own").rglob("*"))
    assert run(corpus).shards == 0
    assert set((corpus.parent / "own").rglob("*")) == files


def test_shards_without_any_region_have_empty_parts(corpus: Path) -> None:
    for file in corpus.glob("[1-7]*"):
        file.unlink()
    run(corpus)
    parts = opened(corpus).table(f"tables/{REGIONS}").parts().values()
    assert [part.rows for part in parts] == [0]


@pytest.mark.slow
def test_a_changed_setting_computes_both_tables_and_no_other(corpus: Path) -> None:
    draw(corpus / "grey.png", 4, value=100)
    run(corpus)
    quality = set(opened(corpus).table("tables/quality").parts())
    assert run_again(corpus, RECIPE + "brighter = 50\n").shards == 4
    assert counts(corpus)["grey.png"] == 4
    assert set(opened(corpus).table("tables/quality").parts()) == quality
    back = run_again(corpus)
    assert (back.shards, back.adopted) == (0, 8)
    assert "grey.png" not in counts(corpus)


def test_columns_may_depend_on_settings_and_regions_may_be_refused(corpus: Path) -> None:
    run(corpus)
    run(corpus, RECIPE + "with_area = true\n")
    assert {row["area"] for row in rows(corpus, REGIONS)} == {36}
    said = {(e.table, e.column): e for e in codebook(opened(corpus))}
    entry = said[REGIONS, "area"]
    assert (entry.meaning, entry.range, entry.missing) == ("bright pixels", ">= 1", "no picture")
    run(corpus, RECIPE + "boxes = false\n")
    assert rows(corpus, REGIONS) == []
    n_regions = [r["n_regions"] for r in rows(corpus, NAME) if r["status"] == "ok"]
    assert set(n_regions) == {0}
    assert max(r["n_squares"] or 0 for r in rows(corpus, NAME)) == 7


def test_a_change_costs_its_share_and_carries_over_the_regions_of_the_others(corpus: Path) -> None:
    run(corpus)
    draw(corpus / "2.png", 6)
    (corpus / "7.png").unlink()
    (corpus / "6.png").write_bytes(b"no picture any more")
    assert run_again(corpus).sources == 2
    found = counts(corpus)
    assert (found["2.png"], found["5.png"]) == (6, 5)
    assert not {"6.png", "7.png"} & set(found)


def test_an_analyzer_with_regions_that_comes_later_computes_its_two_tables(corpus: Path) -> None:
    run(corpus, "[analyzers.quality]\n")
    run_again(corpus)
    assert counts(corpus)["5 again.png"] == 5


def without(corpus: Path, table: str, *, delete: bool) -> int:
    """Take the parts of one table out of the snapshot; return how many."""
    dataset = opened(corpus)
    own = dataset.table(f"tables/{table}")
    lost = list(own.parts().values())
    own.commit([], lost, fence=take_number(dataset, "x"), run="x")
    for part in lost if delete else ():
        dataset.store.delete(f"{part.table}/{part.path}")
    return len(lost)


@pytest.mark.parametrize("table", [NAME, REGIONS])
def test_one_of_the_two_that_was_not_committed_is_taken_as_it_lies(
    corpus: Path, table: str
) -> None:
    run(corpus)
    lost = without(corpus, table, delete=False)
    again = run_again(corpus)
    assert (again.adopted, again.shards) == (lost, 0)


@pytest.mark.slow
@pytest.mark.parametrize("table", [NAME, REGIONS])
def test_one_of_the_two_that_is_lost_is_computed_together_with_the_other(
    corpus: Path, table: str
) -> None:
    run(corpus)
    lost = without(corpus, table, delete=True)
    again = run_again(corpus)
    assert (again.adopted, again.shards) == (0, lost)


@pytest.mark.slow
@pytest.mark.parametrize("table", [NAME, REGIONS])
def test_a_change_of_which_one_table_was_not_committed_is_done_for_both(
    corpus: Path, table: str
) -> None:
    run(corpus)
    former = set(opened(corpus).table(f"tables/{table}").parts())
    draw(corpus / "2.png", 6)
    run(corpus)
    dataset = opened(corpus)
    own = dataset.table(f"tables/{table}")
    new = [part for part in own.parts().values() if part.path not in former]
    gone = [dataset.table(f"tables/{table}").as_of(v) for v in range(own.version)]
    old = {p.shard: p for state in gone for p in state.parts().values()}
    digests = own.digests()
    for part in new:
        was = old[part.shard]
        back = type(was)(was.table, was.path, was.size, was.rows, digests[was.path])
        own.commit([back], [part], fence=take_number(dataset, "x"), run="x")
        dataset.store.delete(f"{part.table}/{part.path}")
    again = run_again(corpus)
    # of four sources in the shard one was touched
    assert (len(new), again.shards, again.sources, again.adopted) == (1, 1, 1, 0)
    assert counts(corpus)["2.png"] == 6


def test_a_new_recipe_of_which_one_table_was_not_committed_is_unfinished_and_not_damaged(
    corpus: Path,
) -> None:
    run(corpus)
    former = list(opened(corpus).table(f"tables/{NAME}").parts().values())
    run(corpus, RECIPE + "brighter = 50\n")
    dataset = opened(corpus)
    own = dataset.table(f"tables/{NAME}")
    digests = own.digests()
    back = [replace(part, sha256=digests[part.path]) for part in former]
    own.commit(back, list(own.parts().values()), fence=take_number(dataset, "x"), run="x")
    found = verify(opened(corpus))
    assert found.damaged == []
    assert {p.partition(": ")[2] for p in found.problems} == {f"unfinished in table {REGIONS}"}
    assert run(corpus, RECIPE + "brighter = 50\n").adopted == len(former)


def replace_rows(corpus: Path, table: str, mask: Any) -> None:
    """Commit the parts of a table with only some of their rows, as a broken program might."""
    dataset = opened(corpus)
    own = dataset.table(f"tables/{table}")
    for part in list(own.parts().values()):
        read, _ = read_part(dataset.store, part)
        told = {k.decode()[9:]: v.decode() for k, v in read.schema.metadata.items()}
        kept = read.filter(mask(read))
        if kept.num_rows < read.num_rows:
            new = put_table(dataset.store, own.name, part.stem, kept, told)
            own.commit([new], [part], fence=take_number(dataset, "x"), run="x")


def test_verify_finds_regions_that_are_missing_and_a_repair_brings_them_back(
    corpus: Path,
) -> None:
    run(corpus)
    replace_rows(corpus, REGIONS, lambda read: pc.not_equal(read["region"], 6))
    found = verify(opened(corpus))
    assert len(found.problems) == 1
    assert f"table {REGIONS} has other regions than table {NAME} counts" in found.problems[0]
    run_inline(corpus, corpus.parent / "own", recipe=RECIPE, limits=LIMITS, repair=True)
    assert counts(corpus)["7.png"] == 7
    assert run(corpus).shards == 0


def test_verify_finds_a_region_that_is_there_twice(corpus: Path) -> None:
    run(corpus)
    dataset = opened(corpus)
    own = dataset.table(f"tables/{REGIONS}")
    part = max(own.parts().values(), key=lambda p: p.rows)
    read, _ = read_part(dataset.store, part)
    told = {k.decode()[9:]: v.decode() for k, v in read.schema.metadata.items()}
    new = put_table(dataset.store, own.name, part.stem, pa.concat_tables([read, read]), told)
    own.commit([new], [part], fence=take_number(dataset, "x"), run="x")
    assert any("has a region twice" in problem for problem in verify(dataset).problems)


def test_a_source_that_fails_in_one_analyzer_is_done_again_by_retry(corpus: Path) -> None:
    run(corpus)
    again = Again(str(corpus.parent / "own"), ("analyze.failed",), "inline")
    assert retry(again, LIMITS, crew.inline, Silent()).sources == 1
    assert verify(opened(corpus)).problems == []
    assert counts(corpus)["5.png"] == 5


def test_plan_tells_what_both_tables_cost_and_what_failed_before(corpus: Path) -> None:
    run(corpus)
    found = planned(corpus, RECIPE + "brighter = 50\n")
    assert found.tables[NAME] == found.tables[REGIONS] == {"analyzer changed": 10}
    assert found.why[REGIONS] == {"brighter 127 -> 50": 10}
    assert found.tables["quality"] == {}
    found = planned(corpus, RECIPE)
    assert found.nothing
    assert found.failed == {"sources": {"decode.unrecognised": 1}, NAME: {"analyze.failed": 1}}


def planned(corpus: Path, recipe: str) -> Plan:
    request = Request(str(corpus), str(corpus.parent / "own"), recipe, "inline")
    return plan(request, LIMITS, Silent())


def test_a_forgotten_source_takes_its_regions_along(corpus: Path) -> None:
    run(corpus)
    dataset = opened(corpus)
    named = [given(f"file://{corpus}/5.png"), given(f"file://{corpus}/0.png")]
    audit = forget(dataset, look_up(dataset, named))
    assert (audit.rows[NAME], audit.rows[REGIONS]) == (2, 5)
    found = counts(corpus)
    assert "5.png" not in found
    assert found["5 again.png"] == 5
    assert verify(opened(corpus)).problems == []
    assert verify_forgotten(opened(corpus), named).problems == []
    again = run_inline(corpus, corpus.parent / "own", recipe=RECIPE, limits=LIMITS)
    assert (again.shards, again.adopted) == (0, 0)


def test_a_row_of_any_table_that_names_a_region_of_it_is_known_as_forgotten(corpus: Path) -> None:
    run(corpus)
    dataset = opened(corpus)
    known = look_up(dataset, [given(f"file://{corpus}/5.png")])
    forget(dataset, known)
    regions = pa.table({"other_region_id": [f"{source_id_of(f'file://{corpus}/5.png')}-0-3"]})
    assert tombstones.read(dataset.store).of_rows(regions).to_pylist() == [True]


def test_export_writes_regions_in_the_order_of_their_keys(corpus: Path, tmp_path: Path) -> None:
    run(corpus)
    written = export(opened(corpus), str(tmp_path / "out"), form="parquet")
    assert written[REGIONS] == sum(range(8)) + 5
    keys = pq.read_table(tmp_path / f"out/{REGIONS}.parquet").select(["source_id", "region"])
    assert keys.to_pylist() == sorted(keys.to_pylist(), key=lambda row: (*row.values(),))


def test_compare_and_explain_know_regions_by_their_number(corpus: Path) -> None:
    run(corpus)
    draw(corpus / "5.png", 7, top=20)
    run(corpus)
    found = compare(opened(corpus), "first", "last")["tables"][REGIONS]
    assert (found["added"], found["removed"], found["changed"]) == (2, 0, 5)
    assert set(found["columns"]) == {"y"}
    told = explain(opened(corpus), f"file://{corpus}/5.png")
    assert [row["region"] for row in told["rows"][REGIONS]] == list(range(7))


def test_the_report_draws_columns_of_regions(corpus: Path) -> None:
    run(corpus)
    write_report(opened(corpus), thumbnails=False)
    page = (corpus.parent / "own/report/index.html").read_text("utf-8")
    assert f"<h3>{REGIONS} <small>33 rows</small></h3>" in page
