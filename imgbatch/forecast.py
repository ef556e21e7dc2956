"""A request and a market enter; offers of machines leave, with what the run would take on each.

    listing -> planned (what is undone) ----------------------+
    calibration (former runs, records, a trial) -> speeds ----+--> cloud.bids --> Forecast
    market -> offers (prices, quotas) ------------------------+

Nothing is written, and nothing costs anything. What cannot be had (weights, a quota, a sample)
makes the forecast less sure and says so; it never ends it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from imgbatch import analyzers, planned, settings
from imgbatch.calibration import Known, calibrate
from imgbatch.cloud.bids import Bid, Job, Place, best, bids, shelves
from imgbatch.cloud.former import runs
from imgbatch.listed import list_input
from imgbatch.trial import SOURCES

if TYPE_CHECKING:
    from imgbatch.cloud.speeds import Sample
    from imgbatch.observe.recorder import Watcher
    from imgbatch.settings import Limits
    from imgbatch.summary import Request

__all__ = ["Forecast", "Place", "Wanted", "expected", "forecast"]

# What --deadline is proposed beyond p90.
LATER = 1.5
# Dollars below which sums are told to ten cents.
SMALL = 5
# Of less, the minute that ending takes is a share that counts.
LEAST = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a forecast is asked for.

    Attributes:
        gpus: kinds, without a deployment; none: what the recipe needs.
        most: machines at once; 0: as many as the pool can have.
        trial: sources of a sample run here; 0: none.
        measure: whether anything but priors is asked for.
        origin, home: regions of the buckets of input and dataset; None where nobody could tell.
    """

    gpus: tuple[str, ...] = ()
    most: int = 0
    trial: int = SOURCES
    measure: bool = True
    origin: str | None = None
    home: str | None = None


@dataclass(slots=True)
class Forecast:
    """What a run would take and cost.

    Attributes:
        plan: what it would do.
        sample: how fast that is known to go.
        bids: in the order of the pools; without a deployment the cheapest first.
        best: what is recommended; None where no quota allows any.
        taken: what a run takes as it was asked for; `best` without a deployment.
        notes: what could not be had, in words.
    """

    plan: planned.Plan
    place: Place
    sample: Sample
    bids: list[Bid]
    best: Bid | None
    taken: Bid | None
    notes: list[str] = field(default_factory=list)

    @property
    def budget(self) -> float | None:
        """Dollars to give as --budget: p90 and traffic, rounded up."""
        if not self.taken or not self.taken.estimate:
            return None
        return round_up(self.taken.estimate.dollars.p90 + self.taken.traffic)

    @property
    def deadline(self) -> float | None:
        """Seconds to give as --deadline: p90 and half as much again."""
        if not self.taken or not self.taken.estimate:
            return None
        return LATER * self.taken.estimate.seconds.p90

    def record(self) -> dict[str, Any]:
        """Return all of it, as `--json` says it."""
        return {
            "cloud": self.place.cloud,
            "regions": self.place.regions,
            "deployment": self.place.deployment.name if self.place.deployment else None,
            "plan": self.plan.record(),
            "calibration": asdict(self.sample),
            "offers": [asdict(bid) for bid in self.bids],
            "best": self.best.name if self.best else None,
            "taken": self.taken.name if self.taken else None,
            "expected": expected(self),
            "budget": self.budget,
            "deadline": self.deadline,
            "notes": self.notes,
        }


def forecast(
    request: Request, limits: Limits, watcher: Watcher, place: Place, wanted: Wanted
) -> Forecast:
    """Return what a run would take on the machines of a place.

    Raises:
        SettingsError, InputError, DatasetError: as `plan` would; or no machine has such a GPU.
        CloudError: no price of anything is known.
    """
    recipe = settings.read_recipe(request.recipe, settings_of=analyzers.settings_of)
    # Before the listing, which may take long.
    kept = shelves(place, recipe, wanted.gpus, wanted.most)
    former = runs(place.control) if place.control else []
    listed = list_input(request, limits, watcher, request.told(recipe).posts)
    plan = planned.plan_listed(request, limits, listed, read_posts=False)
    types = {offer.machine.type: offer.machine for shelf in kept for offer in shelf.offers}
    trial = wanted.trial if plan.shards else 0
    known = Known(former, types, trial, plan.weights, wanted.measure)
    sample, notes = calibrate(request, recipe, limits, listed, watcher, known)
    job = Job(
        shards=plan.shards,
        sources=plan.sources,
        listed=plan.listed,
        bytes=plan.bytes,
        cloud=place.cloud,
        scheme=scheme_of(request.input),
        origin=wanted.origin,
        recipe=recipe,
        sample=sample,
        former=former,
        target=scheme_of(request.dataset),
        home=wanted.home,
    )
    found = [bid for shelf in kept for bid in bids(shelf, job)]
    chosen = taken = best([bid for bid in found if bid.whole])
    if place.deployment:
        taken = next((bid for bid in found if bid.whole and bid.name == place.pools[0]), None)
    else:
        found.sort(key=_dollars)
    return Forecast(plan, place, sample, found, chosen, taken, notes)


def expected(found: Forecast) -> dict[str, float]:
    """Return what an order says of its forecast, for the ledger: empty where there is none."""
    own = found.taken.estimate if found.taken else None
    if found.taken is None or own is None:
        return {}
    traffic = found.taken.traffic
    return {
        "seconds_p50": round(own.seconds.p50, 1),
        "seconds_p90": round(own.seconds.p90, 1),
        "dollars_p50": round(own.dollars.p50 + traffic, 4),
        "dollars_p90": round(own.dollars.p90 + traffic, 4),
        "traffic": round(traffic, 4),
    }


def scheme_of(url: str) -> str:
    """Return the scheme of a URL; "" of a folder."""
    return url.partition("://")[0] if "://" in url else ""


def round_up(dollars: float) -> float:
    """Return dollars rounded up: to whole ones, and to ten cents where they are few."""
    rounded = float(math.ceil(dollars)) if dollars > SMALL else math.ceil(10 * dollars) / 10
    return max(LEAST, rounded)


def _dollars(bid: Bid) -> float:
    return bid.dollars
