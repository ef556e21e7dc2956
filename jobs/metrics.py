"""A run's events enter and leave as they are; Ray's metrics carry their counts.

The node of the driver shows them on its metrics port for Prometheus, with `ray_` in front and
`_total` behind counters, and so can Ray's dashboard: ray_imgbatch_sources_total and so on, each
with the run's id. Ray exports them every ten seconds, and when the driver ends.

Decision, 2026-11: counted in the driver, which hears of everything anyway: no worker spends time on
it, and a lost one takes no count along. What a lost shard did counts as bytes and seconds, not as
sources: these come with the finished shard. Drawback: all of it is on the port of the driver's
node.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from imgbatch.messages import Crewed, Finished

if TYPE_CHECKING:
    from collections.abc import Generator

    from ray.util.metrics import Counter

    from imgbatch.messages import Tick

    Events = Generator[Tick | Finished | Crewed]


def counted(events: Events, *, run: str) -> Events:
    """Yield a run's events, counted; Ray must be up."""
    meters = Meters(run)
    with contextlib.closing(events):
        try:
            for event in events:
                meters.count(event)
                yield event
        finally:
            meters.crewed(0)


class Meters:
    """The counters of one run in this process."""

    def __init__(self, run: str) -> None:
        from ray.util.metrics import Gauge  # noqa: PLC0415 - nothing to do must not start Ray

        self._sources = _counter("sources", "Sources by outcome: ok, or an error class", "outcome")
        self._pictures = _counter("pictures", "Pictures decoded")
        self._bytes = _counter("bytes", "Bytes of sources read")
        self._stages = _counter("stage_seconds", "Seconds by stage, over all threads", "stage")
        self._threads = _counter("thread_seconds", "Seconds that decoding threads had, busy or not")
        self._lost = _counter("workers_lost", "Workers that were lost")
        self._workers = Gauge("imgbatch_workers", "Workers that are up", tag_keys=("run",))
        self._run = {"run": run}
        self._lost_so_far = 0

    def count(self, event: Tick | Finished | Crewed) -> None:
        """Count an event."""
        if isinstance(event, Crewed):
            self._add(self._lost, event.lost - self._lost_so_far)
            self._lost_so_far = event.lost
            self.crewed(event.alive)
        elif isinstance(event, Finished):
            for name, count in event.outcomes.items():
                self._add(self._sources, count, outcome=name)
            self._add(self._pictures, event.pictures)
        else:
            self._add(self._bytes, event.bytes)
            self._add(self._threads, event.threads)
            for name, seconds in event.stages.items():
                self._add(self._stages, seconds, stage=name)

    def crewed(self, alive: int) -> None:
        """Say how many workers are up."""
        self._workers.set(alive, self._run)

    def _add(self, counter: Counter, value: float, **tags: str) -> None:
        if value > 0:  # Ray takes nothing else
            counter.inc(value, self._run | tags)


def _counter(name: str, description: str, *tags: str) -> Counter:
    from ray.util.metrics import Counter  # noqa: PLC0415 - as above

    return Counter(f"imgbatch_{name}", description, tag_keys=("run", *tags))
