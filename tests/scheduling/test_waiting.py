"""A tick whose command finds another run at work on its dataset: nothing is lost of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.lock import RunLock
from imgbatch.scheduling import firing, journal
from imgbatch.scheduling.loop import loop
from imgbatch.storage import open_store
from tests import corpus
from tests.scheduling import made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule

MONTH = "0 3 1 * *"
SOON = journal.AGAIN_AFTER + 60


class _OverError(Exception):
    pass


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of one picture."""
    corpus.many(tmp_path / "in", 1)
    corpus.run_inline(tmp_path / "in", tmp_path / "own", recipe="[analyzers.image]\n")
    return tmp_path / "own"


@pytest.fixture
def at_work(dataset: Path) -> Iterator[RunLock]:
    """Another run that holds it, until it is released."""
    lock = RunLock.take(open_store(str(dataset)), "by-hand", expires=60)
    yield lock
    lock.release()


def takedown(home: Path, dataset: Path, **more: Any) -> Schedule:
    source = next(dataset_sources(dataset))
    words = ["forget", str(dataset), "--source", source, "--yes"]
    since = time.time() - 40 * made.DAY
    return made.schedule(home, cron=MONTH, since=since, words=words, **more)


def dataset_sources(dataset: Path) -> Iterator[str]:
    for batch in Dataset.open(str(dataset)).batches("manifest", columns=["source_id"]):
        yield from batch["source_id"].to_pylist()


def test_a_takedown_that_meets_a_run_is_done_once_that_has_ended(
    tmp_path: Path, dataset: Path, at_work: RunLock
) -> None:
    told, now = tmp_path / "told", time.time()
    schedule = takedown(tmp_path, dataset, notify_command=f"cat >> {told}")
    record = firing.run_due(tmp_path, schedule, now=now)
    assert record is not None
    assert (record["state"], record["code"]) == ("waiting", 19)
    assert "by-hand is at work" in record["error"]
    # Neither at once again, nor just twice as what was cut off.
    assert firing.run_due(tmp_path, schedule, now=now) is None
    record = firing.run_due(tmp_path, schedule, now=time.time() + SOON)
    assert record is not None
    assert record["state"] == "waiting"
    assert not list((tmp_path / "daily/logs").iterdir())
    at_work.release()
    record = firing.run_due(tmp_path, schedule, now=time.time() + SOON)
    assert record is not None
    assert record["state"] == "ok"
    assert list(dataset_sources(dataset)) == []
    assert firing.run_due(tmp_path, schedule, now=time.time() + SOON) is None
    assert not told.exists()


def test_one_that_is_cut_off_after_a_wait_is_begun_once_more_only(
    tmp_path: Path, dataset: Path
) -> None:
    schedule, now = takedown(tmp_path, dataset), time.time()
    own, tick = tmp_path / "daily", schedule.next(now - 32 * made.DAY)
    begun = {"tick": tick, "at": now - made.DAY}
    for _ in range(3):
        journal.note(own, journal.BEGAN, **begun)
        journal.note(own, journal.ENDED, **begun, state=journal.WAITING)
    for _ in range(journal.ATTEMPTS):
        assert journal.due(schedule, journal.lines(own), now) == journal.Due(tick, again=True)
        journal.note(own, journal.BEGAN, **begun)
    assert journal.due(schedule, journal.lines(own), now) is None


@pytest.mark.slow
def test_a_wait_of_half_a_day_is_told_once(
    tmp_path: Path, dataset: Path, at_work: RunLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    schedule = takedown(tmp_path, dataset, notify_command=f"cat >> {told}")
    monkeypatch.setattr(journal, "TELL_AFTER", 0.01)
    for _ in range(3):
        assert firing.run_due(tmp_path, schedule, now=time.time() + SOON) is not None
        at = [line["at"] for line in journal.lines(tmp_path / "daily")]
        monkeypatch.setattr(journal, "TELL_AFTER", 0.01 if len(at) == 2 else 1e6)
    assert [json.loads(line)["state"] for line in told.read_text().splitlines()] == ["waiting"]
    assert "by-hand is at work" in told.read_text()
    at_work.release()
    record = firing.run_due(tmp_path, schedule, now=time.time() + SOON)
    assert record is not None
    assert record["state"] == "ok"


def test_by_hand_it_fails_as_the_command_does(
    tmp_path: Path, dataset: Path, at_work: RunLock
) -> None:
    record = firing.run_now(tmp_path, takedown(tmp_path, dataset))
    assert (record["state"], record["code"]) == ("failed", 19)
    assert at_work


@pytest.mark.slow
def test_the_loop_tries_it_again(tmp_path: Path, dataset: Path, at_work: RunLock) -> None:
    takedown(tmp_path, dataset)
    states: list[str] = []
    now = [time.time()]

    def start(schedule: Schedule) -> Any:
        record = firing.run_due(tmp_path, schedule, now=now[0])
        assert record is not None
        states.append(record["state"])
        if len(states) == 2:
            at_work.release()
        return lambda: 0

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > time.time() + 3 * SOON:
            raise _OverError

    with pytest.raises(_OverError):
        loop(tmp_path, start=start, say=print, clock=lambda: now[0], sleep=sleep)
    assert states == ["waiting", "waiting", "ok"]
