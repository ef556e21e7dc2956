"""One source's bytes to its outcome, and its pictures to the analyzers' rows."""

from __future__ import annotations

import contextlib
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch import analyzers, media
from imgbatch.dataset import SOURCES
from imgbatch.errors import RunError, SourceError
from imgbatch.outcomes import decided, failure, not_media, source_row
from imgbatch.records import REGIONS, Outcome, analyzer_of
from imgbatch.rows import PictureRows, SequenceRows, missing, region_rows
from imgbatch.sources import claims_media, claims_video, is_apple_double, is_sidecar
from imgbatch.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from structlog.typing import FilteringBoundLogger

    from imgbatch.analyzers import Row
    from imgbatch.carry import Shift
    from imgbatch.media import Blob, Gate
    from imgbatch.records import Source
    from imgbatch.rows import Copy
    from imgbatch.settings import MediaSettings, Recipe
    from imgbatch.watch import Watch


@dataclass(frozen=True, slots=True)
class Examined:
    """A source that was read, with its outcome and the seconds that each stage took.

    Attributes:
        place: its place in the shard.
    """

    place: int
    source: Source
    outcome: Outcome
    stages: dict[str, float]


class Examiner:
    """A worker's analyzers, made once, and what they share."""

    def __init__(self, recipe: Recipe, gate: Gate, log: FilteringBoundLogger, watch: Watch) -> None:
        self._media = recipe.media
        self._gate = gate
        self._log = log
        self._watch = watch
        self._modules = {name: analyzers.load(name) for name in recipe.analyzers}
        self._analyzers = {
            name: module.Analyzer(recipe.analyzers[name]) for name, module in self._modules.items()
        }
        needs = {
            name: analyzers.needs_of(module, recipe.analyzers[name])
            for name, module in self._modules.items()
        }
        self._batches = {name: need.batch for name, need in needs.items()}
        self._full_size = {name: need.copies for name, need in needs.items() if need.full_size}
        self._locks = {name: threading.Lock() for name in self._modules}

    def shard(self, shift: Shift) -> ShardRows:
        """Return a place for the rows of one shard, for the tables that are to do."""
        names = {analyzer_of(name) for name in shift.work.tables if name != SOURCES}
        log = self._log.bind(shard=shift.work.shard.label)
        rows = {name: self._rows(name, log) for name in self._modules if name in names}
        return ShardRows(
            rows,
            shift,
            self._media,
            self._gate,
            log,
            self._watch,
            full_size=self._full_size,
        )

    def _rows(self, name: str, log: FilteringBoundLogger) -> PictureRows | SequenceRows:
        module = self._modules[name]

        def report(source: Source, error: Exception) -> None:
            log_error(log, source, error, stage=name)

        if module.GRAIN == "sequence":
            return SequenceRows(self._analyzers[name], report=report)
        return PictureRows(
            self._analyzers[name],
            batch=self._batches[name],
            infer_lock=self._locks[name],
            report=report,
        )


