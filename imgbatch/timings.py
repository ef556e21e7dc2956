"""Seconds by stage, summed over the threads that spent them."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Timings:
    """A stop watch with named stages. One thread's; merge them to sum over threads."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time inside to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start

    def merge(self, other: Mapping[str, float]) -> None:
        """Add another's seconds."""
        for name, seconds in other.items():
            self._seconds[name] += seconds

    def seconds(self) -> dict[str, float]:
        """Return seconds by stage, in the order in which stages first ran."""
        return {name: round(seconds, 6) for name, seconds in self._seconds.items()}
