"""The command that gives a run to rented machines: run."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch import terminal
from imgbatch.cli.cloud.given import DeploymentOption, Yes, agree
from imgbatch.errors import SettingsError
from imgbatch.terminal import (
    AddInput,
    DatasetUrl,
    DumpName,
    IdColumn,
    Input,
    Json,
    Limit,
    MaxFailed,
    MediaColumn,
    RecipeName,
    Repair,
    Sample,
    say,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.cli.cloud.opened import Opened
    from imgbatch.cloud import Check
    from imgbatch.cloud.control import Order

Budget = Annotated[
    float | None,
    typer.Option(
        help="Dollars in all, the head and traffic included: from 90% no machine is added, at 100% "
        "the run ends; what is finished stays."
    ),
]
Deadline = Annotated[
    str | None,
    typer.Option(help="No machine lives longer: 6h, 90m, 1h30m, 2d, from now."),
]
Gpus = Annotated[
    str,
    typer.Option(
        help="Kinds of GPU such as l4 or l4,a10g, or a pool's name; by default the pool "
        "`gpu`, or `cpu` for a recipe that needs none."
    ),
]
MaxWorkers = Annotated[
    int, typer.Option(min=0, help="Machines at once, at most; 0: as many as the pool can have.")
]


def run(
    input: Input,  # noqa: A002 - the word that users see
    dataset: DatasetUrl,
    *,
    recipe: RecipeName = "quick",
    budget: Budget = None,
    deadline: Deadline = None,
    gpus: Gpus = "",
    max_workers: MaxWorkers = 0,
    limit: Limit = None,
    sample: Sample = None,
    max_failed: MaxFailed = None,
    repair: Repair = False,
    add_input: AddInput = False,
    dump: DumpName = None,
    media_column: MediaColumn = None,
    id_column: IdColumn = None,
    deployment: DeploymentOption = None,
    yes: Yes = False,
    plan: Annotated[
        bool, typer.Option(help="First list INPUT from here, and show time and cost.")
    ] = True,
    follow: Annotated[
        bool, typer.Option(help="Show how it goes, and end with its exit code.")
    ] = True,
    json: Json = False,
) -> None:
    """Run on rented machines, within a budget and a deadline; a closed laptop changes nothing."""
    from imgbatch.cli.cloud import money
    from imgbatch.cli.cloud.follow import to_its_end
    from imgbatch.cli.cloud.opened import opened
    from imgbatch.cli.cloud.plan import plan_run
    from imgbatch.cli.cloud.plan_lines import lines as plan_lines
    from imgbatch.cloud.control import new_run
    from imgbatch.cloud.launch import heads_until, launch, pays_heads
    from imgbatch.cloud.ordering import Wish, order_of
    from imgbatch.cloud.spans import seconds_of
    from imgbatch.forecast import expected
    from imgbatch.settings import passed_on

    if deadline is None:
        raise SettingsError(
            "a run on rented machines needs a deadline", "Give --deadline 6h: none lives longer."
        )
    wish = Wish(
        input=input,
        dataset=dataset,
        recipe=recipe,
        budget=given_budget(budget),
        gpus=kinds(gpus),
        most=max_workers,
        words=tuple(
            words(
                limit,
                sample,
                max_failed,
                repair=repair,
                add_input=add_input,
                of_posts=(dump, media_column, id_column),
            )
        ),
    )
    seconds = seconds_of(deadline, "--deadline")
    found = opened(deployment)
    now = time.time()
    order = order_of(wish, found.deployment, environment=passed_on(), deadline=now + seconds)
    queue = found.control.orders()
    doubts = refuse(order, found, queue, now=now, shown=not json)
    order, traffic = money.priced(order, found.deployment)
    told = None
    if plan:
        told = plan_run(order, found, limit=limit, share=sample, add_input=add_input)
    if told and told.plan.nothing and not repair and not _shared(order, queue):
        say(json, "nothing", told.record(), ["nothing to do, and nothing was rented"])
        return
    if told:
        order = order.model_copy(update={"expected": expected(told)})
        say(json, "cloud-plan", told.record(), plan_lines(told))
    say(json, "cap", _record(order, found, queue), _cap(order, found, deadline, now, traffic))
    money.refuse_short(order, yes=yes)
    paid = pays_heads(order, found.deployment, found.cloud.market)
    agree(money.question(order, len(doubts)), yes=yes)
    # From here on: nobody else's order goes before, and the time of a question is nobody's.
    now = time.time()
    order = order.model_copy(update={"run": new_run(), "deadline": now + seconds})
    order = order.model_copy(update={"heads_until": heads_until(order, paid, now)})
    before = launch(order, found.place, now=now)
    say(json, "ordered", _record(order, found, before), _ordered(order, before, now))
    if follow:
        raise typer.Exit(to_its_end(order.run, found, as_json=json))


def kinds(gpus: str) -> tuple[str, ...]:
    """Return the kinds of GPU that a flag names."""
    return tuple(word for word in (part.strip().lower() for part in gpus.split(",")) if word)


def words(
    limit: int | None,
    sample: float | None,
    max_failed: str | None,
    *,
    repair: bool,
    add_input: bool,
    of_posts: tuple[str | None, str | None, str | None] = (None, None, None),
) -> list[str]:
    """Return the words of `jobs.analyze` for flags, which are looked at here.

    `of_posts` are --dump, --media-column and --id-column.
    """
    terminal.max_failed(max_failed)
    dump, media_column, id_column = of_posts
    return words_of(
        {
            "limit": limit,
            "sample": sample,
            "max-failed": max_failed,
            "repair": repair,
            "add-input": add_input,
            "dump": dump,
            "media-column": media_column,
            "id-column": id_column,
        }
    )


def given_budget(budget: float | None) -> float:
    """Return --budget.

    Raises:
        SettingsError: it was not given.
    """
    if budget is None:
        raise SettingsError("a run on rented machines needs a budget", "Give dollars: --budget 50.")
    return budget


def refuse(
    order: Order, found: Opened, queue: Sequence[Order], *, now: float, shown: bool
) -> list[Check]:
    """Look at all that would keep machines from their work, and refuse; return what is doubtful.

    Raises:
        DeploymentError, QuotaError, SettingsError: something has to be mended first.
    """
    from imgbatch.cli.cloud import lines
    from imgbatch.cloud.reach import checks, refusal

    told = []
    for line in checks(order, found.deployment, found.cloud, queue=queue, now=now):
        told.append(line)
        if shown:
            sys.stderr.write("\n".join(lines.check(line)) + "\n")
            sys.stderr.flush()
    if wrong := refusal(told):
        raise wrong
    return [line for line in told if line.state == "unknown"]


def _shared(order: Order, queue: Sequence[Order]) -> bool:
    """Whether a run of the queue changes the dataset before this one comes."""
    return any(other.dataset == order.dataset for other in queue)


def _cap(
    order: Order, found: Opened, deadline: str, now: float, traffic: Sequence[str]
) -> list[str]:
    from imgbatch.cli.cloud import lines, money

    pool = found.deployment.pools[order.pool]
    kind = "spot" if pool.spot else "on-demand"
    dies = lines.moment(order.deadline, now)
    return [
        f"pool {order.pool}: at most {order.most} {kind} machines ({', '.join(pool.machines)})",
        f"cap ${order.budget:.2f}; no machine lives longer than {deadline}: dies at {dies}",
        *traffic,
        *money.cap(order),
        *money.beyond(order, now),
    ]


def _record(order: Order, found: Opened, before: Sequence[Order]) -> dict[str, object]:
    return {
        "run": order.run,
        "deployment": found.deployment.name,
        "pool": order.pool,
        "budget": order.budget,
        "expected": order.expected,
        "tariff": order.tariff.model_dump(),
        "deadline": order.deadline,
        "behind": [other.run for other in before],
    }


def _ordered(order: Order, before: Sequence[Order], now: float) -> list[str]:
    from imgbatch.cli.cloud import lines

    said = [f"ordered: run {order.run}"]
    if before:
        ends = lines.moment(order.deadline, now)
        said.append(
            f"  it waits behind {', '.join(other.run for other in before)}, and has until {ends}"
        )
        if any(other.deadline >= order.deadline for other in before):
            said.append("  which may take as long: then it does nothing, and costs nothing")
    return said + how_to(order)


def how_to(order: Order) -> list[str]:
    """Return what can be done about a run that is under way."""
    return [
        "  imgbatch cloud status --watch   how far it is and what it cost",
        "  imgbatch cloud logs -f          what its head says",
        f"  imgbatch tail -f {shlex.quote(order.dataset)}   what its workers say",
        f"  imgbatch cloud stop {order.run}   end it; what is finished stays",
    ]
