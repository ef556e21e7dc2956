"""A schedule enters; systemd or cron of this user wakes it from now on, or wakes it no more.

What they start is `python -m imgbatch schedule run NAME --due`, with the Python that they were
placed by. Whether a tick is due is no question of theirs (`imgbatch.scheduling.journal`).
"""

from __future__ import annotations

import subprocess
import sys
from shutil import which
from typing import TYPE_CHECKING, get_args

from imgbatch.errors import ScheduleError
from imgbatch.scheduling import crontab, units
from imgbatch.scheduling.kept import Timer

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule


def best() -> Timer:
    """Return what can wake a schedule here: systemd, else cron, else a loop to be started."""
    if units.alive():
        return "systemd"
    return "cron" if which("crontab") else "loop"


def chosen(word: str) -> Timer:
    """Return the timer of a name; `auto` is the best that there is here."""
    return next((timer for timer in get_args(Timer) if timer == word), None) or best()


def place(folder: Path, schedule: Schedule) -> None:
    """Have the timer of a schedule wake it.

    Raises:
        ScheduleError: there is no such timer here, or it does not take it.
    """
    command = [sys.executable, "-P", "-m", "imgbatch", "schedule", "run", schedule.name, "--due"]
    if schedule.timer == "systemd":
        units.place(schedule, folder, command)
    elif schedule.timer == "cron":
        crontab.place(schedule, folder, command)


def take_away(folder: Path, name: str, timer: Timer | None) -> None:
    """Have nothing wake a schedule any more; one that nothing wakes is no error.

    Args:
        folder: of the schedules.
        name: the schedule's.
        timer: what wakes it; None: nobody knows, as its file is damaged, and any may.

    Raises:
        ScheduleError: the timer cannot be reached.
    """
    if timer == "systemd" or (timer is None and units.of_folder(folder, name)):
        units.take_away(folder, name)
    if timer == "cron" or (timer is None and which("crontab")):
        crontab.take_away(folder, name)


def problem(folder: Path, schedule: Schedule) -> str | None:
    """Return why nothing wakes a schedule, and what to do; None: something does."""
    from imgbatch.scheduling import loop  # noqa: PLC0415 - it starts what this module names

    anew = f"`imgbatch schedule remove {schedule.name}`, and add it anew"
    try:
        if schedule.timer == "systemd" and not units.there(folder, schedule.name):
            return f"no timer of systemd wakes it: {anew}"
        if schedule.timer == "cron" and not crontab.there(folder, schedule.name):
            return f"no line of the crontab wakes it: {anew}"
    except (ScheduleError, subprocess.SubprocessError) as error:
        return str(error)
    if schedule.timer == "loop" and not loop.at_work(folder):
        return "nothing wakes it: start `imgbatch schedule loop` and keep it going"
    return None
