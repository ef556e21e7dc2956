"""What is there of a deployment is found by its tag, with the id that Terraform imports it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.cloud.aws import found, who
from tests.cloud.moto_server import ACCOUNT, REGION

if TYPE_CHECKING:
    from tests.cloud.moto_server import Moto


def _tagged(kind: str, name: str = "lab") -> dict[str, Any]:
    tags = [{"Key": "imgbatch:deployment", "Value": name}]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]}


def test_the_account_and_the_region_that_is_meant(moto: Moto) -> None:
    assert moto.url
    assert who.who("") == (ACCOUNT, REGION)
    assert who.who("us-west-2") == (ACCOUNT, "us-west-2")


def test_what_has_no_name_is_told_by_tag_and_arguments(moto: Moto) -> None:
    ec2 = moto.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.83.0.0/16", **_tagged("vpc"))["Vpc"]["VpcId"]
    other = ec2.create_vpc(CidrBlock="10.83.0.0/16", **_tagged("vpc", "other"))["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, **_tagged("subnet"))["Subnet"]["SubnetId"]
        for block in ("10.83.0.0/20", "10.83.16.0/20")
    ]
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "net.aws_vpc.own": ("aws_vpc", {"cidr_block": "10.83.0.0/16"}),
        'net.aws_subnet.zone["b"]': ("aws_subnet", {"cidr_block": "10.83.16.0/20"}),
        'net.aws_subnet.zone["c"]': ("aws_subnet", {"cidr_block": "10.83.32.0/20"}),
        "net.aws_internet_gateway.out": ("aws_internet_gateway", {}),
        "iam.aws_iam_role.head": ("aws_iam_role", {"name": "imgbatch-lab-head"}),
    }
    assert found.ids(REGION, "lab", wanted) == {
        "net.aws_vpc.own": vpc,
        'net.aws_subnet.zone["b"]': subnets[1],
    }
    assert found.ids(REGION, "other", wanted) == {"net.aws_vpc.own": other}


def test_a_rule_that_aws_made_by_itself_is_told_by_its_group(moto: Moto) -> None:
    ec2 = moto.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.83.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "out": (
            "aws_vpc_security_group_egress_rule",
            {"cidr_ipv4": "0.0.0.0/0", "security_group_id": group},
        ),
        "in": ("aws_vpc_security_group_ingress_rule", {"security_group_id": group}),
        "of a group that is not made yet": ("aws_vpc_security_group_ingress_rule", {}),
    }
    found_ids = found.ids(REGION, "lab", wanted)
    assert found_ids.keys() == {"out"}
    assert found_ids["out"].startswith("sgr-")


def test_a_key_is_told_by_its_other_name_unless_it_is_on_its_way_out(moto: Moto) -> None:
    kms = moto.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/imgbatch-lab", TargetKeyId=key)
    wanted: dict[str, tuple[str, dict[str, Any]]] = {"s.aws_kms_key.own[0]": ("aws_kms_key", {})}
    assert found.ids(REGION, "lab", wanted) == {"s.aws_kms_key.own[0]": key}
    assert found.ids(REGION, "other", wanted) == {}
    kms.schedule_key_deletion(KeyId=key)
    assert found.ids(REGION, "lab", wanted) == {}
