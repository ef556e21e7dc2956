"""What wakes schedules where neither systemd nor cron does: in a container, say. Ends by a signal.

Each command is a process of its own, so that a long one keeps no other waiting. A process that
could not be started, or that ended before it noted anything, is started again; where that comes to
nothing time and again, the tick counts as failed, and whoever is to know of failures is told. One
that came upon a full disk tells that itself: its tick stays due, and is tried on.
"""

from __future__ import annotations

import fcntl
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.errors import RunError, ScheduleError, StorageError
from imgbatch.scheduling import firing, journal, kept, notice
from imgbatch.settings import inherited

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule

LOCK = "loop.lock"
# A schedule that is added meanwhile is seen, and a clock that jumps is noticed, within so long.
LONGEST = 30.0
SHORTEST = 0.5
# A machine that refuses a process, and a disk that is full, often do so for some minutes.
TRIES, PAUSE = 4, 300.0
GIVEN_UP = "given-up"


Starter = Callable[["Schedule"], Callable[[], int | None]]
"""Starts a command, comes back at once with what tells its exit code; None: it goes on."""


@dataclass(frozen=True, slots=True)
class Start:
    """The last start of a schedule's command.

    Attributes:
        due: the tick that it was for.
        size: of the journal, in bytes.
        at: seconds since 1970.
        fruitless: how many starts before it came to nothing, one after the other.
        code: tells its exit code; None: it could not be started.
    """

    due: journal.Due
    size: int
    at: float
    fruitless: int
    code: Callable[[], int | None] | None

    def told_itself(self) -> bool:
        """Return whether it ended by telling that the schedule's disk takes nothing."""
        return self.code is not None and self.code() == StorageError.exit_code

    def came_to(self) -> str:
        """Return what came of it, where nothing came to the journal."""
        if self.code is None:
            return "could not be started"
        code = self.code()
        return "does nothing" if code is None else f"ended with {code} before it began"


def loop(
    folder: Path,
    *,
    start: Starter,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wake the schedules of a folder that have no other timer, until a signal ends it.

    Args:
        folder: of the schedules.
        start: starts the command of one.
        say: told of each.
        clock: seconds since 1970.
        sleep: waits so many seconds.

    Raises:
        ScheduleError: a loop is at work on this folder already.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK).open("a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ScheduleError(
                f"a loop is at work on {folder} already", "One is enough for all schedules."
            ) from error
        waking = _Waking(folder, start, say)
        while True:
            now = clock()
            wait = LONGEST
            for name in kept.names(folder):
                # What is wrong with one, its file or its disk, keeps no other from its ticks.
                try:
                    schedule = kept.get(folder, name)
                    if schedule.timer == "loop":
                        waking.wake(schedule, now)
                        wait = min(wait, schedule.next(now) - now)
                except (RunError, OSError) as error:
                    say(f"schedule {name}: {error}")
            sleep(max(wait, SHORTEST))


def at_work(folder: Path) -> bool:
    """Return whether a loop is at work on a folder of schedules."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def start_process(folder: Path) -> Starter:
    """Return what starts schedules of a folder as processes, and takes note of those that ended."""
    children: list[subprocess.Popen[bytes]] = []

    def start(schedule: Schedule) -> Callable[[], int | None]:
        children[:] = [child for child in children if child.poll() is None]
        command = [
            sys.executable,
            "-P",
            "-m",
            "imgbatch",
            "schedule",
            "run",
            schedule.name,
            "--due",
        ]
        child = subprocess.Popen(  # noqa: S603 - our own program, no shell
            command,
            stdin=subprocess.DEVNULL,
            env=inherited({"IMGBATCH_SCHEDULE_FOLDER": str(folder)}),
        )
        children.append(child)
        return child.poll

    return start


class _Waking:
    """Starts commands whose ticks are due, and keeps in mind which it started."""

    def __init__(self, folder: Path, start: Starter, say: Callable[[str], None]) -> None:
        self._folder, self._start, self._say = folder, start, say
        self._starts: dict[str, Start] = {}

    def wake(self, schedule: Schedule, now: float) -> None:
        """Start a schedule's command if a tick is due, and none that was started is at it."""
        own = self._folder / schedule.name
        # Before its lines: what comes to it meanwhile is seen the next time.
        size = journal.size(own)
        found = journal.due(schedule, journal.lines(own), now)
        if found is None or (found.again and firing.at_work(own)):
            return
        former, fruitless = self._starts.get(schedule.name), 0
        if former and former.size == size:
            if former.due == found and 0 <= now - former.at < PAUSE:
                return
            fruitless = 0 if former.told_itself() else former.fruitless + 1
            if fruitless >= TRIES:
                del self._starts[schedule.name]
                error = f"its process {former.came_to()}, the last of {fruitless} tries"
                self._give_up(schedule, found, error)
                return
        self._say(f"schedule {schedule.name}: its command is due and begins")
        code_of = None
        try:
            code_of = self._start(schedule)
        except OSError as error:
            self._say(f"schedule {schedule.name}: no process can be started, not yet: {error}")
        self._starts[schedule.name] = Start(found, size, now, fruitless, code_of)

    def _give_up(self, schedule: Schedule, found: journal.Due, error: str) -> None:
        """Tell of a tick whose command never began, and note that it failed.

        Raises:
            OSError: the disk does not take it. The tick stays due.
        """
        record = {
            "schedule": schedule.name,
            "dataset": schedule.dataset,
            "words": schedule.words,
            "host": platform.node(),
            "tick": found.tick,
            "code": ScheduleError.exit_code,
            "state": "failed",
            "error": error,
        }
        self._say(f"schedule {schedule.name}: {error}")
        own = self._folder / schedule.name
        problems = notice.hourly(own, GIVEN_UP, schedule, record) or []
        journal.note(own, journal.ENDED, at=time.time(), notice_failed=problems, **record)
        notice.settled(own, GIVEN_UP)
