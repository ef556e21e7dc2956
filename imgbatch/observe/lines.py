"""The log objects of a run enter; its lines leave in time order, few of them in memory at a time.

A worker's lines lie in segments, `logs/<run>/<worker>-<n>.jsonl`, each put again while it grows:
what was read of one stays as it was, and only what is behind it is new.
"""

from __future__ import annotations

import heapq
import io
import json
import time
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from imgbatch.observe.logs import FLUSH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from imgbatch.dataset import Dataset
    from imgbatch.storage import Entry, Store

LEVELS = ("debug", "info", "warning", "error", "critical")
# What is read ahead of all workers together, and of one at least and at most.
MEMORY, LEAST, MOST = 64 * 2**20, 2**14, 2**20
FETCHES = 16
# Threads of a worker may hand their lines over in another order than they timed them.
SHUFFLED = 32
# Clocks of workers may differ by so much before lines of two come in the wrong order.
SKEW_SECONDS = 2.0
# Lines that wait for late ones of other workers: in seconds, and in number.
WINDOW_SECONDS = FLUSH_SECONDS + SKEW_SECONDS
HELD = 20_000
POLL_SECONDS = 2.0


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One line: when it was said, its JSON, and what that holds."""

    time: str
    text: str
    said: dict[str, Any] = field(compare=False)

    @classmethod
    def of(cls, data: bytes) -> Line:
        """Read a line; one that cannot be read says so."""
        text = data.decode("utf-8", "replace")
        try:
            said = json.loads(text)
            return cls(str(said["timestamp"]), text, said)
        except (ValueError, KeyError, TypeError):
            said = {"level": "error", "event": "log.unreadable", "text": text}
            return cls("", text, said)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are asked for; all by default.

    Attributes:
        level: the least one.
        sources: only lines that name one of these ids.
        classes: only lines whose `error` is of such a class, with the wild cards of a shell.
    """

    level: str = "debug"
    sources: frozenset[str] = frozenset()
    classes: tuple[str, ...] = ()

    def takes(self, line: Line) -> bool:
        """Return whether a line is asked for."""
        said = line.said
        level = str(said.get("level", "info"))
        if level in LEVELS and LEVELS.index(level) < LEVELS.index(self.level):
            return False
        if self.sources and said.get("source") not in self.sources:
            return False
        error = str(said.get("error", ""))
        return not self.classes or any(fnmatchcase(error, pattern) for pattern in self.classes)


ALL = Wanted()


def log_lines(dataset: Dataset, run: str) -> Iterator[dict[str, Any]]:
    """Yield what all lines of a run say, by time."""
    return (line.said for line in merged(dataset.store, run))


