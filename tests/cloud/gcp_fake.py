"""A server on loopback that answers like Google Cloud: groups, machines, jobs, secrets, in memory.

with google_cloud(clock) as fake:
    made = fake.deploy("lab")            # what Terraform makes of a deployment
    ...                                  # connect("us-central1") talks to it, by real HTTP
    fake.advance()                       # groups make and end machines, armed jobs fire

Each request is checked against Google's own discovery documents (`discovery`), and so is each
answer: a path, parameter or field that Google does not know is refused, here as there. Nothing
else of Google is proved: that it keeps quotas, starts machines or fires jobs is what we believe.

What goes wrong is set from outside: `stock_out`, `quota`, `denied` hold words that a group's
`listErrors` tells; `preempt` takes a machine back; `refused` has a permission lacking; `down` has
no request answered.
"""

from __future__ import annotations

import base64
import calendar
import contextlib
import itertools
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.oauth2.service_account import Credentials

from imgbatch.cloud.gcp.rest import OVERRIDE
from tests.cloud import discovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROJECT, REGION = "lab-project-1", "us-central1"
ZONES = [f"{REGION}-{letter}" for letter in "abc"]
LABEL = "imgbatch-deployment"
STOCK_OUT = (
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
    (
        "A g2-standard-4 VM instance with 1 nvidia-l4 accelerator(s) is currently unavailable in "
        f"the {REGION}-b zone. Alternatively, you can try your request again with a different VM "
        "hardware configuration or at a later time."
    ),
)
QUOTA = ("QUOTA_EXCEEDED", "Quota 'PREEMPTIBLE_NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region.")
DENIED = (
    "PERMISSIONS_ERROR",
    "Required 'compute.subnetworks.use' permission for 'projects/lab/regions/x/subnetworks/y'",
)


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    def __init__(self, status: int, message: str, reason: str = "", **info: str) -> None:
        super().__init__(message)
        said: dict[str, Any] = {"code": status, "message": message, "status": reason}
        if info:
            said["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": reason,
                    "domain": "googleapis.com",
                    "metadata": info,
                }
            ]
        self.status, self.said = status, {"error": said}


@dataclass
class Instance:
    """A machine of a group: asked for, made, or on its way out."""

    name: str
    zone: str
    number: str = ""
    status: str = ""
    action: str = "CREATING"
    since: float = 0.0


@dataclass
class Group:
    """A regional managed instance group, with what its template says."""

    name: str
    type: str
    spot: bool
    template: str
    gpu: str = ""
    target: int = 0
    machines: dict[str, Instance] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """Names of what is there of a deployment."""

    name: str

    @property
    def head(self) -> str:
        return f"imgbatch-{self.name}-head"

    @property
    def gpu(self) -> str:
        return f"imgbatch-{self.name}-gpu"

    @property
    def t4(self) -> str:
        return f"imgbatch-{self.name}-t4"

    @property
    def token(self) -> str:
        return f"imgbatch-{self.name}-ray-token"


