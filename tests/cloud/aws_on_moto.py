"""An account of AWS on moto, in this process, with the groups of one deployment."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse

from tests.cloud.moto_groups import close_gaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud.aws.clients import Clients

REGION = "us-east-1"
# One of those that moto knows; to list them takes a second.
IMAGE = "ami-12c6146b"


@contextmanager
def account() -> Iterator[None]:
    """Have boto3 talk to moto, with credentials that are nobody's."""
    close_gaps()
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nowhere/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
        }.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.delenv(name, raising=False)
        yield


def price_list(clients: Clients) -> None:
    """Answer for AWS's price list, which moto lacks: each machine costs a dollar an hour."""
    term = {"priceDimensions": {"x": {"unit": "Hrs", "pricePerUnit": {"USD": "1.0000000000"}}}}
    answer = json.dumps({"PriceList": [json.dumps({"terms": {"OnDemand": {"x": term}}})]})

    def send(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, {}, MockRawResponse(answer.encode()))

    clients.of("pricing").meta.events.register("before-send.pricing.GetProducts", send)


@dataclass(frozen=True)
class Deployed:
    """Names of what is there of a deployment."""

    name: str

    @property
    def head(self) -> str:
        return f"imgbatch-{self.name}-head"

    @property
    def gpu(self) -> str:
        return f"imgbatch-{self.name}-gpu"

    @property
    def token(self) -> str:
        return f"/imgbatch/{self.name}/ray-token"

    @property
    def tags(self) -> list[dict[str, str]]:
        return [{"Key": "imgbatch:deployment", "Value": self.name}]


def deploy(region: str = REGION) -> Deployed:
    """Make what Terraform makes: two empty groups and a parameter, of a name of their own."""
    made = Deployed(uuid.uuid4().hex[:8])
    template = boto3.client("ec2", region).create_launch_template(
        LaunchTemplateName=f"imgbatch-{made.name}",
        LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "g6.xlarge"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": made.tags}],
    )["LaunchTemplate"]["LaunchTemplateId"]
    for group, most, on_demand in ((made.head, 1, 100), (made.gpu, 4, 0)):
        policy = {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template},
                "Overrides": [{"InstanceType": "g6.xlarge"}, {"InstanceType": "g5.xlarge"}],
            },
            "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": on_demand},
        }
        boto3.client("autoscaling", region).create_auto_scaling_group(
            AutoScalingGroupName=group,
            MixedInstancesPolicy=policy,
            MinSize=0,
            MaxSize=most,
            DesiredCapacity=0,
            AvailabilityZones=[f"{region}a"],
            Tags=[{**tag, "PropagateAtLaunch": True} for tag in made.tags],
        )
    boto3.client("ssm", region).put_parameter(
        Name=made.token, Value="unset", Type="SecureString", Tags=made.tags
    )
    return made
