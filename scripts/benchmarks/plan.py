"""What a no-op rerun takes when the manifest holds a million sources.

Nothing of that size lies on a disk: the listing is made up as it is asked for, and the first run's
engine hands back parts that were never written. All else, from comparing to committing, is
imgbatch's own `run`, so the rerun goes the way that any rerun goes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.product import RECIPE
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from imgbatch.pipeline import Finished, Job, Task, Tick
    from scripts.benchmarks.setting import Setting

BAR_SECONDS = 20
BAR_MB = 1000
MB = 1_000_000
# It lists nothing: the name only has to be canonical.
INPUT = "file:///synthetic"
PER_FOLDER = 1000
SIZE = 137_000


def measure(setting: Setting) -> list[Figure]:
    """Make the dataset once, then plan the rerun as often as asked."""
    log, dataset = setting.log("plan"), setting.fresh("plan")
    run_child(module("plan", "make", dataset, setting.sources), log=log)
    again = [
        run_child(module("plan", "again", dataset, setting.sources), log=log)
        for _ in range(setting.repeats)
    ]
    name = f"no-op rerun of {setting.sources:,} sources"
    seconds, peaks = [e.seconds for e in again], [e.peak_bytes / MB for e in again]
    return [
        Figure("plan", f"{name}, all in", tuple(seconds), "s", high=BAR_SECONDS),
        Figure("plan", f"{name}, peak memory", tuple(peaks), "MB", high=BAR_MB),
    ]


def main(step: str, dataset: str, count: int) -> None:
    """Make the dataset (`make`), or run again over the same listing (`again`)."""
    # Imported here: whoever measures stays small.
    from imgbatch import run as driver  # noqa: PLC0415
    from imgbatch import sources  # noqa: PLC0415
    from imgbatch.records import Source  # noqa: PLC0415
    from imgbatch.settings import Limits  # noqa: PLC0415
    from imgbatch.summary import Request  # noqa: PLC0415

    def listing(*_: Any, **__: Any) -> Iterator[Source]:
        for index in range(count):
            folder, file = divmod(index, PER_FOLDER)
            address = f"{INPUT}/{folder:05d}/{file:03d}.jpg"
            yield Source(address, version=f"{SIZE}-{index:x}", size=SIZE)

    sources.open_input = listing
    request = Request(INPUT, dataset, RECIPE.read_text("utf-8"), "synthetic")
    engine = _pretend if step == "make" else _refuse
    summary = driver.run(request, Limits(), engine, _Silent())
    if step == "again" and (summary.listed, summary.shards) != (count, 0):
        raise SystemExit(f"bench: the rerun was to do nothing: {summary}")


class _Silent:
    """A Watcher that says nothing."""

    def listing(self, found: int) -> None:
        pass

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        pass

    def tick(self, tick: Tick) -> None:
        pass


def _pretend(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
    """Hand every shard back as done, with parts that nobody wrote."""
    from imgbatch.dataset import Part  # noqa: PLC0415
    from imgbatch.pipeline import Finished  # noqa: PLC0415
    from imgbatch.tables import table_specs  # noqa: PLC0415

    specs = table_specs(job.recipe)
    for task in tasks:
        for shard in (work.shard for work in task.works):
            parts = tuple(
                Part(
                    spec.path,
                    f"{spec.stem(shard.label)}-{0:08}.parquet",
                    SIZE,
                    PER_FOLDER,
                    "0" * 64,
                )
                for spec in specs
            )
            yield Finished(shard, parts, {"ok": PER_FOLDER}, PER_FOLDER, SIZE, 0.0, {})


def _refuse(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
    """Fail: nothing is left to do for an engine."""
    raise SystemExit(f"bench: the rerun of {job.dataset} has {len(tasks)} tasks")


if __name__ == "__main__":
    main(sys.argv[1], str(Path(sys.argv[2])), int(sys.argv[3]))
