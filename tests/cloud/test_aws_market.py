"""Machines, prices and quotas of AWS.

moto answers for spot prices and for machines; it has no price list, so the answers of that are
stubbed with botocore's own stubber, which checks questions and answers against AWS's models.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from imgbatch.cloud.aws import table
from imgbatch.cloud.aws.clients import Clients
from imgbatch.cloud.aws.market import AwsMarket
from imgbatch.cloud.aws.quotas import _family
from imgbatch.cloud.book import Book
from tests.cloud.aws_on_moto import IMAGE, REGION, account
from tests.cloud.fake import deployment
from tests.cloud.moto_groups import QUOTA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgbatch.cloud.deployment import Deployment


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    with account():
        yield Clients(REGION)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMGBATCH_MODEL_CACHE", str(tmp_path))
    return tmp_path / "prices"


Answer = list[tuple[str, str]]
KINDS = ("", "a100", "a10g", "h100", "l4", "l40s", "t4")


@pytest.fixture
def listed(clients: Clients) -> Iterator[Callable[[dict[str, Answer]], None]]:
    """Have the price list answer: per type, units and dollars of its lines."""
    with Stubber(clients.of("pricing")) as stub:

        def answer(prices: dict[str, Answer]) -> None:
            for kind, lines in prices.items():
                filters = {**FILTERS, "instanceType": kind, "regionCode": REGION}
                asked = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in filters.items()]
                stub.add_response(
                    "get_products",
                    {"PriceList": [json.dumps(_product(lines))] if lines else []},
                    {
                        "ServiceCode": "AmazonEC2",
                        "Filters": asked,
                    },
                )

        yield answer
        stub.assert_no_pending_responses()


FILTERS = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}


def _product(lines: Answer) -> dict[str, Any]:
    dimensions = {
        str(n): {"unit": unit, "pricePerUnit": {"USD": dollars}}
        for n, (unit, dollars) in enumerate(lines)
    }
    return {"terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": dimensions}}}}


def test_the_table_says_of_each_machine_what_a_plan_needs() -> None:
    for machine in table.machines():
        assert machine.cores >= 1
        assert machine.memory_gib >= 2
        assert bool(machine.gpu) == bool(machine.gpus) == bool(machine.gpu_memory_gib)


def test_machines_are_found_by_their_gpu() -> None:
    assert {m.type.partition(".")[0] for m in table.machines(["l4", "t4"])} == {"g6", "gr6", "g4dn"}
    assert {m.gpu for m in table.machines()} == set(KINDS)
    assert table.machines(["b200"]) == []


def test_the_table_agrees_with_what_moto_took_from_aws(clients: Clients) -> None:
    """Cores, memory and GPUs, from EC2's own DescribeInstanceTypes as moto recorded it."""
    known = {machine.type: machine for machine in table.machines()}
    told = clients.of("ec2").describe_instance_types(InstanceTypes=list(known))["InstanceTypes"]
    assert len(told) == len(known)
    for one in told:
        machine = known[one["InstanceType"]]
        assert one["VCpuInfo"]["DefaultVCpus"] == machine.cores
        assert one["MemoryInfo"]["SizeInMiB"] == machine.memory_gib * 1024
        gpus = one.get("GpuInfo", {"Gpus": [{"Name": "", "Count": 0}], "TotalGpuMemoryInMiB": 0})
        assert gpus["Gpus"][0]["Name"].lower() == machine.gpu
        assert gpus["Gpus"][0]["Count"] == machine.gpus
        assert gpus["TotalGpuMemoryInMiB"] / 1024 == pytest.approx(machine.gpu_memory_gib, abs=0.1)


def test_the_table_has_a_price_of_each_machine_in_the_region_of_its_prices() -> None:
    for machine in table.machines():
        spot = table.price(machine.type, "us-east-1", spot=True)
        plain = table.price(machine.type, "us-east-1", spot=False)
        assert spot
        assert plain
        assert 0 < spot.dollars <= plain.dollars < 60
        assert spot.source == plain.source == "table"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", spot.day)


def test_the_table_has_no_price_of_what_it_does_not_know() -> None:
    assert table.price("g6.xlarge", "eu-west-1", spot=True) is None
    assert table.price("p5en.48xlarge", "us-east-1", spot=True) is None


def test_a_disk_and_an_address_cost_by_the_hour(clients: Clients) -> None:
    market = AwsMarket(clients)
    # 100 GiB of gp3 at 0.08 dollars a month of 730 hours, and an address at 0.005 an hour.
    assert market.besides(100, "us-east-1") == pytest.approx(8 / 730 + 0.005)
    assert market.besides(100, "eu-central-1") > market.besides(100, "us-east-1")
    assert market.besides(100, "mars-north-1") == market.besides(100, "eu-central-1")


