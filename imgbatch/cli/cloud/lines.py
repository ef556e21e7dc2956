"""Runs on rented machines, as they stand, enter; the lines that people read leave."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imgbatch.report.words import counted, duration

if TYPE_CHECKING:
    from imgbatch.cloud import Check
    from imgbatch.cloud.control import Order, State
    from imgbatch.cloud.halt import Halted
    from imgbatch.cloud.schedules import Schedule
    from imgbatch.cloud.standing import Standing

MARKS = {"ok": "ok", "failed": "FAILED", "unknown": "?"}
STEPS = {
    "ordered": "ordered",
    "head": "the head's machine was up",
    "taken": "the head took the order",
    "ray": "Ray was up on the head",
    "first-worker": "a worker joined",
    "first-shard-begun": "the first shard was begun",
    "first-shard": "the first shard was done",
    "last-shard": "the last shard was done",
    "scaled-in": "all workers were gone",
    "ended": "ended",
}


def moment(seconds: float, now: float) -> str:
    """Return a moment as a clock of this place shows it; with its day where that is another."""
    at = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.fromtimestamp(now).astimezone()
    if at.date() == today.date():
        return f"{at:%H:%M}"
    return f"{at:%a %H:%M}" if abs(at - today) < timedelta(days=6) else f"{at:%Y-%m-%d %H:%M}"


def check(line: Check) -> list[str]:
    """Return a check as lines."""
    said = f"  {MARKS[line.state]:<7} {line.name}: {line.said}"
    return [said, *([f"          {line.fix}"] if line.fix else [])]


def short(state: State, now: float) -> str:
    """Return how a run stands as one line."""
    work = f"{state.shards_done:,}/{state.shards:,} shards" if state.shards else "no shard yet"
    workers = counted(state.workers, "worker") + (
        f" and {state.booting} on the way" if state.booting else ""
    )
    words = [
        f"{state.phase}: {work}",
        workers,
        f"${state.spent:.2f} of ${state.budget:.2f}{_traffic(state)}",
        f"${state.per_hour:.2f}/h",
    ]
    if not state.over:
        words.append(f"{duration(state.eta)} left" if state.eta is not None else "end not known")
        words.append(f"dies at {moment(state.deadline, now)}")
    if state.preemptions:
        words.append(counted(state.preemptions, "preemption"))
    return ", ".join(words) + (f" ({state.reason})" if state.reason else "")


def _traffic(state: State) -> str:
    dollars = state.traffic.dollars
    return f" (${dollars:.2f} of it traffic)" if dollars >= 0.01 else ""  # noqa: PLR2004 - a cent


def changed(state: State) -> tuple[object, ...]:
    """Return what makes a line of its own, where lines are not drawn over."""
    return (
        state.phase,
        state.reason,
        state.workers,
        state.booting,
        state.shards_done,
        state.preemptions,
        tuple(state.steps),
    )


def going(state: State, now: float) -> list[str]:
    """Return how a run stands, with its steps."""
    lines = [f"run {state.run}", f"  {short(state, now)}"]
    if state.sources:
        lines.append(f"  {state.sources_done:,} of {state.sources:,} sources")
    return lines + steps(state)


def steps(state: State) -> list[str]:
    """Return how long each step waited for the one before it."""
    lines, before = [], 0.0
    for name, at in sorted(state.steps.items(), key=lambda item: item[1]):
        lines.append(f"  {duration(at):>10}  {STEPS.get(name, name)} (+{duration(at - before)})")
        before = at
    return lines


def standing(now: Standing) -> list[str]:
    """Return how a deployment stands."""
    lines = []
    if now.at_work:
        lines += going(now.at_work, now.now)
        if now.order:
            lines.append(f"  {_what(now.order)}")
        if now.silent:
            lines.append(
                f"  its head has said nothing for {duration(now.silent)}: another comes up by "
                "itself; `imgbatch cloud stop` ends it whatever happens"
            )
    else:
        lines.append(f"deployment {now.name}: nothing at work")
        if now.lease:
            lines[-1] = f"deployment {now.name}: a head has come up for run {now.lease.run}"
    lines += [f"  {machine} did not come up: {why}" for machine, why in now.boots.items()]
    lines += [f"waits: {order.run}  {_waits(order, now.now)}" for order in now.queue]
    lines += [f"cannot be read: {line}" for line in now.unread]
    lines += [_schedule(schedule, now) for schedule in now.schedules]
    lines += [f"ended: {state.run}  {_ended(state)}" for state in now.last]
    return lines


def _what(order: Order) -> str:
    by = f", by {order.by}" if order.by else ""
    return f"{order.input} -> {order.dataset}, pool {order.pool}, at most {order.most}{by}"


def _waits(order: Order, now: float) -> str:
    until = f", until {moment(order.deadline, now)}" if order.deadline else ""
    return f"{_what(order)}, ${order.budget:.2f}{until}"


def _ended(state: State) -> str:
    why = f" ({state.reason})" if state.reason else ""
    work = f"{state.shards_done:,} of {state.shards:,} shards"
    code = "" if state.code is None else f", exit code {state.code}"
    return f"{state.phase}: {work}, ${state.spent:.2f}{code}{why}"


def _schedule(schedule: Schedule, now: Standing) -> str:
    coming = moment(schedule.next(now.now), now.now)
    return (
        f"schedule {schedule.name}: next {coming} ({schedule.cron}, {schedule.timezone}), "
        f"{last_of(schedule, now)}"
    )


def last_of(schedule: Schedule, now: Standing) -> str:
    """Return what came of a schedule's last tick."""
    if schedule.skipped and schedule.skipped == schedule.last:
        tick, budget = moment(schedule.skipped, now.now), schedule.order.budget
        why = f"its ${budget:.2f} could have passed the ${schedule.total:.2f} of the month"
        return f"the tick of {tick} was skipped: {why}; {_of_last_run(schedule, now)}"
    return _of_last_run(schedule, now)


def _of_last_run(schedule: Schedule, now: Standing) -> str:
    if not schedule.last_run:
        return "not run yet"
    run = schedule.last_run
    known = {state.run: state for state in now.last}
    if run in known:
        return f"last {run}: {_ended(known[run])}"
    if now.at_work and now.at_work.run == run:
        return f"{run} is at work"
    return f"last {run}" + (" waits" if any(o.run == run for o in now.queue) else "")


def halted(found: Halted) -> list[str]:
    """Return how a run was ended, and what is left."""
    how = {
        "withdrawn": "taken off the queue before a head took it",
        "gently": "ended by its head; what was finished is committed",
        "forced": "ended by force; what was committed stays, run again to go on",
    }[found.how]
    lines = [f"run {found.run}: {how}"]
    if found.state:
        lines.append(f"  cost ${found.state.spent:.2f}")
    left = {group: count for group, count in found.machines.items() if count}
    lines.append(
        "  machines: "
        + (", ".join(f"{group} has {count}" for group, count in left.items()) or "none left")
    )
    if found.waiting:
        lines.append(f"  still waiting: {', '.join(found.waiting)}")
        if found.how == "forced":
            lines.append("  no head is up for them: `imgbatch cloud stop RUN` takes each off")
            lines.append("  the queue; the next `imgbatch cloud run` begins with the oldest")
    return lines
