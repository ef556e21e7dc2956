"""Sources that kill real worker processes on a real Ray: found, quarantined, worked around."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from imgbatch import crew
from imgbatch.dataset import Dataset
from imgbatch.dataset.shards import read_shard
from imgbatch.dataset.verify import verify
from imgbatch.messages import Finished, Job, Poison, Task, Tick
from imgbatch.observe.lines import log_lines
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.summary import Request
from tests import corpus, killer
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.slow
RECIPE = '[analyzers.image]\n[analyzers."tests.killer"]\n'
SHARD_SOURCES = 40
POISONS = {
    "crash.jpg": killer.CRASH,
    "again.jpg": killer.CRASH,
    "hang.jpg": killer.HANG,
    "memory.jpg": killer.MEMORY,
}
CLASSES = {
    "crash.jpg": "poison.crash",
    "again.jpg": "poison.crash",
    "inside.zip!/crash.jpg": "poison.crash",
    "hang.jpg": "poison.hang",
    "memory.jpg": "poison.memory",
}


def picture(path: Path, width: int) -> None:
    with Image.open(corpus.PHOTOS["china.jpg"]) as photo:
        photo.crop((0, 0, width, 64)).save(path)


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    folder = corpus.many(tmp_path / "in", 110)
    for name, width in POISONS.items():
        picture(folder / name, width)
    with zipfile.ZipFile(folder / "inside.zip", "w") as archive:
        archive.write(folder / "00000.jpg", "fine.jpg")
        archive.write(folder / "crash.jpg", "crash.jpg")
    (tmp_path / "r.toml").write_text(RECIPE)
    return folder


def on_ray(root: Path, folder: Path, dataset: Path, *, seconds: float = 6.0) -> dict[str, object]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "IMGBATCH_SHARD_SOURCES": str(SHARD_SOURCES),
        "IMGBATCH_SOURCE_SECONDS": str(seconds),
        "IMGBATCH_WORKER_MEMORY": str(900 * 2**20),
    }
    words = ["run", folder, dataset, "--recipe", folder.parent / "r.toml", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def known(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
    """Do the tasks here, told beforehand which sources kill."""
    dataset = Dataset.open(job.dataset)
    told = []
    for work in (work for task in tasks for work in task.works):
        for place, source in enumerate(read_shard(dataset, work.shard)[0]):
            if code := CLASSES.get(source.address.partition("/in/")[2]):
                reason = code.partition(".")[2]
                told.append(Poison(work.shard.name, place, reason, "analyze"))  # type: ignore[arg-type] # a literal
    return crew.inline(job, [Task(task.works, tuple(told)) for task in tasks])


def test_each_poison_has_one_outcome_and_all_else_is_complete(
    poisoned: Path, tmp_path: Path, root: Path
) -> None:
    on_ray(root, poisoned, tmp_path / "ray")
    dataset = Dataset.open(str(tmp_path / "ray"))
    failed = [r for r in dataset.read("sources").to_pylist() if r["status"] == "failed"]
    assert {r["address"].partition("/in/")[2]: r["error_class"] for r in failed} == CLASSES
    assert {r["stage"] for r in failed} == {"poison"}
    said = {r["address"].partition("/in/")[2]: r["message"] for r in failed}
    assert "in an analyzer, after it was decoded" in said["crash.jpg"]
    size = (poisoned / "crash.jpg").stat().st_size
    assert f"{size} bytes of file://" in said["crash.jpg"]
    assert f"{poisoned.name}/inside.zip" in said["inside.zip!/crash.jpg"]
    assert " bytes at " in said["inside.zip!/crash.jpg"]
    assert verify(dataset).problems == []
    limits = Limits(shard_sources=SHARD_SOURCES)
    request = Request(str(poisoned), str(tmp_path / "known"), RECIPE, "inline")
    run(request, limits, known, corpus.Silent())
    assert_equal(tmp_path / "ray", tmp_path / "known")
    lines = list(log_lines(dataset, dataset.runs()[-1]["run"]))
    quarantined = {line["source"] for line in lines if line["event"] == "source.quarantined"}
    assert quarantined == {r["source_id"] for r in failed}
    assert all(line.get("shard") for line in lines if "source" in line)
    # A later run leaves them alone: it does not even start Ray.
    assert on_ray(root, poisoned, tmp_path / "ray")["shards"] == 0


def test_a_process_in_which_no_thread_can_run_any_more_is_ended_too(
    tmp_path: Path, root: Path
) -> None:
    folder = corpus.many(tmp_path / "in", 5)
    picture(folder / "frozen.jpg", killer.FROZEN)
    (tmp_path / "r.toml").write_text(RECIPE)
    assert on_ray(root, folder, tmp_path / "d", seconds=1.0)["outcomes"] == {
        "ok": 5,
        "poison.hang": 1,
    }