class FakeGoogle:
    """What the server knows. All is public: tests move it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.groups: dict[str, Group] = {}
        self.machines: dict[str, dict[str, Any]] = {}
        self.operations: list[dict[str, Any]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, list[dict[str, Any]]] = {}
        self.owners: dict[str, str] = {}
        self.listed: dict[str, list[dict[str, Any]]] = {}
        self.skus: list[dict[str, Any]] = list(_skus())
        self.quotas = {"PREEMPTIBLE_NVIDIA_L4_GPUS": 8.0, "NVIDIA_L4_GPUS": 1.0, "CPUS": 72.0}
        self.quotas |= {"PREEMPTIBLE_NVIDIA_T4_GPUS": 4.0, "NVIDIA_T4_GPUS": 1.0}
        self.quotas |= {"PREEMPTIBLE_NVIDIA_A100_GPUS": 16.0, "NVIDIA_A100_GPUS": 1.0}
        self.everywhere = {"GPUS_ALL_REGIONS": 16.0, "CPUS_ALL_REGIONS": 500.0}
        self.refused: set[str] = set()
        self.off: set[str] = set()
        self.billing = True
        self.stock_out = self.quota = self.denied = False
        self.down = False
        self.tokens: set[str] = set()
        self.asked: list[str] = []
        self._numbers = itertools.count(5974440820601886829)
        self._page = 2
        self.url = ""

    # -- what a test makes and moves ---------------------------------------------------------------

    def deploy(self, name: str) -> Made:
        """Make what Terraform makes: a head, two pools, a paused job each, a token."""
        made = Made(name)
        types = {made.head: ("e2-standard-4", False, ""), made.gpu: ("g2-standard-4", True, "")}
        types[made.t4] = ("n1-standard-4", True, "nvidia-tesla-t4")
        for group, (kind, spot, gpu) in types.items():
            template = f"{self.url}/compute/v1/projects/{PROJECT}/regions/{REGION}/"
            template += f"instanceTemplates/{group}-1"
            self.groups[group] = Group(group, kind, spot, template, gpu)
            self.owners[group] = name
            self.jobs[_job(group)] = {
                "name": _job(group),
                "description": f"{LABEL}={name}",
                "schedule": "0 0 1 1 *",
                "timeZone": "Etc/UTC",
                "state": "PAUSED",
                "httpTarget": {
                    "httpMethod": "POST",
                    "uri": f"https://compute.googleapis.com/compute/v1/projects/{PROJECT}/regions/"
                    f"{REGION}/instanceGroupManagers/{group}/resize?size=0",
                    "oauthToken": {"serviceAccountEmail": f"ib-{name}-timer@{PROJECT}"},
                },
            }
        self.secrets[made.token] = []
        self.owners[made.token] = name
        return made

    def advance(self) -> None:
        """Have done what is due: armed jobs, machines that are asked for, and their ends."""
        with self.lock:
            self._fire()
            for group in self.groups.values():
                self._work(group)

    def preempt(self, machine: str) -> None:
        """Take a spot machine back; its group makes another of the same name."""
        with self.lock:
            for group in self.groups.values():
                for one in group.machines.values():
                    if one.number == machine:
                        self._operation("compute.instances.preempted", one)
                        self._operation("delete", one)
                        self.machines.pop(one.number)
                        one.number, one.status, one.action = "", "", "RECREATING"

    def alive(self, group: str) -> list[Instance]:
        return [one for one in self.groups[group].machines.values() if one.status]

    def _fire(self) -> None:
        for job in self.jobs.values():
            if job["state"] == "ENABLED" and job.get("_at", 0) <= self.clock():
                path, _, query = (
                    job["httpTarget"]["uri"].partition("/compute/v1/")[2].partition("?")
                )
                method = discovery.find("compute", "POST", path)
                assert method is not None
                assert not method.wrong(parse_qs(query), None)
                job["_at"] = _next(job["schedule"], self.clock())
                self.resize(path.split("/")[5], int(parse_qs(query)["size"][0]))

    def _work(self, group: Group) -> None:
        for name, one in list(group.machines.items()):
            if one.action == "DELETING":
                if one.number:
                    self._operation("delete", one)
                    self.machines.pop(one.number)
                del group.machines[name]
            elif one.status == "PROVISIONING":
                one.status, one.action = "RUNNING", "NONE"
                self.machines[one.number]["status"] = "RUNNING"
            elif not one.status:
                self._make(group, one)

    def _make(self, group: Group, one: Instance) -> None:
        lacks = [(self.stock_out, STOCK_OUT), (self.quota, QUOTA), (self.denied, DENIED)]
        for lacking, (code, message) in lacks:
            if lacking:
                group.errors.append(
                    {
                        "error": {"code": code, "message": message},
                        "instanceActionDetails": {"action": "CREATING", "instance": self._url(one)},
                        "timestamp": self._now(),
                    }
                )
                return
        one.number = str(next(self._numbers))
        one.status, one.since = "PROVISIONING", self.clock()
        self.machines[one.number] = self._instance(group, one)
        self._operation("insert", one)

    def _instance(self, group: Group, one: Instance) -> dict[str, Any]:
        place = f"{self.url}/compute/v1/projects/{PROJECT}/zones/{one.zone}"
        kind = {"acceleratorType": f"{place}/acceleratorTypes/{group.gpu}", "acceleratorCount": 1}
        model = "SPOT" if group.spot else "STANDARD"
        return {
            "id": one.number,
            "name": one.name,
            "status": one.status,
            "zone": place,
            "machineType": f"{place}/machineTypes/{group.type}",
            "creationTimestamp": self._now(),
            "scheduling": {"provisioningModel": model, "preemptible": group.spot},
            "networkInterfaces": [{"networkIP": f"10.64.0.{int(one.number) % 250 + 1}"}],
            "labels": {LABEL: self.owners[group.name]},
            "guestAccelerators": [kind] if group.gpu else [],
        }

    def _operation(self, kind: str, one: Instance) -> None:
        number = f"operation-{next(self._numbers)}"
        place = f"{self.url}/compute/v1/projects/{PROJECT}/zones/{one.zone}"
        self.operations.append(
            {
                "name": number,
                "operationType": kind,
                "status": "DONE",
                "targetId": one.number,
                "targetLink": self._url(one),
                "zone": place,
                "insertTime": self._now(),
                "endTime": self._now(),
            }
        )

    def _url(self, one: Instance) -> str:
        return f"{self.url}/compute/v1/projects/{PROJECT}/zones/{one.zone}/instances/{one.name}"

    def _now(self) -> str:
        # As Compute Engine writes it: by its own clock in California.
        at = datetime.fromtimestamp(self.clock(), UTC)
        return at.isoformat(timespec="milliseconds")

    # -- Compute Engine ----------------------------------------------------------------------------

    def resize(self, group: str, size: int) -> None:
        found = self.group(group)
        staying = [one for one in found.machines.values() if one.action != "DELETING"]
        for _ in range(size - len(staying)):
            name = f"{group}-{secrets.token_hex(2)}"
            zone = ZONES[len(found.machines) % len(ZONES)]
            found.machines[name] = Instance(name, zone)
        # Which ones is Google's choice: here the oldest, which is what nobody would want.
        for one in staying[: max(0, len(staying) - size)]:
            self._delete(one)
        found.target = size

    def group(self, name: str) -> Group:
        if name not in self.groups:
            raise Refused(404, f"The resource 'instanceGroupManagers/{name}' was not found")
        return self.groups[name]

    def _delete(self, one: Instance) -> None:
        one.action = "DELETING"
        if one.number:
            one.status = self.machines[one.number]["status"] = "STOPPING"

    def region_groups(self, verb: str, words: tuple[str, ...], query: Any, body: Any) -> Any:
        group = self.group(words[2])
        if verb == "get":
            return {"name": group.name, "targetSize": group.target, "region": _region(self.url)}
        if verb == "resize":
            self.resize(group.name, int(query["size"][0]))
            return {"name": "operation-1", "status": "RUNNING"}
        if verb == "listErrors":
            return self._paged(group.errors, "items", query)
        if verb == "listManagedInstances":
            found = [self._managed(one) for one in group.machines.values()]
            return self._paged(found, "managedInstances", query)
        if verb == "deleteInstances":
            for url in body["instances"]:
                one = group.machines.get(url.rpartition("/")[2])
                if one is None or one.action == "DELETING":
                    if not body.get("skipInstancesOnValidationError"):
                        raise Refused(400, "Invalid value: not a member", "invalid")
                    continue
                self._delete(one)
                group.target -= 1
            return {"name": "operation-2", "status": "RUNNING"}
        raise Refused(501, f"the stand-in has no {verb}")

    def _managed(self, one: Instance) -> dict[str, Any]:
        said = {"instance": self._url(one), "name": one.name, "currentAction": one.action}
        return said | ({"id": one.number, "instanceStatus": one.status} if one.number else {})

    def aggregated(self, kind: str, query: Any) -> Any:
        asked = query.get("filter", [""])[0]
        items = {
            "instances": list(self.machines.values()),
            "operations": self.operations,
            "instanceGroupManagers": [self._group(group) for group in self.groups.values()],
            "instanceTemplates": [self._template(group) for group in self.groups.values()],
        }.get(kind, self.listed.get(kind, []))
        found = [one for one in items if _fits(one, asked)]
        page = self._paged(found, "items", query)
        scopes: dict[str, Any] = {"zones/empty": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}}
        for one in page.pop("items"):
            zone = (one.get("zone") or one.get("region") or "global").rpartition("/")[2]
            scopes.setdefault(f"zones/{zone}", {kind: []})[kind].append(one)
        return {**page, "items": scopes}

    def _group(self, group: Group) -> dict[str, Any]:
        said = {"name": group.name, "targetSize": group.target, "region": _region(self.url)}
        return said | {"instanceTemplate": group.template}

    def _template(self, group: Group) -> dict[str, Any]:
        return {
            "name": f"{group.name}-1",
            "selfLink": group.template,
            "region": _region(self.url),
            "properties": {"labels": {LABEL: self.owners[group.name]}},
        }

    def _paged(self, items: list[Any], name: str, query: Any) -> dict[str, Any]:
        """Return a page: short ones, so that nobody forgets the next."""
        first = int(query.get("pageToken", ["0"])[0])
        found = {name: items[first : first + self._page]}
        more = first + self._page < len(items)
        return found | ({"nextPageToken": str(first + self._page)} if more else {})

    # -- the other services ------------------------------------------------------------------------

    def answer(self, method: discovery.Method, query: Any, body: Any) -> Any:
        service, _, rest = method.id.partition(".")
        if service in self.off:
            raise Refused(
                403,
                f"{service} API has not been used in project {PROJECT} before or it is disabled.",
                "SERVICE_DISABLED",
                service=f"{service}.googleapis.com",
            )
        if method.id in self.refused:
            raise Refused(403, f"Required permission for {method.id}", "PERMISSION_DENIED")
        collection, _, verb = rest.rpartition(".")
        if service == "compute":
            return self._compute(collection, verb, method.words, query, body)
        return getattr(self, f"_{service}")(rest, method.words, query, body)

    def _compute(self, what: str, verb: str, words: tuple[str, ...], query: Any, body: Any) -> Any:
        if words[0] not in (PROJECT, "deeplearning-platform-release"):
            raise Refused(404, f"The resource 'projects/{words[0]}' was not found")
        if what == "regionInstanceGroupManagers":
            return self.region_groups(verb, words, query, body)
        if verb == "aggregatedList":
            kind = {"globalOperations": "operations"}.get(what, what)
            return self.aggregated(kind, query)
        if verb == "list":
            return self._paged(self.listed.get(what, []), "items", query)
        if what == "regions":
            if words[1] != REGION:
                raise Refused(404, f"The resource 'regions/{words[1]}' was not found")
            return {"name": REGION, "zones": ZONES, "quotas": _quotas(self.quotas)}
        if what == "projects":
            return {"name": PROJECT, "quotas": _quotas(self.everywhere)}
        if what == "images" and verb == "getFromFamily":
            return {"name": f"{words[1]}-v20261101"}
        raise Refused(404, f"there is no {what} {words[-1]}")

    def _cloudscheduler(self, rest: str, words: tuple[str, ...], query: Any, body: Any) -> Any:
        if rest == "projects.locations.list":
            return {"locations": [{"locationId": REGION}, {"locationId": "europe-west4"}]}
        if rest.endswith("jobs.list"):
            here = [_shown(job) for job in self.jobs.values() if f"/{words[1]}/" in job["name"]]
            return self._paged(here, "jobs", query)
        name = f"projects/{words[0]}/locations/{words[1]}/jobs/{words[2]}"
        if name not in self.jobs:
            raise Refused(404, "Job not found.", "NOT_FOUND")
        job, verb = self.jobs[name], rest.rpartition(".")[2]
        if verb == "patch":
            if job["state"] == "PAUSED":
                said = "Job.state must be ENABLED for UpdateJob."
                raise Refused(400, said, "FAILED_PRECONDITION")
            asked = query["updateMask"][0].split(",")
            job |= {key: value for key, value in body.items() if key in asked}
        elif verb in ("resume", "pause"):
            before, after = ("PAUSED", "ENABLED") if verb == "resume" else ("ENABLED", "PAUSED")
            if job["state"] != before:
                raise Refused(400, f"Job.state must be {before} for {verb}", "FAILED_PRECONDITION")
            job["state"] = after
        elif verb != "get":
            raise Refused(501, f"the stand-in has no {verb}")
        if verb in ("patch", "resume"):
            job["_at"] = _next(job["schedule"], self.clock())
        return _shown(job)

    def _secretmanager(self, rest: str, words: tuple[str, ...], query: Any, body: Any) -> Any:
        verb = rest.rpartition(".")[2]
        if rest == "projects.secrets.list":
            found = [
                {"name": f"projects/1/secrets/{name}", "labels": {LABEL: self.owners[name]}}
                for name in self.secrets
            ]
            return self._paged(found, "secrets", query)
        if words[1] not in self.secrets:
            said = f"Secret [projects/1/secrets/{words[1]}] not found or has no versions."
            raise Refused(404, said, "NOT_FOUND")
        versions = self.secrets[words[1]]
        if verb == "addVersion":
            number = len(versions) + 1
            name = f"projects/1/secrets/{words[1]}/versions/{number}"
            versions.append({"name": name, "state": "ENABLED", "_data": body["payload"]["data"]})
            return _shown(versions[-1])
        if verb == "list":
            return self._paged([_shown(one) for one in versions], "versions", query)
        at = len(versions) if words[2] == "latest" else int(words[2])
        if not 0 < at <= len(versions):
            raise Refused(404, f"Secret [{words[1]}] not found or has no versions.", "NOT_FOUND")
        version = versions[at - 1]
        if verb == "destroy":
            version["state"] = "DESTROYED"
            return _shown(version)
        if verb == "get":
            return _shown(version)
        if version["state"] != "ENABLED":
            raise Refused(400, "Secret Version is in DESTROYED state.", "FAILED_PRECONDITION")
        return {"name": version["name"], "payload": {"data": version["_data"]}}

    def _cloudbilling(self, rest: str, _words: tuple[str, ...], query: Any, _body: Any) -> Any:
        if rest == "projects.getBillingInfo":
            return {"billingEnabled": self.billing, "billingAccountName": "billingAccounts/0-1"}
        assert query["currencyCode"] == ["USD"]
        return self._paged(self.skus, "skus", query)

    def _cloudresourcemanager(self, rest: str, words: tuple[str, ...], _q: Any, body: Any) -> Any:
        if words[0] != PROJECT:
            raise Refused(403, "The caller does not have permission", "PERMISSION_DENIED")
        if rest == "projects.testIamPermissions":
            return {"permissions": [p for p in body["permissions"] if p not in self.refused]}
        return {"projectId": PROJECT, "name": "Lab"}

    def _serviceusage(self, _rest: str, _words: tuple[str, ...], query: Any, _body: Any) -> Any:
        return {
            "services": [
                {
                    "name": name,
                    "state": "DISABLED"
                    if name.rpartition("/")[2].partition(".")[0] in self.off
                    else "ENABLED",
                }
                for name in query["names"]
            ]
        }

    def _iam(self, rest: str, words: tuple[str, ...], query: Any, _body: Any) -> Any:
        field_of = {"projects.serviceAccounts.list": "accounts", "projects.roles.list": "roles"}
        if rest not in field_of:
            raise Refused(404, f"there is no {words[-1]}", "NOT_FOUND")
        return self._paged(self.listed.get(field_of[rest], []), field_of[rest], query)

    def _artifactregistry(self, rest: str, words: tuple[str, ...], query: Any, _body: Any) -> Any:
        if rest == "projects.locations.list":
            return {"locations": [{"locationId": REGION}]}
        if rest.endswith("repositories.list"):
            return self._paged(self.listed.get("repositories", []), "repositories", query)
        if rest.endswith("tags.get") and words in self.listed.get("tags", []):
            return {"name": "/".join(words)}
        raise Refused(404, "Requested entity was not found.", "NOT_FOUND")

    def _storage(self, _rest: str, _words: tuple[str, ...], query: Any, _body: Any) -> Any:
        assert query["project"] == [PROJECT]
        return self._paged(self.listed.get("buckets", []), "items", query)


def _job(group: str) -> str:
    return f"projects/{PROJECT}/locations/{REGION}/jobs/{group}-deadline"


def _region(url: str) -> str:
    return f"{url}/compute/v1/projects/{PROJECT}/regions/{REGION}"


def _shown(raw: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of something: without our notes, with the moment that is next."""
    told = {key: value for key, value in raw.items() if not key.startswith("_")}
    if "_at" in raw and raw["state"] == "ENABLED":
        told["scheduleTime"] = datetime.fromtimestamp(raw["_at"], UTC).isoformat()
    return told


