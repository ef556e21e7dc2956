"""The driver: lists, freezes, plans, hands tasks to an engine, commits what comes back.

It knows nothing of Ray: an engine is any function that takes a Job and Tasks and yields Ticks and
Finished shards in any order. `imgbatch.crew` has one, `jobs.analyze` brings Ray's.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from imgbatch import analyzers, settings
from imgbatch.dataset import MANIFEST, SOURCES, Dataset, manifest
from imgbatch.dataset.adopt import adopt
from imgbatch.dataset.commit import Committer, remove, take_number
from imgbatch.dataset.plan import gone, undone
from imgbatch.dataset.shards import all_shards
from imgbatch.errors import ImgbatchError, TooManyFailedError
from imgbatch.listed import Listener, list_input
from imgbatch.pipeline import Finished, Job, Task, Tick
from imgbatch.storage import open_store
from imgbatch.summary import Request, Summary, asked, now
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from imgbatch.dataset import TableSpec
    from imgbatch.dataset.manifest import Changes, Listing
    from imgbatch.dataset.plan import Work
    from imgbatch.settings import Limits, Recipe


class Engine(Protocol):
    """Where tasks run."""

    def __call__(self, job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        """Do the tasks in any order; the first thing yielded says that workers are up.

        Raises:
            JobError: workers were lost and tasks stay undone.
        """


class Watcher(Listener, Protocol):
    """Who is told while a run goes on; `imgbatch.observe.progress` has them."""

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        """So much will be computed."""

    def tick(self, tick: Tick) -> None:
        """Sources were examined."""


def run(request: Request, limits: Limits, engine: Engine, watcher: Watcher) -> Summary:
    """Bring a dataset up to date with its input and recipe; doing it again does nothing.

    Raises:
        SettingsError, InputError, DatasetError, StorageError: before anything is computed.
        JobError, FencedError: shards stay undone; what was committed stays.
        TooManyFailedError: all is done, and more sources failed than allowed.
    """
    start = time.monotonic()
    recipe = settings.read_recipe(request.recipe, settings_of=analyzers.settings_of)
    specs = table_specs(recipe)
    listed = list_input(request, watcher)
    driver = Driver(Dataset.create(request.dataset), request, recipe, specs, start=start)
    driver.freeze(listed, limits)
    driver.compute(limits, engine, watcher)
    _check_failed(driver.dataset, request.max_failed)
    return driver.summary


class Driver:
    """One run over one dataset: the only one that commits, under its own number.

    Args:
        start: of the run, by `time.monotonic`.
    """

    def __init__(
        self,
        dataset: Dataset,
        request: Request,
        recipe: Recipe,
        specs: Sequence[TableSpec],
        *,
        start: float,
    ) -> None:
        self.dataset = dataset
        self._request = request
        self._recipe = recipe
        self._specs = specs
        self._start = start
        self._started = datetime.now(UTC)
        self.summary = Summary(_run_id(self._started), dataset.url)

    @cached_property
    def number(self) -> int:
        """The run's number, taken when something is to be changed.

        Raises:
            FencedError: another run took it at the same moment.
        """
        return take_number(self.dataset, self.summary.run)

    def freeze(self, listed: Listing, limits: Limits) -> None:
        """Bring the manifest up to date with a listing of the input, or of a sample of it."""
        request, summary = self._request, self.summary
        table = self.dataset.table(MANIFEST)
        table.create(manifest.SCHEMA, fence=0, run="create", description="One row per source")
        summary.listed = listed.num_rows
        whole = request.limit is None and request.share is None
        root = open_store(request.input).root
        changes = manifest.compare(self.dataset, listed, root=root, whole=whole)
        summary.new = changes.new.num_rows
        summary.changed = changes.changed.num_rows
        summary.removed = changes.removed.num_rows
        self.change(changes, limits)

    def change(self, changes: Changes, limits: Limits) -> None:
        """Commit changes of the manifest, if there are any."""
        if not changes.nothing:
            manifest.freeze(
                self.dataset, changes, limits=limits, run=self.summary.run, number=self.number
            )

    def compute(self, limits: Limits, engine: Engine, watcher: Watcher) -> None:
        """Compute and commit what the manifest and the recipe ask for and no table has."""
        dataset, summary = self.dataset, self.summary
        shards = all_shards(dataset)
        if left := gone(dataset, shards):
            remove(dataset, left, run=summary.run, number=self.number)
        if todo := undone(dataset, shards, self._specs):
            record = asked(
                self._request, self._recipe, self._specs, started=self._started, number=self.number
            )
            dataset.write_run({**record, "run": summary.run, "status": "running"})
            status = "failed"
            try:
                self._work(todo, limits, engine, watcher)
                status = "finished"
            finally:
                summary.seconds = self._seconds()
                said = {**record, **summary.record(), "finished": now(), "status": status}
                dataset.write_run(said)
        summary.seconds = self._seconds()

    def _work(self, todo: Sequence[Work], limits: Limits, engine: Engine, watcher: Watcher) -> None:
        dataset, summary, specs = self.dataset, self.summary, self._specs
        committer = Committer(
            dataset, specs, run=summary.run, number=self.number, every=limits.commit_seconds
        )
        parts, todo = adopt(dataset, todo, specs)
        committer.add(parts)
        summary.adopted = len(parts)
        _announce(watcher, dataset, todo)
        job = Job(summary.run, dataset.url, self._recipe, limits)
        with contextlib.closing(engine(job, _tasks(todo)) if todo else _nothing()) as events:
            self._drain(events, committer, watcher)

    def _drain(
        self, events: Iterable[Tick | Finished], committer: Committer, watcher: Watcher
    ) -> None:
        summary = self.summary
        try:
            for event in events:
                if not summary.ready_seconds:
                    summary.ready_seconds = self._seconds()
                if isinstance(event, Tick):
                    watcher.tick(event)
                else:
                    summary.work_seconds = round(self._seconds() - summary.ready_seconds, 3)
                    committer.add(event.parts)
                    summary.add(event)
        except (ImgbatchError, KeyboardInterrupt):
            # What is finished is worth keeping, whatever ended the rest.
            committer.flush()
            raise
        committer.flush()

    def _seconds(self) -> float:
        return round(time.monotonic() - self._start, 3)


def _nothing() -> Generator[Tick | Finished]:
    yield from ()


def _tasks(todo: Sequence[Work]) -> list[Task]:
    """Return one task per shard; the shards of a compressed tar go together, read in one pass."""
    tasks = []
    for stream, group in itertools.groupby(todo, key=lambda work: work.shard.stream):
        works = tuple(group)
        tasks += [Task(works)] if stream else [Task((work,)) for work in works]
    # One pass over an archive takes longest: it starts first.
    return sorted(tasks, key=lambda task: -len(task.works))


def _announce(watcher: Watcher, dataset: Dataset, todo: Sequence[Work]) -> None:
    parts = dataset.table(MANIFEST).parts()
    count = sum(parts[work.shard.part].rows for work in todo)
    tables = sorted({name for work in todo for name in work.tables})
    watcher.planned(shards=len(todo), sources=count, note=", ".join(tables))


def _run_id(started: datetime) -> str:
    return f"{started:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def _check_failed(dataset: Dataset, max_failed: float | None) -> None:
    if max_failed is None:
        return
    counts: Counter[str] = Counter()
    for batch in dataset.batches(SOURCES, columns=["status"]):
        counts.update(batch["status"].to_pylist())
    failed, count = counts["failed"], counts.total()
    allowed = max_failed * count if max_failed < 1 else max_failed
    if failed > allowed:
        raise TooManyFailedError(
            f"{failed} of {count} sources failed; --max-failed allows {allowed:g}"
        )
