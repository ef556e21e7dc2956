"""What a run says of itself in its dataset, and how it hears that it is to end."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch import analyzers, crew
from imgbatch.cli import live_lines
from imgbatch.crew.order import _opposite
from imgbatch.dataset import Dataset
from imgbatch.errors import BusyError, CancelledError, JobError
from imgbatch.messages import Crewed, Finished, Job, Task, Tick
from imgbatch.observe import cancel, life
from imgbatch.observe.lines import log_lines
from imgbatch.observe.recorder import Recorder, name
from imgbatch.retry import Again, retry
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage.local import LocalStore
from imgbatch.summary import Request
from tests import squares
from tests.corpus import Silent, many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

RECIPE = "[analyzers.image]\n"
OFTEN = Limits(shard_sources=2, commit_seconds=0.001, progress_seconds=0.02)


def recorder(folder: Path, **limits: float) -> Recorder:
    return Recorder(
        str(folder), "r", limits=Limits(**{"progress_seconds": 0.02, **limits}), watcher=Silent()
    )


def said(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name("r")).read_text())
    return found


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def test_progress_is_told_from_the_plan_to_the_end(tmp_path: Path) -> None:
    Dataset.create(str(tmp_path))
    with recorder(tmp_path, price_per_hour=3600.0, price_per_worker_hour=1800.0) as told:
        told.listing(10)
        told.planned(shards=2, sources=10, note="sources, image")
        assert said(tmp_path)["state"] == "planned"
        told.crewed(Crewed(2, 0))
        told.tick(Tick({}, 0))
        told.tick(Tick({"ok": 4, "decode.corrupt": 1}, 4, 500, {"fetch": 0.1, "decode": 0.9}, 1.2))
        told.crewed(Crewed(1, 1))
        told.finished(70)
        until(lambda: said(tmp_path)["sources"] == 5)
        going = said(tmp_path)
        assert going["state"] == "running"
        assert (going["of"], going["shards"], going["of_shards"]) == (10, 1, 2)
        assert going["outcomes"] == {"ok": 4, "decode.corrupt": 1}
        assert (going["bytes"], going["pictures"], going["bytes_written"]) == (500, 4, 70)
        assert going["workers"] == {"alive": 1, "lost": 1}
        assert (going["stages"], going["bound"]) == ({"decode": 0.9, "fetch": 0.1}, "decoding")
        # An hour of the run costs 3,600, one of each worker 1,800: per second 1 and 0.5.
        until(lambda: said(tmp_path)["cost"] >= 0.1)
        now = said(tmp_path)
        assert now["seconds"] < now["cost"] * 1.1 < 2.3 * now["seconds"]
        told.committing()
    assert said(tmp_path)["state"] == "finished"
    events = [line["event"] for line in log_lines(Dataset.open(str(tmp_path)), "r")]
    assert events == ["run.planned", "workers.lost", "run.ended"]


def test_status_says_gpu_where_the_workers_computed_on_one(tmp_path: Path) -> None:
    Dataset.create(str(tmp_path))
    on_gpu = Tick({"ok": 4}, 4, 500, {"decode": 0.2, "classify": 0.9}, 1.2, {"classify": 0.9})
    with recorder(tmp_path) as told:
        told.planned(shards=2, sources=10, note="sources, classify")
        told.tick(on_gpu)
        until(lambda: said(tmp_path)["sources"] == 4)
        assert (said(tmp_path)["bound"], said(tmp_path)["gpu"]) == ("classify", ["classify"])
        found = life.last(Dataset.open(str(tmp_path)))
        assert found is not None
        lines = live_lines.going(found.told())
        assert any(line.startswith("  bound by GPU: analyzer classify;") for line in lines)
        # A run of an imgbatch that said nothing of GPUs.
        assert found.progress is not None
        del found.progress["gpu"]
        lines = live_lines.going(found.told())
        assert any(line.startswith("  bound by CPU: analyzer classify;") for line in lines)
        # A worker was lost, and what it told is taken back.
        told.tick(_opposite(on_gpu))
        until(lambda: said(tmp_path)["sources"] == 0)
        assert said(tmp_path)["gpu"] == []


@pytest.mark.parametrize("chip", ["cuda", "cpu"])
def test_a_worker_tells_which_analyzers_compute_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chip: str
) -> None:
    monkeypatch.setattr(analyzers, "device", lambda: chip)
    monkeypatch.setattr(squares, "NEEDS", replace(squares.NEEDS, gpu_if_any=0.25))
    recipe = RECIPE + '[analyzers."tests.squares"]\n'
    run_inline(many(tmp_path / "c", 4), tmp_path / "d", recipe=recipe, limits=OFTEN)
    (told,) = (tmp_path / "d/runs").glob("*/progress.json")
    progress = json.loads(told.read_text())
    assert progress["stages"]["tests.squares"] > 0
    assert progress["gpu"] == (["tests.squares"] if chip == "cuda" else [])


def test_a_run_that_lists_for_long_is_seen_and_a_typing_error_leaves_nothing(
    tmp_path: Path,
) -> None:
    with pytest.raises(JobError), recorder(tmp_path / "d") as told:  # noqa: PT012 - its whole life
        time.sleep(0.1)
        assert not (tmp_path / "d").exists()
        told.listing(1000)
        until((tmp_path / "d" / name("r")).exists)
        found = life.last(Dataset.open(str(tmp_path / "d")))
        assert found is not None
        assert (found.run, found.state, found.alive) == ("r", "listing", True)
        assert found.progress is not None
        assert found.progress["listed"] == 1000
        raise JobError("the end")
    assert said(tmp_path / "d")["state"] == "failed"
    assert said(tmp_path / "d")["error"] == "JobError"


def test_a_run_that_found_nothing_to_do_takes_its_progress_away(tmp_path: Path) -> None:
    Dataset.create(str(tmp_path))
    with recorder(tmp_path) as told:
        told.listing(1)
        until((tmp_path / name("r")).exists)
    assert life.last(Dataset.open(str(tmp_path))) is None


def test_a_store_that_does_not_take_progress_ends_no_run_and_is_told_of(tmp_path: Path) -> None:
    Dataset.create(str(tmp_path))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/r").touch()  # nothing can be written below
    with recorder(tmp_path) as told:
        told.planned(shards=1, sources=1, note="sources")
        told.tick(Tick({"ok": 1}, 1))
        (tmp_path / "runs/r").unlink()
        until((tmp_path / name("r")).exists)
    assert said(tmp_path)["missed"] >= 1
    lines = log_lines(Dataset.open(str(tmp_path)), "r")
    assert "progress.missed" in [line["event"] for line in lines]


def test_no_progress_names_a_source_or_where_it_is(tmp_path: Path) -> None:
    run_inline(many(tmp_path / "private", 4), tmp_path / "d", recipe=RECIPE, limits=OFTEN)
    (told,) = (tmp_path / "d/runs").glob("*/progress.json")
    assert "private" not in told.read_text()


def cancelling(dataset: Path, others: list[object]) -> Any:
    """An engine whose run is asked to end when its first shard has come back."""

    def engine(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        events = crew.inline(job, tasks)
        for event in events:
            yield event
            if isinstance(event, Finished):
                others.append(cancel.ask(Dataset.open(str(dataset)).store, job.run))
                break
        events.close()
        while True:  # it would go on for ever
            time.sleep(0.01)
            yield Crewed(1, 0)

    return engine


def test_a_cancelled_run_commits_what_is_finished_and_the_next_one_goes_on(tmp_path: Path) -> None:
    corpus, d = many(tmp_path / "in", 10), tmp_path / "d"
    request = Request(str(corpus), str(d), RECIPE, "inline")
    asked: list[object] = []
    with pytest.raises(CancelledError, match="was cancelled from"):
        run(request, OFTEN, cancelling(d, asked), Silent())
    assert asked == [True]
    dataset = Dataset.open(str(d))
    found = life.last(dataset)
    assert found is not None
    assert (found.state, found.alive) == ("cancelled", False)
    assert dataset.runs()[-1]["status"] == "cancelled"
    assert 2 <= dataset.read("sources").num_rows < 10
    assert not (d / "lock.json").exists()
    # The request is of that run alone.
    assert run_inline(corpus, d, recipe=RECIPE, limits=OFTEN).shards < 5
    run_inline(corpus, tmp_path / "fresh", recipe=RECIPE, limits=OFTEN)
    assert_equal(tmp_path / "fresh", d)


def test_a_retry_is_cancelled_like_a_run(tmp_path: Path) -> None:
    corpus, d = many(tmp_path / "in", 6), tmp_path / "d"
    for file in corpus.iterdir():
        file.write_bytes(file.read_bytes()[:300])
    run_inline(corpus, d, recipe=RECIPE, limits=OFTEN)
    again = Again(str(d), ("decode.*",), "inline")
    with pytest.raises(CancelledError):
        retry(again, OFTEN, cancelling(d, []), Silent())
    assert Dataset.open(str(d)).runs()[-1]["status"] == "cancelled"


def test_a_run_is_cancelled_while_it_lists(tmp_path: Path) -> None:
    with pytest.raises(CancelledError), recorder(tmp_path / "d") as told:  # noqa: PT012 - the same
        told.listing(1000)
        until((tmp_path / "d" / name("r")).exists)
        cancel.ask(Dataset.open(str(tmp_path / "d")).store, "r")
        until(lambda: told.listing(2000))
    assert said(tmp_path / "d")["state"] == "cancelled"


def test_who_asks_again_is_told_that_somebody_did(tmp_path: Path) -> None:
    store = Dataset.create(str(tmp_path)).store
    assert cancel.asked(store, "r") is None
    assert [cancel.ask(store, "r"), cancel.ask(store, "r")] == [True, False]
    assert cancel.asked(store, "other") is None


def test_a_run_at_work_is_seen_by_its_lock_before_it_says_anything(tmp_path: Path) -> None:
    def look() -> None:
        found = life.last(Dataset.open(str(tmp_path / "d")))
        assert found is not None
        assert (found.state, found.alive) == ("planned", True)
        with pytest.raises(BusyError):
            run_inline(tmp_path / "in", tmp_path / "d", recipe=RECIPE)

    run_inline(many(tmp_path / "in", 3), tmp_path / "d", recipe=RECIPE, before_work=look)


@pytest.mark.parametrize("ends", ["finished", "cancelled", "failed", "interrupted"])
def test_a_run_is_not_called_ended_before_its_whole_log_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Who follows a log reads it for the last time once the run is called ended."""
    corpus, d = many(tmp_path / "in", 4), tmp_path / "d"
    logs: dict[str, int] = {}
    put = LocalStore.put

    def watched(store: LocalStore, name: str, data: bytes) -> None:
        put(store, name, data)
        if name.startswith("runs/") and (found := life.last(Dataset.open(str(d)))):
            lines = [line["event"] for line in log_lines(Dataset.open(str(d)), found.run)]
            logs.setdefault("going" if found.alive else found.state, len(lines))

    def failing(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        yield from crew.inline(job, tasks[:1])
        raise JobError("lost")

    def left(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        yield from crew.inline(job, tasks[:1])
        raise KeyboardInterrupt

    engines = {"finished": crew.inline, "cancelled": cancelling(d, []), "failed": failing}
    engines["interrupted"] = left
    monkeypatch.setattr(LocalStore, "put", watched)
    with contextlib.suppress(CancelledError, JobError, KeyboardInterrupt):
        run(Request(str(corpus), str(d), RECIPE, "inline"), OFTEN, engines[ends], Silent())
    dataset = Dataset.open(str(d))
    (record,) = dataset.runs()
    lines = [line["event"] for line in log_lines(dataset, record["run"])]
    assert set(logs) == {"going", ends}
    assert (logs[ends], lines[0], lines[-1]) == (len(lines), "run.planned", "run.ended")