def _next(schedule: str, now: float) -> float:
    """Return the next moment of a schedule of minute, hour, day and month."""
    minute, hour, day, month, weekday = schedule.split()
    assert weekday == "*"
    year = time.gmtime(now).tm_year
    for each in (year, year + 1):
        at = calendar.timegm((each, int(month), int(day), int(hour), int(minute), 0))
        if at > now:
            return at
    raise AssertionError(schedule)


def _quotas(limits: dict[str, float]) -> list[dict[str, Any]]:
    return [{"metric": name, "limit": limit, "usage": 0.0} for name, limit in limits.items()]


def _fits(one: dict[str, Any], asked: str) -> bool:
    """Whether something fits a filter, of those that are asked here."""
    if not asked:
        return True
    if found := re.fullmatch(r'name eq "(.*)"', asked):
        return re.fullmatch(found[1], one["name"]) is not None
    if found := re.fullmatch(r"id = (\d+)", asked):
        return bool(one.get("id") == found[1])
    if found := re.fullmatch(r'name = "(.*)"', asked):
        return bool(one["name"] == found[1])
    pairs = re.findall(r'\((\w+) eq "([^"]*)"\)', asked)
    assert pairs, f"the stand-in does not know the filter {asked}"
    # As Google reads them: regular expressions that have to match the whole, and all of them.
    return all(re.fullmatch(like, str(one.get(field, ""))) for field, like in pairs)


