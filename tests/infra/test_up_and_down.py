"""A deployment's life: made, changed, taken hold of, destroyed; each test goes on from the last.

The real Terraform and provider against a server that answers like AWS. What that cannot show: see
tests/cloud/moto_server.py.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import deployment, known, schedules
from imgbatch.cloud.control import Control, Order
from imgbatch.cloud.stopped import NEVER
from tests.cloud.moto_server import REGION, moto_server, push
from tests.conftest import environment
from tests.infra.clone import NAME, Clone, children, clone, kill, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

LOCK = f"{NAME}/terraform.tfstate.tflock"
BUCKET = f"imgbatch-{NAME}-123456789012-{REGION}"


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Clone]:
    """A clone with a deployment that is up."""
    root, variables = (request.getfixturevalue(n) for n in ("root", "terraform_environment"))
    folder = tmp_path_factory.mktemp("clone")
    with moto_server() as aws, clone(folder, root, aws, variables) as made, environment() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        made.cloud("up", "aws", "--name", NAME, "--yes")
        yield made


def test_a_second_plan_is_empty_and_a_second_up_asks_nothing(lab: Clone) -> None:
    words = ("-input=false", "-lock=false", f"-var-file={NAME}.tfvars.json")
    again = lab.terraform("plan", "-detailed-exitcode", *words)
    assert again.returncode == 0, again.stdout + again.stderr
    said = lab.cloud("up", "aws")
    assert "nothing to do" in said
    assert "no budget alarm: nobody hears when a month gets dear; give `email` in " in said


def test_what_terraform_tells_is_what_a_laptop_finds_by_name_or_url(lab: Clone) -> None:
    told = json.loads(lab.terraform("output", "-json", "deployment").stdout)
    read = deployment.read(json.dumps(told))
    assert read == known.find(NAME) == known.find(None)
    assert read.groups[0] == f"imgbatch-{NAME}-head"
    assert sum(read.standing.values()) < 1
    assert read.alarm == 0
    known.forget(NAME)
    lab.cloud("connect", f"{read.control}?region={REGION}")
    assert known.find(NAME) == read


def test_a_held_state_says_who_holds_it_and_a_killed_holder_is_put_aside(lab: Clone) -> None:
    words = ("destroy", "-no-color", f"-var-file={NAME}.tfvars.json")
    holder = subprocess.Popen(
        ["terraform", *words],
        cwd=lab.terraform_folder,
        env={**lab.environment, "TF_DATA_DIR": f".terraform/{NAME}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: lab.read(LOCK))
        lock = lab.read(LOCK)["ID"]
        refused = lab.cloud("up", "aws", "--yes", code=29)
    finally:
        kill(holder.pid)
        holder.communicate()
    assert "LockedError: the state is held by " in refused
    assert f"--unlock {lock}" in refused
    assert lab.read(LOCK), "whoever is killed leaves its lock"
    assert "nothing to do" in lab.cloud("up", "aws", "--unlock", lock)
    assert not lab.read(LOCK)


def test_a_changed_variable_is_shown_and_waits_for_a_yes(lab: Clone) -> None:
    file = lab.terraform_folder / f"{NAME}.tfvars.json"
    before = json.loads(file.read_text())
    assert {"name", "region", "pools", "schedules", "readable"} <= before.keys()
    assert before == lab.read(f"{NAME}/terraform.tfvars.json")
    changed = {**before, "pools": {**before["pools"], "gpu": {**before["pools"]["gpu"], "most": 3}}}
    file.write_text(json.dumps(changed))
    printed = lab.cloud("up", "aws", code=10)
    assert 'module.pool["gpu"].aws_autoscaling_group.pool' in printed
    assert "Give --yes" in printed
    assert known.find(NAME).pools["gpu"].most == before["pools"]["gpu"]["most"]
    # Another laptop has no such file; it takes what was last applied.
    file.unlink()
    assert "nothing to do" in lab.cloud("up", "aws")
    assert json.loads(file.read_text()) == before


def test_without_its_state_up_makes_nothing_twice_and_says_what_to_do(lab: Clone) -> None:
    s3, ec2 = lab.aws.client("s3"), lab.aws.client("ec2")
    key = {"Bucket": lab.state_bucket, "Key": f"{NAME}/terraform.tfstate"}
    marker = s3.delete_object(**key)["VersionId"]
    refused = lab.cloud("up", "aws", "--yes", code=29)
    assert "ExistsError: there already: " in refused
    assert "module.network.aws_vpc.own" in refused
    assert "--adopt" in refused
    tag = [{"Name": "tag:imgbatch:deployment", "Values": [NAME]}]
    assert len(ec2.describe_vpcs(Filters=tag)["Vpcs"]) == 1
    # Its former version, which the bucket keeps.
    s3.delete_object(**key, VersionId=marker)
    assert "nothing to do" in lab.cloud("up", "aws")


def test_a_schedule_is_woken_and_ended_by_the_cloud_until_it_is_removed(lab: Clone) -> None:
    made = known.find(NAME)
    push(lab.aws, made.image)
    run = ("--", "run", f"s3://{BUCKET}/photos", f"s3://{BUCKET}/d", "--budget", "2")
    when = ("--cron", "0 3 * * 1", "--timezone", "Europe/Berlin", "--hours", "6")
    # What is wrong with the words is told before Terraform is asked for anything.
    wrong = lab.cloud("schedule", "add", "weekly", *when, *run, "--deadline", "6h", code=10)
    assert "a schedule has no --deadline" in wrong
    made_so = lab.cloud("schedule", "add", "weekly", *when, "--yes", *run)
    assert "at most $10.00 a month: 5 ticks of $2.00" in made_so
    assert "a tick, if it came now:" in made_so or "cannot be told from here" in made_so
    (kept,) = schedules.schedules(Control(made.control))
    assert (kept.name, kept.cron, kept.order.budget) == ("weekly", "0 3 * * 1", 2)
    assert known.find(NAME).schedules["weekly"].kill == "0 9 * * 1"
    actions = lab.actions()
    wakes = [action for action in actions if action["DesiredCapacity"] == 1]
    assert [(wake["AutoScalingGroupName"], wake["Recurrence"]) for wake in wakes] == [
        (made.head.group, "0 3 * * 1")
    ]
    kills = [action for action in actions if action["DesiredCapacity"] == 0]
    assert {kill["AutoScalingGroupName"] for kill in kills} == set(made.groups)
    assert {kill["Recurrence"] for kill in kills} == {"0 9 * * 1"}
    assert "not run yet" in lab.cloud("schedule", "list")
    again = lab.cloud("schedule", "add", "weekly", *when, "--yes", *run, code=10)
    assert "there is a schedule weekly" in again
    long = ("--cron", "0 3 * * 1", "--hours", "30")
    assert "max_hours" in lab.cloud("schedule", "add", "long", *long, "--yes", *run, code=28)
    # What Terraform refuses is taken back, here and there: it wakes when the other one ends.
    next_ = ("--cron", "0 9 * * 1", "--timezone", "Europe/Berlin", "--hours", "2")
    refused = lab.cloud("schedule", "add", "next", *next_, "--yes", *run, code=29)
    assert "wake or end at the same moment" in " ".join(refused.replace("\u2502", " ").split())
    assert [one.name for one in schedules.schedules(Control(made.control))] == ["weekly"]
    lab.cloud("schedule", "remove", "weekly")
    assert lab.actions() == []
    assert schedules.schedules(Control(made.control)) == []
    assert "no schedule 'weekly'" in lab.cloud("schedule", "remove", "weekly", code=28)


def order(run: str) -> Order:
    return Order(
        run=run, input="s3://i", dataset="s3://d", words=[], recipe="",
        pool="gpu", most=1, budget=1, deadline=0,
    )  # fmt: skip


def test_down_does_not_end_a_run_that_is_ordered_while_it_plans(lab: Clone) -> None:
    control, run = Control(known.find(NAME).control), "20261120T000000Z-b"
    process = lab.start("down", "aws", "--yes")
    # Terraform plans: whether a run is at work was asked before.
    wait_until(lambda: process.poll() is not None or lab.read(LOCK))
    control.order(order(run))
    printed, _ = process.communicate()
    assert process.returncode == 28, printed
    assert f"or wait: {run}" in printed
    assert "nothing to do" in lab.cloud("up", "aws")
    control.withdraw(run)


def test_down_does_not_end_a_run_at_work_unless_forced(lab: Clone) -> None:
    control = Control(known.find(NAME).control)
    control.order(order("20261121T000000Z-a"))
    typo = lab.cloud("down", "aws", "--name", "labb", "--yes", code=28)
    assert "there is no deployment 'labb' in eu-central-1, and never was" in typo
    refused = lab.cloud("down", "aws", "--yes", code=28)
    assert "20261121T000000Z-a" in refused
    assert "--force" in refused
    assert known.find(NAME)


def test_down_leaves_the_data_and_nothing_else_and_up_finds_them_again(lab: Clone) -> None:
    s3 = lab.aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key="photos/a.jpg", Body=b"a")
    # As a machine that came up behind everybody's back.
    stray = lab.aws.client("ec2", "us-west-2").allocate_address(
        TagSpecifications=[
            {
                "ResourceType": "elastic-ip",
                "Tags": [{"Key": "imgbatch:deployment", "Value": NAME}],
            }
        ]
    )["AllocationId"]
    printed = lab.cloud("down", "aws", "--yes", "--force", code=30)
    assert f"address {stray} in us-west-2" in printed
    assert f"kept with its data: bucket {BUCKET}" in printed
    lab.aws.client("ec2", "us-west-2").release_address(AllocationId=stray)
    assert f"{NAME} is down" in lab.cloud("down", "aws", "--name", NAME, "--yes")
    assert s3.get_object(Bucket=BUCKET, Key="photos/a.jpg")["Body"].read() == b"a"
    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert all(blocked.values()), "kept as private as it was"
    _nothing_left(lab)
    control = Control(f"s3://{BUCKET}/control?region={REGION}")
    assert control.orders() == []
    told = control.state("20261121T000000Z-a")
    assert told
    assert (told.phase, told.code, told.reason) == ("stopped", 20, NEVER)


def test_a_terraform_that_is_killed_in_the_middle_is_put_right_by_up_and_by_down(
    lab: Clone,
) -> None:
    """And its bucket is the one with the data, which `down` left."""
    ec2 = lab.aws.client("ec2")
    process = lab.start("up", "aws", "--name", NAME, "--yes")
    tag = [{"Name": "tag:imgbatch:deployment", "Values": [NAME]}]
    wait_until(lambda: process.poll() or ec2.describe_subnets(Filters=tag)["Subnets"])
    assert process.poll() is None, process.communicate()[0]
    (terraform,) = children(process.pid)
    kill(terraform)
    printed, _ = process.communicate()
    assert process.returncode == 29, printed
    assert "killed by signal 9" in printed
    lock = lab.read(LOCK)["ID"]
    printed = lab.cloud("up", "aws", "--name", NAME, "--unlock", lock, "--yes")
    assert f"{NAME} is up" in printed
    assert len(ec2.describe_vpcs(Filters=tag)["Vpcs"]) == 1
    s3 = lab.aws.client("s3")
    assert s3.get_object(Bucket=BUCKET, Key="photos/a.jpg")["Body"].read() == b"a"
    lab.cloud("down", "aws", "--yes", "--delete-data")
    _nothing_left(lab)
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == [lab.state_bucket]


def _nothing_left(lab: Clone) -> None:
    tag = [{"Name": "tag:imgbatch:deployment", "Values": [NAME]}]
    ec2 = lab.aws.client("ec2")
    assert ec2.describe_vpcs(Filters=tag)["Vpcs"] == []
    assert ec2.describe_security_groups(Filters=tag)["SecurityGroups"] == []
    assert ec2.describe_launch_templates(Filters=tag)["LaunchTemplates"] == []
    assert lab.aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    roles = [role["RoleName"] for role in lab.aws.client("iam").list_roles()["Roles"]]
    assert not [name for name in roles if "imgbatch" in name]
    assert lab.aws.client("ecr").describe_repositories()["repositories"] == []
    assert known.names() == []
