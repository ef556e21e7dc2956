"""The commands of what recurs on this machine: schedule add, list, remove, run, loop."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.errors import ScheduleError, SettingsError
from imgbatch.terminal import Json, say

if TYPE_CHECKING:
    from imgbatch.scheduling.kept import Schedule

ScheduleName = Annotated[
    str, typer.Argument(metavar="NAME", help="Small letters, digits and hyphens.")
]


class TimerName(StrEnum):
    """What wakes a schedule."""

    auto = "auto"
    systemd = "systemd"
    cron = "cron"
    loop = "loop"


def add(
    name: ScheduleName,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="-- COMMAND ...",
            help="Any command of imgbatch: run, retry, fetch, group, report, retain, ...",
        ),
    ],
    *,
    every: Annotated[
        str, typer.Option(help='"Mon 03:00", "daily 03:00", "monthly 1 03:00", or a cron.')
    ],
    timezone: Annotated[
        str | None, typer.Option(help="Such as Europe/Berlin; this machine's by default.")
    ] = None,
    notify_command: Annotated[
        str | None,
        typer.Option(help="Run by the shell after a failure; gets the record as JSON on stdin."),
    ] = None,
    notify_url: Annotated[
        str | None, typer.Option(help="The record is posted there as JSON after a failure.")
    ] = None,
    timer: Annotated[
        TimerName, typer.Option(help="What wakes it; auto: systemd, else cron, else the loop.")
    ] = TimerName.auto,
    json: Json = False,
) -> None:
    """Have a command of imgbatch recur on this machine; what was missed is caught up once."""
    from imgbatch.cli import schedule_lines
    from imgbatch.cli.schedule_words import dataset_of
    from imgbatch.recurring import check_zone, cron_of, local_zone
    from imgbatch.scheduling import kept, timers, units
    from imgbatch.settings import variables

    zone = timezone or local_zone(said=variables("TZ").get("TZ", ""))
    check_zone(zone)
    if notify_url is not None and not notify_url.startswith(("https://", "http://")):
        raise SettingsError(f"--notify-url {notify_url!r} is no web address")
    now = time.time()
    schedule = kept.Schedule(
        name=name,
        every=" ".join(every.split()),
        cron=cron_of(every),
        timezone=zone,
        words=words,
        folder=str(Path.cwd()),
        environment=kept.environment(),
        dataset=dataset_of(words),
        notify_command=notify_command,
        notify_url=notify_url,
        since=now,
        timer=timers.chosen(timer.value),
    )
    folder = kept.home()
    with ExitStack() as back:
        kept.put(folder, schedule)
        back.callback(kept.remove, folder, name)
        timers.place(folder, schedule)
        back.pop_all()
    record = schedule_lines.record(folder, schedule, now)
    lines = schedule_lines.of_one(schedule, record)
    lines += _notes(schedule, lingers=units.lingers)
    say(json, "scheduled", record, lines)


def list_(*, json: Json = False) -> None:
    """List the schedules of this machine, when each comes next and what came of it last."""
    from imgbatch.cli import schedule_lines
    from imgbatch.scheduling import kept

    folder = kept.home()
    records, lines = schedule_lines.shown(folder, kept.schedules(folder))
    say(json, "schedules", {"schedules": records}, lines or ["no schedule"])


def remove(name: ScheduleName, *, json: Json = False) -> None:
    """Remove a schedule, its journal and its logs."""
    from imgbatch.scheduling import firing, kept, timers

    folder, timer = kept.home(), None
    try:
        timer = kept.get(folder, name).timer
    except ScheduleError:
        # A damaged one can be removed too: that is what mends it.
        if not kept.known(folder, name):
            raise
    with firing.held(folder / name):
        timers.take_away(folder, name, timer)
        kept.remove(folder, name)
    say(json, "removed", {"name": name}, [f"schedule {name} is removed"])


def run(
    name: ScheduleName,
    *,
    due: Annotated[
        bool, typer.Option("--due", help="Only if a tick is due: what timers call.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a schedule's command now; ends with its exit code."""
    from imgbatch.cli import schedule_lines
    from imgbatch.scheduling import firing, kept

    folder = kept.home()
    schedule = kept.get(folder, name)
    if due:
        try:
            record = firing.run_due(folder, schedule, now=time.time())
        except firing.ToldError as error:
            # Not on stderr, which cron sends by mail each time that it wakes this.
            told = f"error: {error}; to do: {error.remedy}"
            say(json, "failed", {"schedule": name, "error": str(error)}, [told])
            raise typer.Exit(error.exit_code) from error
        if record is None:
            say(json, "nothing", {"schedule": name}, [f"schedule {name}: nothing is due"])
            return
    else:
        record = firing.run_now(folder, schedule)
    say(json, "ran", record, schedule_lines.came(name, record))
    for problem in record.get("notice_failed", []):
        sys.stderr.write(f"nobody was told: {problem}\n")
    if record["state"] == "failed":
        raise typer.Exit(int(record["code"]))


def loop() -> None:
    """Wake the schedules that neither systemd nor cron wakes, until a signal ends this."""
    from imgbatch.scheduling import kept
    from imgbatch.scheduling.loop import loop as forever
    from imgbatch.scheduling.loop import start_process

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    folder = kept.home()
    forever(folder, start=start_process(folder), say=tell)


def of_dataset(url: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the schedules of this machine that work on a dataset, as records and as lines.

    One that is damaged is among them: it may be one of these, and does not fire.

    Args:
        url: the dataset's root, as it names it itself.
    """
    from imgbatch.cli import schedule_lines
    from imgbatch.scheduling import kept

    folder = kept.home()
    found = [
        one for one in kept.schedules(folder) if isinstance(one, kept.Damaged) or one.dataset == url
    ]
    return schedule_lines.shown(folder, found)


def _notes(schedule: Schedule, *, lingers: Any) -> list[str]:
    from imgbatch.scheduling import kept

    notes = []
    if schedule.timer == "systemd" and not lingers():
        notes.append("while you are not logged in it waits: `loginctl enable-linger` changes that")
    if secrets := kept.left_out():
        notes.append(
            f"{', '.join(secrets)} is set here and is not kept: give a profile or a key file, "
            "which the command finds by itself"
        )
    return notes
