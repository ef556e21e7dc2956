"""The server that answers like AWS answers what the tests beside it count on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cloud.moto_server import Moto


def test_public_parameters_name_images_and_others_are_not_made_up(moto: Moto) -> None:
    ssm = moto.client("ssm")
    family = "base-oss-nvidia-driver-gpu-ubuntu-22.04"
    name = f"/aws/service/deeplearning/ami/x86_64/{family}/latest/ami-id"
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"].startswith("ami-")
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="/imgbatch/lab/ray-token")


def test_amazon_s_own_policies_are_there(moto: Moto) -> None:
    arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    assert moto.client("iam").get_policy(PolicyArn=arn)["Policy"]["Arn"] == arn


def test_a_reset_leaves_nothing_of_the_test_before(moto: Moto) -> None:
    s3 = moto.client("s3")
    assert s3.list_buckets()["Buckets"] == []
    where = {"LocationConstraint": "eu-central-1"}
    s3.create_bucket(Bucket="left", CreateBucketConfiguration=where)
    moto.reset()
    assert s3.list_buckets()["Buckets"] == []


def test_the_name_of_a_group_is_not_taken_twice(moto: Moto) -> None:
    scaling = moto.client("autoscaling")
    group = {
        "AutoScalingGroupName": "imgbatch-lab-head",
        "MinSize": 0,
        "MaxSize": 1,
        "AvailabilityZones": ["eu-central-1a"],
        "LaunchConfigurationName": "l",
    }
    scaling.create_launch_configuration(
        LaunchConfigurationName="l", ImageId="ami-03cf127a", InstanceType="t3.micro"
    )
    scaling.create_auto_scaling_group(**group)
    with pytest.raises(scaling.exceptions.AlreadyExistsFault):
        scaling.create_auto_scaling_group(**group)


def test_a_rule_without_ports_can_be_described_anew(moto: Moto) -> None:
    ec2 = moto.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    of_group = {"Filters": [{"Name": "group-id", "Values": [group]}]}
    (rule,) = ec2.describe_security_group_rules(**of_group)["SecurityGroupRules"]
    anew = {"IpProtocol": "-1", "CidrIpv4": "0.0.0.0/0", "Description": "out"}
    changes = [{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "SecurityGroupRule": anew}]
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=changes)
    (rule,) = ec2.describe_security_group_rules(**of_group)["SecurityGroupRules"]
    assert rule["Description"] == "out"
