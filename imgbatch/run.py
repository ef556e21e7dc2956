"""The driver: lists, freezes, plans, hands tasks to an engine, commits what comes back.

It knows nothing of Ray: an engine is any function that takes a Job and Tasks and yields Ticks and
Finished shards in any order. `imgbatch.crew` has one, `jobs.analyze` brings Ray's.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from imgbatch import analyzers, settings, sources
from imgbatch.dataset import MANIFEST, SOURCES, Dataset, manifest
from imgbatch.dataset.adopt import adopt
from imgbatch.dataset.commit import Committer, remove, take_number
from imgbatch.dataset.plan import gone, undone
from imgbatch.dataset.shards import all_shards, archives, members
from imgbatch.errors import ImgbatchError, SettingsError, TooManyFailedError
from imgbatch.pipeline import Finished, Job, Task, Tick
from imgbatch.storage import open_store
from imgbatch.summary import Request, Summary, asked, now
from imgbatch.tables import table_specs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    import pyarrow as pa

    from imgbatch.dataset.plan import Work
    from imgbatch.records import Source
    from imgbatch.settings import Limits

LISTING_STEP = 1000


class Engine(Protocol):
    """Where tasks run."""

    def __call__(self, job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        """Do the tasks in any order; the first thing yielded says that workers are up.

        Raises:
            JobError: workers were lost and tasks stay undone.
        """


class Watcher(Protocol):
    """Who is told while a run goes on; `imgbatch.observe.progress` has them."""

    def listing(self, found: int) -> None:
        """So many sources are listed so far."""

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
    started = datetime.now(UTC)
    recipe = settings.read_recipe(request.recipe, settings_of=analyzers.settings_of)
    specs = table_specs(recipe)
    listed = _listed(request, watcher)
    dataset = Dataset.create(request.dataset)
    summary = Summary(_run_id(started), dataset.url, listed=listed.num_rows)
    number = _freeze(dataset, listed, request, limits, summary)
    shards = all_shards(dataset)
    left = gone(dataset, shards)
    if left:
        number = number or take_number(dataset, summary.run)
        remove(dataset, left, run=summary.run, number=number)
    todo = undone(dataset, shards, specs)
    if todo:
        number = number or take_number(dataset, summary.run)
        record = asked(request, recipe, specs, started=started, number=number)
        dataset.write_run({**record, "run": summary.run, "status": "running"})
        job = Job(summary.run, dataset.url, recipe, limits)
        committer = Committer(
            dataset, specs, run=summary.run, number=number, every=limits.commit_seconds
        )
        status = "failed"
        try:
            parts, todo = adopt(dataset, todo, specs)
            committer.add(parts)
            summary.adopted = len(parts)
            _announce(watcher, dataset, todo)
            with contextlib.closing(engine(job, _tasks(todo)) if todo else _nothing()) as events:
                _drain(events, committer, summary, watcher, start)
            status = "finished"
        finally:
            summary.seconds = round(time.monotonic() - start, 3)
            dataset.write_run({**record, **summary.record(), "finished": now(), "status": status})
    summary.seconds = round(time.monotonic() - start, 3)
    _check_failed(dataset, request.max_failed)
    return summary


def _nothing() -> Generator[Tick | Finished]:
    yield from ()


def _drain(
    events: Iterable[Tick | Finished],
    committer: Committer,
    summary: Summary,
    watcher: Watcher,
    start: float,
) -> None:
    try:
        for event in events:
            if not summary.ready_seconds:
                summary.ready_seconds = round(time.monotonic() - start, 3)
            if isinstance(event, Tick):
                watcher.tick(event)
            else:
                summary.work_seconds = round(time.monotonic() - start - summary.ready_seconds, 3)
                committer.add(event.parts)
                summary.add(event)
    except (ImgbatchError, KeyboardInterrupt):
        # What is finished is worth keeping, whatever ended the rest.
        committer.flush()
        raise
    committer.flush()


def _listed(request: Request, watcher: Watcher) -> pa.Table:
    """Return the listing of the input, or of the sample that is asked for."""
    _refuse_nested(request)
    dataset = Dataset.find(request.dataset)
    known = archives(dataset) if dataset else {}

    def recall(address: str, version: str) -> Iterable[Source] | None:
        if dataset is None or known.get(address) != version:
            return None
        return members(dataset, address)

    found = _counted(sources.open_input(request.input, known=recall), watcher)
    whole = manifest.listing(found, root=open_store(request.input).root)
    return manifest.sample(whole, limit=request.limit, share=request.share)


def _counted(found: Iterable[Source], watcher: Watcher) -> Iterator[Source]:
    count = 0
    for count, source in enumerate(found, 1):
        if count % LISTING_STEP == 0:
            watcher.listing(count)
        yield source
    watcher.listing(count)


def _refuse_nested(request: Request) -> None:
    root, inner = open_store(request.input).root, open_store(request.dataset).root
    if f"{inner}/".startswith(f"{root}/"):
        raise SettingsError(
            f"DATASET {inner} lies inside INPUT {root}: its tables would become sources",
            "Put the dataset beside the input, not in it.",
        )


def _freeze(
    dataset: Dataset, listed: pa.Table, request: Request, limits: Limits, summary: Summary
) -> int:
    """Bring the manifest up to date; returns the run's number, 0 when nothing had to change."""
    table = dataset.table(MANIFEST)
    table.create(manifest.SCHEMA, fence=0, run="create", description="One row per source")
    whole = request.limit is None and request.share is None
    root = open_store(request.input).root
    changes = manifest.compare(dataset, listed, root=root, whole=whole)
    if changes.nothing:
        return 0
    number = take_number(dataset, summary.run)
    manifest.freeze(dataset, changes, limits=limits, run=summary.run, number=number)
    summary.new = changes.new.num_rows
    summary.changed = changes.changed.num_rows
    summary.removed = len(changes.removed)
    return number


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
    status = dataset.read(SOURCES, columns=["status"])["status"].to_pylist()
    failed = status.count("failed")
    allowed = max_failed * len(status) if max_failed < 1 else max_failed
    if failed > allowed:
        raise TooManyFailedError(
            f"{failed} of {len(status)} sources failed; --max-failed allows {allowed:g}"
        )
