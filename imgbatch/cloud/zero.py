"""A deployment is brought to zero: its groups enter; it leaves when no machine of them is left.

Whatever runs on them, and whatever of it a bucket says or does not.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from imgbatch.cloud.launch import rearm
from imgbatch.cloud.stopped import closed, lease_of, mark, marked, taken, tell_stopped
from imgbatch.errors import (
    CloudError,
    CredentialsError,
    DeploymentError,
    LeftoverError,
    PermissionsError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from imgbatch.cloud.launch import Place

STEP = 5.0
# A cloud takes a minute or two to end a machine.
ENDING = 600.0
T = TypeVar("T")


class Clock:
    """Time, which a test may hold in its hands."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


def to_zero(
    place: Place, runs: Sequence[str], say: Callable[[str], None], clock: Clock
) -> dict[str, int]:
    """End all machines of a deployment, and come back when none is left.

    A bucket that cannot be read or written keeps none of them alive: what is noted there is noted
    again when all are gone, and is an error only then. Nor does a cloud that refuses a call: it is
    asked again. Whoever is interrupted does it again: a run leaves the queue when all is told.

    Args:
        place: where.
        runs: that end by it; those of the queue that somebody stopped before do so too.
        say: told what goes on.
        clock: of a test.

    Returns:
        How many machines each group has that is there: none.

    Raises:
        LeftoverError: one does not go.
        CloudError: it refuses for as long as a machine may take to go, or for good.
        StorageError: all are gone, and the queue or the lease still says otherwise.
    """
    control = place.control
    with _heard(say):
        # First: a head that comes up by itself must not work at it again.
        _mark(place, runs, clock)
    left = _emptied(place, say, clock)
    # Once more: what could not be read or written before is an error now, and orders are in the
    # queue still.
    orders = {order.run: order for order in control.orders(say)}
    runs = list(dict.fromkeys([*runs, *marked(control)]))
    _mark(place, runs, clock)
    _patiently(partial(_release, place, left), say, clock)
    # Of those that wait too: one of them may have been at work.
    for run in {**dict.fromkeys(runs), **orders}:
        order = orders.get(run) or taken(run, control)
        if run in runs:
            tell_stopped(run, place, order, clock, say)
        else:
            closed(run, place, order, clock, say)
    for group in left:
        _patiently(partial(place.groups.disarm, group), say, clock)
    _patiently(lambda: rearm(place, left, clock.now(), say), say, clock)
    return left


def _mark(place: Place, runs: Sequence[str], clock: Clock) -> None:
    for run in runs:
        mark(run, place.control, clock.now())


def _emptied(place: Place, say: Callable[[str], None], clock: Clock) -> dict[str, int]:
    """Have every group be empty; return them when they are."""
    start, before = clock.now(), None
    while True:
        left = _patiently(partial(_round, place, say), say, clock)
        if left != before:
            say(", ".join(f"{group}: {count}" for group, count in left.items()))
            before = left
        if not any(left.values()):
            return left
        if clock.now() - start > ENDING:
            raise _patiently(partial(_leftover, place, left), say, clock)
        clock.sleep(STEP)


def _round(place: Place, say: Callable[[str], None]) -> dict[str, int]:
    """Have every group be empty, and return how many machines each still has.

    The head first, and again and again: until it is gone it may ask for workers.
    """
    try:
        _shrink(place)
    finally:
        # Where the cloud takes nothing, machines still leave by themselves.
        with _heard(say):
            place.control.release()
    return machines(place)


def _patiently(ask: Callable[[], T], say: Callable[[str], None], clock: Clock) -> T:
    """Ask a cloud again while it refuses: one that throttles must keep no machine wanted.

    Raises:
        CloudError: it refuses for as long as a machine may take to go, or would for ever.
    """
    start, said = clock.now(), ""
    while True:
        try:
            return ask()
        except (PermissionsError, CredentialsError):
            raise
        except CloudError as error:
            if clock.now() - start > ENDING:
                raise
            if said != str(error):
                said = str(error)
                say(f"the cloud is asked again: {said}")
        clock.sleep(STEP)


def _release(place: Place, groups: Collection[str]) -> None:
    """Take the lease away that was written to the last second; not that of a head that came since.

    Such a one may have taken a run that ends here: it reads that it is to end.
    """
    lease = lease_of(place.control)
    heads = place.groups.members(place.head) if place.head in groups else []
    if not lease or lease.head_machine not in {head.machine for head in heads}:
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
    return to_zero(place, [], say, clock or Clock())
