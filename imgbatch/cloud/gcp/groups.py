"""Regional managed instance groups by their names: who is in one, how large it is to be, its end.

A machine is named here by its number (`instance/id` of its metadata): a group makes a machine again
under the same name. What Google asks for is its URL, which the group's own list has for each.

What is promised of a group is by Google's reference and its discovery documents (2026-11):
`deleteInstances` ends machines by name and makes the group smaller by as many, those that are no
members or on their way out are skipped (`skipInstancesOnValidationError`); `resize` to fewer would
choose by itself; a group has no largest size of its own, so `want` here keeps the deployment's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import Member, Size
from imgbatch.cloud.gcp.deadlines import Deadlines, minute
from imgbatch.cloud.gcp.errors import Refusal, missing, told
from imgbatch.cloud.gcp.events import OPERATIONS, moment, of_errors, of_operations
from imgbatch.cloud.gcp.rest import last, one
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

    from imgbatch.cloud import Event
    from imgbatch.cloud.gcp.rest import Google

SERVICE = "compute"
PENDING = ("PENDING", "PROVISIONING", "STAGING")
RUNNING = ("RUNNING", "REPAIRING")
GOING = ("DELETING", "ABANDONING")
# Cloud Scheduler needs some time between a job and its moment.
SOON = 5.0
# Accelerators that a machine type does not have by its name.
ATTACHED = {"nvidia-tesla-t4": "t4"}


class GcpGroups:
    """Implements `imgbatch.cloud.Groups`.

    All raise DeploymentError where there is no such group: Terraform makes them.

    Args:
        google: of a project and a region.
        most: machines that each group may have, as the deployment says; one that it does not name
            has none.
        clock: seconds since 1970.
    """

    def __init__(
        self, google: Google, most: Mapping[str, int], clock: Callable[[], float] = time.time
    ) -> None:
        self._google = google
        self._most = most
        self._clock = clock
        self._deadlines = Deadlines(google, clock)

    def size(self, group: str) -> Size:
        """Return how large a group is to be, and may be as the deployment says.

        Google itself bounds it by quotas alone.
        """
        return Size(int(self._group(group)["targetSize"]), self._most.get(group, 0))

    def members(self, group: str) -> list[Member]:
        """Return the machines of a group that exist, oldest first."""
        with told(f"listing the machines of {group}"):
            # In this order: what comes in between is told next time, what goes is leaving.
            try:
                there = list(self._pages("aggregated/instances", "items", filter=_named(group)))
            except Refusal as error:  # there is no such project either
                raise self._missing(group, error) from None
        states = {raw.get("id"): _phase(raw) for raw in self._managed(group)}
        found = [_member(raw, states) for raw in there]
        return sorted(found, key=lambda member: (member.since, member.machine))

    def want(self, group: str, count: int) -> None:
        """Have a group grow to so many members, want fewer than it waits for, or end all with 0.

        Fewer are had by ending, by their names, what the group has not made yet.

        Raises:
            ValueError: fewer than exist, and not 0: Google would choose which machine to end.
            CloudError: more than the group may have, too.
        """
        size, managed = self.size(group), self._managed(group)
        target = size.wanted
        there = [raw for raw in managed if _phase(raw) in ("pending", "running")]
        if count < 0 or 0 < count < len(there):
            raise ValueError(f"{group} has {len(there)} machines: {count} would end some")
        if count > max(size.most, target):  # of too many that somebody else asked for, fewer
            raise CloudError(
                f"{group} may have {size.most} members at most, and {count} are wanted",
                "Give the pool a larger `most` in the deployment's variables, then "
                "`scripts/cloud up gcp`.",
            )
        if count == target:
            return
        waiting = [raw for raw in managed if _phase(raw) == "waiting"]
        with told(f"having {group} be of {count} machines"):
            if 0 < count < target and len(waiting) >= target - count:
                self._end(group, waiting[: target - count])
            else:
                self._google.post(SERVICE, f"{self._path(group)}/resize", size=count)

    def remove(self, group: str, machine: str) -> None:
        """End one machine and make the group smaller by one; no error where it is gone."""
        found = [raw for raw in self._managed(group) if raw.get("id") == machine]
        if found and _phase(found[0]) != "leaving":
            with told(f"ending {machine} of {group}"):
                self._end(group, found)

    def events(self, group: str, since: float) -> list[Event]:
        """Return what happened after a moment, oldest first."""
        with told(f"asking what happened to {group}"):
            refused = self._listed(group, "listErrors", "items")
            done = list(self._pages("aggregated/operations", "items", filter=_operations(group)))
        found = [*of_errors(refused), *of_operations(done)]
        return sorted((e for e in found if e.at > since), key=lambda event: event.at)

    def arm(self, group: str, at: float) -> None:
        """Have the cloud itself end all machines of a group at a moment, whatever becomes of us.

        The whole minute before it counts. One that has passed ends them now.
        """
        if minute(at) <= self._clock() + SOON:
            self.want(group, 0)
            return
        self._deadlines.arm(group, at)

    def disarm(self, group: str) -> None:
        """Take that back; no error where there is none."""
        self._deadlines.disarm(group)

    def armed(self, group: str) -> float | None:
        """Return when the cloud itself will end a group's machines."""
        return self._deadlines.armed(group)

    def _path(self, group: str) -> str:
        place = f"projects/{self._google.project}/regions/{self._google.region}"
        return f"{place}/instanceGroupManagers/{one(group)}"

    def _pages(self, path: str, field: str, **query: Any) -> Any:
        return self._google.pages(
            SERVICE, f"projects/{self._google.project}/{path}", field, **query
        )

    def _group(self, group: str) -> Any:
        with told(f"asking for {group}"):
            try:
                return self._google.get(SERVICE, self._path(group))
            except Refusal as error:
                raise self._missing(group, error) from None

    def _managed(self, group: str) -> list[Any]:
        with told(f"asking for {group}"):
            return self._listed(group, "listManagedInstances", "managedInstances", posted=True)

    def _listed(self, group: str, what: str, field: str, *, posted: bool = False) -> list[Any]:
        path = f"{self._path(group)}/{what}"
        try:
            return list(self._google.pages(SERVICE, path, field, posted=posted))
        except Refusal as error:
            raise self._missing(group, error) from None

    def _end(self, group: str, managed: list[Any]) -> None:
        machines = [raw["instance"] for raw in managed]
        body = {"instances": machines, "skipInstancesOnValidationError": True}
        self._google.post(SERVICE, f"{self._path(group)}/deleteInstances", body)

    def _missing(self, group: str, error: Refusal) -> Exception:
        where = f"{self._google.region} of project {self._google.project}"
        return missing("instance group", group, where) if error.missing else error


