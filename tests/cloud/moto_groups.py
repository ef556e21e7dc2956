"""Where moto is not what AWS is, and what imgbatch does with groups would not be seen.

moto 5.2.5 keeps one scheduled action per name in all of a region (AWS: per group), takes moments
that have passed, knows no scaling activities and no spot machines in a group. Here it has all four.
It makes a parameter that is only to be overwritten; AWS asks for its type first. It knows no quota
of EC2; here each is `QUOTA` cores. It ends with a 500 where AWS simulates a policy; here it
refuses.
What it still does not do: fire a scheduled action, hold a group to its MaxSize, refuse by IAM
conditions, run out of machines.
"""

from __future__ import annotations

import inspect
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.iam.exceptions import IAMException
from moto.iam.responses import IamResponse
from moto.servicequotas.models import ServiceQuotasBackend
from moto.ssm.exceptions import ValidationException
from moto.ssm.models import SimpleSystemManagerBackend

QUOTA = 64.0


def close_gaps() -> None:
    """Patch moto in this process; once, however often it is called."""
    if hasattr(AutoScalingBackend, "imgbatch_gaps_closed"):
        return
    AutoScalingBackend.imgbatch_gaps_closed = True
    AutoScalingBackend.put_scheduled_update_group_action = _put(
        AutoScalingBackend.put_scheduled_update_group_action
    )
    AutoScalingBackend.delete_scheduled_action = _delete
    AutoScalingBackend.terminate_instance = _terminate(AutoScalingBackend.terminate_instance)
    AutoScalingBackend.notify_terminate_instances = _lost(
        AutoScalingBackend.notify_terminate_instances
    )
    FakeAutoScalingGroup.set_desired_capacity = _resize(FakeAutoScalingGroup.set_desired_capacity)
    AutoScalingResponse.describe_scaling_activities = _activities
    SimpleSystemManagerBackend.put_parameter = _typed(SimpleSystemManagerBackend.put_parameter)
    ServiceQuotasBackend.get_service_quota = _quota
    IamResponse.simulate_principal_policy = _simulate


def record(group: Any, description: str, cause: str, status: str = "Successful") -> None:
    """Have a group of moto's say that something happened to it."""
    now = datetime.now(UTC)
    told = {
        "ActivityId": str(uuid.uuid4()),
        "AutoScalingGroupName": group.name,
        "Description": description,
        "Cause": cause,
        "StartTime": now,
        "EndTime": now,
        "StatusCode": status,
        "StatusMessage": cause if status == "Failed" else None,
        "Progress": 100,
    }
    group.imgbatch_activities = [told, *getattr(group, "imgbatch_activities", [])]


def _put(plain: Any) -> Any:
    def put(self: Any, **said: Any) -> Any:
        start = said.get("start_time")
        if start:
            if isinstance(start, str):
                start = datetime.fromisoformat(start)
            if start.replace(tzinfo=start.tzinfo or UTC) <= datetime.now(UTC):
                raise ValidationError("Given start time is in the past")
        made = plain(self, **said)
        del self.scheduled_actions[said["scheduled_action_name"]]
        self.scheduled_actions[said["name"], said["scheduled_action_name"]] = made
        return made

    return put


def _delete(self: Any, auto_scaling_group_name: str, scheduled_action_name: str) -> None:
    key = (auto_scaling_group_name, scheduled_action_name)
    if key not in self.scheduled_actions:
        raise ValidationError("Scheduled action name not found")
    del self.scheduled_actions[key]


def _terminate(plain: Any) -> Any:
    def terminate(self: Any, instance_id: str, should_decrement: Any) -> Any:
        owner = {
            state.instance.id: group
            for group in self.autoscaling_groups.values()
            for state in group.instance_states
        }
        if instance_id not in owner:
            raise ValidationError(
                f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
            )
        done = plain(self, instance_id, should_decrement)
        record(owner[instance_id], done.description, done.cause)
        return done

    return terminate


def _lost(plain: Any) -> Any:
    """Have a group say which of its machines somebody else ended: the cloud, for a spot machine."""

    def notify(self: Any, instance_ids: list[str]) -> None:
        gone = [
            (group, state.instance.id)
            for group in self.autoscaling_groups.values()
            for state in group.instance_states
            if state.instance.id in instance_ids
        ]
        plain(self, instance_ids)
        for group, machine in gone:
            record(
                group,
                f"Terminating EC2 instance: {machine}",
                "an instance was taken out of service in response to an EC2 health check "
                "indicating it has been terminated or stopped",
            )

    return notify


def _resize(plain: Any) -> Any:
    def resize(self: Any, new_capacity: int | None) -> None:
        former = {state.instance.id for state in self.instance_states}
        plain(self, new_capacity)
        now = {state.instance.id: state.instance for state in self.instance_states}
        for machine in now.keys() - former:
            if _is_spot(self):
                now[machine].lifecycle = "spot"
            record(
                self,
                f"Launching a new EC2 instance: {machine}",
                "an instance was started in response to a difference between desired and actual "
                "capacity",
            )
        for machine in former - now.keys():
            record(
                self,
                f"Terminating EC2 instance: {machine}",
                "an instance was taken out of service in response to a user request, shrinking "
                "the capacity",
            )

    return resize


def _is_spot(group: Any) -> bool:
    said = (group.mixed_instances_policy or {}).get("InstancesDistribution", {})
    return str(said.get("OnDemandPercentageAboveBaseCapacity", "100")) == "0"


def _activities(self: Any) -> ActionResult:
    group = self.autoscaling_backend.autoscaling_groups.get(self._get_param("AutoScalingGroupName"))
    return ActionResult({"Activities": getattr(group, "imgbatch_activities", [])})


def _typed(plain: Any) -> Any:
    def put(self: Any, name: str, *said: Any, **named: Any) -> Any:
        bound = inspect.signature(plain).bind(self, name, *said, **named).arguments
        if not bound.get("parameter_type") and not self._parameters.get(name):
            raise ValidationException("A parameter type is required when you create a parameter.")
        return plain(self, name, *said, **named)

    return put


def _quota(_self: Any, service_code: str, quota_code: str) -> dict[str, Any]:
    return {"ServiceCode": service_code, "QuotaCode": quota_code, "Value": QUOTA}


class UnknownError(IAMException):
    code = "PolicyEvaluation"


def _simulate(_self: Any) -> None:
    raise UnknownError("moto simulates no policies")
