"""An account as a whole: whether machines could be rented in it, and what of ours is left."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imgbatch.cloud import Check
from imgbatch.cloud.aws.errors import code_of, told
from imgbatch.cloud.aws.permissions import permissions
from imgbatch.cloud.aws.quotas import quotas
from imgbatch.cloud.aws.sweep import left
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud import Left, Quota
    from imgbatch.cloud.aws.clients import Clients

# The same as in infra/aws/main.tf.
IMAGES = {
    "ami_cpu": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    "ami_gpu": (
        "/aws/service/deeplearning/ami/x86_64/"
        "base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
    ),
}
ROLES = {
    "AWSServiceRoleForAutoScaling": "autoscaling.amazonaws.com",
    "AWSServiceRoleForEC2Spot": "spot.amazonaws.com",
}
PLUGIN = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html"
)
TOOLS = {
    "session-manager-plugin": ("for `imgbatch cloud ssh` and `jupyter`", f"Install it: {PLUGIN}"),
    "docker": ("for `scripts/image`, where the image is built", "https://docs.docker.com/engine"),
}
# The smallest machine with a GPU has so many cores, the smallest head half as many.
GPU_CORES, HEAD_CORES = 4, 2
# What no pool has unless somebody says so.
LARGE = frozenset({"a100", "h100"})


class AwsAccount:
    """Implements `imgbatch.cloud.Account`."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def checks(self, region: str) -> Iterator[Check]:
        """Yield a line for credentials, region, permissions, image names, roles, quotas, tools."""
        region = region or self._clients.region
        try:
            with told("asking who we are"):
                arn: str = self._clients.of("sts", region).get_caller_identity()["Arn"]
        except CloudError as error:
            yield Check("credentials", "failed", str(error), error.remedy)
            return
        yield Check("credentials", "ok", arn)
        on = self._region(region)
        yield on
        if on.state == "failed":
            return
        yield from permissions(self._clients, arn, region)
        for name in IMAGES:
            yield self._image(name, region)
        for role in ROLES:
            yield self._role(role)
        yield from self._quotas(region)
        yield from _tools()

    def left(self, deployment: str = "") -> Iterator[Left]:
        """Yield what there is with our tag in all regions: of one deployment, or of all.

        Raises:
            CloudError: a region cannot be asked; after all that could be is told.
        """
        with told("asking for the account's regions"):
            found = self._clients.of("ec2").describe_regions()["Regions"]
        return left(self._clients, [one["RegionName"] for one in found], deployment)

    def _region(self, region: str) -> Check:
        try:
            with told(f"asking for {region}"):
                asked = self._clients.of("ec2").describe_regions(AllRegions=True)["Regions"]
        except CloudError as error:
            return Check("region", "unknown", str(error), error.remedy)
        state = {one["RegionName"]: one["OptInStatus"] for one in asked}.get(region)
        if state is None:
            return Check("region", "failed", f"AWS has no {region}", f"Take one of {_few(asked)}.")
        if state == "not-opted-in":
            fix = f"aws account enable-region --region-name {region}"
            return Check("region", "failed", f"{region} is not enabled for this account", fix)
        return Check("region", "ok", region)

    def _image(self, variable: str, region: str) -> Check:
        name, title = IMAGES[variable], f"image {variable}"
        try:
            with told(f"asking for {name}"):
                found = self._clients.of("ssm", region).get_parameter(Name=name)["Parameter"]
        except CloudError as error:
            absent = isinstance(error.__cause__, ClientError) and (
                code_of(error.__cause__) == "ParameterNotFound"
            )
            fix = f"Set {variable} in the deployment's variables to an image with the same in it."
            said = f"{region} has no {name}" if absent else str(error)
            return Check(title, "failed" if absent else "unknown", said, fix)
        return Check(title, "ok", found["Value"])

    def _role(self, role: str) -> Check:
        title, service = f"role {role}", ROLES[role]
        try:
            with told(f"asking for {role}"):
                self._clients.of("iam").get_role(RoleName=role)
        except CloudError as error:
            absent = isinstance(error.__cause__, ClientError) and (
                code_of(error.__cause__) in ("NoSuchEntity", "NoSuchEntityException")
            )
            # AWS makes both with the first machines; these may then fail once, for its own delay.
            said = "not there yet: AWS makes it with the first machines" if absent else str(error)
            fix = f"aws iam create-service-linked-role --aws-service-name {service}"
            return Check(title, "unknown", said, fix if absent else error.remedy)
        return Check(title, "ok", "is there")

    def _quotas(self, region: str) -> Iterator[Check]:
        try:
            found = quotas(self._clients, region)
        except CloudError as error:
            yield Check("quotas", "unknown", str(error), error.remedy)
            return
        shown: set[str] = set()
        for quota in found:
            if quota.name not in shown:
                shown.add(quota.name)
                kinds = sorted({one.gpu for one in found if one.name == quota.name and one.gpu})
                yield _quota(quota, kinds)


def _quota(quota: Quota, kinds: list[str]) -> Check:
    title = f"quota {'spot' if quota.spot else 'on-demand'} {'GPU' if kinds else 'CPU'}"
    free = quota.limit - (quota.used or 0)
    of = f" ({', '.join(kinds)})" if kinds else ""
    said = f"{quota.name}{of}: {quota.limit:.0f} cores, {free:.0f} free in {quota.region}"
    if free >= (GPU_CORES if kinds or quota.spot else HEAD_CORES):
        return Check(title, "ok", said)
    # Pools are of spot machines of smaller GPUs unless somebody says otherwise; the head is not.
    needed = not kinds or (quota.spot and not LARGE.issuperset(kinds))
    return Check(title, "failed" if needed else "unknown", said, quota.fix)


def _tools() -> Iterator[Check]:
    for tool, (use, fix) in TOOLS.items():
        found = shutil.which(tool)
        if found:
            yield Check(tool, "ok", found)
        else:
            yield Check(tool, "unknown", f"not on this machine; {use}", fix)


def _few(regions: list[dict[str, str]]) -> str:
    return ", ".join(sorted(one["RegionName"] for one in regions))
