"""Sources that kill processes of this machine, without Ray, and what `explain` tells of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.cli import past_lines
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.observe.explain import explain
from tests import corpus, killer
from tests.jobs.test_poison import CLASSES, RECIPE, picture, poisoned  # noqa: F401 - a fixture
from tests.test_processes import start

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_sources_that_kill_are_quarantined_without_ray_too(
    poisoned: Path,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    killer_limits = {"shard_sources": 40, "source_seconds": 6, "worker_memory": 900 * 2**20}
    done = start(poisoned, tmp_path / "d", "--json", **killer_limits)
    _, said = done.communicate(timeout=240)
    assert done.returncode == 0, said
    dataset = Dataset.open(str(tmp_path / "d"))
    failed = [r for r in dataset.read("sources").to_pylist() if r["status"] == "failed"]
    assert {r["address"].partition("/in/")[2]: r["error_class"] for r in failed} == CLASSES
    assert verify(dataset).problems == []
    for row in failed:
        found = explain(dataset, row["address"])
        # A worker that another source killed meanwhile was told of this one, as the next one was.
        assert {line["event"] for line in found["log"]} == {"source.quarantined", "source.failed"}
        assert {line["error"] for line in found["log"]} == {row["error_class"]}
        shown = "\n".join(past_lines.explain(found))
        assert f"error source.quarantined: error {row['error_class']}, shard " in shown


def little(folder: Path, dataset: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["run", folder, dataset, "--recipe", folder.parent / "r.toml", "--engine", "inline"]
    return subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words), *more],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_a_source_that_kills_a_run_of_little_work_is_quarantined_by_the_next(
    tmp_path: Path,
) -> None:
    folder, own = corpus.many(tmp_path / "in", 6), tmp_path / "d"
    picture(folder / "crash.jpg", killer.CRASH)
    (tmp_path / "r.toml").write_text(RECIPE)
    first = little(folder, own)
    assert first.returncode == -signal.SIGSEGV, first.stderr
    # Whoever asks for one process has one, and it dies again.
    assert little(folder, own, "--workers", "1").returncode == -signal.SIGSEGV
    second = little(folder, own)
    assert second.returncode == 0, second.stderr
    dataset = Dataset.open(str(own))
    outcomes = {
        row["address"].rpartition("/")[2]: row for row in dataset.read("sources").to_pylist()
    }
    assert len(outcomes) == 7
    assert {name for name, row in outcomes.items() if row["status"] != "ok"} == {"crash.jpg"}
    assert outcomes["crash.jpg"]["error_class"] == "poison.crash"
    assert verify(dataset).problems == []
