"""Datasets that are not a finished run of good pictures: empty, failed, unfinished, very large."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from imgbatch import analyzers
from imgbatch.dataset import MANIFEST, SOURCES, Dataset, manifest
from imgbatch.dataset.commit import Committer, take_number
from imgbatch.dataset.parts import put_table
from imgbatch.report import write_report
from imgbatch.report.codebook import columns_known
from imgbatch.report.sheet import end_strips
from imgbatch.settings import Limits, read_recipe
from imgbatch.tables import table_specs
from tests import corpus
from tests.report.conftest import SKIMAGE, SKLEARN, read_page, run_over

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.dataset import TableSpec

ROWS = 100_000
REASON = {"failed": "decode.corrupt"}


def test_a_table_of_regions_has_its_figures_and_no_strip_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with Image.open(SKIMAGE / "astronaut.png") as photo:
        photo.crop((100, 10, 356, 266)).save(folder / "face.png")
    dataset = run_over(folder, tmp_path / "d", "[media]\n[analyzers.faces]\ndetector = 'lbp'\n")
    regions = dataset.read("faces_regions")
    assert regions.num_rows
    assert "sharpness" in regions.column_names  # of whole pictures it would have a strip
    page = read_page(dataset)
    assert "faces_regions" in page.text
    assert end_strips(dataset) == []


def test_parts_of_an_earlier_recipe_are_told_and_no_others_are(tmp_path: Path) -> None:
    folder, told = tmp_path / "in", "come from an earlier recipe"
    folder.mkdir()
    with Image.open(SKIMAGE / "astronaut.png") as photo:
        for i in range(2):
            photo.crop((i, i, 256, 256)).save(folder / f"{i}.png")
    recipe, limits = "[media]\n[analyzers.quality]\n", Limits(threads=2, shard_sources=1)
    corpus.run_inline(folder, tmp_path / "d", recipe=recipe, limits=limits)
    dataset = Dataset.open(str(tmp_path / "d"))
    former = next(iter(dataset.table("tables/quality").parts().values()))
    assert told not in read_page(dataset).text

    corpus.run_inline(folder, tmp_path / "d", recipe=f"{recipe}blank_levels = 3.0\n", limits=limits)
    table = Dataset.open(str(tmp_path / "d")).table("tables/quality")
    # As if the second run had been interrupted after the other shard.
    new = [part for part in table.parts().values() if part.shard == former.shard]
    table.commit([former], new, fence=table.fence, run="test")
    findings = read_page(Dataset.open(str(tmp_path / "d"))).text
    assert f"1 parts of the table quality {told}" in findings


def test_an_empty_dataset_has_a_page_that_says_so(tmp_path: Path) -> None:
    page = read_page(Dataset.create(str(tmp_path / "new")))
    assert "Nothing has been committed to this dataset yet." in page.text
    assert "0 sources = 0 ok + 0 failed + 0 filtered" in page.text
    assert "There is no table yet." in page.text


def test_a_dataset_of_failures_alone_has_its_classes_and_no_figures(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.jpg").write_bytes(b"\xff\xd8\xff nothing" + bytes([i]))
    page = read_page(run_over(folder, tmp_path / "out"))
    assert "3 sources = 0 ok + 3 failed + 0 filtered it adds up" in page.text
    assert "3 of 3 sources failed (100%)" in page.text
    assert "svg" not in {tag for tag, _ in page.tags}


def test_sources_without_an_outcome_are_open_and_told_first(tmp_path: Path) -> None:
    dataset, *_ = _frozen(tmp_path, 5)
    page = read_page(dataset)
    assert "5 sources = 0 ok + 0 failed + 0 filtered + 5 open not finished" in page.text
    assert "5 of 5 sources have no outcome yet" in page.text


def test_a_table_of_an_analyzer_that_is_not_installed_is_still_described(tmp_path: Path) -> None:
    dataset, number, _ = _frozen(tmp_path, 1)
    table = dataset.table("tables/foreign")
    meant = pa.field("score", pa.float64(), metadata={"meaning": "how <b>good</b>"})
    table.create(pa.schema([pa.field("status", pa.string()), meant]), fence=number, run="r")
    (_, score) = columns_known(dataset, "foreign")
    assert score.name == "score"
    assert "how <b>good</b>" in score.meaning or "not described" in score.meaning
    page = read_page(dataset)
    assert "foreign" in page.text
    assert "b" not in {t for t, a in page.tags if not a} - {"b"}
    assert "<b>good" not in page.html


def test_a_video_is_shown_by_its_first_frame_with_its_length(tmp_path: Path) -> None:
    import av

    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "china.jpg").write_bytes((SKLEARN / "china.jpg").read_bytes())
    with av.open(str(folder / "clip.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for shade in range(0, 200, 10):
            pixels = np.full((120, 160, 3), shade, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        file.mux(stream.encode())
    page = read_page(run_over(folder, tmp_path / "out", "[analyzers.motion]"))
    assert "1 video, 2 s together." in page.text
    assert any(
        alt.startswith("clip.mp4 (") and alt.endswith("160 x 120, 2.0 s)")
        for alt in page.attributes("img", "alt")
    )


@pytest.mark.slow
def test_100_000_rows_take_seconds_little_memory_and_a_small_page(tmp_path: Path) -> None:
    dataset = _synthetic(tmp_path)
    tracemalloc.start()
    start = time.perf_counter()
    write_report(dataset)
    took = time.perf_counter() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    html = dataset.store.get("report/index.html")
    assert b"100,000 sources = 99,000 ok + 1,000 failed + 0 filtered" in html
    assert b"1,000</b> failed" in html
    assert len(html) < 600_000
    assert peak < 100e6
    # Generous: a machine under load; alone it takes about 3 s, tracing included.
    assert took < 40


def test_ends_of_a_scale_leave_out_what_is_no_number_and_repeat_no_value(tmp_path: Path) -> None:
    dataset, number, specs = _frozen(tmp_path, 8, "[analyzers.quality]")
    committer = Committer(dataset, specs, run="r", number=number, every=0)
    spec = specs[1]
    (part,) = dataset.table(MANIFEST).parts().values()
    listed = dataset.read(MANIFEST).sort_by("address")
    arrays = [_column(f, listed, None, np.random.default_rng(0)) for f in spec.schema]
    values = [5.0, float("nan"), 2.0, 2.0, None, float("inf"), 9.0, 7.0]
    arrays[spec.schema.get_field_index("brightness")] = pa.array(values)
    table = pa.Table.from_arrays(arrays, schema=spec.schema)
    name = spec.stem(part.label)
    committer.add([put_table(dataset.store, spec.path, name, table, spec.metadata)])
    committer.flush()
    low, high = (s for s in end_strips(dataset) if s.note == "quality.brightness")
    assert [c.caption for c in low.choices] == ["2", "5", "7", "9"]
    assert [c.caption for c in high.choices] == ["9", "7", "5", "2"]
    assert high.choices[0].source.address.endswith("0000006.jpg")


def _frozen(
    tmp_path: Path, count: int, recipe: str = "[analyzers.image]"
) -> tuple[Dataset, int, list[TableSpec]]:
    """A dataset whose manifest lists sources that no run has looked at."""
    dataset = Dataset.create(str(tmp_path / "out"))
    table = dataset.table(MANIFEST)
    table.create(manifest.SCHEMA, fence=0, run="create")
    root = (tmp_path / "in").as_uri()
    addresses = [f"{root}/{i:07d}.jpg" for i in range(count)]
    ids = [hashlib.blake2b(a.encode(), digest_size=16).hexdigest() for a in addresses]
    columns = {
        "source_id": ids,
        "address": addresses,
        "version": ["1-1"] * count,
        "size": [1000] * count,
        "input": [root] * count,
    }
    arrays = [
        pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(count, f.type)
        for f in manifest.LISTED
    ]
    listed = pa.Table.from_arrays(arrays, schema=manifest.LISTED)
    number = take_number(dataset, "r")
    frozen = manifest.Listing.of_batches(listed.to_batches())
    changes = manifest.compare(dataset, frozen, root=root, whole=True)
    manifest.freeze(dataset, changes, limits=Limits(shard_sources=20_000), run="r", number=number)
    return dataset, number, table_specs(read_recipe(recipe, settings_of=analyzers.settings_of))


def _synthetic(tmp_path: Path) -> Dataset:
    """One in a hundred sources failed; the others have random rows in two tables."""
    dataset, number, specs = _frozen(tmp_path, ROWS, "[analyzers.quality]\n[analyzers.image]")
    committer = Committer(dataset, specs, run="r", number=number, every=0)
    random = np.random.default_rng(0)
    for part in dataset.table(MANIFEST).parts().values():
        listed = dataset.read(MANIFEST, where=pc.field("shard") == part.shard)
        failed = np.arange(listed.num_rows) % 100 == 0
        for spec in specs:
            rows = listed if spec.name == SOURCES else listed.filter(pa.array(~failed))
            status = np.where(failed, "failed", "ok") if spec.name == SOURCES else None
            arrays = [_column(f, rows, status, random) for f in spec.schema]
            table = pa.Table.from_arrays(arrays, schema=spec.schema)
            name = spec.stem(part.label)
            committer.add([put_table(dataset.store, spec.path, name, table, spec.metadata)])
    committer.flush()
    return dataset


def _column(
    field: pa.Field, rows: pa.Table, status: np.ndarray | None, random: np.random.Generator
) -> pa.Array:
    count = rows.num_rows
    if field.name in ("source_id", "version", "address"):
        return rows[field.name].combine_chunks()
    if status is None:
        status = np.full(count, "ok")
    fixed = {
        "status": status,
        "error_class": [REASON.get(s) for s in status.tolist()],
        "frame": np.zeros(count, np.int32),
        "sha256": rows["source_id"].combine_chunks(),
        "kind": ["image"] * count,
    }
    if field.name in fixed:
        return pa.array(fixed[field.name], field.type)
    return _random(field, count, random)


def _random(field: pa.Field, count: int, random: np.random.Generator) -> pa.Array:
    if pa.types.is_floating(field.type):
        return pa.array(random.gamma(2, 40, count), field.type)
    if pa.types.is_integer(field.type):
        return pa.array(random.integers(1, 100, count), field.type)
    if pa.types.is_timestamp(field.type):
        return pa.array(random.integers(1_000_000_000, 1_700_000_000, count) * 10**6, field.type)
    return pa.nulls(count, field.type)
