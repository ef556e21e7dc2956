"""Files of Terraform enter; what breaks a promise of `infra/` that checkov does not know leaves.

Of what is written, not of what is applied: a value that is a variable counts as what the module's
own checks make of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import hcl2

from tests.infra.google_policies import RULES as GOOGLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# With one of these a machine could make machines, or let a group grow beyond its largest size.
FORBIDDEN = (
    "autoscaling:CreateAutoScalingGroup",
    "autoscaling:CreateOrUpdateTags",
    "autoscaling:PutScalingPolicy",
    "autoscaling:UpdateAutoScalingGroup",
    "ec2:CreateFleet",
    "ec2:CreateLaunchTemplateVersion",
    "ec2:CreateTags",
    "ec2:RequestSpotFleet",
    "ec2:RequestSpotInstances",
    "ec2:RunInstances",
    "iam:AttachRolePolicy",
    "iam:CreateAccessKey",
    "iam:PassRole",
    "iam:PutRolePolicy",
    "s3:DeleteBucket",
    "s3:DeleteObjectVersion",
    "s3:PutBucketPolicy",
    "s3:PutLifecycleConfiguration",
    "sts:AssumeRole",
)
# They cost money, or may, with nothing running; or they are machines outside of any group.
NOT_HERE = (
    "aws_db_instance",
    "aws_ec2_fleet",
    "aws_eip",
    "aws_eks_cluster",
    "aws_instance",
    "aws_lb",
    "aws_nat_gateway",
    "aws_secretsmanager_secret",
    "aws_spot_fleet_request",
    "aws_spot_instance_request",
)
TAGGED = {"instance", "volume", "network-interface"}


@dataclass(frozen=True)
class Block:
    """A resource or a data source."""

    file: str
    mode: str
    type: str
    name: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file}: {self.type}.{self.name}"


def read(folder: Path) -> tuple[list[Block], list[dict[str, Any]]]:
    """Return the resources and data sources of all modules, and their providers."""
    blocks, providers = [], []
    for file in sorted(folder.rglob("*.tf")):
        with file.open() as opened:
            tree = _plain(hcl2.load(opened))
        providers += [body for one in tree.get("provider", []) for body in one.values()]
        for mode in ("resource", "data"):
            for one in tree.get(mode, []):
                for kind, named in one.items():
                    blocks += [
                        Block(str(file.relative_to(folder)), mode, kind, name, body)
                        for name, body in named.items()
                    ]
    return blocks, providers


def _plain(value: Any) -> Any:
    """Take away the quotes that the parser leaves on words, and its notes."""
    if isinstance(value, dict):
        kept = {_plain(k): _plain(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if not k.startswith("__")}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def broken(folder: Path) -> list[str]:
    """Return a line for each promise that is broken somewhere below a folder."""
    blocks, providers = read(folder)
    assert blocks, f"nothing of Terraform's in {folder}"
    rules: tuple[Callable[[list[Block]], Iterator[str]], ...] = (
        _ingress,
        _sizes,
        _kills,
        _templates,
        _rights,
        _connections,
        _standing,
        *GOOGLE,
    )
    lines = [line for rule in rules for line in rule(blocks)]
    untagged = [
        p
        for p in providers
        if "tags" not in (p.get("default_tags") or [{}])[0] and "default_labels" not in p
    ]
    return [*lines, *("the provider tags nothing: no default_tags" for _ in untagged)]


def _of(blocks: list[Block], *kinds: str) -> list[Block]:
    return [one for one in blocks if one.mode == "resource" and one.type in kinds]


def _ingress(blocks: list[Block]) -> Iterator[str]:
    """Nobody reaches a machine but machines of the same security group: 8265 is open to none."""
    for one in _of(blocks, "aws_security_group", "aws_default_security_group"):
        if "ingress" in one.body or "ingress" in _dynamic(one.body):
            yield f"{one}: takes connections by a rule of its own"
    for one in _of(blocks, "aws_security_group_rule"):
        if one.body.get("type") != "egress":
            yield f"{one}: takes connections"
    for one in _of(blocks, "aws_vpc_security_group_ingress_rule"):
        outside = {"cidr_ipv4", "cidr_ipv6", "prefix_list_id"} & one.body.keys()
        own = one.body.get("referenced_security_group_id")
        if outside or own != one.body["security_group_id"]:
            yield f"{one}: takes connections from outside of its own group"


def _sizes(blocks: list[Block]) -> Iterator[str]:
    """Every group is empty at first and has a largest size; the head's is one."""
    for one in _of(blocks, "aws_autoscaling_group"):
        most = one.body.get("max_size")
        if most is None:
            yield f"{one}: has no max_size"
        elif one.name == "head" and most != 1:
            yield f"{one}: more than one head"
        elif one.name != "head" and not (isinstance(most, int) or most == "${var.most}"):
            yield f"{one}: max_size is {most}"
        if one.body.get("min_size") != 0 or one.body.get("desired_capacity") != 0:
            yield f"{one}: is not empty at first"
        ignored = [
            name for each in one.body.get("lifecycle", []) for name in each["ignore_changes"]
        ]
        if "desired_capacity" not in ignored:
            yield f"{one}: an apply would set its size while a run is at work"
        if "AZRebalance" not in one.body.get("suspended_processes", []):
            yield f"{one}: AZRebalance ends machines at work"


