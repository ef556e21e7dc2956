"""What `infra/` promises, beyond what checkov knows; each rule is shown to see what breaks it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.policies import broken, skips

AWS = "modules/aws"
# file, what stands there (a pattern), what a mistake would make of it, what is then said
MISTAKES = {
    "the dashboard is open to the world": (
        f"{AWS}/network/main.tf",
        r"referenced_security_group_id = .*",
        'cidr_ipv4 = "0.0.0.0/0"\n  from_port = 8265\n  to_port = 8265',
        "from outside of its own group",
    ),
    "a security group with a rule of its own": (
        f"{AWS}/network/main.tf",
        r'(resource "aws_security_group" "machines" \{)',
        r'\1\n  ingress {\n    from_port = 22\n    to_port = 22\n    protocol = "tcp"\n  }',
        "by a rule of its own",
    ),
    "a pool without a largest size": (
        f"{AWS}/pool/main.tf",
        r"max_size +=.*",
        "",
        "has no max_size",
    ),
    "two heads": (f"{AWS}/head/main.tf", r"max_size +=.*", "max_size = 2", "more than one head"),
    "a pool that starts with machines": (
        f"{AWS}/pool/main.tf",
        r"desired_capacity +=.*",
        "desired_capacity = 1",
        "is not empty at first",
    ),
    "an apply sets sizes": (
        f"{AWS}/pool/main.tf",
        r"ignore_changes = \[desired_capacity\]",
        "ignore_changes = []",
        "while a run is at work",
    ),
    "rebalancing": (
        f"{AWS}/pool/main.tf",
        r"suspended_processes +=.*",
        "suspended_processes = []",
        "AZRebalance",
    ),
    "a wake without its kill": (
        f"{AWS}/schedule/main.tf",
        r"concat\(\[var.head_group\], var.pool_groups\)",
        "[var.head_group]",
        "nothing ends all groups",
    ),
    "a machine without a watch": (
        f"{AWS}/pool/main.tf",
        r"user_data +=.*",
        "",
        "without the script",
    ),
    "a machine that is stopped and not ended": (
        f"{AWS}/pool/main.tf",
        r'behavior = "terminate"',
        'behavior = "stop"',
        "goes on costing",
    ),
    "metadata for everybody": (
        f"{AWS}/head/main.tf",
        r"http_tokens +=.*",
        'http_tokens = "optional"',
        "IMDSv1",
    ),
    "plain disks": (
        f"{AWS}/pool/main.tf",
        r"encrypted +=.*",
        "encrypted = false",
        "not encrypted",
    ),
    "disks that stay": (
        f"{AWS}/pool/main.tf",
        r"delete_on_termination +=.*",
        "delete_on_termination = false",
        "a disk stays",
    ),
    "volumes without our tag": (
        f"{AWS}/pool/main.tf",
        r'"instance", "volume", "network-interface"',
        '"instance"',
        "does not tag network-interface, volume",
    ),
    "a head that makes machines": (
        f"{AWS}/iam/main.tf",
        r'"ec2:DescribeInstances",',
        '"ec2:RunInstances",',
        "allows ec2:RunInstances",
    ),
    "a head that gives roles": (
        f"{AWS}/iam/main.tf",
        r'"pricing:GetProducts",',
        '"iam:PassRole",',
        "allows iam:PassRole",
    ),
    "a head that raises the largest size": (
        f"{AWS}/iam/main.tf",
        r'"autoscaling:DescribeScalingActivities",',
        '"autoscaling:*",',
        "allows autoscaling:*",
    ),
    "a deadline that raises it": (
        f"{AWS}/iam/main.tf",
        r'variable = "autoscaling:MaxSize"',
        'variable = "autoscaling:MinSize"',
        "could raise",
    ),
    "a bucket that answers without TLS": (
        f"{AWS}/storage/main.tf",
        r'values   = \["false"\]',
        'values   = ["true"]',
        "answers without TLS",
    ),
    "a bucket without a policy": (
        f"{AWS}/storage/main.tf",
        r'(resource "aws_s3_bucket_policy" "deployment" \{\n  bucket = )aws_s3_bucket\S+',
        r"\1var.repository",
        "answers without TLS",
    ),
    "a gateway that costs all month": (
        f"{AWS}/network/main.tf",
        r"\Z",
        '\nresource "aws_nat_gateway" "out" {\n  subnet_id = aws_subnet.zone["a"].id\n}\n',
        "costs money with nothing running",
    ),
    "nothing is tagged": ("aws/versions.tf", r"default_tags", "ignore_tags", "tags nothing"),
}


@pytest.fixture(scope="module")
def infra(root: Path) -> Path:
    """The folder with everything of Terraform's."""
    return root / "infra"


def test_what_infra_promises_is_kept(infra: Path) -> None:
    assert broken(infra) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_seen(infra: Path, tmp_path: Path, mistake: str) -> None:
    name, pattern, instead, said = MISTAKES[mistake]
    # One module is enough, and quicker.
    copy = shutil.copytree((infra / name).parent, tmp_path / "spoilt")
    file = copy / Path(name).name
    text, count = re.subn(pattern, instead, file.read_text("utf-8"), count=1)
    assert count == 1, "the file does not hold what the mistake is made in"
    file.write_text(text, "utf-8")
    lines = broken(copy)
    assert any(said in line for line in lines), lines


def test_each_skip_of_a_check_has_its_reason_beside_it(infra: Path) -> None:
    found = dict(skips(infra))
    assert found, "there are some"
    assert [check for check, reason in found.items() if len(reason) < len("The same.")] == []


def _checkov(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["--framework", "terraform", "--skip-download", "--compact", "--quiet"]
    line = [root / "scripts" / "tools", "checkov", "--directory", folder, *words]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_checkov_finds_nothing_in_infra_and_something_in_a_mistake(
    root: Path, infra: Path, tmp_path: Path
) -> None:
    clean = _checkov(root, infra)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "Failed checks: 0" in clean.stdout
    copy = shutil.copytree(infra / AWS / "pool", tmp_path / "pool")
    text = (copy / "main.tf").read_text("utf-8")
    (copy / "main.tf").write_text(text.replace('"required"', '"optional"'), "utf-8")
    spoilt = _checkov(root, copy)
    assert spoilt.returncode == 1, spoilt.stdout + spoilt.stderr
    assert "CKV_AWS_79" in spoilt.stdout
