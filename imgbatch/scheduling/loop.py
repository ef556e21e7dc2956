"""What wakes schedules where neither systemd nor cron does: in a container, say. Ends by a signal.

Each command is a process of its own, so that a long one keeps no other waiting.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from imgbatch.errors import ScheduleError
from imgbatch.scheduling import journal, kept
from imgbatch.settings import inherited

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule

LOCK = "loop.lock"
# A schedule that is added meanwhile is seen, and a clock that jumps is noticed, within so long.
LONGEST = 30.0
SHORTEST = 0.5


def loop(
    folder: Path,
    *,
    start: Callable[[Schedule], None],
    say: Callable[[str], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wake the schedules of a folder that have no other timer, until a signal ends it.

    Args:
        folder: of the schedules.
        start: starts the command of one, and comes back at once.
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
        started: dict[str, journal.Due] = {}
        while True:
            sleep(_round(folder, started, start, say, clock()))


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


def start_process(folder: Path) -> Callable[[Schedule], None]:
    """Return what starts schedules of a folder as processes, and takes note of those that ended."""
    children: list[subprocess.Popen[bytes]] = []

    def start(schedule: Schedule) -> None:
        children[:] = [child for child in children if child.poll() is None]
        command = [sys.executable, "-m", "imgbatch", "schedule", "run", schedule.name, "--due"]
        children.append(
            subprocess.Popen(  # noqa: S603 - our own program, no shell
                command,
                stdin=subprocess.DEVNULL,
                env=inherited({"IMGBATCH_SCHEDULE_FOLDER": str(folder)}),
            )
        )

    return start


def _round(
    folder: Path,
    started: dict[str, journal.Due],
    start: Callable[[Schedule], None],
    say: Callable[[str], None],
    now: float,
) -> float:
    """Start what is due; return how long nothing will be."""
    wait = LONGEST
    for name in kept.names(folder):
        try:
            schedule = kept.get(folder, name)
        except ScheduleError as error:
            say(f"schedule {name}: {error}")  # one that is damaged keeps no other from its ticks
            continue
        if schedule.timer != "loop":
            continue
        found = journal.due(schedule, journal.lines(folder / name), now)
        if found and started.get(name) != found:
            started[name] = found
            say(f"schedule {name}: its command is due and begins")
            start(schedule)
        wait = min(wait, schedule.next(now) - now)
    return max(wait, SHORTEST)