def _kills(blocks: list[Block]) -> Iterator[str]:
    """What wakes a head has its end beside it, for every group; each machine has a watch."""
    schedules = _of(blocks, "aws_autoscaling_schedule")
    kills = [one for one in schedules if one.body.get("desired_capacity") == 0]
    for one in schedules:
        if one in kills:
            continue
        beside = [kill for kill in kills if kill.file == one.file]
        groups = " ".join(str(kill.body.get("for_each", "")) for kill in beside)
        if not ("head_group" in groups and "pool_groups" in groups):
            yield f"{one}: wakes machines, and nothing ends all groups"
    for one in _of(blocks, "aws_launch_template"):
        if "var.script" not in str(one.body.get("user_data", "")):
            yield f"{one}: boots without the script that brings the watch"
        if one.body.get("instance_initiated_shutdown_behavior") != "terminate":
            yield f"{one}: a machine that shuts down goes on costing"


def _templates(blocks: list[Block]) -> Iterator[str]:
    """Machines ask their metadata with a token, encrypt disks, lose them, and carry our tags."""
    for one in _of(blocks, "aws_launch_template"):
        options = (one.body.get("metadata_options") or [{}])[0]
        if options.get("http_tokens") != "required":
            yield f"{one}: metadata without a token (IMDSv1)"
        disks = [each for device in one.body["block_device_mappings"] for each in device["ebs"]]
        if not disks or not all(disk.get("encrypted") is True for disk in disks):
            yield f"{one}: a disk is not encrypted"
        if not all(disk.get("delete_on_termination") is True for disk in disks):
            yield f"{one}: a disk stays when its machine has gone"
        tagged = set((_dynamic(one.body).get("tag_specifications") or {}).get("for_each", []))
        if not tagged >= TAGGED:
            yield f"{one}: does not tag {', '.join(sorted(TAGGED - tagged))}"


def _rights(blocks: list[Block]) -> Iterator[str]:
    """No role may make machines, give a role, or let a group grow beyond its largest size."""
    for one in blocks:
        if one.type == "aws_iam_policy_document":
            for statement in [*one.body.get("statement", []), *_contents(one.body)]:
                # With principals it is a policy of a thing, or who may take a role.
                if statement.get("effect", "Allow") == "Allow" and "principals" not in statement:
                    yield from (f"{one}: {said}" for said in _allowed(statement))
    for one in _of(blocks, "aws_iam_role_policy_attachment", "aws_iam_role"):
        if one.type != "aws_iam_role" or one.body.get("managed_policy_arns"):
            yield f"{one}: takes a policy that is not written here"


def _allowed(statement: dict[str, Any]) -> Iterator[str]:
    if "not_actions" in statement:
        yield "allows all but a few"
        return
    actions = statement["actions"]
    assert isinstance(actions, list), "actions are written out"
    for pattern in actions:
        hit = [each for each in FORBIDDEN if fnmatchcase(each, pattern)]
        if hit:
            yield f"allows {pattern} ({hit[0]})"
    if not _puts_are_bounded(statement):
        yield "a scheduled action could raise a group's largest size"


def _puts_are_bounded(statement: dict[str, Any]) -> bool:
    if "autoscaling:PutScheduledUpdateGroupAction" not in statement.get("actions", []):
        return True
    conditions = statement.get("condition", [])
    return any(one["variable"] == "autoscaling:MaxSize" for one in conditions)


def _connections(blocks: list[Block]) -> Iterator[str]:
    """A bucket refuses all who come without TLS."""
    documents = {
        f"${{data.aws_iam_policy_document.{one.name}.json}}": one.body.get("statement", [])
        for one in blocks
        if one.type == "aws_iam_policy_document"
    }
    policies = _of(blocks, "aws_s3_bucket_policy")
    for bucket in _of(blocks, "aws_s3_bucket"):
        statements = [
            statement
            for policy in policies
            if policy.file == bucket.file
            and policy.body["bucket"] == f"${{aws_s3_bucket.{bucket.name}.id}}"
            for statement in documents[policy.body["policy"]]
        ]
        if not any(_refuses_plain(statement) for statement in statements):
            yield f"{bucket}: answers without TLS"


def _refuses_plain(statement: dict[str, Any]) -> bool:
    conditions = statement.get("condition", [])
    return (
        statement.get("effect") == "Deny"
        and statement.get("actions") == ["s3:*"]
        and [one["identifiers"] for one in statement.get("principals", [])] == [["*"]]
        and [(one["variable"], one["values"]) for one in conditions]
        == [("aws:SecureTransport", ["false"])]
    )


def _standing(blocks: list[Block]) -> Iterator[str]:
    """Nothing is made that costs money while nothing runs, nor a machine outside of a group."""
    for one in _of(blocks, *NOT_HERE):
        yield f"{one}: costs money with nothing running, or is no group's"


def _dynamic(body: dict[str, Any]) -> dict[str, Any]:
    return {name: block for one in body.get("dynamic", []) for name, block in one.items()}


def _contents(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        content
        for name, block in _dynamic(body).items()
        if name == "statement"
        for content in block["content"]
    ]


def skips(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each check of checkov's that is skipped, and the reason beside it."""
    for file in sorted(folder.rglob("*.tf")):
        for name, reason in re.findall(r"#\s*checkov:skip=(\w+):?(.*)", file.read_text("utf-8")):
            yield f"{file.relative_to(folder)}: {name}", reason.strip()
