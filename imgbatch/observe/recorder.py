"""What a run's driver is told enters; its progress in the dataset leaves, every few seconds.

`runs/<run>/progress.json` is put whole by a thread of its own, so that it stays fresh while the
driver waits for workers or commits. The same thread looks whether somebody asked for the run's end
(`imgbatch.observe.cancel`); the driver hears of it from whatever it says next: CancelledError.

A store that fails never ends a run from here: the next put says how many came to nothing, and so
does the driver's log. A run that finds nothing to do and is quick about it leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from imgbatch.dataset import Dataset
from imgbatch.dataset.lock import this_machine
from imgbatch.errors import CancelledError, ImgbatchError
from imgbatch.observe.bound import bound, on_gpu
from imgbatch.observe.cancel import asked
from imgbatch.observe.logs import LogFile, logger
from imgbatch.observe.progress import Meter
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import FilteringBoundLogger

    from imgbatch.observe.progress import Advance, Crew
    from imgbatch.settings import Limits

# The rate is that of the last half minute or so.
RATE_SECONDS = 30.0
HOUR = 3600


class Watcher(Protocol):
    """Who is told while a run goes on; `imgbatch.observe.progress` has them."""

    def listing(self, found: int) -> None:
        """So many sources are listed so far."""

    def fetching(self, name: str, done: int, size: int) -> None:
        """So many bytes of a model's weights are here; of how many, 0 where nobody knows."""

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        """So much will be computed."""

    def tick(self, tick: Advance) -> None:
        """Sources were examined."""

    def crewed(self, crew: Crew) -> None:
        """So many workers are up."""


def name(run: str) -> str:
    """Return the name of the object that says how far a run is."""
    return f"runs/{run}/progress.json"