def _skus() -> Iterator[dict[str, Any]]:
    """Yield lines of the price list as Google words them; those that mislead among them."""
    families = {"G2 Instance": 0.025, "E2 Instance": 0.0218, "N1 Predefined Instance": 0.0316}
    for family, core in families.items():
        for part, factor in (("Core", 1.0), ("Ram", 0.12)):
            said = f"{family} {part} running in Americas"
            yield _sku(said, "OnDemand", core * factor)
            yield _sku(f"Spot Preemptible {said}", "Preemptible", core * factor * 0.4)
            yield _sku(f"Commitment v1: {said} for 1 Year", "Commit1Yr", core * factor * 0.6)
    for gpu, rate in (("L4", 0.56), ("Tesla T4", 0.35)):
        yield _sku(f"Nvidia {gpu} GPU running in Americas", "OnDemand", rate)
        spot = f"Nvidia {gpu} GPU attached to Spot Preemptible VMs running in Americas"
        yield _sku(spot, "Preemptible", rate * 0.5)
        yield _sku(f"Nvidia {gpu} Virtual Workstation GPU running in Americas", "OnDemand", 9.0)
    yield _sku("E2 Custom Instance Core running in Americas", "OnDemand", 9.0)
    yield _sku("Network Internet Egress from Israel to South America", "OnDemand", 0.12)


