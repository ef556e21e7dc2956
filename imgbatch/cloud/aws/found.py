"""What Terraform is to make enters; the ids of what is there already, by its tag, leave.

For a state that was lost, or not written to its end. What has a name of its own needs nothing of
this: its name is its id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgbatch.cloud.aws.clients import Clients
from imgbatch.cloud.aws.errors import told

if TYPE_CHECKING:
    from collections.abc import Mapping

TAG = "imgbatch:deployment"


@dataclass(frozen=True, slots=True)
class _Type:
    """How a type of Terraform is listed by EC2, and which arguments tell one from another.

    Attributes:
        same: what of EC2 is the same as an argument.
        fixed: what of EC2 is so for this type.
        within: an argument that says what it belongs to, and EC2's filter for that: where AWS makes
            such by itself, without our tag.
    """

    listing: str
    listed: str
    id: str
    same: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    within: tuple[str, str] | None = None


TYPES = {
    "aws_vpc": _Type("describe_vpcs", "Vpcs", "VpcId", {"cidr_block": "CidrBlock"}),
    "aws_subnet": _Type("describe_subnets", "Subnets", "SubnetId", {"cidr_block": "CidrBlock"}),
    "aws_internet_gateway": _Type(
        "describe_internet_gateways", "InternetGateways", "InternetGatewayId"
    ),
    "aws_route_table": _Type("describe_route_tables", "RouteTables", "RouteTableId"),
    "aws_vpc_endpoint": _Type(
        "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", {"service_name": "ServiceName"}
    ),
    "aws_security_group": _Type(
        "describe_security_groups", "SecurityGroups", "GroupId", {"name": "GroupName"}
    ),
    "aws_vpc_security_group_ingress_rule": _Type(
        "describe_security_group_rules",
        "SecurityGroupRules",
        "SecurityGroupRuleId",
        {"cidr_ipv4": "CidrIpv4"},
        {"IsEgress": False},
        ("security_group_id", "group-id"),
    ),
    "aws_vpc_security_group_egress_rule": _Type(
        "describe_security_group_rules",
        "SecurityGroupRules",
        "SecurityGroupRuleId",
        {"cidr_ipv4": "CidrIpv4"},
        {"IsEgress": True},
        ("security_group_id", "group-id"),
    ),
    "aws_launch_template": _Type(
        "describe_launch_templates",
        "LaunchTemplates",
        "LaunchTemplateId",
        {"name": "LaunchTemplateName"},
    ),
}
# EC2 says so of what is on its way out.
GOING = ("deleting", "deleted")


def ids(
    region: str, deployment: str, wanted: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> dict[str, str]:
    """Return the id of what is there already, by address.

    Args:
        region: of the deployment.
        deployment: its name: the tag of everything of it.
        wanted: type and arguments of what is to be made, by address.

    Raises:
        CloudError: AWS does not say.
    """
    clients = Clients(region)
    client = clients.of("ec2")
    listed: dict[tuple[str, str], list[dict[str, Any]]] = {}
    found = {}
    for address, (name, arguments) in wanted.items():
        if name == "aws_kms_key" and (key := _key(clients, deployment)):
            found[address] = key
        kind = TYPES.get(name)
        if kind is None:
            continue
        filtered = _filter(kind, deployment, arguments)
        if filtered is None:
            continue
        if (name, filtered[1]) not in listed:
            listed[name, filtered[1]] = _listed(client, kind, *filtered)
        same = [one[kind.id] for one in listed[name, filtered[1]] if _is(kind, one, arguments)]
        if len(same) == 1:
            found[address] = str(same[0])
    return found


def _filter(kind: _Type, deployment: str, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return EC2's filter and its value; None: what it belongs to is not made yet."""
    if kind.within is None:
        return f"tag:{TAG}", deployment
    argument, name = kind.within
    return (name, str(arguments[argument])) if arguments.get(argument) else None


def _listed(client: Any, kind: _Type, name: str, value: str) -> list[dict[str, Any]]:
    with told("looking what of the deployment is there"):
        wanted = [{"Name": name, "Values": [value]}]
        pages = client.get_paginator(kind.listing).paginate(Filters=wanted)
        listed: list[dict[str, Any]] = [one for page in pages for one in page[kind.listed]]
    return [one for one in listed if one.get("State") not in GOING]


def _key(clients: Clients, deployment: str) -> str:
    """Return the id of the deployment's own key, by its other name; "": it has none."""
    with told("looking for the deployment's key"):
        client = clients.of("kms")
        try:
            key = client.describe_key(KeyId=f"alias/imgbatch-{deployment}")["KeyMetadata"]
        except client.exceptions.NotFoundException:
            return ""
    return "" if key["KeyState"] == "PendingDeletion" else str(key["KeyId"])


def _is(kind: _Type, one: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    fixed = all(one.get(name) == value for name, value in kind.fixed.items())
    return fixed and all(
        one.get(theirs) == arguments.get(ours) for ours, theirs in kind.same.items()
    )
