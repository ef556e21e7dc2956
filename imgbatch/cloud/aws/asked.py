"""A region and types enter, prices as AWS tells them now leave: live, and never kept here.

Spot prices are of EC2's own history. On-demand prices are of the price list, which answers in few
regions: us-east-1 is asked, whatever the region that is meant. Its filters are those that others
ask it with (Karpenter's pricing provider, 2026-08); it has not been asked by us.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import Price
from imgbatch.cloud.aws.errors import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.cloud.aws.clients import Clients

PRICE_LIST = "us-east-1"
LINUX = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"]
_FILTERS = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}


def spot_prices(clients: Clients, types: Sequence[str], region: str) -> list[Price]:
    """Return the spot price of each type in each zone where there is one.

    Raises:
        CloudError: AWS refuses or does not answer.
    """
    newest: dict[tuple[str, str], Any] = {}
    with told(f"asking for spot prices in {region}"):
        pages = clients.of("ec2", region).get_paginator("describe_spot_price_history")
        # From now on: AWS then tells the price that holds, once per type and zone.
        asked = {
            "InstanceTypes": list(types),
            "ProductDescriptions": LINUX,
            "StartTime": datetime.now(UTC),
        }
        for page in pages.paginate(**asked):
            for one in page["SpotPriceHistory"]:
                key = (one["InstanceType"], one["AvailabilityZone"])
                if key not in newest or one["Timestamp"] > newest[key]["Timestamp"]:
                    newest[key] = one
    return [
        _price(kind, region, zone, float(one["SpotPrice"]), spot=True)
        for (kind, zone), one in sorted(newest.items())
    ]


def on_demand_prices(clients: Clients, types: Sequence[str], region: str) -> list[Price]:
    """Return the on-demand price of each type that the region has.

    Raises:
        CloudError: AWS refuses or does not answer.
    """
    with told(f"asking the price list for {region}"):
        found = {kind: _hourly(clients, kind, region) for kind in types}
    return [
        _price(kind, region, "", dollars, spot=False)
        for kind, dollars in found.items()
        if dollars is not None
    ]


def _hourly(clients: Clients, kind: str, region: str) -> float | None:
    pages = clients.of("pricing", PRICE_LIST).get_paginator("get_products")
    asked = {**_FILTERS, "instanceType": kind, "regionCode": region}
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in asked.items()]
    found = [
        dollars
        for page in pages.paginate(ServiceCode="AmazonEC2", Filters=filters)
        for product in page["PriceList"]
        for dollars in _dollars(json.loads(product))
    ]
    # A type has one such price; lines of 0 are of what is paid otherwise.
    return min(found, default=None)


def _dollars(product: Any) -> Iterator[float]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for line in term["priceDimensions"].values():
            dollars = float(line["pricePerUnit"].get("USD", 0))
            if line["unit"] == "Hrs" and dollars > 0:
                yield dollars


def _price(kind: str, region: str, zone: str, dollars: float, *, spot: bool) -> Price:
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return Price(kind, region, zone, spot, dollars, day, "live")
