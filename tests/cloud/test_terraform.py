"""The program `terraform`: missing, too old, and what it says when it fails, with what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import plans, terraform
from imgbatch.cloud.root import Root
from imgbatch.errors import TerraformError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# As Terraform 1.11 prints it, with a lock that somebody holds.
LOCKED = """
\u2577
\u2502 Error: Error acquiring the state lock
\u2502
\u2502 Error message: operation error S3: PutObject, https response error
\u2502 StatusCode: 412, api error PreconditionFailed: At least one of the
\u2502 pre-conditions you specified did not hold
\u2502 Lock Info:
\u2502   ID:        d1bc3184-3814-b164-8c48-ad73c921bbce
\u2502   Path:      imgbatch-state-1-eu-central-1/lab/terraform.tfstate
\u2502   Operation: OperationTypeApply
\u2502   Who:       ada@laptop
\u2502   Version:   1.11.4
\u2502   Created:   2026-11-21 15:00:56.357746987 +0000 UTC
\u2502   Info:
\u2502
\u2502 Terraform acquires a state lock to protect the state from being written
\u2502 by multiple users at the same time.
\u2575
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a program `terraform` on PATH, and no other."""

    def make(script: str) -> Path:
        program = tmp_path / "bin" / "terraform"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent))
        return program

    return make


def test_where_terraform_is_missing_the_error_has_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TerraformError, match="not installed") as error:
        terraform.find()
    assert terraform.LINK in error.value.remedy
    assert error.value.exit_code == 29


def test_one_that_is_too_old_is_told_with_both_versions(
    stand_in: Callable[[str], Path],
) -> None:
    stand_in("""echo "Some problem with settings"; echo '{"terraform_version": "1.9.8"}'""")
    with pytest.raises(TerraformError, match=r"version 1\.9\.8, and 1\.11 is needed") as error:
        terraform.find()
    assert terraform.LINK in error.value.remedy


def test_one_that_is_no_terraform_is_not_taken_for_one(stand_in: Callable[[str], Path]) -> None:
    stand_in("echo hello")
    with pytest.raises(TerraformError, match="does not tell its version"):
        terraform.find()


def test_the_real_one_is_found() -> None:
    if not shutil.which("terraform"):
        pytest.skip("this test needs Terraform: https://developer.hashicorp.com/terraform/install")
    assert terraform.version(terraform.find()) >= terraform.LEAST


def test_a_failure_is_told_in_its_own_words(
    stand_in: Callable[[str], Path], tmp_path: Path
) -> None:
    box = (
        "\u2577\\n\u2502 Error: No such thing\\n\u2502\\n\u2502 It is not\\n\u2502 there.\\n\u2575"
    )
    program = stand_in(f"printf '{box}\\nmore\\n' >&2; exit 1")
    with pytest.raises(
        TerraformError, match=r"terraform init: No such thing \(It is not there\.\)"
    ):
        terraform.Terraform(str(program), tmp_path, tmp_path / "data").run("init")


def test_what_is_no_utf8_hides_no_failure(stand_in: Callable[[str], Path], tmp_path: Path) -> None:
    program = stand_in("printf 'Error: caf\\351\\n'; exit 1")
    one = terraform.Terraform(str(program), tmp_path, tmp_path)
    for ask in (one.run, one.stream):
        with pytest.raises(TerraformError, match="caf\ufffd"):
            ask("plan")


def test_a_held_lock_names_who_holds_it_and_how_it_is_taken_away() -> None:
    error = terraform.error_of("plan", terraform._complaints(LOCKED))
    assert isinstance(error, terraform.LockedError)
    assert "held by ada@laptop since 2026-11-21 15:00:56" in str(error)
    assert "(apply)" in str(error)
    assert error.remedy.endswith("--unlock d1bc3184-3814-b164-8c48-ad73c921bbce")


@pytest.mark.parametrize(
    "said",
    [
        "creating S3 Bucket (imgbatch-lab): BucketAlreadyOwnedByYou",
        "creating IAM Role (head): EntityAlreadyExists: Role with name head already exists.",
        "api error InvalidSubnet.Conflict: The CIDR '10.83.16.0/20' conflicts with another subnet",
        "AlreadyExists: AutoScalingGroup by this name already exists",
    ],
)
def test_what_is_there_already_is_told_apart_and_may_be_adopted(said: str) -> None:
    error = terraform.error_of("apply", [terraform.Complaint(said, "", "module.a.aws_b.c")])
    assert isinstance(error, terraform.ExistsError)
    assert error.addresses == ["module.a.aws_b.c"]
    assert "--adopt" in error.remedy


def test_a_permission_and_a_network_have_remedies_of_their_own() -> None:
    denied = terraform.Complaint("creating EC2 VPC: UnauthorizedOperation: You are not authorized")
    assert "infra/README.md" in terraform.error_of("apply", [denied]).remedy
    away = terraform.Complaint("Failed to query available provider packages")
    assert "TF_CLI_CONFIG_FILE" in terraform.error_of("init", [away]).remedy


def test_a_plan_is_told_in_short_and_what_ends_machines_is_seen() -> None:
    def one(address: str, *actions: str) -> dict[str, object]:
        kind = plans.type_of(address)
        change = {"actions": list(actions), "after": {"name": "n"}}
        return {"address": address, "mode": "managed", "type": kind, "change": change}

    group = 'module.pool["g.6"].aws_autoscaling_group.pool'
    changes = [
        one(group, "delete", "create"),
        one("aws_iam_role.a", "create"),
        one("aws_vpc.b", "update"),
        one("aws_vpc.c", "no-op"),
    ]
    plan = plans.read(json.dumps({"resource_changes": changes}))
    assert plan.ends_machines == [group]
    assert plan.made == {"aws_iam_role.a": ("aws_iam_role", {"name": "n"})}
    lines = list(plans.lines(plan))
    assert lines[0] == "1 to make, 1 to change, 1 to replace"
    assert f"  to replace: {group}" in lines
    assert plans.id_of("aws_iam_role", {"name": "n"}) == "n"
    assert plans.id_of("aws_route_table_association", {"subnet_id": "s"}) == ""


def test_without_infra_the_error_says_that_it_belongs_to_a_clone(
    root: Path, tmp_path: Path
) -> None:
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "imgbatch", tmp_path / "imgbatch", ignore=left_out)
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", "cloud", "up", "aws", "--region", "eu-central-1"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 28, done.stderr
    assert "belongs to a clone" in done.stderr


KEEPS = {
    "google_storage_bucket": "deployment",
    "google_storage_bucket_object": "deployment",
    "google_storage_bucket_iam_member": "head",
    "google_service_account": "head",
    "aws_s3_bucket": "deployment",
    "aws_s3_bucket_policy": "deployment",
    "aws_kms_key": "own",
    "aws_iam_role": "head",
}


@pytest.mark.skipif(shutil.which("terraform") is None, reason="this test needs Terraform")
def test_data_are_let_go_and_rights_to_them_are_not(tmp_path: Path) -> None:
    """A right by a role that is gone would stay in the bucket, in the way of the next `up`."""
    resources = [
        {
            "mode": "managed",
            "type": kind,
            "name": name,
            "provider": f'provider["registry.terraform.io/hashicorp/{kind.partition("_")[0]}"]',
            "instances": [{"schema_version": 0, "attributes": {"id": name}}],
        }
        for kind, name in KEEPS.items()
    ]
    state = {"version": 4, "terraform_version": "1.11.0", "serial": 1, "lineage": "a"}
    (tmp_path / "terraform.tfstate").write_text(json.dumps({**state, "resources": resources}))
    root = Root.__new__(Root)
    root.terraform = terraform.Terraform(terraform.find(), tmp_path, tmp_path / "data")
    kept = {plans.type_of(one) for one in root.let_go()}
    left = {plans.type_of(one) for one in root.terraform.run("state", "list").split()}
    assert left == {"google_storage_bucket_iam_member", "google_service_account", "aws_iam_role"}
    assert kept == KEEPS.keys() - left
