"""A deployment is brought to zero: its groups enter; it leaves when no machine of them is left.

Whatever runs on them, and whatever of it a bucket says or does not.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from imgbatch.cloud.closing import LEAVING_SECONDS, Closing, with_cost
from imgbatch.cloud.control import State
from imgbatch.cloud.launch import rearm
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
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.launch import Place
    from imgbatch.cloud.ledger import Line

STEP = 5.0
# A cloud takes a minute or two to end a machine.
ENDING = 600.0
# What became of machines is asked so often before it counts as not known, for good.
ASKED = 4
NEVER, FORCED = "stopped before a head took it", "ended by force"


class Clock:
    """Time, which a test may hold in its hands."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


def to_zero(place: Place, runs: Sequence[str], say: Callable[[str], None], clock: Clock) -> None:
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
    # Of those that wait too: one of them may have been at work.
    for run in {**dict.fromkeys(runs), **orders}:
        order = orders.get(run) or _taken(run, place.control)
        if run in runs:
            tell_stopped(run, place, order, clock, say)
        else:
            _closed(run, place, order, clock, say)


def _off(place: Place, runs: Sequence[str]) -> None:
    for run in runs:
        place.control.close(run)


def _release(place: Place, runs: Sequence[str], groups: Collection[str]) -> None:
    """Take the lease away, unless a head came since that has it, for a run that was not ended."""
    lease = lease_of(place.control)
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


def empty(
    place: Place, *, say: Callable[[str], None], clock: Clock | None = None
) -> dict[str, int]:
    """End all machines of a deployment that works on nothing; return what each group has left.

    Raises:
        LeftoverError: a machine does not go.
    """
    to_zero(place, [], say, clock or Clock())
    return machines(place)


def tell_stopped(
    run: str, place: Place, order: Order | None, clock: Clock, say: Callable[[str], None]
) -> None:
    """Say of a run that it was stopped, unless it was told already how it ended.

    Its ledger is closed first: from then on nobody looks at its machines.
    """
    before, lines = state_of(run, place.control), _closed(run, place, order, clock, say)
    _tell(run, place.control, before, order, lines, clock.now())


def tell_left(
    run: str, control: Control, deployment: Deployment, now: float, say: Callable[[str], None]
) -> None:
    """Say the same of a run whose machines nobody here could end or ask for.

    Without a lease they leave by themselves: its ledger says what they may cost until then.

    Raises:
        StorageError: the bucket cannot be read or written.
    """
    before, order = state_of(run, control), _taken(run, control)
    closing = Closing(control, deployment)
    lines = closing.settle(run, order, before, now + LEAVING_SECONDS, say)
    _tell(run, control, before, order, lines, now)


def _tell(
    run: str,
    control: Control,
    before: State | None,
    order: Order | None,
    lines: list[Line] | None,
    now: float,
) -> None:
    """Say that a run was stopped, unless it was told already how it ended."""
    if before and before.over:
        return
    ended = {"phase": "stopped", "code": CancelledError.exit_code, "at": now}
    none = {"workers": 0, "booting": 0, "per_hour": 0.0, "eta": None}
    if before is None and order:
        reason = NEVER if lines is None else FORCED
        limits = {"deadline": order.deadline, "budget": order.budget}
        told = State.model_validate({"run": run, **limits, **ended, "reason": reason})
    elif before:
        told = before.model_copy(update={**ended, **none, "reason": FORCED})
    else:
        return
    control.tell(told if lines is None else with_cost(told, lines, now))


def _closed(
    run: str, place: Place, order: Order | None, clock: Clock, say: Callable[[str], None]
) -> list[Line] | None:
    """Close the ledger of a run; return its lines, None where it has none that can be read."""
    control, deployment = place.control, place.deployment
    state = state_of(run, control)
    asked = Closing(control, deployment, place.groups, place.market)
    for times in range(1, ASKED + 1):
        try:
            return asked.settle(run, order, state, clock.now(), say)
        except CloudError as error:
            said = f"what became of the machines of {run} is not told: {error}"
        if times < ASKED:
            clock.sleep(STEP)
    say(said)
    return Closing(control, deployment).settle(run, order, state, clock.now(), say)


def _taken(run: str, control: Control) -> Order | None:
    try:
        return control.taken(run)
    except (DeploymentError, SettingsError):
        return None


def lease_of(control: Control) -> Lease | None:
    """Return the lease; one that nobody can read counts as none: no machine goes by it either."""
    try:
        return control.lease()
    except (DeploymentError, SettingsError):
        return None


def state_of(run: str, control: Control) -> State | None:
    """Return what its head told of a run; None: nothing, or nothing that anybody can read."""
    try:
        return control.state(run)
    except (DeploymentError, SettingsError):
        return None
