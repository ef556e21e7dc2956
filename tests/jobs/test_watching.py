"""A run of two workers on Ray, watched from other terminals: what each of them does is told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests import corpus
from tests.jobs.cluster import head, with_token
from tests.jobs.underway import Driver, Made, slow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
# 400 of them take two workers of a core each some 20 s.
PICTURES, SECONDS = 400, 0.1


def ask(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(dataset: Path) -> dict[str, Any]:
    """Return what `status` says; nothing before there is a dataset."""
    out, _ = ask("status", dataset, "--json").communicate(timeout=60)
    found: dict[str, Any] = json.loads(out) if out.startswith("{") else {}
    return found


def test_status_counts_both_workers_and_tail_follows_both_by_time(tmp_path: Path) -> None:
    source, dataset = corpus.many(tmp_path / "in", PICTURES), tmp_path / "d"
    made = Made(str(source), slow(tmp_path, SECONDS), "")
    settings = with_token(IMGBATCH_PROGRESS_SECONDS="0.5")
    with (
        head(cpus=2) as cluster,
        Driver(made, dataset, cluster.gcs, tmp_path, settings=settings) as driver,
    ):
        alive, end = 0, time.monotonic() + 60
        while alive < 2:
            assert time.monotonic() < end, driver.said.read_text()
            run = told(dataset).get("run") or {}
            alive = ((run.get("progress") or {}).get("workers") or {}).get("alive", 0)
        assert run["state"] == "running"
        assert run["progress"]["workers"] == {"alive": 2, "lost": 0}
        assert driver.process.poll() is None
        following = ask("tail", dataset, "-f", "-n", "100000", "--json")
        driver.finish()
        out, err = following.communicate(timeout=60)
    assert (following.returncode, err) == (0, f"run {run['run']}: finished\n")
    lines = [json.loads(line) for line in out.splitlines()]
    times = [line["timestamp"] for line in lines]
    assert times == sorted(times)
    assert (lines[0]["event"], lines[-1]["event"]) == ("run.planned", "run.ended")
    shards = [line for line in lines if line["event"] == "shard.finished"]
    assert len(shards) >= PICTURES // 4
    workers = {line["worker"] for line in shards}
    assert len(workers) == 2
    # In turn, not one behind the other.
    firsts = {line["worker"]: at for at, line in reversed(list(enumerate(shards)))}
    lasts = {line["worker"]: at for at, line in enumerate(shards)}
    assert max(firsts.values()) < min(lasts.values())
