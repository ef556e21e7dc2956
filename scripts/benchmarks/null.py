"""A number of shards in, which nobody computes; what scheduling and committing them alone takes.

Run as a process of its own: `null ray|alone DATASET COUNT`. With `ray` all but the worker is real:
driver, manifest, Ray and its actors, commits. With `alone` it is the crew by itself, whose workers
are in this process and whose shards lie in no manifest: for more shards than anybody has.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from imgbatch import crew, sources
from imgbatch import run as driver
from imgbatch.analyzers import settings_of
from imgbatch.dataset import Part
from imgbatch.dataset.plan import Work
from imgbatch.messages import Finished, Job, Task, Tick
from imgbatch.records import Shard, Source
from imgbatch.settings import Limits, read_recipe
from imgbatch.summary import Request
from imgbatch.tables import table_specs
from imgbatch.terminal import process
from jobs import analyze, hire
from scripts.benchmarks.silent import Silent

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from imgbatch.dataset import TableSpec
    from imgbatch.watch import WorkerLostError

INPUT = "file:///synthetic"
RECIPE = "[analyzers.image]"
WORKERS = 4  # no more than so many; a machine of four cores has room for two
# Memory is looked at when so much of all shards came back, and at the end.
EARLY = 0.1
PAGE = resource.getpagesize()
MB = 1_000_000


class NullWorker:
    """A `pipeline.Worker` that hands every shard back at once, with parts that nobody wrote."""

    def __init__(self, job: Job, name: str) -> None:  # noqa: ARG002 - a Worker's arguments
        self._specs = table_specs(job.recipe)

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        """Do nothing, as the real one says it."""
        for work in task.works:
            yield Tick({"ok": 1}, 1)
            yield finished(work.shard, self._specs)

    def guard(self) -> WorkerLostError | None:
        """Wait for ever: nothing overruns a limit here."""
        while True:
            time.sleep(3600)

    def close(self) -> None:
        """End."""


def hired(terms: hire.Terms, job: Job, name: str) -> NullWorker:  # noqa: ARG001 - as hire.worker
    """Return a worker, whatever the terms."""
    return NullWorker(job, name)


def finished(shard: Shard, specs: Sequence[TableSpec]) -> Finished:
    """Return a shard as done."""
    names = [(spec.path, f"{spec.stem(shard.label)}-{0:08}.parquet") for spec in specs]
    parts = tuple(Part(table, path, 1000, 1, "0" * 64) for table, path in names)
    stages, counts = {"decode": 0.001}, (("ok", None, 1),)
    return Finished(shard, parts, {"ok": 1}, 1, 1000, 0.001, stages, failed=0, counts=counts)


def memory() -> float:
    """Return this process's resident megabytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel, read often
        return int(file.read().split()[1]) * PAGE / MB


class Watch:
    """Counts the shards that come back, and looks at the clock and at the memory.

    Attributes:
        began: when the first event came: workers are up.
        early, late: megabytes after a tenth of the shards, and after all.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.done = 0
        self.began = 0.0
        self.early = self.late = 0.0

    def over(self, events: Iterable[Any]) -> Generator[Any]:
        """Pass events on."""
        for event in events:
            self.began = self.began or time.perf_counter()
            if isinstance(event, Finished):
                self.done += 1
                if self.done == int(EARLY * self._count):
                    self.early = memory()
            yield event
        self.late = memory()


def on_ray(dataset: str, count: int) -> dict[str, float]:
    """Bring a dataset of so many shards of one source each up to date, on Ray on this machine."""

    def listing(*_: Any, **__: Any) -> Iterator[Source]:
        for index in range(count):
            yield Source(f"{INPUT}/{index:08d}.jpg", version=f"{index:x}", size=1000)

    sources.open_input = listing
    # The one thing that is not real here.
    setattr(hire, "worker", hired)  # noqa: B010 - of another type, which mypy would refuse
    watch = Watch(count)
    frozen = 0.0

    def engine(job: Job, tasks: Sequence[Task]) -> Generator[Any]:
        nonlocal frozen
        frozen = time.perf_counter()
        yield from watch.over(analyze.execute(job, tasks, workers=WORKERS, address="local"))

    start = time.perf_counter()
    limits = Limits(shard_sources=1, threads=1)
    summary = driver.run(Request(INPUT, dataset, RECIPE, "null"), limits, engine, Silent())
    if summary.shards != count:
        raise SystemExit(f"bench: {summary.shards} of {count} shards came back")
    return _told(watch, freeze=frozen - start)


def alone(dataset: str, count: int) -> dict[str, float]:
    """Let the crew go through so many shards, with nothing to commit to."""
    recipe = read_recipe(RECIPE, settings_of=settings_of)
    job = Job("null", dataset, recipe, Limits())
    tables = tuple(spec.name for spec in table_specs(recipe))
    watch = Watch(count)
    tasks = [
        Task((Work(Shard(f"{n:032x}", 0, None, f"{n:032x}@0-{0:08}.parquet", 1), tables),))
        for n in range(count)
    ]
    events = crew.execute(lambda n: NullWorker(job, str(n)), tasks, workers=WORKERS)
    for _ in watch.over(events):
        continue
    return _told(watch, freeze=0.0)


def _told(watch: Watch, *, freeze: float) -> dict[str, float]:
    seconds = time.perf_counter() - watch.began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    return {
        "shards": watch.done,
        "seconds": seconds,
        "freeze": freeze,
        "early_mb": watch.early,
        "late_mb": watch.late,
        "peak_mb": peak,
    }


if __name__ == "__main__":
    ways = {"ray": on_ray, "alone": alone}
    way, dataset, count = ways[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    # It ends as imgbatch's commands do: Arrow's threads may be at work still (`terminal._leave`).
    process(lambda: print(json.dumps(way(dataset, count))))
