"""A tag enters; what there is with it in all regions of an account leaves.

EC2 and Auto Scaling are asked themselves: they say what exists now. The rest is asked of AWS's
index of tags, which goes on naming what is gone for a while: what it names is looked at again.
Roles, which no index holds, are found by their names and asked for their tags.

A region that does not let itself be asked is an error, and no proof of nothing. One exception:
where the organisation itself forbids a region, nobody of the account has machines there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imgbatch.cloud import Left
from imgbatch.cloud.aws.errors import code_of, told
from imgbatch.errors import PermissionsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.cloud.aws.clients import Clients

TAG = "imgbatch:deployment"
PREFIX = "imgbatch-"
AT_ONCE = 16
GLOBAL = "all regions"


@dataclass(frozen=True)
class _Kind:
    """Something of EC2: how it is listed, and which command removes it."""

    kind: str
    listing: str
    field: str
    id: str
    costs: bool
    remove: str


_EC2 = (
    _Kind(
        "disk",
        "describe_volumes",
        "Volumes",
        "VolumeId",
        costs=True,
        remove="delete-volume --volume-id",
    ),
    _Kind(
        "address",
        "describe_addresses",
        "Addresses",
        "AllocationId",
        costs=True,
        remove="release-address --allocation-id",
    ),
    _Kind(
        "snapshot",
        "describe_snapshots",
        "Snapshots",
        "SnapshotId",
        costs=True,
        remove="delete-snapshot --snapshot-id",
    ),
    _Kind(
        "template",
        "describe_launch_templates",
        "LaunchTemplates",
        "LaunchTemplateId",
        costs=False,
        remove="delete-launch-template --launch-template-id",
    ),
    _Kind(
        "network",
        "describe_vpcs",
        "Vpcs",
        "VpcId",
        costs=False,
        remove="delete-vpc --vpc-id",
    ),
)
# A machine that is shutting down has not ended, and one that has ended costs nothing.
_ALIVE = ["pending", "running", "shutting-down", "stopping", "stopped"]


def left(clients: Clients, regions: Sequence[str], deployment: str = "") -> Iterator[Left]:
    """Yield what there is with our tag: of one deployment, or of all.

    Raises:
        CloudError: a region cannot be asked; after all that could be is told.
    """
    refused: list[PermissionsError] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sweeps = [pool.submit(_region, clients, region, deployment) for region in regions]
        for sweep in sweeps:
            try:
                yield from sweep.result()
            except PermissionsError as error:
                if "service control policy" not in str(error):
                    refused.append(error)
    yield from _roles(clients, deployment)
    if refused:
        raise refused[0]


def _region(clients: Clients, region: str, deployment: str) -> list[Left]:
    with told(f"looking what is left in {region}"):
        return [
            *_machines(clients, region, deployment),
            *_of_ec2(clients, region, deployment),
            *_gateways(clients, region, deployment),
            *_groups(clients, region, deployment),
            *_repositories(clients, region, deployment),
            *_others(clients, region, deployment),
        ]


def _pages(client: Any, listing: str, **asked: Any) -> Iterator[Any]:
    if client.can_paginate(listing):
        yield from client.get_paginator(listing).paginate(**asked)
    else:
        yield getattr(client, listing)(**asked)


def _filter(deployment: str) -> dict[str, Any]:
    if deployment:
        return {"Name": f"tag:{TAG}", "Values": [deployment]}
    return {"Name": "tag-key", "Values": [TAG]}


def _owner(tags: Any) -> str:
    return next((str(tag["Value"]) for tag in tags or () if tag["Key"] == TAG), "")


def _machines(clients: Clients, region: str, deployment: str) -> Iterator[Left]:
    alive = {"Name": "instance-state-name", "Values": _ALIVE}
    filters = [_filter(deployment), alive]
    for page in _pages(clients.of("ec2", region), "describe_instances", Filters=filters):
        for reservation in page["Reservations"]:
            for one in reservation["Instances"]:
                name = one["InstanceId"]
                remove = f"aws ec2 terminate-instances --instance-ids {name} --region {region}"
                yield Left(
                    "machine", name, region, _owner(one.get("Tags")), costs=True, remove=remove
                )


def _of_ec2(clients: Clients, region: str, deployment: str) -> Iterator[Left]:
    for kind in _EC2:
        asked: dict[str, Any] = {"Filters": [_filter(deployment)]}
        if kind.kind == "snapshot":
            asked["OwnerIds"] = ["self"]
        for page in _pages(clients.of("ec2", region), kind.listing, **asked):
            for one in page[kind.field]:
                name = one[kind.id]
                remove = f"aws ec2 {kind.remove} {name} --region {region}"
                yield Left(kind.kind, name, region, _owner(one.get("Tags")), kind.costs, remove)


def _gateways(clients: Clients, region: str, deployment: str) -> Iterator[Left]:
    """Yield NAT gateways, which cost by the hour; a deleted one is listed for an hour more."""
    client = clients.of("ec2", region)
    for page in _pages(client, "describe_nat_gateways", Filter=[_filter(deployment)]):
        for one in page["NatGateways"]:
            if one["State"] != "deleted":
                name = one["NatGatewayId"]
                remove = f"aws ec2 delete-nat-gateway --nat-gateway-id {name} --region {region}"
                yield Left(
                    "gateway", name, region, _owner(one.get("Tags")), costs=True, remove=remove
                )


def _groups(clients: Clients, region: str, deployment: str) -> Iterator[Left]:
    client = clients.of("autoscaling", region)
    for page in _pages(client, "describe_auto_scaling_groups", Filters=[_filter(deployment)]):
        for one in page["AutoScalingGroups"]:
            name = one["AutoScalingGroupName"]
            remove = (
                "aws autoscaling delete-auto-scaling-group --force-delete "
                f"--auto-scaling-group-name {name} --region {region}"
            )
            grows = one["DesiredCapacity"] > 0 or bool(one["Instances"])
            yield Left("group", name, region, _owner(one["Tags"]), grows, remove)


def _repositories(clients: Clients, region: str, deployment: str) -> Iterator[Left]:
    client = clients.of("ecr", region)
    for page in _pages(client, "describe_repositories"):
        for one in page["repositories"]:
            name = one["repositoryName"]
            if not name.startswith(("imgbatch/", PREFIX)):
                continue
            tags = client.list_tags_for_resource(resourceArn=one["repositoryArn"])["tags"]
            owner = _owner(tags)
            if owner and owner == (deployment or owner):
                remove = (
                    f"aws ecr delete-repository --force --repository-name {name} --region {region}"
                )
                yield Left("image", name, region, owner, costs=True, remove=remove)


def _others(clients: Clients, region: str, deployment: str) -> Iterator[Left]:
    """Yield what the index of tags names of other services and is still there."""
    client = clients.of("resourcegroupstaggingapi", region)
    wanted = {"Key": TAG, "Values": [deployment] if deployment else []}
    for page in _pages(client, "get_resources", TagFilters=[wanted]):
        for one in page["ResourceTagMappingList"]:
            found = _other(clients, region, one["ResourceARN"])
            if found:
                kind, name, costs, remove = found
                yield Left(kind, name, region, _owner(one["Tags"]), costs, remove)


def _other(clients: Clients, region: str, arn: str) -> tuple[str, str, bool, str] | None:
    """Return kind, name, cost and command of a resource; None: asked elsewhere, or gone."""
    _, _, service, _, _, name = arn.split(":", 5)
    if service in ("ec2", "autoscaling", "ecr", "iam"):
        return None
    if service == "s3":
        there = _there(clients, region, "s3", "head_bucket", Bucket=name)
        # All versions too: `rb --force` leaves those.
        remove = f"empty s3://{name} of all versions, then aws s3api delete-bucket --bucket {name}"
        return ("bucket", name, True, remove) if there else None
    if service == "ssm" and name.startswith("parameter/"):
        name = name.removeprefix("parameter")
        remove = f"aws ssm delete-parameter --name {name} --region {region}"
        there = _there(clients, region, "ssm", "get_parameter", Name=name)
        return ("parameter", name, False, remove) if there else None
    if service == "kms":
        key = name.removeprefix("key/")
        return _key(clients, region, key)
    return service, name, True, f"delete {arn} in AWS's console"


def _there(clients: Clients, region: str, service: str, question: str, **asked: Any) -> bool:
    try:
        getattr(clients.of(service, region), question)(**asked)
    except ClientError as error:
        # What may not be looked at is there; a head of a bucket knows numbers only.
        return code_of(error) not in ("404", "NoSuchBucket", "ParameterNotFound")
    return True


def _key(clients: Clients, region: str, key: str) -> tuple[str, str, bool, str] | None:
    """Return a key; one that waits for its deletion costs nothing."""
    try:
        told_of = clients.of("kms", region).describe_key(KeyId=key)["KeyMetadata"]
    except ClientError as error:
        if code_of(error) == "NotFoundException":
            return None
        raise
    remove = f"aws kms schedule-key-deletion --pending-window-in-days 7 --key-id {key}"
    if told_of["KeyState"] == "PendingDeletion":
        return None
    return "key", key, True, f"{remove} --region {region}"


def _roles(clients: Clients, deployment: str) -> Iterator[Left]:
    """Yield roles, which cost nothing and keep the next deployment of that name from coming."""
    client = clients.of("iam")
    with told("looking what roles are left"):
        for page in _pages(client, "list_roles"):
            for one in page["Roles"]:
                name = one["RoleName"]
                if not name.startswith("imgbatch"):
                    continue
                owner = _owner(client.list_role_tags(RoleName=name)["Tags"])
                if owner and owner == (deployment or owner):
                    remove = f"aws iam delete-role --role-name {name}, after its policies"
                    yield Left("role", name, GLOBAL, owner, costs=False, remove=remove)
