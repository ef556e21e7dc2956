"""What a run's events add to Ray's counters; that Prometheus reads them is `test_metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ray.util import metrics

from imgbatch.messages import Crewed
from jobs.metrics import Meters, counted

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence


class Meter:
    """A counter or a gauge that can be read: Ray's own are, on a cluster's port alone."""

    made: dict[str, Meter]

    def __init__(self, name: str, description: str, tag_keys: Sequence[str]) -> None:
        assert description
        self.keys = set(tag_keys)
        self.values: list[float] = []
        self.made[name] = self

    def inc(self, value: float, tags: Mapping[str, str]) -> None:
        if value <= 0:
            raise ValueError(value)  # as Ray's does
        self.set(value, tags)

    def set(self, value: float, tags: Mapping[str, str]) -> None:
        assert set(tags) == self.keys
        assert tags["run"] == "r"
        self.values.append(value)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Meter]:
    """The meters by name, once they are made."""
    found: dict[str, Meter] = {}
    monkeypatch.setattr(Meter, "made", found, raising=False)
    for name in ("Counter", "Gauge"):
        monkeypatch.setattr(metrics, name, Meter)
    return found


def test_a_lost_worker_counts_once_however_often_it_is_told(made: dict[str, Meter]) -> None:
    meters = Meters("r")
    for crewed in (Crewed(2, 0), Crewed(1, 1), Crewed(1, 1), Crewed(2, 1), Crewed(0, 3)):
        meters.count(crewed)
    assert made["imgbatch_workers_lost"].values == [1, 2]
    assert made["imgbatch_workers"].values == [2, 1, 1, 2, 0]


def test_no_worker_is_up_after_a_run_that_broke_off(made: dict[str, Meter]) -> None:
    def events() -> Generator[Crewed]:
        yield Crewed(2, 0)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(counted(events(), run="r"))
    assert made["imgbatch_workers"].values == [2, 0]
