"""Two orders on one pool: each ledger has its own machines and hours, and their sum is the bill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from imgbatch.cloud import Event, Member, ledger
from imgbatch.cloud.book import Book
from tests.cloud import fake
from tests.cloud.fake import NOON, ZONES, FakeCloud, FakeMarket, deployment
from tests.cloud.night import HOUR, FakeDataset, Night

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.cloud.control import Order

MINUTE = 60.0


def two_datasets(folder: Path, shards: int, **knobs: float) -> Night:
    night = Night(folder, shards=shards, **knobs)
    night.datasets["other"] = FakeDataset(dict.fromkeys(range(100), 60.0))
    return night


def machines(night: Night, order: Order, role: str = "worker") -> set[str]:
    lines = ledger.read(night.control.get(order.run, "ledger.jsonl") or b"")
    return {line.machine for line in lines if line.role == role}


def settled(night: Night, first: Order, second: Order, *ends: str) -> None:
    """Let the night end, and assert that what two runs say that they cost is the bill."""
    night.until_quiet()
    night.check()
    assert (night.state(first).phase, night.state(second).phase) == ends
    assert night.control.waiting() == []
    bill = night.cloud.bill()
    assert night.spent(first) + night.spent(second) == pytest.approx(bill, rel=0.01, abs=0.01)


@pytest.mark.parametrize("head_skew", [0.0, -900.0])
def test_a_run_pays_for_no_machine_of_the_run_before_it_that_is_still_listed(
    tmp_path: Path, head_skew: float
) -> None:
    night = two_datasets(tmp_path, 300, head_skew=head_skew)
    first = night.order()
    night.run(MINUTE)
    second = night.order(dataset="other", budget=1.5)
    settled(night, first, second, "done", "done")
    assert machines(night, first)
    assert machines(night, second)
    assert not machines(night, first) & machines(night, second)
    assert machines(night, first, "head") == machines(night, second, "head")
    assert night.spent(second) < 0.8


def test_a_run_on_a_new_head_pays_for_no_head_and_no_worker_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "LEAVING_SECONDS", 10 * MINUTE)
    night = two_datasets(tmp_path, 300)
    first = night.order()
    while night.control.waiting() or night.cloud.alive():
        night.run(10)
    second = night.order(dataset="other", budget=1.5)
    night.run(5 * MINUTE)
    listed = {m.machine for m in night.cloud.groups.members(night.group()) if m.state == "leaving"}
    assert listed & machines(night, first), "none of the run before is listed any more"
    settled(night, first, second, "done", "done")
    for role in ("head", "worker"):
        assert not machines(night, first, role) & machines(night, second, role)


def test_a_run_that_finds_machines_of_the_run_before_it_at_work_pays_from_when_it_was_taken(
    tmp_path: Path,
) -> None:
    night = two_datasets(tmp_path, 5000)
    first = night.order(hours=1)
    second = night.order(dataset="other", hours=3, budget=2.0)
    night.run(first.deadline - night.cloud.now - 4 * MINUTE)
    night.lose_head()  # ... and the next one comes too late to go on with the first
    settled(night, first, second, "deadline", "done")
    assert machines(night, first) & machines(night, second), "all had left by then"


# -- one look --------------------------------------------------------------------------------------


def machine(name: str, since: float, state: Literal["running", "leaving"] = "running") -> Member:
    return Member(name, state, "g.small", ZONES[0], "", since, spot=True)


def book(looked: float | None, *lines: ledger.Line) -> Book:
    market = FakeMarket(FakeCloud(deployment()))
    return Book(market, deployment(), "gpu", lines=lines, looked=looked)


def line(name: str) -> ledger.Line:
    return ledger.Line(
        machine=name,
        role="worker",
        type="g.small",
        zone=ZONES[0],
        spot=True,
        start=NOON - HOUR,
        dollars=0.2,
        besides=0.01,
        priced="live",
    )


@pytest.mark.parametrize("lines", [(), (line("mine"),)], ids=["first head", "next head"])
def test_what_leaves_counts_where_it_was_launched_after_somebody_looked(
    lines: tuple[ledger.Line, ...],
) -> None:
    found = book(NOON, *lines)
    here = [
        machine("of-before", NOON - HOUR, "leaving"),
        machine("after", NOON + 5, "leaving"),
        machine("mine", NOON - HOUR),
    ]
    for seconds in (10, 20):
        found.see([], here, [], NOON + seconds)
    # The first line of each: a new price makes another.
    starts = {one.machine: one.start for one in reversed(found.lines)}
    # What is at work counts from when this run was taken, where no head of it has seen it before.
    assert starts == {"after": NOON + 5, "mine": NOON - HOUR if lines else NOON}


def test_a_clock_that_is_fast_hides_no_machine_that_comes_and_goes_after_the_first_look() -> None:
    found = book(NOON + HOUR)
    found.see([], [], [], NOON + HOUR)
    found.see([], [machine("mine", NOON + 5, "leaving")], [], NOON + HOUR + 10)
    assert [one.start for one in found.lines] == [NOON + 5]


def test_a_machine_that_leaves_before_anybody_looked_at_all_counts() -> None:
    found = book(None)
    gone = [Event(NOON, "launched", "", "i"), Event(NOON + 60, "ended", "", "i")]
    found.see([], [machine("i", NOON, "leaving")], gone, NOON + 90)
    assert [(one.start, one.end) for one in found.lines] == [(NOON, NOON + 60)]
