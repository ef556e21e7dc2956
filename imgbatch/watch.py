"""What a worker is at, in its own process: which source takes too long, or too much memory.

A second thread of the process asks (`Watch.wait`); it answers when a limit is overrun, and whoever
owns the process then ends it. That thread does not run while some library holds Python's lock:
then a clock of C, which that thread would have put back, ends the process.

Decision, 2026-11: memory is what the process holds of its own (RssAnon), looked at ten times a
second. RLIMIT_AS counts address space, of which CUDA, Arrow and mapped weights reserve many times
what they use; the resident size counts mapped weights that cost nothing. Drawback: Linux only, and
what grows by gigabytes between two looks is found by the kernel first.
"""

from __future__ import annotations

import faulthandler
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import threading

Reason = Literal["crash", "memory", "hang"]

LOOK_SECONDS = 0.1
FROZEN = 1.5
# No shorter, however little a source may take: a busy machine lets a thread wait for that long.
FROZEN_SECONDS = 3.0
# A source of up to this many bytes may take the limit; a larger one takes it that many times.
UNIT_BYTES = 64 * 2**20
STATUS = Path("/proc/self/status")
OWN_MEMORY = re.compile(rb"^RssAnon:\s+(\d+) kB", re.MULTILINE)
# Not ru_maxrss of getrusage: that one begins with the size of whoever forked this process.
PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB", re.MULTILINE)


class WorkerLostError(Exception):
    """A worker went away in the middle of a task.

    Attributes:
        reason: its process died or its machine (`crash`), or it was ended for what it took.
        suspects: shard name and place of the sources that it was at, where that is known.
    """

    def __init__(
        self,
        message: str,
        reason: Reason = "crash",
        suspects: tuple[tuple[str, int], ...] = (),
    ) -> None:
        super().__init__(message, reason, suspects)
        self.reason = reason
        self.suspects = suspects

    def __str__(self) -> str:
        return str(self.args[0])


class MachineLostError(WorkerLostError):
    """A worker went away with its machine: taken away, switched off or cut off. No source's fault.

    Attributes are those of `WorkerLostError`.
    """


class Watch:
    """The sources that a process is at, and since when.

    Args:
        source_seconds: how long a source may take.
        memory: bytes that the process may hold of its own; 0: any.
    """

    def __init__(self, *, source_seconds: float, memory: int) -> None:
        self._seconds = source_seconds
        self._memory = memory
        # Set, deleted and copied in one step of the interpreter each, so it needs no lock: threads
        # that decode would wait for it at every picture.
        self._ends: dict[tuple[str, int | None], float] = {}

    def over(self, shard: str, place: int | None, size: int) -> _Over:
        """Be at a source of that many bytes, or (place None) at the rows of the whole shard."""
        allowed = self._seconds * max(1.0, size / UNIT_BYTES)
        return _Over(self._ends, (shard, place), allowed)

    def wait(self, stop: threading.Event) -> WorkerLostError | None:
        """Wait until a limit is overrun, and return which; None when `stop` was set.

        A process in which this cannot run for `FROZEN` times `source_seconds`, or FROZEN_SECONDS
        where that is longer, ends.
        """
        clock = max(FROZEN_SECONDS, FROZEN * self._seconds)
        # A hundred lines of stacks would come to the user's terminal at each trial.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            try:
                while True:
                    # Before the wait: the first source of all may be one that freezes.
                    faulthandler.dump_traceback_later(clock, exit=True, file=nowhere)
                    if stop.wait(LOOK_SECONDS):
                        return None
                    if found := self.look():
                        return found
            finally:
                faulthandler.cancel_dump_traceback_later()

    def look(self) -> WorkerLostError | None:
        """Return which limit is overrun now, and what the process was at."""
        now = time.monotonic()
        ends = dict(self._ends)
        if late := [at for at, end in ends.items() if end < now]:
            return WorkerLostError("a source takes too long", "hang", _places(late))
        if self._memory and (held := own_memory()) > self._memory:
            return WorkerLostError(f"holds {held} bytes", "memory", _places(list(ends)))
        return None


def _places(found: list[tuple[str, int | None]]) -> tuple[tuple[str, int], ...]:
    return tuple((shard, place) for shard, place in found if place is not None)


def own_memory() -> int:
    """Return the bytes that this process holds of its own; 0 where the system does not say."""
    return _told(OWN_MEMORY)


def peak_memory() -> int:
    """Return the most bytes that this process was ever resident with; 0 as above."""
    return _told(PEAK)


def _told(what: re.Pattern[bytes]) -> int:
    try:
        found = what.search(STATUS.read_bytes())
    except FileNotFoundError:
        return 0
    return int(found[1]) * 1024 if found else 0


class _Over:
    # A class, not a generator: entered for every picture, it takes a third as long.
    __slots__ = ("_allowed", "_at", "_ends")

    def __init__(
        self, ends: dict[tuple[str, int | None], float], at: tuple[str, int | None], allowed: float
    ) -> None:
        self._ends = ends
        self._at = at
        self._allowed = allowed

    def __enter__(self) -> None:
        self._ends[self._at] = time.monotonic() + self._allowed

    def __exit__(self, *_: object) -> None:
        del self._ends[self._at]
