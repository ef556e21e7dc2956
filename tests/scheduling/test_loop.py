"""The loop that wakes schedules where nothing else does, with its clock moved."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import ScheduleError
from imgbatch.scheduling import firing, journal
from imgbatch.scheduling.loop import LONGEST, PAUSE, TRIES, at_work, loop, start_process
from tests.scheduling import made

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule


Code = Callable[[], int | None]


class _OverError(Exception):
    pass


class Clock:
    """Moves by what is slept, up to its end."""

    def __init__(self, now: float, end: float, jumps: tuple[float, ...] = ()) -> None:
        self.now, self.end, self.jumps = now, end, list(jumps)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= LONGEST
        self.now += self.jumps.pop(0) if self.jumps else seconds
        if self.now > self.end:
            raise _OverError


def follow(folder: Path, clock: Clock) -> list[float | None]:
    """Let a loop go on to the clock's end; return the ticks that it really ran."""
    ran: list[float | None] = []

    def start(schedule: Schedule) -> Code:
        record = firing.run_due(folder, schedule, now=clock())
        ran.append(record and record["tick"])
        return lambda: 0

    with pytest.raises(_OverError):
        loop(folder, start=start, say=lambda _: None, clock=clock, sleep=clock.sleep)
    return ran


def test_each_tick_is_run_at_its_time_and_once(tmp_path: Path) -> None:
    now = time.time()
    schedule = made.schedule(tmp_path, cron="*/10 * * * *", since=now)
    first = schedule.next(now)
    assert follow(tmp_path, Clock(now, first + 1250)) == [first, first + 600, first + 1200]
    assert follow(tmp_path, Clock(first + 1250, first + 1260)) == []


def test_no_file_of_the_folder_where_it_was_started_is_run_in_place_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(77)\n")
    monkeypatch.chdir(tmp_path)
    schedule = made.schedule(tmp_path)
    code_of = start_process(tmp_path)(schedule)
    while (code := code_of()) is None:
        time.sleep(0.02)
    told = [line["event"] for line in journal.lines(tmp_path / "daily")]
    assert (code, told) == (0, ["began", "ended"])


