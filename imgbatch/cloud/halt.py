"""A run that is to end enters; it leaves when it has ended, with proof of what machines are left.

Gently: the head reads `runs/<run>/stop.json`, commits what is finished and ends its machines. Where
there is no head that would, or somebody insists: the groups go to zero, whatever runs on them.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imgbatch.cloud.control import State
from imgbatch.cloud.launch import rearm, rest
from imgbatch.errors import (
    CancelledError,
    CloudError,
    DeploymentError,
    LeftoverError,
    SettingsError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from imgbatch.cloud.control import Control, Lease, Order
    from imgbatch.cloud.launch import Place

STOP = "stop.json"
# A head that wrote nothing for so long does not read either.
SILENT = 120.0
PATIENCE = 120.0
STEP = 5.0
# A cloud takes a minute or two to end a machine.
ENDING = 600.0
NEVER = "stopped before a head took it"


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


class Clock:
    """Time, which a test may hold in its hands."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


def meant(control: Control, run: str | None) -> str:
    """Return the run that is meant: by its beginning; without one that at work, or the only one.

    Raises:
        DeploymentError: nothing waits or is at work.
        SettingsError: none or several are meant.
    """
    lease = _lease(control)
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
    try:
        control.put(run, STOP, json.dumps({"at": clock.now()}).encode())
    except StorageError as error:
        if not force:
            raise
        say(f"its head cannot be told: {error}")
    if not force and not _at_work(run, place):
        _withdraw(run, place, clock)
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
    _zero(place, [run], say, clock)
    return _halted(run, "forced", place)


def _at_work(run: str, place: Place) -> bool:
    """Whether a head has taken it."""
    lease, state = _lease(place.control), _state(run, place.control)
    return bool((lease and lease.run == run) or (state and not state.over))


def _lease(control: Control) -> Lease | None:
    """Return the lease; one that nobody can read counts as none: no machine goes by it either."""
    try:
        return control.lease()
    except (DeploymentError, SettingsError):
        return None


def _state(run: str, control: Control) -> State | None:
    """Return what its head told of a run; None: nothing, or nothing that anybody can read."""
    try:
        return control.state(run)
    except (DeploymentError, SettingsError):
        return None


def _withdraw(run: str, place: Place, clock: Clock) -> None:
    """Take a run off the queue; the head that is on its way for nothing else goes again."""
    orders = place.control.orders(lambda _: None)
    order = next((one for one in orders if one.run == run), None)
    place.control.close(run)
    _tell_stopped(run, place.control, order, clock.now())
    rest(place)


def _tell_stopped(run: str, control: Control, order: Order | None, now: float) -> None:
    before = _state(run, control)
    if before and before.over:
        return
    ended = {"phase": "stopped", "code": CancelledError.exit_code, "at": now, "workers": 0}
    if before:
        # What it cost up to then stays as its head told it.
        control.tell(before.model_copy(update={**ended, "reason": "ended by force", "booting": 0}))
    elif order:
        told = State(run=run, phase="stopped", at=now, deadline=order.deadline, budget=order.budget)
        control.tell(told.model_copy(update={"code": ended["code"], "reason": NEVER}))


def _ended(run: str, control: Control, say: Callable[[str], None], clock: Clock) -> bool:
    """Wait for the head to end a run; False: it says nothing.

    Raises:
        CancelledError: it is still at it.
    """
    first = last = _state(run, control)
    start = clock.now()
    while clock.now() - start < PATIENCE:
        if last and last.over:
            return True
        clock.sleep(STEP)
        now = _state(run, control)
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


def _zero(place: Place, runs: Sequence[str], say: Callable[[str], None], clock: Clock) -> None:
    """End all machines of a deployment, and come back when none is left.

    A bucket that cannot be read or written keeps none of them alive: what is noted there is noted
    again when all are gone, and is an error only then.

    Raises:
        LeftoverError: one does not go.
        StorageError: all are gone, and the queue or the lease still says otherwise.
    """
    orders: dict[str, Order] = {}
    with _heard(say):
        orders = {order.run: order for order in place.control.orders(say)}
    with _heard(say):
        # First: a head that comes up by itself must not take it again.
        _off(place, runs)
    start, before = clock.now(), None
    while True:
        # The head first, and again and again: until it is gone it may ask for workers.
        try:
            _shrink(place)
        finally:
            # Where the cloud takes nothing, machines still leave by themselves.
            with _heard(say):
                place.control.release()
        left = machines(place)
        if left != before:
            say(", ".join(f"{group}: {count}" for group, count in left.items()))
            before = left
        if not any(left.values()):
            break
        if clock.now() - start > ENDING:
            raise _leftover(place, left)
        clock.sleep(STEP)
    # Once more: the head may have written until its last second.
    _off(place, runs)
    _release(place, runs, left)
    for group in left:
        place.groups.disarm(group)
    rearm(place, left, clock.now(), say)
    for run in runs:
        _tell_stopped(run, place.control, orders.get(run), clock.now())


def _off(place: Place, runs: Sequence[str]) -> None:
    for run in runs:
        place.control.close(run)


def _release(place: Place, runs: Sequence[str], groups: Collection[str]) -> None:
    """Take the lease away, unless a head came since that has it, for a run that was not ended."""
    lease = _lease(place.control)
    heads = place.groups.members(place.head) if place.head in groups else []
    held = lease and lease.run not in runs and lease.head_machine in {h.machine for h in heads}
    if not held:
        place.control.release()


@contextlib.contextmanager
def _heard(say: Callable[[str], None]) -> Iterator[None]:
    """Tell what a bucket does not do, and go on."""
    try:
        yield
    except StorageError as error:
        say(str(error))


def _shrink(place: Place) -> None:
    """Have every group be empty that is there: one that fails keeps no other from its end.

    Raises:
        CloudError: a group could not be asked for that; the others were.
    """
    failed: list[CloudError] = []
    for group in place.deployment.groups:
        try:
            if place.groups.size(group).wanted:
                place.groups.want(group, 0)
        except DeploymentError:
            continue  # destroyed by halves: a group that is not there has no machine
        except CloudError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def machines(place: Place) -> dict[str, int]:
    """Return how many machines each group has that is there, those that are leaving included."""
    found = {}
    for group in place.deployment.groups:
        with contextlib.suppress(DeploymentError):
            found[group] = len(place.groups.members(group))
    return found


def _leftover(place: Place, left: dict[str, int]) -> LeftoverError:
    names = [
        f"{member.machine} of {group} ({member.state})"
        for group in left
        for member in place.groups.members(group)
    ]
    return LeftoverError(
        f"still there after {ENDING / 60:.0f} minutes: {', '.join(names)}",
        "The groups are at zero, so the cloud is ending them: run the same command again, or look "
        "at them in the cloud's console.",
    )


def _halted(run: str, how: Literal["withdrawn", "gently", "forced"], place: Place) -> Halted:
    waiting = tuple(other for other in place.control.waiting() if other != run)
    return Halted(run, how, _state(run, place.control), waiting, machines(place))


def empty(
    place: Place, *, say: Callable[[str], None], clock: Clock | None = None
) -> dict[str, int]:
    """End all machines of a deployment that works on nothing; return what each group has left.

    Raises:
        LeftoverError: a machine does not go.
    """
    _zero(place, [], say, clock or Clock())
    return machines(place)
