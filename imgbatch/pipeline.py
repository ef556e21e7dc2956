"""One worker: shards in, written Parquet parts out. The whole story on one screen.

    look -> fetch threads -> decode threads -> analyzers -> rows -> parts
            (bytes)          (pixels never leave a thread)

Decision, 2026-11: an analyzer's batch runs in whichever decoding thread fills it. No queue of
pixels, no thread per analyzer, and backpressure for free: a slow analyzer holds the threads that
feed it. Drawback: while a batch runs, that thread does not decode.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import cv2
import threadpoolctl

from imgbatch.analyzers import on_gpu
from imgbatch.attempts import attempt
from imgbatch.budget import check_outage, failed_in
from imgbatch.carry import look, whole
from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.counts import OUTCOMES, counts_of
from imgbatch.dataset.parts import write_part
from imgbatch.dataset.shards import listed_rows
from imgbatch.errors import ImgbatchError, PoisonError, SourceError
from imgbatch.examine import Examiner
from imgbatch.lanes import Lanes
from imgbatch.media.gate import ByteGate
from imgbatch.media.heap import bound_heap
from imgbatch.messages import Finished, Job, Task, Tick
from imgbatch.models import weights
from imgbatch.observe.logs import LogFile, WarningLines, logger
from imgbatch.quarantine import poisoned
from imgbatch.sources import fetch, patience, read_stream
from imgbatch.storage.access import adopt
from imgbatch.tables import table_specs
from imgbatch.timings import Clock, Timings
from imgbatch.watch import Watch, peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from imgbatch.analyzers import Row
    from imgbatch.carry import Shift
    from imgbatch.dataset import Part
    from imgbatch.dataset.plan import Work
    from imgbatch.examine import Examined
    from imgbatch.lanes import Fetcher
    from imgbatch.media import Blob
    from imgbatch.records import Shard, Source
    from imgbatch.watch import WorkerLostError

T = TypeVar("T")

# The stages that are not the decoding threads'.
WRITING = ("rows", "write")
TICK_SECONDS = 0.5


class Worker:
    """Threads, analyzers and a log for one process. Tasks may run in it side by side."""

    def __init__(self, job: Job, name: str) -> None:
        # Each decoding thread is one lane; OpenCV's and BLAS's own threads would fight with them.
        cv2.setNumThreads(1)
        threadpoolctl.threadpool_limits(1)
        bound_heap()
        self._job = job
        adopt(job.access, job.limits)
        weights.adopt(job.limits)
        self._dataset = attempt(partial(Dataset.open, job.dataset), patience(job.limits))
        self._specs = {spec.name: spec for spec in table_specs(job.recipe)}
        self._file = LogFile(self._dataset.store, job.run, name)
        self._log = logger(self._file, run=job.run, worker=name)
        self._log.info("worker.started", host=socket.gethostname(), pid=os.getpid())
        self._warnings = WarningLines(self._log)
        self._warnings.install()
        limits = job.limits
        self._watch = Watch(source_seconds=limits.source_seconds, memory=limits.worker_memory)
        self._ended = threading.Event()
        self._clock = Clock(limits.threads)
        gate = ByteGate(limits.decoded_bytes)
        self._examiner = Examiner(job.recipe, gate, self._log, self._watch)
        self._on_gpu = on_gpu(job.recipe.analyzers)
        self._fetchers = ThreadPoolExecutor(job.limits.fetch_threads, "fetch")
        # Who waits for a bucket lets others work. A disk is quicker than handing over to a thread:
        # four tables of two shards at once took 40 ms in eight threads and 20 in two (1,000 rows).
        is_folder = self._dataset.store.root.startswith("file:")
        self._side_by_side = map if is_folder else self._fetchers.map
        self._lanes = Lanes(limits)

    def close(self) -> None:
        """End the threads and write the rest of the log."""
        self._ended.set()
        self._fetchers.shutdown(cancel_futures=True)
        self._lanes.close()
        self._warnings.uninstall()
        self._log.info("worker.ended", peak_bytes=peak_memory())
        self._file.close()

    def guard(self) -> WorkerLostError | None:
        """Wait until a source overruns a limit; None at the end. For who may end this process."""
        return self._watch.wait(self._ended)

    def work(self, task: Task) -> Iterator[Tick | Finished]:
        """Do a task; yields progress, and each shard as soon as its parts are written.

        Raises:
            StorageError: none of a shard's sources could be fetched, or a part not be written.
        """
        with self._clock.task():
            yield from self._task(task)

    def _task(self, task: Task) -> Iterator[Tick | Finished]:
        shifts = [self._look(work) for work in task.works]
        if task.only is not None:
            shifts = [shift.only(task.only) for shift in shifts]
        given = {s.work.shard.name: poisoned(s, task.poisons) for s in shifts}
        stream = None
        if archive := task.works[0].shard.stream:
            wanted = [
                shift.sources[place]
                for shift in shifts
                for place in shift.places
                if _to_fetch(shift.sources[place], given[shift.work.shard.name])
            ]
            shards = {
                s.source_id: shift.work.shard for shift in shifts for s in shift.sources.values()
            }

            def report(source: Source, number: int, error: ImgbatchError) -> None:
                shard = shards.get(source.source_id, task.works[0].shard)
                self._retried(shard, source, number, error)

            stream = read_stream(archive, wanted, limits=self._job.limits, report=report)
        for shift in shifts:
            shard = shift.work.shard
            fetcher = partial(self._fetch, shard, stream=stream, given=given[shard.name])
            yield from self._shard(shift, fetcher, write=task.only is None)

    def _shard(self, shift: Shift, fetcher: Fetcher, *, write: bool) -> Iterator[Tick | Finished]:
        start = time.perf_counter()
        shard = shift.work.shard
        rows = self._examiner.shard(shift)
        timings = Timings()
        done: list[Examined] = []
        tick, ticked = time.monotonic(), 0
        for examined in self._lanes.examined(shift, rows.examine, fetcher):
            done.append(examined)
            timings.merge(examined.stages)
            self._log_failed(shard, examined)
            if time.monotonic() - tick >= TICK_SECONDS:
                yield _tick(done[ticked:], self._clock.lap(), self._on_gpu)
                tick, ticked = time.monotonic(), len(done)
        yield _tick(done[ticked:], self._clock.lap(), self._on_gpu)
        with timings.stage("rows"), self._watch.over(shard.name, None, 0):
            computed = rows.tables(done)
        if not write:
            return
        check_outage(shard, [e.outcome for e in done], at_least=self._job.limits.outage_sources)
        with timings.stage("write"):
            written = list(self._side_by_side(partial(self._write, shift), computed.items()))
        stages = timings.seconds()
        rows_of = {part.table: whole for part, whole in written}
        outcomes = rows_of.get(OUTCOMES)
        finished = Finished(
            shard=shard,
            parts=tuple(part for part, _ in written),
            outcomes=_outcomes(done),
            pictures=sum(e.outcome.n_pictures for e in done),
            bytes=_bytes(done),
            seconds=round(time.perf_counter() - start, 6),
            stages=stages,
            failed=None if outcomes is None else failed_in(outcomes),
            counts=() if outcomes is None else counts_of(outcomes),
        )
        self._log_shard(finished)
        yield finished
        spent = {name: stages[name] for name in WRITING}
        yield Tick({}, 0, stages=spent, threads=self._clock.lap())

    def _look(self, work: Work) -> Shift:
        def read() -> Shift:
            return look(self._dataset, work, listed_rows(self._dataset, work.shard))

        return self._tried(read, work.shard, MANIFEST)

    def _write(self, shift: Shift, table: tuple[str, list[Row]]) -> tuple[Part, pa.Table]:
        name, computed = table
        shard, spec = shift.work.shard, self._specs[name]
        read = partial(whole, self._dataset, shift, spec, computed)
        rows = self._tried(read, shard, name)
        write = partial(write_part, self._dataset.store, spec, shard.label, rows)
        return self._tried(write, shard, name), rows

    def _tried(self, call: Callable[[], T], shard: Shard, table: str) -> T:
        """Read or write parts of a shard, as often as patience allows."""

        def report(number: int, error: ImgbatchError) -> None:
            said = {"shard": shard.label, "table": table, "attempt": number}
            self._log.warning("part.retried", error=type(error).__name__, **said)

        return attempt(call, patience(self._job.limits), report)

    def _fetch(
        self,
        shard: Shard,
        source: Source,
        *,
        stream: Iterator[tuple[Source, Blob | SourceError]] | None,
        given: Mapping[str, PoisonError],
    ) -> Callable[[], Blob] | None:
        if source.verdict is not None:
            return None
        if poison := given.get(source.source_id):
            said = {"source": source.source_id, "error": poison.code}
            self._log.error("source.quarantined", **said, shard=shard.label)
            return partial(_given, poison)
        if stream is not None:
            came, blob = next(stream)
            assert came == source, "a stream gives exactly what was asked for, in order"
            return partial(_given, blob)
        report = partial(self._retried, shard)
        if source.address.startswith("file:"):
            # The page cache is quicker than handing over to another thread.
            return partial(fetch, source, limits=self._job.limits, report=report)
        return self._fetchers.submit(fetch, source, limits=self._job.limits, report=report).result

    def _retried(self, shard: Shard, source: Source, number: int, error: ImgbatchError) -> None:
        code = error.code if isinstance(error, SourceError) else type(error).__name__
        said = {"source": source.source_id, "attempt": number, "error": code}
        self._log.warning("fetch.retried", **said, shard=shard.label)

    def _log_failed(self, shard: Shard, examined: Examined) -> None:
        """Log a failure with its seconds, and without its message: that may hold a name."""
        if examined.outcome.status == "failed":
            said = {"source": examined.source.source_id, "shard": shard.label}
            error, stages = examined.outcome.error_class, examined.stages
            self._log.warning("source.failed", error=error, stages=stages, **said)

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


def _to_fetch(source: Source, given: Mapping[str, PoisonError]) -> bool:
    return source.verdict is None and source.source_id not in given


def _given(blob: Blob | SourceError) -> Blob:
    if isinstance(blob, SourceError):
        raise blob
    return blob


def _outcomes(done: list[Examined]) -> dict[str, int]:
    return dict(Counter(e.outcome.error_class or "ok" for e in done))


def _bytes(done: list[Examined]) -> int:
    return sum(e.source.size for e in done if e.source.verdict is None)


def _tick(done: list[Examined], threads: float, gpu_analyzers: frozenset[str]) -> Tick:
    stages = Timings()
    for examined in done:
        stages.merge(examined.stages)
    pictures = sum(e.outcome.n_pictures for e in done)
    spent = stages.seconds()
    gpu = {name: spent[name] for name in gpu_analyzers & spent.keys()}
    return Tick(_outcomes(done), pictures, _bytes(done), spent, threads, gpu)