def _named(group: str) -> str:
    """Return the filter for the machines of a group, whose names begin with its own."""
    return f'name eq "{group}-[a-z0-9]+"'


def _operations(group: str) -> str:
    """Return the filter for what was done to them; a project has thousands of other operations."""
    kinds = "|".join(OPERATIONS)
    return f'(operationType eq "{kinds}") (targetLink eq ".*/instances/{group}-[a-z0-9]+")'


def _phase(raw: Any) -> Literal["waiting", "pending", "running", "leaving"]:
    """Return how a group sees a machine; `waiting`: it has yet to make it, or make it again."""
    if raw.get("currentAction") in GOING:
        return "leaving"
    status = raw.get("instanceStatus")
    if status in PENDING:
        return "pending"
    return "running" if status in RUNNING else "waiting"


def _member(raw: Any, states: Mapping[Any, str]) -> Member:
    scheduling = raw.get("scheduling", {})
    interfaces = raw.get("networkInterfaces") or [{}]
    return Member(
        machine=str(raw["id"]),
        state=_state(raw["status"], states.get(raw["id"])),
        type=_type(raw),
        zone=last(raw["zone"]),
        address=str(interfaces[0].get("networkIP", "")),
        since=moment(raw["creationTimestamp"]),
        spot=scheduling.get("provisioningModel") == "SPOT" or bool(scheduling.get("preemptible")),
    )


def _type(raw: Any) -> str:
    """Return the type of a machine, with what is attached to it: n1-standard-4+t4."""
    found = last(raw["machineType"])
    for one_of in raw.get("guestAccelerators", []):
        gpu = ATTACHED.get(last(one_of.get("acceleratorType", "")))
        if gpu:
            return f"{found}+{gpu}"
    return found


def _state(status: str, group: str | None) -> Literal["pending", "running", "leaving"]:
    """Return the state of a machine as it itself and as its group sees it."""
    if status not in (*PENDING, *RUNNING) or group in (None, "leaving"):
        return "leaving"
    return "pending" if status in PENDING else "running"
