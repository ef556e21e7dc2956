"""The control objects of a deployment enter; what its former runs tell of the next one leaves.

Three things no table knows: how fast this recipe is on these machines, how long machines of this
deployment take to boot, and how often they are taken back.
"""

from __future__ import annotations

import calendar
import contextlib
import math
import time
from dataclasses import dataclass, field, replace
from statistics import NormalDist, mean
from typing import TYPE_CHECKING

from imgbatch import analyzers, settings
from imgbatch.cloud import ledger
from imgbatch.cloud.closing import gone_by, last_look, latest
from imgbatch.cloud.estimate import Rate, Spread
from imgbatch.cloud.speeds import AGAIN, Sample, seconds
from imgbatch.errors import DeploymentError, RunError, SettingsError
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imgbatch.cloud import Machine
    from imgbatch.cloud.control import Control, Order, State
    from imgbatch.cloud.estimate import Priors
    from imgbatch.settings import Recipe

# The last so many runs are read: older ones had other machines, and each costs three requests.
LAST = 20
# How far the boots of one run are from those of the next, as a standard deviation of logarithms.
APART = 0.15
# Machines that were launched in so many seconds were asked for together.
TOGETHER_SECONDS = 60.0
# A run that did less says more of its boots than of its speed.
FEW_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Life:
    """A machine of a run, from its launch to its end: one or several lines of the ledger."""

    type: str
    spot: bool
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a deployment, as it left itself.

    Attributes:
        ordered: seconds since 1970.
        traffic: what crossed, where some was paid for.
        beat: when its lease was renewed last; seconds since 1970, 0: it is another run's, or gone.
    """

    name: str
    order: Order
    state: State | None
    lines: tuple[ledger.Line, ...]
    ordered: float
    traffic: ledger.Traffic = field(default_factory=ledger.Traffic)
    beat: float = 0.0

    @property
    def open(self) -> bool:
        """Whether nobody told the end of one of its machines: it is there, or no head is."""
        return any(line.end is None for line in self.lines)

    @property
    def seen(self) -> float:
        """Until when machines without an end are known to have been there; seconds since 1970."""
        return min(max(self.ordered, last_look(self.lines, self.state)), self.latest)

    @property
    def latest(self) -> float:
        """By when the cloud has ended its machines at the latest; seconds since 1970."""
        return latest(self.order, self.state)

    @property
    def end(self) -> float:
        """Until when its machines cost, as far as it is told; seconds since 1970."""
        ends = [line.end for line in self.lines if line.end is not None]
        if self.open or ends:
            return max([*ends, *([self.seen] if self.open else [])])
        return self.state.at if self.state else self.ordered

    def gone(self, now: float) -> float:
        """Return by when machines without an end were gone at the latest, or are there yet."""
        return gone_by(self.order, self.state, self.seen, now, self.beat)

    def workers(self) -> list[Life]:
        """Return its machines without the head, in the order of their launch."""
        lives: dict[str, Life] = {}
        for line in sorted(self.lines, key=lambda line: line.start):
            if line.role == "worker":
                end = max(line.start, self.seen) if line.end is None else line.end
                start = lives[line.machine].start if line.machine in lives else line.start
                lives[line.machine] = Life(line.type, line.spot, start, end)
        return list(lives.values())


def runs(
    control: Control, last: int | None = LAST, unread: Callable[[str], None] = lambda _: None
) -> list[Run]:
    """Return the last runs of a deployment, oldest first; without those that cannot be read.

    Args:
        control: its objects.
        last: how many; None: all.
        unread: told of a run that cannot be read, and why.

    Raises:
        StorageError: the bucket cannot be read.
    """
    names = control.runs()
    return list(_read(control, names if last is None else names[-last:], unread))


def _read(control: Control, names: Sequence[str], unread: Callable[[str], None]) -> Iterator[Run]:
    waiting = {order.run: order for order in control.orders(unread)}
    for name in names:
        try:
            run = read_run(control, name, waiting)
        except (DeploymentError, SettingsError) as error:
            unread(f"run {name} cannot be read: {error}")
            continue
        if run:
            yield run


def read_run(control: Control, name: str, waiting: Mapping[str, Order]) -> Run | None:
    """Return one run; None where its order is not there.

    Args:
        control: its deployment's objects.
        name: its id.
        waiting: orders in the queue; that of a run at work is still there.

    Raises:
        DeploymentError, SettingsError: its objects are damaged.
    """
    order = control.taken(name) or waiting.get(name)
    if order is None:
        return None
    raw = control.get(name, ledger.LEDGER)
    lines = tuple(ledger.read(raw)) if raw else ()
    traffic = ledger.read_traffic(raw) if raw else ledger.Traffic()
    state, ordered = control.state(name), ordered_at(name)
    run = Run(name, order, state, lines, ordered, traffic)
    going = run.open and state and not state.over
    return replace(run, beat=_beat(control, name)) if going else run


def _beat(control: Control, run: str) -> float:
    """Return when the lease of a run was renewed last, by its head's clock; 0: it has none."""
    with contextlib.suppress(DeploymentError, SettingsError):
        lease = control.lease()
        if lease and lease.run == run:
            return float(lease.deadline - lease.left)
    return 0.0


def ordered_at(run: str) -> float:
    """Return when a run was ordered: its id says so; 0 where it does not."""
    with contextlib.suppress(ValueError):
        return float(calendar.timegm(time.strptime(run[:16], "%Y%m%dT%H%M%SZ")))
    return 0.0


