"""What is known of a run's speed, machines and prices enters; its time and dollars leave.

A Monte Carlo, no formula: each draw is one whole run. The head boots, it asks for machines, each
boots in its own time and does shards until none is left; spot machines are taken back, what they
were at is done again, others boot in their place. Quantiles over the draws are what is told.

Pure: the same values and seed give the same answer. Whatever is not known is a Spread, and what is
known of it is for the caller to say (`priors`, `speeds`, `former`).

Decision, 2026-11: shards are dealt out one machine after the other, as the real run does, since
with few shards per machine the tail is most of the error of any formula. Far from the end several
are taken in one step, so a million sources cost as many steps as ten thousand. Drawback: no
stock-out that lasts, no price that moves while a run goes on: the budget guards against those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HOUR = 3600.0
DRAWS = 500
# Lives of one place in a group that are drawn; the last never ends, so that each run does.
LIVES = 12
# No draw needs its work dealt out finer: so many steps per slot before the last shards.
STEPS_PER_SLOT = 2


@dataclass(frozen=True, slots=True)
class Spread:
    """A positive quantity of which the median is known, and how unsure that is: lognormal.

    Attributes:
        sigma: standard deviation of its logarithm, alike for all machines of a run: 0.3 means a
            third more or less.
        own: the same, of one machine against another of the same run.
    """

    median: float
    sigma: float = 0.0
    own: float = 0.0

    def common(self, rng: np.random.Generator, draws: int) -> Floats:
        """Return what all machines of each run have in common; shape (draws,)."""
        return self.median * np.exp(self.sigma * rng.standard_normal(draws))

    def each(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Return a value per machine; the first axis of the shape is the runs."""
        own = np.exp(self.own * rng.standard_normal(shape))
        return self.common(rng, shape[0]).reshape(-1, *[1] * (len(shape) - 1)) * own


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happens: a gamma distribution, as so many cases in so many hours.

    What is seen is added to both: that is all there is to learning here.
    """

    cases: float
    hours: float

    def draw(self, rng: np.random.Generator, draws: int) -> Floats:
        """Return a rate per hour for each run; shape (draws,)."""
        return rng.gamma(self.cases, 1 / self.hours, draws)


@dataclass(frozen=True, slots=True)
class Priors:
    """What is believed of machines before one was seen in this deployment.

    Attributes:
        head_boot: seconds from the order until the head works on it.
        worker_boot: seconds from being asked for until a worker does its first shard.
        gap: seconds until a machine that is gone is replaced by one that boots.
        preemptions: of a spot machine, per hour.
        start: seconds of the head until it asks for workers, besides those per source.
        per_source: seconds more for each source that is listed and planned.
        idle: seconds until a machine without work is ended.
        end: seconds from the last shard until the head is gone.
    """

    # No vendor tells these. A machine of EC2 runs in half a minute to two, and then an image of
    # some gigabytes is pulled: believed, not measured, hence the spread. Former runs narrow it.
    head_boot: Spread = Spread(120.0, 0.35, 0.1)
    worker_boot: Spread = Spread(210.0, 0.4, 0.2)
    gap: float = 20.0
    # AWS tells classes of "below 5%" to "above 20%" of machines in a month, which says little of a
    # run of hours; GPUs at busy times lose more. One in 20 hours, and up to thrice that.
    preemptions: Rate = Rate(1.0, 20.0)
    start: Spread = Spread(20.0, 0.3)
    per_source: float = 0.0003
    idle: float = 60.0
    end: Spread = Spread(60.0, 0.4)


@dataclass(frozen=True, slots=True)
class Speed:
    """How long one machine takes for a source.

    Attributes:
        seconds: of the whole machine, all that it does side by side together.
        scatter: between sources, standard deviation by mean: shards of few sources differ by it.
    """

    seconds: Spread
    scatter: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A type of machine that the cloud may give to a pool.

    Attributes:
        slots: shards that it does side by side.
        dollars: an hour of it, in each zone where it is to be had.
        besides: an hour of its disk and address.
    """

    type: str
    speed: Speed
    slots: int
    dollars: tuple[float, ...]
    besides: float = 0.0
    spot: bool = True


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A quantity of a run that is to come."""

    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take.

    Attributes:
        machines: that it would work with at once.
        per_second: sources a second while all of them work.
        seconds: from the order until the head is gone.
        dollars: of all machines, the head included; what the ledger will say.
        preemptions: machines that would be lost, on average.
    """

    machines: int
    per_second: float
    seconds: Quantiles
    dollars: Quantiles
    preemptions: float


