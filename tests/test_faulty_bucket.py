"""Runs whose input and dataset lie in a bucket that fails some of its calls, writes too.

What fails there is drawn by a seed, and half of it is done nonetheless: the lock, the freeze, the
record of a run and Delta's log meet writes that came through without saying so.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch import attempts, crew
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import BusyError, StorageError
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests import corpus
from tests.conftest import ask
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
# Many commits and many signs of life: there is much to fail.
LIMITS = Limits(shard_sources=3, commit_seconds=0.001, lock_seconds=3, threads=2)
SHARE = 0.1
RUNS = 5


class Flaky:
    """The bucket's server, which fails or is sound."""

    def __init__(self, server: str) -> None:
        self._server = server

    def fail(self, seed: int) -> None:
        ask(f"{self._server}/_fake", {"fail": SHARE, "seed": seed})

    def heal(self) -> int:
        """Be sound again; return how many calls failed."""
        failed = ask(f"{self._server}/_fake", {})["failed"]
        ask(f"{self._server}/_fake", {"fail": 0.0})
        return int(failed)


@pytest.fixture
def flaky(gs_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flaky]:
    monkeypatch.setattr(attempts, "FIRST", 0.01)
    monkeypatch.setattr(attempts, "LONGEST", 0.1)
    made = Flaky(gs_server)
    yield made
    made.heal()


def do(source: str, dataset: str) -> None:
    run(Request(source, dataset, RECIPE, "inline"), LIMITS, crew.inline, corpus.Silent())


def insist(work: Callable[[], None]) -> int:
    """Do it again while the store is out, or holds the lock of one that could not give it back."""
    for number in range(1, RUNS):
        try:
            work()
        except StorageError:
            continue
        except BusyError:
            time.sleep(LIMITS.lock_seconds)
            continue
        return number
    work()
    return RUNS


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_bucket_that_fails_a_tenth_of_its_calls_gives_what_a_sound_one_gives(
    gs_bucket: str, flaky: Flaky, tmp_path: Path, seed: int
) -> None:
    root = f"gs://{gs_bucket}/{uuid.uuid4().hex}"
    source, dataset, store = f"{root}/in", f"{root}/d", open_store(f"{root}/in")
    for file in corpus.many(tmp_path / "in", 12).iterdir():
        store.put(file.name, file.read_bytes())
    do(source, str(tmp_path / "first"))
    flaky.fail(seed)
    insist(lambda: do(source, dataset))
    assert flaky.heal() > 20
    assert verify(Dataset.open(dataset)).problems == []
    assert_equal(tmp_path / "first", dataset)

    store.put("00003.jpg", corpus.PHOTOS["flower.jpg"].read_bytes())
    store.delete("00004.jpg")
    store.put("broken.jpg", b"no picture")
    do(source, str(tmp_path / "second"))
    flaky.fail(seed)
    insist(lambda: do(source, dataset))
    assert flaky.heal() > 10
    assert verify(Dataset.open(dataset)).problems == []
    assert_equal(tmp_path / "second", dataset)
