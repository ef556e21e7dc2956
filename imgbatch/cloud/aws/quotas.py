"""A region enters, what bounds the machines that imgbatch knows leaves: in vCPUs, spot and not.

Codes as they are used all over public code (looked up in 2026-11): an account's limits start at 0
for GPUs, and spot and on-demand are bounded apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imgbatch.cloud import Quota
from imgbatch.cloud.aws import table
from imgbatch.cloud.aws.errors import code_of, told

if TYPE_CHECKING:
    from imgbatch.cloud.aws.clients import Clients

# Families of machines that share a bound: P4 and P5 do so on demand, and not as spot machines.
GRAPHICS, P4, P5, STANDARD = "graphics", "p4", "p5", "standard"
# Types that share a first letter with the standard ones, and no bound.
_OTHERS = ("dl", "hpc", "inf", "mac", "trn")
CODES = {
    (GRAPHICS, True): ("L-3819A6DF", "All G and VT Spot Instance Requests"),
    (GRAPHICS, False): ("L-DB2E81BA", "Running On-Demand G and VT instances"),
    (P4, True): ("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests"),
    (P5, True): ("L-C4BD4855", "All P5 Spot Instance Requests"),
    (P4, False): ("L-417A185B", "Running On-Demand P instances"),
    (P5, False): ("L-417A185B", "Running On-Demand P instances"),
    (STANDARD, True): ("L-34B43A08", "All Standard Spot Instance Requests"),
    (STANDARD, False): ("L-1216C47A", "Running On-Demand Standard instances"),
}
# What is asked for beyond what there is: eight machines of four cores.
MORE = 32


def quotas(clients: Clients, region: str) -> list[Quota]:
    """Return one line per kind of GPU and market; lines of one name are one quota.

    Raises:
        CloudError: AWS refuses or does not answer.
    """
    used = _used(clients, region)
    kinds = {(_family(machine.type), machine.gpu) for machine in table.machines()}
    codes = sorted({code for code, _name in CODES.values()})
    limits = {code: _limit(clients, region, code) for code in codes}
    return [
        Quota(
            name=name,
            region=region,
            gpu=gpu,
            spot=spot,
            unit="cores",
            limit=limits[code],
            used=used[code],
            fix=_fix(code, region, limits[code]),
        )
        for (family, spot), (code, name) in CODES.items()
        for gpu in sorted(gpu for of, gpu in kinds if of == family)
    ]


def _limit(clients: Clients, region: str, code: str) -> float:
    asked = {"ServiceCode": "ec2", "QuotaCode": code}
    client = clients.of("service-quotas", region)
    with told(f"asking for quota {code} in {region}"):
        try:
            found = client.get_service_quota(**asked)
        except ClientError as error:
            # An account that was never given one of its own has AWS's default.
            if code_of(error) != "NoSuchResourceException":
                raise
            found = client.get_aws_default_service_quota(**asked)
    return float(found["Quota"]["Value"])


def _used(clients: Clients, region: str) -> dict[str, float]:
    """Return the cores of machines that exist, by the code of what bounds them."""
    used = dict.fromkeys((code for code, _name in CODES.values()), 0.0)
    states = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    with told(f"counting machines in {region}"):
        pages = clients.of("ec2", region).get_paginator("describe_instances")
        for page in pages.paginate(Filters=states):
            for reservation in page["Reservations"]:
                for one in reservation["Instances"]:
                    key = (_family(one["InstanceType"]), one.get("InstanceLifecycle") == "spot")
                    if key in CODES:
                        used[CODES[key][0]] += _cores(one)
    return used


def _family(kind: str) -> str:
    if kind.startswith(("g", "vt")):
        return GRAPHICS
    if kind.startswith("p5"):
        return P5
    if kind.startswith(("p2", "p3", "p4")):
        return P4
    return STANDARD if kind[0] in "acdhimrtz" and not kind.startswith(_OTHERS) else ""


def _cores(instance: Any) -> float:
    said = instance.get("CpuOptions", {})
    return float(said.get("CoreCount", 1) * said.get("ThreadsPerCore", 1))


def _fix(code: str, region: str, limit: float) -> str:
    return (
        "aws service-quotas request-service-quota-increase --service-code ec2 "
        f"--quota-code {code} --desired-value {limit + MORE:.0f} --region {region}"
    )
