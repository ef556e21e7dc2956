"""What the modules of `infra/` ask of a cloud, by the real Terraform; no cloud is asked.

The assertions themselves lie beside the modules, in `*.tftest.hcl`: the core's need no provider,
those of AWS the provider's schema. Here is what Terraform's own tests cannot say.
"""

from __future__ import annotations

import fnmatch
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from moto.iam.access_control import IAMPolicy, PermissionResult

from imgbatch.cloud.aws.permissions import DEPLOYER, USER
from imgbatch.cloud.gcp.permissions import USER as GOOGLE_USER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.infra.conftest import InFolder

    Terraform = Callable[[str], InFolder]

BUCKET = "arn:aws:s3:::imgbatch-lab"
GROUPS = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:0f1e:autoScalingGroupName"
TOKEN = "arn:aws:ssm:eu-central-1:123456789012:parameter/imgbatch/lab/ray-token"
REPOSITORY = "arn:aws:ecr:eu-central-1:123456789012:repository/imgbatch-lab"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/one"

# Questions to a policy: role, action, resource.
MAY = [
    ("worker", "s3:GetObject", f"{BUCKET}/control/lease.json"),
    ("worker", "s3:GetObject", f"{BUCKET}/control/deployment.json"),
    ("worker", "s3:PutObject", f"{BUCKET}/control/runs/r1/boots/i-1.json"),
    ("worker", "s3:PutObject", f"{BUCKET}/datasets/cats/parts/0.parquet"),
    ("worker", "s3:DeleteObject", f"{BUCKET}/datasets/cats/lock.json"),
    ("worker", "s3:ListBucket", BUCKET),
    ("worker", "s3:GetObject", "arn:aws:s3:::open-pictures/2026/a.jpg"),
    ("worker", "s3:ListBucket", "arn:aws:s3:::open-pictures"),
    ("worker", "s3:PutObject", "arn:aws:s3:::our-results/x/part"),
    ("worker", "autoscaling:TerminateInstanceInAutoScalingGroup", f"{GROUPS}/imgbatch-lab-gpu"),
    ("worker", "ssm:GetParameter", TOKEN),
    ("worker", "ecr:BatchGetImage", REPOSITORY),
    ("worker", "kms:Decrypt", KEY),
    ("head", "s3:PutObject", f"{BUCKET}/control/lease.json"),
    ("head", "s3:DeleteObject", f"{BUCKET}/control/lease.json"),
    ("head", "s3:GetObject", f"{BUCKET}/control/orders/r1.json"),
    ("head", "s3:DeleteObject", f"{BUCKET}/control/orders/r1.json"),
    ("head", "s3:PutObject", f"{BUCKET}/control/runs/r1/state.json"),
    ("head", "s3:PutObject", f"{BUCKET}/datasets/cats/parts/0.parquet"),
    ("head", "autoscaling:SetDesiredCapacity", f"{GROUPS}/imgbatch-lab-gpu"),
    ("head", "autoscaling:TerminateInstanceInAutoScalingGroup", f"{GROUPS}/imgbatch-lab-head"),
    ("head", "autoscaling:DescribeScalingActivities", "*"),
    ("head", "ec2:DescribeSpotPriceHistory", "*"),
    ("head", "servicequotas:GetServiceQuota", "*"),
    ("head", "ssm:PutParameter", TOKEN),
]
MAY_NOT = [
    ("worker", "s3:PutObject", f"{BUCKET}/control/lease.json"),
    ("worker", "s3:DeleteObject", f"{BUCKET}/control/lease.json"),
    ("worker", "s3:PutObject", f"{BUCKET}/control/deployment.json"),
    ("worker", "s3:PutObject", f"{BUCKET}/control/orders/r1.json"),
    ("worker", "s3:GetObject", f"{BUCKET}/control/orders/r1.json"),
    ("worker", "s3:PutObject", f"{BUCKET}/control/runs/r1/state.json"),
    ("worker", "s3:PutObject", f"{BUCKET}/control/runs/r1/ledger.jsonl"),
    ("worker", "s3:PutObject", f"{BUCKET}/control/boots/i-1.json"),
    ("worker", "s3:DeleteObject", f"{BUCKET}/control/runs/r1/boots/i-1.json"),
    ("worker", "s3:PutObject", "arn:aws:s3:::open-pictures/2026/a.jpg"),
    ("worker", "s3:GetObject", "arn:aws:s3:::open-pictures/2025/a.jpg"),
    ("worker", "s3:PutObject", "arn:aws:s3:::our-results/y"),
    ("worker", "s3:GetObject", "arn:aws:s3:::somebody-elses/a"),
    ("worker", "s3:ListBucket", "arn:aws:s3:::somebody-elses"),
    ("worker", "autoscaling:TerminateInstanceInAutoScalingGroup", f"{GROUPS}/imgbatch-lab-head"),
    ("worker", "autoscaling:SetDesiredCapacity", f"{GROUPS}/imgbatch-lab-gpu"),
    ("worker", "ssm:PutParameter", TOKEN),
    ("worker", "ssm:GetParameter", TOKEN.replace("lab", "other")),
    ("head", "s3:PutObject", f"{BUCKET}/control/deployment.json"),
    ("head", "autoscaling:SetDesiredCapacity", f"{GROUPS}/imgbatch-other-gpu"),
    ("head", "autoscaling:UpdateAutoScalingGroup", f"{GROUPS}/imgbatch-lab-gpu"),
    ("head", "ssm:GetParameter", TOKEN.replace("lab", "other")),
    *[
        (role, action, resource)
        for role in ("head", "worker")
        for action, resource in [
            ("ec2:RunInstances", "*"),
            ("ec2:CreateTags", "*"),
            ("iam:PassRole", "arn:aws:iam::123456789012:role/imgbatch-lab-eu-central-1-worker"),
            ("s3:DeleteObjectVersion", f"{BUCKET}/datasets/cats/parts/0.parquet"),
            ("s3:PutBucketPolicy", BUCKET),
            ("s3:DeleteBucket", BUCKET),
            ("ecr:PutImage", REPOSITORY),
            ("kms:Decrypt", KEY.replace("one", "another")),
            ("kms:ScheduleKeyDeletion", KEY),
        ]
    ],
]


