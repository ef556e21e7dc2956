"""Machines whose price nobody knows: none is rented, and one that is there holds no budget up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import Member
from imgbatch.cloud.book import Book
from imgbatch.cloud.ending import UNPRICED_SECONDS
from imgbatch.cloud.rates import PRICES_SECONDS, UNKNOWN
from imgbatch.errors import CloudError
from tests.cloud.fake import NOON, REGION, ZONES, FakeCloud, FakeMarket, deployment
from tests.cloud.night import Night

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from imgbatch.cloud import Price

HOUR = 3600.0
GPU = {"g.small", "g.large"}


class Partial(FakeMarket):
    """A market that tells some prices.

    Attributes:
        tells: whether it does this one.
        without: types that the cloud says the region does not have.
    """

    def __init__(self, cloud: FakeCloud, tells: Callable[[Price], bool]) -> None:
        super().__init__(cloud)
        self.tells = tells
        self.without: set[str] = set()

    def prices(self, types: Sequence[str], region: str) -> list[Price]:
        return [price for price in super().prices(types, region) if self.tells(price)]

    def lacks(self, types: Sequence[str], region: str) -> list[str]:  # noqa: ARG002 - the protocol's
        return [type_ for type_ in types if type_ in self.without]


def head_alone(price: Price) -> bool:
    return price.type == "m.head"


def book_of(tells: Callable[[Price], bool], pool: str = "gpu") -> tuple[Book, Partial]:
    market = Partial(FakeCloud(deployment()), tells)
    return Book(market, deployment(), pool), market


def machine(name: str, type_: str, *, spot: bool = True) -> Member:
    return Member(name, "running", type_, ZONES[0], "", NOON, spot)


def test_a_machine_without_a_price_is_never_counted_at_anothers() -> None:
    book, _ = book_of(head_alone)
    head = machine("h", "m.head", spot=False)
    book.see([head], [machine("i", "g.large")], [], NOON)
    dollars = {line.machine: (line.dollars, line.priced) for line in book.lines}
    assert dollars == {"h": (0.10, "live"), "i": (UNKNOWN, "unknown")}
    assert set(book.unpriced) == GPU
    assert book.spent(NOON + HOUR) > UNKNOWN
    with pytest.raises(CloudError, match=r"no price is known of g\.large, g\.small"):
        book.price_of_worker()


def test_of_a_pool_one_type_without_a_price_is_enough() -> None:
    book, _ = book_of(lambda price: price.type != "g.large")
    book.see([], [machine("i", "g.small")], [], NOON)
    assert book.unpriced == ["g.large"]
    with pytest.raises(CloudError, match="no budget can be kept"):
        book.price_of_worker()


def test_a_machine_on_demand_is_not_counted_as_a_spare_one() -> None:
    book, _ = book_of(lambda price: price.spot or price.type == "m.head", "cpu")
    book.see([], [machine("i", "c.small", spot=False)], [], NOON)
    assert book.unpriced == ["c.small"]
    assert book.lines[0].dollars == UNKNOWN


def test_a_spare_machine_costs_no_more_than_on_demand() -> None:
    book, _ = book_of(lambda price: not price.spot)
    book.see([], [machine("i", "g.large")], [], NOON)
    assert book.unpriced == []
    assert book.lines[0].dollars == 1.10


def test_a_price_that_was_told_once_holds_while_the_market_says_nothing() -> None:
    book, market = book_of(lambda _: True)
    book.see([], [machine("i", "g.large")], [], NOON)
    before = book.lines[0].dollars
    market.tells = head_alone
    book.see([], [machine("i", "g.large")], [], NOON + PRICES_SECONDS)
    assert book.unpriced == []
    assert [line.dollars for line in book.lines] == [before]


def test_a_type_that_the_region_does_not_have_needs_no_price_until_it_is_there() -> None:
    book, market = book_of(lambda price: price.type != "g.large")
    market.without = {"g.large"}
    book.see([], [], [], NOON)
    assert book.unpriced == []
    assert book.price_of_worker() < 0.6
    book.see([], [machine("i", "g.large")], [], NOON + 10)
    assert book.unpriced == ["g.large"]
    assert book.lines[0].dollars == UNKNOWN


def test_what_a_region_was_said_to_lack_it_lacks_though_the_market_forgets_it() -> None:
    book, market = book_of(lambda price: price.type != "g.large")
    market.without = {"g.large"}
    book.see([], [], [], NOON)
    market.without = set()
    for seconds in range(0, 1200, 10):
        book.see([], [], [], NOON + seconds)
        assert book.unpriced == []
    book.see([], [machine("i", "g.large")], [], NOON + 1200)
    book.see([], [], [], NOON + 1210)
    assert book.unpriced == ["g.large"], "one came: the region has it"


def test_a_price_that_lacks_is_asked_for_each_minute_and_rights_what_was_counted() -> None:
    asked = []

    def late(price: Price) -> bool:
        asked.append(price)
        return now >= NOON + 200

    book, _ = book_of(late)
    head, here = machine("h", "m.head", spot=False), [machine("i", "g.large"), machine("j", "")]
    times = []
    for step in range(30):
        now = NOON + 10.0 * step
        asked.clear()
        book.see([head], here, [], now)
        if asked:
            times.append(now - NOON)
        assert book.guesses == bool(book.unpriced) == (now < NOON + 240)
        assert book.unpriced_since == (NOON if book.unpriced else None)
        if now == NOON + 230:
            assert book.spent(now) > 3 * UNKNOWN * 200 / HOUR
    assert times == [0, 60, 120, 180, 240]
    dearest = [line for line in book.lines if line.type == "g.large" and line.priced == "live"]
    assert {line.machine for line in dearest} == {"i", "j"}
    assert book.spent(now) < 3 * 1.2 * 300 / HOUR


def test_what_a_ledger_says_of_machines_that_are_there_is_the_last_price_that_is_known() -> None:
    before, _ = book_of(lambda _: True)
    head = machine("h", "m.head", spot=False)
    here = [machine("i", "g.large"), machine("j", "g.small"), machine("k", "c.small")]
    before.see([head], here, [], NOON)
    before.see([head], here[:2], [], NOON + 10)  # k is gone: its line is closed
    dollars = {line.machine: line.dollars for line in before.lines}
    market = Partial(FakeCloud(deployment()), lambda _: False)
    book = Book(market, deployment(), "gpu", lines=before.lines)
    new = machine("h2", "m.head", spot=False)
    book.see([new], [*here, machine("l", "g.large", spot=False)], [], NOON + 20)
    assert book.unpriced == ["c.small", "g.large"], "of a closed line, and of another market"
    counted = {line.machine: line.dollars for line in book.lines if line.end is None}
    assert counted == {
        "h2": dollars["h"],
        "i": dollars["i"],
        "j": dollars["j"],
        "k": UNKNOWN,
        "l": UNKNOWN,
    }


def test_a_machine_of_a_type_that_the_deployment_does_not_name_is_asked_for() -> None:
    book, _ = book_of(lambda _: True)
    book.see([], [], [], NOON)
    book.see([], [machine("i", "c.small", spot=False)], [], NOON + 10)
    assert (book.lines[0].dollars, book.unpriced) == (0.15, [])
    assert book.region == REGION


def test_a_machine_whose_type_is_not_told_counts_as_the_dearest_of_its_group() -> None:
    book, _ = book_of(lambda price: not price.spot)
    book.see([machine("h", "", spot=False)], [machine("i", "")], [], NOON)
    assert book.unpriced == []
    assert {line.type: line.dollars for line in book.lines} == {"m.head": 0.10, "g.large": 1.10}


def test_a_run_whose_machines_have_no_price_rents_none_and_says_why(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.cloud.market = Partial(night.cloud, head_alone)
    order = night.order()
    night.until_quiet()
    night.check()
    assert [rented for rented in night.cloud.rented if rented.group == night.group()] == []
    state = night.state(order)
    assert (state.phase, state.code) == ("failed", 27)
    assert "no price is known of g.large, g.small" in state.reason
    lasted = state.at - NOON - state.steps["taken"]
    assert UNPRICED_SECONDS <= lasted < UNPRICED_SECONDS + 120
    assert night.cloud.bill() < 0.1


def test_machines_that_are_there_without_a_price_are_ended(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.cloud.market = Partial(night.cloud, head_alone)
    order = night.order(budget=5)
    night.cloud.groups.want(night.group(), 3)  # somebody else's mistake
    night.until_quiet()
    night.check()
    lives = [r.ended - r.since for r in night.cloud.rented if r.group == night.group() and r.ended]
    assert len(lives) == 3
    assert max(lives) < 360, "the head's boot, and a look"
    assert night.state(order).phase == "failed"
    assert night.cloud.bill() < 0.5


def test_a_head_without_a_price_leads_no_run(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.cloud.market = Partial(night.cloud, lambda price: price.type != "m.head")
    order = night.order()
    night.until_quiet()
    night.check()
    assert [rented for rented in night.cloud.rented if rented.group == night.group()] == []
    assert "no price is known of m.head" in night.state(order).reason


def silent(cloud: FakeCloud, since: float, seconds: float) -> Callable[[Price], bool]:
    """Say that a market tells nothing for a while."""
    return lambda _: not since <= cloud.now < since + seconds


def test_a_market_that_is_silent_at_a_heads_first_look_delays_the_run_and_no_more(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path, shards=20)
    night.cloud.market = Partial(night.cloud, silent(night.cloud, 0, NOON + 400))
    order = night.order(budget=200)
    night.run(380)
    state = night.state(order)
    assert (state.phase, state.workers, state.booting) == ("waiting", 0, 0)
    assert "no price is known of g.large, g.small, m.head" in state.reason
    assert "asked again" in state.reason
    assert 5 < state.spent < order.budget, "the head counts as dearer than any"
    night.until_quiet()
    night.check()
    assert night.state(order).phase == "done"
    assert night.spent(order) == pytest.approx(night.cloud.bill(), rel=0.05)


@pytest.mark.parametrize("most", [8, 1])
def test_a_head_that_replaces_another_goes_on_while_the_market_is_silent(
    most: int, tmp_path: Path
) -> None:
    """With one machine a type of its pool is without a price: it works on, and none is added."""
    night = Night(tmp_path, shards=50 if most == 1 else 200)
    order = night.order(budget=5, most=most)
    night.run(900)
    workers = night.state(order).workers
    assert workers
    night.cloud.market = Partial(night.cloud, silent(night.cloud, night.cloud.now, 600))
    night.lose_head()
    night.run(580)
    state = night.state(order)
    assert (state.phase, state.workers) == ("working", workers)
    assert ("no price is known" in state.reason) == (most == 1)
    assert state.per_hour < 20, "at what the ledger says"
    night.until_quiet()
    night.check()
    assert night.state(order).phase == "done"
    assert night.spent(order) == pytest.approx(night.cloud.bill(), rel=0.05)


def test_a_budget_that_an_unknown_price_may_be_all_of_holds_and_the_end_says_why(
    tmp_path: Path,
) -> None:
    night = Night(tmp_path)
    night.cloud.market = Partial(night.cloud, lambda _: False)
    order = night.order(budget=60)
    night.until_quiet()
    night.check()
    state = night.state(order)
    assert (state.phase, state.code) == ("failed", 27)
    assert "no price is known of g.large, g.small, m.head" in state.reason
    assert UNKNOWN / 60 < night.spent(order) <= order.budget
    assert state.at - NOON - state.steps["taken"] < UNPRICED_SECONDS
