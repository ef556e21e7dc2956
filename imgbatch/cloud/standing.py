"""The control objects of a deployment enter; how its runs stand leaves, and a run to its end.

No cloud is asked: who may read the bucket sees all of it, from any laptop.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from imgbatch.attempts import Patience, attempt
from imgbatch.cloud import schedules
from imgbatch.cloud.control import BOOTS, RUNS, UNSAID, told
from imgbatch.errors import (
    CancelledError,
    DeploymentError,
    JobError,
    RunError,
    SettingsError,
    SpentError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.cloud.control import Control, Lease, Order, State
    from imgbatch.cloud.schedules import Schedule

# A head writes every few seconds; of one that was lost, the next comes up within minutes.
SILENT = 120.0
LAST = 5
T = TypeVar("T")
DAY = 24 * 3600.0
PATIENCE = Patience(attempts=10, seconds=600)
CODES = {
    "done": 0,
    "failed": JobError.exit_code,
    "stopped": CancelledError.exit_code,
    "budget": SpentError.exit_code,
    "deadline": SpentError.exit_code,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand.

    Attributes:
        lease: None: nobody is at work, and machines leave.
        at_work: the run that a head has taken, with what it was ordered as; None: there is none.
        queue: runs that wait, oldest first.
        last: runs that ended, newest first.
        schedules: by name.
        boots: machines that did not come up for the run at work, or the first that waits, and why;
            and heads of the last day that a schedule had come up, and that could order nothing.
        unread: control objects that cannot be read, and why: what they tell is missing here.
    """

    name: str
    now: float
    lease: Lease | None
    at_work: State | None
    order: Order | None
    queue: tuple[Order, ...]
    last: tuple[State, ...]
    schedules: tuple[Schedule, ...]
    boots: dict[str, str]
    unread: tuple[str, ...]

    @property
    def silent(self) -> float:
        """Seconds since the head's last word, where that is long; else 0."""
        age = self.now - self.at_work.at if self.at_work else 0.0
        return age if age > SILENT else 0.0

    def record(self) -> dict[str, Any]:
        """Return it as `--json` says it."""
        return {
            "deployment": self.name,
            "at_work": self.at_work and self.at_work.model_dump(),
            "order": self.order and _short(self.order),
            "silent_seconds": self.silent,
            "lease": self.lease and self.lease.model_dump(),
            "queue": [_short(order) for order in self.queue],
            "last": [state.model_dump() for state in self.last],
            "boots": self.boots,
            "unread": list(self.unread),
            "schedules": [
                {**s.model_dump(exclude={"order"}), "next": s.next(self.now)}
                for s in self.schedules
            ],
        }


def standing(name: str, control: Control, now: float) -> Standing:
    """Return how things stand in a deployment."""
    unread: list[str] = []
    lease, orders = _told(control.lease, unread), control.orders(unread.append)
    known = sorted({*control.runs(), *(order.run for order in orders)})
    run = lease.run if lease else None
    found = {
        one: _told(partial(control.state, one), unread) for one in known[-LAST - len(orders) :]
    }
    states = {one: state for one, state in found.items() if state}
    at_work = states.get(run) if run else None
    if at_work is None:
        # Between two heads there is no lease, and the run goes on.
        open_states = [s for o in orders if (s := states.get(o.run)) and not s.over]
        at_work = open_states[0] if open_states else None
    first = at_work.run if at_work and not at_work.over else orders[0].run if orders else None
    taken = at_work.run if at_work and not at_work.over else run
    return Standing(
        name=name,
        now=now,
        lease=lease,
        at_work=at_work if at_work and not at_work.over else None,
        order=next((order for order in orders if order.run == taken), None),
        queue=tuple(order for order in orders if order.run != taken),
        last=tuple(s for _, s in sorted(states.items(), reverse=True) if s.over)[:LAST],
        schedules=tuple(_told(partial(schedules.schedules, control), unread) or ()),
        boots=(failed_boots(control, first) if first else {}) | _lost_heads(control, now),
        unread=tuple(unread),
    )


def _told(ask: Callable[[], T | None], unread: list[str]) -> T | None:
    """Return what an object tells; one that is damaged hides nothing of the others."""
    try:
        return ask()
    except (DeploymentError, SettingsError) as error:
        unread.append(str(error))
        return None


def _short(order: Order) -> dict[str, Any]:
    return order.model_dump(exclude={"recipe", "environment"})


def follow(
    run: str,
    control: Control,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    every: float = 2.0,
) -> Iterator[State | None]:
    """Yield a run's state whenever its head wrote a new one, the last of it at the end.

    None stands for a look at which there was nothing new: whoever shows it may count the seconds.

    Raises:
        DeploymentError: it is neither in the queue nor told of.
        SpentError: its deadline has passed, and no head ever took it.
    """
    last, deadline = None, 0.0
    while True:
        # A laptop's network comes and goes; the run does not mind.
        state = attempt(partial(control.state, run), PATIENCE)
        if state is not None and state != last:
            yield state
            last = state
            if state.over:
                return
        else:
            yield None
        if last is None:
            deadline = _waits(run, control) or deadline
            if deadline and now() > deadline:
                raise SpentError(f"run {run} was taken by no head before its deadline")
        sleep(every)


def failed_boots(control: Control, run: str) -> dict[str, str]:
    """Return the machines that did not come up for a run, and why, as they reported it."""
    found = {}
    for name in control.names(f"{RUNS}/{run}/boots"):
        machine = name.rpartition("/")[2].removesuffix(".json")
        found[machine] = str(told(control.store.get(name)).get("reason", UNSAID))
    return found


def _lost_heads(control: Control, now: float) -> dict[str, str]:
    """Return the heads that did not come up when no run waited for one, lately, and why."""
    found = {}
    for name in control.names(BOOTS):
        report = told(control.store.get(name))
        at = report.get("at")
        if isinstance(at, int | float) and at > now - DAY:
            machine = name.rpartition("/")[2].removesuffix(".json")
            found[machine] = str(report.get("reason", UNSAID))
    return found


def _waits(run: str, control: Control) -> float:
    """Return the deadline of a run in the queue.

    Raises:
        DeploymentError: it is not there, and no head told of it.
    """
    for order in control.orders():
        if order.run == run:
            return order.deadline
    if control.state(run) is None:
        raise DeploymentError(
            f"run {run} is not in the queue, and no head told of it", "It was taken off the queue."
        )
    return 0.0


def code_of(state: State) -> int:
    """Return the exit code of a run that has ended."""
    return CODES[state.phase] if state.code is None else state.code


def ended(state: State) -> RunError | None:
    """Return what is to be told of a run that ended otherwise than well; None: it is done."""
    kinds: dict[str, type[RunError]] = {
        "failed": JobError,
        "stopped": CancelledError,
        "budget": SpentError,
        "deadline": SpentError,
    }
    kind = kinds.get(state.phase)
    return kind(f"run {state.run}: {state.reason or state.phase}") if kind else None
