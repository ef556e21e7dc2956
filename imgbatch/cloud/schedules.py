"""Recurring runs: what to order when the cloud wakes the head, and which ticks are due.

The cloud only wakes the head, and ends everything some hours later (Terraform made both). What to
run lies in the control objects, `schedules/<name>.json`; the head asks `due` when it starts and
before it ends, so a tick that nobody was there for is caught up: once, however many were missed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cronsim import CronSimError
from pydantic import Field

from imgbatch.cloud.control import SCHEDULES, Control, Order
from imgbatch.cloud.former import ordered_at
from imgbatch.cloud.ledger import HOUR
from imgbatch.cloud.monthly import paid, ticks_of_a_month
from imgbatch.cloud.versions import unsaid
from imgbatch.errors import DeploymentError, SettingsError
from imgbatch.recurring import FIELDS, check_zone, following, missed, ticks
from imgbatch.settings import Settings, check
from imgbatch.storage import ChangedError, claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgbatch.cloud import deployment
    from imgbatch.errors import RunError

# A run is over so long before the cloud ends all machines, and has committed what is finished.
BEFORE_SECONDS = 120.0
# What has an end that is a cron too, so that the cloud can be told of both: as `infra/` says.
_MINUTE = re.compile(r"\d{1,2}")
_FIELD = re.compile(r"\*|\d{1,2}(-\d{1,2})?(,\d{1,2}(-\d{1,2})?)*")
_HOUR = re.compile(rf"\*/[1-9]\d?|{_FIELD.pattern}")


class Schedule(Settings):
    """A run that recurs.

    Attributes:
        cron: five fields: minute, hour, day of month, month, day of week.
        timezone: in which they count.
        hours: after which the cloud ends what the tick began.
        order: what to run; its id and deadline come with each tick.
        since: no tick before counts; seconds since 1970.
        last: the tick that was ordered last.
        last_run: the id of the run that was ordered last.
        total: dollars of all its runs in a calendar month: a tick whose budget could pass it is
            skipped. 0: no such bound.
        skipped: the tick that was skipped last for it; 0: none.
    """

    name: str
    cron: str
    timezone: str
    hours: int = Field(ge=1)
    order: Order
    since: float
    last: float = 0.0
    last_run: str = ""
    total: float = Field(default=0.0, ge=0)
    skipped: float = 0.0

    @property
    def most(self) -> float:
        """Dollars that its runs can cost in the fullest month of its first year."""
        every = ticks_of_a_month(self.cron, self.timezone, self.since) * self.order.budget
        return min(every, self.total) if self.total else every

    def next(self, now: float) -> float:
        """Return the first tick after a moment."""
        return following(self.cron, self.timezone, now)

    def missed(self, now: float) -> float | None:
        """Return the newest tick up to a moment that was not ordered yet; None: there is none."""
        return missed(self.cron, self.timezone, after=max(self.since, self.last), now=now)


def check_times(cron: str, timezone: str) -> None:
    """Refuse a cron or a time zone that either we or a cloud would not understand.

    Raises:
        SettingsError: it is wrong; says where.
    """
    check_zone(timezone)
    remedy = 'Give minute, hour, day of month, month, day of week: "0 3 * * 1" is Mondays at 3:00.'
    fields = cron.split()
    if len(fields) != FIELDS:
        raise SettingsError(f"--cron {cron!r} has {len(fields)} fields, not 5", remedy)
    for field, form in zip(fields, (_MINUTE, _HOUR, _FIELD, _FIELD, _FIELD), strict=True):
        if not form.fullmatch(field):
            raise SettingsError(
                f"--cron {cron!r}: {field!r} will not do here",
                "One number for the minute; else *, numbers, ranges and lists (1-5,0), and */6 "
                "for hours. " + remedy,
            )
    if fields[2] != "*" and fields[4] != "*":
        raise SettingsError(
            f"--cron {cron!r} has days of the month and of the week", "Make two schedules."
        )
    try:
        tick = next(ticks(cron, timezone, time.time()), None)
    except CronSimError as error:
        raise SettingsError(f"--cron {cron!r}: {error}", remedy) from error
    if tick is None:
        raise SettingsError(f"--cron {cron!r} never comes", remedy)


def kills(schedule: deployment.Schedule, start: float, end: float) -> Iterator[datetime]:
    """Yield the moments in a span of time at which a schedule ends all machines."""
    for tick in ticks(schedule.kill, schedule.timezone, start):
        if tick.timestamp() >= end:
            return
        yield tick


def killed(made: Mapping[str, deployment.Schedule], now: float) -> float | None:
    """Return when a schedule ends all machines next, seconds since 1970; None: none does."""
    found = (next(ticks(one.kill, one.timezone, now), None) for one in made.values())
    return min((tick.timestamp() for tick in found if tick), default=None)


def deadline(order: Order, made: Mapping[str, deployment.Schedule], now: float) -> float:
    """Return when a scheduled run must be over, seconds since 1970.

    So many hours after it is taken, and before the cloud ends all machines. That is at its own
    schedule's end, and at that of every other: a kill asks nobody what runs.

    Args:
        order: of a schedule; its id is its tick's.
        made: the schedules that Terraform made; a head may know too few of them, as its own life
            began before.
        now: when it is taken.
    """
    length = order.hours * HOUR
    ends = [ordered_at(order.run) + length]
    if (at := killed(made, now)) is not None:
        ends.append(at)
    return min([now + length, *(end - BEFORE_SECONDS for end in ends if end > now)])


def put(control: Control, schedule: Schedule) -> None:
    """Keep a schedule that is new.

    Raises:
        SettingsError: there is one of that name.
    """
    try:
        claim(control.store, _name(schedule.name), _json(schedule))
    except FileExistsError as error:
        raise SettingsError(
            f"there is a schedule {schedule.name}",
            f"`imgbatch cloud schedule remove {schedule.name}` first, or give another name.",
        ) from error


def remove(control: Control, name: str) -> None:
    """Forget a schedule; one that is not there is no error."""
    control.store.delete(_name(name))


def schedules(control: Control) -> list[Schedule]:
    """Return all schedules, by name."""
    found = (_read(control, name) for name in control.names(SCHEDULES))
    return [schedule for schedule, _ in (pair for pair in found if pair)]


def due(control: Control, now: float) -> list[Order]:
    """Put into the queue what is due by now, and return it.

    Of several missed ticks of a schedule the newest is ordered. Two heads that ask at once order
    it once: a run's id is its tick's, an order of an id is put once, and a tick is noted after it
    was ordered; who dies in between is followed by one that finds the order there.

    Raises:
        DeploymentError, SettingsError: a schedule is damaged; what is due of all others is ordered.
    """
    ordered: list[Order] = []
    wrong: list[RunError] = []
    for name in control.names(SCHEDULES):
        try:
            ordered += _due(control, name, now)
        except (DeploymentError, SettingsError) as error:
            wrong.append(error)  # one that is damaged keeps no other from its tick
    if wrong:
        raise wrong[0]
    return ordered


def _due(control: Control, name: str, now: float) -> list[Order]:
    """Order the tick of one schedule, where one is due."""
    found = _read(control, name)
    tick = found[0].missed(now) if found else None
    if found is None or tick is None:
        return []
    schedule, version = found
    order = _order(schedule, tick)
    if _passes_total(control, schedule, order, tick):
        fresh, noted = False, schedule.model_copy(update={"last": tick, "skipped": tick})
    else:
        fresh = _ordered(control, order)
        noted = schedule.model_copy(update={"last": tick, "last_run": order.run})
    # Else the other head noted it, or somebody removed the schedule.
    with contextlib.suppress(ChangedError, FileNotFoundError):
        control.store.replace(name, _json(noted), version)
    return [order] if fresh else []


def _passes_total(control: Control, schedule: Schedule, order: Order, tick: float) -> bool:
    """Whether a tick's run could cost more than is left of its month."""
    if not schedule.total or order.run in {*control.waiting(), *control.runs()}:
        return False  # ordered already, by a head that did not live to note it
    mark, budget = _mark(schedule.name), order.budget
    before = paid(control, mark, schedule.timezone, tick, budget=budget)
    return before + budget > schedule.total


