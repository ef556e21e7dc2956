"""A report of a dataset in a bucket fetches each part a bounded number of times."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from pathlib import Path

import pytest

from imgbatch import crew
from imgbatch.dataset import Dataset
from imgbatch.dataset.mirror import Mirror
from imgbatch.errors import StorageError
from imgbatch.report import write_report
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.storage.remote import RemoteStore
from imgbatch.summary import Request
from tests import corpus


@pytest.fixture(scope="module")
def dataset(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = corpus.make(tmp_path_factory.mktemp("corpus"))
    url = f"s3://{bucket}/{uuid.uuid4().hex}"
    limits = Limits(shard_sources=5)
    run(Request(str(folder), url, corpus.RECIPE, "inline"), limits, crew.inline, corpus.Silent())
    return Dataset.open(url)


@pytest.mark.slow
def test_a_report_reads_each_part_by_column_from_one_copy(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    gets: Counter[str] = Counter()
    lock = threading.Lock()
    get = RemoteStore.get

    def counted(store: RemoteStore, name: str) -> bytes:
        with lock:
            gets[name] += 1
        return get(store, name)

    monkeypatch.setattr(RemoteStore, "get", counted)
    write_report(dataset)
    parts = {name: count for name, count in gets.items() if name.endswith(".parquet")}
    assert any("tables/quality" in name for name in parts)
    # Once into the copy; the manifest and the outcomes once more, a few parts in memory at a time.
    seldom = {n for n in parts if n.startswith("tables/") and "/sources/" not in n}
    assert {name: parts[name] for name in seldom} == dict.fromkeys(seldom, 1)


def test_rows_of_a_bucket_are_those_of_its_parts(dataset: Dataset) -> None:
    by_slices = [row for b in dataset.batches("hashes", columns=["phash"]) for row in b.to_pylist()]
    whole = dataset.read("hashes", columns=["phash"]).to_pylist()
    assert sorted(map(str, whole)) == sorted(map(str, by_slices))
    assert len(whole) == list(corpus.EXPECTED.values()).count("ok")
    one_by_one = dataset.table("tables/hashes").batches(["phash"], at_once=1)
    assert [row for b in one_by_one for row in b.to_pylist()] == by_slices


def test_copies_go_with_the_mirror_and_a_full_disk_is_a_storage_error() -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    store.put("t/a-1.parquet", b"x")
    mirror = Mirror(store, "t")
    (path,) = map(Path, mirror.paths(["a-1.parquet"]))
    assert path.read_bytes() == b"x"
    path.unlink()
    path.with_suffix(".half").mkdir()
    with pytest.raises(StorageError, match="temporary folder"):
        mirror.paths(["a-1.parquet"])
    folder = path.parent
    del mirror
    assert not folder.exists()
