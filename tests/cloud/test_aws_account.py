"""Checks of an account, and what is left in it.

On moto, which has images, roles, tags and machines. It does not simulate policies: those answers
are stubbed, checked against AWS's own models of question and answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from imgbatch.cloud.aws import account as module
from imgbatch.cloud.aws.account import IMAGES, AwsAccount
from imgbatch.cloud.aws.clients import Clients
from imgbatch.cloud.aws.permissions import DEPLOYER, USER, permissions
from imgbatch.cloud.aws.sweep import left
from imgbatch.errors import CloudError, PermissionsError
from tests.cloud import moto_groups
from tests.cloud.aws_on_moto import IMAGE, REGION, Deployed, account, deploy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgbatch.cloud import Check, Left

USER_ARN = "arn:aws:iam::123456789012:user/anna"
EAST, NORTH = "us-east-1", "eu-north-1"


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    with account():
        yield Clients(REGION)


@pytest.fixture(scope="module")
def checked(clients: Clients) -> dict[str, Check]:
    return {check.name: check for check in AwsAccount(clients).checks(REGION)}


def test_each_line_is_ok_or_says_what_to_do(checked: dict[str, Check]) -> None:
    assert {
        name for name, check in checked.items() if check.state != "ok" and not check.fix
    } == set()


def test_who_asks_and_where_is_told_first(checked: dict[str, Check]) -> None:
    assert list(checked)[:2] == ["credentials", "region"]
    assert "arn:aws:sts::123456789012:" in checked["credentials"].said


def test_what_cannot_be_asked_is_unknown_and_what_can_is_tried(checked: dict[str, Check]) -> None:
    assert checked["permissions"].state == "unknown"
    assert "SimulatePrincipalPolicy" in checked["permissions"].fix
    assert checked["may: ec2:CreateVpc"].state == "ok"


def test_an_image_that_amazon_does_not_name_there_is_a_failure(checked: dict[str, Check]) -> None:
    assert checked["image ami_cpu"].said.startswith("ami-")
    assert checked["image ami_gpu"].state == "failed"
    assert "ami_gpu" in checked["image ami_gpu"].fix


def test_image_names_are_those_of_terraform(root: Path) -> None:
    text = (root / "infra" / "aws" / "main.tf").read_text("utf-8")
    assert set(re.findall(r'"(/aws/service/[^"]+)"', text)) == set(IMAGES.values())


def test_a_service_linked_role_that_is_not_there_has_its_command(checked: dict[str, Check]) -> None:
    for role, service in module.ROLES.items():
        assert checked[f"role {role}"].state == "unknown"
        assert service in checked[f"role {role}"].fix


def test_service_linked_roles_that_are_there_are_well(clients: Clients) -> None:
    for role in module.ROLES:
        boto3.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    found = {check.name: check for check in AwsAccount(clients).checks(REGION)}
    assert {found[f"role {role}"].state for role in module.ROLES} == {"ok"}


@pytest.mark.parametrize(("limit", "states"), [(64.0, {"ok"}), (0.0, {"failed", "unknown"})])
def test_quotas_that_are_too_small_are_told_with_the_command(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, limit: float, states: set[str]
) -> None:
    monkeypatch.setattr(moto_groups, "QUOTA", limit)
    lines = [c for c in AwsAccount(clients).checks(REGION) if c.name.startswith("quota")]
    assert len(lines) == 7
    assert {line.state for line in lines} == states
    for line in lines:
        assert ("request-service-quota-increase" in line.fix) == (line.state != "ok")
    # Pools are of small spot machines by default: on-demand GPUs and large ones are no failure.
    failed = {line.said.partition(":")[0] for line in lines if line.state == "failed"}
    assert failed == (
        set()
        if limit
        else {
            "All G and VT Spot Instance Requests (a10g, l4, l40s, t4)",
            "All Standard Spot Instance Requests",
            "Running On-Demand Standard instances",
        }
    )


def test_tools_of_this_machine_are_looked_for(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    found = {check.name: check for check in AwsAccount(clients).checks(REGION)}
    assert found["docker"].state == "ok"
    assert found["session-manager-plugin"].state == "unknown"
    assert "https://" in found["session-manager-plugin"].fix


def test_without_credentials_that_aws_takes_nothing_else_is_asked(clients: Clients) -> None:
    with Stubber(clients.of("sts")) as stub:
        stub.add_client_error("get_caller_identity", "InvalidClientTokenId", "The token is invalid")
        (line,) = AwsAccount(clients).checks(REGION)
    assert (line.name, line.state) == ("credentials", "failed")
    assert line.fix


@pytest.mark.parametrize(
    ("region", "fix"),
    [("il-central-1", "enable-region --region-name il-central-1"), ("us-middle-1", "us-east-1")],
)
def test_a_region_that_is_off_or_none_ends_the_checks(
    clients: Clients, region: str, fix: str
) -> None:
    regions = [
        {"RegionName": "us-east-1", "OptInStatus": "opt-in-not-required"},
        {"RegionName": "il-central-1", "OptInStatus": "not-opted-in"},
    ]
    with Stubber(clients.of("ec2")) as stub:
        stub.add_response("describe_regions", {"Regions": regions})
        *_, last = AwsAccount(clients).checks(region)
    assert (last.name, last.state) == ("region", "failed")
    assert fix in last.fix


# --- Permissions ----------------------------------------------------------------------------------


def simulate(stub: Stubber, denied: set[str]) -> None:
    for actions in (USER, DEPLOYER):
        for service, verbs in actions.items():
            results = [
                {
                    "EvalActionName": f"{service}:{verb}",
                    "EvalDecision": "implicitDeny" if f"{service}:{verb}" in denied else "allowed",
                }
                for verb in verbs
            ]
            stub.add_response("simulate_principal_policy", {"EvaluationResults": results})


def test_each_permission_that_lacks_is_named(clients: Clients) -> None:
    with Stubber(clients.of("iam")) as stub:
        simulate(stub, {"autoscaling:SetDesiredCapacity", "iam:PassRole", "iam:CreateRole"})
        lines = list(permissions(clients, USER_ARN, REGION))
        stub.assert_no_pending_responses()
    failed = {line.name: line.said for line in lines if line.state == "failed"}
    assert failed == {
        "may, to run: autoscaling": "not allowed: autoscaling:SetDesiredCapacity",
        "may, to make: iam": "not allowed: iam:CreateRole, iam:PassRole",
    }


def test_a_session_is_asked_about_as_its_role_with_the_roles_path(clients: Clients) -> None:
    """Of a session that single sign-on gave, the role's path is no part of its name."""
    arn = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_1/anna"
    role = "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1"
    asked: list[dict[str, Any]] = []
    client = clients.of("iam")
    client.meta.events.register(
        "provide-client-params.iam.SimulatePrincipalPolicy",
        lambda params, **_: asked.append(params),
        unique_id="asked",
    )
    with Stubber(client) as stub:
        found = {
            "Path": "/aws-reserved/sso.amazonaws.com/",
            "RoleName": "AWSReservedSSO_Admin_1",
            "RoleId": "AROA0000000000000000",
            "Arn": role,
            "CreateDate": "2026-11-21T00:00:00Z",
        }
        stub.add_response("get_role", {"Role": found}, {"RoleName": "AWSReservedSSO_Admin_1"})
        simulate(stub, set())
        lines = list(permissions(clients, arn, REGION))
    client.meta.events.unregister(
        "provide-client-params.iam.SimulatePrincipalPolicy", unique_id="asked"
    )
    assert {line.state for line in lines} == {"ok"}
    assert {params["PolicySourceArn"] for params in asked} == {role}