def test_every_file_is_formatted_as_terraform_formats(terraform: Terraform) -> None:
    said = terraform(".")("fmt", "-check", "-recursive", "-diff", check=False)
    assert said.returncode == 0, said.stdout


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["modules/core", "modules/core/cron"])
def test_the_core_names_bounds_and_ends_as_its_own_tests_say(
    terraform: Terraform, folder: str
) -> None:
    core = terraform(folder)
    core("init", "-input=false")
    assert "0 failed" in core("test", "-no-color").stdout


@pytest.mark.slow
def test_a_test_of_the_core_can_fail(terraform: Terraform) -> None:
    core = terraform("modules/core")
    main = core.folder / "main.tf"
    main.write_text(main.read_text("utf-8").replace("/control", "/steering"), "utf-8")
    core("init", "-input=false")
    assert "Test assertion failed" in core("test", "-no-color", check=False).stderr


@pytest.mark.slow
def test_the_modules_of_aws_are_valid_and_ask_for_what_their_tests_say(
    terraform: Terraform,
) -> None:
    root = terraform("aws")
    root("init", "-input=false", "-backend=false")
    root("validate", "-no-color")
    assert "0 failed" in root("test", "-no-color").stdout


@pytest.mark.slow
def test_the_modules_of_google_fit_the_schema_and_ask_for_what_their_tests_say(
    google: Terraform,
) -> None:
    root = google("gcp")
    root("init", "-input=false", "-backend=false")
    root("validate", "-no-color")
    assert "0 failed" in root("test", "-no-color").stdout


@pytest.mark.slow
def test_roles_may_what_they_do_and_no_more(terraform: Terraform) -> None:
    policies = _policies(terraform("modules/aws/iam"))

    def allowed(role: str, action: str, resource: str) -> bool:
        policy = IAMPolicy(policies[role])
        return bool(policy.is_action_permitted(action, resource) == PermissionResult.PERMITTED)

    assert [question for question in MAY if not allowed(*question)] == []
    assert [question for question in MAY_NOT if allowed(*question)] == []
    # moto's IAM knows no conditions: that the head's deadline cannot raise a bound is one.
    deadlines = [
        statement
        for statement in json.loads(policies["head"])["Statement"]
        if "PutScheduledUpdateGroupAction" in str(statement["Action"])
    ]
    assert [statement["Condition"] for statement in deadlines] == [
        {
            "Null": {"autoscaling:MaxSize": "true"},
            "NumericEqualsIfExists": {"autoscaling:MinSize": "0"},
        }
    ]


