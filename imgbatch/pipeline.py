"""One worker: shards in, written Parquet parts out. The whole story on one screen.

    look -> fetch threads -> decode threads -> analyzers -> rows -> parts
            (bytes)          (pixels never leave a thread)

Decision, 2026-11: an analyzer's batch runs in whichever decoding thread fills it. No queue of
pixels, no thread per analyzer, and backpressure for free: a slow analyzer holds the threads that
feed it. Drawback: while a batch runs, that thread does not decode.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import cv2
import threadpoolctl

from imgbatch.carry import look, whole
from imgbatch.dataset import Dataset
from imgbatch.dataset.parts import write_part
from imgbatch.dataset.shards import listed_rows
from imgbatch.errors import SourceError
from imgbatch.examine import Examined, Examiner
from imgbatch.media.gate import ByteGate
from imgbatch.observe.logs import LogFile, WarningLines, logger
from imgbatch.sources import fetch, read_stream
from imgbatch.tables import table_specs
from imgbatch.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.carry import Shift
    from imgbatch.dataset import Part
    from imgbatch.dataset.plan import Work
    from imgbatch.media import Blob
    from imgbatch.records import Shard, Source
    from imgbatch.settings import Limits, Recipe

    Examine = Callable[[int, Source, Callable[[], Blob] | None], Examined]

TICK_SECONDS = 0.5
FETCHED_IN_FLIGHT = 128 * 2**20
# What a decoding thread takes in one go. Handing over costs as much as decoding a small picture.
CHUNK_SOURCES = 16
CHUNK_BYTES = 2**20
CHUNKS_PER_THREAD = 3


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker of a run is told. Small and picklable."""

    run: str
    dataset: str
    recipe: Recipe
    limits: Limits


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker does in one go: a shard, or all undone shards of one compressed tar.

    Attributes:
        works: what is to do for each shard.
    """

    works: tuple[Work, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """Progress since the worker's last tick.

    Attributes:
        outcomes: how many sources came to `ok`, or to which error class.
    """

    outcomes: dict[str, int]
    pictures: int


@dataclass(frozen=True, slots=True)
class Finished:
    """One shard's parts, written and ready to be committed.

    Attributes:
        stages: seconds by stage, summed over threads.
    """

    shard: Shard
    parts: tuple[Part, ...]
    outcomes: dict[str, int]
    pictures: int
    bytes: int
    seconds: float
    stages: dict[str, float]


class Worker:
    """Threads, analyzers and a log for one process. Tasks may run in it side by side."""

    def __init__(self, job: Job, name: str) -> None:
        # Each decoding thread is one lane; OpenCV's and BLAS's own threads would fight with them.
        cv2.setNumThreads(1)
        threadpoolctl.threadpool_limits(1)
        self._job = job
        self._dataset = Dataset.open(job.dataset)
        self._specs = {spec.name: spec for spec in table_specs(job.recipe)}
        self._file = LogFile(self._dataset.store, job.run, name)
        self._log = logger(self._file, run=job.run, worker=name)
        self._warnings = WarningLines(self._log)
        self._warnings.install()
        self._examiner = Examiner(job.recipe, ByteGate(job.limits.decoded_bytes), self._log)
        self._fetched = ByteGate(FETCHED_IN_FLIGHT)
        self._fetchers = ThreadPoolExecutor(job.limits.fetch_threads, "fetch")
        self._decoders = ThreadPoolExecutor(job.limits.threads, "decode")

    def close(self) -> None:
        """End the threads and write the rest of the log."""
        self._fetchers.shutdown(cancel_futures=True)
        self._decoders.shutdown(cancel_futures=True)
        self._warnings.uninstall()
        self._file.flush()

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        """Do a task; yields progress, and each shard as soon as its parts are written."""
        dataset = self._dataset
        shifts = [look(dataset, work, listed_rows(dataset, work.shard)) for work in task.works]
        stream = None
        if archive := task.works[0].shard.stream:
            read = (shift.sources[place] for shift in shifts for place in shift.places)
            wanted = [source for source in read if source.verdict is None]
            stream = read_stream(archive, wanted, limits=self._job.limits)
        for shift in shifts:
            yield from self._shard(shift, stream)
        self._file.flush()

    def _shard(
        self, shift: Shift, stream: Iterator[tuple[Source, Blob | SourceError]] | None
    ) -> Iterator[Tick | Finished]:
        start = time.perf_counter()
        shard = shift.work.shard
        rows = self._examiner.shard(shift)
        timings = Timings()
        done: list[Examined] = []
        tick, ticked = time.monotonic(), 0
        for examined in self._examined(shift, rows.examine, stream):
            done.append(examined)
            timings.merge(examined.stages)
            if time.monotonic() - tick >= TICK_SECONDS:
                yield _tick(done[ticked:])
                tick, ticked = time.monotonic(), len(done)
        yield _tick(done[ticked:])
        with timings.stage("rows"):
            tables = {
                name: whole(self._dataset, shift, self._specs[name], computed)
                for name, computed in rows.tables(done).items()
            }
        with timings.stage("write"):
            parts = tuple(
                write_part(self._dataset.store, self._specs[name], shard.label, table)
                for name, table in tables.items()
            )
        finished = Finished(
            shard=shard,
            parts=parts,
            outcomes=_outcomes(done),
            pictures=sum(e.outcome.n_pictures for e in done),
            bytes=sum(e.source.size for e in done if e.source.verdict is None),
            seconds=round(time.perf_counter() - start, 6),
            stages=timings.seconds(),
        )
        self._log_shard(finished)
        yield finished

    def _examined(
        self,
        shift: Shift,
        examine: Examine,
        stream: Iterator[tuple[Source, Blob | SourceError]] | None,
    ) -> Iterator[Examined]:
        """Yield a shard's sources examined, in order, with a bounded number under way."""
        under_way: deque[Future[list[Examined]]] = deque()
        window = CHUNKS_PER_THREAD * self._job.limits.threads
        for chunk in _chunks(shift):
            # Bytes are counted before they are fetched, in order, so nothing waits in a circle.
            held = contextlib.ExitStack()
            held.enter_context(self._fetched.hold(self._held_bytes(chunk)))
            fetches = [self._fetch(source, stream) for _, source in chunk]
            future = self._decoders.submit(_examine_chunk, examine, chunk, fetches)
            future.add_done_callback(partial(_release, held))
            under_way.append(future)
            while len(under_way) >= window or (under_way and under_way[0].done()):
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()

    def _held_bytes(self, chunk: list[tuple[int, Source]]) -> int:
        # A larger object is read from its file, never held whole.
        return sum(min(source.size, self._job.limits.fetched_bytes) for _, source in chunk)

    def _fetch(
        self, source: Source, stream: Iterator[tuple[Source, Blob | SourceError]] | None
    ) -> Callable[[], Blob] | None:
        if source.verdict is not None:
            return None
        if stream is not None:
            came, blob = next(stream)
            assert came == source, "a stream gives exactly what was asked for, in order"
            return partial(_given, blob)
        if source.address.startswith("file:"):
            # The page cache is quicker than handing over to another thread.
            return partial(fetch, source, limits=self._job.limits)
        return self._fetchers.submit(fetch, source, limits=self._job.limits).result

    def _log_shard(self, finished: Finished) -> None:
        self._log.info(
            "shard.finished",
            shard=finished.shard.label,
            tables=[part.table for part in finished.parts],
            outcomes=finished.outcomes,
            pictures=finished.pictures,
            bytes=finished.bytes,
            seconds=finished.seconds,
            stages=finished.stages,
        )


def _chunks(shift: Shift) -> Iterator[list[tuple[int, Source]]]:
    """Cut what is to be read into what one thread takes in one go, each source with its place."""
    chunk: list[tuple[int, Source]] = []
    size = 0
    for place in shift.places:
        source = shift.sources[place]
        if chunk and (len(chunk) == CHUNK_SOURCES or size + source.size > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((place, source))
        size += source.size
    if chunk:
        yield chunk


def _examine_chunk(
    examine: Examine, chunk: list[tuple[int, Source]], fetches: list[Callable[[], Blob] | None]
) -> list[Examined]:
    return [examine(i, source, fetch) for (i, source), fetch in zip(chunk, fetches, strict=True)]


def _release(held: contextlib.ExitStack, _: Future[list[Examined]]) -> None:
    held.close()


def _given(blob: Blob | SourceError) -> Blob:
    if isinstance(blob, SourceError):
        raise blob
    return blob


def _outcomes(done: list[Examined]) -> dict[str, int]:
    return dict(Counter(e.outcome.error_class or "ok" for e in done))


def _tick(done: list[Examined]) -> Tick:
    return Tick(_outcomes(done), sum(e.outcome.n_pictures for e in done))