class Recorder:
    """A watcher that tells another one, and the dataset; to be used as a context.

    Every method that tells it something raises CancelledError once the run's end was asked for.

    Attributes:
        run: id of the run.
    """

    def __init__(self, url: str, run: str, *, limits: Limits, watcher: Watcher) -> None:
        self.run = run
        self._url = url
        self._store = open_store(url)
        self._limits = limits
        self._watcher = watcher
        self._meter = Meter()
        self._lock = threading.Lock()
        self._state = "listing"
        self._started = datetime.now(UTC)
        self._start = time.monotonic()
        self._listed = self._shards = self._shards_done = self._written = self._missed = 0
        self._worker_hours = 0.0
        self._counted = self._start
        self._rates: deque[tuple[float, int, int]] = deque()
        self._there = self._told = False
        self._cancelled: str | None = None
        self._file: LogFile | None = None
        self._log: FilteringBoundLogger | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say how the run ended, if anything was said of it before."""
        self.end(error)
        self._state = _end(error)  # another one, where the run's record could not be written
        if self._file or (self._told and error):
            self._put(error=type(error).__name__ if error else None)
        elif self._told:
            self._forget()

    def end(self, error: BaseException | None) -> str:
        """End the run's log, the first time; return finished, failed, interrupted or cancelled.

        To be called before anything says that the run has ended: whoever follows the log stops
        reading then.
        """
        if self._stop.is_set():
            return self._state
        self._stop.set()
        self._thread.join()
        self._state = _end(error)
        if self._log and self._file:
            said = {"state": self._state, "seconds": round(time.monotonic() - self._start, 3)}
            if error is None:
                self._log.info("run.ended", **said)
            else:
                self._log.error("run.ended", error=type(error).__name__, **said)
            with contextlib.suppress(ImgbatchError, OSError):  # as in `_put`
                self._file.close()
        return self._state

    def listing(self, found: int) -> None:
        """Sources are being listed."""
        self._listed = found
        self._watcher.listing(found)
        self._check()

    def fetching(self, name: str, done: int, size: int) -> None:
        """Weights come to this machine."""
        self._watcher.fetching(name, done, size)
        self._check()

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        """It is known what is to do: from here the run has a log, and its progress is told."""
        self._there = True
        with self._lock:
            self._state, self._shards = "planned", shards
            self._meter.begin(sources)
        if shards:  # else only parts that lie written are taken, or posts brought
            self._watcher.planned(shards=shards, sources=sources, note=note)
        self._file = LogFile(self._store, self.run, "driver")
        self._log = logger(self._file, run=self.run, worker="driver")
        tables = note.split(", ") if note else []
        self._log.info("run.planned", shards=shards, sources=sources, tables=tables)
        self._look()
        self._put()
        self._check()

    def tick(self, tick: Advance) -> None:
        """Sources were examined."""
        with self._lock:
            if self._state == "planned":
                self._state = "running"
                self._rates.clear()
            self._meter.add(tick)
        self._watcher.tick(tick)
        self._check()

    def crewed(self, crew: Crew) -> None:
        """Workers came up or were lost."""
        with self._lock:
            self._count_hours()
            lost = crew.lost - self._meter.lost
            self._meter.crewed(crew)
        if lost > 0 and self._log:
            self._log.warning("workers.lost", lost=crew.lost, alive=crew.alive)
        self._watcher.crewed(crew)
        self._check()

    def finished(self, written: int = 0) -> None:
        """A shard came back, with parts of so many bytes."""
        self._shards_done += 1
        self._written += written
        self._check()

    def committing(self) -> None:
        """All is computed; what waits is being committed."""
        self._state = "committing"

    def committed(self, parts: int) -> None:
        """So many parts were committed at once."""
        if self._log and parts:
            self._log.info("run.committed", parts=parts)

    @property
    def cost(self) -> float | None:
        """What the run has cost so far; None when no price is known."""
        limits = self._limits
        if not (limits.price_per_hour or limits.price_per_worker_hour):
            return None
        with self._lock:
            self._count_hours()
            hours = (time.monotonic() - self._start) / HOUR
            cost = hours * limits.price_per_hour + self._worker_hours * limits.price_per_worker_hour
        return round(cost, 4)

    def _count_hours(self) -> None:
        now = time.monotonic()
        self._worker_hours += self._meter.alive * (now - self._counted) / HOUR
        self._counted = now

    def _check(self) -> None:
        if self._cancelled:
            raise CancelledError(
                f"run {self.run} was cancelled {self._cancelled}; finished shards are committed"
            )

    def _keep(self) -> None:
        while not self._stop.wait(self._limits.progress_seconds):
            if self._began():
                self._look()
                self._put()

    def _began(self) -> bool:
        """Return whether there is a dataset to write into; make it once something is listed.

        Not before: a typing error in INPUT leaves nothing behind.
        """
        if not self._there and self._listed:
            # What is wrong with it the driver finds too, and says.
            with contextlib.suppress(ImgbatchError, OSError):
                Dataset.create(self._url)
                self._there = True
        return self._there

    def _look(self) -> None:
        if self._cancelled is None:
            try:
                self._cancelled = asked(self._store, self.run)
            except (ImgbatchError, OSError) as error:
                self._trouble(error)
            if self._cancelled and self._log:
                self._log.warning("run.cancelled", asked=self._cancelled)

    def _put(self, *, error: str | None = None) -> None:
        data = json.dumps(self.record() | {"error": error}, indent=1).encode()
        try:
            self._store.put(name(self.run), data)
            self._told = True
        except (ImgbatchError, OSError) as failed:
            self._trouble(failed)

    def _forget(self) -> None:
        """Leave nothing behind: there was nothing to do."""
        with contextlib.suppress(ImgbatchError, OSError):  # it says that nobody is at work
            self._store.delete(name(self.run))

    def _trouble(self, error: Exception) -> None:
        self._missed += 1
        if self._log:
            self._log.warning("progress.missed", error=type(error).__name__, missed=self._missed)

    def record(self) -> dict[str, Any]:
        """Return all that is known, as `progress.json` says it. Names no source."""
        cost = self.cost
        with self._lock:
            meter, rates = self._meter, self._rate()
            return {
                "run": self.run,
                "state": self._state,
                "written": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "every": self._limits.progress_seconds,
                "started": self._started.isoformat(timespec="seconds"),
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "machine": this_machine(),
                "seconds": round(time.monotonic() - self._start, 3),
                "listed": self._listed,
                "shards": self._shards_done,
                "of_shards": self._shards,
                **meter.record(),
                **rates,
                "bytes": meter.bytes,
                "bytes_written": self._written,
                "stages": {k: round(v, 3) for k, v in meter.stages.most_common()},
                "threads": round(meter.threads, 3),
                "bound": bound(meter.stages, meter.threads),
                "gpu": on_gpu(meter.stages, meter.gpu),
                "workers": {"alive": meter.alive, "lost": meter.lost},
                "cost": cost,
                "missed": self._missed,
            }

    def _rate(self) -> dict[str, float]:
        """Return how fast it was lately."""
        meter, now = self._meter, time.monotonic()
        self._rates.append((now, meter.pictures, meter.bytes))
        while len(self._rates) > 1 and now - self._rates[1][0] >= RATE_SECONDS:
            self._rates.popleft()
        since, pictures, size = self._rates[0]
        if now <= since or self._state != "running":
            spent = max(meter.spent, 1e-9)
            return {"bytes_per_second": round(meter.bytes / spent, 1)}
        return {
            "pictures_per_second": round((meter.pictures - pictures) / (now - since), 1),
            "bytes_per_second": round((meter.bytes - size) / (now - since), 1),
        }


def _end(error: BaseException | None) -> str:
    if error is None:
        return "finished"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "cancelled" if isinstance(error, CancelledError) else "failed"
