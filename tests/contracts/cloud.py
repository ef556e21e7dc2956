"""What every cloud promises of groups, secrets and its market, run by each of them.

A suite is a class: a test module makes a subclass with a fixture `cloud` that gives a `Given`.
AWS runs it on moto (`tests/cloud/test_aws_contract.py`), Google Cloud on a stand-in that keeps to
its discovery documents (`test_gcp_contract.py`), our simulated cloud as it is. What it
does not prove: that a cloud itself keeps a group's largest size (Google has none: ours is a promise
of our own), ends machines at a deadline, or runs out of them; moto does none of that, and the
simulated cloud only what we believe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import CloudError, DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.cloud import Cloud, Member


def _nothing() -> None:
    """Let no time pass: a cloud of real clocks."""


@dataclass
class Given:
    """A cloud with a spot group of at most 4 and an on-demand one of at most 1, both empty.

    Attributes:
        secret: the name of one that exists.
        region: of the groups.
        settle: let so much time pass that machines that were asked for exist.
        exact: a deadline comes at most so many seconds earlier than asked.
        now: seconds since 1970 by that cloud's clock.
    """

    cloud: Cloud
    spot: str
    head: str
    secret: str
    now: Callable[[], float]
    region: str
    settle: Callable[[], None] = field(default=_nothing)
    exact: float = 1.0


class Contract:
    """Subclass it beside a fixture `given`."""

    def grown(self, given: Given, count: int) -> list[Member]:
        given.cloud.groups.want(given.spot, count)
        given.settle()
        return given.cloud.groups.members(given.spot)

    def test_an_empty_group_has_no_members_and_costs_nothing(self, given: Given) -> None:
        assert given.cloud.groups.members(given.spot) == []
        assert given.cloud.groups.size(given.spot).wanted == 0
        assert given.cloud.groups.size(given.spot).most == 4

    def test_a_group_grows_to_what_is_wanted(self, given: Given) -> None:
        members = self.grown(given, 3)
        assert len(members) == 3
        assert given.cloud.groups.size(given.spot).wanted == 3
        assert len({member.machine for member in members}) == 3

    def test_a_member_says_what_its_price_and_its_place_depend_on(self, given: Given) -> None:
        started = given.now()
        (member,) = self.grown(given, 1)
        assert member.spot
        assert member.type
        assert member.zone
        assert member.state in ("pending", "running")
        assert started - 2 <= member.since <= given.now() + 2

    def test_the_head_is_no_spot_machine(self, given: Given) -> None:
        given.cloud.groups.want(given.head, 1)
        given.settle()
        (member,) = given.cloud.groups.members(given.head)
        assert not member.spot

    def test_members_come_oldest_first(self, given: Given) -> None:
        self.grown(given, 1)
        members = self.grown(given, 3)
        assert [m.since for m in members] == sorted(m.since for m in members)

    def test_wanting_what_is_wanted_already_changes_nothing(self, given: Given) -> None:
        former = self.grown(given, 2)
        assert [m.machine for m in self.grown(given, 2)] == [m.machine for m in former]

    def test_a_group_never_shrinks_by_number(self, given: Given) -> None:
        former = self.grown(given, 3)
        with pytest.raises(ValueError, match="would end some"):
            given.cloud.groups.want(given.spot, 2)
        assert given.cloud.groups.members(given.spot) == former

    def test_a_negative_size_is_a_mistake(self, given: Given) -> None:
        with pytest.raises(ValueError, match="would end some"):
            given.cloud.groups.want(given.spot, -1)

    def test_zero_ends_all(self, given: Given) -> None:
        self.grown(given, 3)
        given.cloud.groups.want(given.spot, 0)
        given.settle()
        assert given.cloud.groups.size(given.spot).wanted == 0
        assert [m for m in given.cloud.groups.members(given.spot) if m.state != "leaving"] == []

    def test_removing_one_ends_that_one_and_no_other_comes(self, given: Given) -> None:
        _first, middle, _last = members = self.grown(given, 3)
        given.cloud.groups.remove(given.spot, middle.machine)
        given.settle()
        alive = [m for m in given.cloud.groups.members(given.spot) if m.state != "leaving"]
        assert {m.machine for m in alive} == {m.machine for m in members} - {middle.machine}
        assert given.cloud.groups.size(given.spot).wanted == 2

    def test_removing_twice_is_removing_once(self, given: Given) -> None:
        member = self.grown(given, 3)[0]
        given.cloud.groups.remove(given.spot, member.machine)
        given.cloud.groups.remove(given.spot, member.machine)
        assert given.cloud.groups.size(given.spot).wanted == 2

    def test_removing_what_is_in_another_group_removes_nothing(self, given: Given) -> None:
        given.cloud.groups.want(given.head, 1)
        given.settle()
        (head,) = given.cloud.groups.members(given.head)
        given.cloud.groups.remove(given.spot, head.machine)
        assert [m.state for m in given.cloud.groups.members(given.head)] == [head.state]

    def test_a_group_that_is_not_there_is_a_deployment_that_is_not(self, given: Given) -> None:
        with pytest.raises(DeploymentError) as failed:
            given.cloud.groups.members("imgbatch-nobody-head")
        assert "imgbatch-nobody-head" in str(failed.value)
        with pytest.raises(DeploymentError):
            given.cloud.groups.want("imgbatch-nobody-head", 1)

    def test_more_than_a_group_may_have_is_refused(self, given: Given) -> None:
        with pytest.raises(CloudError, match="may have 4"):
            given.cloud.groups.want(given.spot, 5)
        assert given.cloud.groups.size(given.spot).wanted == 0
        assert len(self.grown(given, 4)) == 4
        with pytest.raises(CloudError, match="may have 4"):
            given.cloud.groups.want(given.spot, 5)
        given.settle()
        assert len(given.cloud.groups.members(given.spot)) == 4

    def test_there_is_one_head(self, given: Given) -> None:
        with pytest.raises(CloudError, match="may have 1"):
            given.cloud.groups.want(given.head, 2)
        assert given.cloud.groups.size(given.head).wanted == 0

    def test_what_came_and_went_is_told_in_order(self, given: Given) -> None:
        since = given.now() - 1
        (member,) = self.grown(given, 1)
        given.cloud.groups.remove(given.spot, member.machine)
        given.settle()
        told = given.cloud.groups.events(given.spot, since)
        assert [e.kind for e in told if e.machine == member.machine] == ["launched", "ended"]
        assert [e.at for e in told] == sorted(e.at for e in told)

    def test_what_happened_before_is_not_told_again(self, given: Given) -> None:
        self.grown(given, 1)
        assert given.cloud.groups.events(given.spot, given.now() + 1) == []

    def test_a_deadline_is_armed_told_moved_and_disarmed(self, given: Given) -> None:
        groups, at = given.cloud.groups, given.now() + 3600
        assert groups.armed(given.spot) is None
        groups.arm(given.spot, at)
        assert groups.armed(given.spot) == pytest.approx(at, abs=given.exact)
        groups.arm(given.spot, at + 600)
        assert groups.armed(given.spot) == pytest.approx(at + 600, abs=given.exact)
        groups.disarm(given.spot)
        assert groups.armed(given.spot) is None
        groups.disarm(given.spot)

    def test_each_group_has_a_deadline_of_its_own(self, given: Given) -> None:
        groups, at = given.cloud.groups, given.now() + 3600
        groups.arm(given.head, at)
        groups.arm(given.spot, at + 600)
        assert groups.armed(given.head) == pytest.approx(at, abs=given.exact)
        groups.disarm(given.spot)
        assert groups.armed(given.head) == pytest.approx(at, abs=given.exact)

    def test_a_deadline_never_lies_later_than_was_asked(self, given: Given) -> None:
        at = given.now() + 3600.9
        given.cloud.groups.arm(given.spot, at)
        assert (given.cloud.groups.armed(given.spot) or at + 1) <= at

    def test_a_deadline_that_has_passed_ends_all_now(self, given: Given) -> None:
        self.grown(given, 2)
        given.cloud.groups.arm(given.spot, given.now() - 1)
        given.settle()
        assert given.cloud.groups.size(given.spot).wanted == 0

    def test_a_secret_is_read_as_it_was_put(self, given: Given) -> None:
        given.cloud.secrets.put(given.secret, "9f86d081884c7d659a2feaa0c55ad015")
        assert given.cloud.secrets.get(given.secret) == "9f86d081884c7d659a2feaa0c55ad015"

    def test_no_secret_is_made_that_terraform_does_not_know(self, given: Given) -> None:
        with pytest.raises(DeploymentError):
            given.cloud.secrets.put(f"{given.secret}-nobody", "value")
        with pytest.raises(DeploymentError):
            given.cloud.secrets.get(f"{given.secret}-nobody")

    def test_machines_are_found_by_their_gpu(self, given: Given) -> None:
        market = given.cloud.market
        every = market.machines()
        kinds = {machine.gpu for machine in every}
        assert {"", "l4"} <= kinds
        for kind in kinds - {""}:
            assert market.machines([kind]) == [m for m in every if m.gpu == kind]
        assert market.machines(["abacus"]) == []
        for machine in every:
            assert machine.cores > 0
            assert machine.memory_gib > 0
            assert bool(machine.gpu) == (machine.gpus > 0) == (machine.gpu_memory_gib > 0)

    def test_a_price_says_of_what_where_when_and_how_it_is_known(self, given: Given) -> None:
        market = given.cloud.market
        types = [machine.type for machine in market.machines(["l4"])]
        prices = market.prices(types, given.region)
        assert {price.type for price in prices} <= set(types)
        assert {price.spot for price in prices} == {True, False}
        for price in prices:
            assert price.dollars > 0
            assert price.region == given.region
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", price.day)
            assert price.source in ("live", "cache", "table")
            assert price.spot or not price.zone
        keys = [(price.type, price.spot, price.zone) for price in prices]
        assert len(set(keys)) == len(keys)

    def test_no_type_has_no_price(self, given: Given) -> None:
        assert given.cloud.market.prices([], given.region) == []

    def test_a_larger_disk_costs_more(self, given: Given) -> None:
        market = given.cloud.market
        assert 0 < market.besides(50, given.region) < market.besides(500, given.region) < 1

    def test_quotas_bound_spot_machines_and_others_of_each_kind(self, given: Given) -> None:
        market = given.cloud.market
        for quota in market.quotas(given.region):
            assert quota.region == given.region
            assert quota.limit >= 0
            assert quota.used is None or quota.used >= 0
            assert quota.name
            assert quota.fix
        bounded = {(quota.gpu, quota.spot) for quota in market.quotas(given.region)}
        assert {gpu for gpu, spot in bounded if spot} >= {m.gpu for m in market.machines() if m.gpu}
