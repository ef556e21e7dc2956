"""Errors and operations of Compute Engine enter, what happened to a group leaves.

A group keeps a list of what kept its machines from coming. That a machine came, went or was taken
back is told by the zones' operations. Texts and codes as users print them in their own logs
(looked up in 2026-11; nothing here has asked Google):

    ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS  A n1-standard-4 VM instance with 1 nvidia-tesla-t4
        accelerator(s) is currently unavailable in the us-central1-b zone. ...
    ZONE_RESOURCE_POOL_EXHAUSTED  The zone '...' does not have enough resources available to fulfill
        the request.  '(resource type:compute)'.
    QUOTA_EXCEEDED  Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.
    operationType compute.instances.preempted, with targetId = the machine's id
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.cloud import Kind

_REASONS: list[tuple[Kind, str]] = [
    ("quota", r"QUOTA|Quota '|IP_SPACE_EXHAUSTED|rate limit"),
    ("stock-out", r"RESOURCE_POOL_EXHAUSTED|enough resources|currently unavailable|STOCKOUT"),
    (
        "denied",
        r"PERMISSION|FORBIDDEN|Required '.*' permission|does not have .*(access|permission)",
    ),
]
# What an operation on a machine is called, and what it means to a run.
_OPERATIONS: dict[str, Kind] = {
    "insert": "launched",
    "delete": "ended",
    "compute.instances.preempted": "preempted",
}
OPERATIONS = tuple(_OPERATIONS)
# What a group was at when it failed, that keeps a machine from coming.
_COMING = ("CREATING", "CREATING_WITHOUT_RETRIES", "RECREATING", "VERIFYING", "STARTING")


def moment(text: str) -> float:
    """Return seconds since 1970 of a moment as Google writes it."""
    return datetime.fromisoformat(text).timestamp()


def of_errors(errors: Iterable[Any]) -> list[Event]:
    """Return what a group says that it could not do."""
    return [
        Event(moment(raw["timestamp"]), _kind(raw), _words(raw["error"]))
        for raw in errors
        if "timestamp" in raw and "error" in raw
    ]


def of_operations(operations: Iterable[Any]) -> list[Event]:
    """Return which machines came and went; one that was taken back is told once."""
    done = [raw for raw in operations if raw.get("status") == "DONE" and "error" not in raw]
    found = [
        Event(
            at=moment(raw.get("endTime") or raw["insertTime"]),
            kind=_OPERATIONS[raw["operationType"]],
            message=str(raw.get("statusMessage") or raw["operationType"]),
            machine=str(raw.get("targetId", "")),
        )
        for raw in done
        if raw["operationType"] in _OPERATIONS
    ]
    taken = {event.machine for event in found if event.kind == "preempted"}
    return [event for event in found if event.kind != "ended" or event.machine not in taken]


def reason(text: str) -> Kind:
    """Return what kept a machine from coming, by Google's own words."""
    found = (kind for kind, words in _REASONS if re.search(words, text, re.IGNORECASE))
    return next(found, "failed")


def _kind(raw: Any) -> Kind:
    action = raw.get("instanceActionDetails", {}).get("action", "CREATING")
    return reason(_words(raw["error"])) if action in _COMING else "other"


def _words(error: Any) -> str:
    return f"{error.get('code', '')}: {error.get('message', '')}".strip(": ")
