"""A head's clock that is set while a run is at work: back, as one that was fast; and forward."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import ledger
from imgbatch.cloud.boots import BOOT_SECONDS, Boots
from imgbatch.cloud.crossing import PACE_SECONDS, Crossing
from imgbatch.cloud.work import Work
from imgbatch.errors import CloudError
from jobs.orders import DEAD_SECONDS, Orders
from tests.cloud.fake import NOON, STEP_SECONDS, FakeMarket
from tests.cloud.night import HOUR, Night
from tests.cloud.test_orders_in_a_row import machine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imgbatch.cloud import Price
    from imgbatch.cloud.control import Order

MINUTE = 60.0


def fast(folder: Path, skew: float, minutes: float, **knobs: float) -> tuple[Night, Order]:
    """A run whose head's clock was fast, and is set some minutes after the order."""
    night = Night(folder, shards=1500, head_skew=skew, **knobs)
    order = night.order(hours=4, budget=20)
    night.run(minutes * MINUTE)
    (manned,) = night.heads.values()
    manned.skew = 0.0
    return night, order


@pytest.mark.parametrize(
    ("skew", "minutes"),
    # Prices change with the hour: at 70 minutes there are lines of both.
    [(2 * MINUTE, 20.0), (15 * MINUTE, 62.0), (HOUR, 10.0), (HOUR, 30.0), (HOUR, 70.0)],
)
def test_a_fast_clock_that_is_set_back_leaves_a_ledger_that_is_the_bill(
    tmp_path: Path, skew: float, minutes: float
) -> None:
    night, order = fast(tmp_path, skew, minutes, preemptions=2.0)
    while not night.state(order).over and night.cloud.now < order.deadline:
        night.run(5 * MINUTE)
        told = night.state(order)
        if not told.over:  # and within its budget all the while
            assert told.spent == pytest.approx(night.cloud.bill(), rel=0.05, abs=0.05)
    night.until_quiet()
    night.check()
    assert night.state(order).phase == "done"
    assert night.spent(order) == pytest.approx(night.cloud.bill(), rel=0.01, abs=0.01)
    lines = ledger.read(night.control.get(order.run, "ledger.jsonl") or b"")
    assert all(line.end is not None and line.start <= line.end for line in lines)
    assert max(line.end or 0.0 for line in lines) <= night.cloud.now


def test_a_fast_clock_that_nobody_sets_leaves_no_machine_in_the_ledger_after_its_end(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=1500, head_skew=15 * MINUTE, preemptions=2.0)
    order = night.order(hours=4, budget=20)
    night.until_quiet()
    lines = ledger.read(night.control.get(order.run, "ledger.jsonl") or b"")
    preempted = {e.machine: e.at for e in night.cloud.state[night.group()].events}
    ends = [x.end - preempted[x.machine] for x in lines if x.end and x.machine in preempted]
    assert len(ends) > len(set(preempted)) > 8, "none had two prices"
    assert max(ends) < MINUTE
    assert night.spent(order) == pytest.approx(night.cloud.bill(), rel=0.01)


def test_a_clock_that_is_behind_closes_the_heads_line_by_the_clouds(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=20, head_skew=-30 * MINUTE, boot=lambda _: 8 * MINUTE)
    order = night.order()
    while (told := night.control.state(order.run)) is None or not told.over:
        night.run(STEP_SECONDS)
    lines = ledger.read(night.control.get(order.run, "ledger.jsonl") or b"")
    (end,) = (line.end for line in lines if line.role == "head")
    assert end == pytest.approx(night.cloud.now, abs=MINUTE)


def test_what_is_looked_at_now_and_then_is_looked_at_after_a_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, _ = fast(tmp_path, HOUR, 10.0)
    looked: set[str] = set()
    groups, control, market = night.cloud.groups, night.control, FakeMarket.prices
    armed, names = groups.armed, control.names

    def told_armed(group: str) -> float | None:
        looked.add("armed")
        return armed(group)

    def told_names(folder: str) -> list[str]:
        looked.add(folder.rpartition("/")[2])
        return names(folder)

    def told_prices(self: FakeMarket, types: Sequence[str], region: str) -> list[Price]:
        looked.add("prices")
        return market(self, types, region)

    monkeypatch.setattr(groups, "armed", told_armed)
    monkeypatch.setattr(control, "names", told_names)
    monkeypatch.setattr(FakeMarket, "prices", told_prices)
    night.run(6 * MINUTE)
    assert {"armed", "boots", "prices"} <= looked


