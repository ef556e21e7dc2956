"""A run in one process; status, tail, logs and cancel in others: on a folder, on an S3 server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import CancelledError, DatasetError
from tests.corpus import many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

RECIPE = "[analyzers.quality]\n[analyzers.color]\n[analyzers.classic]\n"
LIMITS = {
    "IMGBATCH_SHARD_SOURCES": "20",
    "IMGBATCH_COMMIT_SECONDS": "0.5",
    "IMGBATCH_PROGRESS_SECONDS": "0.2",
    "IMGBATCH_THREADS": "1",
    "IMGBATCH_PRICE_PER_HOUR": "36",
}
LONGER = 24_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,600 pictures, some of them cut short: half a minute of work for one thread."""
    folder = tmp_path_factory.mktemp("watched")
    first = many(folder / "in/0", 300, width=340, height=240)
    for number in range(0, 300, 30):
        file = first / f"{number:05}.jpg"
        file.write_bytes(file.read_bytes()[:3000])
    repeated(first, range(1, 12))
    (folder / "r.toml").write_text(RECIPE)
    return folder


def repeated(first: Path, numbers: range) -> None:
    for number in numbers:
        shutil.copytree(first, first.parent / str(number), copy_function=os.link)


@pytest.fixture(scope="module")
def longer(made: Path) -> Path:
    """Minutes of work, for tests in which a run may not end before it is told to."""
    shutil.copytree(made / "in/0", made / "longer/0", copy_function=os.link)
    repeated(made / "longer/0", range(1, LONGER // 300))
    return made / "longer"


@pytest.fixture(params=["folder", "bucket"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "d")
    return f"s3://{request.getfixturevalue('bucket')}/{tmp_path.name}/d"


def start(*words: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        env={**os.environ, **LIMITS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def running(source: Path, dataset: str) -> subprocess.Popen[str]:
    recipe = source.parent / "r.toml"
    return start("run", source, dataset, "--recipe", recipe, "--engine", "inline")


def answer(*words: object) -> tuple[int, str, str]:
    child = start(*words)
    out, err = child.communicate(timeout=120)
    return child.returncode, out, err


def told(dataset: str) -> dict[str, Any]:
    code, out, err = answer("status", dataset, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def until_at_work(child: subprocess.Popen[str], dataset: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while True:
        assert time.monotonic() < end
        assert child.poll() is None, child.communicate()
        time.sleep(0.3)
        code, out, _ = answer("status", dataset, "--json")
        if code == 0:  # before that it is no dataset yet
            found: dict[str, Any] = json.loads(out)
            progress = (found["run"] or {}).get("progress")
            # Which shards come first is chance; a few of them have no picture that is cut short.
            if progress and progress["outcomes"].get("decode.truncated") and found["outcomes"]:
                return found


def test_a_run_is_watched_and_ended_from_other_terminals(longer: Path, dataset: str) -> None:
    child = running(longer, dataset)
    found = until_at_work(child, dataset)
    run, progress = found["run"]["run"], found["run"]["progress"]
    assert (found["run"]["state"], progress["of"]) == ("running", LONGER)
    assert progress["sources"] < LONGER
    assert progress["cost"] > 0
    assert {"fetch", "decode", "quality"} <= set(progress["stages"])
    assert progress["bound"] in ("decoding", "color", "quality", "classic", "waiting")
    following = start("tail", dataset, "-f", "-n", "100000", "--json")
    failing = start("tail", dataset, "-f", "-n", "100000", "--level", "warning", "--class", "dec*")
    watching = start("status", dataset, "--watch")
    time.sleep(2)
    code, out, err = answer("cancel", dataset, "--wait")
    assert (code, err) == (0, "")
    assert f"run {run}: cancelled" in out
    _, said = child.communicate(timeout=60)
    assert child.returncode == CancelledError.exit_code, said
    assert "to do: Run the same command again" in said
    # Who follows is told all of it, by time, and that it is over.
    out, err = following.communicate(timeout=60)
    lines = [json.loads(line) for line in out.splitlines()]
    assert f"run {run}: cancelled" in err
    assert following.returncode == 0
    times = [line["timestamp"] for line in lines]
    assert times == sorted(times)
    code, out, _ = answer("logs", dataset, "--run", run, "--json")
    assert [json.loads(line) for line in out.splitlines()] == lines
    events = [line["event"] for line in lines]
    assert (events[0], events[-1]) == ("run.planned", "run.ended")
    assert {"worker.started", "source.failed", "shard.finished", "run.cancelled"} <= set(events)
    out, _ = failing.communicate(timeout=60)
    assert len(out.splitlines()) == events.count("source.failed")
    assert all("source.failed decode.truncated" in line for line in out.splitlines())
    out, _ = watching.communicate(timeout=60)
    assert "running: " in out
    assert f"last run {run}: cancelled" in out
    # Nothing is at work any more.
    assert told(dataset)["run"]["state"] == "cancelled"
    code, _, err = answer("cancel", dataset)
    assert code == DatasetError.exit_code
    assert f"run {run} cancelled" in err
    assert verify(Dataset.open(dataset)).rows["sources"] > 0


def test_a_driver_that_is_killed_is_called_dead_and_the_next_run_goes_on(
    made: Path, dataset: str, tmp_path: Path
) -> None:
    child = running(made / "in", dataset)
    run = until_at_work(child, dataset)["run"]["run"]
    following = start("tail", dataset, "-f")
    time.sleep(1)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    found = told(dataset)
    assert (found["run"]["run"], found["run"]["state"]) == (run, "died")
    assert f"process {child.pid} on " in found["run"]["why"]
    code, out, _ = answer("status", dataset)
    assert code == 0
    assert f"run {run}: died (process {child.pid} on" in out
    assert "run again to go on" in out
    code, _, err = answer("cancel", dataset)
    assert code == DatasetError.exit_code
    assert f"run {run} died" in err
    _, err = following.communicate(timeout=60)
    assert following.returncode == 0
    assert f"run {run}: died" in err
    if not dataset.startswith("s3://"):
        run_inline(made / "in", tmp_path / "d", recipe=RECIPE)
        run_inline(made / "in", tmp_path / "fresh", recipe=RECIPE)
        assert_equal(tmp_path / "fresh", tmp_path / "d")


def test_an_interrupted_tail_is_quiet_and_a_reader_that_goes_away_ends_it(
    longer: Path, tmp_path: Path
) -> None:
    child = running(longer, str(tmp_path / "d"))
    try:
        until_at_work(child, str(tmp_path / "d"))
        following = start("tail", tmp_path / "d", "-f")
        assert following.stdout is not None
        following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=60)
        assert (following.returncode, err) == (130, "")
        with start("logs", tmp_path / "d") as read:
            assert read.stdout is not None
            assert read.stderr is not None
            read.stdout.readline()
            read.stdout.close()
            assert read.stderr.read() == ""
        assert read.returncode == 0
        # Nor does one that follows wait for the run's end when nobody reads any more.
        with start("tail", tmp_path / "d", "-f") as left:
            assert left.stdout is not None
            left.stdout.readline()
            left.stdout.close()
            assert left.wait(timeout=60) == 0
        assert child.poll() is None
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 130
    code, out, err = answer("logs", tmp_path / "d", "--out", tmp_path / "out", "--level", "warning")
    assert code == 0, err
    (written,) = (tmp_path / "out").iterdir()
    assert f"lines in {written}" in out
    levels = {json.loads(line)["level"] for line in written.read_text().splitlines()}
    assert levels <= {"warning", "error"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["tail"], 12, "no run has worked on"),
        (["logs", "--run", "x"], 10, "no run is 'x'"),
        (["tail", "--level", "warn"], 10, "did you mean 'warning'"),
        (["cancel"], 12, "no run has worked on"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    Dataset.create(str(tmp_path))
    found, _, err = answer(words[0], tmp_path, *words[1:])
    assert (found, said in err) == (code, True), err
