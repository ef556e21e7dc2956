"""What crossed, what it cost, and how fast; and the same as a line of the ledger."""

from __future__ import annotations

import pytest

from imgbatch.cloud import ledger
from imgbatch.cloud.crossing import Crossing
from imgbatch.cloud.ledger import Line, Tariff, Traffic
from imgbatch.cloud.work import Work
from imgbatch.errors import SettingsError

TARIFF = Tariff(read=0.1, written=0.2, request=0.001)
GB = 10**9


def seen(read: int, written: int = 0, sources: int = 0) -> Work:
    return Work(bytes_read=read, bytes_written=written, sources_done=sources)


def test_bytes_and_requests_are_counted_once_and_cost_their_price() -> None:
    crossing = Crossing(TARIFF)
    for work in (seen(0), seen(GB, GB, 10), seen(GB, GB, 10), seen(3 * GB, 2 * GB, 30)):
        crossing.see(work, 0.0)
    traffic = crossing.traffic
    assert (traffic.read, traffic.written, traffic.requests) == (3 * GB, 2 * GB, 30)
    assert traffic.dollars == pytest.approx(0.3 + 0.4 + 0.03)


def test_what_is_read_again_is_paid_for_again() -> None:
    crossing = Crossing(TARIFF)
    # A lost worker's bytes are taken back, then a driver begins again from nothing.
    for read in (5, 3, 6, 0, 2):
        crossing.see(seen(read * GB), 0.0)
    assert crossing.traffic.read == (5 + 3 + 2) * GB


def test_a_head_goes_on_from_what_the_one_before_it_counted() -> None:
    former = Traffic(tariff=TARIFF, read=4 * GB, requests=7)
    crossing = Crossing(TARIFF, former)
    crossing.see(seen(GB), 0.0)
    assert (crossing.traffic.read, crossing.traffic.requests) == (5 * GB, 7)


def test_an_hour_costs_as_the_last_minute_went() -> None:
    crossing = Crossing(TARIFF)
    assert crossing.per_hour == 0
    for tick in range(31):
        crossing.see(seen(tick * GB), 10.0 * tick)
    assert crossing.per_hour == pytest.approx(0.1 * 360)
    for tick in range(31, 38):
        crossing.see(seen(30 * GB), 10.0 * tick)
    assert crossing.per_hour == 0


def test_what_comes_all_at_once_is_the_pace_of_no_hour() -> None:
    crossing = Crossing(TARIFF)
    crossing.see(seen(0), 0.0)
    crossing.see(seen(3 * GB), 2.0)
    assert crossing.per_hour == pytest.approx(0.3 * 60)
    crossing.see(seen(3 * GB), 62.0)
    assert crossing.per_hour == 0


def test_a_ledger_keeps_traffic_beside_its_machines() -> None:
    line = Line(
        machine="i-1",
        role="worker",
        type="g.small",
        zone="a",
        spot=True,
        start=0.0,
        end=3600.0,
        dollars=1.0,
        besides=0.0,
        priced="live",
    )
    traffic = Traffic(tariff=TARIFF, read=GB)
    data = ledger.write([line], traffic)
    assert ledger.read(data) == [line]
    assert ledger.read_traffic(data) == traffic
    plain = ledger.write([line], Traffic())
    assert (ledger.read(plain), ledger.read_traffic(plain)) == ([line], Traffic())
    for damaged in (b"1\n", b'{"traffic": {"read": "x"}}\n'):
        with pytest.raises(SettingsError, match="ledger"):
            ledger.read_traffic(damaged)
