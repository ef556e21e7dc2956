"""The loop that wakes schedules where nothing else does, with its clock moved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import ScheduleError
from imgbatch.scheduling import firing, journal
from imgbatch.scheduling.loop import LONGEST, at_work, loop
from tests.scheduling import made

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule


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

    def start(schedule: Schedule) -> None:
        record = firing.run_due(folder, schedule, now=clock())
        ran.append(record and record["tick"])

    with pytest.raises(_OverError):
        loop(folder, start=start, say=lambda _: None, clock=clock, sleep=clock.sleep)
    return ran


def test_each_tick_is_run_at_its_time_and_once(tmp_path: Path) -> None:
    now = time.time()
    schedule = made.schedule(tmp_path, cron="*/10 * * * *", since=now)
    first = schedule.next(now)
    assert follow(tmp_path, Clock(now, first + 1250)) == [first, first + 600, first + 1200]
    assert follow(tmp_path, Clock(first + 1250, first + 1260)) == []


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