class ShardRows:
    """The rows of one shard in the making; `examine` is called from several threads.

    The same bytes twice in a shard are decoded once: who comes second waits for the first's outcome
    and gets copies of its rows.

    Args:
        full_size: the analyzers that see pictures in full size too, and how many copies each makes.
    """

    def __init__(
        self,
        rows: dict[str, PictureRows | SequenceRows],
        shift: Shift,
        settings: MediaSettings,
        gate: Gate,
        log: FilteringBoundLogger,
        watch: Watch,
        *,
        full_size: Mapping[str, float],
    ) -> None:
        self._rows = rows
        self._full_size = full_size
        self._shift = shift
        self._settings = settings
        self._gate = gate
        self._log = log
        self._watch = watch
        self._firsts: dict[Hashable, _First] = {}
        self._copies: list[Copy] = []

    def examine(self, place: int, source: Source, fetch: Callable[[], Blob] | None) -> Examined:
        """Decode the source at that place in the shard and show its pictures to the analyzers.

        Args:
            place: the source's place in the shard: rows come out in that order.
            source: what is examined.
            fetch: gives its bytes, or raises SourceError; None for a source that the listing
                already decided.
        """
        timings = Timings()
        try:
            if fetch is None:
                outcome = decided(source)
            else:
                with timings.stage("fetch"):
                    blob = fetch()
                # Its time begins when its bytes are here: a slow network is no fault of a source.
                with self._watch.over(self._shift.work.shard.name, place, source.size):
                    outcome = self._read(place, source, blob, timings)
        except SourceError as error:
            outcome = failure(source, error.code, str(error))
        except RunError:
            raise  # a full disk is no fault of this source
        except Exception as error:  # noqa: BLE001 - nothing that a file holds may end a run
            log_error(self._log, source, error, stage="decode")
            outcome = failure(source, "decode.unexpected", f"{type(error).__name__}: {error}")
        return Examined(place, source, outcome, timings.seconds())

    def _read(self, place: int, source: Source, blob: Blob, timings: Timings) -> Outcome:
        with timings.stage("hash"):
            sha256 = blob.sha256()
        # All that an outcome depends on, apart from the keys.
        key = (sha256, _claims(source, blob), self._shift.needs[place])
        mine = _First(place)
        # One step of the interpreter each, so no lock is needed: it would be waited for.
        first = self._firsts.setdefault(key, mine)
        if first is not mine:
            self._copies.append((place, source, first.place))
            return first.result()
        try:
            outcome = self._decode(place, source, blob, timings, sha256)
        except SourceError as error:
            # The bytes were there: their digest tells one broken file from another.
            outcome = failure(source, error.code, str(error), sha256)
        except BaseException as error:
            mine.done(error)
            raise
        mine.done(outcome)
        return outcome

    def _decode(
        self, place: int, source: Source, blob: Blob, timings: Timings, sha256: str
    ) -> Outcome:
        decoder = media.decoder(blob.head) if blob.size else None
        if decoder is None:
            return not_media(source, blob, sha256)
        needs = self._shift.needs[place]
        copies = [some for name, some in self._full_size.items() if name in needs]
        with timings.stage("decode"):
            opened = decoder.decode(
                blob,
                self._settings,
                self._gate,
                full_size=bool(copies),
                copies=max(copies, default=0.0),
            )
        mine = [(name, rows) for name, rows in self._rows.items() if name in needs]
        count = 0
        with contextlib.closing(opened.pictures) as pictures:
            while True:
                with timings.stage("decode"):
                    picture = next(pictures, None)
                if picture is None:
                    break
                count += 1
                for name, rows in mine:
                    with timings.stage(name):
                        rows.take(place, source, picture)
        for _, rows in mine:
            if isinstance(rows, SequenceRows):
                rows.end(place, source)
        return Outcome(
            status="ok",
            kind=opened.facts.kind,
            notes=tuple(opened.notes),
            facts=opened.facts,
            n_pictures=count,
            sha256=sha256,
        )

    def tables(self, done: list[Examined]) -> dict[str, list[Row]]:
        """Return the computed rows of each table, once all was examined, in the shard's order."""
        found = {name: self._table(name, rows, done) for name, rows in self._rows.items()}
        for name in self._shift.work.tables:
            if name.endswith(REGIONS):
                found[name] = region_rows(found[analyzer_of(name)])
        if SOURCES in self._shift.work.tables:
            new = [e for e in done if SOURCES in self._shift.needs[e.place]]
            found[SOURCES] = [source_row(e.source, e.outcome) for e in new]
        return found

    def _table(
        self, name: str, rows: PictureRows | SequenceRows, done: list[Examined]
    ) -> list[Row]:
        computed = rows.finish(self._copies)
        found: list[Row] = []
        for examined in done:
            place, outcome = examined.place, examined.outcome
            if name not in self._shift.needs[place]:
                continue
            known = self._shift.known[place]
            if known and (outcome.status, outcome.n_pictures) != (known.status, known.n_pictures):
                # The table of outcomes says that it is ok: the other tables must not lack its rows.
                pictures = known.n_pictures if isinstance(rows, PictureRows) else None
                found += missing(examined.source, pictures, outcome.error_class or "fetch.changed")
            elif outcome.status == "ok":
                found += computed.get(place, [])
        return found


class _First:
    """The first source of a shard with certain bytes; others with the same wait for its outcome.

    A plain lock: a Future is ten times as dear, and hardly any source is waited for.
    """

    __slots__ = ("_came", "_under_way", "place")

    def __init__(self, place: int) -> None:
        self.place = place
        self._under_way = threading.Lock()
        self._under_way.acquire()
        self._came: Outcome | BaseException | None = None

    def done(self, came: Outcome | BaseException) -> None:
        self._came = came
        self._under_way.release()

    def result(self) -> Outcome:
        with self._under_way:
            if isinstance(self._came, BaseException):
                raise self._came
            assert self._came is not None, "whoever is first lets go when it is done"
            return self._came


def _claims(source: Source, blob: Blob) -> tuple[bool, bool, bool, bool]:
    """Return what a source's name says that it is: what its bytes come to depends on that too."""
    address = source.address
    return (
        claims_media(address),
        claims_video(address),
        is_sidecar(address),
        is_apple_double(address, blob.head),
    )


def log_error(log: FilteringBoundLogger, source: Source, error: Exception, *, stage: str) -> None:
    """Log an unexpected error with its stack, and without its message: that may hold a name."""
    log.error(
        "source.error",
        source=source.source_id,
        stage=stage,
        error=type(error).__name__,
        stack="".join(traceback.format_tb(error.__traceback__)),
    )