def measured(
    former: Sequence[Run], recipe: Recipe, machines: Mapping[str, Machine], believed: Sample
) -> Sample | None:
    """Return how fast runs of the same recipe were on rented machines; None: there are none.

    A run says how many sources all its machines did together. Where they were of several types,
    what each did is told apart by the tables of `speeds`.

    Args:
        former: runs of the deployment.
        recipe: what is to be run.
        machines: types that are known.
        believed: whose share of networks tells the types apart.
    """
    prints = fingerprints(recipe)
    found: list[tuple[Run, dict[str, float]]] = []
    for run in former:
        spent = _working(run)
        known = bool(spent) and set(spent) <= set(machines)
        if known and sum(spent.values()) >= FEW_SECONDS and _prints_of(run.order.recipe) == prints:
            found.append((run, spent))
    if not found:
        return None
    # By how much the tables are wrong: one factor for all types of a run.
    wrong = [
        sum(spent[t] / seconds(machines[t], believed) for t in spent) / run.state.sources_done
        for run, spent in found
        if run.state
    ]
    by = math.exp(mean(math.log(1 / each) for each in wrong))
    types = sorted({type_ for _, spent in found for type_ in spent})
    count = f"{len(found)} former run{'s' if len(found) > 1 else ''}"
    error = AGAIN * math.sqrt(1 + 1 / len(found))
    return replace(
        believed,
        how="cloud",
        said=f"measured by {count} of this recipe on {', '.join(types)}",
        cpu=believed.cpu / by,
        model=believed.model / by,
        error=error,
        machines={t: seconds(machines[t], believed) / by for t in types},
        written=_written([run for run, _ in found]),
    )


def _written(found: Sequence[Run]) -> float | None:
    """Return the bytes of the tables per source; None where no run told of any."""
    told = [run.state for run in found if run.state and run.state.traffic.written]
    sources = sum(state.sources_done for state in told)
    return sum(state.traffic.written for state in told) / sources if sources else None


def learned(former: Sequence[Run], priors: Priors) -> Priors:
    """Return what is believed of boots and preemptions, once these runs were seen."""
    heads = [run.state.steps["taken"] for run in former if run.state and "taken" in run.state.steps]
    boots = [boot for run in former if (boot := _typical_boot(run, priors)) is not None]
    spot = [life for run in former for life in run.workers() if life.spot]
    hours = sum(life.end - life.start for life in spot) / ledger.HOUR
    lost = sum(run.state.preemptions for run in former if run.state)
    rate = priors.preemptions
    return replace(
        priors,
        head_boot=_seen(priors.head_boot, heads),
        worker_boot=_seen(priors.worker_boot, boots),
        preemptions=Rate(rate.cases + lost, rate.hours + hours),
    )


def fingerprints(recipe: Recipe) -> frozenset[str]:
    """Return what tells a recipe from others that would give other rows."""
    return frozenset(spec.fingerprint for spec in table_specs(recipe))


def _prints_of(text: str) -> frozenset[str] | None:
    """Return a former run's; None where its recipe cannot be read by this version, or lacks here.

    What a run of years ago was asked for is no reason to refuse to plan one.
    """
    try:
        return fingerprints(settings.read_recipe(text, settings_of=analyzers.settings_of))
    except RunError:
        return None


def _working(run: Run) -> dict[str, float]:
    """Return the seconds that machines of each type worked: without boots and idling."""
    state, spent = run.state, dict[str, float]()
    if not state or not state.sources_done or "first-worker" not in state.steps:
        return spent
    boot = _boot(run) or 0.0
    until = run.ordered + state.steps.get("last-shard", state.at - run.ordered)
    for life in run.workers():
        worked = min(until, life.end) - life.start - boot
        if worked > 0:
            spent[life.type] = spent.get(life.type, 0.0) + worked
    return spent


def _boot(run: Run) -> float | None:
    """Return the seconds from the first worker's launch until one was in Ray."""
    lives = run.workers()
    if not lives or not run.state or "first-worker" not in run.state.steps:
        return None
    boot = run.ordered + run.state.steps["first-worker"] - lives[0].start
    return boot if boot > 0 else None


def _typical_boot(run: Run, priors: Priors) -> float | None:
    """Return the boot of a middling worker: that of the first is the quickest of several."""
    boot, lives = _boot(run), run.workers()
    if boot is None:
        return None
    count = sum(life.start - lives[0].start <= TOGETHER_SECONDS for life in lives)
    # Blom's approximation of the least of so many normal values.
    least = NormalDist().inv_cdf((1 - 0.375) / (count + 0.25))
    return boot * math.exp(-priors.worker_boot.own * least)


def _seen(believed: Spread, values: Sequence[float]) -> Spread:
    """Return what is believed of the next run, after one value was seen in each of some.

    The logarithms are normal, with a known distance between runs: two weights and their mean.
    """
    logs = [math.log(value) for value in values if value > 0]
    if not logs or not believed.sigma:
        return believed
    before, seen = believed.sigma**-2, len(logs) * APART**-2
    middle = (before * math.log(believed.median) + seen * mean(logs)) / (before + seen)
    sigma = math.sqrt(1 / (before + seen) + APART**2)
    return replace(believed, median=math.exp(middle), sigma=min(believed.sigma, sigma))
