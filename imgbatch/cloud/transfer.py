"""Where a bucket is and how much is read of it enters; what that costs leaves.

Dollars beside the ledger: traffic and requests are billed to whom the bucket belongs, or to the
account that reads. They are told by the plan, and count towards no budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GB = 1e9
DAY = "2026-11-21"
# Dollars per GB from one region of AWS to another, by where the bucket is. Public documents give
# 0.02 for regions of the US and Europe, and 0.02 to 0.138 for all; the single figures of the other
# regions could not be confirmed, so the dearest stands for them.
NEAR, FAR = 0.02, 0.138
# Google Cloud asks the same within a continent; both from memory.
NEAR_REGIONS = ("us", "ca-", "eu", "northamerica-")
# From another cloud, or to one: as to anybody on the internet; 0.09 to 0.155 by region.
INTERNET = 0.12
# Dollars per request that reads an object, S3 standard storage.
GET = 0.0004 / 1000
SAME: Mapping[str, str] = {"s3": "aws", "gs": "gcp"}


@dataclass(frozen=True, slots=True)
class Transfer:
    """What reading an input costs beside the machines.

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
        said = f"the bucket is of another cloud ({scheme}://), the machines are in {cloud} {region}"
        return Transfer(size / GB * INTERNET, INTERNET, requests, said)
    if place is None or place == region:
        return Transfer(0, 0, requests)
    price = NEAR if place.startswith(NEAR_REGIONS) else FAR
    said = f"the bucket is in {place}, the machines are in {region}"
    return Transfer(size / GB * price, price, requests, said)
