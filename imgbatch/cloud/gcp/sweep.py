"""A label enters; what there is with it in all regions of a project leaves.

Google has no index of labels that everybody may ask: each service is asked for its own, Compute
Engine for all regions at once. What can hold no label holds the same words in its description.
A service that does not let itself be asked is an error, and no proof of nothing.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgbatch.cloud import Left
from imgbatch.cloud.gcp.errors import told
from imgbatch.cloud.gcp.rest import last
from imgbatch.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.cloud.gcp.rest import Google

LABEL = "imgbatch-deployment"
PREFIX = "imgbatch-"
AT_ONCE = 16
GLOBAL = "all regions"
_WORDS = re.compile(rf"{LABEL}=([a-z0-9-]+)")


@dataclass(frozen=True)
class _Kind:
    """Something of Compute Engine: how it is listed, and which command removes it."""

    kind: str
    listing: str
    remove: str
    costs: bool = False


_COMPUTE = (
    _Kind("machine", "aggregated/instances", "instances delete", costs=True),
    _Kind("disk", "aggregated/disks", "disks delete", costs=True),
    _Kind("address", "aggregated/addresses", "addresses delete", costs=True),
    _Kind("snapshot", "global/snapshots", "snapshots delete", costs=True),
    _Kind("router", "aggregated/routers", "routers delete", costs=True),
    _Kind("template", "aggregated/instanceTemplates", "instance-templates delete"),
    _Kind("network", "global/networks", "networks delete"),
    _Kind("firewall", "global/firewalls", "firewall-rules delete"),
)


def left(google: Google, deployment: str = "") -> Iterator[Left]:
    """Yield what there is of ours: of one deployment, or of all.

    Raises:
        CloudError: a service cannot be asked; after all that could be is told.
    """
    asked: list[Callable[[Google], list[Left]]] = [
        *(_lister(kind) for kind in _COMPUTE),
        _groups,
        _buckets,
        _secrets,
        _accounts,
        _roles,
        _jobs,
        _repositories,
    ]
    unasked: list[CloudError] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for sweep in [pool.submit(ask, google) for ask in asked]:
            try:
                found = sweep.result()
            except CloudError as error:
                unasked.append(error)
                continue
            yield from (one for one in found if _ours(one.deployment, deployment))
    if unasked:
        raise unasked[0]


def _ours(owner: str, deployment: str) -> bool:
    return bool(owner) and owner == (deployment or owner)


def _owner(raw: Any) -> str:
    """Return the deployment that something is of, by its labels or its description."""
    labels = raw.get("labels") or raw.get("properties", {}).get("labels") or {}
    if LABEL in labels:
        return str(labels[LABEL])
    found = _WORDS.search(str(raw.get("description", "")))
    return found[1] if found else ""


def _place(raw: Any) -> tuple[str, str]:
    """Return where something is, and the words of `gcloud` for that."""
    for kind in ("zone", "region"):
        if kind in raw:
            place = last(raw[kind])
            return place, f" --{kind} {place}"
    return GLOBAL, ""


def _lister(kind: _Kind) -> Callable[[Google], list[Left]]:
    def ask(google: Google) -> list[Left]:
        path = f"projects/{google.project}/{kind.listing}"
        with told(f"looking what is left: {kind.listing}"):
            return [_compute(kind, raw, google) for raw in google.pages("compute", path, "items")]

    return ask


def _compute(kind: _Kind, raw: Any, google: Google) -> Left:
    place, words = _place(raw)
    name = raw["name"]
    remove = f"gcloud compute {kind.remove} {name}{words} --project {google.project}"
    return Left(kind.kind, name, place, _owner(raw), kind.costs, remove)


def _groups(google: Google) -> list[Left]:
    """Return groups: they hold no label, and their templates do."""
    place = f"projects/{google.project}/aggregated"
    with told("looking what groups are left"):
        templates = {
            raw["selfLink"]: _owner(raw)
            for raw in google.pages("compute", f"{place}/instanceTemplates", "items")
            if "selfLink" in raw
        }
        found = list(google.pages("compute", f"{place}/instanceGroupManagers", "items"))
    left_groups = []
    for raw in found:
        name, (region, words) = raw["name"], _place(raw)
        owner = _owner(raw) or templates.get(raw.get("instanceTemplate", ""), "")
        remove = (
            f"gcloud compute instance-groups managed delete {name}{words} "
            f"--project {google.project}"
        )
        left_groups.append(Left("group", name, region, owner, raw.get("targetSize", 0) > 0, remove))
    return left_groups


def _buckets(google: Google) -> list[Left]:
    with told("looking what buckets are left"):
        found = list(google.pages("storage", "b", "items", project=google.project))
    return [
        Left(
            "bucket",
            raw["name"],
            str(raw.get("location", "")).lower(),
            _owner(raw),
            costs=True,
            remove=f"gcloud storage rm --recursive gs://{raw['name']}",
        )
        for raw in found
    ]


def _secrets(google: Google) -> list[Left]:
    path = f"v1/projects/{google.project}/secrets"
    with told("looking what secrets are left"):
        found = list(google.pages("secretmanager", path, "secrets"))
    return [
        Left(
            "secret",
            last(raw["name"]),
            GLOBAL,
            _owner(raw),
            costs=True,
            remove=f"gcloud secrets delete {last(raw['name'])} --project {google.project}",
        )
        for raw in found
    ]


def _accounts(google: Google) -> list[Left]:
    path = f"v1/projects/{google.project}/serviceAccounts"
    with told("looking what service accounts are left"):
        found = list(google.pages("iam", path, "accounts"))
    return [
        Left(
            "service account",
            raw["email"],
            GLOBAL,
            _owner(raw),
            costs=False,
            remove=f"gcloud iam service-accounts delete {raw['email']} --project {google.project}",
        )
        for raw in found
    ]


def _roles(google: Google) -> list[Left]:
    """Return roles of the project; one that was deleted is listed for weeks, and is not asked."""
    path = f"v1/projects/{google.project}/roles"
    with told("looking what roles are left"):
        found = list(google.pages("iam", path, "roles"))
    return [
        Left(
            "role",
            last(raw["name"]),
            GLOBAL,
            _owner(raw),
            costs=False,
            remove=f"gcloud iam roles delete {last(raw['name'])} --project {google.project}",
        )
        for raw in found
    ]


def _everywhere(google: Google, service: str, what: str, field: str) -> Iterator[tuple[str, Any]]:
    """Yield what a service has that is asked place by place, with the place."""
    parent = f"v1/projects/{google.project}/locations"
    places = [raw["locationId"] for raw in google.pages(service, parent, "locations")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {
            place: pool.submit(list, google.pages(service, f"{parent}/{place}/{what}", field))
            for place in places
        }
        for place, found in asked.items():
            yield from ((place, raw) for raw in found.result())


def _jobs(google: Google) -> list[Left]:
    with told("looking what jobs are left"):
        found = list(_everywhere(google, "cloudscheduler", "jobs", "jobs"))
    return [
        Left(
            "job",
            last(raw["name"]),
            place,
            _owner(raw),
            costs=True,
            remove=f"gcloud scheduler jobs delete {last(raw['name'])} --location {place} "
            f"--project {google.project}",
        )
        for place, raw in found
    ]


def _repositories(google: Google) -> list[Left]:
    with told("looking what images are left"):
        found = list(_everywhere(google, "artifactregistry", "repositories", "repositories"))
    return [
        Left(
            "image",
            last(raw["name"]),
            place,
            _owner(raw),
            costs=True,
            remove=f"gcloud artifacts repositories delete {last(raw['name'])} "
            f"--location {place} --project {google.project}",
        )
        for place, raw in found
    ]