def test_a_long_journal_does_not_look_like_one_that_nothing_came_to(tmp_path: Path) -> None:
    """Its end is read, so the count of lines that are read stays the same."""
    now = time.time()
    schedule = made.schedule(tmp_path, cron="* * * * *", since=now - 120)
    said = {"event": journal.SKIPPED, "tick": now - 1e6, "x": "x" * 1000}
    text = f"\n{json.dumps(said)}\n" * (3 * journal.TAIL // 1000)
    (tmp_path / "daily" / journal.FILE).write_text(text)

    def start(_: Schedule) -> Code:
        # It ends as it should, for an older tick than the one that it was started for.
        with (tmp_path / "daily" / journal.FILE).open("a") as file:
            file.write(f"\n{json.dumps({**said, 'event': journal.ENDED})}\n")
        return lambda: 0

    spoken: list[str] = []
    clock = Clock(now, now + 6 * PAUSE)
    with pytest.raises(_OverError):
        loop(tmp_path, start=start, say=spoken.append, clock=clock, sleep=clock.sleep)
    assert [text for text in spoken if "tries" in text] == []
    assert schedule.timer == "loop"


def test_what_passed_while_no_loop_was_there_is_caught_up_once(tmp_path: Path) -> None:
    now = time.time()
    schedule = made.schedule(tmp_path, since=now)
    later = now + 5.5 * made.DAY
    (tick,) = follow(tmp_path, Clock(later, later + 100))
    assert tick is not None
    assert later - made.DAY < tick <= later < schedule.next(tick)


def test_a_machine_that_slept_for_days_in_the_middle_runs_once_when_it_wakes(
    tmp_path: Path,
) -> None:
    now = time.time()
    made.schedule(tmp_path, since=now)
    assert len(follow(tmp_path, Clock(now, now + 4 * made.DAY + 90, (4 * made.DAY,)))) == 1


def test_a_damaged_schedule_keeps_no_other_from_its_ticks(tmp_path: Path) -> None:
    made.schedule(tmp_path)
    made.schedule(tmp_path, name="another")
    (tmp_path / "another/schedule.json").write_text("{")
    now = time.time()
    assert len(follow(tmp_path, Clock(now, now + 10))) == 1
    assert [line["event"] for line in journal.lines(tmp_path / "daily")] == ["began", "ended"]


def daily() -> str:
    """A cron whose last tick is two hours ago and more, and its next one far."""
    return f"0 {(time.gmtime().tm_hour - 2) % 24} * * *"


def told_by(folder: Path, clock: Clock, start: Callable[[Schedule], Code]) -> list[str]:
    """Let a loop go on to the clock's end; return what it said."""
    said: list[str] = []
    with pytest.raises(_OverError):
        loop(folder, start=start, say=said.append, clock=clock, sleep=clock.sleep)
    return said


def test_a_process_that_cannot_be_started_ends_no_loop_and_loses_no_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules = [made.schedule(tmp_path, name=name, cron=daily()) for name in ("daily", "other")]
    now = time.time()
    clock = Clock(now, now + 3 * PAUSE)
    python, tries, process = sys.executable, [0], start_process(tmp_path)

    def start(schedule: Schedule) -> Code:
        tries[0] += schedule.name == "daily"
        there = schedule.name != "daily" or tries[0] > 2
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", python if there else str(tmp_path / "python"))
            code = process(schedule)
        while code() is None:
            time.sleep(0.02)
        return code

    said = told_by(tmp_path, clock, start)
    assert sum("no process can be started, not yet: " in text for text in said) == 2
    for schedule in schedules:
        told = journal.lines(tmp_path / schedule.name)
        assert [line["event"] for line in told] == ["began", "ended"]


@pytest.mark.parametrize("cron", [daily(), "*/5 * * * *"], ids=["daily", "often"])
def test_a_command_that_never_begins_is_tried_again_and_then_told(
    tmp_path: Path, cron: str
) -> None:
    told = tmp_path / "told.jsonl"
    schedule = made.schedule(tmp_path, cron=cron, notify_command=f"cat >> {told}")
    tries: list[float] = []
    now = time.time() // PAUSE * PAUSE + 1
    clock = Clock(now, now + TRIES * PAUSE + LONGEST)

    def start(_: Schedule) -> Code:
        tries.append(clock())
        return lambda: -9  # as one that the system kills for its memory

    said = told_by(tmp_path, clock, start)
    assert len(tries) == TRIES
    assert any("ended with -9 before it began" in text for text in said)
    (line,) = journal.lines(tmp_path / "daily")
    assert (line["event"], line["state"]) == ("ended", "failed")
    (notice,) = map(json.loads, told.read_text().splitlines())
    assert notice["error"] == "its process ended with -9 before it began, the last of 4 tries"
    assert journal.due(schedule, [line], line["tick"]) is None
    assert journal.due(schedule, [line], line["tick"] + made.DAY) is not None


def test_a_disk_that_is_full_ends_no_loop_and_its_tick_stays_due(
    tmp_path: Path, hook: tuple[str, list[bytes], list[int]]
) -> None:
    url, posted, _ = hook
    made.schedule(tmp_path, cron=daily(), notify_url=url)
    now = time.time()
    clock = Clock(now, now + 4 * TRIES * PAUSE)
    with made.full():
        said = told_by(tmp_path, clock, lambda _: lambda: -9)
    assert said.count("schedule daily: [Errno 27] File too large") > 2
    assert len(posted) == 1  # no hour of the real clock passed
    assert journal.lines(tmp_path / "daily") == []
    assert len(follow(tmp_path, Clock(clock(), clock() + 10))) == 1
    events = [line["event"] for line in journal.lines(tmp_path / "daily")]
    assert events == ["began", "ended"]


@pytest.mark.slow
def test_a_process_that_told_of_a_full_disk_is_tried_on_and_not_given_up(
    tmp_path: Path, hook: tuple[str, list[bytes], list[int]]
) -> None:
    url, posted, _ = hook
    made.schedule(tmp_path, cron=daily(), notify_url=url)
    tries: list[int] = []
    process = start_process(tmp_path)

    def start(schedule: Schedule) -> Code:
        tries.append(1)
        with contextlib.nullcontext() if len(tries) > TRIES + 1 else made.full():
            code = process(schedule)
        while code() is None:
            time.sleep(0.02)
        return code

    now = time.time()
    told_by(tmp_path, Clock(now, now + 2 * TRIES * PAUSE), start)
    assert len(tries) == TRIES + 2
    assert len(posted) == 1
    assert not (tmp_path / "daily/told-full").exists()
    events = [line["event"] for line in journal.lines(tmp_path / "daily")]
    assert events == ["began", "ended"]


def killed(child: subprocess.Popen[bytes]) -> None:
    """Kill a process and its command, as one group."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def test_a_command_at_work_is_left_alone_and_begun_again_once_it_is_killed(
    tmp_path: Path,
) -> None:
    made.schedule(tmp_path, words=made.LONG, cron=daily())
    own, begun = tmp_path / "daily", list[subprocess.Popen[bytes]]()

    def events() -> list[str]:
        return [line["event"] for line in journal.lines(own)]

    def start(_: Schedule) -> Code:
        child = subprocess.Popen(
            [sys.executable, "-m", "imgbatch", "schedule", "run", "daily", "--due"],
            env={**os.environ, "IMGBATCH_SCHEDULE_FOLDER": str(tmp_path)},
            start_new_session=True,
        )
        begun.append(child)
        while child.poll() is None and events().count("began") < len(begun):
            time.sleep(0.02)
        return child.poll

    counts: list[int] = []

    def sleep(_: float) -> None:
        counts.append(len(begun))
        if len(counts) in (3, 5):
            killed(begun[-1])
            while firing.at_work(own):
                time.sleep(0.02)
        if len(counts) == 6:
            raise _OverError

    now = time.time()
    try:
        with pytest.raises(_OverError):
            loop(tmp_path, start=start, say=print, clock=lambda: now, sleep=sleep)
    finally:
        for child in begun:
            killed(child)
    assert counts == [1, 1, 1, 2, 2, 2]
    assert events() == ["began", "told", "began"]


def test_one_loop_is_enough(tmp_path: Path) -> None:
    inside: list[bool] = []
    refused: list[str] = []
    assert not at_work(tmp_path)

    def sleep(_: float) -> None:
        inside.append(at_work(tmp_path))
        with pytest.raises(ScheduleError, match="a loop is at work") as told:
            loop(tmp_path, start=print, say=print)
        refused.append(str(told.value))
        raise _OverError

    with pytest.raises(_OverError):
        loop(tmp_path, start=print, say=print, sleep=sleep)
    assert inside == [True]
    assert refused
    assert not at_work(tmp_path)
