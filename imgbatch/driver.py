"""The driver: freezes, plans, hands tasks to an engine, commits what comes back.

It knows nothing of Ray: an engine is any function that takes a Job and Tasks and yields Ticks and
Finished shards in any order. `imgbatch.crew` has one, `jobs.analyze` brings Ray's.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from imgbatch import posts
from imgbatch.attempts import attempt
from imgbatch.budget import Budget
from imgbatch.dataset import MANIFEST, SOURCES, manifest
from imgbatch.dataset.adopt import adopt
from imgbatch.dataset.commit import Committer, remove, take_number
from imgbatch.dataset.counts import OUTCOMES, Tally
from imgbatch.dataset.due import sources_due
from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.plan import gone, lessened, undone
from imgbatch.dataset.posts import lessened as posts_lessened
from imgbatch.dataset.repair import Mended
from imgbatch.dataset.shards import all_shards
from imgbatch.errors import ImgbatchError
from imgbatch.messages import Crewed, Finished, Job, Task, Tick
from imgbatch.ready import ready
from imgbatch.sources import patience
from imgbatch.storage import access, open_store
from imgbatch.summary import Request, Summary, asked, new_run, now

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from imgbatch.dataset import Dataset, TableSpec
    from imgbatch.dataset.manifest import Changes, Listing
    from imgbatch.dataset.plan import Work
    from imgbatch.observe.recorder import Recorder
    from imgbatch.ready import Fetching
    from imgbatch.settings import Limits, Recipe


class Engine(Protocol):
    """Where tasks run."""

    def __call__(self, job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        """Do the tasks in any order; the first thing yielded says that workers are up.

        Crewed says how many, and comes again while nothing else does: who waits may want to end it.

        Raises:
            JobError: workers were lost and tasks stay undone.
        """


@runtime_checkable
class Eager(Engine, Protocol):
    """An engine that gets workers ready before it is known what there is for them."""

    def expect(self, recipe: Recipe, limits: Limits, sources: int) -> None:
        """So many sources are listed so far, and none of them was analyzed before."""


class Driver:
    """One run over one dataset: the only one that commits, under its own number.

    Args:
        start: of the run, by `time.monotonic`.
        mended: what was taken out before, to be done again.
        run: its id; a new one by default.
        fetching: told while weights come to this machine.
    """

    def __init__(  # noqa: PLR0913 - what a run is made of
        self,
        dataset: Dataset,
        request: Request,
        recipe: Recipe,
        specs: Sequence[TableSpec],
        limits: Limits,
        *,
        start: float,
        mended: Mended | None = None,
        run: str | None = None,
        fetching: Fetching | None = None,
    ) -> None:
        self.dataset = dataset
        self._request = request
        self._recipe = recipe
        self._specs = specs
        self._limits = limits
        self._fetching = fetching
        self._start = start
        self._started = datetime.now(UTC)
        self._lock: RunLock | None = None
        self._touched: Mapping[str, int] = {}
        self.summary = Summary(run or new_run(), dataset.url)
        did = mended or Mended([], [], [])
        self.summary.repaired = len(did.parts)
        self.summary.dropped = len(did.dropped)
        self.summary.aside = len(did.aside)
        self.summary.by_hand = list(did.by_hand)
        self._mended = bool(did.parts or did.dropped or did.aside)

    @cached_property
    def number(self) -> int:
        """The run's number, taken with the lock when something is to be changed.

        Raises:
            BusyError: another run is at work on the dataset.
            FencedError: another run took it at the same moment.
        """
        run = self.summary.run
        self._lock = RunLock.take(self.dataset.store, run, expires=self._limits.lock_seconds)
        return take_number(self.dataset, run)

    def close(self) -> None:
        """Give the lock back, if one was taken."""
        if self._lock:
            self._lock.release()

    def _overtaken(self) -> bool:
        """Take the number; whether another run committed between our look and that.

        What was planned before is not to be trusted then: it may have done the same, or other.
        """
        if "number" in self.__dict__:
            return False
        looked = self.dataset.table(MANIFEST).version
        _ = self.number
        return self.dataset.table(MANIFEST).version != looked + 1

    def freeze(self, listed: Listing) -> None:
        """Bring the manifest up to date with a listing of the input, or of a sample of it."""
        request, summary = self._request, self.summary
        table = self.dataset.table(MANIFEST)
        table.create(manifest.SCHEMA, fence=0, run="create", description="One row per source")
        summary.listed = listed.num_rows
        whole = request.limit is None and request.share is None
        root = open_store(request.input).root
        changes = manifest.compare(self.dataset, listed, root=root, whole=whole)
        self._get_ready(changes)
        if not changes.nothing and self._overtaken():
            changes = manifest.compare(self.dataset, listed, root=root, whole=whole)
        summary.new = changes.new.num_rows
        summary.changed = changes.changed.num_rows
        summary.removed = changes.removed.num_rows
        self.change(changes)

    def _get_ready(self, changes: Changes) -> None:
        """Have the weights here before anything is written, if there will be sources to analyze."""
        if changes.new.num_rows or changes.changed.num_rows:
            self._ready()

    def _ready(self) -> None:
        ready(self._recipe, self._limits, self._fetching, elsewhere=self._request.elsewhere)

    def change(self, changes: Changes) -> None:
        """Commit changes of the manifest, if there are any.

        Raises:
            WeightsError: what came or changed could not be analyzed; nothing is committed.
        """
        if not changes.nothing:
            self._get_ready(changes)
            run, number = self.summary.run, self.number
            manifest.freeze(self.dataset, changes, limits=self._limits, run=run, number=number)
            self._touched = changes.touched

    def compute(self, engine: Engine, recorder: Recorder) -> None:
        """Compute and commit what the manifest and the recipe ask for and no table has.

        Raises:
            WeightsError: weights are missing, or are not what they should be.
        """
        dataset, summary = self.dataset, self.summary
        left, todo = self._plan()
        if todo:
            self._ready()
            self._check_dump()
        if (left or todo) and self._overtaken():
            left, todo = self._plan()
        if left:
            remove(dataset, left, run=summary.run, number=self.number)
        summary.lessened = lessened(dataset, self._specs) if todo else []
        budget = self._budget(todo)
        budget.check()
        # Where nothing is computed, the tables are as posts are joined to already.
        dump = None if todo else self._dump()
        summary.retention = self._retention()
        # A repair is told of even where it leaves nothing to compute; it may have cost the records.
        if todo or self._mended or dump or summary.retention:
            record = asked(
                self._request, self._recipe, self._specs, started=self._started, number=self.number
            )
            dataset.write_run({**record, "run": summary.run, "status": "running"})
            ended: BaseException | None = None
            try:
                if todo or self._mended:
                    self._work(todo, engine, recorder, budget)
                self._bring(dump or self._dump())
            except BaseException as error:
                ended = error
                raise
            finally:
                summary.seconds, summary.cost = self._seconds(), recorder.cost
                status = recorder.end(ended)
                said = {**record, **summary.record(), "finished": now(), "status": status}
                dataset.write_run(said)
        summary.seconds = self._seconds()

    def _dump(self) -> posts.Found | None:
        """Return the dump that the input is, if its posts are to be brought."""
        if not self._request.whole:
            return None
        root = open_store(self._request.input).root
        unread = self.summary.unread
        return posts.find(self.dataset, root, self._recipe.posts, self._limits, unread=unread)

    def _check_dump(self) -> None:
        """Refuse settings of posts that cannot be, before pictures are analysed."""
        if self._request.whole:
            root = open_store(self._request.input).root
            posts.check(self.dataset, root, self._recipe.posts, self._limits)

    def _retention(self) -> dict[str, int | None] | None:
        """Return what the recipe changes of how long posts are kept; see `posts.retention`."""
        if not self._request.whole:
            return None
        root = open_store(self._request.input).root
        return posts.retention_changed(self.dataset, root, self._recipe.posts)

    def _bring(self, dump: posts.Found | None) -> None:
        if dump is None:
            return
        root = open_store(self._request.input).root
        less = posts_lessened(self.dataset, root, self._recipe.posts)
        brought = posts.bring(
            self.dataset,
            root,
            dump,
            self._recipe.posts,
            run=self.summary.run,
            number=self.number,
        )
        self.summary.posts = brought.record()
        self.summary.lessened += less

    def _plan(self) -> tuple[set[str], list[Work]]:
        shards = all_shards(self.dataset)
        return gone(self.dataset, shards), undone(self.dataset, shards, self._specs)

    def _budget(self, todo: Sequence[Work]) -> Budget:
        redone = {work.shard.name for work in todo if SOURCES in work.tables}
        return Budget(self.dataset, self._request.max_failed, redone)

    def _work(
        self, todo: Sequence[Work], engine: Engine, recorder: Recorder, budget: Budget
    ) -> None:
        dataset, summary, specs = self.dataset, self.summary, self._specs
        committer = Committer(
            dataset,
            specs,
            run=summary.run,
            number=self.number,
            every=self._limits.commit_seconds,
            lock=self._lock,
            outage=self._limits.fetch_seconds,
            report=recorder.committed,
        )
        tally = Tally(dataset)
        parts, todo = adopt(dataset, todo, specs)
        committer.add(parts)
        summary.adopted = len(parts)
        recorder.planned(
            shards=len(todo),
            sources=sources_due(dataset, todo, self._touched),
            note=", ".join(sorted({name for work in todo for name in work.tables})),
        )
        job = Job(summary.run, dataset.url, self._recipe, self._limits, access.access())
        try:
            budget.take(parts)
            with contextlib.closing(engine(job, _tasks(todo)) if todo else _nothing()) as events:
                self._drain(events, committer, recorder, budget, tally)
            recorder.committing()
        except (ImgbatchError, KeyboardInterrupt):
            # What is finished is worth keeping, whatever ended the rest. Where another run took
            # over, that is what ended it: a forgotten source's part is gone under our hands.
            committer.check()
            committer.flush()
            tally.write()
            raise
        attempt(committer.flush, patience(self._limits))
        tally.write()

    def _drain(
        self,
        events: Iterable[Tick | Finished | Crewed],
        committer: Committer,
        recorder: Recorder,
        budget: Budget,
        tally: Tally,
    ) -> None:
        summary = self.summary
        for event in events:
            if isinstance(event, Crewed):
                recorder.crewed(event)
                continue
            if not summary.ready_seconds:
                summary.ready_seconds = self._seconds()
            if isinstance(event, Tick):
                recorder.tick(event)
            else:
                summary.work_seconds = round(self._seconds() - summary.ready_seconds, 3)
                committer.add(event.parts)
                summary.add(event)
                for part in event.parts:
                    if part.table == OUTCOMES:
                        tally.add(part.path, event.counts)
                budget.add(event.failed or 0)
                recorder.finished(sum(part.size for part in event.parts))

    def _seconds(self) -> float:
        return round(time.monotonic() - self._start, 3)


def _nothing() -> Generator[Tick | Finished | Crewed]:
    yield from ()


def _tasks(todo: Sequence[Work]) -> list[Task]:
    """Return one task per shard; the shards of a compressed tar go together, read in one pass."""
    tasks = []
    for stream, group in itertools.groupby(todo, key=lambda work: work.shard.stream):
        works = tuple(group)
        tasks += [Task(works)] if stream else [Task((work,)) for work in works]
    # One pass over an archive takes longest: it starts first.
    return sorted(tasks, key=lambda task: -len(task.works))
