"""A run: reads the recipe, lists the input, and lets the driver bring the dataset up to date."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from imgbatch import analyzers, posts, settings
from imgbatch.dataset import Dataset
from imgbatch.dataset.lock import refuse_busy
from imgbatch.dataset.repair import Mended, mend
from imgbatch.driver import Driver, Eager
from imgbatch.errors import SettingsError
from imgbatch.listed import list_input
from imgbatch.observe.recorder import Recorder
from imgbatch.ready import needs, ready
from imgbatch.removed import forget_removed
from imgbatch.storage import open_store
from imgbatch.summary import Request, Summary, new_run
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.dataset import TableSpec
    from imgbatch.driver import Engine
    from imgbatch.listed import Listener
    from imgbatch.observe.recorder import Watcher
    from imgbatch.settings import Limits, Recipe


def run(request: Request, limits: Limits, engine: Engine, watcher: Watcher) -> Summary:
    """Bring a dataset up to date with its input and recipe; doing it again does nothing.

    Raises:
        SettingsError, InputError, DatasetError, StorageError: before anything is computed.
        WeightsError: weights are missing, or are not what they should be; nothing is written.
        BusyError: another run is at work on the dataset.
        JobError, FencedError: shards stay undone; what was committed stays.
        CancelledError: somebody asked for its end; what was finished is committed.
        TooManyFailedError: more sources failed than allowed; the run ended there, what was finished
            is committed, and running again with a larger budget goes on.
    """
    start = time.monotonic()
    recipe = settings.read_recipe(request.recipe, settings_of=analyzers.settings_of)
    recipe = request.told(recipe)
    posts.refuse_unknown(recipe.posts, open_store(request.dataset).root)
    specs = table_specs(recipe)
    refuse_busy(open_store(request.dataset))
    first = Dataset.find(request.dataset) is None
    if first and needs(recipe):
        # Before the listing, which may take long.
        ready(recipe, limits, watcher.fetching, elsewhere=request.elsewhere)
    # Of a run that was killed: once its sources are not listed any more, no log could be searched
    # for their addresses.
    before = None if first or not request.whole else forget_removed(request.dataset, recipe)
    mended = _mend(request, recipe, specs, limits) if request.repair else None
    with Recorder(request.dataset, new_run(), limits=limits, watcher=watcher) as recorder:
        listener: Listener = recorder
        if first and request.whole and isinstance(engine, Eager):
            listener = _Foreteller(recorder, partial(engine.expect, recipe, limits))
        listed = list_input(request, limits, listener, recipe.posts)
        dataset = Dataset.create(request.dataset)
        driver = Driver(
            dataset,
            request,
            recipe,
            specs,
            limits,
            start=start,
            mended=mended,
            run=recorder.run,
            fetching=recorder.fetching,
        )
        driver.summary.forgotten = listed.forgotten
        with contextlib.closing(driver):
            driver.freeze(listed.sources)
            del listed  # its rows lie on the disk, and they are in the manifest now
            driver.compute(engine, recorder)
    if request.whole:
        left = forget_removed(request.dataset, recipe)
        driver.summary.forgot = before if left is None else left
    return driver.summary


class _Foreteller:
    """Tells who watches how far the listing is, and an engine what it will have to do."""

    def __init__(self, watcher: Listener, expect: Callable[[int], None]) -> None:
        self._watcher = watcher
        self._expect = expect

    def listing(self, found: int) -> None:
        self._watcher.listing(found)
        self._expect(found)


def _mend(request: Request, recipe: Recipe, specs: Sequence[TableSpec], limits: Limits) -> Mended:
    """Take all that is damaged out of the snapshots, under a number of its own.

    Raises:
        SettingsError: only a sample of the input is asked for, which could not give all back.
    """
    if request.limit is not None or request.share is not None:
        raise SettingsError("--repair needs the whole input: leave --limit and --sample out")
    dataset = Dataset.open(request.dataset)
    driver = Driver(dataset, request, recipe, specs, limits, start=time.monotonic())
    with contextlib.closing(driver):
        return mend(dataset, specs, run=driver.summary.run, number=lambda: driver.number)
