"""Pictures of one shard to the rows of one analyzer's table, from several threads, in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from imgbatch.errors import DeviceError, RunError
from imgbatch.models.batches import device_lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imgbatch.analyzers import PictureAnalyzer, Row, SequenceAnalyzer, Strip
    from imgbatch.records import Picture, Source

OK: Row = {"status": "ok", "error_class": None}
# A batch is cut short where its prepared pictures would take more memory than this.
WAITING_BYTES = 16 * 2**20
FAILED: Row = {"status": "failed", "error_class": "analyze.failed"}

PICTURE_KEYS = ("source_id", "version", "picture_id", "frame", "time")

# A place in the shard, the source there, and the place of one with the same bytes.
Copy = tuple[int, "Source", int]


class PictureRows:
    """Rows of a picture analyzer: one per picture, whatever the batches they were computed in.

    Args:
        infer_lock: shared by all shards of a worker: `infer` is never called twice at once.
        report: told of each analyzer failure.
    """

    def __init__(
        self,
        analyzer: PictureAnalyzer,
        *,
        batch: int,
        infer_lock: threading.Lock,
        report: Callable[[Source, Exception], None],
    ) -> None:
        self._analyzer = analyzer
        self._batch = batch
        self._infer_lock = infer_lock
        self._report = report
        self._lock = threading.Lock()
        self._waiting: list[tuple[tuple[int, int], Source, Row, Any]] = []
        self._bytes = 0
        self._rows: dict[tuple[int, int], Row] = {}

    def take(self, index: int, source: Source, picture: Picture) -> None:
        """Take a picture of the source at that place in the shard; a full batch is computed."""
        keys = picture_keys(source, picture)
        try:
            prepared = self._analyzer.prepare(picture)
        except RunError:
            raise  # weights that do not fit, a full disk: no fault of this picture
        except Exception as error:  # noqa: BLE001 - nothing a picture holds may end a run
            self._failed((index, picture.frame), source, keys, error)
            return
        with self._lock:
            self._waiting.append(((index, picture.frame), source, keys, prepared))
            self._bytes += getattr(prepared, "nbytes", 0)
            if len(self._waiting) < self._batch and self._bytes < WAITING_BYTES:
                return
            batch, self._waiting, self._bytes = self._waiting, [], 0
        self._infer(batch)

    def _infer(self, batch: Sequence[tuple[tuple[int, int], Source, Row, Any]]) -> None:
        try:
            with self._infer_lock:
                rows = self._analyzer.infer([prepared for *_, prepared in batch])
        except RunError:
            raise
        except Exception as error:
            if device_lost(error):
                raise DeviceError(f"{type(error).__name__}: {error}") from error
            if len(batch) > 1:
                # One bad picture must not take its neighbours along.
                for item in batch:
                    self._infer([item])
                return
            place, source, keys, _ = batch[0]
            self._failed(place, source, keys, error)
            return
        for (place, _, keys, _), row in zip(batch, rows, strict=True):
            self._rows[place] = keys | OK | row

    def _failed(self, place: tuple[int, int], source: Source, keys: Row, error: Exception) -> None:
        self._report(source, error)
        self._rows[place] = keys | FAILED

    def finish(self, copies: Iterable[Copy]) -> dict[int, list[Row]]:
        """Compute what still waits; return the rows of each source, by its place in the shard."""
        batch, self._waiting = self._waiting, []
        if batch:
            self._infer(batch)
        found: dict[int, list[Row]] = defaultdict(list)
        for (index, _), row in sorted(self._rows.items()):
            found[index].append(row)
        for index, source, first in copies:
            if first in found:
                found[index] = [copied(row, source) for row in found[first]]
        return found


class SequenceRows:
    """Rows of a sequence analyzer: one per source, from all its frames in order."""

    def __init__(
        self, analyzer: SequenceAnalyzer, *, report: Callable[[Source, Exception], None]
    ) -> None:
        self._analyzer = analyzer
        self._report = report
        self._strips: dict[int, Strip | None] = {}
        self._rows: dict[int, Row] = {}

    def take(self, index: int, source: Source, picture: Picture) -> None:
        """Take the next frame of the source at that place in the shard."""
        if index not in self._strips:
            self._strips[index] = self._analyzer.start()
        strip = self._strips[index]
        if strip is None:
            return
        try:
            strip.see(picture)
        except Exception as error:  # noqa: BLE001 - nothing a picture holds may end a run
            self._report(source, error)
            self._strips[index] = None

    def end(self, index: int, source: Source) -> None:
        """Make the row of a source whose frames were all seen, and let go of its state."""
        keys = {"source_id": source.source_id, "version": source.version}
        strip = self._strips.pop(index, None)
        try:
            self._rows[index] = keys | FAILED if strip is None else keys | OK | strip.row()
        except Exception as error:  # noqa: BLE001 - as above
            self._report(source, error)
            self._rows[index] = keys | FAILED

    def finish(self, copies: Iterable[Copy]) -> dict[int, list[Row]]:
        """Return the row of each source, by its place in the shard."""
        found = {index: [row] for index, row in self._rows.items()}
        for index, source, first in copies:
            if first in found:
                found[index] = [copied(row, source) for row in found[first]]
        return found


def picture_keys(source: Source, picture: Picture) -> Row:
    """Return the keys that every picture table has."""
    return {
        "source_id": source.source_id,
        "version": source.version,
        "picture_id": f"{source.source_id}-{picture.frame}",
        "frame": picture.frame,
        "time": picture.time,
    }


def copied(row: Row, source: Source) -> Row:
    """Return a row with the keys of another source that has the same bytes."""
    keys = {"source_id": source.source_id, "version": source.version}
    if "picture_id" in row:
        keys["picture_id"] = f"{source.source_id}-{row['frame']}"
    return row | keys


def region_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of a region table; the rows of the main table get their count of them.

    Args:
        rows: of the main table; in those that are ok their analyzer put `regions`.
    """
    found: list[Row] = []
    for row in rows:
        if row["status"] != "ok":
            continue
        row["n_regions"] = len(row["regions"])
        keys = {name: row[name] for name in PICTURE_KEYS}
        for number, region in enumerate(row["regions"]):
            place = {"region_id": f"{row['picture_id']}-{number}", "region": number}
            found.append(keys | place | region)
    return found


def missing(source: Source, n_pictures: int | None, error_class: str) -> list[Row]:
    """Return the rows of a source that is known to be ok and could not be read again.

    Args:
        source: it.
        n_pictures: how many pictures it is known to have; None for a table with a row per source.
        error_class: why it could not be read.
    """
    keys = {"source_id": source.source_id, "version": source.version}
    failed = FAILED | {"error_class": error_class}
    if n_pictures is None:
        return [keys | failed]
    return [
        keys | {"picture_id": f"{source.source_id}-{frame}", "frame": frame, "time": None} | failed
        for frame in range(n_pictures)
    ]
