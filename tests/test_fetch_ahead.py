"""From a bucket, more is fetched at a time than is decoded, and never more than is allowed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.storage.remote import RemoteStore
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THREADS, FETCH_THREADS, PICTURES = 2, 8, 160


class Crowd:
    """How many are inside now, and the most that ever were."""

    def __init__(self) -> None:
        self.now = self.most = self.came = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.came += 1
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


class SlowStore(RemoteStore):
    """A bucket far away."""

    crowd = Crowd()

    def get(self, name: str, version: str = "") -> bytes:
        with self.crowd:
            time.sleep(0.02)
            return super().get(name, version)


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    """Make every memory:// store slow; open_store looks the class up when it opens one."""
    made = Crowd()
    monkeypatch.setattr(SlowStore, "crowd", made)
    monkeypatch.setattr("imgbatch.storage.remote.RemoteStore", SlowStore)
    open_store.cache_clear()
    yield made
    open_store.cache_clear()


def test_more_is_fetched_at_once_than_is_decoded_and_at_most_what_is_allowed(
    crowd: Crowd, tmp_path: Path
) -> None:
    store = open_store("memory://far")
    for path in corpus.many(tmp_path / "in", PICTURES).iterdir():
        store.put(path.name, path.read_bytes())
    limits = Limits(threads=THREADS, fetch_threads=FETCH_THREADS)
    summary = corpus.run_inline("memory://far", tmp_path / "d", limits=limits)  # type: ignore[arg-type] # a URL
    assert summary.outcomes == {"ok": PICTURES}
    assert crowd.came == PICTURES, "one request each"
    assert THREADS < crowd.most <= FETCH_THREADS
