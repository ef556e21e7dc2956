"""Schedules of this machine, as files: kept, listed, removed."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from imgbatch.errors import ScheduleError, SettingsError
from imgbatch.recurring import check_zone, cron_of, following
from imgbatch.settings import Settings, check, nearest, passed_on, read_limits, variables

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
FILE = "schedule.json"

# Where credentials lie and how a network is reached; what is a secret itself is not kept in a file.
VARIABLES = (
    "PATH",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ENDPOINT_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "RAY_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN_PATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)
SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN")

Timer = Literal["systemd", "cron", "loop"]


class Schedule(Settings):
    """A command of imgbatch that recurs.

    Attributes:
        every: the words of times that were given; shown again.
        cron: what they mean, five fields.
        timezone: in which they count.
        words: the command, without `imgbatch`.
        folder: where it was given; relative paths in it count from there.
        environment: variables that it had there and keeps; none that holds a secret.
        dataset: root of the dataset that it works on; "" where it has none.
        notify_command: run by the shell after a failure, the record on stdin.
        notify_url: the record is posted there after a failure.
        since: no tick before counts; seconds since 1970.
        timer: what wakes it.
    """

    name: str
    every: str
    cron: str
    timezone: str
    words: list[str] = Field(min_length=1)
    folder: str
    environment: dict[str, str] = Field(default_factory=dict)
    dataset: str = ""
    notify_command: str | None = None
    notify_url: str | None = None
    since: float
    timer: Timer = "loop"

    def next(self, now: float) -> float:
        """Return the first tick after a moment."""
        return following(self.cron, self.timezone, now)


@dataclass(frozen=True, slots=True)
class Damaged:
    """A schedule whose file cannot be read: nothing of it fires.

    Attributes:
        problem: what is wrong, and what to do.
    """

    name: str
    problem: str


def home() -> Path:
    """Return the folder of this machine's schedules, from IMGBATCH_SCHEDULE_FOLDER.

    Absolute: what wakes a schedule begins in a folder of its own.
    """
    return Path(read_limits().schedule_folder).expanduser().absolute()


def environment() -> dict[str, str]:
    """Return the variables that a schedule keeps for its command: where things are, no secrets."""
    return {**variables(*VARIABLES), **passed_on()}


def left_out() -> list[str]:
    """Return the variables that are set here, hold a secret, and are not kept."""
    return sorted(variables(*SECRETS))


def put(folder: Path, schedule: Schedule) -> None:
    """Keep a schedule that is new.

    Raises:
        SettingsError: its name will not do.
        ScheduleError: there is one of that name.
    """
    if not NAME.fullmatch(schedule.name):
        raise SettingsError(
            f"{schedule.name!r} will not do as the name of a schedule",
            "Small letters, digits and hyphens, up to 32, the first a letter.",
        )
    own = folder / schedule.name
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written aside and linked: whoever finds the file finds it whole, and one of two gets it.
    aside = own / f"{FILE}.{os.getpid()}"
    aside.touch(mode=0o600)
    aside.write_text(json.dumps(schedule.model_dump(), indent=1))
    try:
        (own / FILE).hardlink_to(aside)
    except FileExistsError as error:
        raise ScheduleError(
            f"there is a schedule {schedule.name}",
            f"`imgbatch schedule remove {schedule.name}` first, or give another name.",
        ) from error
    finally:
        aside.unlink()


def remove(folder: Path, name: str) -> None:
    """Forget a schedule, its journal and its logs."""
    shutil.rmtree(folder / name)


def get(folder: Path, name: str) -> Schedule:
    """Return one schedule.

    Raises:
        ScheduleError: there is none of that name, or its file is damaged.
    """
    path = folder / name / FILE
    try:
        return _read(json.loads(path.read_text("utf-8")), name)
    except FileNotFoundError as error:
        known = nearest(name, names(folder))
        raise ScheduleError(f"no schedule {name!r} in {folder}{known}") from error
    except (ValueError, RecursionError, SettingsError) as error:
        raise ScheduleError(
            f"{path} is damaged: {error}", f"`imgbatch schedule remove {name}`, and add it anew."
        ) from error
    except OSError as error:
        raise ScheduleError(f"{path} cannot be read: {error}") from error


def names(folder: Path) -> list[str]:
    """Return the names of all schedules."""
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))


def known(folder: Path, name: str) -> bool:
    """Return whether there is a schedule of a name, be its file whole or damaged."""
    return bool(NAME.fullmatch(name)) and (folder / name / FILE).exists()


def schedules(folder: Path) -> list[Schedule | Damaged]:
    """Return all schedules, by name; of those that cannot be read, why."""
    found: list[Schedule | Damaged] = []
    for name in names(folder):
        try:
            found.append(get(folder, name))
        except ScheduleError as error:
            found.append(Damaged(name, f"{error}; to do: {error.remedy}"))
    return found


def _read(raw: object, name: str) -> Schedule:
    """Return a schedule of a name as it was kept.

    Raises:
        SettingsError: it is none, of another name, or its times mean nothing.
    """
    schedule = check(Schedule, raw, where=FILE)
    if schedule.name != name:
        raise SettingsError(f"it is of schedule {schedule.name!r}")
    if cron_of(schedule.cron) != schedule.cron:
        raise SettingsError(f"{schedule.cron!r} is no cron")
    check_zone(schedule.timezone)
    return schedule
