"""Whole runs whose input or dataset lies in a bucket: S3 (moto's server) and Google (ours)."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch import crew
from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.delta import Part, Table
from imgbatch.dataset.manifest import SCHEMA
from imgbatch.dataset.verify import verify
from imgbatch.errors import FencedError
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests import corpus

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.summary import Summary


@pytest.fixture(params=["s3", "gs"])
def cloud(request: pytest.FixtureRequest) -> str:
    """A prefix of its own in a bucket, with what URLs and Delta tend to stumble over."""
    name = request.getfixturevalue("bucket" if request.param == "s3" else "gs_bucket")
    return f"{request.param}://{name}/{uuid.uuid4().hex[:8]} a+b%25"


def fill(url: str, folder: Path) -> str:
    store = open_store(url)
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(folder)), path.read_bytes())
    return url


def do(source: str, dataset: str) -> Summary:
    request = Request(source, dataset, corpus.RECIPE, "inline")
    return run(request, Limits(), crew.inline, corpus.Silent())


def outcomes(dataset: str) -> dict[str, str]:
    rows = Dataset.open(dataset).read("sources").to_pylist()
    return {r["address"].partition("/corpus/")[2]: r["error_class"] or r["status"] for r in rows}


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_folder_and_a_bucket_give_the_same_outcomes_and_a_rerun_is_free(
    cloud: str, tmp_path: Path, way: str
) -> None:
    folder = corpus.make(tmp_path / "corpus")
    source = fill(f"{cloud}/corpus", folder) if way == "in" else str(folder)
    dataset = str(tmp_path / "d") if way == "in" else f"{cloud}/d"
    assert do(source, dataset).new == len(corpus.EXPECTED)
    assert outcomes(dataset) == corpus.EXPECTED
    found = verify(Dataset.open(dataset))
    assert (found.problems, found.sources) == ([], len(corpus.EXPECTED))
    again = do(source, dataset)
    assert (again.shards, again.new, again.changed, again.removed) == (0, 0, 0, 0)


def test_of_racers_that_commit_one_version_exactly_one_wins(cloud: str) -> None:
    dataset = Dataset.create(cloud)
    dataset.table(MANIFEST).create(SCHEMA, fence=0, run="create")
    won: list[int] = []
    barrier = threading.Barrier(4)

    def race(number: int) -> None:
        table = Table(dataset.store, MANIFEST)
        part = Part(MANIFEST, f"shard@{number}-{number:08x}.parquet", 10, 1, "0" * 64)
        barrier.wait()
        try:
            table.commit([part], [], fence=1, run=f"run{number}")
        except FencedError:
            return
        won.append(number)

    threads = [threading.Thread(target=race, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = Table(dataset.store, MANIFEST)
    assert len(won) == 1
    assert list(table.parts()) == [f"shard@{won[0]}-{won[0]:08x}.parquet"]
