"""A recipe that keeps less of regions than the one before: what that one kept is in no file."""

from __future__ import annotations

import io
import shutil
import uuid
from typing import TYPE_CHECKING

import boto3
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from imgbatch import lessened
from imgbatch.dataset import Dataset
from imgbatch.dataset.repair import ASIDE
from imgbatch.dataset.verify import verify
from imgbatch.errors import BusyError
from imgbatch.report import write_report
from imgbatch.search import like, page
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary_lines import run_lines
from tests.corpus import run_inline

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.summary import Summary

FOLDER = "tables/tests.squares_regions"
PLAIN = '[analyzers.classic]\n[analyzers."tests.squares"]\n'
MORE = PLAIN + "with_area = true\n"
LIMITS = Limits(shard_sources=2, threads=1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with pictures `in` and their dataset `d`, by a recipe that keeps the areas."""
    (tmp_path / "in").mkdir()
    for number in range(1, 6):
        pixels = np.zeros((40, 100, 3), np.uint8)
        for at in range(number):
            pixels[10:16, 4 + 12 * at : 10 + 12 * at] = 255
        (tmp_path / "in" / f"{number}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    run(tmp_path, MORE)
    assert len(with_areas(tmp_path)) == 3
    return tmp_path


def run(place: Path, recipe: str) -> Summary:
    return run_inline(place / "in", place / "d", recipe=recipe, limits=LIMITS)


def opened(place: Path) -> Dataset:
    return Dataset.open(str(place / "d"))


def with_areas(place: Path) -> list[Path]:
    """Return the files of the dataset, committed or not, that hold an area."""
    files = [path for path in (place / "d").rglob("*.parquet") if "_delta_log" not in path.parts]
    return [path for path in files if "area" in pq.read_schema(path).names]


def test_what_the_recipe_keeps_no_more_is_in_no_file(place: Path) -> None:
    aside = place / "d" / ASIDE / FOLDER
    aside.mkdir(parents=True)
    shutil.copy(with_areas(place)[0], aside / "odd.parquet")
    write_report(opened(place))
    found = like(opened(place), str(place / "in" / "1.png"), LIMITS)
    page.put(found, page.render(found, LIMITS))
    summary = run(place, PLAIN)
    assert with_areas(place) == []
    assert not [path for path in (place / "d" / "report").rglob("*") if path.is_file()]
    # Three parts, one that was put aside, the page of a search, and the three of the report.
    assert summary.released == 8
    assert any(line.startswith("8 files were deleted for good") for line in run_lines(summary))
    assert verify(opened(place)).problems == []
    assert opened(place).run_record(f"runs/{summary.run}.json")["released"] == 8
    again = run(place, PLAIN)
    assert (again.shards, again.released) == (0, 0)
    assert len(opened(place).run_names()) == 2


def test_a_recipe_that_keeps_more_or_the_same_deletes_nothing(place: Path) -> None:
    shutil.rmtree(place / "d")
    run(place, PLAIN)
    files = set((place / "d" / FOLDER).glob("*.parquet"))
    assert run(place, PLAIN + "brighter = 100\n").released == 0
    assert run(place, MORE).released == 0
    assert files < set((place / "d" / FOLDER).glob("*.parquet"))


def test_a_run_that_was_killed_before_it_deleted_anything_is_completed_by_the_next(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(lessened, "release", killed)
        with pytest.raises(KeyboardInterrupt):
            run(place, PLAIN)
    assert len(with_areas(place)) == 3
    summary = run(place, PLAIN)
    assert (summary.shards, summary.released) == (0, 3)
    assert run_lines(summary)[1].startswith("3 files were deleted for good")
    assert with_areas(place) == []


def test_a_page_that_such_a_run_overtook_is_not_put(place: Path) -> None:
    found = like(opened(place), str(place / "in" / "1.png"), LIMITS)
    made = page.render(found, LIMITS)
    run(place, PLAIN)
    with pytest.raises(BusyError, match=r"tests\.squares_regions was made otherwise meanwhile"):
        page.put(found, made)
    assert not [path for path in (place / "d" / "report").rglob("*") if path.is_file()]


def test_a_page_is_put_beside_a_run_that_brings_more_of_the_same(place: Path) -> None:
    found = like(opened(place), str(place / "in" / "1.png"), LIMITS)
    made = page.render(found, LIMITS)
    shutil.copy(place / "in" / "1.png", place / "in" / "1 again.png")
    assert run(place, MORE).new == 1
    page.put(found, made)


@pytest.mark.slow
def test_a_versioned_bucket_keeps_nothing_of_it_either(place: Path, bucket: str) -> None:
    assert bucket
    name = f"versioned-{uuid.uuid4().hex}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    own = f"s3://{name}/d"
    for recipe in (MORE, PLAIN):
        summary = run_inline(place / "in", own, recipe=recipe, limits=LIMITS)  # type: ignore[arg-type]
    assert summary.released == 3
    store = open_store(own)
    former = [one for one in store.former() if not one.marker and one.name.endswith(".parquet")]
    kept = [store.recall(one) for one in former if "_delta_log" not in one.name]
    assert not [one for one in kept if "area" in pq.read_schema(io.BytesIO(one)).names]
    held = [entry.name for entry in store.list(FOLDER) if entry.name.endswith(".parquet")]
    schemas = [pq.read_schema(io.BytesIO(store.get(one))) for one in held]
    assert schemas
    assert not [one for one in schemas if "area" in one.names]
    again = run_inline(place / "in", own, recipe=PLAIN, limits=LIMITS)  # type: ignore[arg-type]
    assert (again.shards, again.released) == (0, 0)
