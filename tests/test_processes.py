"""Workers in processes of this machine, without Ray: killed, hung, interrupted, left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest

from imgbatch import analyzers, crew
from imgbatch.cores import MEMORY, machine_memory
from imgbatch.crew import child, local, processes
from imgbatch.crew.fleet import Lost, Up
from imgbatch.crew.local import Local
from imgbatch.crew.processes import Processes
from imgbatch.dataset import Dataset
from imgbatch.dataset.plan import Work
from imgbatch.dataset.verify import verify
from imgbatch.errors import DatasetError, ImgbatchError, JobError
from imgbatch.messages import Crewed, Finished, Job, Task, Tick
from imgbatch.observe.lines import log_lines
from imgbatch.records import Shard
from imgbatch.run import run
from imgbatch.settings import Limits, Recipe, read_recipe
from imgbatch.summary import Request
from imgbatch.terminal import INTERRUPTED
from tests import corpus
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

LIMITS = Limits(shard_sources=5, threads=3)
TWO = Local(2)


def lines_of(url: Path) -> list[dict[str, Any]]:
    dataset = Dataset.open(str(url))
    return list(log_lines(dataset, dataset.runs()[-1]["run"]))


def test_two_processes_make_the_dataset_that_one_makes(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "in", 40)
    summary = run(
        Request(str(folder), str(tmp_path / "two"), corpus.RECIPE, "inline"),
        LIMITS,
        TWO,
        corpus.Silent(),
    )
    assert summary.outcomes == {"ok": 40}
    corpus.run_inline(folder, tmp_path / "one", limits=LIMITS)
    assert_equal(tmp_path / "two", tmp_path / "one")
    started = [line for line in lines_of(tmp_path / "two") if line["event"] == "worker.started"]
    # The second one may still be on its way when all is done.
    assert {line["worker"] for line in started} <= {"local-0", "local-1"}
    pids = {line["pid"] for line in started}
    assert pids
    assert os.getpid() not in pids
    assert not any(psutil.pid_exists(pid) for pid in pids)
    did = {
        line["worker"] for line in lines_of(tmp_path / "two") if line["event"] == "shard.finished"
    }
    ended = {
        line["worker"]: line["peak_bytes"]
        for line in lines_of(tmp_path / "two")
        if line["event"] == "worker.ended"
    }
    assert did
    assert did <= ended.keys(), "whoever worked wrote its log to the end"
    assert min(ended.values()) > 50e6, "its libraries alone take more"


@pytest.fixture(autouse=True)
def _memory_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many processes are begun does not depend on the machine that tests."""
    monkeypatch.setattr(local, "machine_memory", lambda: 0.0)


def test_the_memory_of_the_machine_bounds_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, expected in ((2.5 * MEMORY, 2), (0.5 * MEMORY, 1), (100 * MEMORY, 4)):
        monkeypatch.setattr(local, "machine_memory", lambda memory=memory: memory)
        assert local._most(job().recipe, Limits(threads=4)) == expected
    assert machine_memory() >= 2**29, "what the tests themselves take"


def test_the_threads_of_all_processes_are_those_that_were_allowed() -> None:
    fleet = Processes(job(threads=5), 2)
    assert [fleet._told(place).limits.threads for place in range(2)] == [3, 2]
    assert Processes(job(threads=1), 2)._told(1).limits.threads == 1


def job(recipe: str = corpus.RECIPE, *, threads: int = 4, dataset: str = "file:///none") -> Job:
    return Job(
        "run",
        dataset,
        read_recipe(recipe, settings_of=analyzers.settings_of),
        Limits(threads=threads),
    )


def shards(count: int, sources: int, *, former: bool = False) -> list[Task]:
    tables = ("sources", "image")
    held: Any = {"sources": None, **({"image": None} if former else {})}
    return [Task((Work(Shard(str(n), 0, sources=sources), tables, held),)) for n in range(count)]


def test_a_process_is_begun_only_where_it_has_enough_to_do() -> None:
    def paying(told: Job, tasks: list[Task]) -> int:
        return local._paying(told, tasks)

    assert paying(job(), shards(1, 300)) == 1
    assert paying(job(), shards(4, 1000)) == 4
    assert paying(job(threads=16), shards(4, 1000)) == 8
    assert paying(job(), shards(5, 1000)) == 2, "four would leave the last one to one thread"
    assert paying(job(threads=1), shards(4, 1000)) == 1
    assert paying(job(), shards(3, 2)) == 2, "two are full by their bytes"
    assert paying(job(), shards(400, 1000, former=True)) == 1, "few of these were changed"
    assert paying(job('[analyzers.embed]\nmodel = "resnet18"\n'), shards(4, 1000)) == 1


