"""A region enters, what bounds the machines that imgbatch knows leaves: in GPUs and cores.

A GPU is bounded by its kind in the region, spot (`PREEMPTIBLE_...`) and not, and all kinds together
by `GPUS_ALL_REGIONS` of the project; whichever leaves less is told. Spot machines count against a
quota of their own where the project was given one, else against that of all machines, with their
cores, GPUs and disks: Google's documents on spot machines, and the quotas of public projects
(looked up in 2026-11).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import Quota
from imgbatch.cloud.gcp.errors import told
from imgbatch.cloud.gcp.rest import one
from imgbatch.errors import PermissionsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud.gcp.rest import Google

KINDS = {"l4": "NVIDIA_L4_GPUS", "t4": "NVIDIA_T4_GPUS", "a100": "NVIDIA_A100_GPUS"}
SPOT = "PREEMPTIBLE_"
ALL_GPUS, ALL_CORES = "GPUS_ALL_REGIONS", "CPUS_ALL_REGIONS"
PAGE = "https://console.cloud.google.com/iam-admin/quotas?project={project}&metric={metric}"


def quotas(google: Google, region: str) -> list[Quota]:
    """Return one line per kind of GPU and market; lines of one name are one quota.

    Raises:
        CloudError: Google refuses or does not answer.
    """
    place = f"projects/{google.project}"
    with told(f"asking for the quotas in {region}"):
        local = _by_metric(google.get("compute", f"{place}/regions/{one(region)}"))
    try:
        with told(f"asking for the quotas of {google.project}"):
            everywhere = _by_metric(google.get("compute", place))
    except PermissionsError:
        everywhere = {}  # what bounds all regions together is for whoever may see the project
    return list(_quotas(google.project, region, local, everywhere))


def _quotas(project: str, region: str, local: Any, everywhere: Any) -> Iterator[Quota]:
    for spot in (True, False):
        for gpu, metric in {**KINDS, "": "CPUS"}.items():
            own = _own(local, metric, spot=spot)
            bound = _tightest(own, everywhere.get(ALL_GPUS if gpu else ALL_CORES))
            if bound is None:
                continue
            name = bound["metric"]
            yield Quota(
                name=name,
                region=region,
                gpu=gpu,
                spot=spot,
                unit="gpus" if gpu else "cores",
                limit=float(bound["limit"]),
                used=float(bound.get("usage", 0)),
                fix=f"Ask for more at {PAGE.format(project=project, metric=name)}",
            )


def free(google: Google, region: str, metric: str) -> tuple[float, float, str]:
    """Return the limit of a quota of a region, what of it is free, and where more is asked for.

    Raises:
        CloudError: Google refuses or does not answer.
    """
    with told(f"asking for the quota {metric} in {region}"):
        path = f"projects/{google.project}/regions/{one(region)}"
        found = _by_metric(google.get("compute", path)).get(metric, {"limit": math.inf})
    fix = f"Ask for more at {PAGE.format(project=google.project, metric=metric)}"
    return float(found["limit"]), float(found["limit"] - found.get("usage", 0)), fix


def _by_metric(raw: Any) -> dict[str, Any]:
    return {quota["metric"]: quota for quota in raw.get("quotas", [])}


def _own(local: dict[str, Any], metric: str, *, spot: bool) -> Any:
    """Return what bounds a kind in a region: spot machines may count with all others."""
    own = local.get(f"{SPOT}{metric}")
    return own if spot and own and own["limit"] else local.get(metric)


def _tightest(*bounds: Any) -> Any:
    known = [bound for bound in bounds if bound]
    return min(known, key=lambda bound: bound["limit"] - bound.get("usage", 0), default=None)
