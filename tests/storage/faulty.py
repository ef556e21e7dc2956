"""Real stores that misbehave: calls fail, bodies are cut, listings are stale, answers are lost."""

from __future__ import annotations

import io
import random
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

from imgbatch.errors import StorageError
from imgbatch.storage import ChangedError
from imgbatch.storage.local import LocalStore
from imgbatch.storage.remote import RemoteStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.storage import Entry


class Faults:
    """What goes wrong, how often, and what went wrong so far."""

    def __init__(self, *, fail: float = 0.0, cut: float = 0.0, slow: float = 0.0) -> None:
        self.fail, self.cut, self.slow = fail, cut, slow
        self.stale: list[Entry] = []
        self.hidden: set[str] = set()
        self.failed = self.shortened = 0
        self._chance = random.Random(7)
        self._lock = threading.Lock()

    def strike(self, name: str) -> None:
        """Be slow, then fail or not."""
        with self._lock:
            fails = self._chance.random() < self.fail
            self.failed += fails
        time.sleep(self.slow)
        if fails:
            error = StorageError(f"{name}: connection reset")
            error.timed_out = self.failed % 2 == 0
            raise error

    def shown(self, found: Iterable[Entry]) -> list[Entry]:
        """Return what a listing shows: stale entries in place of newer ones, nothing hidden."""
        told = {entry.name: entry for entry in [*found, *self.stale]}
        return [entry for name, entry in told.items() if name not in self.hidden]

    def shorten(self, data: bytes) -> bytes:
        """Return the bytes, or only a part of them."""
        with self._lock:
            cuts = bool(data) and self._chance.random() < self.cut
            self.shortened += cuts
            return data[: self._chance.randrange(len(data))] if cuts else data


class FaultyStore(RemoteStore):
    """A store whose reads go wrong now and then; writes are sound, so that tests can fill it."""

    faults = Faults()

    def list(self, prefix: str = "") -> Iterator[Entry]:
        self.faults.strike(prefix)
        found = self.faults.shown(super().list(prefix))
        for number, entry in enumerate(found):
            if number == len(found) // 2:
                self.faults.strike(prefix)
            yield entry

    def head(self, name: str) -> Entry:
        self.faults.strike(name)
        return super().head(name)

    def get(self, name: str, version: str = "") -> bytes:
        self.faults.strike(name)
        return self.faults.shorten(super().get(name, version))

    def get_range(self, name: str, start: int, length: int, version: str = "") -> bytes:
        self.faults.strike(name)
        return self.faults.shorten(super().get_range(name, start, length, version))

    def open(self, name: str, version: str = "") -> BinaryIO:
        self.faults.strike(name)
        return io.BytesIO(self.faults.shorten(super().get(name, version)))


class RepeatingStore(LocalStore):
    """Each conditional write is carried out, and refused as its own repetition is.

    So a bucket's client tells it that repeats a request to which a server answered 500, or not at
    all: the server had written, and the repetition meets what is new.
    """

    refused = 0

    def put_once(self, name: str, data: bytes) -> None:
        super().put_once(name, data)
        self.refused += 1
        raise FileExistsError(f"{name} is there already")

    def replace(self, name: str, data: bytes, version: str) -> str:
        super().replace(name, data, version)
        self.refused += 1
        raise ChangedError(f"{name} changed meanwhile")
