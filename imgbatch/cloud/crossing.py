"""What a run says that it read and wrote enters; the traffic that is paid for leaves, and how fast.

Decision, 2026-11: bytes count as the driver tells of them, some seconds late: those of sources with
an outcome, at their size in the listing, and the parts of finished shards. Drawback: what a lost
worker had read of a source, indexes of archives, commits, logs, weights and images are not counted;
nor are requests but one per source.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from imgbatch.cloud.ledger import HOUR, Tariff, Traffic

if TYPE_CHECKING:
    from imgbatch.cloud.work import Work

# Progress comes every few seconds: over less than this, a pace would be that of its arrival. What
# came in a shorter time, as at a head's first look, is shared out over all of it.
PACE_SECONDS = 60.0


class Crossing:
    """The traffic of one run.

    Args:
        tariff: what it costs.
        former: what a head before us counted.

    Attributes:
        traffic: so far.
    """

    def __init__(self, tariff: Tariff, former: Traffic | None = None) -> None:
        self.traffic = (former or Traffic()).model_copy(update={"tariff": tariff})
        self._told = (0, 0, 0)
        self._paid: deque[tuple[float, float]] = deque()

    def see(self, work: Work, now: float) -> None:
        """Count what came since the last look.

        Fewer bytes than before are those of a driver that began again, or were taken back with the
        worker that read them: they were paid for all the same, and count again when read again.
        """
        told = work.bytes_read, work.bytes_written, work.sources_done
        more = [max(0, new - old) for new, old in zip(told, self._told, strict=True)]
        self._told = told
        had = self.traffic
        self.traffic = had.model_copy(
            update={
                "read": had.read + more[0],
                "written": had.written + more[1],
                "requests": had.requests + more[2],
            }
        )
        self._paid.append((now, self.traffic.dollars))
        while len(self._paid) > 1 and now - self._paid[1][0] >= PACE_SECONDS:
            self._paid.popleft()

    def set_back(self, now: float) -> None:
        """Go on after the head's clock was fast and is set: its pace begins anew."""
        self._paid = deque((min(at, now), paid) for at, paid in self._paid)

    @property
    def per_hour(self) -> float:
        """Dollars an hour at the pace of the last minute; 0 before there is one."""
        if not self._paid:
            return 0.0
        (since, before), (now, paid) = self._paid[0], self._paid[-1]
        return (paid - before) / max(now - since, PACE_SECONDS) * HOUR
