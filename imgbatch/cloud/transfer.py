"""Where buckets are and how much of them is read and written enters; what that costs leaves.

Traffic counts towards the budget of a run like its machines. Drawback: it is billed to whom the
bucket belongs, or to the account that reads; a run does not know which, and counts it as its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.cloud.ledger import Tariff

if TYPE_CHECKING:
    from collections.abc import Mapping

GB = 1e9
DAY = "2026-11-21"
# Dollars per GB from one region of AWS to another, by where the bucket is. Public documents give
# 0.02 for regions of the US and Europe, and 0.02 to 0.138 for all; the single figures of the other
# regions could not be confirmed, so the dearest stands for them.
NEAR, FAR = 0.02, 0.138
NEAR_REGIONS = ("us-", "ca-", "eu-")
# Google Cloud asks the least within a continent, by both ends; from memory.
CONTINENTS = {"us": "america", "northamerica": "america", "europe": "europe"}
# What Google calls a place of several regions, in small letters, and how the names of these begin;
# the numbered ones are of two regions each, from memory.
SPREAD = {
    "us": "us-",
    "nam4": "us-",
    "eu": "europe-",
    **{f"eur{number}": "europe-" for number in (4, 5, 7, 8)},
    "asia": "asia-",
    "asia1": "asia-",
}
# From another cloud, or to one: as to anybody on the internet; 0.09 to 0.155 by region.
INTERNET = 0.12
# Dollars per request that reads an object, S3 standard storage.
GET = 0.0004 / 1000
SAME: Mapping[str, str] = {"s3": "aws", "gs": "gcp"}


@dataclass(frozen=True, slots=True)
class Transfer:
    """What reading an input, or writing a dataset, costs beside the machines.

    Attributes:
        dollars: of the traffic.
        per_gb: its price.
        requests: dollars of the requests.
        said: where from and to, in words; "" where the traffic is free.
        day: of the prices, as YYYY-MM-DD: they are of a table, never asked.
    """

    dollars: float
    per_gb: float
    requests: float
    said: str = ""
    day: str = DAY

    @property
    def total(self) -> float:
        """Dollars of both."""
        return self.dollars + self.requests


FREE = Transfer(0, 0, 0)


def transfer(
    *, scheme: str, place: str | None, cloud: str, region: str, size: int, sources: int
) -> Transfer:
    """Return what it costs to read an input.

    Args:
        scheme: of its URL, such as `s3`.
        place: region of its bucket; None where nobody could tell.
        cloud: of the machines.
        region: theirs.
        size: bytes that are read.
        sources: as many requests, at least.
    """
    if scheme not in SAME:
        return Transfer(0, 0, 0)
    requests = sources * GET
    if SAME[scheme] != cloud:
        said = f"INPUT is of another cloud ({scheme}://), the machines are in {cloud} {region}"
        return Transfer(size / GB * INTERNET, INTERNET, requests, said)
    if place is None or place == region:
        return Transfer(0, 0, requests)
    price = _between(place, region, cloud)
    said = f"INPUT is in {place}, the machines are in {region}"
    return Transfer(size / GB * price, price, requests, said)


def writing(*, scheme: str, place: str | None, cloud: str, region: str, size: float) -> Transfer:
    """Return what it costs to write a dataset, by where the machines are; the requests are free.

    Args:
        scheme: of its URL, such as `s3`.
        place: region of its bucket; None where nobody could tell.
        cloud: of the machines.
        region: theirs.
        size: bytes that are written.
    """
    if scheme not in SAME or place is None or place == region:
        return FREE
    price = _between(region, place, cloud)
    said = f"DATASET is in {place}, the machines are in {region}"
    return Transfer(size / GB * price, price, 0, said)


def tariff(reading: Transfer, writes: Transfer, *, scheme: str) -> Tariff:
    """Return the prices of both as an order keeps them; scheme of INPUT."""
    request = GET if scheme in SAME else 0.0
    return Tariff(read=reading.per_gb, written=writes.per_gb, request=request)


def _between(start: str, end: str, cloud: str) -> float:
    """Return dollars per GB from one region to another of a cloud."""
    if cloud == "gcp":
        places = (SPREAD.get(place, place) for place in (start.lower(), end.lower()))
        ends = {CONTINENTS.get(place.partition("-")[0]) for place in places}
        return NEAR if len(ends) == 1 and None not in ends else FAR
    return NEAR if start.startswith(NEAR_REGIONS) else FAR
