"""Seconds by stage, summed over the threads that spent them; and what those had to spend."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Timings:
    """A stop watch with named stages. One thread's; merge them to sum over threads."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def stage(self, name: str) -> _Stage:
        """Add the time inside a `with` block to a stage."""
        return _Stage(self._seconds, name)

    def merge(self, other: Mapping[str, float]) -> None:
        """Add another's seconds."""
        for name, seconds in other.items():
            self._seconds[name] += seconds

    def seconds(self) -> dict[str, float]:
        """Return seconds by stage, in the order in which stages first ran."""
        return {name: round(seconds, 6) for name, seconds in self._seconds.items()}


class _Stage:
    # A class, not a generator: entered several times for every picture, it takes a third as long.
    __slots__ = ("_name", "_seconds", "_start")

    def __init__(self, seconds: defaultdict[str, float], name: str) -> None:
        self._seconds = seconds
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] += time.perf_counter() - self._start


class Clock:
    """What a worker's decoding threads had to spend, by laps that are taken from any thread."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._tasks = 0
        self._last = time.monotonic()

    @contextlib.contextmanager
    def task(self) -> Iterator[None]:
        """Have a task under way; the time before, in which there was none, does not count."""
        with self._lock:
            if not self._tasks:
                self._last = time.monotonic()
            self._tasks += 1
        try:
            yield
        finally:
            with self._lock:
                self._tasks -= 1

    def lap(self) -> float:
        """Return the seconds since the last lap, times the number of threads."""
        now = time.monotonic()
        with self._lock:
            spent, self._last = now - self._last, now
        return round(spent * self._threads, 6)
