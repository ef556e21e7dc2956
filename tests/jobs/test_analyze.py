"""The job on a real Ray, started by the test and ended by it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import ClusterError
from tests import corpus

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "IMGBATCH_SHARD_SOURCES": "20", "IMGBATCH_COMMIT_SECONDS": "0.5"}
# Whoever needs Ray has to go where nobody is.
NO_RAY = {"RAY_ADDRESS": "127.0.0.1:1"}


def start(
    *words: str | Path, variables: dict[str, str] | None = None, **options: object
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "imgbatch", "run", *map(str, words), "--json"],
        env=ENVIRONMENT | (variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload] # a test's own words
    )


def rows(dataset: Path, table: str) -> list[dict[str, object]]:
    found = Dataset.open(str(dataset)).read(table).to_pylist()
    return sorted(found, key=lambda r: (str(r["source_id"]), r.get("frame", 0)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray")
    corpus.many(corpus.make(folder / "corpus") / "many", 400)
    (folder / "r.toml").write_text(corpus.RECIPE)
    corpus.run_inline(folder / "corpus", folder / "inline")
    return folder


def same_as_inline(made: Path, dataset: Path) -> None:
    assert verify(Dataset.open(str(dataset))).problems == []
    for table in ("sources", "image", "quality", "hashes", "motion"):
        assert rows(dataset, table) == rows(made / "inline", table)


def test_ray_gives_the_rows_that_inline_gives_and_again_starts_no_ray(
    made: Path, tmp_path: Path
) -> None:
    words = [made / "corpus", tmp_path / "d", "--recipe", made / "r.toml", "--workers", "2"]
    first = start(*words)
    out, err = first.communicate(timeout=120)
    assert (first.returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["event"] == "finished"
    same_as_inline(made, tmp_path / "d")
    again = start(*words, variables=NO_RAY)
    out, err = again.communicate(timeout=120)
    assert (again.returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["shards"] == 0
    # There a run that has something to do comes to nothing.
    (tmp_path / "other.toml").write_text("[analyzers.color]\n")
    other = start(*words[:2], "--recipe", tmp_path / "other.toml", variables=NO_RAY)
    _, err = other.communicate(timeout=120)
    assert other.returncode == ClusterError.exit_code
    assert f"nothing answers at {NO_RAY['RAY_ADDRESS']}" in err


def wait_for(condition: object, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator] # a plain function
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def actors(root: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(root).children(recursive=True):
        try:
            if process.cmdline() and process.cmdline()[0].startswith("ray::Worker"):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended while we looked
    return found


def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_doubled(
    made: Path, tmp_path: Path
) -> None:
    words = [made / "corpus", tmp_path / "d", "--recipe", made / "r.toml", "--workers", "2"]
    child = start(*words)
    wait_for(lambda: list((tmp_path / "d" / "tables" / "sources").glob("*.parquet")))
    killed = actors(child.pid)
    assert killed, "a worker should be running"
    killed[0].kill()
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["event"] == "finished"
    same_as_inline(made, tmp_path / "d")


def test_a_killed_driver_leaves_a_dataset_that_the_next_run_finishes(
    made: Path, tmp_path: Path
) -> None:
    words = [made / "corpus", tmp_path / "d", "--recipe", made / "r.toml"]
    child = start(*words, start_new_session=True)
    wait_for(lambda: list((tmp_path / "d" / "tables" / "sources").glob("*.parquet")))
    family = psutil.Process(child.pid).children(recursive=True)
    os.killpg(child.pid, signal.SIGKILL)
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # gone with its parent
    child.communicate()
    last = start(*words)
    last.communicate(timeout=120)
    assert last.returncode == 0
    same_as_inline(made, tmp_path / "d")


def test_an_interrupt_commits_what_is_finished_and_exits_130(made: Path, tmp_path: Path) -> None:
    words = [made / "corpus", tmp_path / "d", "--recipe", made / "r.toml"]
    child = start(*words, start_new_session=True)
    # Its first commit, not its first file: a part that the driver has not heard of is not finished.
    wait_for(lambda: list((tmp_path / "d/tables/sources/_delta_log").glob("*1.json")))
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130, err
    assert "Traceback" not in err
    assert err.count("interrupted: finished shards stay; run again to go on\n") == 1
    assert verify(Dataset.open(str(tmp_path / "d"))).rows["sources"] > 0