@pytest.mark.parametrize("dies", [True, False])
def test_a_driver_that_does_not_end_keeps_no_machine_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dies: bool
) -> None:
    night = Night(tmp_path, shards=1500, head_skew=HOUR)
    order = night.order(hours=4, budget=20)
    night.run(20 * MINUTE)
    (manned,) = night.heads.values()
    (run,) = manned.runs
    monkeypatch.setattr(run, "cancel", lambda: None)
    if not dies:
        monkeypatch.setattr(run, "kill", lambda: None)
    night.stop(order)
    while night.state(order).phase != "draining":
        night.run(STEP_SECONDS)
    manned.skew = 0.0
    night.run(5 * MINUTE)
    assert night.cloud.alive(night.group()) == []
    assert run.ended == (130 if dies else None)
    assert night.state(order).phase == ("stopped" if dies else "draining")


def test_machines_that_do_not_boot_end_a_run_though_the_clock_was_set_back(tmp_path: Path) -> None:
    night, order = fast(tmp_path, HOUR, 6.0)
    for rented in night.cloud.alive(night.group()):
        rented.up_at = math.inf
    night.cloud.boot = lambda _: math.inf
    night.run(BOOT_SECONDS + 5 * MINUTE)
    assert night.state(order).phase == "failed"
    assert "did not join Ray within 15 minutes" in night.state(order).reason


def test_why_no_machine_comes_is_told_though_the_clock_was_set_back(tmp_path: Path) -> None:
    night, order = fast(tmp_path, HOUR, 20.0)
    night.cloud.stock = lambda *_: False
    for rented in night.cloud.alive(night.group()):
        night.cloud.preempt(rented.machine)
    night.run(5 * MINUTE)
    assert "stock" in night.state(order).reason or "capacity" in night.state(order).reason


def test_traffic_is_paced_as_before_though_the_clock_was_set_back(tmp_path: Path) -> None:
    night = Night(tmp_path, shards=1500, head_skew=HOUR)
    night.datasets["data"].size = 10**9
    order = night.order(hours=4, budget=200, tariff=ledger.Tariff(read=0.05))
    night.run(30 * MINUTE)
    before = night.state(order).per_hour
    (manned,) = night.heads.values()
    manned.skew = 0.0
    night.run(20 * MINUTE)
    assert night.state(order).per_hour == pytest.approx(before, rel=0.5)


def test_a_machine_that_does_not_boot_is_found_though_the_clock_was_set_back() -> None:
    boots, none = Boots(), Work()
    boots.look([machine("i", NOON)], [], none, NOON + HOUR)
    boots.set_back(NOON + 10)
    assert boots.look([machine("i", NOON)], [], none, NOON + BOOT_SECONDS) == []
    assert boots.look([machine("i", NOON)], [], none, NOON + BOOT_SECONDS + 20) != []


def test_the_pace_of_traffic_is_of_a_minute_though_the_clock_was_set_back() -> None:
    crossing = Crossing(ledger.Tariff(read=1.0))
    for step in range(100):
        if step == 10:
            crossing.set_back(NOON + 100)
        at = NOON + 10 * step + (HOUR if step < 10 else 0)
        crossing.see(Work(bytes_read=step * 10**9), at)
    assert crossing.per_hour == pytest.approx(HOUR / 10, rel=0.2)
    assert PACE_SECONDS == 60.0


def test_a_pool_without_a_head_is_let_go_in_minutes_though_the_clock_was_set_back(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, heads=False)
    order = night.order()
    orders = Orders(night.control, night.cloud, night.deployment, machine="i", say=lambda _: None)
    held = []
    for at in (NOON + HOUR, NOON + 10, NOON + 20, NOON + 20 + DEAD_SECONDS):
        orders.hold_on(CloudError("it is out"), at)
        lease = night.control.lease()
        assert lease is not None
        held.append(lease.pool)
    assert held == [order.pool] * 3 + [""]
