"""A scaling activity of AWS enters, what happened to the group leaves.

AWS tells why a machine did not come in words alone. The texts below are those that users of the
real service print in their own logs and threads (looked up in 2026-11; nothing here has asked it):

    Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to
        your request configuration. Launching EC2 instance failed.
    Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count
        exceeded. Launching EC2 instance failed.
    Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU ...
    We currently do not have sufficient g5.xlarge capacity in the Availability Zone you ...
    You've reached your quota for maximum Fleet Requests for this account.
    ... The specified instance type is not eligible for Free Tier.
    This account is currently blocked and not recognized as a valid account.
    Authentication Failure. (seconds after the account's first group: its role is not known yet)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import Event

if TYPE_CHECKING:
    from imgbatch.cloud import Kind

# An activity may take so long between its start, by which AWS sorts, and its end.
EARLIER = 3600.0

_QUOTA = (
    r"max spot instance count|MaxSpotInstanceCountExceeded|VcpuLimitExceeded|"
    r"more vCPU capacity than|InstanceLimitExceeded|more instances \(\d+\) than|"
    r"reached your quota|VolumeLimitExceeded|not eligible for Free Tier|"
    r"AddressLimitExceeded|PendingVerification"
)
_STOCK_OUT = (
    r"InsufficientInstanceCapacity|UnfulfillableCapacity|insufficient .*capacity|"
    r"not have sufficient|no capacity available|no Spot capacity|"
    r"InsufficientFreeAddresses|SpotMaxPriceTooLow|InsufficientCapacity"
)
_DENIED = (
    r"UnauthorizedOperation|not authorized|AccessDenied|Authentication Failure|"
    r"AuthFailure|account is currently blocked|\bKMS|KMSKey"
)
_REASONS: list[tuple[Kind, str]] = [
    ("quota", _QUOTA),
    ("stock-out", _STOCK_OUT),
    ("denied", _DENIED),
]
_MACHINE = re.compile(r"\bi-[0-9a-f]+\b")
_TAKEN = re.compile(
    r"spot (instance )?interruption|rebalance recommendation|"
    r"EC2 health check indicating it has been terminated or stopped",
    re.IGNORECASE,
)


def event_of(activity: Any) -> Event:
    """Return an activity that has ended as what happened."""
    text = activity.get("StatusMessage") or activity.get("Cause") or activity["Description"]
    machine = _MACHINE.search(activity["Description"])
    return Event(
        at=activity["EndTime"].timestamp(),
        kind=_kind(activity),
        message=text,
        machine=machine.group() if machine else "",
    )


def _kind(activity: Any) -> Kind:
    if activity["StatusCode"] in ("Failed", "Cancelled"):
        return reason(activity.get("StatusMessage", ""))
    launching = activity["Description"].startswith("Launching")
    terminating = activity["Description"].startswith("Terminating")
    if launching:
        return "launched"
    if terminating:
        # A machine that ended by itself reads the same: only the machine's own record tells them
        # apart, and it is gone after an hour. Both lose what was at work there.
        return "preempted" if _TAKEN.search(activity.get("Cause", "")) else "ended"
    return "other"


def reason(text: str) -> Kind:
    """Return what kept a machine from coming, by AWS's own words."""
    found = (kind for kind, words in _REASONS if re.search(words, text, re.IGNORECASE))
    return next(found, "failed")