def test_the_root_user_is_not_simulated(clients: Clients) -> None:
    (line,) = permissions(clients, "arn:aws:iam::123456789012:root", REGION)
    assert line.state == "ok"


# --- What is left ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(clients: Clients) -> Deployed:  # noqa: ARG001 - its account
    """A deployment with one of each that is looked for, in two regions."""
    made = deploy(EAST)
    tags: Any = made.tags
    ec2 = boto3.client("ec2", EAST)
    boto3.client("autoscaling", EAST).set_desired_capacity(
        AutoScalingGroupName=made.gpu, DesiredCapacity=1
    )
    disk = ec2.create_volume(
        AvailabilityZone="us-east-1a",
        Size=8,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )["VolumeId"]
    ec2.create_snapshot(
        VolumeId=disk, TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}]
    )
    ec2.allocate_address(TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])
    vpc = ec2.create_vpc(
        CidrBlock="10.9.0.0/24", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/25")["Subnet"]["SubnetId"]
    ec2.create_nat_gateway(
        SubnetId=subnet, TagSpecifications=[{"ResourceType": "natgateway", "Tags": tags}]
    )
    s3 = boto3.client("s3", EAST)
    s3.create_bucket(Bucket=f"imgbatch-{made.name}")
    s3.put_bucket_tagging(Bucket=f"imgbatch-{made.name}", Tagging={"TagSet": tags})
    boto3.client("ecr", EAST).create_repository(repositoryName=f"imgbatch-{made.name}", tags=tags)
    boto3.client("iam").create_role(
        RoleName=f"imgbatch-{made.name}-head", AssumeRolePolicyDocument="{}", Tags=tags
    )
    key = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tags]
    boto3.client("kms", EAST).create_key(Tags=key)
    boto3.client("logs", EAST).create_log_group(
        logGroupName=f"/imgbatch/{made.name}", tags={tag["Key"]: tag["Value"] for tag in tags}
    )
    ec2_north = boto3.client("ec2", NORTH)
    ec2_north.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return made