@dataclass(frozen=True, slots=True)
class Todo:
    """How much there is to do.

    Attributes:
        listed: sources that the head lists before it begins.
        most: machines at once.
        per_machine: shards for which one more machine is asked for.
        head: dollars an hour of the head, disk and address included.
    """

    shards: int
    sources: int
    listed: int
    most: int
    head: float
    per_machine: float = 1.0


def estimate(
    todo: Todo, choices: Sequence[Choice], priors: Priors, *, seed: int = 0, draws: int = DRAWS
) -> Estimate:
    """Return what a run would take if the cloud gives any of these machines, each as likely."""
    count = max(1, min(todo.most, math.ceil(todo.shards / todo.per_machine)))
    if not todo.shards:
        count = 0
    rng = np.random.default_rng(seed)
    kinds = rng.integers(len(choices), size=(draws, count))
    asked = priors.head_boot.each(rng, (draws,)) + priors.start.each(rng, (draws,))
    asked = asked + priors.per_source * todo.listed
    lives = _lives(rng, asked, priors, spot=np.array([c.spot for c in choices])[kinds])
    ended, busy, lost = _work(rng, todo, choices, kinds, lives)
    over = np.maximum(ended, asked) + priors.end.each(rng, (draws,))
    hours = _billed(lives, busy, ended, priors.idle) / HOUR
    dollars = (hours * _prices(rng, choices, kinds)).sum(axis=1) + over / HOUR * todo.head
    per_second = count * float(np.mean([1 / choice.speed.seconds.median for choice in choices]))
    return Estimate(
        count, per_second, _quantiles(over), _quantiles(dollars), float(lost.mean()) if count else 0
    )


@dataclass(frozen=True, slots=True)
class _Lives:
    """Machines in each place of a group, one after the other; shapes (draws, places, LIVES).

    `launched`, `ready`, `dies`: seconds since the order.
    """

    launched: Floats
    ready: Floats
    dies: Floats


def _lives(
    rng: np.random.Generator, asked: Floats, priors: Priors, *, spot: NDArray[np.bool_]
) -> _Lives:
    shape = (*spot.shape, LIVES)
    boots = priors.worker_boot.each(rng, shape)
    rates = priors.preemptions.draw(rng, spot.shape[0])[:, None, None] * spot[:, :, None]
    with np.errstate(divide="ignore"):
        lasts = rng.standard_exponential(shape) * HOUR / rates
    lasts[:, :, -1] = np.inf
    before = np.zeros(shape)
    before[:, :, 1:] = np.cumsum(lasts[:, :, :-1] + priors.gap, axis=2)
    launched = asked[:, None, None] + before
    return _Lives(launched, launched + boots, launched + lasts)


