"""A night in which the cloud itself wakes the head, and ends all machines some hours later.

night = Woken(tmp_path, shards=3000)
tick = night.schedule("weekly", hours=2, after=600)   # ten minutes from now, and each week
night.run(600 + 2 * 3600)                             # the wake at the tick, the kill two hours on
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import schedules
from imgbatch.cloud.control import Order
from imgbatch.cloud.deployment import Schedule as Made
from imgbatch.recurring import following
from tests.cloud.night import Night

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0


def weekly(at: float) -> str:
    """Return the cron that ticks at a moment, and each week."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.minute} {moment.hour} * * {moment.isoweekday() % 7}"


class Woken(Night):
    """A night with schedules, as Terraform has made them: of each a wake and a kill."""

    def __init__(self, folder: Path, **knobs: Any) -> None:
        super().__init__(folder, **knobs)
        self._next: dict[tuple[str, bool], float] = {}

    def schedule(self, name: str, *, hours: int, after: float, **more: Any) -> float:
        """Make a schedule that ticks at the first whole minute so many seconds from now.

        Returns its tick.
        """
        tick = math.ceil((self.cloud.now + after) / 60) * 60.0
        told = {"input": "in", "dataset": "data", "recipe": "", "pool": "gpu", "most": 4, **more}
        order = Order.model_validate({"run": "x", "budget": 50.0, "deadline": 0.0, **told})
        cron, kill = weekly(tick), weekly(tick + hours * HOUR)
        schedules.put(
            self.control,
            schedules.Schedule(
                name=name, cron=cron, timezone="UTC", hours=hours, order=order, since=self.cloud.now
            ),
        )
        made = Made(cron=cron, kill=kill, timezone="UTC", hours=hours)
        known = {**self.deployment.schedules, name: made}
        self.deployment = self.deployment.model_copy(update={"schedules": known})
        self._next[name, True] = tick
        self._next[name, False] = tick + hours * HOUR
        return tick

    def wake(self) -> None:
        """Do what the cloud does at a tick."""
        self.cloud.state[self.head_group].wanted = 1

    def kill(self) -> None:
        """Do what the cloud does at a schedule's end."""
        for name, group in self.cloud.state.items():
            group.wanted = 0
            for rented in self.cloud.alive(name):
                self.cloud._end(rented, "ended", "by a scheduled action")

    def _heads(self) -> None:
        for (name, wakes), at in self._next.items():
            if at <= self.cloud.now:
                made = self.deployment.schedules[name]
                cron = made.cron if wakes else made.kill
                self._next[name, wakes] = following(cron, "UTC", self.cloud.now)
                (self.wake if wakes else self.kill)()
        super()._heads()

    def runs_of(self, name: str) -> list[str]:
        """Return the runs of a schedule that wait or that a head took, oldest first."""
        mark = schedules._mark(name)
        known = {*self.control.runs(), *self.control.waiting()}
        return sorted(run for run in known if run.endswith(mark))
