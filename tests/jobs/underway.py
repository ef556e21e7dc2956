"""A run of many shards by a driver of its own process, and what must have come of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.observe.status import log_lines
from imgbatch.settings import Limits
from tests import corpus
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
RECIPE = '[analyzers.image]\n[analyzers.quality]\n[analyzers."tests.sleeper"]\nseconds = {}\n'
# Of each picture: 400 shards then take some eight seconds of two workers of two threads.
SECONDS = 0.02
SHARDS, SOURCES = 400, 4
LIMITS = {"IMGBATCH_SHARD_SOURCES": str(SOURCES), "IMGBATCH_COMMIT_SECONDS": "1"}


@dataclass(frozen=True)
class Made:
    """An input of 400 shards, and the dataset that an undisturbed run makes of it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Made:
        corpus.many(folder / "in", SHARDS * SOURCES)
        (folder / "r.toml").write_text(RECIPE.format(SECONDS))
        limits = Limits(shard_sources=SOURCES)
        quick = RECIPE.format(0)
        corpus.run_inline(folder / "in", folder / "whole", recipe=quick, limits=limits)
        return cls(folder)

    def check(self, dataset: Path) -> None:
        """Nothing is lost, nothing is double, and no source is blamed for what befell a node."""
        found = Dataset.open(str(dataset))
        assert verify(found).problems == []
        assert_equal(self.folder / "whole", dataset)
        events = [line["event"] for r in found.runs() for line in log_lines(found, r["run"])]
        assert "source.quarantined" not in events


@dataclass
class Driver:
    """A run under way.

    Args:
        inside: words before the command: where it runs.
    """

    made: Made
    dataset: Path
    address: str
    inside: Sequence[str] = ()
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.said = self.dataset.with_suffix(".said")
        words = [self.made.folder / "in", self.dataset, "--recipe", self.made.folder / "r.toml"]
        run = [sys.executable, "-m", "jobs.analyze", *map(str, words), "--address", self.address]
        with self.said.open("w") as out:
            self.process = subprocess.Popen(
                [*self.inside, *run, "--json"],
                env={**os.environ, "PYTHONPATH": str(ROOT), **LIMITS, **self.settings},
                stdout=out,
                stderr=out,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def written(self) -> int:
        """How many shards' parts lie in the dataset."""
        return sum(1 for _ in (self.dataset / "tables/sources").glob("*.parquet"))

    def reach(self, share: float) -> None:
        """Wait until so many of the shards are written, and some are not."""
        wait_for(lambda: self.written >= share * SHARDS, lambda: self.process.poll() is None, self)
        assert self.written < SHARDS, "it is over already: nothing would be disturbed"

    def finish(self, seconds: float = 60) -> dict[str, Any]:
        """Wait for its end; returns what it said last."""
        code = self.process.wait(timeout=seconds)
        said = self.said.read_text()
        assert code == 0, said
        return dict(json.loads(said.splitlines()[-1]))


def wait_for(
    condition: Callable[[], bool], alive: Callable[[], bool], driver: Driver, seconds: float = 120
) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert alive(), driver.said.read_text()
        assert time.monotonic() < end, f"it did not come to that: {driver.said.read_text()}"
        time.sleep(0.02)