def _sku(said: str, usage: str, dollars: float) -> dict[str, Any]:
    price = {"currencyCode": "USD", "units": str(int(dollars)), "nanos": round(dollars % 1 * 1e9)}
    return {
        "description": said,
        "category": {"usageType": usage, "resourceFamily": "Compute"},
        "serviceRegions": [REGION, "us-east1"],
        "pricingInfo": [{"pricingExpression": {"tieredRates": [{"unitPrice": price}]}}],
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = (
        -1
    )  # head and body in one packet: else each answer waits 40 ms for an acknowledgement
    fake: FakeGoogle

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._do()

    do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815 - the library's names

    def _do(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake = self.fake
        with fake.lock:
            if fake.down:
                self._say(503, {"error": {"code": 503, "message": "Service Unavailable"}})
            elif self.path == "/token":
                token = f"ya29.{secrets.token_hex(8)}"
                fake.tokens.add(token)
                self._say(200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})
            else:
                self._say(*self._asked(raw))

    def _asked(self, raw: bytes) -> tuple[int, Any]:
        parts = urlsplit(self.path)
        service, _, path = parts.path.lstrip("/").partition("/")
        query, body = parse_qs(parts.query), json.loads(raw) if raw else None
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            if bearer not in self.fake.tokens:
                raise Refused(401, "Request had invalid authentication credentials.")  # noqa: TRY301 - as Google answers: one place tells them all
            base = discovery.document(service)["servicePath"]
            method = discovery.find(service, self.command, path.removeprefix(base))
            if method is None:
                raise Refused(404, f"Google has no {self.command} {self.path}")  # noqa: TRY301 - as Google answers: one place tells them all
            if wrong := method.wrong(query, body):
                raise Refused(400, f"{method.id}: {'; '.join(wrong)}", "INVALID_ARGUMENT")  # noqa: TRY301 - as Google answers: one place tells them all
            self.fake.asked.append(method.id)
            answer = self.fake.answer(method, query, body)
        except Refused as refused:
            return refused.status, refused.said
        if wrong := method.wrong_answer(answer):
            return 599, {"error": {"message": f"the stand-in is wrong: {'; '.join(wrong)}"}}
        return 200, answer

    def _say(self, status: int, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def google_cloud(folder: Path, clock: Callable[[], float] = time.time) -> Iterator[FakeGoogle]:
    """Run the server; the environment points to it, with a service account of its own."""
    fake = FakeGoogle(clock)
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "CLOUDSDK_CONFIG"):
                patch.delenv(name, raising=False)
            patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(_key(folder, fake.url)))
            # It would ask a server of Google's where these credentials may be used.
            never = lambda _self: False  # noqa: E731 - one word
            patch.setattr(Credentials, "_is_regional_access_boundary_lookup_required", never)
            for service in discovery.VERSIONS:
                base = discovery.document(service)["servicePath"]
                patch.setenv(f"{OVERRIDE}{service.upper()}", f"{fake.url}/{service}/{base}")
            yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@cache
def _pem() -> str:
    """Return a private key; nobody looks at what it signs."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.private_bytes(*form, serialization.NoEncryption()).decode()


def _key(folder: Path, url: str) -> Path:
    """Write a key file whose tokens come from here."""
    file = folder / "key.json"
    file.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": base64.b16encode(b"key").decode(),
                "private_key": _pem(),
                "client_email": f"tests@{PROJECT}.iam.gserviceaccount.com",
                "token_uri": f"{url}/token",
            }
        )
    )
    return file
