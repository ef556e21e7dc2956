"""The moment at which Google itself ends a group: a job of Cloud Scheduler per group.

Terraform makes each job, paused: it resizes its group to 0, as a service account that may do
nothing else. To arm is to resume it and to move its schedule to the moment. In this order: a job
that is paused cannot be changed (so says who tried, in 2022; if it can by now, this does as well).
What was its moment before counts for that instant: one that has passed comes in a year, and one
that is still to come ends a group in which there is no machine of ours yet.

Decision, 2026-11: a managed instance group has no scheduled end of its own. A template's
`maxRunDuration`, which Terraform sets as well, counts from each machine's start and cannot be moved
without a new template. A task of Cloud Tasks would be exact to the second and cost nothing, but the
name of a queue that was deleted is barred for days, so that `down` and `up` on one day would fail.
Drawbacks: a schedule knows minutes (a deadline comes up to 59 seconds earlier, never later), and a
job costs 0.10 dollars a month beyond the three that are free.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imgbatch.cloud.gcp.errors import Refusal, missing, told
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.cloud.gcp.rest import Google

SERVICE = "cloudscheduler"
MINUTE = 60
# A schedule has no year: what came to pass would come again in a year.
PASSED = 300 * 24 * 3600.0
ARMED, PAUSED = "ENABLED", "PAUSED"


class Deadlines:
    """The jobs of a deployment's groups.

    All raise DeploymentError where a group has none, CloudError where Google does not do it.
    """

    def __init__(self, google: Google, clock: Callable[[], float] = time.time) -> None:
        self._google = google
        self._clock = clock

    def arm(self, group: str, at: float) -> None:
        """Have a group end at the last whole minute before a moment."""
        moment = datetime.fromtimestamp(minute(at), UTC)
        when = {
            "schedule": f"{moment.minute} {moment.hour} {moment.day} {moment.month} *",
            "timeZone": "Etc/UTC",
        }
        with told(f"arming the deadline of {group}"):
            if self._job(group).get("state") == PAUSED:
                self._google.post(SERVICE, f"{self._path(group)}:resume", {})
            job = self._google.patch(
                SERVICE, self._path(group), when, updateMask="schedule,timeZone"
            )
        if job.get("state") != ARMED:
            raise CloudError(
                f"the deadline of {group} is not armed: its job is {job.get('state')}",
                "Run the same command again; `gcloud scheduler jobs describe "
                f"{group}-deadline --location {self._google.region}` tells more.",
            )

    def disarm(self, group: str) -> None:
        """Take that back; no error where nothing is armed."""
        with told(f"disarming the deadline of {group}"):
            if self._job(group).get("state") == ARMED:
                self._google.post(SERVICE, f"{self._path(group)}:pause", {})

    def armed(self, group: str) -> float | None:
        """Return when Google will end a group; None: it will not."""
        with told(f"asking for the deadline of {group}"):
            job = self._job(group)
        if job.get("state") != ARMED or "scheduleTime" not in job:
            return None
        at = datetime.fromisoformat(job["scheduleTime"]).timestamp()
        return at if at - self._clock() < PASSED else None

    def _job(self, group: str) -> Any:
        try:
            return self._google.get(SERVICE, self._path(group))
        except Refusal as error:
            if error.missing:
                where = f"{self._google.region} of project {self._google.project}"
                raise missing("job", f"{group}-deadline", where) from None
            raise

    def _path(self, group: str) -> str:
        place = f"projects/{self._google.project}/locations/{self._google.region}"
        return f"v1/{place}/jobs/{group}-deadline"


def minute(at: float) -> int:
    """Return the last whole minute before a moment, in seconds since 1970."""
    return int(at) // MINUTE * MINUTE
