"""The command that looks back at what was paid: costs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch.cli.cloud.given import DeploymentOption
from imgbatch.terminal import Json, aligned, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.cloud.costs import Cost
    from imgbatch.cloud.ledger import Line

CENT = 0.01
HEAD = (
    "run",
    "phase",
    "machines",
    "hours",
    "spot $",
    "on-demand $",
    "disks $",
    "head $",
    "traffic $",
    "total $",
    "plan $ p50",
    "p90",
    "time",
    "plan p50",
    "p90",
)


def costs(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="One run in detail; without, all.")
    ] = None,
    *,
    deployment: DeploymentOption = None,
    json: Json = False,
) -> None:
    """Show what runs cost: each machine's seconds at the price then, and what was planned."""
    from imgbatch.cli.cloud.opened import opened
    from imgbatch.cloud.costs import cost_of
    from imgbatch.cloud.costs import costs as all_costs

    control = opened(deployment).control
    if run is not None:
        one = cost_of(control, run)
        say(json, "cost", one.record(), detailed(one))
        return
    found = all_costs(control, unread=_uncounted)
    total = sum(each.dollars for each in found)
    unseen = sum(each.unseen for each in found)
    record = {"runs": [each.record() for each in found], "dollars": total, "unseen": unseen}
    say(json, "costs", record, listed(found))


def _uncounted(line: str) -> None:
    sys.stderr.write(f"not counted: {line}\n")


def listed(found: Sequence[Cost]) -> list[str]:
    """Return the costs of runs as lines."""
    if not found:
        return ["no run was made here: nothing was paid"]
    total = sum(each.dollars for each in found)
    unseen = [line for each in found for line in _unseen(each)]
    more = f", and up to ${sum(each.unseen for each in found):.2f} more" if unseen else ""
    rows = aligned([HEAD, *(_row(each) for each in found)])
    return [*rows, *unseen, f"total: ${total:.2f}{more}"]


def detailed(one: Cost) -> list[str]:
    """Return the cost of one run as lines: a line per machine and price."""
    head = ("machine", "role", "type", "zone", "", "from", "to", "hours", "$/h", "besides $/h", "$")
    rows = [_line(line, one) for line in one.lines]
    kinds = [("type", "hours", "$")]
    kinds += [(name, f"{hours:.2f}", f"{paid:.3f}") for name, (hours, paid) in one.by_type.items()]
    return [
        *aligned([HEAD, _row(one)]),
        "",
        *aligned([head, *rows]),
        "",
        *aligned(kinds),
        f"{one.preemptions} preemptions; budget ${one.budget:.2f}",
        *_unseen(one),
    ]


def _unseen(one: Cost) -> list[str]:
    """Return what is not known of a cost, as lines."""
    if one.unseen < CENT:
        return []
    machines = {line.machine for line in one.lines if line.end is None or line.unsure}
    said = (
        f"{one.run}: nobody saw the end of {len(machines)} machines; they count until a head saw "
        f"them last, and may have cost up to ${one.unseen:.2f} more"
    )
    return [said]


def _row(one: Cost) -> tuple[str, ...]:
    plan = one.expected
    return (
        one.run,
        one.phase,
        str(one.machines),
        f"{one.hours:.2f}",
        f"{one.spot:.2f}",
        f"{one.on_demand:.2f}",
        f"{one.besides:.2f}",
        f"{one.head:.2f}",
        f"{one.traffic:.2f}",
        f"{one.dollars:.2f}",
        *(_planned(plan, f"dollars_{name}", "{:.2f}") for name in ("p50", "p90")),
        _clock(one.seconds),
        *(_clock(plan[key]) if key in plan else "-" for key in ("seconds_p50", "seconds_p90")),
    )


def _planned(plan: dict[str, float], key: str, form: str) -> str:
    return form.format(plan[key]) if key in plan else "-"


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02}"


def _line(line: Line, one: Cost) -> tuple[str, ...]:
    from imgbatch.cloud.costs import hours

    until = max(line.start, one.seen)
    return (
        line.machine,
        line.role,
        line.type,
        line.zone,
        "spot" if line.spot else "on-demand",
        _moment(line.start),
        "-" if line.end is None else _moment(line.end) + ("?" if line.unsure else ""),
        f"{hours(line, until):.3f}",
        f"{line.dollars:.4f}",
        f"{line.besides:.4f}",
        f"{line.cost(until):.4f}",
    )


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"
