"""A few sources of an input go through the whole pipeline here; the seconds that they took leave.

Drawn by the hash of their ids, so each is as likely, and the same ones come at the next time. They
go into a dataset in a temporary folder: nothing of the real one is touched.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from imgbatch import analyzers, crew, settings
from imgbatch.cloud.speeds import CORE, GPU, Sample
from imgbatch.dataset import Dataset, manifest
from imgbatch.dataset.manifest import Listing
from imgbatch.dataset.scratch import scratch_folder
from imgbatch.driver import Driver
from imgbatch.errors import InputError
from imgbatch.messages import Finished
from imgbatch.observe.recorder import Recorder
from imgbatch.summary import Request, new_run
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from imgbatch.listed import Listed
    from imgbatch.messages import Crewed, Job, Task, Tick
    from imgbatch.observe.recorder import Watcher
    from imgbatch.settings import Limits, Recipe

SOURCES = 64
# Shards of the sample: each is a measurement.
SHARDS = 8
# Nobody waits longer for a plan; what was measured until then counts.
SECONDS = 120.0
# The first shard pays for what is loaded once; fewer than this and it is counted all the same.
FEW = 3


class _Timed:
    """An engine that notes what each shard took, and stops in time."""

    def __init__(self) -> None:
        self.shards: list[Finished] = []
        self.begun = self.ended = 0.0

    def __call__(self, job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        # One worker, shard by shard: side by side, no shard's seconds would be its own.
        with contextlib.closing(crew.inline(job, tasks)) as events:
            for event in events:
                self.begun = self.begun or time.monotonic()
                self.ended = time.monotonic()
                if isinstance(event, Finished):
                    self.shards.append(event)
                yield event
                if time.monotonic() - self.begun > SECONDS:
                    return


class _Trying:
    """Tells a watcher of a trial, so that nobody takes it for the run."""

    def __init__(self, watcher: Watcher) -> None:
        self.listing = watcher.listing
        self.fetching = watcher.fetching
        self.tick = watcher.tick
        self.crewed = watcher.crewed
        self._planned = watcher.planned

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        self._planned(shards=shards, sources=sources, note=f"a trial here: {note}")


def trial(
    request: Request, limits: Limits, listed: Listed, watcher: Watcher, *, sources: int = SOURCES
) -> Sample:
    """Return what some sources of an input take here.

    Args:
        request: whose recipe and input count.
        limits: of a run here.
        listed: the input.
        watcher: told how the sample goes.
        sources: about so many.

    Raises:
        InputError: the input holds nothing.
        WeightsError, MissingExtraError: the recipe cannot be computed here.
    """
    # Of a compressed tar all is read for one member: nobody waits for that to see a price.
    plain = Listing.of_batches(
        listed.sources.spill.batches("FROM listed WHERE packing IS DISTINCT FROM 'stream'")
    )
    total = plain.num_rows
    if not total:
        raise InputError(f"{request.input} holds nothing that could be tried quickly")
    recipe = settings.read_recipe(request.recipe, settings_of=analyzers.settings_of)
    timed = _Timed()
    share = min(1.0, sources / total)
    chosen = manifest.sample(plain, limit=sources, share=share)
    if not chosen.num_rows:  # a few sources, and the draw missed them all
        chosen = manifest.sample(plain, limit=sources, share=None)
    small = limits.model_copy(update={"shard_sources": max(1, chosen.num_rows // SHARDS)})
    with scratch_folder() as folder:
        own = Request(request.input, f"{folder}/trial", request.recipe, "inline", share=share)
        with Recorder(own.dataset, new_run(), limits=small, watcher=_Trying(watcher)) as recorder:
            driver = Driver(
                Dataset.create(own.dataset),
                own,
                recipe,
                table_specs(recipe),
                small,
                start=time.monotonic(),
                run=recorder.run,
                fetching=recorder.fetching,
            )
            with contextlib.closing(driver):
                driver.freeze(chosen)
                driver.compute(timed, recorder)
    return sample_of(timed.shards, recipe, wall=timed.ended - timed.begun, threads=limits.threads)


def sample_of(shards: Sequence[Finished], recipe: Recipe, *, wall: float, threads: int) -> Sample:
    """Return what shards tell of a source.

    Raises:
        InputError: there is none.
    """
    counted = shards[1:] if len(shards) > FEW else list(shards)
    sizes = [sum(shard.outcomes.values()) for shard in counted]
    if not sum(sizes):
        raise InputError("the sample gave nothing that could be measured")
    stages = Counter[str]()
    for shard in counted:
        stages.update(shard.stages)
    cpu, model = parts(stages, recipe)
    # Threads that wait for each other have more seconds than the machine's cores had.
    every = Counter[str]()
    for shard in shards:
        every.update(shard.stages)
    spent = sum(parts(every, recipe))
    busy = min(1.0, wall * threads / spent) if spent else 1.0
    count = sum(sizes)
    scatter = _scatter([sum(parts(shard.stages, recipe)) for shard in counted], sizes)
    error = scatter / math.sqrt(count)
    said = (
        f"measured on {count} sources here (their mean to {_share(error)}), scaled to rented "
        f"machines by a table that is sure to {_share(CORE.sigma)} of a core"
        + (f", to {_share(GPU)} of a GPU" if model else "")
    )
    parts_of = [part.size for shard in counted for part in shard.parts]
    return Sample(
        "sample",
        said,
        busy * cpu / count,
        busy * model / count,
        error,
        scatter,
        written=sum(parts_of) / count,
    )


def parts(stages: Mapping[str, float], recipe: Recipe) -> tuple[float, float]:
    """Return seconds by stage as those of a CPU and those of networks, waits left out."""
    model = sum(seconds for name, seconds in stages.items() if network(name, recipe))
    waits = stages.get("fetch", 0.0)
    return sum(stages.values()) - model - waits, model


def network(stage: str, recipe: Recipe) -> bool:
    """Return whether a stage is an analyzer that works on a GPU where there is one."""
    if stage not in recipe.analyzers:
        return False
    needs = analyzers.needs_of(analyzers.load(stage), recipe.analyzers[stage])
    return bool(needs.gpu or needs.gpu_if_any)


def _scatter(seconds: Sequence[float], sizes: Sequence[int]) -> float:
    """Return the scatter between sources, from that between shards; 1 where few tell."""
    means = [each / size for each, size in zip(seconds, sizes, strict=True) if size]
    if len(means) < FEW or not fmean(means):
        return 1.0
    return max(0.1, stdev(means) / fmean(means) * math.sqrt(fmean(sizes)))


def _share(error: float) -> str:
    return f"+-{100 * error:.0f}%"
