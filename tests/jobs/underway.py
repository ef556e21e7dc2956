"""A run of many shards by a driver of its own process, and what must have come of it.

`python -m tests.jobs.underway WHOLE DATASET` compares where this process has no network to both.
"""

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
from imgbatch.observe.lines import log_lines
from imgbatch.settings import Limits
from tests import corpus
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
RECIPE = '[analyzers.image]\n[analyzers."tests.sleeper"]\nseconds = {}\n'
SHARDS, SOURCES = 400, 4
# Of each picture: 400 shards then take some eight seconds of four workers.
SECONDS = 0.02
LIMITS = {"IMGBATCH_SHARD_SOURCES": str(SOURCES), "IMGBATCH_COMMIT_SECONDS": "1"}


@dataclass(frozen=True)
class Made:
    """An input, a recipe that takes its time, and the dataset that an undisturbed run makes."""

    input: str
    recipe: Path
    whole: str

    @classmethod
    def make(cls, folder: Path) -> Made:
        """Make an input of 400 shards."""
        corpus.many(folder / "in", SHARDS * SOURCES)
        limits = Limits(shard_sources=SOURCES)
        quick = RECIPE.format(0)
        corpus.run_inline(folder / "in", folder / "whole", recipe=quick, limits=limits)
        return cls(str(folder / "in"), slow(folder, SECONDS), str(folder / "whole"))

    def check(self, dataset: Path) -> None:
        check(self.whole, str(dataset))


def slow(folder: Path, seconds: float) -> Path:
    """Write a recipe whose pictures take so long each."""
    path = folder / f"{seconds}.toml"
    path.write_text(RECIPE.format(seconds))
    return path


def check(whole: str, dataset: str) -> None:
    """Nothing is lost, nothing is double, and no source is blamed for what befell a node."""
    found = Dataset.open(dataset)
    assert verify(found).problems == []
    assert_equal(whole, dataset)
    events = [line["event"] for r in found.runs() for line in log_lines(found, r["run"])]
    assert "source.quarantined" not in events


@dataclass
class Driver:
    """A run under way.

    Args:
        dataset: where; what the driver says lies in a file of `folder`.
        inside: words before the command: where it runs.
    """

    made: Made
    dataset: Path | str
    address: str
    folder: Path
    inside: Sequence[str] = ()
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.said = self.folder / f"{len(list(self.folder.glob('*.said')))}.said"
        words = [self.made.input, self.dataset, "--recipe", self.made.recipe]
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

    def told(self) -> list[dict[str, Any]]:
        """Return what it has said so far, as far as the lines are whole."""
        lines = self.said.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line[-1] == "\n"]

    @property
    def done(self) -> float:
        """The share of the sources that have come to something, as it said a second ago."""
        progress = [line for line in self.told() if line["event"] == "progress"]
        return progress[-1]["sources"] / progress[-1]["of"] if progress else 0.0

    def reach(self, share: float) -> None:
        """Wait until so much is done, and some is not."""
        self.until(lambda: self.done >= share)
        assert self.done < 1, "it is over already: nothing would be disturbed"

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something that must come to pass while it runs."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < end, f"it did not come to that: {self.said.read_text()}"
            time.sleep(0.05)

    def finish(self, seconds: float = 60) -> dict[str, Any]:
        """Wait for its end; returns what it said last."""
        code = self.process.wait(timeout=seconds)
        assert code == 0, self.said.read_text()
        return self.told()[-1]


if __name__ == "__main__":
    check(*sys.argv[1:])
