"""The record of a command that failed enters; whoever is to know it is told.

By a command of the user's, which gets the record as JSON on its stdin, or by a POST of it. The
record has a `text`, which chat services show as it is.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.scheduling.kept import Schedule

SECONDS = 60
TRIES = 3


def notify(schedule: Schedule, record: Mapping[str, Any]) -> list[str]:
    """Tell of a failure in the ways that a schedule has; return what went wrong with that."""
    text = json.dumps({"text": sentence(record), **record}) + "\n"
    problems = []
    if schedule.notify_command:
        problems.append(_command(schedule.notify_command, text))
    if schedule.notify_url:
        problems.append(_post(schedule.notify_url, text))
    return [problem for problem in problems if problem]


def sentence(record: Mapping[str, Any]) -> str:
    """Return a failure as one sentence."""
    why = record.get("error") or f"exit code {record.get('code')}"
    return f"imgbatch schedule {record['schedule']} failed on {record['host']}: {why}"


def _command(command: str, text: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S602 - the user's own words, on their own machine
            command,
            shell=True,
            input=text,
            text=True,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"--notify-command: {error}"
    if done.returncode:
        said = done.stderr.strip().splitlines()
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
        except requests.RequestException as error:
            problem = f"--notify-url: {type(error).__name__}"
            continue
        if answer.status_code < 300:  # noqa: PLR2004 - the classes of HTTP's answers
            return None
        problem = f"--notify-url answered {answer.status_code}"
        if answer.status_code < 500:  # noqa: PLR2004 - it will say so again
            break
    return problem