def test_a_single_shard_is_done_in_a_process_too_where_processes_are_asked_for(
    tmp_path: Path,
) -> None:
    folder = corpus.many(tmp_path / "in", 3)
    request = Request(str(folder), str(tmp_path / "d"), corpus.RECIPE, "inline")
    run(request, LIMITS, TWO, corpus.Silent())
    started = [line for line in lines_of(tmp_path / "d") if line["event"] == "worker.started"]
    assert [line["worker"] for line in started] == ["local-0"]
    assert started[0]["pid"] != os.getpid()


def test_processes_that_are_begun_before_their_job_is_known_are_the_ones_that_work(
    tmp_path: Path,
) -> None:
    folder = corpus.many(tmp_path / "in", 40)
    recipe = job().recipe
    with Local() as engine:
        engine.expect(recipe, Limits(threads=4), 999)
        assert engine._spares == []
        engine.expect(recipe, Limits(threads=4), 1000)
        engine.expect(recipe, Limits(threads=4), 50_000)
        begun = {spare.process.pid for spare in engine._spares}
        assert len(begun) == 4
        request = Request(str(folder), str(tmp_path / "d"), corpus.RECIPE, "inline")
        limits = LIMITS.model_copy(update={"threads": 4})
        engine._workers = 2
        assert run(request, limits, engine, corpus.Silent()).outcomes == {"ok": 40}
    started = [line for line in lines_of(tmp_path / "d") if line["event"] == "worker.started"]
    assert {line["pid"] for line in started} <= begun
    assert not any(psutil.pid_exists(pid) for pid in begun)


def test_processes_that_were_begun_in_vain_are_ended(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "in", 3)
    with Local() as engine:
        engine.expect(job().recipe, Limits(threads=4), 1000)
        begun = [spare.process for spare in engine._spares]
        request = Request(str(folder), str(tmp_path / "d"), corpus.RECIPE, "inline")
        run(request, LIMITS, engine, corpus.Silent())
    assert len(begun) == 2
    assert not any(process.is_alive() for process in begun)


class Foretold:
    """An engine that notes what it is told to expect."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def expect(self, recipe: Recipe, limits: Limits, sources: int) -> None:  # noqa: ARG002 - as the engines'
        self.told.append(sources)

    def __call__(self, job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        return crew.inline(job, tasks)


def test_an_engine_is_told_what_to_expect_of_all_that_a_first_run_lists(tmp_path: Path) -> None:
    folder, engine = corpus.many(tmp_path / "in", 5), Foretold()

    def go(dataset: str, **more: Any) -> None:
        request = Request(str(folder), str(tmp_path / dataset), corpus.RECIPE, "inline", **more)
        run(request, LIMITS, engine, corpus.Silent())

    go("sample", limit=2)
    assert engine.told == []
    go("d")
    assert engine.told == [5]
    corpus.many(folder, 7)
    go("d")
    assert engine.told == [5], "most of a later run is done already"


def dies(*_: object) -> None:
    os._exit(1)


def deaf(pipe: Connection, *_: object) -> None:
    pipe.close()
    time.sleep(600)


class Told:
    """A pipe that was read from: gives that first."""

    def __init__(self, pipe: Connection, said: object) -> None:
        self._pipe = pipe
        self._said: list[object] = [said]

    def recv(self) -> object:
        return self._said.pop() if self._said else self._pipe.recv()

    def send(self, said: object) -> None:
        self._pipe.send(said)


def first_alone(pipe: Connection) -> None:
    told, number = pipe.recv()
    if number:
        os._exit(1)
    child._work(cast("Connection", Told(pipe, (told, number))))


@pytest.mark.slow
def test_processes_that_all_end_while_they_start_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "_work", dies)
    said = "3 workers were lost while they started: its process ended with exit code 1"
    with pytest.raises(JobError, match=said):
        list(Local(2)(job(), shards(3, 2)))


@pytest.mark.slow
def test_a_process_that_closes_its_pipe_alone_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_work", deaf)
    monkeypatch.setattr(processes, "CLOSE_SECONDS", 0.1)
    fleet = Processes(job(), 1)
    fleet.want(1)
    ((_, closed),) = fleet._children.items()
    while fleet._failed_starts == 0:
        assert fleet.events(10.0) == []
    closed.process.join(10)
    assert closed.process.exitcode == -signal.SIGKILL


def up(fleet: Processes) -> int:
    while not (found := fleet.events(10.0)):
        pass
    assert isinstance(found[0], Up), found
    return int(next(iter(fleet._children.values())).process.pid)


@pytest.mark.slow
def test_processes_that_end_while_they_start_end_no_run_that_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.run_inline(corpus.many(tmp_path / "in", 3), tmp_path / "d")
    monkeypatch.setattr(child, "_work", first_alone)
    fleet = Processes(job(dataset=str(tmp_path / "d")), 2)
    fleet.want(1)
    up(fleet)
    for _ in range(3):
        fleet.want(2)
        assert fleet.expected == 2
        while fleet.expected == 2:
            assert fleet.events(10.0) == []
    fleet.want(2)
    assert fleet.expected == 1, "no fourth one is begun"
    fleet.close()


@pytest.mark.slow
def test_a_process_that_was_stopped_is_ended_and_one_that_has_nothing_to_tell_is_not(
    tmp_path: Path,
) -> None:
    corpus.run_inline(corpus.many(tmp_path / "in", 3), tmp_path / "d")
    fleet = Processes(job(dataset=str(tmp_path / "d")), 1)
    fleet.want(1)
    pid = up(fleet)
    (pipe,) = fleet._children
    assert pipe.recv() is None, "it lives"
    fleet._silence = 2.0
    os.kill(pid, signal.SIGSTOP)
    while not (found := fleet.events(0.5)):
        pass
    (lost,) = found
    assert isinstance(lost, Lost)
    assert lost.error.reason == "hang"
    assert not psutil.pid_exists(pid)


def test_files_in_the_working_directory_that_are_named_as_modules_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.run_inline(corpus.many(tmp_path / "in", 3), tmp_path / "d")
    for name in ("signal", "queue", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of others')")
    monkeypatch.chdir(tmp_path)
    fleet = Processes(job(dataset=str(tmp_path / "d")), 1)
    fleet.want(1)
    up(fleet)
    fleet.close()


FREEZES = """
import ctypes, threading
from imgbatch.watch import Watch

