"""The runs of a deployment enter; what each really cost leaves, to the second of every machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import ledger
from imgbatch.cloud.former import read_run, runs
from imgbatch.errors import DeploymentError
from imgbatch.settings import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.cloud.control import Control
    from imgbatch.cloud.former import Run

# A head writes every few seconds: one that did not for so long may be gone, and its machines too.
SILENT = 120.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run cost.

    Attributes:
        phase: how it stands, or ended; "lost" where no head ever said so, and it is over by now.
        machines: how many there were, without the head.
        hours: of them.
        spot, on_demand: dollars of the workers themselves.
        besides: dollars of all disks and addresses.
        head: dollars of the head's machine.
        traffic: dollars of what was read and written, where that was paid for.
        seconds: from the order until its last machine was gone, or was seen last.
        expected: what the plan said: seconds and dollars, p50 and p90; empty where there was none.
        seen: until when its machines count that have no end: a head looked then last; seconds since
            1970.
        unseen: dollars that machines may have cost at most after they were last seen, as nobody saw
            their end; in no other figure here.
        by_type: hours and dollars, disks included, of each type of machine.
    """

    run: str
    phase: str
    machines: int
    hours: float
    spot: float
    on_demand: float
    besides: float
    head: float
    traffic: float
    seconds: float
    budget: float
    expected: dict[str, float]
    preemptions: int
    seen: float
    unseen: float
    by_type: dict[str, tuple[float, float]]
    lines: tuple[ledger.Line, ...]

    @property
    def dollars(self) -> float:
        """All of it."""
        return self.spot + self.on_demand + self.besides + self.head + self.traffic

    def record(self) -> dict[str, Any]:
        """Return it as `--json` says it."""
        own = {name: getattr(self, name) for name in self.__slots__ if name != "lines"}
        lines = [line.model_dump() for line in self.lines]
        return {**own, "dollars": self.dollars, "lines": lines}


def costs(
    control: Control,
    *,
    now: Callable[[], float] = time.time,
    unread: Callable[[str], None] = lambda _: None,
) -> list[Cost]:
    """Return what all runs of a deployment cost, the oldest first.

    Args:
        control: its objects.
        now: asked for the moment.
        unread: told of a run that cannot be read, and is not among them.

    Raises:
        StorageError: its bucket cannot be read.
    """
    return [cost(run, now()) for run in runs(control, last=None, unread=unread)]


def cost_of(control: Control, run: str, *, now: Callable[[], float] = time.time) -> Cost:
    """Return what one run cost.

    Raises:
        DeploymentError: there is none of that id.
        StorageError: the bucket cannot be read.
    """
    found = read_run(control, run, {order.run: order for order in control.orders()})
    if found is None:
        known = list(control.runs())
        raise DeploymentError(
            f"no run {run!r}{nearest(run, known[-10:])}", "`imgbatch cloud costs` lists all."
        )
    return cost(found, now())


def cost(run: Run, now: float) -> Cost:
    """Return what a run cost.

    Lines that go on count until a head last looked: whether their machines are there yet, no ledger
    knows.
    """
    until = run.seen
    workers = [line for line in run.lines if line.role == "worker"]
    heads = [line for line in run.lines if line.role == "head"]
    by_type: dict[str, tuple[float, float]] = {}
    for line in run.lines:
        spent, paid = by_type.get(line.type, (0.0, 0.0))
        by_type[line.type] = spent + hours(line, until), paid + line.cost(until)
    return Cost(
        run=run.name,
        phase=_phase(run, now),
        machines=len({line.machine for line in workers}),
        hours=sum(hours(line, until) for line in workers),
        spot=_machines([line for line in workers if line.spot], until),
        on_demand=_machines([line for line in workers if not line.spot], until),
        besides=sum(hours(line, until) * line.besides for line in run.lines),
        head=_machines(heads, until),
        traffic=run.traffic.dollars,
        seconds=max(0.0, run.end - run.ordered),
        budget=run.order.budget,
        expected=dict(run.order.expected),
        preemptions=run.state.preemptions if run.state else 0,
        seen=until,
        unseen=_unseen(run, now),
        by_type=dict(sorted(by_type.items())),
        lines=run.lines,
    )


def _phase(run: Run, now: float) -> str:
    if run.state is None or (not run.state.over and now > run.latest):
        return "lost"
    return run.state.phase


def _unseen(run: Run, now: float) -> float:
    """Return dollars at most of what nobody saw; none while a head looks every few seconds."""
    since, until = run.seen, run.gone(now)
    silent = until - since if run.state is None or run.state.over or now - since > SILENT else 0.0
    an_hour = ledger.per_hour(run.lines)
    return max(0.0, silent) / ledger.HOUR * an_hour + sum(line.unseen for line in run.lines)


def hours(line: ledger.Line, until: float) -> float:
    """Return the hours of an interval, up to a moment where it goes on."""
    end = until if line.end is None else line.end
    return max(0.0, end - line.start) / ledger.HOUR


def _machines(lines: Sequence[ledger.Line], until: float) -> float:
    return sum(hours(line, until) * line.dollars for line in lines)