def test_prices_are_asked_of_aws_by_zone_and_by_region(
    clients: Clients, listed: Callable[[dict[str, Answer]], None]
) -> None:
    listed({"g5.xlarge": [("Hrs", "1.0060000000")]})
    prices = AwsMarket(clients).prices(["g5.xlarge"], REGION)
    spot = [price for price in prices if price.spot]
    assert len({price.zone for price in spot}) == len(spot) > 1
    assert all(price.zone.startswith(REGION) for price in spot)
    (plain,) = [price for price in prices if not price.spot]
    assert (plain.dollars, plain.zone, plain.source) == (1.006, "", "live")
    assert plain.day == time.strftime("%Y-%m-%d", time.gmtime())


def test_lines_of_a_price_list_that_cost_nothing_are_no_price(
    clients: Clients, listed: Callable[[dict[str, Answer]], None]
) -> None:
    listed({"g5.xlarge": [("Hrs", "0.0000000000"), ("Hrs", "1.0060000000"), ("Quantity", "0.5")]})
    prices = AwsMarket(clients).prices(["g5.xlarge"], REGION)
    assert [price.dollars for price in prices if not price.spot] == [1.006]


def test_prices_are_kept_for_a_day_and_say_so(
    clients: Clients, listed: Callable[[dict[str, Answer]], None]
) -> None:
    listed({"g5.xlarge": [("Hrs", "1.006")]})
    now = [1_000_000.0]
    market = AwsMarket(clients, clock=lambda: now[0])
    first = market.prices(["g5.xlarge"], REGION)
    now[0] += 1800
    again = market.prices(["g5.xlarge"], REGION)
    assert {price.source for price in again} == {"cache"}
    assert [(p.zone, p.dollars, p.day) for p in again] == [
        (p.zone, p.dollars, p.day) for p in first
    ]
    # Spot is asked again after an hour, on-demand after a day.
    now[0] += 3600
    assert {(p.spot, p.source) for p in market.prices(["g5.xlarge"], REGION)} == {
        (True, "live"),
        (False, "cache"),
    }
    now[0] += 24 * 3600
    listed({"g5.xlarge": [("Hrs", "1.1")]})
    prices = market.prices(["g5.xlarge"], REGION)
    assert [p.dollars for p in prices if not p.spot] == [1.1]


def test_a_type_that_a_region_does_not_have_has_no_price_and_is_not_asked_for_again(
    clients: Clients, listed: Callable[[dict[str, Answer]], None]
) -> None:
    listed({"g6.xlarge": []})
    market = AwsMarket(clients)
    for _ in range(2):
        assert [p for p in market.prices(["g6.xlarge"], REGION) if not p.spot] == []


def test_what_a_region_lacks_is_told_by_aws_and_by_no_silence(
    clients: Clients, listed: Callable[[dict[str, Answer]], None]
) -> None:
    market, types = AwsMarket(clients), ["g5.xlarge", "p5.48xlarge"]
    assert market.lacks(types, REGION) == []
    listed({"g5.xlarge": [("Hrs", "1.006")], "p5.48xlarge": []})
    with Stubber(clients.of("ec2")) as ec2:
        ec2.add_client_error("describe_spot_price_history", "RequestLimitExceeded", "no")
        market.prices(types, REGION)
        assert market.lacks(types, REGION) == []
        zone, now = f"{REGION}a", datetime.now(UTC)
        price = {"InstanceType": "g5.xlarge", "SpotPrice": "0.5", "AvailabilityZone": zone}
        ec2.add_response(
            "describe_spot_price_history", {"SpotPriceHistory": [{**price, "Timestamp": now}]}
        )
        market.prices(types, REGION)
    assert market.lacks(types, REGION) == ["p5.48xlarge"]


def _lab() -> Deployment:
    lab = deployment().model_copy(deep=True, update={"region": REGION})
    lab.head.machines[:] = ["t3.large"]
    lab.pools["gpu"].machines[:] = ["g5.xlarge", "p5en.48xlarge"]
    return lab


@pytest.mark.parametrize("kept", [True, False], ids=["on a disk", "on no disk"])
@pytest.mark.parametrize("throttled", [False, True], ids=["answered", "throttled"])
def test_a_type_that_the_region_lacks_ends_no_run_however_long_it_lasts(
    clients: Clients,
    listed: Callable[[dict[str, Answer]], None],
    folder: Path,
    *,
    throttled: bool,
    kept: bool,
) -> None:
    if not kept:
        folder.write_bytes(b"")  # no folder can be made there
    listed({"g5.xlarge": [("Hrs", "1.006")], "p5en.48xlarge": [], "t3.large": [("Hrs", "0.1")]})
    begin = time.time()
    now = [begin]
    book = Book(AwsMarket(clients, clock=lambda: now[0]), _lab(), "gpu")
    price = {"SpotPrice": "0.5", "AvailabilityZone": f"{REGION}a", "Timestamp": datetime.now(UTC)}
    history = [{**price, "InstanceType": kind} for kind in ("g5.xlarge", "t3.large")]
    with Stubber(clients.of("ec2", REGION)) as ec2:
        # Spot prices are asked for anew once in an hour; where AWS throttles, every few minutes.
        for again in range(20):
            if throttled and again:
                ec2.add_client_error("describe_spot_price_history", "RequestLimitExceeded", "no")
            else:
                ec2.add_response("describe_spot_price_history", {"SpotPriceHistory": history})
        for seconds in range(0, 7200, 11):
            now[0] = begin + seconds
            book.see([], [], [], now[0])
            assert book.unpriced == [], f"after {seconds} s"
        left = len(ec2._queue)
    assert 0.4 < book.price_of_worker() < 0.6, "AWS's own, or the table's where it is throttled"
    assert 0 < left < 19, "it was asked again, and not at each step"


