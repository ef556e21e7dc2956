"""Who asks enters; a line per service leaves: what they may not do, of what `imgbatch cloud` does.

AWS simulates its own policies where that may be asked. A simulation knows nothing of conditions
that hang on the request and little of an organisation's bounds: it finds what is missing, and
proves no more. Where it may not be asked, a few requests are tried with `DryRun`, which does
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imgbatch.cloud import Check
from imgbatch.cloud.aws.errors import code_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud.aws.clients import Clients

# What `imgbatch cloud` itself asks for, by what it is asked about.
USER = {
    "autoscaling": (
        "DescribeAutoScalingGroups",
        "DescribeScalingActivities",
        "DescribeScheduledActions",
        "SetDesiredCapacity",
        "TerminateInstanceInAutoScalingGroup",
        "PutScheduledUpdateGroupAction",
        "DeleteScheduledAction",
    ),
    "ec2": ("DescribeInstances", "DescribeRegions", "DescribeSpotPriceHistory"),
    "pricing": ("GetProducts",),
    "s3": ("ListBucket", "GetObject", "PutObject", "DeleteObject"),
    "servicequotas": ("GetServiceQuota", "GetAWSDefaultServiceQuota"),
    # Sessions are about machines, and there are none to ask about before a run.
    "ssm": ("GetParameter",),
    "tag": ("GetResources",),
}
# What Terraform needs besides, to make a deployment and to destroy it.
DEPLOYER = {
    "autoscaling": (
        "CreateAutoScalingGroup",
        "UpdateAutoScalingGroup",
        "DeleteAutoScalingGroup",
        "CreateOrUpdateTags",
        "SuspendProcesses",
    ),
    "ec2": (
        "RunInstances",
        "CreateTags",
        "CreateVpc",
        "DeleteVpc",
        "CreateSubnet",
        "CreateInternetGateway",
        "CreateRouteTable",
        "CreateVpcEndpoint",
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
        "CreateLaunchTemplate",
        "DeleteLaunchTemplate",
        "DescribeImages",
    ),
    "iam": (
        "CreateRole",
        "DeleteRole",
        "PutRolePolicy",
        "CreateInstanceProfile",
        "AddRoleToInstanceProfile",
        "PassRole",
        "CreateServiceLinkedRole",
    ),
    "s3": (
        "CreateBucket",
        "DeleteBucket",
        "PutBucketPolicy",
        "PutEncryptionConfiguration",
        "PutBucketPublicAccessBlock",
        "PutLifecycleConfiguration",
        "PutBucketVersioning",
    ),
    "ecr": ("CreateRepository", "DeleteRepository", "GetAuthorizationToken", "PutImage"),
    "ssm": ("PutParameter", "DeleteParameter"),
    "budgets": ("ModifyBudget", "ViewBudget"),
}
ALLOWED = "allowed"
# What such a request carries, and policies ask for: those of infra/aws/*.json do.
CONTEXT = {
    "iam:PassedToService": "ec2.amazonaws.com",
    "iam:AWSServiceName": "autoscaling.amazonaws.com",
}
_TRIED: dict[str, tuple[str, dict[str, Any]]] = {
    "ec2:CreateVpc": ("create_vpc", {"CidrBlock": "10.0.0.0/28"}),
    "ec2:CreateLaunchTemplate": (
        "create_launch_template",
        {"LaunchTemplateName": "imgbatch-doctor", "LaunchTemplateData": {}},
    ),
    "ec2:DescribeInstances": ("describe_instances", {}),
    "ec2:DescribeSpotPriceHistory": (
        "describe_spot_price_history",
        {"InstanceTypes": ["t3.medium"]},
    ),
}


def permissions(clients: Clients, arn: str, region: str) -> Iterator[Check]:
    """Yield a line per service for using a deployment, and for making one."""
    account = arn.split(":")[4]
    if arn.endswith(":root"):
        said = "the account's root user may do everything; a user of its own is safer"
        yield Check("permissions", "ok", said)
        return
    try:
        who = _principal(clients, arn)
        for name, actions in (("to run", USER), ("to make", DEPLOYER)):
            for service, verbs in actions.items():
                yield _simulated(
                    clients, who, (name, service), verbs, _about(service, account, region)
                )
    except (ClientError, BotoCoreError) as error:
        code = code_of(error) if isinstance(error, ClientError) else type(error).__name__
        said = f"AWS does not let itself be asked about {arn} ({code}); a few requests were tried"
        fix = "Allow iam:SimulatePrincipalPolicy and iam:GetRole to have each one looked at."
        yield Check("permissions", "unknown", said, fix)
        yield from _tried(clients, region)


def _principal(clients: Clients, arn: str) -> str:
    """Return the user or role whose policies hold: of a session, its role with the role's path."""
    if ":assumed-role/" not in arn:
        return arn
    name = arn.split("/")[1]
    found: str = clients.of("iam").get_role(RoleName=name)["Role"]["Arn"]
    return found


def _about(service: str, account: str, region: str) -> str:
    """Return something that a deployment would have: a policy may be bound to our names."""
    ours = {
        "autoscaling": f"arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:"
        "autoScalingGroupName/imgbatch-doctor-gpu",
        "s3": f"arn:aws:s3:::imgbatch-doctor-{account}",
        "iam": f"arn:aws:iam::{account}:role/imgbatch-doctor-head",
        "ecr": f"arn:aws:ecr:{region}:{account}:repository/imgbatch-doctor",
        "ssm": f"arn:aws:ssm:{region}:{account}:parameter/imgbatch/doctor/ray-token",
        "budgets": f"arn:aws:budgets::{account}:budget/imgbatch-doctor",
    }
    return ours.get(service, "*")


def _simulated(
    clients: Clients, who: str, what: tuple[str, str], verbs: tuple[str, ...], about: str
) -> Check:
    use, service = what
    pages = clients.of("iam").get_paginator("simulate_principal_policy")
    asked = {
        "PolicySourceArn": who,
        "ActionNames": [f"{service}:{verb}" for verb in verbs],
        "ResourceArns": [about],
        "ContextEntries": [
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in CONTEXT.items()
        ],
    }
    missing = [
        result["EvalActionName"]
        for page in pages.paginate(**asked)
        for result in page["EvaluationResults"]
        if result["EvalDecision"] != ALLOWED
    ]
    title = f"may, {use}: {service}"
    if not missing:
        return Check(title, "ok", f"{len(verbs)} actions")
    fix = f"Have these allowed to {who.rpartition('/')[2]}; infra/README.md lists all."
    return Check(title, "failed", f"not allowed: {', '.join(missing)}", fix)


def _tried(clients: Clients, region: str) -> Iterator[Check]:
    for action, (verb, asked) in _TRIED.items():
        words: dict[str, Any] = {**asked, "DryRun": True}
        title = f"may: {action}"
        try:
            getattr(clients.of("ec2", region), verb)(**words)
            yield Check(title, "ok", "tried")
        except ClientError as error:
            code = code_of(error)
            if code == "UnauthorizedOperation":
                yield Check(title, "failed", "refused", f"Allow {action}.")
            elif code == "DryRunOperation":
                yield Check(title, "ok", "tried")
            else:
                yield Check(title, "unknown", f"{code}: {error}")
        except BotoCoreError as error:
            yield Check(title, "unknown", str(error))
