"""The run lock: who gets it, who is refused, when it is taken over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset.lock import NAME, Holder, RunLock, refuse_busy
from imgbatch.errors import BusyError, DatasetError, FencedError
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.storage import Store

ELSEWHERE = {"machine": "another", "host": "far", "pid": 1}


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return open_store(f"s3://{request.getfixturevalue('bucket')}/{uuid.uuid4().hex}")
    return open_store(str(tmp_path) if request.param == "file" else f"memory://{uuid.uuid4().hex}")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def written(store: Store) -> dict[str, object]:
    found: dict[str, object] = json.loads(store.get(NAME))
    return found


def leave(store: Store, **changed: object) -> None:
    """Put a lock there as a holder leaves it that does nothing more."""
    holder = json.loads(Holder.me("old", expires=60).encoded())
    store.put(NAME, json.dumps({**holder, **changed}).encode())


def send_replacements_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each one done, and then refused: the second request meets what the first one wrote."""
    replace = store.replace

    def sent_twice(name: str, data: bytes, version: str) -> str:
        replace(name, data, version)
        return replace(name, data, version)

    monkeypatch.setattr(store, "replace", sent_twice)


def lost(lock: RunLock) -> bool:
    try:
        lock.check()
    except FencedError:
        return True
    return False


def test_a_second_run_is_refused_and_told_who_holds_the_dataset(store: Store) -> None:
    refuse_busy(store)
    first = RunLock.take(store, "run1", expires=60)
    with pytest.raises(BusyError, match=r"run run1 is at work .* process \d+ on .*, since 20"):
        RunLock.take(store, "run2", expires=60)
    with pytest.raises(BusyError, match="run1"):
        refuse_busy(store)
    first.check()
    first.release()
    assert list(store.list()) == []
    RunLock.take(store, "run2", expires=60).release()


def test_a_holder_gives_signs_of_life(store: Store) -> None:
    lock = RunLock.take(store, "run1", expires=0.3)
    until(lambda: written(store)["beat"] == 3)
    lock.check()
    lock.release()


def test_who_took_the_lock_and_lost_the_answer_has_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_once = store.put_once

    def sent_twice(name: str, data: bytes) -> None:
        put_once(name, data)
        put_once(name, data)

    monkeypatch.setattr(store, "put_once", sent_twice)
    lock = RunLock.take(store, "run1", expires=60)
    with pytest.raises(BusyError, match="run1"):
        RunLock.take(store, "run2", expires=60)
    lock.release()
    assert list(store.list()) == []


def test_who_took_a_dead_ones_lock_and_lost_the_answer_has_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(store, pid=2**22 + 1)
    send_replacements_twice(store, monkeypatch)
    lock = RunLock.take(store, "run2", expires=60)
    assert written(store)["run"] == "run2"
    lock.release()


def test_a_holder_whose_signs_of_life_lose_their_answers_still_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_replacements_twice(store, monkeypatch)
    lock = RunLock.take(store, "run1", expires=0.3)
    until(lambda: lost(lock) or written(store)["beat"] == 3)
    lock.check()
    lock.release()


def test_a_holder_whose_process_is_gone_from_this_machine_is_taken_over_at_once(
    store: Store,
) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    leave(store, pid=child.pid, expires=1e9)
    refuse_busy(store)
    lock = RunLock.take(store, "run2", expires=60)
    assert written(store)["run"] == "run2"
    lock.release()


def test_a_dead_process_that_nobody_waited_for_is_gone_too(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    store = open_store(str(tmp_path))
    leave(store, pid=child.pid, expires=1e9)
    RunLock.take(store, "run2", expires=60).release()
    child.wait()


def test_a_process_number_of_another_machine_says_nothing(store: Store) -> None:
    leave(store, **{**ELSEWHERE, "pid": 2**22 + 1})
    with pytest.raises(BusyError, match="on far"):
        RunLock.take(store, "run2", expires=60)


def test_a_silent_holder_is_taken_over_and_notices(store: Store) -> None:
    slow = RunLock.take(store, "slow", expires=0.3)
    holder = written(store)
    slow._stop.set()
    slow._thread.join()
    leave(store, **{**holder, **ELSEWHERE, "at": 0.0, "expires": 0.3})
    quick = RunLock.take(store, "quick", expires=60)
    assert not slow._beat()
    slow.release()
    assert written(store)["run"] == "quick"
    quick.release()


def test_an_owner_whose_lock_went_to_another_is_fenced(store: Store) -> None:
    lock = RunLock.take(store, "run1", expires=0.3)

    def taken() -> bool:
        leave(store)  # again and again: a beat may just be under way, and write over it
        return lost(lock)

    until(taken)
    lock.release()
    assert written(store)["run"] == "old"


@pytest.mark.parametrize("off", [-7200.0, 7200.0])
def test_a_holder_whose_clock_is_hours_off_is_taken_over_once_it_is_dead(
    store: Store, off: float
) -> None:
    leave(store, **ELSEWHERE, at=time.time() + off, expires=0.3)
    refuse_busy(store)
    RunLock.take(store, "run2", expires=60).release()


@pytest.mark.parametrize("off", [-7200.0, 7200.0])
def test_a_holder_whose_clock_is_hours_off_is_not_taken_over_while_it_lives(
    tmp_path: Path, off: float
) -> None:
    store = open_store(str(tmp_path))
    at = time.time() + off
    leave(store, **ELSEWHERE, at=at, expires=3.0, token="its own")
    ended = threading.Event()

    def live() -> None:
        while not ended.wait(0.1):
            leave(store, **ELSEWHERE, at=at, expires=3.0, token="its own", beat=time.time_ns())

    living = threading.Thread(target=live)
    living.start()
    try:
        with pytest.raises(BusyError):
            RunLock.take(store, "run2", expires=60)
    finally:
        ended.set()
        living.join()


def test_of_many_that_take_over_one_dead_holder_exactly_one_gets_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    leave(store, **ELSEWHERE, at=0.0, expires=0.3)
    won: list[RunLock] = []
    busy: list[BusyError] = []
    barrier = threading.Barrier(8)

    def race() -> None:
        barrier.wait()
        try:
            won.append(RunLock.take(store, uuid.uuid4().hex, expires=60))
        except BusyError as error:
            busy.append(error)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(busy)) == (1, 7)
    won[0].release()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"run": "x"}'])
def test_a_lock_that_nobody_can_read_is_named(store: Store, text: str) -> None:
    store.put(NAME, text.encode())
    with pytest.raises(DatasetError, match=r"lock\.json is not readable"):
        RunLock.take(store, "run1", expires=60)
