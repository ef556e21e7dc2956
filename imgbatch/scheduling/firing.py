"""A schedule that was woken enters; its command is run if a tick is due and nothing is at work.

Decision, 2026-11: the lock is an flock on a file whose handle the command inherits, so it is held
for as long as the command lives, whoever kills what started it, and by nobody after a power
failure. Drawback: the folder of schedules must be on a disk of the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from imgbatch.errors import BusyError, ScheduleError, StorageError
from imgbatch.recurring import missed
from imgbatch.scheduling import journal, notice
from imgbatch.settings import inherited

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule

LOCK, LOGS = "lock", "logs"
LOGS_KEPT = 50
TAIL = 64 * 2**10
LOOKS, LOOK_SECONDS = 5, 0.02
# Kinds of failures that are told hourly where the journal does not take them.
FULL, CUT_OFF = "full", "cut-off"
NOT_BEGUN = "its command did not begin"
ROOM = (
    "Make room on its disk, or let this user write there. A tick that did not begin is still due: "
    "`imgbatch schedule run NAME --due` catches it up."
)


class AtWorkError(ScheduleError):
    """The schedule's command is at work already."""

    remedy = "Wait until it ends; `imgbatch schedule list` shows since when it is at work."


class ToldError(StorageError):
    """A disk that takes nothing, and whoever is to know was told within the hour."""


def run_due(folder: Path, schedule: Schedule, *, now: float) -> dict[str, Any] | None:
    """Run a schedule's command if a tick is due; return what came of it, None: none was due.

    Ticks that pass while it is at work are skipped, and the journal says so.

    Raises:
        StorageError: the disk of its folder is full, say. Whoever is to know of failures is told,
            once an hour.
    """
    own = folder / schedule.name
    with _told(own, schedule, NOT_BEGUN):
        seen = journal.due(schedule, journal.lines(own), now)
        if seen is None:
            return None
        try:
            with held(own) as lock:
                # Looked at again: somebody may have done it between the first look and the lock.
                told = journal.lines(own)
                found = journal.due(schedule, told, now)
                if found is None:
                    return None
                _tell_cut_off(own, schedule, told)
                return _fire(own, schedule, lock, tick=found.tick, again=found.again)
        except AtWorkError as error:
            if seen.again or journal.began(journal.lines(own), seen.tick):
                return None  # that very tick is at work
            return _skipped(own, schedule, seen.tick, str(error))


def run_now(folder: Path, schedule: Schedule) -> dict[str, Any]:
    """Run a schedule's command at once, whatever is due; return what came of it.

    Raises:
        AtWorkError: it is at work already.
        StorageError: the disk of its folder is full, say. Whoever is to know of failures is told,
            once an hour.
    """
    own = folder / schedule.name
    with _told(own, schedule, NOT_BEGUN), held(own) as lock:
        _tell_cut_off(own, schedule, journal.lines(own))
        return _fire(own, schedule, lock, tick=None)


@contextlib.contextmanager
def held(own: Path) -> Iterator[IO[bytes]]:
    """Hold the lock of a schedule.

    Raises:
        AtWorkError: its command holds it.
    """
    with (own / LOCK).open("ab") as lock:
        # Again for a moment: whoever only looks (`at_work`) holds it too, and not for longer.
        for _ in range(LOOKS):
            if _locked(lock, fcntl.LOCK_EX):
                yield lock
                return
            time.sleep(LOOK_SECONDS)
        raise AtWorkError(f"the command of schedule {own.name} is at work")


