"""A schedule enters; a line of the user's crontab leaves, in a block that is marked as ours.

Decision, 2026-11: the line wakes the schedule four times an hour, at its own minutes and at those a
quarter of an hour off. A cron knows only the machine's own time zone, and what passes while the
machine is off or asleep never comes: this way any zone is right (all are whole quarters of an hour
from each other) and what was missed comes within 15 minutes. Drawback: three times an hour Python
starts for 0.3 s to see that nothing is due.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cronsim import CronSim

from imgbatch.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule

SECONDS = 30
QUARTER, HOUR = 15, 60
BEGIN = "# begin: made by `imgbatch schedule`, which adds and removes lines here"
END = "# end: made by `imgbatch schedule`"
# Of a first mark whose last one somebody deleted, the next first one is no part.
_BLOCK = re.compile(
    rf"^{re.escape(BEGIN)}\n((?:(?!{re.escape(BEGIN)}$).*\n)*?){re.escape(END)}\n", re.MULTILINE
)


def line(schedule: Schedule, folder: Path, command: Sequence[str]) -> str:
    """Return the line that wakes a schedule."""
    minutes = {minute % QUARTER for minute in CronSim(schedule.cron, datetime.now(UTC)).minutes}
    at = sorted(minute + quarter for minute in minutes for quarter in range(0, HOUR, QUARTER))
    when = "*" if len(at) == HOUR else ",".join(map(str, at))
    words = [f"IMGBATCH_SCHEDULE_FOLDER={shlex.quote(str(folder))}", *map(shlex.quote, command)]
    # To cron itself a % is a line break. What goes to stderr it sends by mail, if it can.
    return f"{when} * * * * {' '.join(words)} >/dev/null".replace("%", "\\%")


def with_line(table: str, name: str, new: str | None) -> str:
    """Return a crontab with another line for a schedule; None: with none. What is not ours stays.

    Args:
        table: the text of the crontab.
        name: the schedule's.
        new: its line.
    """
    # By its own mark it is found outside of the block too, whose marks somebody may have deleted.
    texts = table.splitlines(keepends=True)
    table = "".join(text for text in texts if not text.rstrip("\n").endswith(_mark(name)))
    found = _BLOCK.search(table)
    kept = found[1].splitlines() if found else []
    kept += [new + _mark(name)] if new else []
    block = "\n".join([BEGIN, *kept, END, ""]) if kept else ""
    if found:
        return table[: found.start()] + block + table[found.end() :]
    glue = "\n" if block and table and not table.endswith("\n") else ""
    return table + glue + block


def place(schedule: Schedule, folder: Path, command: Sequence[str]) -> None:
    """Put the line of a schedule into the crontab.

    Raises:
        ScheduleError: there is no cron, or it does not take it.
    """
    with _alone(folder):
        _write(with_line(_read(), _own(folder, schedule.name), line(schedule, folder, command)))


def take_away(folder: Path, name: str) -> None:
    """Take the line of a schedule out of the crontab.

    Raises:
        ScheduleError: there is no cron, or it does not take it.
    """
    with _alone(folder):
        before = _read()
        after = with_line(before, _own(folder, name), None)
        if after != before:
            _write(after)
        if there(folder, name):
            raise ScheduleError(
                f"the crontab still has the line of schedule {name}",
                "Delete it by `crontab -e`, then try again.",
            )


def there(folder: Path, name: str) -> bool:
    """Return whether the crontab has the line of a schedule, and cron reads it."""
    mark = _mark(_own(folder, name))
    return any(
        text.endswith(mark) and not text.lstrip().startswith("#") for text in _read().splitlines()
    )


def _mark(name: str) -> str:
    return f" # {name}"


def _own(folder: Path, name: str) -> str:
    """Return what tells a line from another folder's of that name."""
    return f"{folder}/{name}".replace("%", "\\%")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one of two that change the crontab at once wait: each writes the whole of it."""
    with (folder / "crontab.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read() -> str:
    done = _crontab("-l", b"")
    if done.returncode and b"no crontab for" not in done.stderr:
        raise ScheduleError(f"crontab -l: {_said(done)}")
    # Its bytes come back as they were: a user's own lines are in whatever encoding.
    return "" if done.returncode else os.fsdecode(done.stdout)


def _write(table: str) -> None:
    done = _crontab("-", os.fsencode(table))
    if done.returncode:
        raise ScheduleError(f"crontab: {_said(done)}", "Add it with --timer loop.")


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode("utf-8", "replace").strip()


def _crontab(word: str, table: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - cron's own program, no shell
            ["crontab", word],  # noqa: S607 - wherever the system has it
            input=table,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ScheduleError(f"crontab: {error}", "Add it with --timer loop.") from error
