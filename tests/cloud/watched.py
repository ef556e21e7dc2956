"""A cloud in memory whose calls are written down, and one of which may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.cloud.control import Control, Order
from imgbatch.cloud.launch import Place
from imgbatch.cloud.zero import Clock
from imgbatch.errors import CloudError
from tests.cloud.fake import NOON, FakeCloud, FakeGroups, deployment

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0
HEAD, GPU, CPU = "imgbatch-lab-head", "imgbatch-lab-gpu", "imgbatch-lab-cpu"


class Watched(FakeGroups):
    """Groups that write down what they are told, before or after they fail at it.

    Args:
        cloud: whose.
        calls: where to.
        fails: the call that fails, such as `want imgbatch-lab-head 1`; "" none.
        late: it fails after it was done, as one whose answer is lost.
    """

    def __init__(self, cloud: FakeCloud, calls: list[str], fails: str = "") -> None:
        super().__init__(cloud)
        self.calls, self.fails, self.late = calls, fails, False

    def _told(self, call: str) -> bool:
        self.calls.append(call)
        return bool(self.fails) and call.startswith(self.fails)

    def want(self, group: str, count: int) -> None:
        failing = self._told(f"want {group} {count}")
        if not failing or self.late:
            super().want(group, count)
        if failing:
            raise CloudError("the answer is lost")

    def arm(self, group: str, at: float) -> None:
        failing = self._told(f"arm {group}")
        if not failing or self.late:
            super().arm(group, at)
        if failing:
            raise CloudError("the answer is lost")

    def disarm(self, group: str) -> None:
        self._told(f"disarm {group}")
        super().disarm(group)


class WatchedControl(Control):
    """Control objects that write down what is ordered."""

    def __init__(self, url: str, calls: list[str], fails: str = "") -> None:
        super().__init__(url)
        self.calls, self.fails = calls, fails

    def order(self, order: Order) -> None:
        self.calls.append("order")
        super().order(order)
        if self.fails == "order":
            raise CloudError("the answer is lost")


class Scene:
    """A deployment in memory."""

    def __init__(self, folder: Path, fails: str = "", **knobs: object) -> None:
        self.calls: list[str] = []
        self.control = WatchedControl(str(folder / "control"), self.calls, fails)
        self.there = deployment(control=str(folder / "control"))
        self.cloud = FakeCloud(self.there, control=self.control, **knobs)  # type: ignore[arg-type]
        self.groups = Watched(self.cloud, self.calls, fails)
        self.cloud.groups = self.groups
        self.place = Place(self.cloud.deployment, self.control, self.groups, self.cloud.market)

    def order(
        self, run: str = "20270115T080000Z-aaaaaa", hours: float = 6, **more: object
    ) -> Order:
        words: dict[str, object] = {
            "run": run,
            "input": "s3://imgbatch-lab/photos",
            "dataset": "s3://imgbatch-lab/d",
            "recipe": "[analyzers.quality]\n",
            "environment": {"IMGBATCH_MODEL_MIRROR": "s3://imgbatch-lab/models"},
            "pool": "gpu",
            "most": 4,
            "budget": 50.0,
            "deadline": NOON + hours * HOUR if hours else 0.0,
        }
        return Order.model_validate(words | more)

    @property
    def clock(self) -> FakeClock:
        return FakeClock(self.cloud)

    def nothing_runs(self) -> bool:
        return not self.cloud.alive() and not any(g.wanted for g in self.cloud.state.values())


class FakeClock(Clock):
    """Time that passes when it is waited for."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    def now(self) -> float:
        return self._cloud.now

    def sleep(self, seconds: float) -> None:
        self._cloud.advance(seconds)
