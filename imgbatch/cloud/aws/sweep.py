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
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgbatch.cloud.aws.clients import Clients

TAG = "imgbatch:deployment"
PREFIX = "imgbatch-"
AT_ONCE = 16
GLOBAL = "all regions"
GONE = ("404", "NoSuchBucket", "NotFoundException", "ParameterNotFound")


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
    unasked: list[CloudError] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sweeps = [pool.submit(_region, clients, region, deployment) for region in regions]
        for sweep in [*sweeps, pool.submit(_roles, clients, deployment)]:
            try:
                yield from sweep.result()
            except CloudError as error:
                if "service control policy" not in str(error):
                    unasked.append(error)
    if unasked:
        raise unasked[0]


def _region(clients: Clients, region: str, deployment: str) -> list[Left]:
    with told(f"looking what is left in {region}"):
        found = [
            *_machines(clients, region, deployment),
            *_of_ec2(clients, region, deployment),
            *_gateways(clients, region, deployment),
            *_groups(clients, region, deployment),
            *_repositories(clients, region),
            *_others(clients, region, deployment),
        ]
    return [one for one in found if _ours(one.deployment, deployment)]


def _pages(client: Any, listing: str, **asked: Any) -> Iterator[Any]:
    if client.can_paginate(listing):
        yield from client.get_paginator(listing).paginate(**asked)
    else:
        yield getattr(client, listing)(**asked)


def _filter(deployment: str) -> dict[str, Any]:
    if deployment:
        return {"Name": f"tag:{TAG}", "Values": [deployment]}
    return {"Name": "tag-key", "Values": [TAG]}


def _ours(owner: str, deployment: str) -> bool:
    return bool(owner) and owner == (deployment or owner)


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


def _repositories(clients: Clients, region: str) -> Iterator[Left]:
    client = clients.of("ecr", region)
    for page in _pages(client, "describe_repositories"):
        for one in page["repositories"]:
            name = one["repositoryName"]
            if not name.startswith(("imgbatch/", PREFIX)):
                continue
            tags = client.list_tags_for_resource(resourceArn=one["repositoryArn"])["tags"]
            remove = f"aws ecr delete-repository --force --repository-name {name} --region {region}"
            yield Left("image", name, region, _owner(tags), costs=True, remove=remove)


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
        return _bucket(clients, region, name)
    if service == "ssm" and name.startswith("parameter/"):
        return _parameter(clients, region, name.removeprefix("parameter"))
    if service == "kms":
        key = name.removeprefix("key/")
        return _key(clients, region, key)
    return service, name, True, f"delete {arn} in AWS's console"


def _parameter(clients: Clients, region: str, name: str) -> tuple[str, str, bool, str] | None:
    try:
        clients.of("ssm", region).get_parameter(Name=name)
    except ClientError as error:
        if code_of(error) in GONE:
            return None
    return (
        "parameter",
        name,
        False,
        f"aws ssm delete-parameter --name {name} --region {region}",
    )


def _bucket(clients: Clients, region: str, name: str) -> tuple[str, str, bool, str] | None:
    """Return a bucket, in its own region."""
    try:
        told_of = clients.of("s3", region).head_bucket(Bucket=name)
    except ClientError as error:
        # What may not be looked at is there; a head of a bucket knows numbers only.
        if code_of(error) in GONE:
            return None
        told_of = {}
    if told_of.get("BucketRegion", region) != region:
        return None
    # `rb --force` would leave former versions, and fail.
    remove = f"empty s3://{name} of all versions, then aws s3api delete-bucket --bucket {name}"
    return "bucket", name, True, remove


def _key(clients: Clients, region: str, key: str) -> tuple[str, str, bool, str] | None:
    """Return a key; one that waits for its deletion costs nothing."""
    try:
        told_of = clients.of("kms", region).describe_key(KeyId=key)["KeyMetadata"]
    except ClientError as error:
        if code_of(error) in GONE:
            return None
        raise
    remove = f"aws kms schedule-key-deletion --pending-window-in-days 7 --key-id {key}"
    if told_of["KeyState"] == "PendingDeletion":
        return None
    return "key", key, True, f"{remove} --region {region}"


def _roles(clients: Clients, deployment: str) -> list[Left]:
    """Return roles, which cost nothing and keep the next deployment of that name from coming."""
    client, found = clients.of("iam"), []
    with told("looking what roles are left"):
        for page in _pages(client, "list_roles"):
            for one in page["Roles"]:
                name = one["RoleName"]
                if name.startswith("imgbatch"):
                    owner = _owner(client.list_role_tags(RoleName=name)["Tags"])
                    remove = f"aws iam delete-role --role-name {name}, after its policies"
                    found.append(Left("role", name, GLOBAL, owner, costs=False, remove=remove))
    return [one for one in found if _ours(one.deployment, deployment)]
