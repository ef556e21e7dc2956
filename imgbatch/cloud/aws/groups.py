"""Auto scaling groups by their names: who is in one, how large it is to be, when it ends.

Confirmed by the SDK's own models and by what others report of the real service (2026-11):
`TerminateInstanceInAutoScalingGroup` of a machine that is gone says `No managed instance found`; at
a desired size of 0 it says that the group's smallest size would be violated, which happens to a
group that is being ended anyway; a scheduled action that lies in the past is refused, and so is one
at the moment of another.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imgbatch.cloud import Member, Size
from imgbatch.cloud.aws.activities import EARLIER, event_of
from imgbatch.cloud.aws.errors import code_of, missing, refusal, said, told
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    from imgbatch.cloud import Event
    from imgbatch.cloud.aws.clients import Clients

DEADLINE = "imgbatch-deadline"
GROUP_TAG = "aws:autoscaling:groupName"
# What exists of a group: a machine that is `terminated` stays in the answers for an hour.
EXISTING = ["pending", "running", "shutting-down", "stopping", "stopped"]
# AWS needs some time between a scheduled action and its moment.
SOON = 5.0
# AWS takes no two actions of a group at one moment, nor two that are put at the same time. A
# deadline that gives way comes earlier, never later.
EARLIER_BY = (0, 1, 61)


class AwsGroups:
    """Implements `imgbatch.cloud.Groups`.

    All raise DeploymentError where there is no such group: Terraform makes them.
    """

    def __init__(self, clients: Clients, clock: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._clock = clock

    def size(self, group: str) -> Size:
        """Return how large a group is to be."""
        found = self._group(group)
        return Size(found["DesiredCapacity"], found["MaxSize"])

    def members(self, group: str) -> list[Member]:
        """Return the machines of a group that exist, oldest first."""
        states = _states(self._group(group))
        with told(f"listing the machines of {group}"):
            found = [_member(one, states) for one in self._instances(group)]
        return sorted(found, key=lambda member: (member.since, member.machine))

    def want(self, group: str, count: int) -> None:
        """Have a group grow to so many members, want fewer than it waits for, or end all with 0.

        A group that waits for machines may be asked for fewer of them, down to those that exist:
        AWS then ends none. Drawback: one that comes between our look and the order may be ended by
        AWS's choice; what was at work there is done again.

        Raises:
            ValueError: fewer than exist, and not 0: the cloud would choose which machine to end.
            CloudError: more than the group may have, too.
        """
        found = self._group(group)
        there = [phase for phase in _states(found).values() if phase != "leaving"]
        if count < 0 or 0 < count < len(there):
            raise ValueError(f"{group} has {len(there)} machines: {count} would end some")
        if count > found["MaxSize"]:
            raise CloudError(
                f"{group} may have {found['MaxSize']} members at most, and {count} are wanted",
                "Give the pool a larger `most` in the deployment's variables, then "
                "`scripts/cloud up aws`.",
            )
        if count == found["DesiredCapacity"]:
            return
        with told(f"having {group} be of {count} machines"):
            self._scaling.set_desired_capacity(
                AutoScalingGroupName=group, DesiredCapacity=count, HonorCooldown=False
            )

    def remove(self, group: str, machine: str) -> None:
        """End one machine and make the group smaller by one; no error where it is gone."""
        if _states(self._group(group)).get(machine, "leaving") == "leaving":
            return
        try:
            self._scaling.terminate_instance_in_auto_scaling_group(
                InstanceId=machine, ShouldDecrementDesiredCapacity=True
            )
        except ClientError as error:
            if not _gone(error) and not self._ending(group, error):
                raise refusal(f"ending {machine} of {group}", error) from error

    def events(self, group: str, since: float) -> list[Event]:
        """Return what happened after a moment, oldest first."""
        with told(f"asking what happened to {group}"):
            found = [
                activity
                for activity in self._activities(group, since)
                if "EndTime" in activity and activity["EndTime"].timestamp() > since
            ]
        told_events = [event_of(activity) for activity in found]
        return sorted(told_events, key=lambda event: event.at)

    def arm(self, group: str, at: float) -> None:
        """Have the cloud itself end all machines of a group at a moment, whatever becomes of us.

        A moment that has passed, or is a few seconds off, ends them now: AWS takes none of those.
        """
        if at <= self._clock() + SOON:
            self.want(group, 0)
            return
        for earlier in EARLIER_BY:
            if self._schedule(group, int(at) - earlier):
                return
        raise CloudError(
            f"{group} has scheduled actions of somebody at each moment just before its deadline",
            f"`aws autoscaling describe-scheduled-actions --auto-scaling-group-name {group}` "
            "shows them; move theirs, or take another deadline.",
        )

    def _schedule(self, group: str, at: int) -> bool:
        """Have all machines end at a moment; False where another action has that very moment."""
        with told(f"arming the deadline of {group}"):
            try:
                self._scaling.put_scheduled_update_group_action(
                    AutoScalingGroupName=group,
                    ScheduledActionName=DEADLINE,
                    StartTime=datetime.fromtimestamp(at, UTC),
                    MinSize=0,
                    DesiredCapacity=0,
                )
            except ClientError as error:
                if code_of(error) == "AlreadyExists":
                    return False
                raise
        return True

    def disarm(self, group: str) -> None:
        """Take that back; no error where there is none."""
        if self.armed(group) is None:
            return
        try:
            self._scaling.delete_scheduled_action(
                AutoScalingGroupName=group, ScheduledActionName=DEADLINE
            )
        except ClientError as error:
            # It came to pass between the two requests.
            if self.armed(group) is not None:
                raise refusal(f"disarming the deadline of {group}", error) from error

    def armed(self, group: str) -> float | None:
        """Return when the cloud itself will end a group's machines."""
        with told(f"asking for the deadline of {group}"):
            found = self._scaling.describe_scheduled_actions(
                AutoScalingGroupName=group, ScheduledActionNames=[DEADLINE]
            )["ScheduledUpdateGroupActions"]
        return found[0]["StartTime"].timestamp() if found else None

    @property
    def _scaling(self) -> Any:
        return self._clients.of("autoscaling")

    def _group(self, group: str) -> Any:
        with told(f"asking for {group}"):
            found = self._scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])
        if not found["AutoScalingGroups"]:
            raise missing("auto scaling group", group, self._clients.region)
        return found["AutoScalingGroups"][0]

    def _instances(self, group: str) -> Iterator[Any]:
        # By its tag and not by id: an id that is seconds old is an error (InvalidInstanceID), and a
        # machine that the group has let go still costs until it has ended.
        pages = self._clients.of("ec2").get_paginator("describe_instances")
        filters = [
            {"Name": f"tag:{GROUP_TAG}", "Values": [group]},
            {"Name": "instance-state-name", "Values": EXISTING},
        ]
        for page in pages.paginate(Filters=filters):
            for reservation in page["Reservations"]:
                yield from reservation["Instances"]

    def _activities(self, group: str, since: float) -> Iterator[Any]:
        """Yield what AWS did to a group, newest start first, until far enough back."""
        pages = self._scaling.get_paginator("describe_scaling_activities")
        for page in pages.paginate(AutoScalingGroupName=group):
            for activity in page["Activities"]:
                if activity["StartTime"].timestamp() < since - EARLIER:
                    return
                yield activity

    def _ending(self, group: str, error: ClientError) -> bool:
        return "min size" in said(error) and self.size(group).wanted == 0


def _gone(error: ClientError) -> bool:
    return code_of(error) == "ValidationError" and "No managed instance found" in said(error)


def _states(group: Any) -> dict[str, str]:
    """Return how a group sees its machines: pending, running or leaving."""
    return {one["InstanceId"]: _phase(one["LifecycleState"]) for one in group["Instances"]}


def _phase(lifecycle: str) -> str:
    if lifecycle.startswith("Pending"):
        return "pending"
    return "running" if lifecycle in ("InService", "Standby") else "leaving"


def _member(instance: Any, states: dict[str, str]) -> Member:
    machine = instance["InstanceId"]
    return Member(
        machine=machine,
        state=_state(instance["State"]["Name"], states.get(machine)),
        type=instance["InstanceType"],
        zone=instance["Placement"]["AvailabilityZone"],
        address=instance.get("PrivateIpAddress", ""),
        since=instance["LaunchTime"].timestamp(),
        spot=instance.get("InstanceLifecycle") == "spot",
    )


def _state(machine: str, group: str | None) -> Literal["pending", "running", "leaving"]:
    """Return the state of a machine as it itself and as its group sees it."""
    if machine not in ("pending", "running") or group == "leaving":
        return "leaving"
    return "pending" if machine == "pending" else "running"