@pytest.mark.parametrize(("who", "asked"), [("operator", USER), ("deployer", DEPLOYER)])
def test_the_policies_for_people_hold_what_doctor_asks_about(
    root: Path, who: str, asked: dict[str, tuple[str, ...]]
) -> None:
    text = (root / "infra" / "aws" / f"{who}.json").read_text("utf-8")
    policy = json.loads(text)
    allowed = [
        action
        for statement in policy["Statement"]
        for action in _list(statement["Action"])
        if statement["Effect"] == "Allow"
    ]
    wanted = [f"{service}:{verb}" for service, verbs in asked.items() for verb in verbs]
    lacking = [one for one in wanted if not any(fnmatch.fnmatch(one, has) for has in allowed)]
    assert lacking == []
    # AWS counts a managed policy without its white space, and takes no more.
    assert len(json.dumps(policy, separators=(",", ":"))) < 6144
    assert not {"*", "iam:*", "ec2:*", "kms:*"} & set(allowed)


def test_operators_use_the_buckets_key_by_s3_alone_and_leave_bounds_as_they_are(root: Path) -> None:
    """With `kms = true` nobody orders a run without the key."""
    text = (root / "infra" / "aws" / "operator.json").read_text("utf-8")
    said = {one["Sid"]: one for one in json.loads(text)["Statement"]}
    key = said["KeyOfYourOwnIfWanted"]
    assert set(key["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert key["Condition"] == {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}
    assert said["Deadlines"]["Condition"] == {
        "Null": {"autoscaling:MaxSize": "true"},
        "NumericEqualsIfExists": {"autoscaling:MinSize": "0"},
    }


def test_the_role_for_operators_on_google_holds_what_doctor_asks_about(root: Path) -> None:
    text = (root / "infra" / "gcp" / "operator.yaml").read_text("utf-8")
    allowed = set(yaml.safe_load(text)["includedPermissions"])
    wanted = {f"{service}.{verb}" for service, verbs in GOOGLE_USER.items() for verb in verbs}
    assert wanted - allowed == set()
    powers = {one for one in allowed if one.endswith((".create", ".setIamPolicy", ".actAs"))}
    assert powers == {"storage.objects.create"}


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _policies(iam: InFolder) -> dict[str, str]:
    """Return the policies of the roles, as the real provider writes them; it asks nobody."""
    _offline(iam.folder)
    given: dict[str, Any] = {
        "prefix": "imgbatch-lab",
        "roles": "imgbatch-lab-eu-central-1",
        "partition": "aws",
        "region": "eu-central-1",
        "account": "123456789012",
        "head_group": "imgbatch-lab-head",
        "pool_groups": ["imgbatch-lab-gpu", "imgbatch-lab-cpu"],
        "bucket_arn": BUCKET,
        "repository_arn": REPOSITORY,
        "token_arn": TOKEN,
        "key_arn": KEY,
        "access": {
            "read": [
                {"bucket": "open-pictures", "prefix": "2026"},
                {"bucket": "our-results", "prefix": "x"},
            ],
            "write": [{"bucket": "our-results", "prefix": "x"}],
        },
    }
    (iam.folder / "lab.auto.tfvars.json").write_text(json.dumps(given), "utf-8")
    iam("init", "-input=false")
    iam("plan", "-input=false", "-out=planned")
    state = json.loads(iam("show", "-json", "planned").stdout)["prior_state"]
    return {
        one["name"]: one["values"]["json"]
        for one in state["values"]["root_module"]["resources"]
        if one["type"] == "aws_iam_policy_document"
    }


def _offline(folder: Path) -> None:
    (folder / "provider.tf").write_text(
        'provider "aws" {\n'
        '  region                      = "eu-central-1"\n'
        '  access_key                  = "test"\n'
        '  secret_key                  = "test"\n'
        "  skip_credentials_validation = true\n"
        "  skip_metadata_api_check     = true\n"
        "  skip_requesting_account_id  = true\n"
        "}\n",
        "utf-8",
    )
