"""A run that is to end enters; it leaves when it has ended, with proof of what machines are left.

Gently: the head reads `runs/<run>/stop.json`, commits what is finished and ends its machines. Where
there is no head that would, or somebody insists: the groups go to zero (`zero`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imgbatch.cloud.launch import rest
from imgbatch.cloud.stopped import lease_of, mark, state_of, tell_stopped
from imgbatch.cloud.zero import STEP, Clock, machines, to_zero
from imgbatch.errors import CancelledError, DeploymentError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.cloud.control import Control, State
    from imgbatch.cloud.launch import Place

# A head that wrote nothing for so long does not read either.
SILENT = 120.0
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Halted:
    """How a run was ended.

    Attributes:
        how: taken off the queue, ended by its head, or by force.
        state: as it was last told; None: no head took it.
        waiting: ids of the runs that still wait.
        machines: how many each group still has, those that are leaving included.
    """

    run: str
    how: Literal["withdrawn", "gently", "forced"]
    state: State | None
    waiting: tuple[str, ...]
    machines: dict[str, int]


def meant(control: Control, run: str | None) -> str:
    """Return the run that is meant: by its beginning; without one that at work, or the only one.

    Raises:
        DeploymentError: nothing waits or is at work.
        SettingsError: none or several are meant.
    """
    lease = lease_of(control)
    open_runs = sorted({*control.waiting()} | ({lease.run} if lease else set()))
    if run is None:
        if lease:
            return lease.run
        if not open_runs:
            raise DeploymentError("no run waits or is at work", "There is nothing to end.")
        return open_runs[0]
    found = [known for known in open_runs if known.startswith(run)]
    if len(found) != 1:
        said = f"{len(found)} runs begin with" if found else "no run that waits or is at work is"
        raise SettingsError(
            f"{said} {run!r}; there are: {', '.join(open_runs) or 'none'}",
            "See `imgbatch cloud status`.",
        )
    return found[0]


def halt(
    run: str,
    place: Place,
    *,
    force: bool,
    say: Callable[[str], None],
    clock: Clock | None = None,
) -> Halted:
    """End a run.

    Args:
        run: its id.
        place: where.
        force: without asking its head.
        say: told what goes on.
        clock: of a test.

    Raises:
        CancelledError: it drains still; what to do is said.
        LeftoverError: a machine does not go.
    """
    clock = clock or Clock()
    control = place.control
    if not force:
        mark(run, control, clock.now())
    if not force and not _at_work(run, place):
        _withdraw(run, place, clock, say)
        return _halted(run, "withdrawn", place)
    groups, head = place.groups, place.head
    if not force and not (groups.size(head).wanted or groups.members(head)):
        say("no head is up that could end it")
    elif not force:
        say("asked its head to end it")
        if _ended(run, control, say, clock):
            _wait_gone(place, say, clock)
            return _halted(run, "gently", place)
        say("its head is silent: ended by force")
    left = to_zero(place, [run], say, clock)
    return _halted(run, "forced", place, left)


def _at_work(run: str, place: Place) -> bool:
    """Whether a head has taken it."""
    lease, state = lease_of(place.control), state_of(run, place.control)
    return bool((lease and lease.run == run) or (state and not state.over))


def _withdraw(run: str, place: Place, clock: Clock, say: Callable[[str], None]) -> None:
    """Take a run off the queue; the head that is on its way for nothing else goes again."""
    orders = place.control.orders(lambda _: None)
    order = next((one for one in orders if one.run == run), None)
    tell_stopped(run, place, order, clock, say)
    rest(place)


def _ended(run: str, control: Control, say: Callable[[str], None], clock: Clock) -> bool:
    """Wait for the head to end a run; False: it says nothing.

    Raises:
        CancelledError: it is still at it.
    """
    first = last = state_of(run, control)
    start = clock.now()
    while clock.now() - start < PATIENCE:
        if last and last.over:
            return True
        clock.sleep(STEP)
        now = state_of(run, control)
        if now and (last is None or now.phase != last.phase):
            say(f"{now.phase}: {now.workers} workers")
        last = now
    if last == first:
        return False
    raise CancelledError(
        f"run {run} is still ending after {PATIENCE:.0f} s: what is under way is finished first",
        "It goes on ending by itself. `imgbatch cloud status --watch` shows it; "
        "`imgbatch cloud stop --force` ends its machines now.",
    )


def _wait_gone(place: Place, say: Callable[[str], None], clock: Clock) -> None:
    """Wait a while for the machines to go, where no other run needs them."""
    start = clock.now()
    while not place.control.waiting() and any(machines(place).values()):
        if clock.now() - start > PATIENCE:
            say("machines are still leaving: see `imgbatch cloud stop --force`")
            return
        clock.sleep(STEP)


def _halted(
    run: str,
    how: Literal["withdrawn", "gently", "forced"],
    place: Place,
    left: dict[str, int] | None = None,
) -> Halted:
    waiting = tuple(other for other in place.control.waiting() if other != run)
    left = machines(place) if left is None else left
    return Halted(run, how, state_of(run, place.control), waiting, left)