def test_a_clock_that_was_set_back_keeps_no_price_for_ever(
    clients: Clients, listed: Callable[[dict[str, Answer]], None]
) -> None:
    listed({"g5.xlarge": [("Hrs", "1.006")]})
    now = [1_000_000.0]
    market = AwsMarket(clients, clock=lambda: now[0])
    market.prices(["g5.xlarge"], REGION)
    now[0] -= 100_000
    listed({"g5.xlarge": [("Hrs", "1.2")]})
    prices = market.prices(["g5.xlarge"], REGION)
    assert [price.dollars for price in prices if not price.spot] == [1.2]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"g5.xlarge": 3}', b'{"g5.xlarge": [1, [{}]]}']
)
def test_a_damaged_cache_is_asked_anew(
    clients: Clients,
    listed: Callable[[dict[str, Answer]], None],
    folder: Path,
    damage: bytes,
) -> None:
    folder.mkdir()
    (folder / f"aws-{REGION}-on-demand.json").write_bytes(damage)
    listed({"g5.xlarge": [("Hrs", "1.006")]})
    prices = AwsMarket(clients).prices(["g5.xlarge"], REGION)
    assert [price.source for price in prices if not price.spot] == ["live"]


def test_where_aws_does_not_answer_the_table_does_and_says_so_every_time(clients: Clients) -> None:
    market = AwsMarket(clients)
    with Stubber(clients.of("pricing")) as stub, Stubber(clients.of("ec2")) as ec2:
        for _ in range(2):
            stub.add_client_error("get_products", "AccessDeniedException", "no")
            ec2.add_client_error("describe_spot_price_history", "RequestLimitExceeded", "no")
            prices = market.prices(["g5.xlarge"], REGION)
            assert {(p.spot, p.source, round(p.dollars, 3)) for p in prices} == {
                (False, "table", 1.006),
                (True, "table", 0.433),
            }


def test_quotas_bound_each_kind_of_gpu_spot_and_not(clients: Clients) -> None:
    quotas = AwsMarket(clients).quotas(REGION)
    assert {(q.gpu, q.spot) for q in quotas} == {
        (gpu, spot) for gpu in KINDS for spot in (True, False)
    }
    assert {(q.limit, q.unit) for q in quotas} == {(QUOTA, "cores")}
    (l4,) = [q for q in quotas if q.gpu == "l4" and q.spot]
    assert "L-3819A6DF" in l4.fix
    assert "--desired-value 96" in l4.fix
    # P4 and P5 share what they may have on demand, and not as spot machines.
    names = {(q.gpu, q.spot): q.name for q in quotas}
    assert names["a100", False] == names["h100", False] == "Running On-Demand P instances"
    assert names["a100", True] != names["h100", True]


def test_machines_that_run_use_the_quota_of_their_kind(clients: Clients) -> None:
    before = {(q.gpu, q.spot): q.used or 0 for q in AwsMarket(clients).quotas(REGION)}
    ec2 = boto3.client("ec2", REGION)
    for kind, options in (
        ("g5.2xlarge", {"CoreCount": 4, "ThreadsPerCore": 2}),
        ("c7i.xlarge", {"CoreCount": 2, "ThreadsPerCore": 2}),
        ("p4d.24xlarge", {"CoreCount": 48, "ThreadsPerCore": 2}),
    ):
        ec2.run_instances(
            ImageId=IMAGE, MinCount=1, MaxCount=1, InstanceType=kind, CpuOptions=options
        )
    used = {(q.gpu, q.spot): q.used or 0 for q in AwsMarket(clients).quotas(REGION)}
    grown = {key: used[key] - before[key] for key in used if used[key] != before[key]}
    assert set(grown) == {(gpu, False) for gpu in KINDS}
    assert grown["h100", False] == grown["a100", False] > 0


def test_types_are_bounded_by_their_family() -> None:
    standard = (
        "c7i.xlarge",
        "m7i-flex.large",
        "t3.medium",
        "im4gn.large",
        "i4i.large",
        "z1d.large",
    )
    others = ("p6-b200.48xlarge", "inf2.xlarge", "trn1.2xlarge", "dl1.24xlarge", "mac2.metal")
    assert {_family(kind) for kind in standard} == {"standard"}
    assert {_family(kind) for kind in ("g6.xlarge", "gr6.4xlarge", "vt1.3xlarge")} == {"graphics"}
    assert {_family(kind) for kind in others} == {""}
    assert [_family(kind) for kind in ("p4de.24xlarge", "p5.4xlarge")] == ["p4", "p5"]
