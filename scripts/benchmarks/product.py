"""A folder or a bucket in, a measured run of imgbatch out.

The only module that knows its command line.

What a run took is read from its own record, `runs/<run>.json`: `seconds` from listing to the last
commit, `work_seconds` from workers that are up until the last part was written.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmarks.child import Ended, module, run_child

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scripts.benchmarks.setting import Setting

RECIPE = Path(__file__).parent / "recipe.toml"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of imgbatch.

    Attributes:
        ended: the process: all in, from its start to its end.
        sources: how many it examined.
        seconds: from listing to the last commit.
        work_seconds: from workers that are up until the last shard's parts were written.
        worker_peaks: the largest resident size of each worker that wrote its log to the end, bytes.
    """

    ended: Ended
    sources: int
    seconds: float
    work_seconds: float
    worker_peaks: tuple[int, ...]

    @property
    def listed_to_parquet(self) -> float:
        """Sources per second, from listing to the last commit."""
        return self.sources / self.seconds

    @property
    def after_start_up(self) -> float:
        """Sources per second, from workers that are up to the last part written."""
        return self.sources / self.work_seconds

    @property
    def all_in(self) -> float:
        """Sources per second, from the process's start to its end."""
        return self.sources / self.ended.seconds


def run_imgbatch(  # noqa: PLR0913 - one argument per choice
    setting: Setting,
    folder: Path | str,
    *,
    engine: str,
    expected: int,
    recipe: Path = RECIPE,
    workers: int = 0,
    cores: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run a recipe over a folder into a new dataset on this machine.

    Args:
        setting: how many threads a worker has, and where the dataset goes.
        folder: the input, or the URL of a prefix.
        engine: inline or ray.
        expected: how many sources there are.
        recipe: its file; `image + quality + hashes` by default.
        workers: processes at most; 0: as many as imgbatch takes by itself.
        cores: on Ray, on a node of so many, each a worker; 0: on this machine as it is.
        environment: variables that are set on top.

    Raises:
        SystemExit: it failed, or not every source came to `ok`.
    """
    name = f"imgbatch-{engine}"
    dataset = setting.fresh(name)
    words = [str(folder), str(dataset), "--recipe", str(recipe)]
    command = [sys.executable, "-m", "imgbatch", "run", *words, "--engine", engine]
    command += ["--workers", str(workers)]
    if cores:
        command = module("node", cores, sys.executable, "-m", "jobs.analyze", *words)
    variables = {"IMGBATCH_THREADS": str(setting.threads), **(environment or {})}
    ended = run_child(command, log=setting.log(name), environment=variables)
    (record,) = [json.loads(path.read_bytes()) for path in (dataset / "runs").glob("*.json")]
    if record["outcomes"] != {"ok": expected}:
        raise SystemExit(f"bench: {expected} sources were to be ok, not {record['outcomes']}")
    return Run(ended, expected, record["seconds"], record["work_seconds"], _worker_peaks(dataset))


def _worker_peaks(dataset: Path) -> tuple[int, ...]:
    lines = [
        json.loads(line)
        for path in (dataset / "logs").rglob("*.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    return tuple(line["peak_bytes"] for line in lines if line["event"] == "worker.ended")
