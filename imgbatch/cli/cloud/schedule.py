"""The commands of runs that recur: schedule add, list, remove."""

from __future__ import annotations

import re
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.cli.cloud import run as running
from imgbatch.cli.cloud.given import DeploymentOption, Yes, agree
from imgbatch.errors import DeploymentError, SettingsError
from imgbatch.terminal import Json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.cli.cloud.opened import Opened
    from imgbatch.cloud.control import Order
    from imgbatch.cloud.ordering import Wish
    from imgbatch.cloud.root import Root
    from imgbatch.cloud.schedules import Schedule

VERB = "run"
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
ScheduleName = Annotated[
    str, typer.Argument(metavar="NAME", help="Small letters, digits and hyphens.")
]


def add(
    name: ScheduleName,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="-- run INPUT DATASET --budget DOLLARS ...",
            help="As for `imgbatch cloud run`, --no-plan too, without --deadline; the budget is of "
            "each tick.",
        ),
    ],
    *,
    every: Annotated[
        str | None, typer.Option(help='"Mon 03:00", "daily 03:00", "monthly 1 03:00", ...')
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(help='Minute, hour, day of month, month, day of week: "0 3 * * 1".'),
    ] = None,
    hours: Annotated[
        int, typer.Option(min=1, help="After so many the cloud ends all machines, whatever runs.")
    ],
    timezone: Annotated[str, typer.Option(help="In which the cron counts: Europe/Berlin.")] = "UTC",
    total: Annotated[
        float | None,
        typer.Option(
            help="Dollars of all its runs in a calendar month: a tick whose budget could pass it "
            "is skipped, which `status` tells."
        ),
    ] = None,
    deployment: DeploymentOption = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Have the cloud wake a head again and again for a run; ticks missed are caught up once."""
    from imgbatch.cli.cloud import lines as told
    from imgbatch.cli.cloud import money
    from imgbatch.cli.cloud.opened import opened
    from imgbatch.cloud.clashes import clashes
    from imgbatch.cloud.deployment import Schedule as Made
    from imgbatch.cloud.ordering import order_of
    from imgbatch.cloud.schedules import Schedule, check_times
    from imgbatch.recurring import cron_of, following
    from imgbatch.settings import passed_on

    if not NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} will not do as the name of a schedule",
            "Small letters, digits and hyphens, up to 32, the first a letter.",
        )
    if (every is None) == (cron is None):
        raise SettingsError("give --every or --cron, one of them", "See `--help`.")
    times = cron or cron_of(every or "")
    check_times(times, timezone)
    given = given_by(words)
    wish = wish_of(given)
    if total is not None and not total >= wish.budget:
        raise SettingsError(
            f"--total {total:g} is less than --budget {wish.budget:g} of a tick: none would run",
            "Give a larger --total, or a smaller --budget.",
        )
    found, now = opened(deployment), time.time()
    order = order_of(wish, found.deployment, environment=passed_on(), hours=float(hours))
    tick = following(times, timezone, now)
    ticking = order.model_copy(update={"deadline": tick + hours * 3600})
    doubts = running.refuse(ticking, found, found.control.orders(), now=tick, shown=not json)
    made = Made(cron=times, kill="", timezone=timezone, hours=hours)
    cut = list(clashes(made, found.deployment.schedules, now))
    order, traffic = money.priced(order, found.deployment)
    schedule = Schedule(
        name=name,
        cron=times,
        timezone=timezone,
        hours=hours,
        order=order,
        since=now,
        total=total or 0.0,
    )
    once = _planned(schedule, found, given, json=json)
    lines = [*_lines(schedule, now), *traffic, *money.cap(once), *money.beyond(once, now)]
    lines += [line for check in cut for line in told.check(check)]
    clash = [f"{check.name}: {check.said}" for check in cut]
    say(json, "plan", {**_record(schedule, now), "clashes": clash}, lines)
    money.refuse_short(once, yes=yes)
    unsure = len(doubts) + len(cut)
    but = f" ({unsure} of the checks are not certain)" if unsure else ""
    agree(f"Have it cost up to ${schedule.most:,.2f} a month{but}?", yes=yes)
    _add(schedule, found)
    say(json, "scheduled", _record(schedule, now), [f"schedule {name} is in place"])


def list_(*, deployment: DeploymentOption = None, json: Json = False) -> None:
    """List the schedules, when each comes next and what came of it last."""
    from imgbatch.cli.cloud.lines import last_of
    from imgbatch.cli.cloud.opened import opened
    from imgbatch.cloud.standing import standing

    found = opened(deployment)
    now = standing(found.deployment.name, found.control, time.time())
    woken = found.deployment.schedules
    lines = []
    for schedule in now.schedules:
        lines += [*_lines(schedule, now.now), f"  {last_of(schedule, now)}"]
        if schedule.name not in woken:
            lines.append("  nothing wakes it: `imgbatch cloud schedule remove` it, and add it anew")
    records = [_record(schedule, now.now) for schedule in now.schedules]
    say(json, "schedules", {"schedules": records}, lines or ["no schedule"])


def remove(
    name: ScheduleName,
    *,
    deployment: DeploymentOption = None,
    json: Json = False,
) -> None:
    """Remove a schedule; a run of it that waits or is at work goes on."""
    from imgbatch.cli.cloud.opened import opened
    from imgbatch.cloud import schedules
    from imgbatch.settings import nearest

    found = opened(deployment)
    known = [schedule.name for schedule in schedules.schedules(found.control)]
    if name not in {*known, *found.deployment.schedules}:
        raise DeploymentError(f"no schedule {name!r}{nearest(name, known)}", "See `schedule list`.")
    root = _root(found)
    wakes = dict(root.variable("schedules") or {})
    if wakes.pop(name, None) is not None:
        root.change("schedules", wakes)
        root.make(root.plan(), adopt=False)
    # Last: what wakes a head that finds nothing to do costs a few cents, not the other way round.
    schedules.remove(found.control, name)
    say(json, "removed", {"name": name}, [f"schedule {name} is removed"])


def given_by(words: list[str]) -> dict[str, Any]:
    """Return the flags of the words after `--`; they are those of `imgbatch cloud run`.

    Raises:
        SettingsError: they are not, or ask for what a schedule does not have.
    """
    if not words or words[0] != VERB:
        raise SettingsError(
            f"what is to be scheduled begins with `{VERB}`, not {' '.join(words[:1])!r}",
            "imgbatch cloud schedule add NAME --every ... --hours 6 -- run IN DATASET --budget 5",
        )
    parser = typer.Typer()
    parser.command()(running.run)
    command = typer.main.get_command(parser)
    given: dict[str, Any] = command.make_context(f"imgbatch cloud {VERB}", words[1:]).params
    if given["deadline"] is not None:
        raise SettingsError("a schedule has no --deadline", "Its --hours are each run's.")
    for flag in ("deployment", "yes", "json"):
        if given[flag]:
            raise SettingsError(f"--{flag} is of the schedule", f"Give it before `-- {VERB}`.")
    return given


def wish_of(given: Mapping[str, Any]) -> Wish:
    """Return what the flags of a run ask for.

    Raises:
        SettingsError: one is wrong, or there is no budget.
    """
    from imgbatch.cloud.ordering import Wish

    return Wish(
        input=given["input"],
        dataset=given["dataset"],
        recipe=given["recipe"],
        budget=running.given_budget(given["budget"]),
        gpus=running.kinds(given["gpus"]),
        most=given["max_workers"],
        words=tuple(
            running.words(
                given["limit"],
                given["sample"],
                given["max_failed"],
                repair=given["repair"],
                add_input=given["add_input"],
                of_posts=(given["dump"], given["media_column"], given["id_column"]),
            )
        ),
    )


def _planned(schedule: Schedule, found: Opened, given: Mapping[str, Any], *, json: bool) -> Order:
    """Return a schedule's order as one tick now, with what the plan expects of it."""
    from imgbatch.cli.cloud.plan import plan_run
    from imgbatch.cli.cloud.plan_lines import lines
    from imgbatch.forecast import expected

    end = schedule.since + schedule.hours * 3600
    order = schedule.order.model_copy(update={"deadline": end})
    if not given["plan"]:
        return order
    own = {"limit": given["limit"], "share": given["sample"], "add_input": given["add_input"]}
    told = plan_run(order, found, **own)
    if told is None:
        return order
    say(json, "cloud-plan", told.record(), ["a tick, if it came now:", *lines(told), ""])
    return order.model_copy(update={"expected": expected(told)})