class Stop(threading.Event):
    def wait(self, seconds):
        ctypes.PyDLL(None).sleep(3600)  # with Python's lock in hand: no thread runs

Watch(source_seconds=0.5, memory=0).wait(Stop())
"""


@pytest.mark.slow
def test_a_process_that_freezes_at_once_ends_itself_and_says_nothing_to_its_user() -> None:
    words = [sys.executable, "-c", FREEZES]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (processes.FROZEN_EXIT, "")


def test_what_goes_wrong_in_a_process_is_raised_here_with_its_class(tmp_path: Path) -> None:
    nowhere = job(dataset=str(tmp_path / "none"))
    with pytest.raises(ImgbatchError) as raised:
        list(Local(2)(nowhere, shards(3, 2)))
    assert isinstance(raised.value, DatasetError)
    assert "In a worker" in "".join(raised.value.__notes__)


def test_a_process_whose_driver_is_gone_ends(tmp_path: Path) -> None:
    corpus.run_inline(corpus.many(tmp_path / "in", 3), tmp_path / "d")
    fleet = Processes(job(dataset=str(tmp_path / "d")), 1)
    fleet.want(1)
    up(fleet)
    ((pipe, left),) = fleet._children.items()
    pipe.close()
    fleet._children.clear()
    left.process.join(60)
    assert left.process.exitcode == 0


def start(folder: Path, dataset: Path, *more: str, **limits: object) -> subprocess.Popen[str]:
    words = ["run", folder, dataset, "--recipe", folder.parent / "r.toml", "--engine", "inline"]
    named = {f"IMGBATCH_{name.upper()}": str(value) for name, value in limits.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "imgbatch", *map(str, words), "--workers", "2", *more],
        env={**os.environ, **named},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_process_and_goes_on_later(
    tmp_path: Path, end: signal.Signals
) -> None:
    folder = corpus.many(tmp_path / "in", 600)
    (tmp_path / "r.toml").write_text(corpus.RECIPE)
    run_ = start(folder, tmp_path / "d", shard_sources=10, commit_seconds=0.05)
    log = tmp_path / "d/tables/sources/_delta_log"
    late = time.monotonic() + 60
    while not list(log.glob("*1.json")):
        assert time.monotonic() < late, run_.communicate()
        time.sleep(0.01)
    children = psutil.Process(run_.pid).children(recursive=True)
    assert len(children) >= 2
    if end == signal.SIGINT:
        os.killpg(run_.pid, end)  # as a terminal does: all of them get it
    else:
        run_.kill()
    _, said = run_.communicate(timeout=60)
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert "Traceback" not in said
    if end == signal.SIGINT:
        assert run_.returncode == INTERRUPTED
        assert said.endswith("interrupted: finished shards stay; run again to go on\n")
    again = start(folder, tmp_path / "d", shard_sources=10, lock_seconds=1)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []
    corpus.run_inline(folder, tmp_path / "whole", limits=Limits(shard_sources=10))
    assert_equal(tmp_path / "d", tmp_path / "whole")
