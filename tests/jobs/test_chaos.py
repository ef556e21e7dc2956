"""Workers and drivers of a real Ray, killed at random moments; what they leave is finished."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import JobError
from tests import corpus
from tests.equal import assert_equal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
RECIPE = "[analyzers.image]\n[analyzers.quality]\n"
WORKER_KILLS, DRIVER_KILLS = 16, 4
LIMITS = {"IMGBATCH_SHARD_SOURCES": "2", "IMGBATCH_COMMIT_SECONDS": "0.3"}


@dataclass
class Chaos:
    """Kills so many processes; a kill counts when the run was still at work."""

    folder: Path
    random: random.Random
    workers: int = 0
    drivers: int = 0
    datasets: list[Path] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.workers >= WORKER_KILLS and self.drivers >= DRIVER_KILLS

    def dataset(self) -> None:
        """Fill one dataset, run by run, until one of them ends by itself."""
        dataset = self.folder / f"d{len(self.datasets)}"
        self.datasets.append(dataset)
        while (code := self.run(dataset)) != 0:
            # A task that lost its third worker ends a run, which is no one's fault here.
            said = dataset.with_suffix(".said").read_text()
            assert code in (-signal.SIGKILL, JobError.exit_code), said

    def run(self, dataset: Path) -> int:
        said = dataset.with_suffix(".said")
        words = [self.folder / "in", dataset, "--recipe", self.folder / "r.toml", "--workers", "2"]
        with said.open("w") as out:
            driver = subprocess.Popen(
                [sys.executable, "-m", "jobs.analyze", *map(str, words)],
                env={**os.environ, **LIMITS},
                stdout=out,
                stderr=out,
            )
        family: dict[int, psutil.Process] = {}
        # The last kill of some runs is the driver's; the others end by themselves.
        last = self.random.randint(3, 6) if self.drivers < DRIVER_KILLS else 0
        kills = 0
        try:
            while driver.poll() is None:
                time.sleep(self.random.uniform(0.05, 0.6))
                found = relatives(driver.pid)
                family.update({p.pid: p for p in found})
                living = [p for p in found if is_worker(p)]
                if last and kills >= last and living and driver.poll() is None:
                    driver.kill()
                    self.drivers += 1
                    # Its workers live on for a moment, and write what nobody waits for.
                    time.sleep(self.random.uniform(0, 0.5))
                elif living and self.workers < WORKER_KILLS and committed(dataset):
                    self.random.choice(living).kill()
                    kills += 1
                    self.workers += driver.poll() is None
                elif self.workers >= WORKER_KILLS:
                    kills = last
            return driver.wait()
        finally:
            end(driver, family)


def relatives(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[:1] != [] and process.cmdline()[0].startswith("ray::Worker")
    except (psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
        return False


def committed(dataset: Path) -> bool:
    return any((dataset / "tables/sources/_delta_log").glob("*1.json"))


def end(driver: subprocess.Popen[bytes], family: dict[int, psutil.Process]) -> None:
    """End what a driver started, and what those started meanwhile."""
    for process in [*family.values(), *(p for f in family for p in relatives(f))]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    driver.kill()
    driver.wait()


def test_twenty_kills_of_workers_and_drivers_leave_nothing_lost_or_doubled(tmp_path: Path) -> None:
    corpus.many(tmp_path / "in", 700)
    (tmp_path / "r.toml").write_text(RECIPE)
    corpus.run_inline(tmp_path / "in", tmp_path / "whole", recipe=RECIPE)
    chaos = Chaos(tmp_path, random.Random())
    while not chaos.over:
        chaos.dataset()
    assert chaos.workers + chaos.drivers >= WORKER_KILLS + DRIVER_KILLS
    for dataset in chaos.datasets:
        assert verify(Dataset.open(str(dataset))).problems == []
        assert_equal(tmp_path / "whole", dataset)
