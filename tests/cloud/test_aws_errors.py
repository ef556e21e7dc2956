"""What AWS refuses becomes an error with what to do; what happened to a group, a word for it.

Codes and texts are those that users of the real service print in their logs. moto has few of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions as boto
from botocore.stub import Stubber

from imgbatch.cloud import open_cloud
from imgbatch.cloud.aws.activities import event_of
from imgbatch.cloud.aws.clients import Clients
from imgbatch.cloud.aws.errors import told
from imgbatch.cloud.aws.groups import AwsGroups
from imgbatch.errors import (
    CloudError,
    CredentialsError,
    PermissionsError,
    QuotaError,
    SettingsError,
)
from tests.cloud.aws_on_moto import REGION, account

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    with account():
        yield Clients(REGION)


@pytest.fixture
def nobody(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - its account
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def refused(code: str, message: str = "no") -> boto.ClientError:
    return boto.ClientError({"Error": {"Code": code, "Message": message}}, "RunInstances")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ExpiredToken", CredentialsError),
        ("InvalidClientTokenId", CredentialsError),
        ("AuthFailure", CredentialsError),
        ("RequestExpired", CredentialsError),
        ("AccessDenied", PermissionsError),
        ("AccessDeniedException", PermissionsError),
        ("UnauthorizedOperation", PermissionsError),
        ("Client.UnauthorizedOperation", PermissionsError),
        ("VcpuLimitExceeded", QuotaError),
        ("MaxSpotInstanceCountExceeded", QuotaError),
        ("InsufficientInstanceCapacity", CloudError),
        ("Throttling", CloudError),
    ],
)
def test_a_refusal_is_of_its_kind_and_says_what_was_done(code: str, kind: type[CloudError]) -> None:
    with pytest.raises(CloudError) as failed, told("growing imgbatch-lab-gpu"):
        raise refused(code)
    assert type(failed.value) is kind
    assert "growing imgbatch-lab-gpu" in str(failed.value)
    assert failed.value.remedy


def test_each_remedy_fits_what_is_wrong() -> None:
    remedies = {}
    for code in ("ExpiredToken", "RequestExpired", "AuthFailure", "InvalidClientTokenId"):
        with pytest.raises(CredentialsError) as failed, told("asking"):
            raise refused(code)
        remedies[code] = failed.value.remedy
    assert "aws sso login" in remedies["ExpiredToken"]
    assert "clock" in remedies["RequestExpired"]
    assert "enable-region" in remedies["AuthFailure"]
    assert len(set(remedies.values())) == 4


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (boto.NoCredentialsError(), CredentialsError),
        (boto.UnauthorizedSSOTokenError(), CredentialsError),
        (boto.TokenRetrievalError(provider="sso", error_msg="expired"), CredentialsError),
        (boto.EndpointConnectionError(endpoint_url="https://ec2"), CloudError),
        (boto.ReadTimeoutError(endpoint_url="https://ec2"), CloudError),
    ],
)
def test_what_the_sdk_finds_itself_is_told_too(error: Exception, kind: type[CloudError]) -> None:
    with pytest.raises(CloudError) as failed, told("asking"):
        raise error
    assert type(failed.value) is kind


def test_where_nobody_answers_the_region_may_be_none() -> None:
    mars = boto.EndpointConnectionError(endpoint_url="https://sts.mars-1.amazonaws.com/")
    with pytest.raises(CloudError, match="mars-1") as failed, told("asking"):
        raise mars
    assert "the name of the region" in failed.value.remedy


def test_a_page_of_base64_is_left_out() -> None:
    page = "You are not authorized. Encoded authorization failure message: " + "4JqB" * 400
    with pytest.raises(PermissionsError) as failed, told("asking"):
        raise refused("UnauthorizedOperation", page)
    assert len(str(failed.value)) < 200
    assert "not authorized" in str(failed.value)


@pytest.mark.usefixtures("nobody")
def test_without_credentials_nothing_is_opened_and_the_remedy_names_commands() -> None:
    with pytest.raises(CredentialsError, match="no AWS credentials") as failed:
        open_cloud("aws", REGION)
    assert "aws configure sso" in failed.value.remedy


def test_a_profile_that_is_not_there_is_told_by_its_name(
    clients: Clients,  # noqa: ARG001 - its account
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsError, match="nobody"):
        open_cloud("aws", REGION)


@pytest.mark.usefixtures("clients")
def test_no_region_is_a_setting_that_lacks() -> None:
    with pytest.raises(SettingsError, match="region"):
        open_cloud("aws", "")


def test_a_region_that_is_no_name_is_a_setting_that_is_wrong(clients: Clients) -> None:
    with pytest.raises(SettingsError, match="not a region"):
        clients.of("ec2", "not a region")


# --- What happened to a group ---------------------------------------------------------------------


def activity(status: str, **said: Any) -> dict[str, Any]:
    moment = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
    return {
        "ActivityId": "1",
        "AutoScalingGroupName": "imgbatch-lab-gpu",
        "Description": "Launching a new EC2 instance.  Status Reason: ...",
        "Cause": "At 2026-11-21T12:00:00Z an instance was started in response to a difference "
        "between desired and actual capacity, increasing the capacity from 0 to 1.",
        "StartTime": moment.replace(second=0),
        "EndTime": moment,
        "StatusCode": status,
        **said,
    }


WORDS = {
    "stock-out": """
        Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity
        due to your request configuration. Please adjust your request and try again.
        Launching EC2 instance failed.

        Could not launch Spot Instances. InsufficientInstanceCapacity - There is no Spot
        capacity available that matches your request. Launching EC2 instance failed.

        We currently do not have sufficient g5.xlarge capacity in the Availability Zone you
        requested (us-east-1c). Our system will be working on provisioning additional
        capacity. Launching EC2 instance failed.
    """,
    "quota": """
        Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance
        count exceeded. Launching EC2 instance failed.

        Max spot instance count exceeded. Launching EC2 instance failed.

        Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more
        vCPU capacity than your current vCPU limit of 0 allows for the instance bucket that
        the specified instance type belongs to. Launching EC2 instance failed.

        You have requested more instances (2) than your current instance limit of 1 allows
        for the specified instance type. Launching EC2 instance failed.

        You've reached your quota for maximum Fleet Requests for this account. Launching EC2
        instance failed.

        Could not launch Spot Instances. InvalidParameterCombination - The specified
        instance type is not eligible for Free Tier. Launching EC2 instance failed.
    """,
    "denied": """
        You are not authorized to perform this operation. Encoded authorization failure
        message: abc. Launching EC2 instance failed.

        Authentication Failure. Launching EC2 instance failed.

        This account is currently blocked and not recognized as a valid account. Launching
        EC2 instance failed.
    """,
    "failed": """
        Could not launch On-Demand Instances. InvalidAMIID.NotFound - The image id
        '[ami-02c7e84c65fcfecee]' does not exist. Launching EC2 instance failed.
    """,
}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (kind, " ".join(text.split()))
        for kind, texts in WORDS.items()
        for text in texts.split("\n\n")
    ],
)
def test_why_a_machine_did_not_come_is_told_from_awss_words(kind: str, text: str) -> None:
    event = event_of(activity("Failed", StatusMessage=text))
    assert (event.kind, event.message, event.machine) == (kind, text, "")


TAKEN = "At 2026-11-21T12:00:00Z an instance was taken out of service in response to an EC2 "


@pytest.mark.parametrize(
    ("description", "cause", "kind"),
    [
        ("Launching a new EC2 instance: i-0aa", "a difference", "launched"),
        ("Terminating EC2 instance: i-0aa", "in response to a user request, shrinking", "ended"),
        (
            "Terminating EC2 instance: i-0aa",
            TAKEN + "health check indicating it has been terminated or stopped.",
            "preempted",
        ),
        (
            "Terminating EC2 instance: i-0aa",
            TAKEN + "instance rebalance recommendation.",
            "preempted",
        ),
        ("Detaching EC2 instance: i-0aa", "a user request", "other"),
    ],
)
def test_what_came_to_pass_is_told_with_its_machine(
    description: str, cause: str, kind: str
) -> None:
    event = event_of(activity("Successful", Description=description, Cause=cause))
    assert (event.kind, event.machine) == (kind, "i-0aa")


def test_what_began_before_and_ended_after_is_told(clients: Clients) -> None:
    """It would be lost if the beginning counted: a launch fails minutes after it began."""
    groups = AwsGroups(clients)
    late = activity("Failed", StatusMessage="Max spot instance count exceeded.")
    going = {k: v for k, v in activity("InProgress").items() if k != "EndTime"}
    with Stubber(clients.of("autoscaling")) as stub:
        stub.add_response("describe_scaling_activities", {"Activities": [going, late]})
        (event,) = groups.events("imgbatch-lab-gpu", late["StartTime"].timestamp() + 1)
    assert (event.kind, event.at) == ("quota", late["EndTime"].timestamp())


def test_a_long_history_is_not_read_to_its_beginning(clients: Clients) -> None:
    old = activity("Successful", StartTime=datetime(2026, 1, 1, tzinfo=UTC))
    with Stubber(clients.of("autoscaling")) as stub:
        stub.add_response("describe_scaling_activities", {"Activities": [old], "NextToken": "more"})
        assert AwsGroups(clients).events("g", old["EndTime"].timestamp() - 1) == []


# --- What happens between two requests ------------------------------------------------------------

GROUP = {
    "AutoScalingGroupName": "imgbatch-lab-gpu",
    "MinSize": 0,
    "MaxSize": 4,
    "DesiredCapacity": 1,
    "DefaultCooldown": 300,
    "AvailabilityZones": ["us-east-1a"],
    "HealthCheckType": "EC2",
    "CreatedTime": datetime(2026, 11, 21, tzinfo=UTC),
    "Instances": [
        {
            "InstanceId": "i-0aa",
            "AvailabilityZone": "us-east-1a",
            "LifecycleState": "InService",
            "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": False,
        }
    ],
}
GONE = "Instance Id not found - No managed instance found for instance ID: i-0aa"
EXISTS = "Scheduled action with this scheduled start time already exists"
SMALLEST = (
    "Currently, desiredSize equals minSize (0). Terminating instance without replacement will "
    "violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false "
    "or lower group's min size."
)


def test_a_group_that_waits_for_machines_may_wait_for_fewer(clients: Clients) -> None:
    """One of four is there: for three more it need not wait, and it itself is not ended."""
    groups = AwsGroups(clients)
    waiting = {"AutoScalingGroups": [{**GROUP, "DesiredCapacity": 4}]}
    with Stubber(clients.of("autoscaling")) as stub:
        stub.add_response("describe_auto_scaling_groups", waiting)
        asked = {
            "AutoScalingGroupName": "imgbatch-lab-gpu",
            "DesiredCapacity": 1,
            "HonorCooldown": False,
        }
        stub.add_response("set_desired_capacity", {}, asked)
        groups.want("imgbatch-lab-gpu", 1)
        stub.assert_no_pending_responses()


def removing(clients: Clients, message: str, *, then: int = 1) -> None:
    """Remove a machine where AWS refuses in these words, in a group then of such a size."""
    with Stubber(clients.of("autoscaling")) as stub:
        stub.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [GROUP]})
        stub.add_client_error(
            "terminate_instance_in_auto_scaling_group", "ValidationError", message
        )
        now = {**GROUP, "DesiredCapacity": then}
        stub.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [now]})
        AwsGroups(clients).remove("imgbatch-lab-gpu", "i-0aa")


def test_a_machine_that_went_meanwhile_is_removed(clients: Clients) -> None:
    removing(clients, GONE)


def test_a_machine_of_a_group_that_is_being_ended_is_removed(clients: Clients) -> None:
    removing(clients, SMALLEST, then=0)


@pytest.mark.parametrize("message", [SMALLEST, "Instance i-0aa is protected from termination."])
def test_a_machine_that_stays_is_an_error(clients: Clients, message: str) -> None:
    with pytest.raises(CloudError, match="ending i-0aa"):
        removing(clients, message, then=1)


def test_a_machine_that_leaves_is_not_ended_twice(clients: Clients) -> None:
    """AWS would make the group smaller a second time."""
    leaving = {**GROUP["Instances"][0], "LifecycleState": "Terminating:Wait"}
    with Stubber(clients.of("autoscaling")) as stub:
        group = {**GROUP, "Instances": [leaving]}
        stub.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [group]})
        AwsGroups(clients).remove("imgbatch-lab-gpu", "i-0aa")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("lifecycle", "machine", "state"),
    [
        ("Pending", "pending", "pending"),
        ("Pending", "running", "running"),
        ("InService", "running", "running"),
        ("Terminating", "running", "leaving"),
        ("Terminating:Wait", "running", "leaving"),
        ("InService", "shutting-down", "leaving"),
        (None, "running", "running"),
    ],
)
def test_a_members_state_is_the_machines_unless_its_group_lets_it_go(
    clients: Clients, lifecycle: str | None, machine: str, state: str
) -> None:
    held = [{**GROUP["Instances"][0], "LifecycleState": lifecycle}] if lifecycle else []
    instance = {
        "InstanceId": "i-0aa",
        "InstanceType": "g6.xlarge",
        "State": {"Code": 0, "Name": machine},
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "LaunchTime": datetime(2026, 11, 21, tzinfo=UTC),
        "InstanceLifecycle": "spot",
    }
    with Stubber(clients.of("autoscaling")) as stub, Stubber(clients.of("ec2")) as ec2:
        group = {**GROUP, "Instances": held}
        stub.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [group]})
        ec2.add_response("describe_instances", {"Reservations": [{"Instances": [instance]}]})
        (member,) = AwsGroups(clients).members("imgbatch-lab-gpu")
    assert (member.state, member.spot, member.address) == (state, True, "")


def test_a_deadline_that_fired_while_it_was_disarmed_is_disarmed(clients: Clients) -> None:
    armed = {
        "AutoScalingGroupName": "imgbatch-lab-gpu",
        "ScheduledActionName": "imgbatch-deadline",
        "StartTime": datetime(2026, 11, 21, tzinfo=UTC),
    }
    with Stubber(clients.of("autoscaling")) as stub:
        for actions in ([armed], []):
            if not actions:
                stub.add_client_error(
                    "delete_scheduled_action", "ValidationError", "Scheduled action name not found"
                )
            stub.add_response(
                "describe_scheduled_actions", {"ScheduledUpdateGroupActions": actions}
            )
        AwsGroups(clients).disarm("imgbatch-lab-gpu")


def test_a_deadline_says_nothing_of_how_large_a_group_may_be(clients: Clients) -> None:
    """The head's role may give no MaxSize: a deadline could raise it."""
    with Stubber(clients.of("autoscaling")) as stub:
        stub.add_response(
            "put_scheduled_update_group_action",
            {},
            {
                "AutoScalingGroupName": "imgbatch-lab-gpu",
                "ScheduledActionName": "imgbatch-deadline",
                "StartTime": datetime(2027, 1, 1, tzinfo=UTC),
                "MinSize": 0,
                "DesiredCapacity": 0,
            },
        )
        groups = AwsGroups(clients, clock=lambda: 0.0)
        groups.arm("imgbatch-lab-gpu", datetime(2027, 1, 1, tzinfo=UTC).timestamp() + 0.9)
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(("taken", "earlier"), [(0, 0), (1, 1), (2, 61)])
def test_a_deadline_gives_way_to_what_is_scheduled_at_that_moment_and_comes_earlier(
    clients: Clients, taken: int, earlier: int
) -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    asked = {
        "AutoScalingGroupName": "imgbatch-lab-gpu",
        "ScheduledActionName": "imgbatch-deadline",
        "StartTime": at - timedelta(seconds=earlier),
        "MinSize": 0,
        "DesiredCapacity": 0,
    }
    with Stubber(clients.of("autoscaling")) as stub:
        for _ in range(taken):
            stub.add_client_error("put_scheduled_update_group_action", "AlreadyExists", EXISTS)
        stub.add_response("put_scheduled_update_group_action", {}, asked)
        AwsGroups(clients, clock=lambda: 0.0).arm("imgbatch-lab-gpu", at.timestamp())
        stub.assert_no_pending_responses()


def test_a_deadline_that_finds_no_moment_is_an_error_and_never_silent(clients: Clients) -> None:
    with Stubber(clients.of("autoscaling")) as stub:
        for _ in range(3):
            stub.add_client_error("put_scheduled_update_group_action", "AlreadyExists", EXISTS)
        with pytest.raises(CloudError, match="scheduled actions"):
            AwsGroups(clients, clock=lambda: 0.0).arm("imgbatch-lab-gpu", 1e9)
