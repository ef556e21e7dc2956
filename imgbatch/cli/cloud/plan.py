"""The command that looks ahead at rented machines: plan; and the same, as `cloud run` asks it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from imgbatch.cli.cloud.given import DeploymentOption
from imgbatch.cli.cloud.run import Gpus, MaxWorkers, kinds
from imgbatch.errors import CredentialsError, RunError, SettingsError
from imgbatch.terminal import (
    AddInput,
    DatasetUrl,
    Input,
    Json,
    Limit,
    RecipeName,
    Sample,
    say,
)

if TYPE_CHECKING:
    from imgbatch.cli.cloud.opened import Opened
    from imgbatch.cloud import Market
    from imgbatch.cloud.control import Order
    from imgbatch.forecast import Forecast, Place, Wanted
    from imgbatch.settings import Limits
    from imgbatch.summary import Request


def plan(
    input: Input,  # noqa: A002 - the word that users see
    dataset: DatasetUrl,
    *,
    recipe: RecipeName = "quick",
    gpus: Gpus = "",
    max_workers: MaxWorkers = 0,
    limit: Limit = None,
    sample: Sample = None,
    add_input: AddInput = False,
    deployment: DeploymentOption = None,
    cloud: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="aws or gcp: what there is there, without any deployment."
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Of --cloud; several, such as us-east-1,eu-west-1, are compared."),
    ] = None,
    sample_sources: Annotated[
        int,
        typer.Option(min=1, help="Where no run was measured, try about so many sources here."),
    ] = 64,
    calibration: Annotated[
        bool,
        typer.Option("--calibration/--no-calibration", help="Measure, or use stated priors."),
    ] = True,
    json: Json = False,
) -> None:
    """Show what a run on rented machines would take and cost; nothing is rented or written."""
    from imgbatch import settings
    from imgbatch.cli.cloud.plan_lines import lines
    from imgbatch.forecast import Wanted
    from imgbatch.summary import Request

    text = settings.recipe_text(recipe)
    request = Request(input, dataset, text, "ray", limit=limit, share=sample, add_input=add_input)
    place = _place(cloud, region, deployment, kinds(gpus), text)
    wanted = Wanted(
        gpus=kinds(gpus),
        most=max_workers,
        trial=sample_sources,
        measure=calibration,
        origin=origin(input),
        home=origin(dataset),
    )
    found = forecast_of(request, settings.read_limits(), place, wanted, quiet=json)
    say(json, "cloud-plan", found.record(), lines(found))


def plan_run(
    order: Order, opened: Opened, *, limit: int | None, share: float | None, add_input: bool
) -> Forecast | None:
    """Return what an order would take, for whoever is about to pay; None: it cannot be told.

    This laptop may lack rights that the machines have, so no failure here ends a run. What cannot
    be told is said.
    """
    from imgbatch import settings
    from imgbatch.forecast import Place, Wanted
    from imgbatch.summary import Request

    own = opened.deployment
    request = Request(
        order.input,
        order.dataset,
        order.recipe,
        "ray",
        limit=limit,
        share=share,
        add_input=add_input,
    )
    try:
        market = opened.cloud.market
        place = Place(own.cloud, (own.region,), market, own, opened.control, (order.pool,))
        wanted = Wanted(most=order.most, origin=origin(order.input), home=origin(order.dataset))
        return forecast_of(request, settings.read_limits(), place, wanted, quiet=False)
    except RunError as error:
        sys.stderr.write(f"what it would cost cannot be told from here: {error}\n")
        return None


def forecast_of(
    request: Request, limits: Limits, place: Place, wanted: Wanted, *, quiet: bool
) -> Forecast:
    """Return a forecast; how the listing and a trial go is shown on standard error."""
    from imgbatch.forecast import forecast
    from imgbatch.observe.progress import watcher

    shown = Quiet() if quiet else watcher(as_json=False)
    try:
        return forecast(request, limits, shown, place, wanted)
    finally:
        shown.close()


class Quiet:
    """Watches and says nothing: the answer is one line of JSON, or a question."""

    def listing(self, found: int) -> None:
        """Say nothing of the listing."""

    def fetching(self, name: str, done: int, size: int) -> None:
        """Say nothing of weights that come."""

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        """Say nothing of what is to do."""

    def tick(self, tick: object) -> None:
        """Say nothing of progress."""

    def crewed(self, crew: object) -> None:
        """Say nothing of workers."""

    def close(self) -> None:
        """Nothing is open."""


def origin(url: str) -> str | None:
    """Return the region of the bucket that a URL is in; None where nobody can tell."""
    from imgbatch.cloud.reach import region_of

    if "://" not in url or url.startswith("file:"):
        return None
    try:
        return region_of(url) or None
    except RunError:
        return None


def _place(
    cloud: str | None, region: str | None, deployment: str | None, gpus: tuple[str, ...], text: str
) -> Place:
    """Return where a run would be: in a deployment, or in a cloud that has none yet."""
    from imgbatch.cli.cloud.opened import opened
    from imgbatch.cloud import known
    from imgbatch.cloud.ordering import pool_of, recipe_of
    from imgbatch.forecast import Place

    if cloud and deployment:
        raise SettingsError(
            "--deployment has its cloud already", "Leave --cloud out, or --deployment."
        )
    if region and not cloud:
        raise SettingsError(
            "a deployment has its region already", "Give --cloud aws too, to look without one."
        )
    if cloud or (deployment is None and not known.names()):
        name = cloud or "aws"
        regions = kinds(region or "") or (_region(name),)
        return Place(name, regions, _market(name, regions[0]))
    found = opened(deployment)
    own = found.deployment
    first = pool_of(own, gpus, recipe_of(text))
    alike = [
        name
        for name, pool in own.pools.items()
        if not gpus and name != first and bool(pool.gpus) == bool(own.pools[first].gpus)
    ]
    market = found.cloud.market
    return Place(own.cloud, (own.region,), market, own, found.control, (first, *alike))


def _market(name: str, region: str) -> Market:
    """Return a cloud's market; without credentials what imgbatch knows of it, which it says."""
    from importlib import import_module

    from imgbatch.cloud import open_cloud

    try:
        return open_cloud(name, region).market
    except CredentialsError:
        shipped: Market = import_module(f"imgbatch.cloud.{name}.shipped").Shipped()
        return shipped


def _region(cloud: str) -> str:
    """Return the region of the user's own settings of a cloud.

    Raises:
        SettingsError: they say none.
    """
    from imgbatch.settings import variables

    named = {
        "aws": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "gcp": ("CLOUDSDK_COMPUTE_REGION", "GOOGLE_CLOUD_REGION"),
    }
    found = variables(*named.get(cloud, ()))
    if not found:
        like = "us-central1" if cloud == "gcp" else "us-east-1"
        raise SettingsError("no region is given", f"Give --region, such as --region {like}.")
    return next(iter(found.values()))