def at_work(own: Path) -> bool:
    """Return whether a schedule's command is at work."""
    try:
        with (own / LOCK).open("rb") as lock:
            return not _locked(lock, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _locked(lock: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _fire(
    own: Path, schedule: Schedule, lock: IO[bytes], *, tick: float | None, again: bool = False
) -> dict[str, Any]:
    log = _log_of(own)
    began = time.time()
    try:
        journal.note(own, journal.BEGAN, tick=tick, at=began, log=str(log), again=again)
    except OSError:
        log.unlink()  # the next tries would leave one each
        raise
    notice.settled(own, FULL)
    with _told(own, schedule, "its command began, and its log cannot be written"):
        code = _command(schedule, log, lock, shown=tick is None)
    with _told(own, schedule, f"its command ended with {code}, and its journal cannot be kept"):
        error = _error_in(log) if code else None
        state = _state(code, tick)
        waits = state == journal.WAITING
        told = state == "failed" or (waits and journal.waits_long(journal.lines(own), time.time()))
        record = {
            "schedule": schedule.name,
            "dataset": schedule.dataset,
            "words": schedule.words,
            "host": platform.node(),
            "tick": tick,
            "began": began,
            "seconds": round(time.time() - began, 1),
            "code": code,
            "state": state,
            "error": error,
            "log": None if waits else str(log),
        }
        record["notice_failed"] = notice.notify(schedule, record) if told else []
        _note_passed(own, schedule, tick)
        journal.note(own, journal.ENDED, at=time.time(), told=told, **record)
        if waits:
            log.unlink()  # its error is on record, and the many tries would push all others out
        _tidy(own / LOGS)
    return record


@contextlib.contextmanager
def _told(own: Path, schedule: Schedule, what: str) -> Iterator[None]:
    """Tell of a disk that takes no line of the journal: it cannot be read there afterwards.

    Args:
        own: the schedule's folder.
        schedule: whose folder lies on it.
        what: what came of its command.

    Raises:
        StorageError: in place of the system's own error.
    """
    try:
        yield
    except OSError as error:
        record = {
            "schedule": schedule.name,
            "dataset": schedule.dataset,
            "words": schedule.words,
            "host": platform.node(),
            "code": StorageError.exit_code,
            "state": "failed",
            "error": f"{what}: {error}",
        }
        problems = notice.hourly(own, FULL, schedule, record)
        said = [f"schedule {schedule.name}: {record['error']}"]
        said += [f"nobody was told of it: {problem}" for problem in problems or ()]
        kind = ToldError if problems is None else StorageError
        raise kind("; ".join(said), ROOM.replace("NAME", schedule.name)) from error


def _tell_cut_off(own: Path, schedule: Schedule, told: list[dict[str, Any]]) -> None:
    """Tell of a command that was killed before its end: it holds no lock, and noted no end."""
    former = journal.unended(told)
    if former is None:
        return
    record = {
        **{key: former.get(key) for key in ("tick", "log")},
        "schedule": schedule.name,
        "dataset": schedule.dataset,
        "words": schedule.words,
        "host": platform.node(),
        "began": former.get("at"),
        "state": journal.CUT_OFF,
        "error": "it was cut off before its end, by a reboot or a kill",
    }
    problems = notice.hourly(own, CUT_OFF, schedule, record) or []
    journal.note(own, journal.TOLD, at=time.time(), notice_failed=problems, **record)
    notice.settled(own, CUT_OFF)


def _state(code: int, tick: float | None) -> str:
    # Whatever another does to the dataset, it is not known to be what this command would do. One
    # that was begun by hand is tried again by hand.
    if code == BusyError.exit_code and tick is not None:
        return journal.WAITING
    return "failed" if code else "ok"


def _command(schedule: Schedule, log: Path, lock: IO[bytes], *, shown: bool) -> int:
    """Run the command with its output in a log, and on the terminal too if it is to be shown."""
    command = [sys.executable, "-P", "-m", "imgbatch", *schedule.words]
    with log.open("ab") as out:
        try:
            child = subprocess.Popen(  # noqa: S603 - our own program, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if shown else out,
                stderr=subprocess.STDOUT,
                cwd=schedule.folder,
                env=inherited(schedule.environment),
                pass_fds=[lock.fileno()],
            )
        except OSError as error:
            out.write(f"error: {error}\n".encode())
            return ScheduleError.exit_code
        with child:
            code = _watched(child, out)
    # As a shell says it of a command that a signal ended.
    return code if code >= 0 else 128 - code


def _watched(child: subprocess.Popen[bytes], out: IO[bytes]) -> int:
    """Wait for a command; what it prints into a pipe goes on to a log and the terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    while True:
        try:
            for line in child.stdout or ():
                out.write(line)
                # Not every terminal has the sign that replaces what is no text.
                said = line.decode(encoding, "replace").encode(encoding, "replace")
                sys.stdout.write(said.decode(encoding))
                sys.stdout.flush()
            return child.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the command too; it ends in its own way


def _note_passed(own: Path, schedule: Schedule, tick: float | None) -> None:
    """Note that the newest tick which passed while the command was at work is skipped."""
    if tick is None:
        return
    now = time.time()
    told = journal.lines(own)
    known = [line["tick"] for line in told if line.get("tick") and line["tick"] <= now]
    passed = missed(schedule.cron, schedule.timezone, after=max([tick, *known]), now=now)
    if passed is not None:
        _skipped(own, schedule, passed, f"the command of schedule {schedule.name} was at work")


def _skipped(own: Path, schedule: Schedule, tick: float, why: str) -> dict[str, Any]:
    record = {"schedule": schedule.name, "tick": tick, "state": "skipped", "error": why}
    journal.note(own, journal.SKIPPED, at=time.time(), **record)
    return {**record, "code": 0}


def _log_of(own: Path) -> Path:
    folder = own / LOGS
    folder.mkdir(exist_ok=True)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    path = folder / f"{stamp}.log"
    path.touch(mode=0o600)
    return path


def _error_in(log: Path) -> str | None:
    """Return the last line of a log that tells an error, else its last line."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        said = [line for line in file.read().decode("utf-8", "replace").splitlines() if line]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return (errors or said or [""])[-1] or None


def _tidy(logs: Path) -> None:
    for path in sorted(logs.glob("*.log"))[:-LOGS_KEPT]:
        path.unlink()