def swept(clients: Clients, name: str) -> list[Left]:
    return list(left(clients, [EAST, NORTH], name))


def test_all_that_is_there_with_our_tag_is_found_in_all_regions(
    clients: Clients, full: Deployed
) -> None:
    found = swept(clients, full.name)
    assert sorted((one.kind, one.region) for one in found) == sorted(
        [
            ("address", EAST),
            ("bucket", EAST),
            ("disk", EAST),
            ("gateway", EAST),
            ("group", EAST),
            ("group", EAST),
            ("image", EAST),
            ("key", EAST),
            ("logs", EAST),
            ("machine", EAST),
            ("machine", NORTH),
            ("network", EAST),
            ("parameter", EAST),
            ("role", "all regions"),
            ("snapshot", EAST),
            ("template", EAST),
        ]
    )
    assert {one.deployment for one in found} == {full.name}


def test_what_costs_is_told_from_what_does_not(clients: Clients, full: Deployed) -> None:
    found = swept(clients, full.name)
    assert {one.kind for one in found if not one.costs} == {
        "group",
        "network",
        "parameter",
        "role",
        "template",
    }
    # The group that has a machine has it again when that is ended.
    assert sorted(one.costs for one in found if one.kind == "group") == [False, True]


def test_each_thing_has_the_command_that_removes_it(clients: Clients, full: Deployed) -> None:
    for one in swept(clients, full.name):
        assert "aws" in one.remove.lower()
        assert one.name in one.remove


def test_of_another_deployment_nothing_is_found(clients: Clients, full: Deployed) -> None:
    assert swept(clients, f"{full.name}x") == []


def test_without_a_name_all_deployments_are_found(clients: Clients, full: Deployed) -> None:
    other = deploy(NORTH)
    owners = {one.deployment for one in swept(clients, "")}
    assert {full.name, other.name} <= owners
    assert "" not in owners


def test_what_was_removed_is_not_left(clients: Clients) -> None:
    made = deploy(NORTH)
    ec2 = boto3.client("ec2", NORTH)
    scaling = boto3.client("autoscaling", NORTH)
    scaling.set_desired_capacity(AutoScalingGroupName=made.gpu, DesiredCapacity=2)
    assert {one.kind for one in swept(clients, made.name)} == {
        "group",
        "machine",
        "parameter",
        "template",
    }
    for group in (made.gpu, made.head):
        scaling.delete_auto_scaling_group(AutoScalingGroupName=group, ForceDelete=True)
    ec2.delete_launch_template(LaunchTemplateName=f"imgbatch-{made.name}")
    boto3.client("ssm", NORTH).delete_parameter(Name=made.token)
    assert swept(clients, made.name) == []


def test_what_the_index_of_tags_still_names_is_looked_at_again(clients: Clients) -> None:
    named = [
        {"ResourceARN": arn, "Tags": [{"Key": "imgbatch:deployment", "Value": "gone"}]}
        for arn in (
            "arn:aws:s3:::imgbatch-gone",
            "arn:aws:ssm:us-east-1:123456789012:parameter/imgbatch/gone/ray-token",
            "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555",
            "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0",
        )
    ]
    with Stubber(clients.of("resourcegroupstaggingapi")) as stub:
        stub.add_response("get_resources", {"ResourceTagMappingList": named})
        assert list(left(clients, [EAST], "gone")) == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [("UnauthorizedOperation", PermissionsError), ("InternalError", CloudError)],
)
def test_a_region_that_cannot_be_asked_is_no_proof_of_nothing(
    clients: Clients, full: Deployed, code: str, kind: type[CloudError]
) -> None:
    with Stubber(clients.of("ec2", NORTH)) as stub:
        stub.add_client_error("describe_instances", code, "no")
        sweep = left(clients, [NORTH, EAST], full.name)
        told = []
        with pytest.raises(kind, match=NORTH):
            told.extend(iter(sweep.__next__, None))
    assert {one.region for one in told} == {EAST, "all regions"}


def test_a_region_that_the_organisation_forbids_holds_nothing(
    clients: Clients, full: Deployed
) -> None:
    refusal = "not authorized to perform this with an explicit deny in a service control policy"
    with Stubber(clients.of("ec2", NORTH)) as stub:
        stub.add_client_error("describe_instances", "UnauthorizedOperation", refusal)
        found = list(left(clients, [EAST, NORTH], full.name))
    assert {one.region for one in found} == {EAST, "all regions"}


@pytest.mark.slow
def test_every_region_of_an_account_is_looked_at(clients: Clients, full: Deployed) -> None:
    found = list(AwsAccount(clients).left(full.name))
    assert {one.region for one in found} == {EAST, NORTH, "all regions"}
