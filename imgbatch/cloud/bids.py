"""A market and a speed enter; machines that could do the work leave, with its time and dollars.

shelves (what can be had: pools of a deployment, or types of a region) -> estimate -> Bid
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch import analyzers
from imgbatch.cloud.boots import IDLE_SECONDS
from imgbatch.cloud.estimate import Choice, Estimate, Priors, Todo, estimate
from imgbatch.cloud.former import learned
from imgbatch.cloud.offers import Ask, Offer, head_price, offers
from imgbatch.cloud.speeds import slots, speed
from imgbatch.cloud.transfer import Transfer, transfer, writing
from imgbatch.cloud.work import SHARDS_PER_WORKER
from imgbatch.errors import SettingsError
from imgbatch.settings import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.cloud import Machine, Market
    from imgbatch.cloud.control import Control
    from imgbatch.cloud.deployment import Deployment
    from imgbatch.cloud.former import Run
    from imgbatch.cloud.speeds import Sample
    from imgbatch.settings import Recipe

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run would be.

    Attributes:
        regions: to be compared; of a deployment there is one.
        market: of that cloud.
        deployment: None where there is none yet.
        control: its objects.
        pools: of the deployment, that come into question; the first is what a run takes.
    """

    cloud: str
    regions: tuple[str, ...]
    market: Market
    deployment: Deployment | None = None
    control: Control | None = None
    pools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shelf:
    """What can be had together: the types of a pool, or one type of a region.

    Attributes:
        most: machines at once that are asked for.
        head: dollars an hour of the head there.
    """

    name: str
    region: str
    offers: tuple[Offer, ...]
    most: int
    head: float


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done, and what is known of how long it takes.

    Attributes:
        listed: sources that the head lists.
        bytes: that are read.
        cloud: where the machines are.
        scheme: of the input's URL; "" of a folder.
        origin: region of its bucket; None where nobody could tell.
        target, home: the same of the dataset.
    """

    shards: int
    sources: int
    listed: int
    bytes: int
    cloud: str
    scheme: str
    origin: str | None
    recipe: Recipe
    sample: Sample
    former: Sequence[Run]
    target: str = ""
    home: str | None = None


@dataclass(frozen=True, slots=True)
class Bid:
    """Machines of a pool, or of one type, and what the run would take on them.

    Attributes:
        name: of the pool, or of the type.
        offers: the types among which the cloud chooses.
        asked: machines at once, of which the quota may allow fewer.
        whole: whether these are all of a pool: what a run asks for. One type of several in a pool
            is told to be compared; which one comes is the cloud's choice.
        head: dollars an hour of the head; in the estimate.
        transfer: what reading the input costs there, beside the estimate.
        writing: the same of writing the dataset; of nothing where nobody knows how much.
        estimate: None where the quota allows no machine, or there is none.
    """

    name: str
    region: str
    offers: tuple[Offer, ...]
    asked: int
    whole: bool
    head: float
    transfer: Transfer
    writing: Transfer
    estimate: Estimate | None

    @property
    def traffic(self) -> float:
        """Dollars beside the machines."""
        return self.transfer.total + self.writing.total

    @property
    def dollars(self) -> float:
        """What is to be expected of all that is paid, to compare by."""
        return self.estimate.dollars.p50 + self.traffic if self.estimate else math.inf

    @property
    def seconds(self) -> float:
        """The time that is to be expected, to compare by."""
        return self.estimate.seconds.p50 if self.estimate else math.inf


def shelves(place: Place, recipe: Recipe, gpus: Sequence[str], most: int) -> list[Shelf]:
    """Return what there is to choose from.

    Args:
        place: where.
        recipe: whose needs count where no kinds of GPU are named.
        gpus: kinds, without a deployment.
        most: machines at once; 0: as many as there may be.

    Raises:
        SettingsError: no machine has such a GPU.
        CloudError: no price is known in a region.
    """
    if place.deployment:
        return list(_pools(place, place.deployment, most))
    _refuse_unknown(gpus, place.market.machines())
    fitting = [machine for machine in place.market.machines() if _fits(machine, recipe, gpus)]
    heads = [machine.type for machine in place.market.machines() if _leads(machine)]
    found = []
    for region in place.regions:
        head = head_price(place.market, heads, region=region, disk_gib=DISK_GIB, first=False)
        ask = Ask(region, spot=True, most=most or MOST, disk_gib=DISK_GIB)
        found += [
            Shelf(offer.machine.type, region, (offer,), ask.most, head)
            for offer in offers(place.market, fitting, ask)
        ]
    return found


def _pools(place: Place, own: Deployment, most: int) -> Iterator[Shelf]:
    types, disk = own.head.machines, own.head.disk_gib
    head = head_price(place.market, types, region=own.region, disk_gib=disk, first=True)
    for name in place.pools:
        pool = own.pools[name]
        at_once = min(pool.most, most or pool.most)
        machines = [each for each in place.market.machines() if each.type in pool.machines]
        ask = Ask(own.region, pool.spot, at_once, pool.disk_gib, name, tuple(pool.zones))
        found = tuple(offers(place.market, machines, ask))
        yield Shelf(name, own.region, found, at_once, head)


def bids(shelf: Shelf, job: Job) -> Iterator[Bid]:
    """Yield what a job would take on a shelf, as a whole and on each of its types."""
    yield _bid(shelf.name, shelf, shelf.offers, job, whole=True)
    if len(shelf.offers) > 1:
        for offer in shelf.offers:
            yield _bid(offer.machine.type, shelf, (offer,), job, whole=False)


def _bid(name: str, shelf: Shelf, own: tuple[Offer, ...], job: Job, *, whole: bool) -> Bid:
    usable = [offer for offer in own if offer.quota.allowed != 0]
    # Of several types the dearest in cores may come: count on that.
    count = min([shelf.most, *(o.quota.allowed for o in usable if o.quota.allowed is not None)])
    told = None
    if usable and count:
        size = job.shards, job.sources, job.listed
        share = gpu_share(job.recipe)
        choices = [choice(offer, job.sample, share) for offer in usable]
        believed = learned(job.former, Priors(idle=IDLE_SECONDS))
        told = estimate(Todo(*size, count, shelf.head, SHARDS_PER_WORKER), choices, believed)
    paid = transfer(
        scheme=job.scheme,
        place=job.origin,
        cloud=job.cloud,
        region=shelf.region,
        size=job.bytes,
        sources=job.sources,
    )
    written = writing(
        scheme=job.target,
        place=job.home,
        cloud=job.cloud,
        region=shelf.region,
        size=job.sources * (job.sample.written or 0.0),
    )
    return Bid(name, shelf.region, own, shelf.most, whole, shelf.head, paid, written, told)


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


def gpu_share(recipe: Recipe) -> float:
    """Return the share of one GPU that a worker takes where there is one; 0: it has no use."""
    needs = analyzers.needs_of_all(recipe.analyzers)
    return min(1.0, sum(need.gpu or need.gpu_if_any for need in needs))


def best(found: Sequence[Bid]) -> Bid | None:
    """Return the cheapest; of those that cost nearly as little, the quickest."""
    usable = [bid for bid in found if bid.estimate]
    if not usable:
        return None
    least = min(bid.dollars for bid in usable)
    near = [bid for bid in usable if bid.dollars <= least * (1 + NEARLY)]
    return min(near, key=_seconds)


def _seconds(bid: Bid) -> float:
    return bid.seconds


def _fits(machine: Machine, recipe: Recipe, gpus: Sequence[str]) -> bool:
    """Whether a machine is of the kind that is asked for, or else of that a recipe needs."""
    if machine.cores < WORKER_CORES or machine.type.startswith(BURSTABLE):
        return False
    return machine.gpu in gpus if gpus else bool(machine.gpu) == bool(gpu_share(recipe))


def _leads(machine: Machine) -> bool:
    """Whether a machine would do as a head."""
    return not machine.gpus and machine.cores in HEAD_CORES and machine.memory_gib >= HEAD_GIB


def _refuse_unknown(gpus: Sequence[str], machines: Sequence[Machine]) -> None:
    known = sorted({machine.gpu for machine in machines if machine.gpu})
    for gpu in gpus:
        if gpu not in known:
            raise SettingsError(
                f"no machine has a GPU {gpu!r}{nearest(gpu, known)}",
                f"Give some of {', '.join(known)}, such as --gpus {known[0]}.",
            )