def _ordered(control: Control, order: Order) -> bool:
    if control.get(order.run, "order.json") is not None:
        return False  # taken and done by whoever did not live to note it
    try:
        control.order(order)
    except FileExistsError:
        return False
    return True


def _order(schedule: Schedule, tick: float) -> Order:
    stamp = f"{datetime.fromtimestamp(tick, UTC):%Y%m%dT%H%M%SZ}"
    return schedule.order.model_copy(
        update={
            "run": f"{stamp}{_mark(schedule.name)}",
            "deadline": 0.0,
            "hours": float(schedule.hours),
            "by": f"schedule {schedule.name}",
        }
    )


def _mark(name: str) -> str:
    """Return what the ids of a schedule's runs end with."""
    return f"-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _name(name: str) -> str:
    return f"{SCHEDULES}/{name}.json"


def _read(control: Control, name: str) -> tuple[Schedule, str] | None:
    """Return a schedule and the version that can be replaced; None: it is gone."""
    try:
        # In this order: what is read is what that version holds, or newer, and not replaced then.
        version = control.store.head(name).version
        raw = control.store.get(name)
    except FileNotFoundError:
        return None
    try:
        return check(Schedule, json.loads(raw), where=name), version
    except ValueError as error:
        raise DeploymentError(f"{control.store.address(name)} is no JSON: {error}") from error


def _json(schedule: Schedule) -> bytes:
    told = schedule.model_dump(exclude={"order": unsaid(schedule.order)})
    return json.dumps(told, indent=1).encode()