def merged(store: Store, run: str, wanted: Wanted = ALL) -> Iterator[Line]:
    """Yield the lines of all workers of a run by time: as many streams as there were workers."""
    streams = _streams(store, run).values()
    # Of each worker one piece is being read while the one before it is used.
    size = max(LEAST, min(MOST, MEMORY // 2 // max(1, len(streams))))
    pool = ThreadPoolExecutor(FETCHES)
    try:
        lines = [_ordered(_lines(_pieces(store, entries, size, pool))) for entries in streams]
        yield from filter(wanted.takes, heapq.merge(*lines))
    finally:
        pool.shutdown(cancel_futures=True)


def _streams(store: Store, run: str) -> dict[str, list[Entry]]:
    """Return the segments of each worker in order."""
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(_entries(store, run), key=attrgetter("name")):
        found[entry.name.rpartition("-")[0]].append(entry)
    return found


def _entries(store: Store, run: str) -> list[Entry]:
    try:
        return [entry for entry in store.list(f"logs/{run}") if entry.size]
    except FileNotFoundError:
        return []


def _pieces(
    store: Store, entries: Sequence[Entry], size: int, pool: ThreadPoolExecutor
) -> Iterator[bytes]:
    """Return a worker's log in pieces; the first is being read when this returns."""
    ranges = (
        (entry.name, start, min(size, entry.size - start))
        for entry in entries
        for start in range(0, entry.size, size)
    )

    def begin() -> Future[bytes] | None:
        wanted = next(ranges, None)
        return pool.submit(store.get_range, *wanted) if wanted else None

    return _read_ahead(begin(), begin)


def _read_ahead(
    first: Future[bytes] | None, begin: Callable[[], Future[bytes] | None]
) -> Iterator[bytes]:
    under_way = first
    while under_way is not None:
        piece, under_way = under_way.result(), begin()
        yield piece


def _lines(pieces: Iterable[bytes]) -> Iterator[Line]:
    rest = b""
    for piece in pieces:
        # Not split(): a list of all lines of a piece, for each of a thousand workers.
        for line in io.BytesIO(rest + piece):
            rest = b"" if line.endswith(b"\n") else line
            if not rest and line != b"\n":
                yield Line.of(line[:-1])
    if rest:
        yield Line.of(rest)


def _ordered(lines: Iterator[Line]) -> Iterator[Line]:
    held = list(islice(lines, SHUFFLED))
    heapq.heapify(held)
    for line in lines:
        yield heapq.heappushpop(held, line)
    while held:
        yield heapq.heappop(held)


class Tail:
    """The end of a run's log, and what comes behind it.

    Memory holds the last lines of each worker, then what waits for late lines of others.
    """

    def __init__(self, store: Store, run: str, wanted: Wanted = ALL) -> None:
        self._store = store
        self._run = run
        self._wanted = wanted
        self._seen: dict[str, int] = {}
        self._held: list[Line] = []
        # When lines came, by our steady clock, and the latest time that they bear.
        self._came: deque[tuple[float, str]] = deque()

    def last(self, count: int) -> list[Line]:
        """Return the last lines so far that are wanted."""
        streams = _streams(self._store, self._run)
        for entries in streams.values():
            self._seen |= {entry.name: entry.size for entry in entries}
        if not count:
            return []
        with ThreadPoolExecutor(FETCHES) as pool:
            found = pool.map(lambda entries: self._ends(entries, count), streams.values())
            lines: list[Line] = []
            for some in found:
                lines = heapq.nlargest(count, [*lines, *some])
        return sorted(lines)

    def _ends(self, entries: Sequence[Entry], count: int) -> list[Line]:
        """Return the last lines of one worker, read from the end."""
        found: list[Line] = []
        for entry in reversed(entries):
            start, size = entry.size, LEAST
            while start and len(found) < count:
                # A window that begins in the middle of a line is read again with the one before.
                begin = max(0, start - size)
                data = self._store.get_range(entry.name, begin, start - begin)
                cut = data.find(b"\n") + 1 if begin else 0
                if begin and cut in (0, len(data)):
                    size *= 2
                    continue
                found += filter(self._wanted.takes, _lines([data[cut:]]))
                start, size = begin + cut, min(2 * size, MOST)
            if len(found) >= count:
                break
        return heapq.nlargest(count, found)

    def follow(
        self, ended: Callable[[], bool], *, last: int | None = None, poll: float = POLL_SECONDS
    ) -> Iterator[Line]:
        """Yield what comes from here by time, until the run has ended; before it the `last` lines.

        A line waits until those of other workers that were said before it must have come too, also
        one of the last: what another worker said meanwhile may not be there yet. One that comes
        later still is yielded when it comes.
        """
        if last is not None:
            self._take(self.last(last))
        while True:
            over = ended()  # asked first: what was said before its end is read after
            yield from self._poll()
            if over:
                yield from self._ripe(None)
                return
            time.sleep(poll)

    def _poll(self) -> Iterator[Line]:
        grown = [e for e in _entries(self._store, self._run) if e.size > self._seen.get(e.name, 0)]
        with ThreadPoolExecutor(FETCHES) as pool:
            for at in range(0, len(grown), FETCHES):
                for lines in pool.map(self._news, grown[at : at + FETCHES]):
                    self._take(lines)
                    while len(self._held) > HELD:
                        yield heapq.heappop(self._held)
        said = datetime.now(UTC) - timedelta(seconds=WINDOW_SECONDS)
        until = said.isoformat()
        while self._came and time.monotonic() - self._came[0][0] >= WINDOW_SECONDS:
            until = max(until, self._came.popleft()[1])
        yield from self._ripe(until)

    def _news(self, entry: Entry) -> list[Line]:
        start = self._seen.get(entry.name, 0)
        data = self._store.get_range(entry.name, start, entry.size - start)
        self._seen[entry.name] = entry.size
        return list(filter(self._wanted.takes, _lines([data])))

    def _take(self, lines: list[Line]) -> None:
        for line in lines:
            heapq.heappush(self._held, line)
        if lines:
            self._came.append((time.monotonic(), max(lines).time))

    def _ripe(self, until: str | None) -> Iterator[Line]:
        while self._held and (until is None or self._held[0].time <= until):
            yield heapq.heappop(self._held)
