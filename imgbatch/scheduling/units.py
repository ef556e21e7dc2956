"""A schedule enters; a timer of the user's own systemd leaves, and the service that it starts.

The timer has the schedule's own times, so `systemctl --user list-timers` tells them. It is
persistent: what passed while the machine was off comes when it is up. It fires once after each
start of the user's systemd too, for a command that was cut off.

Decision, 2026-11: it fires each quarter of an hour besides. A command that found another at work
on its dataset is tried again then. And systemd knows no time in the hour that clocks skip in
spring, and only the first of those that they repeat in autumn; the journal has a tick for both.
Drawback: as with cron, Python starts to see that nothing is due.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from cronsim import CronSim

from imgbatch.errors import ScheduleError
from imgbatch.settings import variables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.scheduling.kept import Schedule

SECONDS = 30
QUARTERS = "*-*-* *:00,15,30,45:00 UTC"
DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
HOURS_A_DAY, MINUTES_AN_HOUR = 24, 60
MONTHS_A_YEAR, MONTHS_DAYS = 12, 31


def calendars(cron: str, timezone: str) -> list[str]:
    """Return what systemd calls the times of a cron; any of them is a tick.

    Args:
        cron: five fields, of numbers.
        timezone: in which they count.
    """
    times = CronSim(cron, datetime.now(UTC))
    hours = _numbers(times.hours, HOURS_A_DAY)
    minutes = _numbers(times.minutes, MINUTES_AN_HOUR)
    months = _numbers(times.months, MONTHS_A_YEAR)
    clock = f"{hours}:{minutes}:00 {timezone}"
    on_days = f"*-{months}-{_numbers(times.days, MONTHS_DAYS)} {clock}"
    # A pair would be `1#2`, which `imgbatch.recurring` does not know.
    weekdays = {day % len(DAYS) for day in times.weekdays if isinstance(day, int)}
    if len(weekdays) == len(DAYS):
        return [on_days]
    named = ",".join(DAYS[day] for day in sorted(weekdays))
    if times.day_and:
        return [f"{named} {on_days}"]
    # A cron with both is of the days of the month, and of those of the week besides.
    return [on_days, f"{named} *-{months}-* {clock}"]


def place(schedule: Schedule, folder: Path, command: Sequence[str]) -> None:
    """Write the timer of a schedule and start it.

    Raises:
        ScheduleError: there is no systemd of this user, or it does not take it.
    """
    units = unit_folder()
    name = unit_name(folder, schedule.name)
    if not alive():
        raise ScheduleError(
            "systemd does not answer this user", "Add it with --timer cron, or --timer loop."
        )
    units.mkdir(parents=True, exist_ok=True)
    try:
        (units / f"{name}.service").write_text(service(schedule, folder, command))
        (units / f"{name}.timer").write_text(timer(schedule))
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", f"{name}.timer")
    except BaseException:
        _asked("disable", "--now", f"{name}.timer")
        _delete(name)
        _asked("daemon-reload")
        raise


def take_away(folder: Path, name: str) -> None:
    """Stop a timer and delete it. A command that is at work goes on.

    Raises:
        ScheduleError: systemd does not answer.
    """
    unit = unit_name(folder, name)
    if not (unit_folder() / f"{unit}.timer").exists():
        return
    _systemctl("disable", "--now", f"{unit}.timer")
    _delete(unit)
    _systemctl("daemon-reload")


def of_folder(folder: Path, name: str) -> bool:
    """Return whether a timer wakes the schedule of a name in this folder, and not in another."""
    return _is_ours(folder, unit_name(folder, name)) is True


def there(folder: Path, name: str) -> bool:
    """Return whether systemd has the timer of a schedule, and it is waiting."""
    return _asked("is-active", f"{unit_name(folder, name)}.timer") == "active"


def alive() -> bool:
    """Return whether this user has a systemd of their own that answers."""
    return _asked("is-system-running") in ("running", "degraded", "starting", "initializing")


def lingers() -> bool:
    """Return whether the user's systemd goes on while the user is not logged in."""
    user = variables("USER", "LOGNAME")
    name = next(iter(user.values()), "root")
    said = _run(["loginctl", "show-user", name, "--property=Linger", "--value"])
    return said is not None and said.stdout.strip() == "yes"


