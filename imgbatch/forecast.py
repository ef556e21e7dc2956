"""A request and a market enter; offers of machines leave, with what the run would take on each.

    listing -> planned (what is undone) ----------------------+
    calibration (former runs, records, a trial) -> speeds ----+--> estimate --> Forecast
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
from imgbatch.cloud.boots import IDLE_SECONDS
from imgbatch.cloud.estimate import Choice, Estimate, Priors, Todo, estimate
from imgbatch.cloud.former import learned, runs
from imgbatch.cloud.offers import Ask, Offer, head_price, offers
from imgbatch.cloud.scaling import SHARDS_PER_WORKER
from imgbatch.cloud.speeds import Sample, slots, speed
from imgbatch.cloud.transfer import Transfer, transfer
from imgbatch.listed import list_input
from imgbatch.trial import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgbatch.cloud import Machine, Market
    from imgbatch.cloud.control import Control
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.former import Run
    from imgbatch.observe.recorder import Watcher
    from imgbatch.settings import Limits, Recipe
    from imgbatch.summary import Request

# Machines at once where nobody says how many and no deployment has a bound.
MOST = 8
DISK_GIB = 100
# What a head is like without a deployment: the cheapest machine of so many cores and GiB.
HEAD_CORES, HEAD_GIB = (2, 4), 8
# And a worker: these pay for their cores by credits, and a run that uses all of them runs out.
WORKER_CORES = 4
BURSTABLE = ("t2.", "t3.", "t3a.", "t4g.")
# Cheaper by less than this share is no reason to wait for longer.
NEARLY = 0.05
# What --budget and --deadline are proposed beyond p90.
LATER = 1.5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run would be.

    Attributes:
        market: of that cloud.
        deployment, control: None where there is none yet.
        pools: of the deployment, that come into question; the first is what a run takes.
    """

    cloud: str
    region: str
    market: Market
    deployment: Deployment | None = None
    control: Control | None = None
    pools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a forecast is asked for.

    Attributes:
        gpus: kinds, without a deployment; none: what the recipe needs.
        most: machines at once; 0: as many as the pool can have.
        trial: sources of a sample run here; 0: none.
        measure: whether anything but priors is asked for.
        origin: region of the input's bucket; None where nobody could tell.
    """

    gpus: tuple[str, ...] = ()
    most: int = 0
    trial: int = SOURCES
    measure: bool = True
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Bid:
    """Machines of a pool, or of one type, and what the run would take on them.

    Attributes:
        name: of the pool, or of the type.
        offers: the types among which the cloud chooses.
        asked: machines at once, of which the quota may allow fewer.
        whole: whether these are all of a pool: what a run asks for. One type of several in a pool
            is told to be compared; which one comes is the cloud's choice.
        estimate: None where the quota allows none.
    """

    name: str
    offers: tuple[Offer, ...]
    asked: int
    whole: bool
    estimate: Estimate | None


@dataclass(slots=True)
class Forecast:
    """What a run would take and cost.

    Attributes:
        plan: what it would do.
        sample: how fast that is known to go.
        transfer: what reading costs beside the machines.
        head: dollars an hour of the head.
        bids: in the order of the pools, or the cheapest first.
        best: what is recommended; None where no quota allows any.
        taken: what a run takes as it was asked for; `best` without a deployment.
        notes: what could not be had, in words.
    """

    plan: planned.Plan
    place: Place
    sample: Sample
    transfer: Transfer
    head: float
    bids: list[Bid]
    best: Bid | None
    taken: Bid | None
    notes: list[str] = field(default_factory=list)

    @property
    def budget(self) -> float | None:
        """Dollars to give as --budget: p90, rounded up."""
        if not self.taken or not self.taken.estimate:
            return None
        return round_up(self.taken.estimate.dollars.p90)

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
            "region": self.place.region,
            "deployment": self.place.deployment.name if self.place.deployment else None,
            "plan": self.plan.record(),
            "calibration": asdict(self.sample),
            "transfer": asdict(self.transfer),
            "head": self.head,
            "offers": [_told(bid) for bid in self.bids],
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
        SettingsError, InputError, DatasetError: as `plan` would.
        CloudError: no price of anything is known.
    """
    recipe = settings.read_recipe(request.recipe, settings_of=analyzers.settings_of)
    listed = list_input(request, limits, watcher)
    found = planned.plan_listed(request, limits, listed)
    former = runs(place.control) if place.control else []
    shelves = _shelves(place, recipe, wanted)
    types = {offer.machine.type: offer.machine for _, own, _ in shelves for offer in own}
    trial = wanted.trial if found.shards else 0
    known = Known(former, types, trial, found.weights, wanted.measure)
    sample, notes = calibrate(request, recipe, limits, listed, watcher, known)
    head = _head(place)
    bids = list(_bids(shelves, found, sample, former, recipe, head))
    best = _best([bid for bid in bids if bid.whole])
    taken = best
    if place.deployment:
        taken = next((bid for bid in bids if bid.whole and bid.name == place.pools[0]), None)
    elif best:
        bids.sort(key=_cheapness)
    paid = transfer(
        scheme=request.input.partition("://")[0] if "://" in request.input else "",
        place=wanted.origin,
        cloud=place.cloud,
        region=place.region,
        size=found.bytes,
        sources=found.sources,
    )
    return Forecast(found, place, sample, paid, head, bids, best, taken, notes)


