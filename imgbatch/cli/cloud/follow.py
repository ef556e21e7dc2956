"""A run on rented machines enters; lines as it goes, and its exit code at its end, leave."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from imgbatch.errors import CloudError
from imgbatch.terminal import INTERRUPTED, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cli.cloud.opened import Opened
    from imgbatch.cloud.control import State

# Half a minute of looks.
HEAD_LOOKS = 15
LATELY = 900.0


def to_its_end(run: str, found: Opened, *, as_json: bool) -> int:
    """Show a run until it ends; return its exit code.

    Raises:
        RunError: it ended otherwise than well.
    """
    from imgbatch.cloud.standing import code_of, ended

    last = None
    try:
        for state in shown(_states(run, found), as_json=as_json):
            last = state
    except KeyboardInterrupt:
        sys.stderr.write(
            f"\nno longer followed: run {run} goes on; `imgbatch cloud status --watch` shows it, "
            f"`imgbatch cloud stop {run}` ends it\n"
        )
        return INTERRUPTED
    assert last is not None  # following ends with a state that is over, or an error
    code = code_of(last)
    told = ended(last)
    if told is not None and code == told.exit_code:
        raise told
    return code


def _states(run: str, found: Opened) -> Iterator[State | None]:
    """Yield a run's states; end where nothing is there that could take it.

    Raises:
        CloudError: no head is up, and none is on its way.
    """
    from imgbatch.cloud.standing import follow

    quiet, said = 0, ""
    for state in follow(run, found.control, now=time.time, sleep=time.sleep):
        # Also one that was taken: the kill of a schedule ends its head, and none comes after it.
        quiet = 0 if state else quiet + 1
        if quiet and quiet % HEAD_LOOKS == 0:
            refuse_headless(run, found)
            said = hindered(found, said)
        yield state


def refuse_headless(run: str, found: Opened) -> None:
    """Refuse to wait for a head that does not come; none is asked for again: it would cost again.

    Raises:
        CloudError: no head is up, and none is on its way.
    """
    if told := headless(run, found):
        raise told


def headless(run: str, found: Opened) -> CloudError | None:
    """Return that no head is up for a run, nor on its way; None: one is, or nobody can tell."""
    from imgbatch.cloud.standing import failed_boots

    try:
        wanted = found.cloud.groups.size(found.deployment.head.group).wanted
    except CloudError as error:
        # Whoever may read the bucket may watch, even without a right to ask for groups.
        sys.stderr.write(f"whether a head is on its way cannot be seen from here: {error}\n")
        return None
    if wanted:
        return None
    why = [f"; {machine}: {reason}" for machine, reason in failed_boots(found.control, run).items()]
    return CloudError(
        f"no head is up for run {run}, and none is on its way" + "".join(why[-1:]),
        f"It waits in the queue and costs nothing. `imgbatch cloud stop {run}` takes it off; the "
        "next `imgbatch cloud run` has a head come up, which takes the oldest first.",
    )


def hindered(found: Opened, said: str) -> str:
    """Say why the cloud launches no head, where it tells; return it, so that it is said once."""
    from imgbatch.cloud import trouble

    groups, head = found.cloud.groups, found.deployment.head.group
    try:
        if groups.members(head):
            return ""
        events = groups.events(head, time.time() - LATELY)
    except CloudError:
        return said  # as above
    why = trouble.reason(events, members=0, failed={})
    if why and why != said:
        sys.stderr.write(f"no head comes up yet: {why}\n")
    return why


def shown(states: Iterator[State | None], *, as_json: bool) -> Iterator[State]:
    """Show states as they come: in place on a terminal, else a line for each that says more."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from imgbatch.cli.cloud import lines

    if sys.stdout.isatty() and not as_json:
        with Live(console=Console(highlight=False), refresh_per_second=2) as screen:
            for state in states:
                if state is not None:
                    screen.update(Text("\n".join(lines.going(state, time.time()))))
                    yield state
        return
    told: tuple[object, ...] | None = None
    for state in states:
        if state is None:
            continue
        if as_json or lines.changed(state) != told or state.over:
            told = lines.changed(state)
            say(as_json, "state", state.model_dump(), [lines.short(state, time.time())])
        yield state
