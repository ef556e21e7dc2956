"""Schedules for tests, and a moment in each that a clock can be moved from."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from typing import TYPE_CHECKING, Any

from imgbatch.scheduling import kept
from imgbatch.scheduling.kept import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = 24 * 3600.0
# Ends in 0.3 s, one well and one badly; the third goes on until somebody ends it.
WELL = ["recipe", "list"]
BADLY = ["recipe", "show", "quik"]
LONG = ["schedule", "loop"]


def schedule(home: Path, **more: Any) -> Schedule:
    """A daily schedule that was made three weeks ago and never woken: ticks are due."""
    said: dict[str, Any] = {
        "name": "daily",
        "every": "daily 03:00",
        "cron": "0 3 * * *",
        "timezone": "UTC",
        "words": WELL,
        "folder": str(home),
        "since": time.time() - 21 * DAY,
        "environment": {"IMGBATCH_SCHEDULE_FOLDER": str(home / "other")},
    }
    made = Schedule.model_validate(said | more)
    kept.put(home, made)
    return made


@contextlib.contextmanager
def full() -> Iterator[None]:
    """Let no file of this process take a byte, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def hour_ago(path: Path) -> None:
    """Give a file that is there the date of an hour ago."""
    then = path.stat().st_mtime - 3600
    os.utime(path, (then, then))
