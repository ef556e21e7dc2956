"""An order enters; what would keep machines from working on it leaves, before they cost anything.

Each check is a line that is well, or says what to do. `failed` refuses the run; `unknown` is told,
and left to whoever is asked.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from imgbatch.cloud import Check
from imgbatch.cloud.offers import unpriced, verdict
from imgbatch.cloud.ordering import MIRROR, recipe_of
from imgbatch.cloud.schedules import kills
from imgbatch.cloud.transfer import SPREAD
from imgbatch.cloud.trouble import PRICE_FIX, no_price
from imgbatch.dataset.lock import refuse_busy
from imgbatch.errors import (
    BusyError,
    CloudError,
    DeploymentError,
    MissingExtraError,
    QuotaError,
    RunError,
)
from imgbatch.models.download import look_in
from imgbatch.models.remedies import pushing
from imgbatch.models.weights import file_of
from imgbatch.ready import needs
from imgbatch.storage import open_store
from imgbatch.storage.buckets import open_bucket
from imgbatch.storage.options import split
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.cloud import Cloud
    from imgbatch.cloud.control import Order
    from imgbatch.cloud.deployment import Deployment

PRICE, QUOTA = "price", "quota"
VERDICTS = ("none", "unknown", "less", "ok")


def checks(
    order: Order, deployment: Deployment, cloud: Cloud, *, queue: Sequence[Order], now: float
) -> Iterator[Check]:
    """Yield a line for each thing that a run on rented machines needs and a terminal can see.

    Args:
        order: what they would work on.
        deployment: whose machines.
        cloud: that they are in.
        queue: orders that wait or are at work.
        now: seconds since 1970.
    """
    yield _permitted("INPUT", order.input, [*_all(deployment), *deployment.readable], deployment)
    yield _permitted("DATASET", order.dataset, _all(deployment), deployment)
    for what, url in (("INPUT", order.input), ("DATASET", order.dataset)):
        yield _near(what, url, deployment)
    yield _recipe(order)
    yield from _weights(order)
    yield _idle(order, queue)
    yield from _killed(order, deployment, now)
    yield from _outlived(order, deployment, now)
    yield _priced(order, deployment, cloud)
    yield _quota(order, deployment, cloud)
    images = import_module(f"imgbatch.cloud.{deployment.cloud}.images")
    yield images.pushed(deployment.image, deployment.region, deployment=deployment.name)


def refusal(told: Sequence[Check]) -> RunError | None:
    """Return what refuses a run after its checks; None: nothing does."""
    failed = [line for line in told if line.state == "failed"]
    if not failed:
        return None
    kind = QuotaError if all(line.name == QUOTA for line in failed) else DeploymentError
    return kind(
        "; ".join(f"{line.name}: {line.said}" for line in failed),
        "\n       ".join(line.fix for line in failed if line.fix) or kind.remedy,
    )


def _all(deployment: Deployment) -> list[str]:
    return [deployment.bucket, *deployment.writable]


def _permitted(what: str, url: str, granted: Sequence[str], deployment: Deployment) -> Check:
    """Whether the roles of machines let them in."""
    bare, given = split(url)
    if given.get("anonymous"):
        return Check(what, "ok", f"{bare} is read without credentials")
    if _below(bare, deployment.control):
        fix = f"Take another place, such as {deployment.bucket}/data."
        return Check(what, "failed", f"{bare} holds what the machines themselves go by", fix)
    if any(_below(bare, place) for place in granted):
        return Check(what, "ok", f"machines may use {bare}")
    kind = "readable" if what == "INPUT" else "writable"
    bucket = "/".join(bare.split("/")[:3])
    return Check(
        what,
        "failed",
        f"the role of the machines does not let them into {bare}",
        f'Add "{bucket}" to `{kind}` in {deployment.name}.tfvars.json, then `scripts/cloud up '
        f"{deployment.cloud}`.",
    )


def _below(url: str, place: str) -> bool:
    return f"{url.rstrip('/')}/".startswith(f"{place.partition('?')[0].rstrip('/')}/")


def region_of(url: str) -> str:
    """Return the region of the bucket that a URL is in; "" where nobody says."""
    return open_bucket(url).region()


def _near(what: str, url: str, deployment: Deployment) -> Check:
    """Whether a bucket is where the machines are: from elsewhere each byte is paid for."""
    name = f"{what} region"
    try:
        region = region_of(url)
    except RunError as error:
        return Check(name, "failed", str(error), error.remedy)
    if not region:
        return Check(name, "unknown", f"where {url} lies is not told to these credentials")
    if region == deployment.region:
        return Check(name, "ok", f"{region}, as the machines")
    said = f"{url} lies in {region}, the machines in {deployment.region}"
    if deployment.region.startswith(SPREAD.get(region.lower(), "-")):
        return Check(name, "unknown", f"{said}, one of its regions: reading may be paid for")
    if split(url)[1].get("region") != region:
        mark = "&" if "?" in url else "?"
        return Check(name, "failed", said, f"Give `{url}{mark}region={region}` if you mean it.")
    return Check(name, "unknown", f"{said}: every byte that crosses is paid for")


def _recipe(order: Order) -> Check:
    recipe = recipe_of(order.recipe)
    if recipe is None:
        return Check("recipe", "unknown", "a package of it is not installed here; machines look")
    try:
        tables = [spec.name for spec in table_specs(recipe)]
    except MissingExtraError as error:
        return Check("recipe", "unknown", f"{error}; machines look themselves")
    except RunError as error:
        return Check("recipe", "failed", str(error), error.remedy)
    return Check("recipe", "ok", f"fills {', '.join(tables)}")


def _weights(order: Order) -> Iterator[Check]:
    """Yield whether weights lie where machines fetch them: each would ask a hub otherwise."""
    recipe, mirror = recipe_of(order.recipe), order.environment[MIRROR]
    for need in needs(recipe) if recipe else ():
        name = f"weights {need.name}"
        try:
            look_in(open_store(mirror), file_of(need.wanted).key)
        except (RunError, PermissionError) as error:
            yield Check(name, "failed", str(error), pushing(need.wanted, mirror))
        else:
            yield Check(name, "ok", f"in {mirror}")


def _idle(order: Order, queue: Sequence[Order]) -> Check:
    """Whether somebody else is at work on the dataset: a machine would be told so and end."""
    if any(other.dataset == order.dataset for other in queue):
        return Check("dataset", "ok", "a run of this queue is at work on it, or will be before")
    try:
        refuse_busy(open_store(order.dataset))
    except BusyError as error:
        return Check("dataset", "failed", str(error), error.remedy)
    except (RunError, PermissionError) as error:
        remedy = error.remedy if isinstance(error, RunError) else "Check its permissions."
        return Check("dataset", "failed", str(error), remedy)
    return Check("dataset", "ok", "nobody is at work on it")


def _killed(order: Order, deployment: Deployment, now: float) -> Iterator[Check]:
    """Yield which schedules end all machines before this run's own deadline.

    Of a scheduled run, all its ticks are looked at (`clashes`).
    """
    if order.hours:
        return
    for name, schedule in deployment.schedules.items():
        at = next(iter(kills(schedule, now, order.deadline)), None)
        if at is not None:
            yield Check(
                f"schedule {name}",
                "unknown",
                f"it ends all machines at {at:%Y-%m-%d %H:%M %Z}, whatever runs; run again then",
            )


def _outlived(order: Order, deployment: Deployment, now: float) -> Iterator[Check]:
    """Yield that machines of the run would live longer than any of the deployment may.

    Google Cloud would end them, the head among them, before the run's end; AWS has no such bound of
    its own, so that this one is all there is there.
    """
    most, hours = deployment.max_hours, (order.deadline - now) / 3600
    less = "fewer --hours" if order.hours else "a sooner --deadline"
    if most is not None and hours > most:
        yield Check(
            "deadline",
            "failed",
            f"{hours:.1f} hours, and no machine of {deployment.name} may live longer than {most:g}",
            f"Give {less}, or raise `max_hours` in {deployment.name}.tfvars.json and run "
            f"`scripts/cloud up {deployment.cloud}` again.",
        )


def _priced(order: Order, deployment: Deployment, cloud: Cloud) -> Check:
    """Whether all machines that may come have a price: a budget is kept by nothing else."""
    pool, region = deployment.pools[order.pool], deployment.region
    workers = {(type_, pool.spot) for type_ in pool.machines}
    wanted = workers | {(type_, False) for type_ in deployment.head.machines}
    types = sorted({type_ for type_, _ in wanted})
    try:
        prices = cloud.market.prices(types, region)
        lacks = set(cloud.market.lacks(types, region))
    except CloudError as error:
        return Check(PRICE, "failed", str(error), error.remedy)
    if missing := sorted(unpriced(prices, wanted) - lacks):
        return Check(PRICE, "failed", no_price(missing, region), PRICE_FIX)
    if unpriced(prices, workers) == set(pool.machines):
        said = f"{region} has none of {', '.join(pool.machines)}"
        return Check(PRICE, "failed", said, "Take another pool, or give this one other types.")
    days = sorted({f"{price.day} ({price.source})" for price in prices})
    return Check(PRICE, "ok", f"known of all machines, of {', '.join(days)}")


def _quota(order: Order, deployment: Deployment, cloud: Cloud) -> Check:
    """Whether the account may have at least one machine of the pool, and as many as are asked."""
    pool = deployment.pools[order.pool]
    try:
        bounds = cloud.market.quotas(deployment.region)
        machines = cloud.market.machines()
    except CloudError as error:
        return Check(QUOTA, "unknown", str(error), error.remedy)
    types = [machine for machine in machines if machine.type in pool.machines]
    if not types:
        said = f"no type of pool {order.pool} is known here, so neither is its quota"
        fix = f"Give it types that `imgbatch cloud plan` knows; it has {', '.join(pool.machines)}."
        return Check(QUOTA, "failed", said, fix)
    told = [verdict(one, bounds, spot=pool.spot, most=order.most) for one in types]
    # The cloud takes whichever type there is room for.
    best = max(told, key=lambda one: VERDICTS.index(one.state))
    if best.state == "none":
        said = "; ".join(dict.fromkeys(one.said for one in told))
        return Check(QUOTA, "failed", f"no machine of pool {order.pool} may be had: {said}")
    if best.state in ("less", "unknown"):
        return Check(QUOTA, "unknown", best.said)
    return Check(QUOTA, "ok", f"room for {order.most} machines at once")
