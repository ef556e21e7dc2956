"""When a machine leaves by itself: what it read of the lease enters; a reason leaves, or None.

`infra/boot/watch.sh` holds the same rules for the machine itself, whatever becomes of its container
and of Python; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from imgbatch.cloud.control import Lease

UNREADABLE: Final = "unreadable"
SILENT_SECONDS = 600.0
HEAD_SECONDS = 900.0
# Of a head past the deadline of its run.
HEIR: Final = "and runs wait that have longer"


class Watcher:
    """What one machine remembers of the lease.

    Moments are seconds by a count that no correction of a clock touches, such as time.monotonic().

    Args:
        machine: its name for the cloud.
        pool: of a worker; "" for the head.
        silent: seconds without a readable lease, or without a new beat, that it puts up with.
        headless: seconds that a head puts up with no lease of its own: it comes before the lease.
    """

    def __init__(
        self,
        machine: str,
        pool: str,
        *,
        silent: float = SILENT_SECONDS,
        headless: float = HEAD_SECONDS,
    ) -> None:
        self._machine = machine
        self._pool = pool
        self._silent = silent
        self._headless = headless
        self._read: float | None = None
        self._mine: float | None = None
        self._beat: tuple[str, int] | None = None
        self._changed = 0.0
        self._own: Lease | None = None
        self._blind = 0.0

    def look(
        self,
        lease: Lease | Literal["unreadable"] | None,
        now: float,
        clock: float | None = None,
    ) -> str | None:
        """Return why to leave; None: stay.

        Args:
            lease: None where there is none, UNREADABLE where nobody could say.
            now: the moment.
            clock: seconds since 1970 by the machine's own clock; without, the deadline is told by
                the head's count in the lease alone.
        """
        # Both counts begin with the first look, whatever it finds.
        self._read = now if self._read is None else self._read
        self._mine = now if self._mine is None else self._mine
        if lease == UNREADABLE:
            if self._own:
                self._blind = now
                return self._over(self._own, now, clock)
            return _after(now - self._read, self._silent, "the lease could not be read")
        self._read = now
        self._own = None
        if not self._pool and (lease is None or lease.head_machine != self._machine):
            return _after(now - self._mine, self._headless, "this head had no lease of its own")
        self._mine = now
        if lease is None:
            return "there is no lease"
        if self._pool and lease.pool != self._pool:
            return f"the lease is for pool {lease.pool}"
        return self._renewed(lease, now, clock)

    def _renewed(self, lease: Lease, now: float, clock: float | None) -> str | None:
        if self._beat != (lease.run, lease.beat):
            self._beat, self._changed = (lease.run, lease.beat), now
        if not self._pool:
            # A bucket that nobody reaches for an hour must not cost a run its head, which nobody
            # would wake again: it goes by the last deadline that it knows.
            self._own = lease
        late = self._over(lease, now, clock)
        # Who could not read could not write: the head has its time to renew from when it can.
        silent = now - max(self._changed, self._blind)
        return late or _after(silent, self._silent, "the lease was not renewed")

    def _over(self, lease: Lease, now: float, clock: float | None) -> str | None:
        left = lease.left - (now - self._changed)
        if left > 0 and (clock is None or clock < lease.deadline):
            return None
        longer = lease.until - lease.deadline
        if not self._pool and left + longer > 0 and (clock is None or clock < lease.until):
            # Nobody would wake a head for them: the group is to make another in its place.
            return f"the deadline has passed, {HEIR}"
        return "the deadline has passed"


def _after(seconds: float, limit: float, said: str) -> str | None:
    return f"{said} for {limit:.0f} s" if seconds >= limit else None
