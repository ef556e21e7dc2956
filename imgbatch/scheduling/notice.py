"""The record of a command that failed enters; whoever is to know it is told.

By a command of the user's, which gets the record as JSON on its stdin, or by a POST of it. The
record has a `text`, which chat services show as it is.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imgbatch.scheduling.kept import Schedule

SECONDS = 60
TRIES = 3
# A little less than an hour: what is woken each hour, on the minute, tells it each time.
HOURLY = 3540.0


def notify(schedule: Schedule, record: Mapping[str, Any]) -> list[str]:
    """Tell of a failure in the ways that a schedule has; return what went wrong with that."""
    text = json.dumps({"text": sentence(record), **record}) + "\n"
    problems = []
    if schedule.notify_command:
        problems.append(_command(schedule.notify_command, text))
    if schedule.notify_url:
        problems.append(_post(schedule.notify_url, text))
    return [problem for problem in problems if problem]


def hourly(own: Path, what: str, schedule: Schedule, record: Mapping[str, Any]) -> list[str] | None:
    """Tell of a failure that the journal may not take, at most once an hour until it is settled.

    A disk that is full keeps the tick due, so whatever wakes the schedule comes upon it again and
    again. An empty file's date says when it was told: such a disk mostly still takes that.

    Args:
        own: the schedule's folder.
        what: names the kind of failure; one does not silence another.
        schedule: whose failure.
        record: of it.

    Returns:
        What went wrong with telling; None: it was told within the hour.
    """
    mark = _mark(own, what)
    with contextlib.suppress(OSError):
        if 0 <= time.time() - mark.stat().st_mtime < HOURLY:
            return None
    problems = notify(schedule, record)
    with contextlib.suppress(OSError):
        mark.touch(mode=0o600)
    return problems


def settled(own: Path, what: str) -> None:
    """Let the next failure of a kind be told at once: the journal knows of this one."""
    with contextlib.suppress(OSError):
        _mark(own, what).unlink()


def sentence(record: Mapping[str, Any]) -> str:
    """Return a failure as one sentence."""
    why = record.get("error") or f"exit code {record.get('code')}"
    return f"imgbatch schedule {record['schedule']} failed on {record['host']}: {why}"


def _mark(own: Path, what: str) -> Path:
    return own / f"told-{what}"


def _command(command: str, text: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S602 - the user's own words, on their own machine
            command,
            shell=True,
            input=text.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    # Errors in their own words hold the command, which often holds a secret.
    except subprocess.TimeoutExpired:
        return f"--notify-command took longer than {SECONDS} s"
    except OSError as error:
        return f"--notify-command: {error.strerror or type(error).__name__}"
    except (subprocess.SubprocessError, ValueError) as error:
        return f"--notify-command: {type(error).__name__}"
    if done.returncode:
        # What a program prints is not always UTF-8: `replace`, for its failure is to be told.
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"--notify-command ended with {done.returncode}: {said[-1] if said else ''}"
    return None


def _post(url: str, text: str) -> str | None:
    """Post a text; what it says of a failure leaves the URL out, which is often a secret itself."""
    problem = None
    for _ in range(TRIES):
        try:
            answer = requests.post(
                url,
                data=text.encode(),
                headers={"Content-Type": "application/json"},
                timeout=SECONDS / TRIES,
                allow_redirects=False,
            )
        # A host's name that is too long is a ValueError of a library below.
        except (requests.RequestException, ValueError) as error:
            problem = f"--notify-url: {type(error).__name__}"
            continue
        if answer.status_code < 300:  # noqa: PLR2004 - the classes of HTTP's answers
            return None
        problem = f"--notify-url answered {answer.status_code}"
        if answer.status_code < 500:  # noqa: PLR2004 - it will say so again
            break
    return problem
