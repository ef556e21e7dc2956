"""The driver's side of a run: takes a number, and commits finished shards under it."""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from imgbatch.dataset import MANIFEST, Dataset, TableSpec
from imgbatch.dataset.posts import here as posts_here
from imgbatch.errors import FencedError, OutageError, StorageError
from imgbatch.records import REGIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imgbatch.dataset.lock import RunLock
    from imgbatch.dataset.part import Part

# A commit looks at all parts of a table: with 100,000 of them it takes seconds. The driver spends
# at most one tenth of its time on it, however many there are.
PATIENCE = 10
# So many parts wait at most, of shards that come in quicker than any picture can be looked at.
WAITING = 20_000
# Tables are committed to side by side: each waits for its store, a bucket's for some round trips.
COMMITS = 8


def take_number(dataset: Dataset, run: str) -> int:
    """Take the next run number by a commit to the manifest; of several racers one gets it.

    Then every table is told the number: no older run commits anything from here, also one that was
    stopped between its last look at the manifest and its commit.

    Raises:
        FencedError: another run took the same number at the same moment, or one after it.
    """
    manifest = dataset.reopened(MANIFEST)
    # A manifest whose log was lost begins anew, after what the other tables remember.
    with ThreadPoolExecutor(COMMITS, "commit") as pool:
        last = manifest.fence
        others = () if last else _others(dataset)
        number = max(pool.map(lambda name: dataset.table(name).fence, others), default=last) + 1
        manifest.commit([], [], fence=number, run=run)
        # Looked for again: whoever made a table since did so under an older number.
        list(pool.map(partial(_tell, dataset, number, run), _others(dataset)))
    return number


def check_ours(dataset: Dataset, number: int) -> None:
    """Refuse when a dataset is not ours any more.

    Raises:
        FencedError: another run took a number after this one.
    """
    manifest = dataset.refreshed(MANIFEST)
    if manifest.fence != number:
        raise FencedError(f"run number {manifest.fence} took over from {number}")


def _others(dataset: Dataset) -> list[str]:
    """Return the names of all tables but the manifest, as they are now."""
    folders = [
        f"{below}/{name}" for below in ("tables", "groups") for name in dataset.folders(below)
    ]
    return [*folders, *posts_here(dataset)]


def _tell(dataset: Dataset, number: int, run: str, name: str) -> None:
    """Tell a table that a run has this number."""
    dataset.reopened(name).commit([], [], fence=number, run=run)


class Committer:
    """Collects finished parts and commits them, one transaction per table, every few seconds.

    Sooner where many wait: what is not committed is kept in memory.

    Args:
        outage: so many seconds nobody may answer at the dataset's store before a run ends of it.
        report: told how many parts each time committed.
    """

    def __init__(  # noqa: PLR0913 - each is a plain value
        self,
        dataset: Dataset,
        specs: Sequence[TableSpec],
        *,
        run: str,
        number: int,
        every: float,
        clock: Callable[[], float] = time.monotonic,
        lock: RunLock | None = None,
        outage: float = 0.0,
        report: Callable[[int], None] | None = None,
    ) -> None:
        self._dataset = dataset
        self._run = run
        self._number = number
        self._every = every
        self._pause = every
        self._rest = 0.0
        self._fresh = 0
        self._clock = clock
        self._lock = lock
        self._outage = outage
        self._out: float | None = None
        self._report = report
        self._waiting: dict[str, list[Part]] = defaultdict(list)
        self._last = clock()
        for spec in specs:
            table = dataset.table(spec.path)
            description = spec.metadata.get("summary", "")
            table.create(spec.schema, fence=number, run=run, description=description)
            table.add_columns(spec.schema)

    def add(self, parts: Iterable[Part]) -> None:
        """Take the parts of one finished shard; commits when it is time.

        Raises:
            FencedError: as for `flush`.
            StorageError: a commit failed, and not because nobody answered, or they did not for
                `outage` seconds.
        """
        for part in parts:
            self._waiting[part.table].append(part)
            self._fresh += 1
        passed = self._clock() - self._last
        if passed < (self._pause if self._fresh < WAITING else self._rest):
            return
        try:
            self.flush()
        except StorageError as error:
            # What waits is written and safe: the next commit takes it along.
            passing = isinstance(error, OutageError) or error.timed_out
            self._out = self._clock() if self._out is None else self._out
            if not passing or self._clock() - self._out >= self._outage:
                raise
        else:
            self._out = None

    def check(self) -> None:
        """Refuse when the dataset is not ours any more.

        Raises:
            FencedError: another run took it over; nothing of ours is committed from here.
        """
        if self._lock:
            self._lock.check()
        check_ours(self._dataset, self._number)

    def flush(self) -> None:
        """Commit what waits.

        Raises:
            FencedError: another run took the dataset over; nothing of ours is committed from here.
        """
        self._last = self._clock()
        self._fresh = 0
        if not any(self._waiting.values()):
            return
        self.check()
        tables = sorted((path for path, parts in self._waiting.items() if parts), key=_turn)
        with ThreadPoolExecutor(COMMITS, "commit") as pool:
            for _, paths in groupby(tables, _turn):
                list(pool.map(self._commit, paths))
        if self._report:
            self._report(sum(map(len, self._waiting.values())))
        self._waiting.clear()
        self._rest = PATIENCE * (self._clock() - self._last)
        self._pause = max(self._every, self._rest)

    def _commit(self, path: str) -> None:
        """Commit what waits for one table."""
        adds, table = self._waiting[path], self._dataset.table(path)
        former = table.parts({part.shard for part in adds}).values()
        table.commit(adds, former, fence=self._number, run=self._run)


def _turn(path: str) -> int:
    """Return when a table's turn is: whatever names rows of others comes after them.

    A main table counts its regions, and `sources` says that a shard is done.
    """
    return 0 if path.endswith(REGIONS) else 2 if path.endswith("/sources") else 1


def remove(dataset: Dataset, shards: set[str], *, run: str, number: int) -> None:
    """Take shards out of every table: all their sources are gone."""
    for name in dataset.tables():
        table = dataset.table(f"tables/{name}")
        gone = table.parts(shards).values()
        if gone:
            table.commit([], gone, fence=number, run=run)