def service(schedule: Schedule, folder: Path, command: Sequence[str]) -> str:
    """Return the unit file of what the timer starts."""
    words = " ".join(map(quoted, command))
    return "\n".join(
        [
            "# made by `imgbatch schedule add`; `imgbatch schedule remove` deletes it",
            "[Unit]",
            f"Description=imgbatch schedule {schedule.name}",
            "",
            "[Service]",
            "Type=oneshot",
            _environment(folder),
            f"ExecStart={words}",
            "",
        ]
    )


def timer(schedule: Schedule) -> str:
    """Return the unit file of the timer."""
    return "\n".join(
        [
            "# made by `imgbatch schedule add`; `imgbatch schedule remove` deletes it",
            "[Unit]",
            f"Description=imgbatch schedule {schedule.name}: {schedule.every}",
            "",
            "[Timer]",
            *(f"OnCalendar={text}" for text in calendars(schedule.cron, schedule.timezone)),
            f"OnCalendar={QUARTERS}",
            "OnStartupSec=60",
            "Persistent=true",
            "AccuracySec=1s",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    )


def quoted(word: str, *, of_command: bool = True) -> str:
    """Return a word as systemd reads it back from a unit file.

    Args:
        word: any text without a line break.
        of_command: it stands in a command line, where `$` means a variable.
    """
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$") if of_command else text}"'


def unit_name(folder: Path, name: str) -> str:
    """Return what systemd calls a schedule.

    It has one list of names for all folders: where the plain one is another folder's, or this
    schedule has the other already, the folder's digest is added.
    """
    plain = f"imgbatch-{name}"
    longer = f"{plain}.{blake2b(os.fsencode(folder), digest_size=4).hexdigest()}"
    return longer if _is_ours(folder, plain) is False or _is_ours(folder, longer) else plain


def unit_folder() -> Path:
    """Return where the user's own units lie."""
    config = variables("XDG_CONFIG_HOME").get("XDG_CONFIG_HOME", "~/.config")
    return Path(config).expanduser() / "systemd" / "user"


def stamp_folder() -> Path:
    """Return where the user's systemd keeps when a persistent timer last fired."""
    data = variables("XDG_DATA_HOME").get("XDG_DATA_HOME", "~/.local/share")
    return Path(data).expanduser() / "systemd" / "timers"


def _is_ours(folder: Path, unit: str) -> bool | None:
    """Return whether a unit is of a folder's schedule; None: there is none of that name."""
    try:
        text = (unit_folder() / f"{unit}.service").read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
    return _environment(folder) in text.splitlines()


def _delete(unit: str) -> None:
    """Delete the files of a timer, and what systemd remembers of it."""
    _asked("clean", "--what=state", f"{unit}.timer")  # an older systemd cannot
    (stamp_folder() / f"stamp-{unit}.timer").unlink(missing_ok=True)
    for kind in ("timer", "service"):
        (unit_folder() / f"{unit}.{kind}").unlink(missing_ok=True)


def _environment(folder: Path) -> str:
    return f"Environment={quoted(f'IMGBATCH_SCHEDULE_FOLDER={folder}', of_command=False)}"


def _numbers(found: set[int], most: int) -> str:
    return "*" if len(found) == most else ",".join(f"{number:02}" for number in sorted(found))


def _systemctl(*words: str) -> None:
    done = _run(["systemctl", "--user", *words])
    if done is None or done.returncode:
        said = done.stderr.strip() if done else "it is not installed, or does not answer"
        raise ScheduleError(
            f"systemctl --user {' '.join(words)}: {said}",
            "`systemctl --user status` shows how it is; --timer cron and --timer loop go without.",
        )


def _asked(*words: str) -> str:
    done = _run(["systemctl", "--user", *words])
    return done.stdout.strip() if done else ""


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603 - words of our own, no shell
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