def _root(found: Opened) -> Root:
    from imgbatch.cloud.root import Root

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    made = found.deployment
    root = Root(made.cloud, made.name, made.region, say=tell)
    root.open(make=False)
    return root


def _add(schedule: Schedule, found: Opened) -> None:
    """Keep a schedule and have the cloud wake for it; what fails in between is taken back."""
    from imgbatch.cloud import schedules

    root = _root(found)
    before = dict(root.variable("schedules") or {})
    wake = {"cron": schedule.cron, "timezone": schedule.timezone, "hours": schedule.hours}
    with ExitStack() as back:
        schedules.put(found.control, schedule)
        back.callback(schedules.remove, found.control, schedule.name)
        back.callback(root.change, "schedules", before)
        root.change("schedules", {**before, schedule.name: wake})
        root.make(root.plan(), adopt=False)
        back.pop_all()


def _record(schedule: Schedule, now: float) -> dict[str, Any]:
    order = schedule.order
    return {
        **schedule.model_dump(exclude={"order"}),
        "next": schedule.next(now),
        "input": order.input,
        "dataset": order.dataset,
        "pool": order.pool,
        "budget": order.budget,
        "tariff": order.tariff.model_dump(),
        "most_a_month": schedule.most,
    }


def _lines(schedule: Schedule, now: float) -> list[str]:
    from imgbatch.cli.cloud.lines import moment

    order = schedule.order
    when = moment(schedule.next(now), now)
    what = f"{order.input} -> {order.dataset}, pool {order.pool}, at most {order.most} machines"
    return [
        f"schedule {schedule.name}: {schedule.cron} ({schedule.timezone}), next {when}",
        f"  {what}, ${order.budget:.2f} and {schedule.hours} h each time",
        f"  {_most(schedule)}",
    ]


def _most(schedule: Schedule) -> str:
    """Return the most that a month can cost, in words."""
    from imgbatch.cloud.monthly import ticks_of_a_month

    count = ticks_of_a_month(schedule.cron, schedule.timezone, schedule.since)
    every = f"{count} ticks of ${schedule.order.budget:.2f}"
    if schedule.total:
        return f"at most ${schedule.most:,.2f} a month: --total {schedule.total:g}, {every}"
    return f"at most ${schedule.most:,.2f} a month: {every}; --total DOLLARS bounds it"
