"""Google's price list enters: what an hour of a core, a GiB and a GPU costs leaves, by region.

A machine is billed by its parts, each a line (SKU) of the list; spot and on-demand have lines of
their own, the same for all zones of a region. Lines are known by their words, as others read them
(Hail, SkyPilot, opencost; looked up in 2026-11; nothing here has asked Google):

    G2 Instance Core running in Iowa             Spot Preemptible G2 Instance Ram running in Iowa
    N1 Predefined Instance Core running in ...   Nvidia Tesla T4 GPU running in Americas
    Nvidia L4 GPU attached to Spot Preemptible VMs running in Iowa
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.cloud.gcp import table
from imgbatch.cloud.gcp.errors import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud.gcp.rest import Google

SERVICE = "cloudbilling"
# Compute Engine, in that list.
LIST = "v1/services/6F81-5844-456A/skus"
PAGE = 5000
# Of some ten thousand lines nothing else is asked for.
FIELDS = (
    "nextPageToken,skus(description,category(usageType),serviceRegions,"
    "pricingInfo(pricingExpression(tieredRates(unitPrice(units,nanos)))))"
)
USAGE = {"OnDemand": False, "Preemptible": True}
_PART = re.compile(
    r"^(?:Spot )?(?:Preemptible )?(?P<family>.+ Instance) (?P<part>Core|Ram) running in "
)
_GPU = re.compile(
    r"^Nvidia (?:Tesla )?(?P<gpu>\w+) GPU (?:attached to (?:Spot Preemptible )?VMs )?running in "
)

# Dollars an hour of a part of a machine: (family or GPU, part, region, spot).
Rates = dict[tuple[str, str, str, bool], float]


def rates(google: Google) -> Rates:
    """Return what parts of the machines that imgbatch knows cost, in all regions.

    Raises:
        CloudError: Google refuses or does not answer.
    """
    with told("asking for Google's price list"):
        lines = google.pages(
            SERVICE, LIST, "skus", currencyCode="USD", pageSize=PAGE, fields=FIELDS
        )
        return {key: dollars for line in lines for key, dollars in _rates(line) if dollars > 0}


def dollars(found: Rates, kind: str, region: str, *, spot: bool) -> float | None:
    """Return what an hour of a type costs; None where the list lacks a part of it."""
    known = table.known()[kind]
    machine, family = known.machine, known.family
    parts = [
        (found.get((family.sku, "Core", region, spot)), machine.cores),
        (found.get((family.sku, "Ram", region, spot)), machine.memory_gib),
    ]
    if family.gpu_sku:
        parts.append((found.get((family.gpu_sku, "GPU", region, spot)), machine.gpus))
    if any(rate is None for rate, _ in parts):
        return None
    return round(sum((rate or 0.0) * count for rate, count in parts), 5)


def _rates(line: Any) -> Iterator[tuple[tuple[str, str, str, bool], float]]:
    key = _part(line.get("description", ""))
    usage = line.get("category", {}).get("usageType")
    if key is None or usage not in USAGE:
        return
    for region in line.get("serviceRegions", []):
        yield (*key, region, USAGE[usage]), _dollars(line)


def _part(said: str) -> tuple[str, str] | None:
    families = table.table().families.values()
    if (found := _PART.match(said)) and found["family"] in {one.sku for one in families}:
        return found["family"], found["part"]
    if (found := _GPU.match(said)) and found["gpu"] in {one.gpu_sku for one in families}:
        return found["gpu"], "GPU"
    return None


def _dollars(line: Any) -> float:
    tiers = line["pricingInfo"][-1]["pricingExpression"]["tieredRates"]
    price = tiers[-1]["unitPrice"]
    return int(price.get("units") or 0) + int(price.get("nanos") or 0) / 1e9