def expected(found: Forecast) -> dict[str, float]:
    """Return what an order says of its forecast, for the ledger: empty where there is none."""
    own = found.taken.estimate if found.taken else None
    if own is None:
        return {}
    return {
        "seconds_p50": round(own.seconds.p50, 1),
        "seconds_p90": round(own.seconds.p90, 1),
        "dollars_p50": round(own.dollars.p50, 4),
        "dollars_p90": round(own.dollars.p90, 4),
    }


def round_up(dollars: float) -> float:
    """Return dollars rounded up: to whole ones, and to ten cents below five."""
    return float(math.ceil(dollars)) if dollars > 5 else math.ceil(10 * dollars) / 10  # noqa: PLR2004 - as said


Shelf = tuple[str, list[Offer], int]


def _shelves(place: Place, recipe: Recipe, wanted: Wanted) -> list[Shelf]:
    """Return what there is to choose from: a name, its types of machine, how many are asked for."""
    every = place.market.machines()
    if place.deployment is None:
        kinds = [m for m in place.market.machines(wanted.gpus) if _fits(m, recipe, wanted.gpus)]
        most = wanted.most or MOST
        ask = Ask(place.region, spot=True, most=most, disk_gib=DISK_GIB)
        found = offers(place.market, kinds, ask)
        return [(offer.machine.type, [offer], most) for offer in found]
    shelves = []
    for name in place.pools:
        pool = place.deployment.pools[name]
        most = min(pool.most, wanted.most or pool.most)
        types = [machine for machine in every if machine.type in pool.machines]
        ask = Ask(place.region, pool.spot, most, pool.disk_gib, name, tuple(pool.zones))
        shelves.append((name, offers(place.market, types, ask), most))
    return shelves


def _fits(machine: Machine, recipe: Recipe, gpus: Sequence[str]) -> bool:
    """Whether a machine is of the kind that is asked for, or else of that a recipe needs."""
    if machine.cores < WORKER_CORES or machine.type.startswith(BURSTABLE):
        return False
    return machine.gpu in gpus if gpus else bool(machine.gpu) == bool(gpu_share(recipe))


def gpu_share(recipe: Recipe) -> float:
    """Return the share of one GPU that a worker takes where there is one; 0: it has no use."""
    needs = [analyzers.needs_of(analyzers.load(n), own) for n, own in recipe.analyzers.items()]
    return min(1.0, sum(need.gpu or need.gpu_if_any for need in needs))


def _head(place: Place) -> float:
    own, region = place.deployment, place.region
    if own:
        types, disk = own.head.machines, own.head.disk_gib
    else:
        types, disk = [m.type for m in place.market.machines() if _leads(m)], DISK_GIB
    return head_price(place.market, types, region=region, disk_gib=disk, first=bool(own))


def _leads(machine: Machine) -> bool:
    """Whether a machine would do as a head."""
    return not machine.gpus and machine.cores in HEAD_CORES and machine.memory_gib >= HEAD_GIB


def _bids(
    shelves: Iterable[Shelf],
    found: planned.Plan,
    sample: Sample,
    former: Sequence[Run],
    recipe: Recipe,
    head: float,
) -> Iterator[Bid]:
    believed = learned(former, Priors(idle=IDLE_SECONDS))
    share = gpu_share(recipe)

    def bid(name: str, own: Sequence[Offer], most: int, *, whole: bool) -> Bid:
        usable = [offer for offer in own if offer.quota.allowed != 0]
        allowed = [o.quota.allowed for o in usable if o.quota.allowed is not None]
        count = min([most, *allowed])
        told = None
        if usable and count:
            todo = Todo(found.shards, found.sources, found.listed, count, head, SHARDS_PER_WORKER)
            told = estimate(todo, [choice(offer, sample, share) for offer in usable], believed)
        return Bid(name, tuple(own), most, whole, told)

    for name, own, most in shelves:
        yield bid(name, own, most, whole=True)
        if len(own) > 1:
            for offer in own:
                yield bid(offer.machine.type, [offer], most, whole=False)


def choice(offer: Offer, sample: Sample, share: float) -> Choice:
    """Return an offer as the estimate takes it; share as of `gpu_share`."""
    machine = offer.machine
    return Choice(
        machine.type,
        speed(machine, sample),
        slots(machine, share),
        offer.dollars,
        offer.besides,
        spot=offer.bought == "spot",
    )


def _best(bids: Sequence[Bid]) -> Bid | None:
    """Return the cheapest; of those that cost nearly as little, the quickest."""
    usable = [bid for bid in bids if bid.estimate]
    if not usable:
        return None
    least = min(_cheapness(bid) for bid in usable)
    near = [bid for bid in usable if _cheapness(bid) <= least * (1 + NEARLY)]
    return min(near, key=_seconds)


def _cheapness(bid: Bid) -> float:
    return bid.estimate.dollars.p50 if bid.estimate else math.inf


def _seconds(bid: Bid) -> float:
    return bid.estimate.seconds.p50 if bid.estimate else math.inf


def _told(bid: Bid) -> dict[str, Any]:
    return asdict(bid)
