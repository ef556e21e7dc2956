"""A run's counts on a real cluster's metrics port, as Prometheus reads them."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests import corpus
from tests.jobs.cluster import free_ports, head, with_token

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
SECONDS = 60


def scraped(port: int, run: str) -> dict[tuple[str, str], float]:
    """Return what the port says of a run: value by metric and its outcome, stage or nothing."""
    found = {}
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as r,
    ):
        for line in r.read().decode().splitlines():
            if match := re.fullmatch(r"ray_imgbatch_(\w+)\{(.*)\} (\S+)", line):
                tags = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
                if tags.get("run") == run:
                    key = tags.get("outcome") or tags.get("stage") or ""
                    found[match[1], key] = float(match[3])
    return found


def test_prometheus_reads_the_counts_that_the_run_tells(tmp_path: Path) -> None:
    corpus.many(tmp_path / "in", 60)
    (tmp_path / "in/lies.jpg").write_text("no picture")
    (tmp_path / "r.toml").write_text("[analyzers.quality]\n")
    (port,) = free_ports(1)
    with head(f"--metrics-export-port={port}", cpus=2) as cluster:
        words = ["run", tmp_path / "in", tmp_path / "d", "--recipe", tmp_path / "r.toml", "--json"]
        child = subprocess.run(
            [sys.executable, "-m", "imgbatch", *map(str, words)],
            env=with_token(RAY_ADDRESS=cluster.gcs, IMGBATCH_SHARD_SOURCES="10"),
            cwd=sys.prefix,
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode == 0, child.stderr
        assert child.stderr == ""
        summary = json.loads(child.stdout.splitlines()[-1])
        end = time.monotonic() + SECONDS
        while ("workers", "") not in (found := scraped(port, summary["run"])):
            assert time.monotonic() < end, "nothing of the run is on the port"
            time.sleep(0.5)
    assert found["sources_total", "ok"] == 60
    assert found["sources_total", "decode.unrecognised"] == 1
    assert found["pictures_total", ""] == 60
    assert found["bytes_total", ""] == summary["bytes"]
    assert found["workers", ""] == 0
    for stage in ("decode", "quality", "write"):
        seconds = found["stage_seconds_total", stage]
        assert seconds == pytest.approx(summary["stages"][stage], abs=0.001)
    assert found["thread_seconds_total", ""] > 0
