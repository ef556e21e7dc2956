"""A run that was stopped enters; it leaves with its ledger closed, told as over, off the queue.

    mark: stop.json  -->  its machines go (`zero`)  -->  ledger  -->  state  -->  off the queue

The mark comes first and the queue last: whoever goes on where somebody was interrupted (the same
command once more, `down`, the next head) finds the order there, and by its mark that it is to end.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imgbatch.cloud.closing import LEAVING_SECONDS, Closing, with_cost
from imgbatch.cloud.control import State
from imgbatch.errors import CancelledError, CloudError, DeploymentError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.cloud.control import Control, Lease, Order
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.launch import Place
    from imgbatch.cloud.ledger import Line
    from imgbatch.cloud.zero import Clock

# A head reads it in every turn of a run.
STOP = "stop.json"
# What became of machines is asked so often before it counts as not known, for good.
ASKED, ASK_SECONDS = 4, 5.0
NEVER, FORCED = "stopped before a head took it", "ended by force"


def mark(run: str, control: Control, now: float) -> None:
    """Say that a run is to end: a head that has it, or takes it, ends it."""
    control.put(run, STOP, json.dumps({"at": now}).encode())


def marked(control: Control) -> list[str]:
    """Return the runs of the queue that are to end, oldest first."""
    return [run for run in control.waiting() if control.get(run, STOP) is not None]


def tell_stopped(
    run: str, place: Place, order: Order | None, clock: Clock, say: Callable[[str], None]
) -> None:
    """Say of a run that it was stopped, unless it was told already how it ended; off the queue.

    Its ledger is closed first: from then on nobody looks at its machines.
    """
    before, lines = state_of(run, place.control), closed(run, place, order, clock, say)
    _tell(run, place.control, before, order, lines, clock.now())
    place.control.close(run)


def tell_left(
    run: str, control: Control, deployment: Deployment, now: float, say: Callable[[str], None]
) -> None:
    """Say the same of a run whose machines nobody here could end or ask for.

    Without a lease they leave by themselves: its ledger says what they may cost until then.

    Raises:
        StorageError: the bucket cannot be read or written.
    """
    waiting = {order.run: order for order in control.orders(say)}
    before, order = state_of(run, control), waiting.get(run) or taken(run, control)
    closing = Closing(control, deployment)
    lines = closing.settle(run, order, before, now + LEAVING_SECONDS, say)
    _tell(run, control, before, order, lines, now)
    control.close(run)


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


def closed(
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
            clock.sleep(ASK_SECONDS)
    say(said)
    return Closing(control, deployment).settle(run, order, state, clock.now(), say)


def taken(run: str, control: Control) -> Order | None:
    """Return the order of a run that is off the queue; None: nobody can read it, or it is not."""
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
