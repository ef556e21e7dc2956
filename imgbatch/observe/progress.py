"""Shows a run while it goes: a live bar on a terminal, lines in a pipe, JSON on request."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_SECONDS = 5.0


class Advance(Protocol):
    """What came of some sources."""

    @property
    def outcomes(self) -> dict[str, int]:
        """How many came to `ok`, or to which error class."""

    @property
    def pictures(self) -> int:
        """How many pictures they gave."""

    @property
    def bytes(self) -> int:
        """How many bytes were read for them."""

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage, summed over threads."""

    @property
    def threads(self) -> float:
        """Seconds that the decoding threads had."""

    @property
    def gpu(self) -> dict[str, float]:
        """Those of the stages that belong to analyzers that compute on a GPU."""


class Crew(Protocol):
    """Who is at work."""

    @property
    def alive(self) -> int:
        """Workers that are up."""

    @property
    def lost(self) -> int:
        """Workers that were lost so far."""


class Meter:
    """Counts what was done, and how fast."""

    def __init__(self) -> None:
        self.total = 0
        self.outcomes: Counter[str] = Counter()
        self.pictures = self.bytes = 0
        self.stages: Counter[str] = Counter()
        self.gpu: Counter[str] = Counter()
        self.threads = 0.0
        self.alive = self.lost = 0
        self._start = time.monotonic()

    def begin(self, total: int) -> None:
        """Start the clock."""
        self.total = total
        self._start = time.monotonic()

    def add(self, advance: Advance) -> None:
        """Count."""
        if not self.outcomes and not advance.outcomes:
            # An empty tick says that workers are up: the rate is theirs, not their start-up's.
            self._start = time.monotonic()
        self.outcomes.update(advance.outcomes)
        self.pictures += advance.pictures
        self.bytes += advance.bytes
        self.stages.update(advance.stages)
        self.gpu.update(advance.gpu)
        self.threads += advance.threads

    def crewed(self, crew: Crew) -> None:
        """Take note of who is at work."""
        self.alive, self.lost = crew.alive, crew.lost

    @property
    def done(self) -> int:
        """Sources that have an outcome."""
        return self.outcomes.total()

    @property
    def spent(self) -> float:
        """Seconds since workers were up."""
        return time.monotonic() - self._start

    @property
    def rate(self) -> float:
        """Pictures per second; 0 before there is one."""
        return self.pictures / self.spent if self.spent > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds that are left, None when nobody can tell yet."""
        spent, left = self.spent, self.total - self.done
        return spent / self.done * left if self.done > 0 and spent > 1 else None

    def _told(self) -> dict[str, int]:
        # What a lost worker told is taken back, and told again by another one.
        return {name: count for name, count in self.outcomes.items() if count}

    def record(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "sources": self.done,
            "of": self.total,
            "pictures": self.pictures,
            "pictures_per_second": round(self.rate, 1),
            "outcomes": self._told(),
            "eta_seconds": None if self.eta is None else round(self.eta, 1),
        }

    def line(self) -> str:
        """Return it as one line of text."""
        other = ", ".join(f"{n} {name}" for name, n in self._told().items() if name != "ok")
        lost = f", {self.lost} workers lost" if self.lost else ""
        eta = "" if self.eta is None else f", {clock(self.eta)} left"
        return (
            f"{self.done:,} of {self.total:,} sources, {self.rate:,.0f} pictures/s"
            f"{'; ' + other if other else ''}{lost}{eta}"
        )


def fetched(name: str, done: int, size: int) -> str:
    """Return how much of some weights is here, as one line of text."""
    of = f" of {size / 1e6:,.0f}" if size else ""
    return f"fetching {name}: {done / 1e6:,.0f}{of} MB"


class Lines:
    """For pipes and log files: a plain line every few seconds, or JSON lines."""

    def __init__(self, stream: TextIO, *, as_json: bool, every: float = LINE_SECONDS) -> None:
        self._stream = stream
        self._json = as_json
        self._every = every
        self._meter = Meter()
        self._last = time.monotonic()

    def listing(self, found: int) -> None:
        """Tell how many sources are listed, now and then."""
        if time.monotonic() - self._last >= self._every:
            self._say("listing", {"sources": found}, f"listing: {found:,} sources")

    def fetching(self, name: str, done: int, size: int) -> None:
        """Tell how much of some weights is here, now and then."""
        if time.monotonic() - self._last >= self._every:
            record = {"weights": name, "bytes": done, "of": size}
            self._say("fetching", record, fetched(name, done, size))

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        """Tell what will run."""
        self._meter.begin(sources)
        record = {"shards": shards, "sources": sources, "tables": note.split(", ")}
        self._say("planned", record, f"to do: {sources:,} sources in {shards:,} shards ({note})")

    def tick(self, tick: Advance) -> None:
        """Tell how far it is, now and then."""
        self._meter.add(tick)
        if self._meter.done and time.monotonic() - self._last >= self._every:
            self._say("progress", self._meter.record(), self._meter.line())

    def crewed(self, crew: Crew) -> None:
        """Tell when workers were lost."""
        lost = crew.lost - self._meter.lost
        self._meter.crewed(crew)
        if lost > 0:
            record = {"alive": crew.alive, "lost": crew.lost}
            self._say("workers", record, f"workers lost: {crew.lost}; at work: {crew.alive}")

    def close(self) -> None:
        """Nothing is left open."""

    def _say(self, event: str, record: dict[str, Any], line: str) -> None:
        self._last = time.monotonic()
        text = json.dumps({"event": event, **record}) if self._json else line
        self._stream.write(text + "\n")
        self._stream.flush()


class Bar:
    """For a terminal: a live bar with rate, failures by class, and the time that is left."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._progress: Progress | None = None

    def _show(self) -> Progress:
        if self._progress is None:
            from rich.console import Console  # noqa: PLC0415 - only terminals need it
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn  # noqa: PLC0415 - for a terminal alone

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[line]}"),
                console=Console(stderr=True),
            )
            self._progress.add_task("listing", total=None, line="")
            self._progress.start()
        return self._progress

    def listing(self, found: int) -> None:
        """Show how many sources are listed."""
        progress = self._show()
        progress.update(progress.task_ids[0], line=f"{found:,} sources")

    def fetching(self, name: str, done: int, size: int) -> None:
        """Show how much of some weights is here."""
        progress = self._show()
        progress.update(progress.task_ids[0], line=fetched(name, done, size))

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        """Start the bar."""
        self._meter.begin(sources)
        progress = self._show()
        line = f"{sources:,} sources in {shards:,} shards ({note})"
        progress.update(progress.task_ids[0], description="starting", total=sources, line=line)

    def tick(self, tick: Advance) -> None:
        """Move the bar."""
        self._meter.add(tick)
        progress = self._show()
        progress.update(
            progress.task_ids[0],
            description="running",
            completed=self._meter.done,
            line=self._meter.line(),
        )

    def crewed(self, crew: Crew) -> None:
        """Keep in mind who is at work."""
        self._meter.crewed(crew)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._progress is not None:
            self._progress.stop()


def watcher(*, as_json: bool) -> Bar | Lines:
    """Return what fits where the output goes; the bar is drawn on stderr, results go to stdout."""
    if as_json:
        return Lines(sys.stdout, as_json=True, every=1.0)
    return Bar() if sys.stderr.isatty() else Lines(sys.stderr, as_json=False)


def clock(seconds: float) -> str:
    """Return seconds as a clock shows them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
