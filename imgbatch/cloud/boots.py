"""Machines that were launched enter; those that came up, failed to or idle leave.

    launched -- a node in Ray --> joined -- for a while, or shards came back --> came up
        |                            +-- idle: removed when there is no need of it
        |                            +-- is out of Ray for long: removed
        +-- says why it does not, or never joins --> failed

Failures count in a row: a machine that comes up begins the count anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from imgbatch.cloud import Event, Member
    from imgbatch.cloud.work import Work

# A machine that does not join Ray in that time, or is out of it for as long, is ended.
BOOT_SECONDS = 900.0
# One that has been in Ray for so long has come up, whatever becomes of it later.
STABLE_SECONDS = 120.0
# An idle machine may end after so long; one that idles while shards wait is of no use.
IDLE_SECONDS, USELESS_SECONDS = 60.0, 300.0
# So many in a row that did not come up: no more are added, and without any other the run ends.
FAILED_BOOTS = 3


class Boots:
    """What is known of each machine of a pool.

    Attributes:
        failed: machines that did not come up since one did, and why.
    """

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self._joined: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._came: set[str] = set()
        self._idle: dict[str, float] = {}
        self._told: set[str] = set()
        self._seen: dict[str, float] = {}
        self._done = 0

    def look(
        self, members: Sequence[Member], events: Sequence[Event], work: Work, now: float
    ) -> list[Member]:
        """Take note of who came up and who did not; return those that never will.

        Args:
            members: machines that exist.
            events: what happened to the pool lately.
            work: who is in Ray, and what it did.
            now: the moment, by the same clock at each look.
        """
        for member in members:
            # Not since its launch: that moment is of another clock.
            self._seen.setdefault(member.machine, now)
        for machine in work.joined:
            self._joined.setdefault(machine, now)
            self._last[machine] = now
        self._idle = {m: self._idle.get(m, now) for m in work.joined - work.busy}
        self._come(work, now)
        for machine, reason in work.failed_boots.items():
            if machine not in self._came:
                self._fail(machine, reason)
        for event in events:
            machine = event.machine
            if event.kind == "ended" and machine in self._seen and machine not in self._joined:
                self._fail(machine, f"it ended before it joined Ray: {event.message}")
        return [member for member in members if self._hopeless(member, work, now)]

    def idle(self, machines: Collection[str], now: float) -> list[str]:
        """Return those of some machines that have been idle for a while, the longest first."""
        found = sorted((since, m) for m, since in self._idle.items() if m in machines)
        return [machine for since, machine in found if now - since >= IDLE_SECONDS]

    def set_back(self, now: float) -> None:
        """Go on after the head's clock was fast and is set: what is timed by it begins anew."""
        for times in (self._joined, self._last, self._idle, self._seen):
            times.update({machine: min(at, now) for machine, at in times.items()})

    @property
    def stuck(self) -> bool:
        """Whether more machines would not come up either, as it looks."""
        return len(self.failed) >= FAILED_BOOTS

    def _come(self, work: Work, now: float) -> None:
        # Of what a head before us told, nobody who is here now did anything.
        worked = work.shards_done > self._done > 0
        self._done = work.shards_done or self._done
        came = {
            machine
            for machine in work.joined - self._came
            if worked or now - self._joined[machine] >= STABLE_SECONDS
        }
        if came:
            self._came |= came
            self.failed.clear()

    def _hopeless(self, member: Member, work: Work, now: float) -> bool:
        machine = member.machine
        if now - self._last.get(machine, self._seen[machine]) > BOOT_SECONDS:
            if machine not in self._joined:  # else it came up: another one will
                minutes = f"{BOOT_SECONDS / 60:g} minutes"
                self._fail(machine, f"it did not join Ray within {minutes} of its launch")
            return True
        if work.left and now - self._idle.get(machine, now) > USELESS_SECONDS:
            self._fail(machine, "it joined Ray, and did no work while there was some")
            return True
        return False

    def _fail(self, machine: str, reason: str) -> None:
        if machine not in self._told:
            self._told.add(machine)
            self.failed[machine] = reason