def _work(
    rng: np.random.Generator,
    todo: Todo,
    choices: Sequence[Choice],
    kinds: NDArray[np.int64],
    lives: _Lives,
) -> tuple[Floats, Floats, Floats]:
    """Deal out shards; return when the last was done, when each place last worked, and losses."""
    draws, places = kinds.shape
    busy = np.zeros((draws, places))
    lost = np.zeros(draws)
    if not places:
        return np.zeros(draws), busy, lost
    slots = max(choice.slots for choice in choices)
    seconds, scatter = _shard_seconds(rng, todo, choices, kinds, slots)
    free = np.repeat(lives.ready[:, :, 0], slots, axis=1)
    free[np.isinf(seconds)] = np.inf  # a smaller machine has fewer slots than the largest
    life = np.zeros(free.shape, dtype=np.int64)
    died = np.zeros((draws, places), dtype=np.int64)
    left = np.full(draws, todo.shards)
    steps = STEPS_PER_SLOT * places * slots
    while (rows := np.flatnonzero(left)).size:
        slot = np.argmin(free[rows], axis=1)
        place, begun, one = slot // slots, free[rows, slot], seconds[rows, slot]
        taken = np.maximum(1, left[rows] // steps)
        noise = 1 + scatter / np.sqrt(taken) * rng.standard_normal(rows.size)
        one = one * np.maximum(noise, 0.1)
        dies = lives.dies[rows, place, life[rows, slot]]
        cut = begun + taken * one > dies
        fits = np.floor(np.maximum(dies - begun, 0) / one, where=cut, out=taken.astype(float))
        done = fits.astype(np.int64)
        left[rows] -= done
        until = begun + done * one
        busy[rows, place] = np.maximum(busy[rows, place], np.where(cut, dies, until))
        life[rows, slot] += cut
        died[rows, place] = np.maximum(died[rows, place], life[rows, slot])
        later = lives.ready[rows, place, life[rows, slot]]
        free[rows, slot] = np.where(cut, later, until)
    ended: Floats = busy.max(axis=1)
    return ended, busy, died.sum(axis=1).astype(float)


def _shard_seconds(
    rng: np.random.Generator,
    todo: Todo,
    choices: Sequence[Choice],
    kinds: NDArray[np.int64],
    slots: int,
) -> tuple[Floats, float]:
    """Return a shard's seconds in each slot, infinite where there is none; and its scatter."""
    draws, places = kinds.shape
    per_shard = todo.sources / todo.shards
    # One error for all types: they come from the same sample, only their own part differs.
    error = rng.standard_normal((draws, 1))
    own = rng.standard_normal((draws, places))
    spreads = [choice.speed.seconds for choice in choices]
    median, sigma, apart = (
        np.array([getattr(spread, name) for spread in spreads])[kinds]
        for name in ("median", "sigma", "own")
    )
    whole = median * np.exp(sigma * error + apart * own) * per_shard
    wide = np.array([choice.slots for choice in choices])[kinds]
    number = np.arange(places * slots) % slots
    seconds = np.repeat(whole * wide, slots, axis=1)
    seconds[number >= np.repeat(wide, slots, axis=1)] = np.inf
    scatter = float(np.mean([c.speed.scatter for c in choices])) / math.sqrt(per_shard)
    return seconds, min(scatter, 0.5)


def _billed(lives: _Lives, busy: Floats, ended: Floats, idle: float) -> Floats:
    """Return seconds that each place of a group costs; shape (draws, places)."""
    # Who never worked was asked for before the end, and is ended with it.
    released = np.where(busy > 0, np.minimum(busy, ended[:, None]), ended[:, None]) + idle
    ends = np.minimum(lives.dies, released[:, :, None])
    told = lives.launched < ended[:, None, None]
    with np.errstate(invalid="ignore"):
        spans: Floats = np.where(told, np.maximum(ends - lives.launched, 0), 0)
    total: Floats = spans.sum(axis=2)
    return total


def _prices(
    rng: np.random.Generator, choices: Sequence[Choice], kinds: NDArray[np.int64]
) -> Floats:
    """Return dollars an hour of each place: of its type, in any zone; shape (draws, places)."""
    found = np.zeros(kinds.shape)
    for number, choice in enumerate(choices):
        zones = rng.choice(np.array(choice.dollars), size=kinds.shape)
        found = np.where(kinds == number, zones + choice.besides, found)
    return found


def _quantiles(values: Floats) -> Quantiles:
    low, high = np.quantile(values, [0.5, 0.9])
    return Quantiles(float(low), float(high))
