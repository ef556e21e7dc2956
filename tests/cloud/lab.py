"""What Terraform makes of a deployment, as far as machines see it: made on moto by hand, quickly.

The network is of loopback, so that the address which the cloud gives a machine is one that this
host has.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgbatch.cloud.control import Control, Lease
from imgbatch.cloud.deployment import Deployment, Head, Pool
from tests.cloud.moto_server import ACCOUNT, REGION
from tests.cloud.rendered import HEAD, WORKER, render

if TYPE_CHECKING:
    from tests.cloud.moto_server import Moto

RUN = "20261121T120000Z-abc123"
SECRET = "sesame-" + "0123456789abcdef" * 2
KINDS = ["g6.xlarge"]


@dataclass
class Lab:
    """A deployment of its own name with a head group, a pool `gpu`, and a bucket."""

    moto: Moto
    name: str = field(default_factory=lambda: f"lab{uuid.uuid4().hex[:6]}")

    @property
    def bucket(self) -> str:
        return f"imgbatch-{self.name}-{ACCOUNT}"

    @property
    def head(self) -> str:
        return f"imgbatch-{self.name}-head"

    @property
    def pool(self) -> str:
        return f"imgbatch-{self.name}-gpu"

    @property
    def token(self) -> str:
        return f"/imgbatch/{self.name}/ray-token"

    @property
    def control(self) -> Control:
        return Control(f"s3://{self.bucket}/control")

    def make(self) -> None:
        place = {"LocationConstraint": REGION}
        s3 = self.moto.client("s3")
        s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration=place)
        told = self.deployment().model_dump_json().encode()
        s3.put_object(Bucket=self.bucket, Key="control/deployment.json", Body=told)
        self.moto.client("ssm").put_parameter(Name=self.token, Value=SECRET, Type="SecureString")
        ec2 = self.moto.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="127.20.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.20.1.0/24")["Subnet"]["SubnetId"]
        data = {"ImageId": "ami-03cf127a", "InstanceType": KINDS[0]}
        ec2.create_launch_template(LaunchTemplateName=self.name, LaunchTemplateData=data)
        for group in self.deployment().groups:
            self.moto.client("autoscaling").create_auto_scaling_group(
                AutoScalingGroupName=group,
                LaunchTemplate={"LaunchTemplateName": self.name},
                MinSize=0,
                MaxSize=4,
                DesiredCapacity=0,
                VPCZoneIdentifier=subnet,
            )

    def deployment(self) -> Deployment:
        zones = [f"{REGION}a"]
        pool = Pool(group=self.pool, machines=KINDS, most=4, spot=True, zones=zones, disk_gib=50)
        return Deployment(
            format=1,
            name=self.name,
            cloud="aws",
            region=REGION,
            account=ACCOUNT,
            bucket=f"s3://{self.bucket}",
            control=f"s3://{self.bucket}/control",
            image=str(WORKER["image"]),
            token=self.token,
            head=Head(group=self.head, machines=["m7i.large"], disk_gib=50),
            pools={"gpu": pool},
        )

    def launch(self, group: str) -> tuple[str, str]:
        """Have a group grow by one; return the machine and its address."""
        scaling = self.moto.client("autoscaling")
        former = set(self.members(group))
        scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=len(former) + 1)
        (machine,) = set(self.members(group)) - former
        found = self.moto.client("ec2").describe_instances(InstanceIds=[machine])
        return machine, found["Reservations"][0]["Instances"][0]["PrivateIpAddress"]

    def members(self, group: str) -> list[str]:
        return [one["InstanceId"] for one in self._group(group)["Instances"]]

    def wanted(self, group: str) -> int:
        return int(self._group(group)["DesiredCapacity"])

    def _group(self, group: str) -> dict[str, Any]:
        scaling = self.moto.client("autoscaling")
        found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])
        return dict(found["AutoScalingGroups"][0])

    def user_data(self, role: str) -> str:
        """Return what Terraform gives machines of a role."""
        own = {"name": self.name, "control": f"s3://{self.bucket}/control", "token": self.token}
        if role == "head":
            return render({**HEAD, **own, "group": self.head})
        return render({**WORKER, **own, "group": self.pool})

    def lease(self, **changes: Any) -> Lease:
        """Return a lease of the run for the pool that holds for an hour, or as told."""
        told = {
            "run": RUN,
            "deadline": 4_000_000_000,
            "beat": 1,
            "left": 3600,
            "head": "",
            "head_machine": "i-head",
            "pool": "gpu",
        }
        return Lease(**{**told, **changes})
